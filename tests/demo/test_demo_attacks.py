"""Nobody reads what is not theirs: every way in, with every kind of path, watched from below."""

import itertools
import urllib.parse

import httpx
import pytest

from tests.helpers.attack import CONTENT_TYPES, MARKER, WATCH, Victim, attack_everywhere
from tests.helpers.demo_page import (
    FakeEnhancer,
    as_file,
    call,
    inside,
    say,
    serving,
    write_gradient,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with inside(allowed_hosts=["photos.example.com"]) as (server, folder):
        victim = Victim(server, folder, tmp_path_factory.mktemp("beside"))
        WATCH.forbidden = [
            *victim.private,
            "/proc/self/environ",
            "/proc/self/root",
            "/cwd/pyproject",
        ]
        yield server, victim


@pytest.fixture
def watched(place):
    """The server, a victim, and proof afterwards that nothing was touched or looked up."""
    WATCH.seen.clear()
    WATCH.is_on = True
    yield place
    WATCH.is_on = False
    assert WATCH.seen == []


def test_the_framework_parses_more_than_one_spelling_of_json():
    assert {"application/json", "APPLICATION/JSON", "application/vnd.api+json"} <= set(
        CONTENT_TYPES
    )
    assert len(CONTENT_TYPES) >= 10


@pytest.mark.parametrize("kind", CONTENT_TYPES)
def test_no_endpoint_takes_a_path_in_any_content_type(watched, kind):
    server, victim = watched
    spelled_out = kind in CONTENT_TYPES[:12]  # the others differ in their names only
    secret = str(victim.secret)

    def for_each(found):
        return itertools.product(found if spelled_out else found[:1], [secret], [kind])

    turn = CONTENT_TYPES.index(kind)
    answers = server.run(attack_everywhere(server, for_each, turn))
    assert MARKER not in answers


@pytest.mark.parametrize("number", range(25))
def test_no_endpoint_takes_any_kind_of_path(watched, number):
    server, victim = watched
    path = victim.paths[number]

    def for_each(found):
        return itertools.product(found, [path], ["application/json"])

    answers = server.run(attack_everywhere(server, for_each, number))
    assert MARKER not in answers


FILE_ROUTES = [
    "gradio_api/file=",
    "file=",
    "gradio_api/file/",
    "gradio_api/proxy=",
    "gradio_api/stream/",
]
FILE_ROUTES += ["static/", "assets/", "svelte/", "gradio_api/custom_component/a/client/b/", ""]


@pytest.mark.parametrize("number", range(25))
@pytest.mark.parametrize("route", FILE_ROUTES)
def test_no_address_leads_to_another_file(watched, route, number):
    server, victim = watched
    path = victim.paths[number]

    async def fetch() -> list[httpx.Response]:
        async with server.client() as client:
            await client.get("/")
            spellings = [
                path,
                urllib.parse.quote(path, safe=""),
                urllib.parse.quote(path, safe="/:"),
            ]
            spellings.append(urllib.parse.quote(urllib.parse.quote(path, safe=""), safe=""))
            return [
                await client.request(
                    method, httpx.URL(server.ADDRESS, raw_path=raw), headers=headers
                )
                for spelling in spellings
                for raw in [
                    f"/{route}{spelling}".encode("latin-1", "replace").replace(b"\0", b"%00")
                ]
                for method in ("GET", "HEAD")
                for headers in ({}, {"Range": "bytes=0-9"})
            ]

    for answer in server.run(fetch()):
        assert MARKER not in answer.text
        assert answer.status_code in (400, 403, 404, 405), answer.url


def test_ones_own_result_can_be_fetched_and_anothers_session_not_used(place):
    server, victim = place

    async def visit() -> tuple[int, int, str]:
        async with server.client() as own, server.client() as other:
            await own.get("/")
            await other.get("/")
            photo = write_gradient(victim.secret.parent / "mine.jpg", 20, 30)
            files = {"files": (photo.name, photo.read_bytes())}
            handle = (await own.post("/gradio_api/upload", files=files)).json()[0]
            got = [
                (await one.get(f"/gradio_api/file={handle}")).status_code for one in (own, other)
            ]
            return *got, await call(other, [as_file(handle), 1.0])

    mine, others, told = server.run(visit())
    assert (mine, others) == (200, 404)
    assert "There is no such file" in told


def test_nobody_listens_to_anothers_session(place):
    server, _ = place

    async def listen() -> list[int]:
        async with server.client() as own, server.client() as other:
            await own.get("/")
            await other.get("/")
            body = {"data": [[], None], "fn_index": 1, "session_hash": "mine"}
            await own.post("/gradio_api/queue/join", json=body)
            await own.get("/gradio_api/queue/data?session_hash=mine")
            pages = ["queue/data?session_hash=mine", "heartbeat/mine"]
            return [(await other.get(f"/gradio_api/{page}")).status_code for page in pages]

    assert server.run(listen()) == [404, 404]


PART = b'--x\r\nContent-Disposition: form-data; name="files"%b\r\n\r\nx\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "multipart/form-data"),
        (b"", "text/plain"),
        (b"junk", "multipart/form-data; boundary=x"),
        (PART % b"", "multipart/form-data; boundary=x"),
        (PART % b'; filename=".."', "multipart/form-data; boundary=x"),
        (PART % b'; filename="../../a.jpg"', "multipart/form-data; boundary=x"),
        (PART % b'; filename="/etc/passwd"', "multipart/form-data; boundary=x"),
    ],
)
def test_an_odd_upload_is_refused_or_stays_in_its_box(place, content, kind):
    server, victim = place

    async def send() -> httpx.Response:
        async with server.client() as client:
            await client.get("/")
            return await client.post(
                "/gradio_api/upload", content=content, headers={"content-type": kind}
            )

    answer = server.run(send())
    assert answer.status_code in (200, 400, 411)
    for handle in answer.json() if answer.status_code == 200 else []:
        assert (victim.folder / handle.removeprefix("/photos/")).is_file()
        assert len(handle.split("/")) == 4


def test_a_link_in_the_place_of_an_upload_is_not_followed(place, tmp_path):
    server, victim = place

    async def swap() -> tuple[int, str]:
        async with server.client() as client:
            await client.get("/")
            photo = write_gradient(tmp_path / "mine.jpg", 20, 30)
            files = {"files": (photo.name, photo.read_bytes())}
            handle = (await client.post("/gradio_api/upload", files=files)).json()[0]
            path = victim.folder / handle.removeprefix("/photos/")
            path.unlink()
            path.symlink_to(victim.secret)
            WATCH.seen.clear()
            WATCH.is_on = True
            status = (await client.get(f"/gradio_api/file={handle}")).status_code
            return status, await call(client, [as_file(handle), 1.0])

    status, told = server.run(swap())
    WATCH.is_on = False
    assert status == 404
    assert "There is no such file" in told
    assert WATCH.seen == []


def test_paths_that_no_client_normalises_lead_nowhere():
    with serving(FakeEnhancer()) as address:
        host = urllib.parse.urlsplit(address).netloc
        for path in (
            "/gradio_api/file=/photos/../../../etc/passwd",
            "/static/../../../../etc/passwd",
        ):
            request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            answer = say(address, request.encode())
            assert answer.split()[1] == b"404"
            assert b"root:" not in answer
