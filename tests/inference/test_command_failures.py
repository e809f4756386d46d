"""`python -m enhancer` when something goes wrong: what is named, and what is left."""

import io
import os
import re
import signal
import sys

import pytest

from enhancer import __main__ as cli
from enhancer.inference import enhancer as inference
from enhancer.photo.io import read_photo
from tests.helpers.command import CountingEnhancer, files, run, write


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


def test_a_full_disk_is_named(enhancer, tmp_path, capsys, monkeypatch):
    write(tmp_path / "a.jpg")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(inference, "write_photo", full)
    assert run(tmp_path, "--output", tmp_path / "out") == 1
    assert f"{tmp_path / 'a.jpg'}: No space left on device.\n" in capsys.readouterr().err


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


def test_a_name_that_cannot_be_is_a_usage_error(enhancer, tmp_path, capsys):
    assert run("x" * 300, "--output", tmp_path / "out") == 2
    assert "File name too long" in capsys.readouterr().err


def test_a_name_that_is_no_text_is_named_all_the_same(enhancer, tmp_path, monkeypatch):
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_text("no photo")
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "utf-8", write_through=True))
    assert run(tmp_path, "--output", tmp_path / "out") == 1
    assert b"caf\\udce9.jpg is not a photo" in printed.getvalue()
