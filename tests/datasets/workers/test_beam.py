"""The work as a Beam pipeline gives the same records, and continues where it was stopped."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from datasets import build, miniature
from datasets.fivek.layouts import find_fivek_pairs
from datasets.preparation import beam
from datasets.preparation.pair_job import develop
from datasets.types import PreparationError
from datasets.workers.pool import WorkerPool

ROOT = Path(__file__).parents[3]
OPTIONS = "runner=DirectRunner,direct_num_workers=2,direct_running_mode=multi_processing"
HAS_BEAM = importlib.util.find_spec("apache_beam") is not None
needs_beam = pytest.mark.skipif(not HAS_BEAM, reason="needs the extra tfds-cli")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Three pairs of FiveK, and one whose RAW file is cut off."""
    folder = tmp_path_factory.mktemp("miniature")
    miniature.write(folder, long_edge=96, fivek_pairs=4, real_estate_pairs={})
    os.truncate(folder / "fivek/img/dng/a0002-miniature_0002.dng", 500)
    return folder / "fivek"


def records(data_dir):
    return {path.name: path.read_bytes() for path in data_dir.glob("fivek/*/*/*array_record*")}


def test_a_command_of_the_pipeline_leaves_the_records_that_workers_give(source, tmp_path):
    pairs = find_fivek_pairs(source, "c")
    (tmp_path / "images").mkdir()
    # Another library's `datasets` must not be taken for ours, nor what the working folder holds.
    (tmp_path / "datasets.py").write_text("raise ImportError('the wrong one')")
    command = beam.command(pairs, tmp_path, None, tmp_path)
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    expected = {pair.id: develop(WorkerPool(0), pair, tmp_path, None) for pair in pairs}
    left = {path.stem: json.loads(path.read_bytes()) for path in tmp_path.glob("*.json")}
    assert left == expected
    assert [record["status"] for record in expected.values()].count("rejected") == 1


def test_a_command_is_small(source, tmp_path):
    pairs = find_fivek_pairs(source, "c") * (beam.PAIRS_PER_COMMAND // 4)
    command = beam.command(pairs, tmp_path, 512, tmp_path)
    assert sum(map(len, command)) < 20_000  # Linux takes 128 kB for one argument


@pytest.mark.skipif(HAS_BEAM, reason="Beam is installed")
def test_without_beam_the_extra_is_named(source, tmp_path):
    with pytest.raises(PreparationError, match="Install the extra `tfds-cli`"):
        build.build("fivek", source, tmp_path, beam_pipeline_options=OPTIONS)


@needs_beam
@pytest.mark.parametrize("mark", ["-", "_"], ids=["ours", "stock"])
def test_a_pipeline_of_two_processes_gives_the_same_records(source, tmp_path, mark):
    build.build("fivek", source, tmp_path / "plain", config="c_512", num_workers=1)
    stock = ["tensorflow_datasets.scripts.cli.main", "build", "--file_format=array_record"]
    command = stock if mark == "_" else ["datasets", "build", "fivek"]
    command += [f"--manual{mark}dir", source, f"--data{mark}dir", tmp_path / "beam"]
    command += ["--config", "c_512", f"--beam{mark}pipeline{mark}options", OPTIONS]
    cwd = ROOT / "datasets/fivek" if mark == "_" else ROOT
    done = subprocess.run([sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert records(tmp_path / "beam") == records(tmp_path / "plain") != {}
    assert not list(tmp_path.glob("beam/prepared/*/records_*"))


@needs_beam
def test_a_pipeline_that_fails_says_why_and_is_continued(source, tmp_path, monkeypatch):
    from apache_beam.options.pipeline_options import PipelineOptions  # pyright: ignore

    (tmp_path / "images").mkdir()
    arguments = find_fivek_pairs(source, "c"), tmp_path, None
    options = PipelineOptions(flags=["--runner=DirectRunner"])
    with monkeypatch.context() as patch:
        patch.setattr(beam, "_PROGRAM", "raise SystemExit(3)")
        with pytest.raises(PreparationError, match=r"pipeline failed: .*exit status 3"):
            list(beam.run(*arguments, options, tmp_path / "records"))
    assert len(list(beam.run(*arguments, options, tmp_path / "records"))) == 4
    with monkeypatch.context() as patch:
        patch.setattr(beam, "_PROGRAM", "raise SystemExit(3)")  # they are there already
        assert len(list(beam.run(*arguments, options, tmp_path / "records"))) == 4
