"""What stage 1 has seen is found in what preparation wrote down, in the built data set, or in the source folder."""

import json
import shutil
from pathlib import Path

import pytest

from datasets import build, miniature
from datasets.sources.lists import SourceError
from enhancer.data.pairs import Pair
from enhancer.photo.io import read_photo
from recipes import seen_scenes
from recipes.run_folder import Run
from recipes.scenes import find_leaks
from recipes.seen_scenes import find_seen_scenes

CONFIG = "long_1536"


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Rendered rooms: three to train on, one to validate, one to test."""
    folder = tmp_path_factory.mktemp("source")
    miniature.write(
        folder, long_edge=160, fivek_pairs=3, real_estate_pairs={"train": 3, "val": 1, "test": 1}
    )
    return folder / "real_estate"


@pytest.fixture(scope="module")
def data_dir(source, tmp_path_factory) -> Path:
    """The same, built."""
    folder = tmp_path_factory.mktemp("data")
    build.build("real_estate", source, folder, CONFIG, num_workers=1)
    return folder


def judged(source: Path) -> list[Pair]:
    """One pair of the training list and the one of the test list, as somebody might judge them."""
    pairs = []
    for name in ("train", "test"):
        row = json.loads((source / f"{name}.jsonl").read_text().splitlines()[0])
        before, after = (read_photo(source / path).pixels for path in row.values())
        pairs.append(Pair(name, before, after))
    return pairs


def leaks(
    source: Path, data_dir: Path, splits=("train", "validation"), fingerprint: str = "", folder=None
) -> list[str]:
    seen = find_seen_scenes("real_estate", data_dir, CONFIG, fingerprint, folder or source, splits)
    return find_leaks(judged(source), [0, 1], seen)


def test_hashes_are_taken_from_what_preparation_wrote_down(source, data_dir, monkeypatch):
    monkeypatch.setattr(seen_scenes, "perceptual_hash", lambda _: pytest.fail("computed again"))
    fingerprint = build.fingerprint("real_estate", data_dir, CONFIG)
    assert leaks(source, data_dir, fingerprint=fingerprint) == ["train"]
    assert leaks(source, data_dir, ("train", "validation", "test"), fingerprint) == [
        "train",
        "test",
    ]


def test_without_the_prepared_folder_the_built_set_is_read(source, data_dir, tmp_path):
    shutil.copytree(data_dir / "real_estate", tmp_path / "real_estate")
    fingerprint = build.fingerprint("real_estate", data_dir, CONFIG)
    assert leaks(source, tmp_path, fingerprint=fingerprint, folder=tmp_path / "gone") == ["train"]


def test_without_the_built_set_the_source_folder_is_read(source, tmp_path):
    assert leaks(source, tmp_path) == ["train"]


def test_a_source_of_too_many_pairs_is_not_read(source, tmp_path, monkeypatch):
    monkeypatch.setattr(seen_scenes, "MOST_FILES", 2)
    with pytest.raises(
        SourceError, match=r"is not built in .* has 4 pairs, too many to read them again"
    ):
        leaks(source, tmp_path)


def test_another_data_set_at_the_same_place_does_not_count(source, data_dir, tmp_path):
    with pytest.raises(SourceError, match="is not the one that the run was pre-trained on"):
        leaks(source, data_dir, fingerprint="another", folder=tmp_path / "gone")


def test_a_run_names_its_data_sets_and_that_of_the_run_it_started_from(source, tmp_path):
    settings = {
        "data_dir": str(tmp_path / "no"),
        "fivek_config": "c_512",
        "real_estate_config": CONFIG,
        "data": {},
    }
    folders = {"fivek": str(source.parent / "fivek"), "extra_pairs": str(source)}
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "config.json").write_text(json.dumps(settings | folders))
    second = settings | {"fivek": "gone", "pretrained": str(tmp_path / "first" / "pretrain")}
    for run in (
        Run(tmp_path / "first", settings | folders, {"finetune": tmp_path}),
        Run(tmp_path / "second", second, {"finetune": tmp_path}),
    ):
        assert (
            len(run.pretraining_scenes().hashes) == 3 + 5
        )  # FiveK, and all lists of the extra pairs


def test_a_run_from_scratch_has_seen_nothing_before(tmp_path):
    assert Run(tmp_path, {}, {"scratch": tmp_path}).pretraining_scenes().hashes == ()
