"""`python -m enhancer`: what it makes of files and folders, and what it tells."""

import re

import numpy as np
import pytest
from PIL import Image

from enhancer.inference.result_names import plan_jobs
from enhancer.photo.io import read_photo, write_photo
from enhancer.photo.metadata import Metadata
from tests.helpers.command import files, run, write


def test_a_photo_is_enhanced_into_the_output_folder(enhancer, tmp_path, capsys):
    write(tmp_path / "a.jpg")
    assert run(tmp_path / "a.jpg", "--output", tmp_path / "out") == 0
    assert read_photo(tmp_path / "out" / "a.jpg").pixels.mean() == pytest.approx(215, abs=2)
    assert re.search(r"done +1 +0.0 MP, [0-9.]+ MP/s", capsys.readouterr().out)


def test_results_keep_the_kind_of_lossless_photos(enhancer, tmp_path):
    write(*(tmp_path / "in" / name for name in ("a.jpg", "b.png", "c.tif", "d.jpeg")))
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["a.jpg", "b.png", "c.tif", "d.jpg"]


def test_a_folder_is_searched_with_its_subfolders_and_other_files_are_left_alone(
    enhancer, tmp_path
):
    write(tmp_path / "in" / "a.jpg", tmp_path / "in" / "kitchen" / "a.jpg")
    (tmp_path / "in" / "notes.txt").write_text("call back")
    (tmp_path / "in" / ".a.jpg").write_bytes(b"a file manager's")
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["a.jpg", "kitchen/a.jpg"]


