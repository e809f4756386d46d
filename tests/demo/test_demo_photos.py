"""From a file to its results: decoding, one photo, many photos."""

import json
import struct
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from demo.photos import isolated_decoding
from demo.photos.archive import write_archive
from demo.photos.darkroom import Darkroom
from demo.photos.isolated_decoding import read_upload
from demo.photos.limits import Limits
from demo.photos.photo_queue import PhotoQueue
from demo.photos.session import EnhancedPhoto, Entry, Session
from demo.photos.taste import Taste
from enhancer.inference.full_size import NEUTRAL
from enhancer.photo.io import Photo, PhotoError, read_photo, write_photo
from tests.helpers.demo_page import FakeEnhancer, run_batch, write_gradient

LIMITS = Limits(photos_per_batch=2)
DARKROOM = Darkroom(FakeEnhancer(), LIMITS)


def there_is_room(size: int) -> None:
    pass


def test_a_16_bit_tiff_comes_back_from_its_process_as_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (30, 40, 3), dtype=np.uint16)
    write_photo(tmp_path / "deep.tif", pixels)
    np.testing.assert_array_equal(read_upload(tmp_path / "deep.tif", Limits()).pixels, pixels)


def test_a_bad_file_gets_the_same_sentence_from_the_process(tmp_path):
    (tmp_path / "broken.tif").write_bytes(b"II*\0" + bytes(range(200)))
    with pytest.raises(PhotoError) as direct:
        read_photo(tmp_path / "broken.tif", keep_depth=True)
    with pytest.raises(PhotoError) as isolated:
        read_upload(tmp_path / "broken.tif", Limits())
    assert str(isolated.value) == str(direct.value)


def test_a_decoder_that_needs_too_much_memory_is_told_in_words(tmp_path):
    write_photo(tmp_path / "big.tif", np.zeros((6000, 9000, 3), np.uint8))
    with pytest.raises(PhotoError, match=r"big\.tif .*memory"):
        read_upload(tmp_path / "big.tif", Limits(decoder_megabytes=450))


def test_a_decoder_that_takes_too_long_is_stopped(tmp_path):
    write_photo(tmp_path / "slow.tif", np.zeros((8, 8, 3), np.uint8))
    limits = Limits()
    object.__setattr__(
        limits, "decoder_seconds", 0
    )  # less than one may choose: no decoder is so fast
    started = time.monotonic()
    with pytest.raises(PhotoError, match=r"slow\.tif was not decoded within 0 seconds"):
        read_upload(tmp_path / "slow.tif", limits)
    assert time.monotonic() - started < 10


def test_a_decoder_that_dies_is_told_in_words(tmp_path, monkeypatch):
    write_photo(tmp_path / "deadly.tif", np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr(
        isolated_decoding, "_DECODER", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    )
    with pytest.raises(
        PhotoError, match=r"deadly\.tif could not be decoded: its decoder was stopped"
    ):
        read_upload(tmp_path / "deadly.tif", Limits())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("huge.jpg", "has 2100 × 1000 pixels, and this server takes at most 1 megapixels"),
        ("huge.tif", r"claims 2 megapixels \(2100 x 1000\); the limit is 1 megapixels"),
    ],
)
def test_a_photo_above_the_pixel_limit_is_refused_with_its_size(tmp_path, name, told):
    write_photo(tmp_path / name, np.zeros((1000, 2100, 3), np.uint8))
    with pytest.raises(PhotoError, match=rf"{name} {told}"):
        read_upload(tmp_path / name, Limits(megapixels=1))


def test_a_bomb_is_told_this_servers_limit(tmp_path):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    crc = struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + crc)
    with pytest.raises(PhotoError, match="the limit is 100 megapixels"):
        read_upload(tmp_path / "bomb.png", Limits())


def made_of(source: Path, darkroom: Darkroom = DARKROOM) -> EnhancedPhoto:
    return darkroom.enhance(source, source.with_suffix(""), Taste(), there_is_room)


def result(made: EnhancedPhoto, taste: Taste = Taste()) -> Photo:  # noqa: B008
    return read_photo(DARKROOM.render(made, taste, there_is_room), keep_depth=True)


def test_the_result_has_the_photos_size_depth_and_exif(tmp_path):
    made = made_of(write_gradient(tmp_path / "a.jpg", 30, 40))
    assert (made.width, made.height, made.result_name) == (40, 30, "a_enhanced.jpg")
    assert b"Kitchen" in result(made).metadata.exif
    deep = np.random.default_rng(0).integers(0, 65536, (30, 40, 3), dtype=np.uint16)
    write_photo(tmp_path / "deep.png", deep)
    inverted = result(made_of(tmp_path / "deep.png")).pixels
    np.testing.assert_allclose(inverted.astype(int), 65535 - deep.astype(int), atol=1)


def test_another_strength_needs_no_network_and_zero_is_the_photo_itself(tmp_path):
    enhancer = FakeEnhancer()
    photo = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    write_photo(tmp_path / "a.png", photo)
    made = made_of(tmp_path / "a.png", Darkroom(enhancer, LIMITS))
    for percent in (0, 50):
        wanted = photo + percent / 100 * (255.0 - 2.0 * photo)
        np.testing.assert_allclose(result(made, Taste(percent)).pixels, wanted, atol=0.51)
    previews = DARKROOM.compare(made, Taste(0), there_is_room)
    before, after = (read_photo(path).pixels.astype(int) for path in previews)
    assert np.abs(before - after).mean() < 3  # both are JPEG previews
    assert enhancer.calls == 1


