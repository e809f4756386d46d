"""A folder of source photos becomes a folder of validated pairs, whatever happens on the way."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from datasets import preparation, sources
from datasets.pair import PairRejected, prepare_pair
from datasets.preparation import Options, PreparationError, prepare
from datasets.sources import SourceError, find_fivek_pairs, find_listed_pairs
from enhancer.photo_io import read_photo

OPTIONS = Options("real_estate", "all pairs", None)


def photo(seed=0, height=72, width=96):
    """A smooth picture that differs from seed to seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 96
    waves = [np.sin(x * rng.uniform(2, 9) + rng.uniform(0, 6)) + np.cos(y * rng.uniform(2, 9)) for _ in range(3)]
    return np.stack([120 + 40 * wave for wave in waves], axis=-1).astype(np.uint8)


def write_pair(folder, name, seed=0, before=None, after=None):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    before = photo(seed) if before is None else before
    Image.fromarray(before).save(folder / f"images/{name}_src.png")
    Image.fromarray(before // 2 + 90 if after is None else after).save(folder / f"images/{name}_tar.png")
    return json.dumps({"src": f"images/{name}_src.png", "tar": f"images/{name}_tar.png"})


@pytest.fixture
def source(tmp_path):
    """Four listed pairs: two to train on, one to validate, one to test."""
    folder = tmp_path / "source"
    rows = [write_pair(folder, name, seed) for seed, name in enumerate(["1", "2", "3", "4"])]
    (folder / "train.jsonl").write_text("\n".join(rows[:2]) + "\n")
    (folder / "val.jsonl").write_text(rows[2] + "\n")
    (folder / "test.jsonl").write_text(rows[3] + "\n")
    return folder


def write_fivek(folder, height=72, width=96):
    """Write twenty-one pairs in two folders, without split lists."""
    for name in ("input", "output_expert_C"):
        (folder / name).mkdir(parents=True)
    for number in range(21):
        before = photo(number, height, width)
        Image.fromarray(before).save(folder / f"input/a{number:04d}.png")
        Image.fromarray(before // 2 + 90).save(folder / f"output_expert_C/a{number:04d}.jpg")
    return folder


@pytest.fixture
def fivek(tmp_path):
    return write_fivek(tmp_path / "fivek")


def prepare_listed(source, output, options=OPTIONS):
    return prepare(source, find_listed_pairs, output, options)


def folder_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def rejected(output):
    return [json.loads(line) for line in (output / "rejected.jsonl").read_text().splitlines()]


# Sources


def test_two_folders_pair_by_stem(fivek):
    pairs = find_fivek_pairs(fivek, "c")
    assert [pair.id for pair in pairs] == [f"a{number:04d}" for number in range(21)]
    assert pairs[0].target == fivek / "output_expert_C/a0000.jpg"


def test_official_layout(tmp_path):
    for path in ("img/dng/a0001-x.dng", "img/tiff16_e/a0001-x.tif"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    (pair,) = find_fivek_pairs(tmp_path, "e")
    assert (pair.id, pair.split, pair.input.name) == ("a0001-x", None, "a0001-x.dng")


def test_both_row_forms_and_both_names_of_the_validation_list(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"input": "a/7_input.jpg", "target": "a/7_target.jpg"}\n\n')
    (tmp_path / "validation.jsonl").write_text('{"src": "a/8_src.jpg", "tar": "a/8_tar.jpg"}')
    assert [(pair.id, pair.split) for pair in find_listed_pairs(tmp_path)] == [("7", "train"), ("8", "validation")]


def test_a_photo_in_two_splits_is_refused(source):
    shutil.copy(source / "train.jsonl", source / "test.jsonl")
    with pytest.raises(SourceError, match=r"'1' is in train\.jsonl, line 1 and again in test\.jsonl, line 1"):
        find_listed_pairs(source)


@pytest.mark.parametrize("line", ["not json", "[1]", '{"src": "a.jpg"}', '{"src": 1, "tar": 2}'])
def test_a_malformed_line_is_named(source, line):
    with open(source / "val.jsonl", "a") as file:
        file.write(line)
    with pytest.raises(SourceError, match=r"val\.jsonl, line 2"):
        find_listed_pairs(source)


@pytest.mark.parametrize("path", ["../secret_src.jpg", "/etc/secret_src.jpg", "images/../../secret_src.jpg"])
def test_a_path_that_leaves_the_folder_is_refused(source, path):
    (source / "test.jsonl").write_text(json.dumps({"src": path, "tar": "images/1_tar.png"}))
    with pytest.raises(SourceError, match="outside the folder"):
        find_listed_pairs(source)


def test_an_unknown_folder_says_what_it_holds_and_what_is_expected(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(SourceError, match=r"holiday\.jpg.*output_expert_B"):
        find_fivek_pairs(tmp_path, "b")
    with pytest.raises(SourceError, match=r"holiday\.jpg.*train\.jsonl"):
        find_listed_pairs(tmp_path)


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(SourceError, match="not a folder"):
        find_listed_pairs(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="is empty"):
        find_listed_pairs(tmp_path)


def test_the_literature_split_of_real_estate_has_no_leak(shared_data):
    pairs = find_listed_pairs(shared_data / "real_estate/full_split")
    assert [sum(pair.split == split for pair in pairs) for split in sources.SPLITS] == [511, 56, 10]


# One pair


def test_a_large_pair_is_shrunk_and_a_small_one_kept(tmp_path):
    write_pair(tmp_path, "1")
    paths = tmp_path / "images/1_src.png", tmp_path / "images/1_tar.png"
    assert prepare_pair(*paths, long_edge=80).target.shape == (60, 80, 3)
    assert prepare_pair(*paths, long_edge=4000).input.shape == (72, 96, 3)


def test_orientation_is_applied_before_sizes_are_compared(tmp_path):
    write_pair(tmp_path, "1")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = np.rot90(photo())
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "images/1_src.png", exif=exif)
    pair = prepare_pair(tmp_path / "images/1_src.png", tmp_path / "images/1_tar.png", None)
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
    write_pair(tmp_path, "1", before=before, after=after)
    with pytest.raises(PairRejected) as caught:
        prepare_pair(tmp_path / "images/1_src.png", tmp_path / "images/1_tar.png", None)
    assert (caught.value.kind, caught.value.measured) == (kind, measured)


def test_a_pair_published_with_a_wrong_target_is_refused(shared_data):
    folder = shared_data / "fivek_defects"
    with pytest.raises(PairRejected, match="equals the input"):
        prepare_pair(folder / "input/a4774.png", folder / "output_expert_C/a4774.png", None)
    with pytest.raises(PairRejected, match="the input is 336x509, the target 335x508"):
        prepare_pair(folder / "input/a4869.png", folder / "output_expert_C/a4869.png", None)


def test_real_pairs_are_accepted(shared_data):
    for folder in sorted((shared_data / "fivek/input").iterdir())[:4]:
        target = shared_data / "fivek/output_expert_C" / folder.name
        assert prepare_pair(folder, target, 256).input.shape == prepare_pair(folder, target, 256).target.shape


# A folder


def test_a_prepared_folder(source, tmp_path, capsys):
    metadata = prepare_listed(source, tmp_path / "out")
    assert metadata["counts"] == {"found": 4, "accepted": 4, "rejected": 0, "train": 2, "validation": 1, "test": 1}
    assert [row["id"] for row in preparation.read_rows(tmp_path / "out", "train")] == ["1", "2"]
    (row,) = preparation.read_rows(tmp_path / "out", "validation")
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


def test_a_prepared_folder_is_a_source_itself(source, tmp_path):
    prepare_listed(source, tmp_path / "out")
    assert [(pair.id, pair.split) for pair in find_listed_pairs(tmp_path / "out")] == [
        (pair.id, pair.split) for pair in find_listed_pairs(source)
    ]


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


def test_five_percent_of_fivek_become_validation(fivek, tmp_path):
    metadata = prepare(fivek, lambda folder: find_fivek_pairs(folder, "c"), tmp_path / "out", OPTIONS)
    assert (metadata["counts"]["train"], metadata["counts"]["validation"]) == (20, 1)
    (row,) = preparation.read_rows(tmp_path / "out", "validation")
    ids = [f"a{number:04d}" for number in range(21)]
    assert row["id"] == min(ids, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def test_a_complete_folder_is_left_as_it_is(source, tmp_path):
    prepare_listed(source, tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    prepare_listed(source, tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == times


def test_other_options_start_anew_and_never_mix(source, tmp_path):
    prepare_listed(source, tmp_path / "out")
    small = Options("real_estate", "all pairs", 80)
    prepare_listed(source, tmp_path / "out", small)
    prepare_listed(source, tmp_path / "fresh", small)
    assert folder_hash(tmp_path / "out") == folder_hash(tmp_path / "fresh")


def test_a_changed_source_is_noticed(source, tmp_path):
    prepare_listed(source, tmp_path / "out")
    write_pair(source, "2", seed=9)
    prepare_listed(source, tmp_path / "out")
    prepare_listed(source, tmp_path / "fresh")
    assert folder_hash(tmp_path / "out") == folder_hash(tmp_path / "fresh")


def test_a_pair_that_left_the_source_leaves_the_folder(source, tmp_path):
    prepare_listed(source, tmp_path / "out")
    (source / "test.jsonl").unlink()
    prepare_listed(source, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("4_*"))
    assert not (tmp_path / "out/test.jsonl").exists()


def test_a_folder_of_someone_else_is_not_touched(source, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("years of work")
    with pytest.raises(PreparationError, match="was not made by this program"):
        prepare_listed(source, tmp_path / "thesis")


def test_a_torn_last_line_is_ignored(source, tmp_path):
    prepare_listed(source, tmp_path / "out")
    progress = tmp_path / "out/progress.jsonl"
    progress.write_bytes(progress.read_bytes()[:-25])
    (tmp_path / "out/dataset_metadata.json").unlink()
    prepare_listed(source, tmp_path / "out")
    prepare_listed(source, tmp_path / "fresh")
    assert folder_hash(tmp_path / "out") == folder_hash(tmp_path / "fresh")


_PREPARE = """
import sys
from pathlib import Path
from datasets.preparation import Options, prepare
from datasets.sources import find_fivek_pairs
source, output = map(Path, sys.argv[1:])
prepare(source, lambda folder: find_fivek_pairs(folder, "c"), output, Options("fivek", "expert C", 512))
"""


def test_kill_9_and_the_same_call_again_gives_the_same_folder_without_redoing_pairs(tmp_path):
    fivek = write_fivek(tmp_path / "fivek", 360, 480)  # large enough that there is time to kill
    out, root = tmp_path / "out", Path(__file__).parents[1]
    command = [sys.executable, "-c", _PREPARE, fivek, out]
    progress = out / "progress.jsonl"
    for at_least in (3, 9):  # lines; killed twice, each time after some more pairs
        process = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while not (progress.exists() and progress.read_bytes().count(b"\n") >= at_least):
            time.sleep(0.001)
        process.kill()
        process.wait()
        assert not (out / "dataset_metadata.json").exists()
    survivors = {path: path.stat().st_mtime_ns for path in (out / "images").glob("a0000_*")}
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in survivors} == survivors
    prepare(fivek, lambda folder: find_fivek_pairs(folder, "c"), tmp_path / "fresh", Options("fivek", "expert C", 512))
    assert folder_hash(out) == folder_hash(tmp_path / "fresh")
