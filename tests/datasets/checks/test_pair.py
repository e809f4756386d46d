"""One pair is decoded, checked and shrunk, or refused with the value that decided."""

import base64
import itertools
import re

import cv2
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from datasets.checks.pair import prepare_pair
from datasets.miniature import fivek_scene
from datasets.miniature.camera import decode_srgb, retouch
from datasets.miniature.files import mosaic_of, prophoto_profile, write_dng, write_prophoto_tiff
from datasets.types import PairRejected
from enhancer.photo.io import read_photo, write_photo
from tests.helpers.pair_folders import soft_photo as photo


def write_pair(folder, before, after=None):
    Image.fromarray(before).save(folder / "src.png")
    Image.fromarray(before // 2 + 90 if after is None else after).save(folder / "tar.png")
    return folder / "src.png", folder / "tar.png"


def test_a_large_pair_is_shrunk_and_a_small_one_kept(tmp_path):
    paths = write_pair(tmp_path, photo())
    assert prepare_pair(*paths, long_edge=90).target.shape == (68, 90, 3)
    assert prepare_pair(*paths, long_edge=4000).input.shape == (72, 96, 3)


def test_orientation_is_applied_before_sizes_are_compared(tmp_path):
    paths = write_pair(tmp_path, photo())
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = np.rot90(photo())
    Image.fromarray(np.ascontiguousarray(stored)).save(paths[0], exif=exif)
    pair = prepare_pair(*paths, None)
    np.testing.assert_array_equal(pair.input, photo())


@pytest.mark.parametrize(
    ("before", "after", "kind", "measured"),
    [
        (photo(), photo(), "target equals input", 0.0),
        (photo(), photo(1, 72, 95), "sizes differ", [96, 72, 95, 72]),
        (photo(0, 60, 96), photo(1, 60, 96), "too small", 60),
    ],
)
def test_pairs_that_cannot_be_learned_from(tmp_path, before, after, kind, measured):
    paths = write_pair(tmp_path, before, after)
    with pytest.raises(PairRejected) as caught:
        prepare_pair(*paths, None)
    assert (caught.value.kind, caught.value.measured) == (kind, measured)


def test_a_pair_that_becomes_too_small_is_refused(tmp_path):
    paths = write_pair(tmp_path, photo(0, 70, 6000))
    with pytest.raises(PairRejected, match="512x6 at a long edge of 512") as caught:
        prepare_pair(*paths, 512)
    assert (caught.value.kind, caught.value.measured) == ("too small", 6)


def test_a_pair_published_with_a_wrong_target_is_refused(shared_data):
    folder = shared_data / "fivek_defects"
    with pytest.raises(PairRejected, match="equals the input"):
        prepare_pair(folder / "input/a4774.png", folder / "output_expert_C/a4774.png", None)
    with pytest.raises(PairRejected, match="the input is 336x509, the target 335x508"):
        prepare_pair(folder / "input/a4869.png", folder / "output_expert_C/a4869.png", None)


def test_real_pairs_are_only_shrunk(shared_data):
    paths = sorted((shared_data / "fivek/input").iterdir())[:4]
    assert len(paths) == 4
    for path in paths:
        target = shared_data / "fivek/output_expert_C" / path.name
        pair = prepare_pair(path, target, 256)
        assert max(pair.input.shape) == 256
        for stored, file in ((pair.input, path), (pair.target, target)):
            whole = read_photo(file).pixels
            small = cv2.resize(whole, stored.shape[1::-1], interpolation=cv2.INTER_AREA)
            np.testing.assert_array_equal(stored, small)


def test_16_bit_prophoto_and_orientation_are_on_this_path(tmp_path):
    before = photo(0, 144, 192) // 2 + 60
    Image.fromarray(before).save(tmp_path / "src.png")
    linear = ((before[::-1, ::-1] / 255.0) ** 2.2 * 1.4).astype(np.float32)
    write_prophoto_tiff(tmp_path / "upright.tif", linear)
    with tifffile.TiffFile(tmp_path / "upright.tif") as tiff:
        values = tiff.pages.first.asarray()
    options = {"photometric": "rgb", "iccprofile": prophoto_profile(), "metadata": None}
    tifffile.imwrite(tmp_path / "tar.tif", values, extratags=[(274, "H", 1, 3, True)], **options)
    pair = prepare_pair(tmp_path / "src.png", tmp_path / "tar.tif", None)
    expected = np.clip((before / 255.0) ** 2.2 * 1.4, 0, 1) ** (1 / 2.2) * 255
    assert np.abs(pair.target - expected).mean() < 6  # read as sRGB, the values would be 30 lower


def test_a_raw_file_is_brought_to_the_framing_of_its_export(tmp_path):
    scene = fivek_scene(2, 320)
    write_dng(tmp_path / "a.dng", mosaic_of(scene))
    write_prophoto_tiff(tmp_path / "a.tif", np.clip(scene * 1.3, 0, 1)[4:-6, 8:-2])
    pair = prepare_pair(tmp_path / "a.dng", tmp_path / "a.tif", None)
    height, width = scene.shape[:2]
    assert pair.input.shape == pair.target.shape == (height - 10, width - 10, 3)
    assert pair.measurements["changes"] == [f"cut to the common {width - 10}x{height - 10}"]
    assert pair.measurements["shift_px"] < 0.25


@pytest.mark.parametrize("number", [1, 4, 6])
def test_a_raw_file_in_the_framing_of_its_export_is_left_as_it_is(tmp_path, number):
    scene = fivek_scene(number, 224)
    write_dng(tmp_path / "a.dng", mosaic_of(scene))
    write_prophoto_tiff(tmp_path / "a.tif", decode_srgb(retouch(scene)))
    pair = prepare_pair(tmp_path / "a.dng", tmp_path / "a.tif", None)
    assert "changes" not in pair.measurements
    np.testing.assert_array_equal(pair.input, read_photo(tmp_path / "a.dng").pixels)


def test_a_raw_file_that_was_held_otherwise_than_its_export_is_turned(tmp_path):
    scene = fivek_scene(2, 320)
    write_dng(tmp_path / "a.dng", mosaic_of(scene), orientation=6)
    write_prophoto_tiff(tmp_path / "a.tif", np.clip(scene * 1.3, 0, 1))
    pair = prepare_pair(tmp_path / "a.dng", tmp_path / "a.tif", None)
    assert pair.input.shape == scene.shape
    assert pair.measurements["changes"] == ["input turned by 90° anticlockwise"]


def test_a_refusal_carries_thumbnails_of_what_could_be_decoded(tmp_path):
    paths = write_pair(tmp_path, photo())
    paths[1].write_bytes(b"no photo")
    with pytest.raises(PairRejected) as caught:
        prepare_pair(*paths, None)
    assert list(caught.value.thumbnails) == ["input"]
    assert base64.b64decode(caught.value.thumbnails["input"]).startswith(b"\xff\xd8")


def test_a_pair_of_a_camera_file_and_its_edit_is_accepted(shared_data, tmp_path):
    paths = sorted((shared_data / "raw/ok").iterdir(), key=lambda path: path.stat().st_size)[:3]
    assert len(paths) == 3
    for path in paths:
        edited = read_photo(path).pixels[3:-5, 7:-2].astype(float) * 1.3 + 5
        edited = np.clip(edited, 0, 255).astype(np.uint8)
        write_photo(tmp_path / "target.jpg", edited)
        pair = prepare_pair(path, tmp_path / "target.jpg", None)
        assert pair.target.shape == edited.shape
        assert pair.measurements["shift_px"] < 0.25


def test_camera_files_that_are_broken_or_develop_to_junk_are_refused_in_a_sentence(shared_data):
    target = shared_data / "real_estate/images/123_tar.jpg"
    raw = shared_data / "raw"
    folders = [sorted((raw / name).iterdir()) for name in ("broken", "decodes_to_junk")]
    assert all(folders)
    for path in itertools.chain(*folders):
        sentence = rf"^{re.escape(path.name)} (is|holds) .*\. .*\.$"
        with pytest.raises(PairRejected, match=sentence) as caught:
            prepare_pair(path, target, None)
        assert caught.value.kind == "unreadable photo"


def test_a_picture_of_values_that_are_no_numbers_is_refused(tmp_path):
    paths = write_pair(tmp_path, photo())
    values = photo().astype(np.float32) / 255
    values[5:9] = np.nan
    tifffile.imwrite(tmp_path / "tar.tif", values, photometric="rgb")
    sentence = r"^tar\.tif is an HDR photo \(floating-point values of 32 bits\), .*\.$"
    with pytest.raises(PairRejected, match=sentence) as caught:
        prepare_pair(paths[0], tmp_path / "tar.tif", None)
    assert caught.value.kind == "unreadable photo"


def test_what_the_decoder_remarked_is_kept_with_the_pair(tmp_path):
    paths = write_pair(tmp_path, photo())
    tifffile.imwrite(
        tmp_path / "tar.tif", (photo() // 2 + 90).astype(np.uint16) * 257, photometric="rgb"
    )
    remarks = prepare_pair(paths[0], tmp_path / "tar.tif", None).measurements["remarks"]
    assert remarks == ["target: 16 bits without a colour profile, treated as sRGB"]


@pytest.mark.parametrize("quality", [60, 90])
def test_a_copy_that_was_compressed_anew_is_no_edit(tmp_path, quality):
    noise = np.random.default_rng(0).normal(0, 6, (288, 384, 3))
    before = (photo(0, 288, 384) // 3 + 80 + noise).astype(np.uint8)
    Image.fromarray(before).save(tmp_path / "src.png")
    Image.fromarray(before).save(tmp_path / "tar.jpg", quality=quality)
    with pytest.raises(PairRejected, match="the target equals the input"):
        prepare_pair(tmp_path / "src.png", tmp_path / "tar.jpg", None)
