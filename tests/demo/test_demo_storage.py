"""The storage: whose a file is, how long it stays, and how much room there is."""

import asyncio
import os
from pathlib import Path

import httpx
import numpy as np
import pytest
import tifffile

from demo.handlers import CALLER, Caller, Handlers
from demo.photos.darkroom import Darkroom, most_bytes
from demo.photos.limits import Limits
from demo.photos.photo_queue import PhotoQueue
from demo.photos.storage import NoRoom, NotFound, Storage
from demo.photos.taste import Taste
from demo.photos.visitor import Visitor
from enhancer.photo.io import Photo, write_photo
from enhancer.photo.metadata import Metadata
from tests.helpers.demo_page import (
    FakeEnhancer,
    as_file,
    call,
    inside,
    loaded,
    put_file,
    write_gradient,
)

ANNA, BERT = Visitor("anna", "127.0.0.1"), Visitor("bert", "127.0.0.1")


def put(storage: Storage, visitor: Visitor, megabytes: float = 0.001, name: str = "a.jpg") -> str:
    """Upload a file as the page does; return its handle."""
    size = int(megabytes * 1e6)
    with storage.receiving(visitor, size) as folder:
        (folder / name).write_bytes(bytes(size))
        return storage.put(visitor, [(folder / name, name)])[0]


