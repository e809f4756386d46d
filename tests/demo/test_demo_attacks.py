"""Nobody reads what is not theirs: every way in, with every kind of path, watched from below.

The ways in are not listed by hand: content types are those that the framework's own parser takes,
endpoints those that the page's own configuration and table of routes name. An audit hook sees every
file that the process opens, moves or links, and every host that it looks up.
"""

import asyncio
import gc
import itertools
import json
import mimetypes
import os
import re
import secrets
import socket
import sys
import urllib.parse
from pathlib import Path

import fastapi
import gradio as gr
import httpx
import pytest
from gradio.routes import App

from demo.server import http_server, middleware
from demo.server.credentials import Credentials
from tests.helpers.demo_page import FakeEnhancer, as_file, call, inside, serving, write_gradient

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
MARKER = "nobody else may read this"
OUTSIDE = "outside.invalid"
TOUCHES = {"open", "os.link", "os.rename", "os.symlink", "os.listdir", "os.scandir"}
TOUCHES |= {"shutil.copyfile", "shutil.move", "subprocess.Popen"}


class Watch:
    """What this process has touched; an audit hook stays for good, so there is one."""

    def __init__(self):
        self.is_on = False
        self.forbidden: list[str] = []
        self.seen: list[str] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple) -> None:
        if not self.is_on:
            return
        if event == "socket.getaddrinfo" or event == "socket.gethostbyname":
            self.seen.append(f"{event} {arguments[0]}")
        elif event in TOUCHES:
            words = " ".join(str(argument) for argument in arguments[:2])
            if any(path in words for path in self.forbidden):
                self.seen.append(f"{event} {words}")


WATCH = Watch()


@pytest.fixture(scope="module", autouse=True)
def collect_garbage_here():
    yield
    gc.collect()


def parsed_content_types() -> list[str]:
    """Ask FastAPI which of many content types it parses as JSON."""
    app = fastapi.FastAPI()

    @app.post("/")
    def echo(body: dict) -> dict:
        return body

    known = sorted({*mimetypes.types_map.values(), *mimetypes.common_types.values()})
    named = ["application/json", "text/json", "application/vnd.api+json"]
    spellings = [str.upper, str.title, lambda name: f"{name}; charset=utf-8"]
    spellings += [lambda name: f"  {name}", lambda name: f"{name};a=b,text/plain"]
    candidates = [None, "", "json", "/json", "*/*", "multipart/form-data; boundary=x", *named]
    candidates += [spell(name) for name in named for spell in spellings] + known

    async def ask() -> list[str]:
        transport = httpx.ASGITransport(app)
        taken = []
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            for kind in dict.fromkeys(candidates):
                headers = {} if kind is None else {"content-type": kind}
                answer = await client.post("/", content=b'{"marker": 1}', headers=headers)
                if answer.status_code == 200 and answer.json() == {"marker": 1}:
                    taken.append(kind)
        return taken

    return asyncio.run(ask())


CONTENT_TYPES = parsed_content_types()


def test_the_framework_parses_more_than_one_spelling_of_json():
    assert {"application/json", "APPLICATION/JSON", "application/vnd.api+json"} <= set(
        CONTENT_TYPES
    )
    assert len(CONTENT_TYPES) >= 10


