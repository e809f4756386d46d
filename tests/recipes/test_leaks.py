"""What stage 1 has seen is found in the data set that it was built into."""

import json
from pathlib import Path

import pytest

from datasets import build, miniature
from datasets.types import SourceError
from enhancer.data.pairs import Pair
from enhancer.photo.io import read_photo
from recipes.experiment.data_sets import open_trained
from recipes.experiment.run_folder import Run
from recipes.experiment.scored_pairs import find_leaks

CONFIG = "long_1536"


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    """Rendered rooms, three to train on, one to validate, one to test; and three FiveK pairs."""
    folder, split = tmp_path_factory.mktemp("sets"), {"train": 3, "val": 1, "test": 1}
    miniature.write(folder, long_edge=160, fivek_pairs=3, real_estate_pairs=split)
    build.build("real_estate", folder / "real_estate", folder / "data", CONFIG, num_workers=1)
    return folder


@pytest.fixture(scope="module")
def judged(sets) -> list[Pair]:
    """One pair of the training list and one of the test list, as somebody might judge them."""
    pairs = []
    for name in ("train", "test"):
        row = json.loads((sets / f"real_estate/{name}.jsonl").read_text().splitlines()[0])
        photos = (read_photo(sets / "real_estate" / path).pixels for path in row.values())
        pairs.append(Pair(name, *photos))
    return pairs


def test_what_was_trained_on_is_found_in_the_built_set(sets, judged):
    fingerprint = build.fingerprint("real_estate", sets / "data", CONFIG)

    def leaks(*splits):
        seen = open_trained("real_estate", [sets / "data"], CONFIG, fingerprint, splits)
        return find_leaks(judged, [0, 1], seen)

    assert leaks("train", "validation") == ["train"]
    assert leaks("train", "validation", "test") == ["train", "test"]


def test_decoded_pairs_that_were_trained_on_are_found(judged):
    assert find_leaks(judged, [0, 1], judged[1:]) == ["test"]
    assert find_leaks(judged, [0, 0], judged[1:]) == ["train", "test"]  # one scene
    assert find_leaks(judged, [0, 1], []) == []


def test_another_data_set_at_the_same_place_does_not_count(sets):
    with pytest.raises(SourceError, match="is not the one that the run was trained on"):
        open_trained("real_estate", [sets / "data"], CONFIG, "another", ("train",))


def test_a_run_names_its_data_sets_and_that_of_the_run_it_started_from(sets, tmp_path):
    data_dir = sets / "run"
    build.build("fivek", sets / "fivek", data_dir, "c_512", num_workers=1)
    extra = data_dir / "extra_pairs"
    build.build("real_estate", sets / "real_estate", extra, CONFIG, num_workers=1)
    settings = {
        "data_dir": str(data_dir),
        "fivek_config": "c_512",
        "real_estate_config": CONFIG,
        "extra_pairs": str(sets / "real_estate"),
        "data": {
            "fivek": build.fingerprint("fivek", data_dir, "c_512"),
            "extra_pairs": build.fingerprint("real_estate", extra, CONFIG),
        },
    }
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "config.json").write_text(json.dumps(settings))
    second = {"pretrained": str(tmp_path / "first" / "pretrain")}
    for run in (
        Run(tmp_path / "first", settings, {"finetune": tmp_path}),
        Run(tmp_path / "second", second, {"finetune": tmp_path}),
    ):  # FiveK, and all lists of the extra pairs
        assert len(run.pretraining_pairs()) == 3 + 5


def test_a_run_from_scratch_has_seen_nothing_before(tmp_path):
    assert Run(tmp_path, {}, {"scratch": tmp_path}).pretraining_pairs() == []
