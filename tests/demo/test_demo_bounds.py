"""What one visitor may take of the server, and that a refusal leaves nothing behind."""

import asyncio
import gc
import json
import urllib.parse
from pathlib import Path

import httpx
import numpy as np
import pytest

from demo.handlers import CALLER, Caller, Handlers
from demo.page import streams
from demo.photos import isolated_decoding
from demo.photos.enhanced_photo import compare, enhance_photo
from demo.photos.limits import Limits, Refused
from demo.photos.photo_queue import PhotoQueue
from demo.photos.storage import NoRoom, Storage
from demo.photos.visitor import Visitor
from demo.server.credentials import Credentials
from enhancer.photo.io import PhotoError, write_photo
from tests.helpers.demo_page import FakeEnhancer, as_file, call, inside, serving, write_gradient

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ANNA = Visitor("anna", "127.0.0.1")
LIMITS = Limits(photos_per_batch=2)


@pytest.fixture(scope="module", autouse=True)
def collect_garbage_here():
    yield
    gc.collect()


@pytest.fixture(scope="module")
def server_and_folder():
    with inside(limits=LIMITS) as (server, folder):
        yield server, folder


@pytest.fixture
def server(server_and_folder):
    """The server, and proof afterwards that the test left no file in it."""
    server, folder = server_and_folder
    before = sorted(folder.rglob("*"))
    yield server
    assert sorted(folder.rglob("*")) == before


async def upload(client: httpx.AsyncClient, *photos: bytes, **options) -> httpx.Response:
    files = [("files", (f"{number}.jpg", photo)) for number, photo in enumerate(photos)]
    return await client.post("/gradio_api/upload", files=files, **options)


# Uploads


def test_an_upload_with_a_field_that_is_not_a_file_is_refused(server):
    async def send() -> httpx.Response:
        async with server.client() as client:
            return await upload(client, b"photo", data={"x": "y"})

    assert server.run(send()).status_code == 400


def test_an_upload_of_more_files_than_a_batch_is_refused(server):
    async def send() -> httpx.Response:
        async with server.client() as client:
            return await upload(client, b"a", b"b", b"c")

    assert server.run(send()).status_code == 400


def put(storage: Storage, names: str) -> list[str]:
    with storage.receiving(ANNA, len(names)) as folder:
        for name in names:
            (folder / name).write_text(name)
        return storage.put(ANNA, [(folder / name, name) for name in names])


def test_an_upload_beyond_the_limit_is_taken_as_a_whole_or_not_at_all(tmp_path):
    storage = Storage(tmp_path, Limits(uploads_per_visitor=2))
    with pytest.raises(NoRoom):
        put(storage, "abc")
    assert list(tmp_path.iterdir()) == []
    assert len(put(storage, "ab")) == 2  # the refused ones do not count


def test_an_upload_counts_on_its_visitor_while_it_is_being_enhanced(tmp_path):
    storage = Storage(tmp_path, Limits(disk_megabytes=10))
    with storage.receiving(ANNA, 3_000_000) as folder:
        (folder / "a.jpg").write_bytes(bytes(3_000_000))
        handle = storage.put(ANNA, [(folder / "a.jpg", "a.jpg")])[0]
    results = storage.new_folder(ANNA)
    with storage.using(results):
        storage.take(ANNA, handle, results / "source")
        with pytest.raises(NoRoom), storage.receiving(ANNA, 3_000_000):
            pass  # half of ten megabytes is one visitor's


def test_chunks_do_not_stand_in_for_the_length_of_an_upload(server):
    async def send() -> list[int]:
        async with server.client() as client:
            chunked = {"Content-Length": "10", "Transfer-Encoding": "chunked"}
            answers = [await upload(client, b"photo", headers=chunked)]
            answers.append(await client.post("/gradio_api/upload", headers={"Content-Length": "0"}))
            return [answer.status_code for answer in answers]

    assert server.run(send()) == [411, 411]


# Sessions and streams


@pytest.mark.parametrize("query", ["session_hash", "upload_id"])
def test_long_names_are_not_remembered(server, query):
    async def ask() -> int:
        async with server.client() as client:
            path = {"session_hash": "queue/data", "upload_id": "upload_progress"}[query]
            return (await client.get(f"/gradio_api/{path}?{query}={'n' * 65}")).status_code

    assert server.run(ask()) == 404


