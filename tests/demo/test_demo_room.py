"""The room on the disk: what is made of a photo is counted by its pixels, before it is written."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import tifffile

from demo.handlers import CALLER, Caller, Handlers
from demo.photos.enhanced_photo import enhance_photo, most_bytes, render_result
from demo.photos.limits import Limits
from demo.photos.photo_queue import PhotoQueue
from demo.photos.storage import NoRoom, Storage
from demo.photos.visitor import Visitor
from enhancer.photo.io import Photo, write_photo
from tests.helpers.demo_page import FakeEnhancer, write_gradient

ANNA = Visitor("anna", "127.0.0.1")


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
    return Handlers(FakeEnhancer(), PhotoQueue(), storage, Limits(disk_megabytes=10))


def put(storage: Storage, file: Path) -> str:
    with storage.receiving(ANNA, file.stat().st_size) as folder:
        return storage.put(ANNA, [(file.rename(folder / file.name), file.name)])[0]


def test_a_nearly_flat_photo_whose_result_would_fill_the_disk_is_refused(
    handlers, storage, tmp_path
):
    handle = put(storage, nearly_flat_tiff(tmp_path / "flat.tif", 1000))  # half of 10 MB is Anna's
    with pytest.raises(NoRoom, match="space for photos is full"):
        asyncio.run(handlers.enhance_file(handle))
    assert bytes_in(storage.folder) == 0


def test_in_a_batch_it_stops_no_other(handlers, storage, tmp_path):
    files = [
        nearly_flat_tiff(tmp_path / "flat.tif", 1000),
        write_gradient(tmp_path / "a.jpg", 9, 9),
    ]
    handles = [put(storage, file) for file in files]

    async def visit() -> list[str]:
        async for step in handlers.enhance(None, handles, 100):
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
    made = enhance_photo(FakeEnhancer(), source, tmp_path / "1", Limits(), 100, asked.append)
    result = render_result(made, 100, Limits(), asked.append)
    assert result.stat().st_size <= most_bytes(made, Photo(noise, None, None, ()))
    assert bytes_in(made.folder) <= sum(asked)
