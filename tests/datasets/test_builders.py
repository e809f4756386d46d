"""Data sets are built without TensorFlow, byte for byte the same, and never from another source than the one named."""

import hashlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from datasets import build, miniature
from datasets.fivek.photo_names import read_catalogue
from datasets.types import DatasetNotBuilt, PreparationError, SourceError
from datasets.workers import pool
from enhancer.system.lock import FolderInUseError, FolderLock

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def prepare_in_this_process():
    """Starting worker processes takes a second, and most of these tests prepare four pairs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "default_count", lambda: 0)
        yield


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    out = tmp_path_factory.mktemp("miniature")
    miniature.write(
        out, long_edge=96, fivek_pairs=3, real_estate_pairs={"train": 2, "val": 1, "test": 1}
    )
    return out


@pytest.fixture(scope="module")
def built(sets, tmp_path_factory):
    """A data folder with both sets, built."""
    data_dir = tmp_path_factory.mktemp("data")
    build.build("fivek", sets / "fivek", data_dir)
    build.build("real_estate", sets / "real_estate", data_dir)
    return data_dir


def records(data_dir):
    return {path.name: path.read_bytes() for path in sorted(data_dir.glob("*/*/*/*array_record*"))}


def run_command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "datasets", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


def test_records_are_encoded_photos_and_facts(built):
    source = build.source("fivek", "train", built)
    assert len(source) == 2
    record = source[0]
    with (
        Image.open(io.BytesIO(record["input"])) as image,
        Image.open(io.BytesIO(record["target"])) as target,
    ):
        assert image.size == target.size == (record["width"], record["height"])
    assert record["id"].startswith(b"a000")
    assert record["camera_make"] == b""  # FiveK's catalogue does not know rendered photos


def test_splits_keep_their_names(built):
    assert [
        len(build.source("real_estate", split, built)) for split in ("train", "validation", "test")
    ] == [2, 1, 1]


def test_building_again_is_a_no_op_that_says_so(sets, built, capsys):
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*")}
    build.build("fivek", sets / "fivek", built)
    build.build("fivek", None, built)
    assert capsys.readouterr().out.count("already built: fivek/c_1024/1.0.0") == 2
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*")} == before


def test_another_build_has_the_same_bytes(sets, built, tmp_path):
    build.build("fivek", sets / "fivek", tmp_path)
    build.build("real_estate", sets / "real_estate", tmp_path)
    assert records(tmp_path) == records(built)
    assert len(records(built)) == 5


def test_another_process_writes_the_same_bytes(sets, tmp_path):
    hashes = []
    for seed in ("1", "2"):
        data_dir = tmp_path / seed
        done = run_command(
            "build",
            "fivek",
            "--manual-dir",
            sets / "fivek",
            "--data-dir",
            data_dir,
            PYTHONHASHSEED=seed,
        )
        assert done.returncode == 0, done.stderr
        hashes.append(
            {
                name: hashlib.sha256(content).hexdigest()
                for name, content in records(data_dir).items()
            }
        )
    assert len(hashes[0]) == 2
    assert hashes[0] == hashes[1]


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="`tfds build` needs the extra tfds-cli"
)
def test_the_stock_command_writes_the_same_bytes(sets, built, tmp_path):
    command = [
        sys.executable,
        "-m",
        "tensorflow_datasets.scripts.cli.main",
        "build",
        "--file_format=array_record",
    ]
    for name, config in (("fivek", "c_1024"), ("real_estate", "long_1536")):
        options = ["--config", config, "--manual_dir", sets / name, "--data_dir", tmp_path]
        done = subprocess.run(
            [*command, *options], cwd=ROOT / "datasets" / name, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert records(tmp_path) == records(built)


def test_a_data_set_is_told_from_others_by_its_fingerprint(built):
    fingerprints = [build.fingerprint(name, built) for name in ("fivek", "real_estate")]
    prepared = json.loads((built / "prepared/fivek-c_1024/dataset_metadata.json").read_text())
    assert fingerprints[0] == prepared["images_sha256"] != fingerprints[1]


@pytest.mark.parametrize(
    "damage", [lambda path: os.truncate(path, path.stat().st_size - 10), Path.unlink]
)
def test_a_file_that_is_cut_off_or_gone_is_named_before_anything_is_read(built, tmp_path, damage):
    shutil.copytree(built / "fivek", tmp_path / "fivek")
    (path,) = tmp_path.glob("fivek/*/*/*train*array_record*")
    damage(path)
    with pytest.raises(
        DatasetNotBuilt, match=rf"{path.name} cannot be read.* datasets build fivek .* --overwrite"
    ):
        build.source("fivek", "train", tmp_path)
    assert len(build.source("fivek", "validation", tmp_path)) == 1


def test_what_is_not_built_has_no_fingerprint(tmp_path):
    with pytest.raises(DatasetNotBuilt, match="python -m datasets build fivek"):
        build.fingerprint("fivek", tmp_path)


def test_without_a_source_it_is_checked_that_the_data_set_is_there(built, tmp_path, capsys):
    build.build("fivek", None, built)
    assert "already built" in capsys.readouterr().out
    with pytest.raises(DatasetNotBuilt, match="python -m datasets build fivek"):
        build.build("fivek", None, tmp_path)
    with pytest.raises(SourceError, match="No source photos named"):
        build.build("fivek", None, built, overwrite=True)


@pytest.mark.parametrize("mount_point_stays", [True, False])
def test_a_source_that_is_gone_does_not_stop_what_was_built_from_it(
    sets, tmp_path, capsys, mount_point_stays
):
    source, data_dir = tmp_path / "disk", tmp_path / "data"
    shutil.copytree(sets / "real_estate", source)
    build.build("real_estate", source, data_dir)
    shutil.rmtree(source)
    if mount_point_stays:
        source.mkdir()
    build.build("real_estate", source, data_dir)
    assert (
        f"{source} is no longer there: using real_estate/long_1536/1.0.0 as it was"
        in capsys.readouterr().err
    )
    with pytest.raises(SourceError, match=r"is empty|is not a folder"):
        build.build("real_estate", source, data_dir, overwrite=True)
    with pytest.raises(SourceError, match="is not a folder"):
        build.build("real_estate", tmp_path / "another", data_dir)


def test_a_prepared_folder_can_be_built_without_its_source(built, tmp_path):
    build.build("fivek", built / "prepared/fivek-c_1024", tmp_path)
    assert not (tmp_path / "prepared").exists()
    assert all(records(built)[name] == content for name, content in records(tmp_path).items())


def test_a_folder_prepared_for_another_config_is_refused(built, tmp_path):
    with pytest.raises(SourceError, match="needs"):
        build.build("fivek", built / "prepared/fivek-c_1024", tmp_path, config="c_512")


def test_another_source_never_hides_behind_an_existing_data_set(sets, built, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(sets / "real_estate", other)
    (other / "test.jsonl").unlink()
    with pytest.raises(
        SourceError, match=r"is another source.*datasets build real_estate .* --overwrite,"
    ):
        build.build("real_estate", other, built)


def test_a_source_that_was_moved_is_the_same_source(sets, built, tmp_path):
    shutil.copytree(sets / "real_estate", tmp_path / "moved")
    build.build("real_estate", tmp_path / "moved", built)


def test_a_changed_source_is_noticed_and_overwrite_rebuilds(sets, tmp_path):
    source, data_dir = tmp_path / "source", tmp_path / "data"
    shutil.copytree(sets / "real_estate", source)
    build.build("real_estate", source, data_dir)
    (source / "test.jsonl").unlink()
    with pytest.raises(SourceError, match="has changed since"):
        build.build("real_estate", source, data_dir)
    build.build("real_estate", source, data_dir, overwrite=True)
    with pytest.raises(DatasetNotBuilt, match="no split 'test'; it has train, validation"):
        build.source("real_estate", "test", data_dir)


def test_a_useless_source_does_not_cost_the_old_data_set(sets, tmp_path):
    source, data_dir = tmp_path / "source", tmp_path / "data"
    shutil.copytree(sets / "real_estate", source)
    build.build("real_estate", source, data_dir)
    for path in (source / "images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(PreparationError, match="None of the 4 pairs"):
        build.build("real_estate", source, data_dir, overwrite=True)
    assert len(build.source("real_estate", "train", data_dir)) == 2


def test_a_build_leaves_nothing_among_the_temporary_files(sets, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    build.build("real_estate", sets / "real_estate", tmp_path / "data")
    build.source("real_estate", "train", tmp_path / "data")
    assert not list((tmp_path / "temporary").iterdir())
    assert not list(tmp_path.rglob("*incomplete*"))


def test_leftovers_of_a_killed_build_are_removed(sets, tmp_path):
    leftover = tmp_path / "real_estate/long_1536/incomplete.ABCDEF_1.0.0"
    leftover.mkdir(parents=True)
    build.build("real_estate", sets / "real_estate", tmp_path)
    assert not leftover.exists()


def test_a_data_set_that_is_not_there_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(
        DatasetNotBuilt, match=r"python -m datasets build fivek --manual-dir .* --config b_512"
    ):
        build.source("fivek", "train", tmp_path, config="b_512")


def test_an_unknown_config_lists_the_known_ones(tmp_path):
    with pytest.raises(SourceError, match="c_1024, c_512, c_full, a_1024"):
        build.source("fivek", "train", tmp_path, config="z_1")


def test_fivek_facts_are_found_by_full_name_and_by_number():
    facts = read_catalogue()
    assert facts["a0001-jmac_DSC1459"] == facts["a0001"]
    assert facts["a0001"]["camera_model"] == "D70"
    assert "a0001-miniature_0001" not in facts


@pytest.mark.parametrize("name", ["fivek", "real_estate"])
def test_metadata_files_are_valid(name):
    builder = build._builder(name, Path("unused"), None)
    metadata = builder.get_metadata()
    assert metadata.description
    assert metadata.citation
    valid = tfds.core.dataset_metadata.valid_tags()
    assert metadata.tags
    assert set(metadata.tags) <= set(valid)


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is installed"
)
def test_the_command_builds_without_tensorflow(sets, tmp_path):
    done = run_command(
        "build", "real_estate", "--manual-dir", sets / "real_estate", "--data-dir", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "built: real_estate/long_1536/1.0.0 (2 train, 1 validation, 1 test)" in done.stdout


def test_the_command_fails_with_a_sentence(sets, tmp_path):
    file = tmp_path / "file"
    file.touch()
    for manual_dir, data_dir, code, sentence in (
        (tmp_path / "x", tmp_path, 2, "Name the folder that holds the source photos."),
        (sets / "fivek", f"{file}/", 1, "Check the path, its permissions and the free space."),
    ):
        done = run_command("build", "fivek", "--manual-dir", manual_dir, "--data-dir", data_dir)
        assert done.returncode == code
        assert done.stderr.strip().endswith(sentence)
        assert "Traceback" not in done.stderr


def test_real_pairs_build(shared_data, tmp_path):
    build.build("fivek", shared_data / "fivek", tmp_path, config="c_512")
    record = build.source("fivek", "validation", tmp_path, config="c_512")[0]
    assert record["licence"] in (b"Adobe", b"AdobeMIT")
    with Image.open(io.BytesIO(record["input"])) as image:
        assert max(np.asarray(image).shape) == 512


def test_two_processes_do_not_build_one_data_set(sets, tmp_path):
    refused = pytest.raises(FolderInUseError, match=f"in use by process {os.getpid()}")
    with FolderLock(tmp_path / "real_estate/long_1536"), refused:
        build.build("real_estate", sets / "real_estate", tmp_path)


def test_a_folder_that_tfds_could_not_read_from_is_refused_before_anything_is_made(sets, tmp_path):
    with pytest.raises(SourceError, match=r"takes \[ and \] for patterns"):
        build.build("real_estate", sets / "real_estate", tmp_path / "data [2]")
    assert not (tmp_path / "data [2]/prepared").exists()


def test_a_data_folder_inside_the_source_is_refused_before_anything_is_written(sets, tmp_path):
    source = shutil.copytree(sets / "real_estate", tmp_path / "source")
    before = sorted(source.rglob("*"))
    with pytest.raises(PreparationError, match="inside the source folder"):
        build.build("real_estate", source, source / "data")
    assert sorted(source.rglob("*")) == before
