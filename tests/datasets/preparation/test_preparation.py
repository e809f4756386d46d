"""A folder of source photos becomes a folder of validated pairs, whatever happens on the way."""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.fivek.layouts import find_fivek_pairs
from datasets.preparation import prepared_folder
from datasets.preparation.preparation import Variant, prepare
from datasets.sources.lists import find_listed_pairs
from datasets.sources.named_pairs import find_named_pairs
from datasets.sources.pair_source import PairSource
from datasets.types import PreparationError
from enhancer.photo.io import read_photo
from tests.helpers.pair_folders import soft_photo as photo
from tests.helpers.pair_folders import write_png_pair as write_pair

VARIANT = Variant("real_estate", "all pairs", None)
SPLIT_COUNTS = {"train": 2, "validation": 1, "test": 1}


@pytest.fixture
def source(tmp_path):
    """Four listed pairs: two to train on, one to validate, one to test."""
    folder = tmp_path / "source"
    rows = [write_pair(folder, seed + 1, photo(seed)) for seed in range(4)]
    (folder / "train.jsonl").write_text(rows[0] + rows[1])
    (folder / "val.jsonl").write_text(rows[2])
    (folder / "test.jsonl").write_text(rows[3])
    return folder


def write_fivek(folder, height=72, width=96, count=21):
    """Write pairs in two folders, without split lists."""
    for name in ("input", "output_expert_C"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        before = photo(number, height, width)
        Image.fromarray(before).save(folder / f"input/a{number:04d}.png")
        Image.fromarray(before // 2 + 90).save(folder / f"output_expert_C/a{number:04d}.jpg")
    return folder


@pytest.fixture
def fivek(tmp_path):
    return write_fivek(tmp_path / "fivek")


def prepare_listed(source, output, variant=VARIANT):
    return prepare(PairSource(source, find_listed_pairs), output, variant, num_workers=0)


def prepare_fivek(source, output, num_workers=0):
    pairs = PairSource(source, lambda folder: find_fivek_pairs(folder, "c"))
    return prepare(pairs, output, VARIANT, num_workers=num_workers)


def folder_hash(folder: Path) -> str:
    """All that is in a folder, apart from when it was made."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.name == "dataset_metadata.json":
                metadata = json.loads(content)
                content = json.dumps(metadata | {"run": sorted(metadata["run"])}).encode()
            digest.update(f"{path.relative_to(folder)}\0".encode() + content)
    return digest.hexdigest()


def rejected(output):
    return [json.loads(line) for line in (output / "rejected.jsonl").read_text().splitlines()]


def test_a_prepared_folder(source, tmp_path, capsys):
    metadata = prepare_listed(source, tmp_path / "out")
    assert metadata["counts"] == {"found": 4, "accepted": 4, "rejected": 0} | SPLIT_COUNTS
    assert [row["id"] for row in prepared_folder.read_rows(tmp_path / "out", "train")] == ["1", "2"]
    (row,) = prepared_folder.read_rows(tmp_path / "out", "validation")
    assert (row["width"], row["height"]) == (96, 72)
    stored = read_photo(tmp_path / "out" / row["input"]).pixels.astype(int)
    assert np.abs(stored - photo(2)).mean() < 2
    assert "4 of 4 pairs prepared (2 train, 1 validation, 1 test)" in capsys.readouterr().out


def test_the_source_is_not_written_to(source, tmp_path):
    before = folder_hash(source)
    prepare_listed(source, tmp_path / "out")
    assert folder_hash(source) == before
    with pytest.raises(PreparationError, match="inside the source"):
        prepare_listed(source, source / "out")


def test_broken_pairs_are_named_counted_and_skipped(source, tmp_path, capsys):
    (source / "images/1_tar.png").unlink()
    (source / "images/2_src.png").write_bytes(b"")
    Image.fromarray(photo(3)).save(source / "images/4_tar.png")
    metadata = prepare_listed(source, tmp_path / "out")
    assert metadata["rejected_by_reason"] == {"unreadable photo": 2, "target equals input": 1}
    assert [row["id"] for row in rejected(tmp_path / "out")] == ["1", "2", "4"]
    assert "does not exist" in rejected(tmp_path / "out")[0]["reason"]
    assert not (tmp_path / "out/test.jsonl").exists()
    printed = capsys.readouterr()
    assert "rejected 2: " in printed.err
    assert "3 rejected: 2 unreadable photo, 1 target equals input" in printed.out


def test_when_nothing_can_be_used_it_says_so(source, tmp_path):
    for path in (source / "images").glob("*_tar.png"):
        path.unlink()
    with pytest.raises(PreparationError, match=r"None of the 4 pairs.*4 unreadable photo"):
        prepare_listed(source, tmp_path / "out")


def test_the_metadata_says_when_and_the_log_from_what(source, tmp_path):
    (source / "images/1_tar.png").unlink()
    run = prepare_listed(source, tmp_path / "out")["run"]
    assert run["pairs"] == 4
    assert run["seconds"] >= 0
    assert run["started"].endswith("+00:00")
    record = json.loads((tmp_path / "out/progress.jsonl").read_bytes().splitlines()[1])
    digest = hashlib.sha256((source / "images/1_src.png").read_bytes()).hexdigest()
    assert (record["input_source_sha256"], record["target_source_sha256"]) == (digest, None)


def test_a_complete_folder_is_left_as_it_is(source, tmp_path):
    prepare_listed(source, tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    prepare_listed(source, tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == times


def change_a_photo(source):
    write_pair(source, "2", photo(9))


def remove_a_list(source):
    (source / "test.jsonl").unlink()


@pytest.mark.parametrize(
    ("change", "long_edge"),
    [(change_a_photo, None), (remove_a_list, None), (lambda source: None, 90)],
)
def test_what_has_changed_starts_anew_and_never_mixes(source, tmp_path, change, long_edge):
    prepare_listed(source, tmp_path / "out")
    change(source)
    variant = Variant("real_estate", "all pairs", long_edge)
    prepare_listed(source, tmp_path / "out", variant)
    prepare_listed(source, tmp_path / "fresh", variant)
    assert folder_hash(tmp_path / "out") == folder_hash(tmp_path / "fresh")


def test_a_folder_of_someone_else_is_not_touched(source, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("years of work")
    with pytest.raises(PreparationError, match="was not made by this program"):
        prepare_listed(source, tmp_path / "thesis")


def test_a_folder_that_was_only_begun_is_continued(source, tmp_path):
    prepare_listed(source, tmp_path / "fresh")
    header = (tmp_path / "fresh/progress.jsonl").read_bytes().splitlines(keepends=True)[0]
    for name, content in (("progress.jsonl", header), (".progress.jsonl.7.tmp", header[:9])):
        out = tmp_path / f"begun{name}"
        out.mkdir()
        (out / name).write_bytes(content)
        prepare_listed(source, out)
        assert folder_hash(out) == folder_hash(tmp_path / "fresh")


def lose_a_picture(out):
    (out / "images/2_target.jpg").unlink()


def tear_the_last_line(out):
    log = out / "progress.jsonl"
    log.write_bytes(log.read_bytes()[:-25])
    (out / "dataset_metadata.json").unlink()


def blank_a_line(out):
    log = out / "progress.jsonl"
    lines = log.read_bytes().split(b"\n")
    log.write_bytes(b"\n".join([*lines[:2], bytes(len(lines[2])), *lines[3:]]))
    (out / "dataset_metadata.json").unlink()


@pytest.mark.parametrize("damage", [lose_a_picture, tear_the_last_line, blank_a_line])
def test_what_was_damaged_costs_its_pair_only(source, tmp_path, damage):
    prepare_listed(source, tmp_path / "whole")
    prepare_listed(source, tmp_path / "out")
    damage(tmp_path / "out")
    assert prepare_listed(source, tmp_path / "out")["run"]["pairs"] == 1
    assert folder_hash(tmp_path / "out") == folder_hash(tmp_path / "whole")


def test_a_copy_in_another_split_is_refused_by_its_content(source, tmp_path):
    write_pair(source, "4", photo(1))
    sentence = r"'2' \(train\) and '4' \(test\) are the same picture"
    with pytest.raises(PreparationError, match=sentence):
        prepare_listed(source, tmp_path / "out")
    assert prepared_folder.read_metadata(tmp_path / "out") is None


def test_a_copy_in_the_same_split_is_accepted(source, tmp_path):
    write_pair(source, "2", photo(0), 255 - photo(0) // 2)
    assert prepare_listed(source, tmp_path / "out")["counts"]["accepted"] == 4


def test_one_shot_edited_twice_stays_in_one_split_however_little_is_to_be_seen(tmp_path):
    images = tmp_path / "source/images"
    for number in range(12):
        write_pair(tmp_path / "source", number, photo(number))
    noise = np.random.default_rng(0).normal(0, 1, (72, 96, 3))
    wall = (np.linspace(120, 160, 96)[None, :, None] + noise).astype(np.uint8)
    for number in range(12, 18):
        write_pair(tmp_path / "source", number, wall, wall // 2 + 10 * (number - 12))
    variant = Variant("real_estate", "all pairs", None, validation_share=0.2, test_share=0.2)
    source = PairSource(images, find_named_pairs)
    metadata = prepare(source, tmp_path / "out", variant, num_workers=0)
    assert metadata["near_duplicates"] == {"groups": 1, "photos": 6, "groups_in_several_splits": 0}


def test_remarks_are_counted_and_said(source, tmp_path, capsys):
    Image.fromarray(photo() // 2 + 90).save(source / "images/1_tar.png", icc_profile=b"no profile")
    metadata = prepare_listed(source, tmp_path / "out")
    remark = "target: unreadable colour profile, treated as sRGB"
    assert metadata["remarks"] == {remark: 1}
    assert f"1 kept with a remark, {remark}" in capsys.readouterr().out
    assert remark in (tmp_path / "out/preparation_report.html").read_text()


_PREPARE = """
import sys
from pathlib import Path
from tests.datasets.preparation.test_preparation import prepare_fivek
prepare_fivek(*map(Path, sys.argv[1:]), num_workers=None)
"""


def test_kill_9_and_the_same_call_again_gives_the_same_folder_without_redoing_pairs(tmp_path):
    fivek = write_fivek(tmp_path / "fivek", 360, 480, 12)  # there is time to kill
    out, root = tmp_path / "out", Path(__file__).parents[3]
    command = [sys.executable, "-c", _PREPARE, fivek, out]
    progress = out / "progress.jsonl"
    process = subprocess.Popen(
        command, cwd=root, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    while not (progress.exists() and progress.read_bytes().count(b"\n") >= 5):
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert not (out / "dataset_metadata.json").exists()
    logged = [
        json.loads(line)["id"]
        for line in progress.read_bytes().splitlines(keepends=True)[1:]
        if line[-1] == 10
    ]
    survivors = {
        path: path.stat().st_mtime_ns
        for name in logged
        for path in (out / "images").glob(f"{name}_*")
    }
    assert len(survivors) >= 8
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in survivors} == survivors
    prepare_fivek(fivek, tmp_path / "fresh")
    assert folder_hash(out) == folder_hash(tmp_path / "fresh")