class Victim:
    """Another visitor, with an upload and a result, and a secret beside the server."""

    def __init__(self, server, folder: Path, tmp_path: Path):
        self.secret = tmp_path / "secret.txt"
        self.secret.write_text(MARKER)
        photo = write_gradient(tmp_path / "private_room.jpg", 20, 30)
        self.uploads, self.result = server.run(self._visit(server, photo))
        self.folder = folder
        (folder / "link.jpg").symlink_to(self.secret)
        box = folder / self.uploads[0].split("/")[2]
        (box / "link.jpg").symlink_to(self.secret)
        self.private = [
            str(self.secret),
            *(str(folder / handle.split("/")[2]) for handle in self.uploads),
        ]
        self.private.append(str(folder / self.result.split("/")[2]))

    @staticmethod
    async def _visit(server, photo: Path) -> tuple[list[str], str]:
        async with server.client() as client:
            await client.get("/")
            files = {"files": (photo.name, photo.read_bytes())}
            handles = [
                (await client.post("/gradio_api/upload", files=files)).json()[0] for _ in "ab"
            ]
            events = await call(client, [as_file(handles.pop()), 1.0])
            result = json.loads(events.split("data: ")[-1])[0]["path"]
            assert (await client.get(f"/gradio_api/file={result}")).status_code == 200
            return handles, result

    @property
    def paths(self) -> list[str]:
        """What an attacker may ask for."""
        secret, upload = str(self.secret), self.uploads[0]
        up = "../" * 12
        box = upload.split("/")[2]
        paths = [
            secret,
            os.path.relpath(secret),
            f"/photos/{up}{secret[1:]}",
            f"/photos/{box}/{up}{secret[1:]}",
            str(self.folder / up) + secret,
            str(self.folder / "link.jpg"),
            "/photos/link.jpg",
            f"/photos/{box}/link.jpg",
            "/proc/self/environ",
            f"/proc/self/root{secret}",
            f"/proc/{os.getpid()}/cwd/pyproject.toml",
            upload,
            self.result,
            str(self.folder / upload.removeprefix("/photos/")),
            str(self.folder / self.result.removeprefix("/photos/")),
            f"http://{OUTSIDE}/x.jpg",
            f"https://{OUTSIDE}/x.jpg",
            f"HTTP://{OUTSIDE}/x.jpg",
            f"file://{secret}",
            f"//{OUTSIDE}/share/x.jpg",
            rf"\\{OUTSIDE}\share\x.jpg",
            f"{secret}\0.jpg",
            urllib.parse.quote(secret, safe=""),
            urllib.parse.quote(urllib.parse.quote(secret, safe=""), safe=""),
            f"/gradio_api/file={secret}",
        ]
        return paths


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


SHAPES = [
    lambda path: as_file(path),
    lambda path: [as_file(path)],
    lambda path: {"value": as_file(path), "nested": [{"deep": as_file(path)}]},
    lambda path: {
        "path": path,
        "url": path,
        "is_stream": False,
        "orig_name": "x.jpg",
        **as_file(path),
    },
    lambda path: path,
]


async def attack(
    client: httpx.AsyncClient, dependency: dict, path: str, kind: str, number: int
) -> str:
    """Send a path to one of the page's functions in one shape, in every way that Gradio has."""
    inputs, name = len(dependency["inputs"]), dependency["api_name"]
    headers = {"content-type": kind}
    shape = SHAPES[number % len(SHAPES)]
    session = secrets.token_hex(8)
    data = [shape(path)] * inputs
    body = {"data": data, "fn_index": dependency["id"], "session_hash": session}
    body["event_data"] = {"index": 0, "value": shape(path), "selected": True}
    sent = json.dumps(body).encode()
    answers = []
    joined = await client.post("/gradio_api/queue/join", content=sent, headers=headers)
    answers.append(joined.text)
    if joined.status_code == 200:
        answers.append((await client.get(f"/gradio_api/queue/data?session_hash={session}")).text)
    del body["session_hash"]
    sent = json.dumps(body).encode()
    for route in (
        f"call/{name}",
        f"call/v2/{name}",
        f"run/{name}",
        f"api/{name}",
        "component_server",
    ):
        answer = await client.post(f"/gradio_api/{route}", content=sent, headers=headers)
        answers.append(answer.text)
        if answer.status_code == 200 and "event_id" in answer.text:
            event = answer.json()["event_id"]
            answers.append((await client.get(f"/gradio_api/call/{name}/{event}")).text)
    return "".join(answers)