def test_what_one_visitor_calls_the_server_is_told_to_nobody_else(server):
    async def ask() -> str:
        async with server.client() as client:
            name = {"X-Gradio-Server": "http://evil.example/x"}
            first = await client.get("/gradio_api/info", headers=name)
            return first.text + (await client.get("/gradio_api/info")).text

    assert "evil.example" not in server.run(ask())


def test_a_session_that_is_named_twice_is_not_found(server):
    async def listen() -> int:
        async with server.client() as client:
            page = "/gradio_api/queue/data?session_hash=mine&session_hash=yours"
            return (await client.get(page)).status_code

    assert server.run(listen()) == 404


@pytest.mark.parametrize("route", ["queue/join", "call/enhance"])
def test_nobody_puts_an_event_into_anothers_session(server, route):
    session = f"own{route[:4]}"

    async def push() -> tuple[int, str]:
        async with server.client() as own, server.client() as other:
            for client in (own, other):
                await client.get("/")
            body = {"data": [[], None], "fn_index": 1, "session_hash": session}
            assert (await own.post("/gradio_api/queue/join", json=body)).status_code == 200
            await own.get(f"/gradio_api/queue/data?session_hash={session}")
            answer = await other.post(f"/gradio_api/{route}", json=body)
            return answer.status_code, answer.text

    status, told = server.run(push())
    assert status >= 400
    assert "another visitor's" in told


def test_too_many_streams_of_one_account_are_refused(server, monkeypatch):
    monkeypatch.setattr(streams, "_STREAMS", 1)

    async def listen() -> list[int]:
        async with server.client() as client:
            await client.get("/")
            first = asyncio.create_task(client.get("/gradio_api/heartbeat/first"))
            await asyncio.sleep(0.05)
            refused = await client.get("/gradio_api/queue/data?session_hash=second")
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            later = await client.get("/gradio_api/queue/data?session_hash=second")
            return [refused.status_code, later.status_code]

    assert server.run(listen()) == [429, 200]


def test_cookies_of_others_that_hold_json_do_not_hide_ours(server):
    other = 'settings={"size": 3, "names": ["a, b"]}'

    async def visit() -> int:
        async with server.client() as first:
            page = await first.get("/", headers={"cookie": other})
            ours = page.headers["set-cookie"].split(";")[0]
            session = "/gradio_api/queue/data?session_hash=json"
            await first.get(session)
        async with server.client(headers={"cookie": f"{other}; {ours}"}) as again:
            return (await again.get(session)).status_code

    assert server.run(visit()) == 200


# What is asked for


def test_too_many_names_in_one_batch_are_told_in_words(server):
    async def ask() -> str:
        async with server.client() as client:
            await client.get("/")
            functions = (await client.get("/config")).json()["dependencies"]
            number = next(f["id"] for f in functions if f["api_name"] == "enhance_1")
            names = [as_file(f"/photos/x/{i}.jpg") for i in range(4 * LIMITS.photos_per_batch + 1)]
            body = {"data": [None, names, 100], "fn_index": number, "session_hash": "many"}
            await client.post("/gradio_api/queue/join", json=body)
            return (await client.get("/gradio_api/queue/data?session_hash=many")).text

    assert "too many photos at a time" in server.run(ask())


def test_a_photo_that_fails_leaves_no_file(server, tmp_path):
    write_photo(tmp_path / "grey.png", np.full((20, 30, 3), 128, np.uint8))

    async def ask() -> str:
        async with server.client() as client:
            handle = (await upload(client, (tmp_path / "grey.png").read_bytes())).json()[0]
            return await call(client, [as_file(handle), 1.0])

    assert "could not be done" in server.run(ask())