def test_only_the_last_strength_is_kept_on_the_disk(tmp_path):
    made = made_of(write_gradient(tmp_path / "a.jpg", 30, 40))
    result(made, Taste(40))
    assert [path.parent.name for path in made.folder.rglob("*_enhanced.jpg")] == ["at-40-0-0"]


def test_one_bad_file_does_not_stop_the_others(tmp_path):
    (tmp_path / "bad.jpg").write_text("no photo")
    paths = [
        write_gradient(tmp_path / "a.jpg", 20, 30),
        tmp_path / "bad.jpg",
        write_gradient(tmp_path / "c.jpg", 20, 30),
    ]
    entries = [Entry(path.name, number, source=path) for number, path in enumerate(paths)]
    steps = run_batch(PhotoQueue(), entries, tmp_path / "visit")
    assert [entry.state for entry in entries] == ["done", "failed", "done"]
    assert "bad.jpg" in entries[1].text
    assert str(tmp_path) not in entries[1].text
    assert {text.split()[0] for number, state, text in steps if number == 0} >= {
        "Reading",
        "Enhancing",
        "Writing",
        "30",
    }


def test_an_unexpected_failure_is_logged_without_the_names_of_files(tmp_path, caplog):
    write_photo(tmp_path / "private_name.png", np.full((20, 30, 3), 128, np.uint8))
    entry = Entry("private_name.png", 0, source=tmp_path / "private_name.png")
    run_batch(PhotoQueue(), [entry], tmp_path / "visit")
    assert entry.text == "private_name.png could not be enhanced; the server's log says why."
    assert "RuntimeError" in caplog.text
    assert "find_edit" in caplog.text  # where it happened
    assert "private_name" not in caplog.text
    assert "secret detail" not in caplog.text


def test_results_of_one_name_are_told_apart_in_the_zip(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.jpg").write_text(folder)
    write_archive(tmp_path / "all.zip", [tmp_path / "a" / "x.jpg", tmp_path / "b" / "x.jpg"])
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "x.jpg": b"a",
            "x_2.jpg": b"b",
        }


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
    made = made_of(write_gradient(tmp_path / "photo.jpg", 40, 60))
    for percent in range(1, 30):
        previews = DARKROOM.compare(made, Taste(percent), there_is_room)
        assert all(path.exists() for path in previews)
    assert len(list(made.folder.glob("after-*.jpg"))) <= 3


class Retoucher(FakeEnhancer):
    """Changes nothing until the visitor does."""

    retouches = True

    def find_edit(self, photo):
        return NEUTRAL


def retouched(path: Path, photo: np.ndarray) -> EnhancedPhoto:
    write_photo(path, photo)
    return made_of(path, Darkroom(Retoucher(), LIMITS))


def test_brightness_and_warmth_move_the_photo_and_white_stays_white(tmp_path):
    photo = np.full((40, 60, 3), 120, np.uint8)
    photo[:, 30:] = 255
    made = retouched(tmp_path / "a.png", photo)
    as_it_is, brighter, warmer = (
        result(made, taste).pixels.astype(int)
        for taste in (Taste(), Taste(brightness=100), Taste(warmth=100))
    )
    grey = (slice(None), slice(0, 20))
    stops = 2.2 * np.log2(brighter[grey].mean() / as_it_is[grey].mean())
    assert 0.6 < stops < 1.6
    assert warmer[grey][..., 0].mean() > 1.15 * warmer[grey][..., 2].mean()
    for edited in (brighter, warmer):
        assert np.ptp(edited[:, 45:].mean(axis=(0, 1))) < 1
        assert edited[:, 45:].min() >= as_it_is[:, 45:].min() - 2
    np.testing.assert_array_equal(result(made, Taste(0, 100, 100)).pixels, photo)


def test_photos_of_one_home_match_once_all_are_there(tmp_path):
    rng = np.random.default_rng(0)
    wall = np.repeat(rng.uniform(80, 140, (48, 64, 1)), 3, axis=-1)
    session = Session("anna", tmp_path)
    for number, red in enumerate((1.0, 1.12, 0.9)):
        photo = np.rint(wall * (red, 1, 1 / red)).astype(np.uint8)
        made = retouched(tmp_path / f"{number}.png", photo)
        session.entries.append(Entry(f"/{number}", number, photo=made))
    ratios = []
    for taste in (Taste(), Taste(one_home=1)):
        DARKROOM.match(session, taste)
        means = [result(made, taste).pixels.mean((0, 1)) for made in session.photos.values()]
        ratios.append([mean[0] / mean[2] for mean in means])
    assert np.std(ratios[1]) < 0.5 * np.std(ratios[0])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/home.npz")}
    assert len(before) == 3
    DARKROOM.match(session, Taste(one_home=1))
    assert {path: path.stat().st_mtime_ns for path in before} == before