async def attack_everywhere(server, combinations, turn: int) -> str:
    """Attack with shapes that take turns: over all turns each function gets each shape."""
    async with server.client() as client:
        await client.get("/")
        dependencies = (await client.get("/config")).json()["dependencies"]
        assert len(dependencies) >= 8
        answers = []
        for number, (dependency, path, kind) in enumerate(combinations(dependencies)):
            answers.append(await attack(client, dependency, path, kind, turn + number))
        text = "".join(answers)
        assert "another visitor's" not in text, "refused before anything was looked at"
        return text


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


RANGE = {"Range": "bytes=0-9"}
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


# Names and origins


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({}, True),
        ({"host": "localhost:7860"}, True),
        ({"host": "[::1]:7860"}, True),
        ({"host": "photos.example.com"}, True),
        ({"host": "photos.example.com", "origin": "https://photos.example.com"}, True),
        ({"x-forwarded-host": "photos.example.com", "origin": "https://photos.example.com"}, True),
        ({"origin": "http://127.0.0.1:7860"}, True),
        ({"host": "evil.example"}, False),
        ({"host": "evil.example", "origin": "http://evil.example"}, False),
        ({"host": "127.0.0.1.evil.example"}, False),
        ({"host": "192.168.1.5:7860"}, False),
        ({"host": ""}, False),
        ({"host": "[::1"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://127.0.0.1:3000"}, False),
        ({"origin": "http://127.0.0.1:7860.evil.example"}, False),
        ({"x-forwarded-host": "evil.example"}, False),
    ],
)
def test_only_requests_for_this_server_from_its_own_pages_are_taken(place, headers, is_taken):
    server, _ = place

    async def ask() -> list[int]:
        async with server.client(headers=headers) as client:
            return [(await client.get(page)).status_code for page in ("/", "/health", "/config")]

    assert server.run(ask()) == [200 if is_taken else 403] * 3


def test_a_server_for_the_network_answers_to_addresses_and_to_no_name_it_was_not_told():
    with inside(host="0.0.0.0") as (server, _):

        async def ask(host: str) -> int:
            async with server.client(headers={"host": host}) as client:
                return (await client.get("/health")).status_code

        hosts = ["192.168.1.5:7860", "[fd00::5]:7860", "evil.example", "workstation"]
        assert [server.run(ask(host)) for host in hosts] == [200, 200, 403, 403]


def test_every_answer_says_what_browsers_may_not_do(place):
    server, _ = place

    async def ask() -> list[httpx.Response]:
        async with server.client() as client:
            pages = [
                "/",
                "/health",
                "/config",
                "/nothing",
                "/theme.css",
                "/gradio_api/file=/photos/x/y",
            ]
            return [await client.get(page) for page in pages]

    for answer in server.run(ask()):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "'unsafe-inline'" not in policy.split("style-src")[0]


# With a login


@pytest.fixture(scope="module")
def locked():
    with inside(credentials=Credentials("anna", "s3cret")) as (server, _):
        yield server


def routes_of(server) -> set[str]:
    """Every route that Gradio has, from its own table."""
    found = set()

    def walk(routes) -> None:
        for route in routes:
            walk(getattr(getattr(route, "original_router", None), "routes", []))
            walk(getattr(getattr(route, "app", None), "routes", []))
            if path := getattr(route, "path", None):
                found.add(path)

    with gr.Blocks() as blocks:
        pass
    app = App.create_app(blocks)
    walk(app.routes)
    return found


