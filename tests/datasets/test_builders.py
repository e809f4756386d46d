"""Data sets are built without TensorFlow, byte for byte the same, from the named source only."""

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

from datasets import __main__ as command
from datasets import build, miniature
from datasets.fivek.photo_names import read_catalogue
from datasets.types import SPLITS, DatasetNotBuilt, PreparationError, SourceError
from datasets.workers import pool
from enhancer.data.pairs import ReadablePairs
from enhancer.system.files import FolderInUseError, lock_folder

ROOT = Path(__file__).parents[2]
HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None


@pytest.fixture(scope="module", autouse=True)
def prepare_in_this_process():
    """Starting worker processes takes a second, and most of these tests prepare four pairs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "default_count", lambda: 0)
        yield


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    out, split = tmp_path_factory.mktemp("miniature"), {"train": 2, "val": 1, "test": 1}
    miniature.write(out, long_edge=96, fivek_pairs=3, real_estate_pairs=split)
    return out


@pytest.fixture(scope="module")
def built(sets, tmp_path_factory):
    """A data folder with both sets, built."""
    data_dir = tmp_path_factory.mktemp("data")
    build.build("fivek", sets / "fivek", data_dir)
    build.build("real_estate", sets / "real_estate", data_dir)
    return data_dir


@pytest.fixture
def copy(sets, built, tmp_path):
    """A source folder of one's own, and the data set that was built from such a one."""
    source, data_dir = tmp_path / "source", tmp_path / "data"
    shutil.copytree(sets / "real_estate", source)
    build.build("real_estate", source, data_dir)
    return source, data_dir


def records(data_dir, name="*"):
    paths = sorted(data_dir.glob(f"{name}/*/*/*array_record*"))
    return {path.name: path.read_bytes() for path in paths}


def test_records_are_encoded_photos_and_facts(built):
    source = build.source("fivek", "train", built)
    assert len(source) == 2
    record = source[0]
    for role in ("input", "target"):
        with Image.open(io.BytesIO(record[role])) as image:
            assert image.size == (record["width"], record["height"])
    assert record["id"].startswith(b"a000")
    assert record["camera_make"] == b""  # FiveK's catalogue does not know rendered photos


def test_splits_keep_their_names(built):
    splits = build.splits("real_estate", built)
    assert splits == ["train", "validation", "test"]
    assert [len(build.source("real_estate", split, built)) for split in splits] == [2, 1, 1]


def test_building_again_does_nothing_and_says_so(sets, built, capsys):
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*")}
    build.build("fivek", sets / "fivek", built)
    build.build("fivek", None, built)
    assert capsys.readouterr().out.count("already built: fivek/c_1024/1.0.0") == 2
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*")} == before