def test_a_download_takes_a_place_in_the_queue(tmp_path):
    queue, storage = PhotoQueue(Limits(visitors=1)), Storage(tmp_path, LIMITS)
    handlers = Handlers(FakeEnhancer(), queue, storage, LIMITS)
    photo = write_gradient(tmp_path / "a.jpg", 20, 30)

    async def visit() -> Path:
        CALLER.set(Caller(ANNA, lambda: True))
        with storage.receiving(ANNA, 1) as folder:
            handle = storage.put(ANNA, [(photo.rename(folder / "a.jpg"), "a.jpg")])[0]
        progress = [step async for step in handlers.enhance(None, [handle], 100)][-1]
        with queue.place("bert"):
            with pytest.raises(Refused, match="busy"):
                await handlers.render_shown(progress.session, 50)
            with pytest.raises(Refused, match="busy"):
                await anext(handlers.render_all(progress.session, 50))
        return await handlers.render_shown(progress.session, 50)

    assert asyncio.run(visit()).exists()


def test_opening_the_page_does_not_copy_the_model():
    class Model(FakeEnhancer):
        copies = 0

        def __deepcopy__(self, memo):
            self.copies += 1
            return self

    model = Model()
    with inside(model) as (server, _):

        async def visit() -> list[httpx.Response]:
            async with server.client() as client:
                return [await client.get(page) for page in ("/", "/config")]

        pages = server.run(visit())
    assert [page.status_code for page in pages] == [200, 200]
    assert not any(" object at 0x" in page.text or "<function" in page.text for page in pages)
    assert model.copies == 0


# Logins and secrets


def test_an_address_that_a_visitor_made_up_does_not_get_around_the_login():
    with serving(FakeEnhancer(), credentials=Credentials("anna", "s3cret")) as address:
        statuses = [
            httpx.post(
                urllib.parse.urljoin(address, "login"),
                data={"username": "anna", "password": "wrong"},
                headers={"X-Forwarded-For": f"10.0.0.{number}"},
            ).status_code
            for number in range(6)
        ]
    assert statuses == [401] * 5 + [429]


def test_a_login_with_a_file_in_it_is_refused():
    with inside(credentials=Credentials("anna", "s3cret")) as (server, _):

        async def enter() -> int:
            async with server.client() as client:
                data = {"username": "anna", "password": "s3cret"}
                files = {"password": ("a.txt", b"s3cret")}
                return (await client.post("/login", data=data, files=files)).status_code

        assert server.run(enter()) == 400


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("multipart/form-data; boundary=b; charset=punycode", b"--b--", 400),
        ("application/x-www-form-urlencoded", b"username=" + b"a" * 5000, 413),
        ("application/x-www-form-urlencoded; charset=punycode", b"username=a&password=b", 401),
        ("application/x-www-form-urlencoded", "username=\xe4".encode(), 400),
        ("application/x-www-form-urlencoded", b"&" * 99, 400),
    ],
)
def test_a_login_reads_a_short_plain_form_and_nothing_else(kind, body, status):
    with inside(credentials=Credentials("anna", "s3cret")) as (server, _):

        async def enter() -> int:
            async with server.client() as client:
                headers = {"Content-Type": kind}
                return (await client.post("/login", content=body, headers=headers)).status_code

        assert server.run(enter()) == status


def test_decoders_are_told_no_passwords(tmp_path, monkeypatch):
    monkeypatch.setenv("ENHANCER_DEMO_PASSWORD", "s3cret")
    tell = "import json, os; print(json.dumps({'problem': json.dumps(dict(os.environ))}))"
    monkeypatch.setattr(isolated_decoding, "_DECODER", tell)
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    with pytest.raises(PhotoError) as told:
        isolated_decoding.read_upload(tmp_path / "a.tif", LIMITS)
    environment = json.loads(str(told.value))
    assert "PATH" in environment
    assert "s3cret" not in environment.values()


def test_moving_the_slider_fills_no_disk(tmp_path):
    source = tmp_path / "photo.jpg"
    write_photo(source, np.indices((40, 60))[1][..., None].repeat(3, 2).astype(np.uint8))
    made = enhance_photo(FakeEnhancer(), source, tmp_path / "photo", LIMITS, 100, lambda size: None)
    for percent in range(1, 30):
        assert all(path.exists() for path in compare(made, percent, lambda size: None))
    assert len(list((tmp_path / "photo").glob("after-*.jpg"))) <= 3
