"""`python -m recipes.compare`: any pairs, any run, one table; what cannot be had is said."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets import build
from datasets.types import SourceError
from enhancer.photo.io import write_photo
from enhancer.scoring.columns import COLUMNS
from recipes.compare import main
from recipes.experiment.run_folder import Run
from tests.helpers.pair_folders import write_pairs
from tests.helpers.small_network import stand_in


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    stand_in(monkeypatch)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, small_stage) -> Path:
    """A run with a fine-tuned stage whose training pairs lie in a folder, and whose data sets are
    not built."""
    workdir = tmp_path_factory.mktemp("compared")
    (workdir / "finetune").symlink_to(small_stage)
    names = [f"train{i}" for i in range(5)]
    write_pairs(
        workdir / "pairs", names, {"train.jsonl": names[:4], "val.jsonl": names[4:]}, seed=1
    )
    config = {
        "real_estate": str(workdir / "pairs"),
        "data_dir": str(workdir / "no"),
        "real_estate_config": "long_1536",
    }
    (workdir / "config.json").write_text(
        json.dumps(config | {"miniature": False, "data": {"real_estate": "-"}})
    )
    return workdir


def compare(run_folder: Path, pairs: Path, *options: str) -> int:
    return main(["--workdir", str(run_folder), "--pairs", str(pairs), *options])


def test_all_pairs_of_all_lists_are_scored_by_every_method_and_the_same_again(
    run_folder, tmp_path, capsys
):
    names = list("abcdef")
    write_pairs(tmp_path / "p", names, {"train.jsonl": names[:2], "test.jsonl": names[2:]})
    write_pairs(tmp_path / "theirs", [], {})
    for name in names:
        write_photo(tmp_path / "theirs" / f"{name}.png", np.full((30, 44, 3), 120, np.uint8))
    out = [str(tmp_path / name) for name in ("scores.json", "page.html")]
    code = compare(
        run_folder,
        tmp_path / "p",
        "--json",
        out[0],
        "--report",
        out[1],
        "--predictions",
        f"theirs={tmp_path / 'theirs'}",
    )
    text = capsys.readouterr().out
    assert code == 0, text
    results = json.loads(Path(out[0]).read_text())
    assert list(results["methods"]) == [
        "unedited",
        "curve",
        "lookup",
        "adaptive_lookup",
        "finetuned",
        "theirs",
    ]
    assert {scores["n"] for scores in results["methods"].values()} == {6}
    assert set(results["methods"]["finetuned"]["mean"]) <= set(COLUMNS)
    assert (
        results["methods"]["curve"]["mean"]["l1"]
        < 0.2 * results["methods"]["unedited"]["mean"]["l1"]
    )
    assert "fitted curve" in text
    assert "fine-tuned vs fitted curve: L1" in text
    assert "fine-tuned vs theirs: L1" in text
    page = Path(out[1]).read_text()
    assert "Learning curves" in page
    assert "theirs" in page

    again = tmp_path / "again.json"
    assert (
        compare(
            run_folder,
            tmp_path / "p",
            "--json",
            str(again),
            "--predictions",
            f"theirs={tmp_path / 'theirs'}",
        )
        == 0
    )
    assert again.read_bytes() == Path(out[0]).read_bytes()
    capsys.readouterr()


def test_photos_of_scenes_that_the_run_was_trained_on_are_counted_and_named(
    run_folder, tmp_path, capsys
):
    folder = tmp_path / "p"
    write_pairs(folder, ["a"], {})
    for role in ("src", "tar"):
        shutil.copy(run_folder / "pairs" / f"train1_{role}.png", folder / f"b_{role}.png")
    assert compare(run_folder, folder) == 0
    said = capsys.readouterr().out
    assert "Of 2 test photos 1 shows a scene that fine-tuning was given" in said
    assert "too good: b." in said


def test_photos_that_were_seen_in_pretraining_are_named_apart(run_folder, tmp_path, capsys):
    folder, general = tmp_path / "p", tmp_path / "general"
    write_pairs(folder, ["a", "b"], {}, seed=8, height=120, width=160)
    write_pairs(general, ["a0001", "a0002", "a0003"], {}, seed=9, height=120, width=160)
    for role, where in (("src", "input"), ("tar", "output_expert_C")):
        shutil.copy(folder / f"b_{role}.png", general / f"a0001_{role}.png")
        (general / where).mkdir()
        for path in general.glob(f"*_{role}.png"):
            path.rename(general / where / f"{path.name[:5]}.png")
    build.build("fivek", general, tmp_path / "data", "c_512", num_workers=1)
    fingerprint = build.fingerprint("fivek", tmp_path / "data", "c_512")
    other = tmp_path / "run"
    other.mkdir()
    (other / "finetune").symlink_to(run_folder / "finetune")
    config = json.loads((run_folder / "config.json").read_text())
    (other / "config.json").write_text(
        json.dumps(
            config
            | {"data_dir": str(tmp_path / "data"), "fivek_config": "c_512"}
            | {"data": config["data"] | {"fivek": fingerprint}}
        )
    )
    scores = tmp_path / "scores.json"
    assert compare(other, folder, "--json", str(scores)) == 0
    text = capsys.readouterr().out
    assert "Of 2 test photos 1 shows a scene that was seen in pre-training" in text
    assert "that fine-tuning was given" not in text
    results = json.loads(scores.read_text())
    assert (results["seen_in_pretraining"], results["seen_in_training"]) == (["b"], [])


def test_a_run_whose_pretraining_pairs_are_gone_says_that_nobody_can_tell(
    run_folder, tmp_path, capsys
):
    write_pairs(tmp_path / "p", ["a"], {})
    scores = tmp_path / "scores.json"
    assert compare(run_folder, tmp_path / "p", "--json", str(scores)) == 0
    assert (
        "Nobody can tell whether these photos were seen in pre-training" in capsys.readouterr().out
    )
    assert json.loads(scores.read_text())["seen_in_pretraining"] is None


def test_a_run_whose_folders_are_relative_is_compared_from_any_directory(tmp_path):
    config = {"workdir": "runs/a", "data_dir": "runs/a/data"}
    run = Run(tmp_path / "moved", config, {})
    with pytest.raises(SourceError, match=re.escape(str(tmp_path / "moved" / "data"))):
        run.training_pairs("train")


def test_lists_beside_the_known_ones_are_said_to_be_unread(run_folder, tmp_path, capsys):
    write_pairs(tmp_path / "p", ["a", "b"], {"test.jsonl": ["a"], "held_out.jsonl": ["b"]})
    assert compare(run_folder, tmp_path / "p") == 0
    assert (
        "Not read, because the folder has train.jsonl, val.jsonl or test.jsonl: held_out.jsonl."
        in capsys.readouterr().out
    )


def test_without_training_pairs_the_networks_are_scored_and_the_reason_is_said(
    small_stage, tmp_path, capsys
):
    write_pairs(tmp_path / "p", ["a", "b", "c"], {"test.jsonl": ["a", "b", "c"]})
    (tmp_path / "p" / "c_src.png").write_bytes(b"no picture")
    assert compare(small_stage, tmp_path / "p") == 0
    text = capsys.readouterr().out
    assert "Pairs left out, 1 in all: c (" in text
    assert "No curve and no lookup table could be fitted" in text
    assert "fine-tuned vs unedited" in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--predictions", "theirs"], "NAME=FOLDER"),
        (["--predictions", "curve=."], "is taken"),
        (["--predictions", "theirs=nowhere"], "not a folder"),
        (["--split", "validation"], "no pairs in its list"),
        (["--json", "no/such/folder/s.json"], "is not a folder"),
    ],
)
def test_wrong_usage_is_one_sentence_and_code_2(run_folder, tmp_path, capsys, options, said):
    write_pairs(tmp_path / "p", ["a"], {"test.jsonl": ["a"]})
    assert compare(run_folder, tmp_path / "p", *options) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_folder_without_a_network_is_refused(tmp_path, capsys):
    write_pairs(tmp_path / "p", ["a"], {"test.jsonl": ["a"]})
    assert compare(tmp_path / "run", tmp_path / "p") == 1
    assert "does not exist" in capsys.readouterr().err