def test_what_was_not_used_for_long_is_swept_and_what_is_in_use_is_not(tmp_path, monkeypatch):
    storage, clock = Storage(tmp_path, Limits(keep_minutes=1)), [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr("time.time", lambda: os.stat(tmp_path).st_mtime + clock[0] - 1000)
    old, taken, used = put(storage, ANNA), put(storage, ANNA), put(storage, ANNA)
    visit = storage.new_folder(ANNA)
    storage.take(ANNA, taken, visit / "photo-0" / "source")
    (tmp_path / "broken-upload").write_text("x")
    clock[0] += 50
    storage.find(ANNA, used)
    storage.sweep()
    storage.find(ANNA, old)
    clock[0] += 61
    storage.find(ANNA, used)
    with storage.using(visit):
        clock[0] += 59
        storage.sweep()
        kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {visit.name, used.split("/")[2]}
    clock[0] += 61
    storage.sweep()
    assert list(tmp_path.iterdir()) == []


def test_an_upload_is_used_once_and_by_its_owner_only(tmp_path):
    storage = Storage(tmp_path, Limits())
    handle = put(storage, ANNA)
    with pytest.raises(NotFound):
        storage.take(BERT, handle, tmp_path / "x")
    taken = storage.take(ANNA, handle, storage.new_folder(ANNA) / "photo-0" / "source")
    assert taken.name == "a.jpg"
    with pytest.raises(NotFound):
        storage.take(ANNA, handle, tmp_path / "x")
    with pytest.raises(NotFound):  # a result is no upload
        storage.take(ANNA, storage.handle(taken), tmp_path / "x")


def test_when_the_disk_is_full_the_longest_unused_results_go_first_and_uploads_are_refused(
    tmp_path,
):
    storage = Storage(tmp_path, Limits(disk_megabytes=10))
    results = []
    for visitor in (ANNA, BERT):
        results.append(storage.new_folder(visitor))
        with storage.using(results[-1]):
            (results[-1] / "result.jpg").write_bytes(bytes(3_000_000))
    put(storage, Visitor("carl", "127.0.0.1"), 4.5)
    assert [folder.exists() for folder in results] == [False, True]
    put(storage, Visitor("dora", "127.0.0.1"), 2)
    with pytest.raises(NoRoom, match="space for photos is full"), storage.using(results[1]):
        put(storage, Visitor("emil", "127.0.0.1"), 4)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.jpg")) <= 10_000_000


def test_one_visitor_fills_half_of_the_disk_and_keeps_so_many_uploads_waiting(tmp_path):
    storage = Storage(tmp_path, Limits(disk_megabytes=10, uploads_per_visitor=3))
    put(storage, ANNA, 4)
    with pytest.raises(NoRoom):
        put(storage, ANNA, 2)
    for visitor in (Visitor("a", "10.0.0.1"), Visitor("b", "10.0.0.1"), Visitor("c", "10.0.0.1")):
        put(storage, visitor)
    with pytest.raises(
        NoRoom, match="3 of your uploads wait already"
    ):  # another cookie helps nothing
        put(storage, Visitor("d", "10.0.0.1"))


def put_all(storage: Storage, names: str) -> list[str]:
    with storage.receiving(ANNA, len(names)) as folder:
        for name in names:
            (folder / name).write_text(name)
        return storage.put(ANNA, [(folder / name, name) for name in names])


def test_an_upload_beyond_the_limit_is_taken_as_a_whole_or_not_at_all(tmp_path):
    storage = Storage(tmp_path, Limits(uploads_per_visitor=2))
    with pytest.raises(NoRoom):
        put_all(storage, "abc")
    assert list(tmp_path.iterdir()) == []
    assert len(put_all(storage, "ab")) == 2  # the refused ones do not count


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


def nearly_flat_tiff(path: Path, side: int) -> Path:
    """Write a TIFF of a few kB whose result has six bytes for each pixel."""
    pixels = np.full((side, side, 3), 9000, np.uint16)
    pixels[0] = 0
    tifffile.imwrite(path, pixels, compression="zlib", photometric="rgb")
    return path


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def storage(tmp_path):
    (tmp_path / "files").mkdir()
    return Storage(tmp_path / "files", Limits(disk_megabytes=10))


@pytest.fixture
def handlers(storage):
    CALLER.set(Caller(ANNA, lambda: True))
    return Handlers(loaded(FakeEnhancer()), PhotoQueue(), storage, Limits(disk_megabytes=10))


def test_a_nearly_flat_photo_whose_result_would_fill_the_disk_is_refused(
    handlers, storage, tmp_path
):
    flat = nearly_flat_tiff(tmp_path / "flat.tif", 1000)
    handle = put_file(storage, ANNA, flat)  # half of 10 MB is Anna's
    with pytest.raises(NoRoom, match="space for photos is full"):
        asyncio.run(handlers.enhance_file(handle))
    assert bytes_in(storage.folder) == 0


def test_in_a_batch_it_stops_no_other(handlers, storage, tmp_path):
    files = [
        nearly_flat_tiff(tmp_path / "flat.tif", 1000),
        write_gradient(tmp_path / "a.jpg", 9, 9),
    ]
    handles = [put_file(storage, ANNA, file) for file in files]

    async def visit() -> list[str]:
        async for step in handlers.enhance(None, handles, Taste()):
            last = step
        return [entry.text for entry in last.session.entries]

    texts = asyncio.run(visit())
    assert texts[0] == "The server's space for photos is full. Try again in a few minutes."
    assert "9 × 9 pixels" in texts[1]
    assert bytes_in(storage.folder) < 100_000


def test_room_that_is_kept_for_one_is_not_given_to_another(storage):
    first = storage.new_folder(ANNA)
    with storage.using(first):
        storage.make_room(ANNA, first, 3_000_000)
        with pytest.raises(NoRoom):
            storage.make_room(ANNA, storage.new_folder(ANNA), 3_000_000)
    storage.make_room(ANNA, storage.new_folder(ANNA), 3_000_000)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("shape", [(9, 230), (300, 200)])
def test_no_result_is_larger_than_the_room_kept_for_it(tmp_path, suffix, shape):
    noise = np.random.default_rng(0).integers(0, 2, (*shape, 3), dtype=np.uint8) * 255
    source = tmp_path / f"noise{suffix}"
    write_photo(source, noise)
    asked: list[int] = []
    darkroom = Darkroom(FakeEnhancer(), Limits())
    made = darkroom.enhance(source, tmp_path / "1", Taste(), asked.append)
    result = darkroom.render(made, Taste(), asked.append)
    assert result.stat().st_size <= most_bytes(made.result_name, Photo(noise, Metadata(), ()))
    assert bytes_in(made.folder) <= sum(asked)


LIMITS = Limits(photos_per_batch=2)


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


def test_chunks_do_not_stand_in_for_the_length_of_an_upload(server):
    async def send() -> list[int]:
        async with server.client() as client:
            chunked = {"Content-Length": "10", "Transfer-Encoding": "chunked"}
            answers = [await upload(client, b"photo", headers=chunked)]
            answers.append(await client.post("/gradio_api/upload", headers={"Content-Length": "0"}))
            return [answer.status_code for answer in answers]

    assert server.run(send()) == [411, 411]


def test_too_many_names_in_one_batch_are_told_in_words(server):
    async def ask() -> str:
        async with server.client() as client:
            await client.get("/")
            functions = (await client.get("/config")).json()["dependencies"]
            number = next(f["id"] for f in functions if f["api_name"] == "enhance_1")
            names = [as_file(f"/photos/x/{i}.jpg") for i in range(4 * LIMITS.photos_per_batch + 1)]
            body = {
                "data": [None, names, 100, 0, 0, False],
                "fn_index": number,
                "session_hash": "many",
            }
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
