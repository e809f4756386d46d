"""`python -m enhancer`: what it makes of files and folders, and what it tells."""

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from enhancer import __main__ as cli
from enhancer.inference import enhancer as inference
from enhancer.inference.enhancer import Enhancer
from enhancer.inference.plan import plan_jobs
from enhancer.photo.io import encode_jpeg, read_photo, write_photo
from enhancer.system import compiler


class Inversion(keras.Model):
    """An edit that is seen at a glance: 255 minus the photo."""

    def call(self, x):
        return 1.0 - x


class CountingEnhancer(Enhancer):
    """A real one that counts photos and can be interrupted at one of them."""

    def __init__(self, batch_size: int = 1):
        model = Inversion()
        model.build((None, None, None, 3))
        super().__init__(model, 64, batch_size=batch_size)
        self.count = 0
        self.interrupt_at: int | None = None

    def enhance_many(self, photos, **settings):
        self.count += len(photos)
        if self.count == self.interrupt_at:
            raise KeyboardInterrupt
        return super().enhance_many(photos, **settings)


@pytest.fixture
def enhancer(monkeypatch) -> CountingEnhancer:
    counting = CountingEnhancer()
    monkeypatch.setattr(inference.Enhancer, "load", lambda workdir: counting)
    monkeypatch.setattr(compiler, "enable_cache", lambda: None)
    return counting


def write(*paths: Path) -> None:
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".jpg", ".png", ".tif"):
            write_photo(path, np.full((20, 30, 3), 40 + number, np.uint8))
        else:
            path.write_bytes(encode_jpeg(np.full((20, 30, 3), 40 + number, np.uint8)))


def run(*arguments: Path | str) -> int:
    return cli.main([*map(str, arguments), "--workdir", "unused"])


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_photo_is_enhanced_into_the_output_folder(enhancer, tmp_path, capsys):
    write(tmp_path / "a.jpg")
    assert run(tmp_path / "a.jpg", "--output", tmp_path / "out") == 0
    assert read_photo(tmp_path / "out" / "a.jpg").pixels.mean() == pytest.approx(215, abs=2)
    assert re.search(r"done +1 +0.0 MP, [0-9.]+ s per photo", capsys.readouterr().out)


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
    destinations = [job.destination.name for job in plan_jobs([tmp_path], tmp_path / "out")]
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


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_inputs_are_never_overwritten(enhancer, tmp_path, capsys, overwrite):
    write(tmp_path / "a.jpg")
    before = (tmp_path / "a.jpg").read_bytes()
    assert run(tmp_path, "--output", tmp_path, *overwrite) == 2
    assert (tmp_path / "a.jpg").read_bytes() == before
    assert "would overwrite the photo" in capsys.readouterr().err


def test_a_bad_file_is_named_and_the_others_are_done(enhancer, tmp_path, capsys):
    write(tmp_path / "in" / "a.jpg", tmp_path / "in" / "c.jpg")
    (tmp_path / "in" / "b.jpg").write_text("no photo")
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 1
    assert files(tmp_path / "out") == ["a.jpg", "c.jpg"]
    printed = capsys.readouterr()
    assert f"{tmp_path / 'in' / 'b.jpg'} is not a photo but a text file" in printed.err
    assert re.search("failed +1", printed.out)
    assert f"  {tmp_path / 'in' / 'b.jpg'} is" in printed.out


def test_a_second_run_tries_the_failed_ones_again(enhancer, tmp_path):
    write(tmp_path / "in" / "a.jpg")
    (tmp_path / "in" / "b.jpg").write_text("no photo")
    run(tmp_path / "in", "--output", tmp_path / "out")
    write(tmp_path / "in" / "b.jpg")
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 0
    assert enhancer.count == 2


def test_ctrl_c_leaves_whole_results_and_the_same_command_continues(enhancer, tmp_path, capsys):
    write(*(tmp_path / "in" / f"{name}.jpg" for name in "abc"))
    enhancer.interrupt_at = 2
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 130
    assert files(tmp_path / "out") == ["a.jpg"]
    printed = capsys.readouterr().out
    assert "run the same command to continue" in printed
    assert re.search("not begun +2", printed)
    enhancer.interrupt_at = None
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["a.jpg", "b.jpg", "c.jpg"]
    assert enhancer.count == 1 + 1 + 2  # the one that was interrupted counts twice