def test_several_folders_keep_their_names(enhancer, tmp_path):
    write(tmp_path / "one" / "a.jpg", tmp_path / "two" / "a.jpg")
    assert run(tmp_path / "one", tmp_path / "two", "--output", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["one/a.jpg", "two/a.jpg"]


def test_photos_of_one_name_get_results_of_their_own(enhancer, tmp_path):
    write(*(tmp_path / "in" / name for name in ("a.jpg", "a.webp", "A.jpeg")), tmp_path / "a.jpg")
    assert run(tmp_path / "in", tmp_path / "a.jpg", "--output", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["A_jpeg.jpg", "a_jpg.jpg", "a_jpg_2.jpg", "a_webp.jpg"]


def test_a_made_up_name_does_not_take_anothers(tmp_path):
    write(tmp_path / "a.jpg", tmp_path / "a.webp", tmp_path / "a_jpg.jpg")
    destinations = [job.destination.name for job in plan_jobs([tmp_path], tmp_path / "out").jobs]
    assert sorted(destinations) == ["a_jpg.jpg", "a_jpg_2.jpg", "a_webp.jpg"]


def test_a_photo_named_twice_is_done_once(enhancer, tmp_path):
    write(tmp_path / "in" / "a.jpg")
    assert run(tmp_path / "in", tmp_path / "in" / "a.jpg", "--output", tmp_path / "out") == 0
    assert enhancer.count == 1


def test_existing_results_are_skipped(enhancer, tmp_path, capsys):
    write(tmp_path / "in" / "a.jpg", tmp_path / "in" / "b.jpg", tmp_path / "out" / "a.jpg")
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 0
    assert enhancer.count == 1
    assert re.search("skipped +1 +the result exists", capsys.readouterr().out)


def test_existing_results_are_made_again_on_request(enhancer, tmp_path):
    write(tmp_path / "in" / "a.jpg", tmp_path / "out" / "a.jpg")
    assert run(tmp_path / "in", "--output", tmp_path / "out", "--overwrite") == 0
    assert read_photo(tmp_path / "out" / "a.jpg").pixels.mean() == pytest.approx(215, abs=2)


def test_nothing_left_to_do_needs_no_model(tmp_path):
    write(tmp_path / "in" / "a.jpg", tmp_path / "out" / "a.jpg")
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 0


def test_results_inside_the_input_folder_are_no_new_photos(enhancer, tmp_path):
    write(tmp_path / "a.jpg")
    assert run(tmp_path, "--output", tmp_path / "out") == 0
    assert run(tmp_path, "--output", tmp_path / "out") == 0
    assert files(tmp_path) == ["a.jpg", "out/a.jpg"]


def test_batches_give_each_photo_its_own_result(enhancer, tmp_path):
    enhancer.batch_size = 2
    write(*(tmp_path / f"{name}.png" for name in "abcde"))
    (tmp_path / "bb.png").write_text("no photo")
    assert run(tmp_path, "--output", tmp_path / "out") == 1
    means = [read_photo(tmp_path / "out" / f"{name}.png").pixels.mean() for name in "abcde"]
    assert means == [215, 214, 213, 212, 211]


def test_strength_blends_the_edit(enhancer, tmp_path):
    write(tmp_path / "a.png")  # of value 40
    assert run(tmp_path, "--output", tmp_path / "out", "--strength", "0.25") == 0
    assert read_photo(tmp_path / "out" / "a.png").pixels.mean() == pytest.approx(
        40 + (215 - 40) / 4, abs=1
    )


@pytest.mark.parametrize(("name", "suffix"), [("jpeg", "jpg"), ("png", "png"), ("tiff", "tif")])
def test_the_format_of_results_can_be_chosen(enhancer, tmp_path, name, suffix):
    write(tmp_path / "in" / "a.jpg", tmp_path / "in" / "b.png")
    assert run(tmp_path / "in", "--output", tmp_path / "out", "--format", name) == 0
    assert files(tmp_path / "out") == [f"a.{suffix}", f"b.{suffix}"]


def test_sixteen_bits_go_through(enhancer, tmp_path):
    pixels = np.arange(20 * 30 * 3, dtype=np.uint16).reshape(20, 30, 3) * 36
    write_photo(tmp_path / "a.tif", pixels)
    assert run(tmp_path, "--output", tmp_path / "out") == 0
    result = read_photo(tmp_path / "out" / "a.tif", keep_depth=True).pixels
    assert result.dtype == np.uint16
    np.testing.assert_allclose(result.astype(int), 65535 - pixels.astype(int), atol=1)


@pytest.mark.parametrize(
    ("policy", "caption", "gps"),
    [("keep", True, True), ("no-gps", True, False), ("none", False, False)],
)
def test_metadata_is_kept_as_far_as_wished(enhancer, tmp_path, policy, caption, gps):
    exif = Image.Exif()
    exif[0x010E] = "Kitchen"
    exif.get_ifd(0x8825)[1] = "N"
    write_photo(
        tmp_path / "a.jpg",
        np.full((20, 30, 3), 90, np.uint8),
        metadata=Metadata(exif.tobytes()[6:]),
    )
    assert run(tmp_path, "--output", tmp_path / "out", "--metadata", policy) == 0
    with Image.open(tmp_path / "out" / "a.jpg") as image:
        kept = image.getexif()
        assert (kept.get(0x010E) == "Kitchen", bool(kept.get_ifd(0x8825))) == (caption, gps)


def test_before_and_after_lie_side_by_side_on_request(enhancer, tmp_path):
    write(tmp_path / "in" / "hall" / "a.jpg", tmp_path / "in" / "hall" / "a.png")
    assert run(tmp_path / "in", "--output", tmp_path / "out", "--compare") == 0
    made = ["before_after/hall/a.jpg", "before_after/hall/a.png.jpg"]
    assert files(tmp_path / "out") == [*made, "hall/a.jpg", "hall/a.png"]
    comparison = read_photo(tmp_path / "out" / made[0]).pixels
    assert comparison.shape == (20, 30 + 8 + 30, 3)
    halves = [comparison[:, :30].mean(), comparison[:, -30:].mean()]
    assert halves == pytest.approx([40, 215], abs=2)


def test_what_happened_to_a_photo_is_noted(enhancer, tmp_path, capsys):
    Image.new("RGBA", (30, 20), (9, 9, 9, 0)).save(tmp_path / "a.png")
    assert run(tmp_path, "--output", tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert f"{tmp_path / 'a.png'}: transparent parts shown on white" in printed.err
    assert re.search("with a note +1", printed.out)


def test_the_longest_names_are_no_trouble(enhancer, tmp_path):
    name = "ä" * 125 + ".jpg"  # 254 bytes
    write(tmp_path / "a.jpg")
    (tmp_path / "in").mkdir()
    (tmp_path / "a.jpg").rename(tmp_path / "in" / name)
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 0
    assert files(tmp_path / "out") == [name]