def test_another_process_writes_the_same_bytes(sets, built, tmp_path):
    where = ["--manual-dir", sets / "fivek", "--data-dir", tmp_path, "--workers", "1"]
    program = [sys.executable, "-m", "datasets", "build", "fivek", *where]
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{sets / 'fivek'}: 3 pairs (dng/ with tiff16_c/; not split")
    assert "built: fivek/c_1024/1.0.0 (2 train, 1 validation)" in done.stdout
    assert len(records(tmp_path)) == 2
    assert records(tmp_path) == records(built, "fivek")


@pytest.mark.skipif(not HAS_TENSORFLOW, reason="`tfds build` needs the extra tfds-cli")
@pytest.mark.parametrize(("name", "config"), [("fivek", "c_1024"), ("real_estate", "long_1536")])
def test_the_stock_command_writes_the_same_bytes(sets, built, tmp_path, name, config):
    stock = [sys.executable, "-m", "tensorflow_datasets.scripts.cli.main", "build"]
    stock += ["--file_format=array_record", "--config", config]
    where = ["--manual_dir", sets / name, "--data_dir", tmp_path]
    cwd = ROOT / "datasets" / name
    done = subprocess.run([*stock, *where], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert records(tmp_path) == records(built, name) != {}


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
    sentence = rf"{path.name} cannot be read.* datasets build fivek .* --overwrite"
    with pytest.raises(DatasetNotBuilt, match=sentence):
        build.source("fivek", "train", tmp_path)
    with pytest.raises(DatasetNotBuilt, match="no split 'test'; it has train, validation"):
        build.source("fivek", "test", tmp_path)
    assert len(build.source("fivek", "validation", tmp_path)) == 1


@pytest.mark.parametrize("index", [0, 1])
def test_a_record_with_other_bytes_is_named_and_left_out_and_no_other(
    built, tmp_path, capsys, index
):
    shutil.copytree(built / "fivek", tmp_path / "fivek")
    (path,) = tmp_path.glob("fivek/*/*/*train*array_record*")
    content = bytearray(path.read_bytes())
    end = len(content[: 1 << 16].rstrip(b"\0"))  # of the records; what follows is an index
    place = (300, end - 300)[index]
    content[place : place + 16] = b"overwritten here"
    path.write_bytes(content)
    pairs = ReadablePairs(build.source("fivek", "train", tmp_path), "training data")
    assert [pairs.read(number) is None for number in range(2)] == [index == 0, index == 1]
    sentence = f"Damaged training data: record {index} is left out. It cannot be read (RuntimeError"
    assert capsys.readouterr().err.startswith(sentence)


def test_a_data_set_that_is_not_there_names_the_command_that_makes_it(tmp_path):
    missing = r"python -m datasets build fivek --manual-dir .* --config b_512"
    with pytest.raises(DatasetNotBuilt, match=missing):
        build.source("fivek", "train", tmp_path, config="b_512")
    with pytest.raises(DatasetNotBuilt, match="python -m datasets build fivek"):
        build.build("fivek", None, tmp_path)
    with pytest.raises(SourceError, match="c_1024, c_512, c_full, a_1024"):
        build.source("fivek", "train", tmp_path, config="z_1")


def test_overwriting_needs_a_source(built):
    with pytest.raises(SourceError, match="No source photos named"):
        build.build("fivek", None, built, overwrite=True)


@pytest.mark.parametrize("mount_point_stays", [True, False])
def test_a_source_that_is_gone_does_not_stop_what_was_built_from_it(
    copy, tmp_path, capsys, mount_point_stays
):
    source, data_dir = copy
    shutil.rmtree(source)
    if mount_point_stays:
        source.mkdir()
    build.build("real_estate", source, data_dir)
    sentence = f"{source} is no longer there: using real_estate/long_1536/1.0.0 as it was"
    assert sentence in capsys.readouterr().err
    with pytest.raises(SourceError, match=r"is empty|is not a folder"):
        build.build("real_estate", source, data_dir, overwrite=True)
    with pytest.raises(SourceError, match="is not a folder"):
        build.build("real_estate", tmp_path / "another", data_dir)


def test_another_source_never_hides_behind_an_existing_data_set(copy, sets, built, tmp_path):
    source, _ = copy
    (source / "val.jsonl").unlink()
    sentence = r"is another source.*datasets build real_estate .* --overwrite,"
    with pytest.raises(SourceError, match=sentence):
        build.build("real_estate", source, built)
    build.build("real_estate", source, tmp_path / "its own")  # runs with different pairs just work
    assert len(build.source("real_estate", "train", tmp_path / "its own")) == 1


def test_a_source_that_was_moved_is_the_same_source(sets, built, tmp_path):
    shutil.copytree(sets / "real_estate", tmp_path / "moved")
    build.build("real_estate", tmp_path / "moved", built)


def test_a_changed_source_is_noticed_and_overwrite_rebuilds(copy):
    """What has no list to test on is tested on a part of the training list."""
    source, data_dir = copy
    (source / "test.jsonl").unlink()
    with pytest.raises(SourceError, match="has changed since"):
        build.build("real_estate", source, data_dir)
    build.build("real_estate", source, data_dir, overwrite=True)
    counts = {split: len(build.source("real_estate", split, data_dir)) for split in SPLITS}
    assert counts == {"train": 1, "validation": 1, "test": 1}


def test_a_useless_source_does_not_cost_the_old_data_set(copy):
    source, data_dir = copy
    for path in (source / "images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(PreparationError, match="None of the 4 pairs"):
        build.build("real_estate", source, data_dir, overwrite=True)
    assert len(build.source("real_estate", "train", data_dir)) == 2


def test_a_build_leaves_nothing_unfinished(sets, tmp_path, monkeypatch):
    leftover = tmp_path / "data/real_estate/long_1536/incomplete.ABCDEF_1.0.0"  # of a kill
    leftover.mkdir(parents=True)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    build.build("real_estate", sets / "real_estate", tmp_path / "data")
    build.source("real_estate", "train", tmp_path / "data")
    assert not list((tmp_path / "temporary").iterdir())
    assert not list(tmp_path.rglob("*incomplete*"))


def test_fivek_facts_are_found_by_full_name_and_by_number():
    facts = read_catalogue()
    assert facts["a0001-jmac_DSC1459"] == facts["a0001"]
    assert facts["a0001"]["camera_model"] == "D70"
    assert "a0001-miniature_0001" not in facts


@pytest.mark.parametrize("name", ["fivek", "real_estate"])
def test_licence_citation_and_tags_are_valid(name):
    metadata = build._builder(name, Path("unused"), None).get_metadata()
    assert all((metadata.description, metadata.citation, metadata.tags))
    assert set(metadata.tags) <= set(tfds.core.dataset_metadata.valid_tags())


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        ("", 1, "Name one source: --manual-dir FOLDER, or for fivek --download"),
        ("--manual-dir . --connections 2", 1, "--connections go with --download"),
        ("--manual-dir . --workers 0", 1, "--workers must be at least 1, received 0"),
        ("--download --limit 1", 2, "--limit 1 leaves nothing to train"),
        ("--manual-dir nowhere", 2, "Name the folder that holds the source photos."),
        ("--manual-dir {fivek}/img", 2, "is not a FiveK folder for expert C: it holds dng/, tiff"),
        ("--manual-dir {fivek} --config z_1", 2, "fivek has no config 'z_1'. Choose one of c_1024"),
        ("--manual-dir {fivek} --data-dir {file}/data", 1, "Check the path, its permissions"),
    ],
)
def test_the_command_fails_with_a_sentence(sets, tmp_path, capsys, options, code, sentence):
    (tmp_path / "file").touch()
    options = options.format(fivek=sets / "fivek", file=tmp_path / "file").split()
    with pytest.raises(SystemExit) as ended:
        command.main(["build", "fivek", "--data-dir", str(tmp_path), *options])
    # Python prints what is not a number, and ends with 1.
    is_number = isinstance(ended.value.code, int)
    assert (ended.value.code if is_number else 1) == code
    assert sentence in (capsys.readouterr().err if is_number else ended.value.code)


def test_ctrl_c_ends_with_one_sentence(sets, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "build", interrupted)
    options = ["--manual-dir", str(sets / "fivek"), "--data-dir", str(tmp_path)]
    with pytest.raises(SystemExit, match=r"^Stopped\. The same command continues where it was\.$"):
        command.main(["build", "fivek", *options])


def test_lists_beside_a_layout_of_folders_are_not_taken_for_what_is_read(sets, tmp_path):
    shutil.copytree(sets / "fivek", tmp_path / "fivek")
    shutil.copy(sets / "real_estate/train.jsonl", tmp_path / "fivek")
    assert "3 pairs (dng/ with tiff16_c/; not split" in build.look("fivek", tmp_path / "fivek")[0]


def test_real_pairs_build(shared_data, tmp_path):
    build.build("fivek", shared_data / "fivek", tmp_path, config="c_512")
    record = build.source("fivek", "validation", tmp_path, config="c_512")[0]
    assert record["licence"] in (b"Adobe", b"AdobeMIT")
    with Image.open(io.BytesIO(record["input"])) as image:
        assert max(np.asarray(image).shape) == 512


def test_two_processes_do_not_build_one_data_set(sets, tmp_path):
    refused = pytest.raises(FolderInUseError, match=f"in use by process {os.getpid()}")
    with lock_folder(tmp_path / "real_estate/long_1536"), refused:
        build.build("real_estate", sets / "real_estate", tmp_path)


def test_a_data_folder_that_cannot_be_used_is_refused_before_anything_is_written(copy, tmp_path):
    source, _ = copy
    with pytest.raises(SourceError, match=r"takes \[ and \] for patterns"):
        build.build("real_estate", source, tmp_path / "data [2]")
    assert not (tmp_path / "data [2]/prepared").exists()
    before = sorted(source.rglob("*"))
    with pytest.raises(PreparationError, match="inside the source folder"):
        build.build("real_estate", source, source / "data")
    assert sorted(source.rglob("*")) == before