def test_without_logging_in_nothing_answers_but_health_and_the_login(locked):
    paths = {re.sub(r"\{[^}]*\}", "x", path) for path in routes_of(locked)}
    paths |= {"/gradio_api/openapi.json", "/gradio_api/reset", "/gradio_api/cancel", "/page.js"}
    paths |= {"/gradio_api/heartbeat/x", "/gradio_api/upload", "/gradio_api/queue/join"}
    paths |= {"/LOGIN", "/health/", "/health/../config", "/login/../config", "/login/config"}
    paths -= {"/login", "/login/", "/"}
    assert len(paths) >= 40

    async def ask() -> dict[str, int]:
        async with locked.client() as client:
            return {
                f"{method} {path}": (await client.request(method, path)).status_code
                for path in paths
                for method in ("GET", "POST", "HEAD", "PUT", "OPTIONS")
            }

    assert {key: status for key, status in locked.run(ask()).items() if status != 401} == {}

    async def open_pages() -> list[int]:
        async with locked.client() as client:
            return [(await client.get(page)).status_code for page in ("/", "/login", "/health")]

    assert locked.run(open_pages()) == [303, 200, 200]


def test_a_login_is_throttled_and_logged_without_the_password(caplog):
    with inside(credentials=Credentials("anna", "s3cret")) as (server, _):

        async def guess() -> list[int]:
            async with server.client() as client:
                tries = [
                    await client.post(
                        "/login", data={"username": "anna\n", "password": f"wrong{i}"}
                    )
                    for i in range(50)
                ]
                right = {"username": "anna", "password": "s3cret"}
                tries.append(await client.post("/login", data=right))
                return [answer.status_code for answer in tries]

        async def enter(address: str) -> tuple[int, int]:
            async with server.client(address) as client:
                right = {"username": "anna", "password": "s3cret"}
                entered = (await client.post("/login", data=right)).status_code
                return entered, (await client.get("/config")).status_code

        statuses = server.run(guess())
        assert statuses[:5] == [401] * 5
        assert set(statuses[6:]) == {429}
        assert server.run(enter("10.1.2.3")) == (200, 200)
    logged = [record.getMessage() for record in caplog.records]
    assert "wrong login as 'anna' from 127.0.0.1" in logged or any(
        "wrong login as" in line for line in logged
    )
    assert all(
        "wrong1" not in line and "s3cret" not in line and "\n" not in line for line in logged
    )


def test_a_cookie_that_somebody_made_up_opens_nothing(locked):
    async def ask(change) -> int:
        async with locked.client() as client:
            right = {"username": "anna", "password": "s3cret"}
            cookie = (await client.post("/login", data=right)).headers["set-cookie"].split(";")[0]
        async with locked.client(headers={"cookie": change(cookie)}) as client:
            return (await client.get("/config")).status_code

    assert locked.run(ask(lambda cookie: cookie)) == 200
    changes = [lambda cookie: cookie[:-1] + ("0" if cookie[-1] != "0" else "1")]
    changes += [
        lambda cookie: cookie.replace("=", "=x", 1),
        lambda cookie: cookie.rpartition(".")[0],
    ]
    changes += [lambda cookie: cookie.split("=")[0] + "=x.member.", lambda cookie: ""]
    for change in changes:
        assert locked.run(ask(change)) == 401


# Over a real socket


def say(address: str, request: bytes) -> bytes:
    """Send bytes as they are; return what comes until the server closes, or for ten seconds."""
    host, port = urllib.parse.urlsplit(address).hostname, urllib.parse.urlsplit(address).port
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


@pytest.mark.parametrize("request_", [b"", b"GET / HTTP/1.1\r\nHost: 127", b"\0\0\r\n\r\n"])
def test_a_connection_on_which_no_request_comes_is_closed(monkeypatch, request_):
    monkeypatch.setattr(http_server, "_HEADER_SECONDS", 0.3)
    with serving(FakeEnhancer()) as address:
        assert b" 200 " not in say(address, request_)


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(middleware, "_IDLE_SECONDS", 0.3)
    with serving(FakeEnhancer()) as address:
        head = (
            f"POST /gradio_api/queue/join HTTP/1.1\r\nHost: {urllib.parse.urlsplit(address).netloc}"
            "\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"
        )
        assert say(address, head.encode()).split()[1] in (b"400", b"408")


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