def test_an_unexpected_failure_stops_nobody_else(enhancer, tmp_path, capsys, monkeypatch):
    write(tmp_path / "a.jpg", tmp_path / "b.jpg")
    whole = CountingEnhancer.enhance_many

    def fails_once(self, photos, **settings):
        if self.count == 0:
            self.count += 1
            raise RuntimeError("out of device memory")
        return whole(self, photos, **settings)

    monkeypatch.setattr(CountingEnhancer, "enhance_many", fails_once)
    assert run(tmp_path, "--output", tmp_path / "out") == 1
    assert files(tmp_path / "out") == ["b.jpg"]
    assert "RuntimeError: out of device memory" in capsys.readouterr().err


def test_one_bad_photo_of_a_batch_does_not_stop_the_others(enhancer, tmp_path, monkeypatch):
    enhancer.batch_size = 3
    write(*(tmp_path / f"{name}.png" for name in "abc"))
    whole = CountingEnhancer.enhance_many

    def refuses_the_second(self, photos, **settings):
        if any(photo[0, 0, 0] == 41 for photo in photos):
            raise ValueError("too dark")
        return whole(self, photos, **settings)

    monkeypatch.setattr(CountingEnhancer, "enhance_many", refuses_the_second)
    assert run(tmp_path, "--output", tmp_path / "out") == 1
    assert files(tmp_path / "out") == ["a.png", "c.png"]
    assert read_photo(tmp_path / "out" / "c.png").pixels.mean() == 255 - 42


def test_batches_give_each_photo_its_own_result(enhancer, tmp_path):
    enhancer.batch_size = 2
    write(*(tmp_path / f"{name}.png" for name in "abcde"))
    (tmp_path / "bb.png").write_text("no photo")
    assert run(tmp_path, "--output", tmp_path / "out") == 1
    means = [read_photo(tmp_path / "out" / f"{name}.png").pixels.mean() for name in "abcde"]
    assert means == [215, 214, 213, 212, 211]


def test_a_full_disk_is_named(enhancer, tmp_path, capsys, monkeypatch):
    write(tmp_path / "a.jpg")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(inference, "write_photo", full)
    assert run(tmp_path, "--output", tmp_path / "out") == 1
    assert f"{tmp_path / 'a.jpg'}: No space left on device.\n" in capsys.readouterr().err


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
    write_photo(tmp_path / "a.jpg", np.full((20, 30, 3), 90, np.uint8), exif=exif.tobytes())
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


def test_a_photo_folder_with_the_name_of_the_comparisons_is_refused(enhancer, tmp_path, capsys):
    write(tmp_path / "in" / "before_after" / "a.jpg")
    assert run(tmp_path / "in", "--output", tmp_path / "out", "--compare") == 2
    assert "rename its folder" in capsys.readouterr().err


def test_what_happened_to_a_photo_is_noted(enhancer, tmp_path, capsys):
    Image.new("RGBA", (30, 20), (9, 9, 9, 0)).save(tmp_path / "a.png")
    assert run(tmp_path, "--output", tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert f"{tmp_path / 'a.png'}: transparent parts shown on white" in printed.err
    assert re.search("with a note +1", printed.out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jpg"], "nowhere.jpg does not exist"),
        ([], "Name at least one photo or folder"),
        (["."], "There are no photos in ."),
        ([".", "--strength", "1.5"], "--strength takes a number from 0 to 1, received 1.5"),
    ],
)
def test_wrong_inputs_are_usage_errors(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments, "--output", "out") == 2
    assert message in capsys.readouterr().err


def test_a_file_as_output_folder_is_a_usage_error(tmp_path, capsys):
    write(tmp_path / "a.jpg", tmp_path / "out.jpg")
    assert run(tmp_path / "a.jpg", "--output", tmp_path / "out.jpg") == 2
    assert "is a file; name a folder" in capsys.readouterr().err


