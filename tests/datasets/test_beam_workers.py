"""The work as a Beam pipeline gives the rows that worker processes give, and continues where a pipeline was stopped."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from datasets import build, miniature
from datasets.workers import beam
from datasets.workers import pool
from datasets.preparation.pair_job import prepare_one
from datasets.preparation.prepared_folder import PreparationError
from datasets.sources.lists import find_fivek_pairs

ROOT = Path(__file__).parents[2]
OPTIONS = "runner=DirectRunner,direct_num_workers=2,direct_running_mode=multi_processing"
needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None, reason="needs the extra tfds-cli"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Three pairs of FiveK, and one whose RAW file is cut off."""
    folder = tmp_path_factory.mktemp("miniature")
    miniature.write(folder, long_edge=96, fivek_pairs=4, real_estate_pairs={"train": 1})
    os.truncate(folder / "fivek/img/dng/a0002-miniature_0002.dng", 500)
    return folder / "fivek"


def records(data_dir):
    return {path.name: path.read_bytes() for path in data_dir.glob("fivek/*/*/*array_record*")}


def test_a_command_of_the_pipeline_leaves_the_rows_that_workers_give(source, tmp_path):
    pairs = find_fivek_pairs(source, "c")
    (tmp_path / "images").mkdir()
    job = functools.partial(prepare_one, output=tmp_path, long_edge=None)
    # Another library's `datasets` must not be taken for ours, nor what the working folder holds.
    (tmp_path / "datasets.py").write_text("raise ImportError('the wrong one')")
    subprocess.run(
        beam._command(job, pairs, tmp_path), cwd=tmp_path, check=True, capture_output=True
    )
    expected = {row["id"]: row for row in pool.run(job, pairs, 0)}
    assert {
        path.stem: json.loads(path.read_bytes()) for path in tmp_path.glob("*.json")
    } == expected
    assert [row["status"] for row in expected.values()].count("rejected") == 1


def test_a_command_is_small(source, tmp_path):
    pairs = find_fivek_pairs(source, "c") * (beam.PAIRS_PER_COMMAND // 4)
    command = beam._command(
        functools.partial(prepare_one, output=tmp_path, long_edge=512), pairs, tmp_path
    )
    assert sum(map(len, command)) < 20_000  # Linux takes 128 kB for one argument


@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is not None, reason="Beam is installed")
def test_without_beam_the_extra_is_named(source, tmp_path):
    with pytest.raises(PreparationError, match="Install the extra `tfds-cli`"):
        build.build("fivek", source, tmp_path, beam_pipeline_options=OPTIONS)


@needs_beam
@pytest.mark.parametrize("stock", [False, True])
def test_a_pipeline_of_two_processes_gives_the_same_records(source, tmp_path, stock):
    build.build("fivek", source, tmp_path / "plain", config="c_512", num_workers=1)
    where = [
        f"--manual{'_' if stock else '-'}dir",
        source,
        f"--data{'_' if stock else '-'}dir",
        tmp_path / "beam",
    ]
    if stock:
        command = [
            "tensorflow_datasets.scripts.cli.main",
            "build",
            "--file_format=array_record",
            *where,
        ]
    else:
        command = ["datasets", "build", "fivek", *where]
    command += [
        "--config",
        "c_512",
        f"--beam{'_' if stock else '-'}pipeline{'_' if stock else '-'}options",
        OPTIONS,
    ]
    cwd = ROOT / "datasets/fivek" if stock else ROOT
    done = subprocess.run([sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert records(tmp_path / "beam") == records(tmp_path / "plain") != {}
    assert not list(tmp_path.glob("beam/prepared/*/rows_*"))


@needs_beam
def test_a_pipeline_that_fails_says_why_and_is_continued(source, tmp_path, monkeypatch):
    from apache_beam.options.pipeline_options import PipelineOptions

    (tmp_path / "images").mkdir()
    job = functools.partial(prepare_one, output=tmp_path, long_edge=None)
    pairs = find_fivek_pairs(source, "c")
    options = PipelineOptions(flags=["--runner=DirectRunner"])
    with monkeypatch.context() as patch:
        patch.setattr(beam, "_PROGRAM", "raise SystemExit(3)")
        with pytest.raises(PreparationError, match=r"pipeline failed: .*exit status 3"):
            list(beam.run(job, pairs, options, tmp_path / "rows"))
    assert len(list(beam.run(job, pairs, options, tmp_path / "rows"))) == 4
    with monkeypatch.context() as patch:
        patch.setattr(beam, "_PROGRAM", "raise SystemExit(3)")
        assert (
            len(list(beam.run(job, pairs, options, tmp_path / "rows"))) == 4
        )  # they are there already
