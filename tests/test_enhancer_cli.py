"""`python -m enhancer`: what it makes of files and folders, and what it tells."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from enhancer import __main__ as cli
from enhancer import compilation, inference
from enhancer.inference import EnhancedFile
from enhancer.photo_io import encode_jpeg, read_photo, write_photo


class FakeEnhancer:
    """Inverts photos with the real reading and writing, and no network."""

    def __init__(self):
        self.done: list[str] = []
        self.interrupt_at: str | None = None

    def enhance_file(self, source: Path, destination: Path) -> EnhancedFile:
        if source.name == self.interrupt_at:
            raise KeyboardInterrupt
        photo = read_photo(source)
        destination.parent.mkdir(parents=True, exist_ok=True)
        write_photo(destination, 255 - photo.pixels, exif=photo.exif)
        self.done.append(source.name)
        return EnhancedFile(destination, *photo.pixels.shape[1::-1], photo.notes, 0.0)


@pytest.fixture
def enhancer(monkeypatch) -> FakeEnhancer:
    fake = FakeEnhancer()
    monkeypatch.setattr(inference.Enhancer, "load", lambda workdir: fake)
    monkeypatch.setattr(compilation, "enable_cache", lambda: None)
    return fake


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
    assert "1 photo enhanced" in capsys.readouterr().out


def test_results_keep_the_kind_of_lossless_photos(enhancer, tmp_path):
    write(*(tmp_path / "in" / name for name in ("a.jpg", "b.png", "c.tif", "d.jpeg")))
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["a.jpg", "b.png", "c.tif", "d.jpg"]


def test_a_folder_is_searched_with_its_subfolders_and_other_files_are_left_alone(enhancer, tmp_path):
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
    write(tmp_path / "in" / "a.jpg", tmp_path / "in" / "a.webp", tmp_path / "in" / "A.jpeg", tmp_path / "a.jpg")
    assert run(tmp_path / "in", tmp_path / "a.jpg", "--output", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["A_jpeg.jpg", "a_jpg.jpg", "a_jpg_2.jpg", "a_webp.jpg"]


def test_a_made_up_name_does_not_take_anothers(tmp_path):
    write(tmp_path / "a.jpg", tmp_path / "a.webp", tmp_path / "a_jpg.jpg")
    destinations = [destination.name for _, destination in cli.plan((tmp_path,), tmp_path / "out")]
    assert sorted(destinations) == ["a_jpg.jpg", "a_jpg_2.jpg", "a_webp.jpg"]


def test_a_photo_named_twice_is_done_once(enhancer, tmp_path):
    write(tmp_path / "in" / "a.jpg")
    assert run(tmp_path / "in", tmp_path / "in" / "a.jpg", "--output", tmp_path / "out") == 0
    assert enhancer.done == ["a.jpg"]


def test_existing_results_are_skipped(enhancer, tmp_path, capsys):
    write(tmp_path / "in" / "a.jpg", tmp_path / "in" / "b.jpg", tmp_path / "out" / "a.jpg")
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 0
    assert enhancer.done == ["b.jpg"]
    assert "1 skipped because the result exists" in capsys.readouterr().out


def test_existing_results_are_made_again_on_request(enhancer, tmp_path):
    write(tmp_path / "in" / "a.jpg", tmp_path / "out" / "a.jpg")
    assert run(tmp_path / "in", "--output", tmp_path / "out", "--overwrite") == 0
    assert enhancer.done == ["a.jpg"]


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
    assert "1 failed" in printed.out


def test_a_second_run_tries_the_failed_ones_again(enhancer, tmp_path):
    write(tmp_path / "in" / "a.jpg")
    (tmp_path / "in" / "b.jpg").write_text("no photo")
    run(tmp_path / "in", "--output", tmp_path / "out")
    write(tmp_path / "in" / "b.jpg")
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 0
    assert enhancer.done == ["a.jpg", "b.jpg"]


def test_ctrl_c_leaves_whole_results_and_the_same_command_continues(enhancer, tmp_path, capsys):
    write(*(tmp_path / "in" / f"{name}.jpg" for name in "abc"))
    enhancer.interrupt_at = "b.jpg"
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 130
    assert files(tmp_path / "out") == ["a.jpg"]
    assert "run the same command to continue" in capsys.readouterr().out
    enhancer.interrupt_at = None
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 0
    assert enhancer.done == ["a.jpg", "b.jpg", "c.jpg"]


def test_an_unexpected_failure_stops_nobody_else(enhancer, tmp_path, capsys, monkeypatch):
    write(tmp_path / "a.jpg", tmp_path / "b.jpg")
    whole = FakeEnhancer.enhance_file

    def fails_once(self, source, destination):
        if source.name == "a.jpg":
            raise RuntimeError("out of device memory")
        return whole(self, source, destination)

    monkeypatch.setattr(FakeEnhancer, "enhance_file", fails_once)
    assert run(tmp_path, "--output", tmp_path / "out") == 1
    assert files(tmp_path / "out") == ["b.jpg"]
    assert "RuntimeError: out of device memory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jpg"], "nowhere.jpg does not exist"),
        ([], "Name at least one photo or folder"),
        (["."], "There are no photos in ."),
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
    assert "holds no trained model; train one with" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_comes_without_loading_a_framework():
    program = "import sys; from enhancer.__main__ import main\ntry: main(['--help'])\nfinally: assert not {'jax', 'keras', 'cv2'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "130  interrupted by Ctrl-C" in done.stdout