def test_a_folder_without_a_model_is_a_usage_error(tmp_path, capsys):
    write(tmp_path / "a.jpg")
    (tmp_path / "run").mkdir()
    arguments = [tmp_path / "a.jpg", "--output", tmp_path / "out", "--workdir", tmp_path / "run"]
    assert cli.main(list(map(str, arguments))) == 2
    assert "holds no trained model; name the folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_comes_without_loading_a_framework():
    program = (
        "import sys; from enhancer.__main__ import main\n"
        "try: main(['--help'])\n"
        "finally: assert not {'jax', 'keras', 'cv2'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "130  interrupted by Ctrl-C" in done.stdout


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "A.JPG"])
def test_the_folder_of_the_photos_is_no_output(enhancer, tmp_path, capsys, name):
    """Results in it would be edited once more by the next run."""
    write(tmp_path / name)
    assert run(tmp_path, "--output", tmp_path) == 2
    assert "taken for photos by the next run; choose another --output" in capsys.readouterr().err
    assert files(tmp_path) == [name]


def test_a_photo_is_not_overwritten_by_a_result_whose_name_differs_in_case_only(
    enhancer, tmp_path, capsys
):
    write(tmp_path / "A.JPG")
    assert run(tmp_path / "A.JPG", "--output", tmp_path) == 2
    assert "would overwrite the photo" in capsys.readouterr().err


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_a_photo_is_not_overwritten_by_a_comparison(enhancer, tmp_path, capsys, overwrite):
    photo = tmp_path / "before_after" / "a.jpg"
    write(photo)
    before = photo.read_bytes()
    assert run(photo, "--output", tmp_path, "--compare", *overwrite) == 2
    assert photo.read_bytes() == before
    assert "comparison of" in capsys.readouterr().err


def test_a_photo_that_is_linked_into_the_output_stays_as_it_is(enhancer, tmp_path):
    write(tmp_path / "in" / "a.jpg", tmp_path / "in" / "b.jpg")
    before = {name: (tmp_path / "in" / name).read_bytes() for name in ("a.jpg", "b.jpg")}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.jpg").hardlink_to(tmp_path / "in" / "a.jpg")
    (tmp_path / "out" / "b.jpg").hardlink_to(tmp_path / "in" / "a.jpg")
    assert run(tmp_path / "in", "--output", tmp_path / "out", "--overwrite") == 1
    assert {name: (tmp_path / "in" / name).read_bytes() for name in before} == before


def test_the_longest_names_are_no_trouble(enhancer, tmp_path):
    name = "ä" * 125 + ".jpg"  # 254 bytes
    write(tmp_path / "a.jpg")
    (tmp_path / "in").mkdir()
    (tmp_path / "a.jpg").rename(tmp_path / "in" / name)
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 0
    assert files(tmp_path / "out") == [name]


def test_a_name_that_cannot_be_is_a_usage_error(enhancer, tmp_path, capsys):
    assert run("x" * 300, "--output", tmp_path / "out") == 2
    assert "File name too long" in capsys.readouterr().err


def test_sigterm_ends_a_run_as_ctrl_c_does(enhancer, tmp_path, capsys, monkeypatch):
    write(tmp_path / "in" / "a.jpg", tmp_path / "in" / "b.jpg")
    write_whole = inference.write_photo

    def write_and_terminate(path, pixels, **blocks):
        write_whole(path, pixels, **blocks)
        if path.name == "a.jpg":
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(inference, "write_photo", write_and_terminate)
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 130
    assert "interrupted; run the same command to continue" in capsys.readouterr().out
    assert not [name for name in files(tmp_path / "out") if name.endswith(".tmp")]


def test_a_name_that_is_no_text_is_named_all_the_same(enhancer, tmp_path, monkeypatch):
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_text("no photo")
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "utf-8", write_through=True))
    assert run(tmp_path, "--output", tmp_path / "out") == 1
    assert b"caf\\udce9.jpg is not a photo" in printed.getvalue()
