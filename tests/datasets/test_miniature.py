"""The miniature sets are real files in the real layouts, and the same on every run."""

import json

import numpy as np
import pytest
import rawpy
import tifffile

from datasets import __main__ as command
from datasets import miniature
from datasets.fivek.layouts import find_fivek_pairs
from datasets.miniature import camera, files
from datasets.miniature.landscapes import render_landscape
from datasets.miniature.rooms import render_room
from datasets.sources.lists import find_listed_pairs
from enhancer.photo.io import read_photo
from enhancer.system.errors import EnhancerError

SIZE = 96


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    out = tmp_path_factory.mktemp("miniature")
    write(out)
    return out


def write(folder):
    split = {"train": 2, "val": 1, "test": 1}
    miniature.write(folder, long_edge=SIZE, fivek_pairs=3, real_estate_pairs=split)


def psnr_db(first, second):
    return 10 * np.log10(255**2 / ((first.astype(float) - second) ** 2).mean())


def test_both_sets_are_found_in_their_layouts(sets):
    ids = [pair.id for pair in find_fivek_pairs(sets / "fivek", "c")]
    assert ids == [f"a000{number}-miniature_000{number}" for number in (1, 2, 3)]
    splits = [pair.split for pair in find_listed_pairs(sets / "real_estate")]
    assert splits == ["train", "train", "validation", "test"]
    assert json.loads((sets / "real_estate/val.jsonl").read_text()).keys() == {"src", "tar"}


def test_the_same_call_writes_the_same_bytes(sets, tmp_path):
    write(tmp_path)
    written = {
        path.relative_to(sets): path.read_bytes() for path in sets.rglob("*.*") if path.is_file()
    }
    assert len(written) == 18
    for path, content in written.items():
        assert (tmp_path / path).read_bytes() == content, path


def test_dng_and_tiff_of_a_pair_show_the_same_frame(sets):
    for pair in find_fivek_pairs(sets / "fivek", "c"):
        before, after = read_photo(pair.input).pixels, read_photo(pair.target).pixels
        assert before.shape == after.shape
        grey_before, grey_after = before.mean(axis=-1).ravel(), after.mean(axis=-1).ravel()
        assert np.corrcoef(grey_before, grey_after)[0, 1] > 0.9


def test_portraits_are_stored_as_cameras_do_it(sets):
    path = sets / "fivek/img/dng/a0003-miniature_0003.dng"
    with rawpy.imread(str(path)) as raw:
        assert raw.sizes.flip == 6
        assert raw.raw_type is rawpy.RawType.Flat
    assert read_photo(path).pixels.shape == (96, 64, 3)


def test_the_developed_raw_is_the_scene(sets):
    for number in (1, 2, 3):
        path = sets / f"fivek/img/dng/a000{number}-miniature_000{number}.dng"
        developed = read_photo(path).pixels
        scene = camera.to_uint8(camera.encode_srgb(miniature.fivek_scene(number, SIZE)))
        assert psnr_db(developed, scene) > 30


def test_a_smooth_scene_survives_the_raw_file_exactly(tmp_path):
    row, column = np.mgrid[0:100, 0:150] / 150
    channels = (0.1 + 0.5 * column, 0.2 + 0.4 * row, 0.5 - 0.4 * column)
    scene = np.stack(channels, axis=-1).astype(np.float32)
    files.write_dng(tmp_path / "smooth.dng", files.mosaic_of(scene))
    expected = camera.to_uint8(camera.encode_srgb(scene))
    developed = read_photo(tmp_path / "smooth.dng").pixels
    assert np.abs(developed[4:-4, 4:-4].astype(int) - expected[4:-4, 4:-4]).max() <= 2


def test_the_tiff_is_16_bit_prophoto_and_gives_the_srgb_it_was_made_from(tmp_path):
    display = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
    files.write_prophoto_tiff(tmp_path / "photo.tif", camera.decode_srgb(display))
    with tifffile.TiffFile(tmp_path / "photo.tif") as tiff:
        assert tiff.pages.first.dtype == np.uint16
        assert 34675 in tiff.pages.first.tags
    read = read_photo(tmp_path / "photo.tif").pixels.astype(int)
    assert np.abs(read - camera.to_uint8(display)).max() <= 1


def test_interiors_become_brighter_in_the_shadows_and_darker_in_the_window():
    before, after = miniature.real_estate_pair(1, SIZE)
    shadows, highlights = before.mean(axis=-1) < 60, before.mean(axis=-1) > 240
    assert after[shadows].mean() > before[shadows].mean() + 40
    assert after[highlights].mean() < before[highlights].mean()


def test_scenes_look_the_same_at_every_resolution():
    for render in (render_room, render_landscape):
        small, large = render(5, 40, 60), render(5, 80, 120)
        shrunk = large.reshape(40, 2, 60, 2, 3).mean(axis=(1, 3))
        assert np.corrcoef(small.ravel(), shrunk.ravel())[0, 1] > 0.9


def test_photos_too_small_to_prepare_are_not_written(tmp_path):
    with pytest.raises(EnhancerError, match="at least 96"):
        miniature.write(tmp_path, long_edge=80)


def test_the_command_fails_with_a_sentence(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"Not a directory\. Check the path, its permissions"):
        command.main(["miniature", str(tmp_path / "file")])
    with pytest.raises(SystemExit):
        command.main(["miniature", str(tmp_path / "out"), "--experts", "z"])
    assert "error: experts are letters of abcde; received z" in capsys.readouterr().err
