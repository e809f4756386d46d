"""`ablate`: strategies, its table, and that a stopped one continues where it was."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from enhancer.config import StageConfig
from enhancer.scoring.columns import MAIN_COLUMNS
from recipes.ablation.cells import Cell, Cells
from recipes.ablation.command import Ablation, parse
from recipes.ablation.folds import Fold
from recipes.ablation.strategies import ALTERNATIVES, parse_strategies
from recipes.ablation.table import conclude, summarise_cells, write
from recipes.experiment.data_sets import DataSets
from recipes.experiment.options import Experiment, UsageError
from recipes.fivek_transfer import main
from tests.helpers.pair_folders import write_pairs
from tests.helpers.small_network import stand_in


def test_a_strategy_changes_settings_of_either_stage_and_the_network():
    text = "slow:level_decay=0.5,pretrain.epochs=7,model=tiny,progressive_resolutions=32+48"
    strategy = parse_strategies((text,), Experiment())["slow"]
    assert strategy.pretrained
    changed = strategy.experiment
    assert (changed.finetune.level_decay, changed.pretrain.epochs) == (0.5, 7)
    assert (changed.model, changed.finetune.progressive_resolutions) == ("tiny", (32, 48))


def test_a_strategy_may_start_from_scratch_or_leave_out_what_is_mixed_in():
    experiment = Experiment(extra_pairs=(Path("more"),), pretrain=StageConfig(mix_weight=0.5))
    texts = ("longer:from=scratch,epochs=300", "FiveK alone:pretrain.mix_weight=0")
    strategies = parse_strategies(texts, experiment)
    assert not strategies["longer"].pretrained
    assert strategies["FiveK alone"].experiment.pretrain.mix_weight == 0
    rooms = Experiment(rendered_rooms=9, finetune=StageConfig(mix_weight=0.5))
    assert parse_strategies(("no rooms:mix_weight=0",), rooms)["no rooms"]


def test_the_built_in_strategies_can_be_read():
    assert len(parse_strategies(ALTERNATIVES, Experiment())) == len(ALTERNATIVES) + 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("frozen", "NAME:key=value"),
        ("scratch:epochs=3", "received 'scratch:epochs=3'"),
        ("a:epochs", "NAME:key=value"),
        ("a:pretrain.seed=3", "--seeds gives the seeds"),
        ("a:from=somewhere", "from= takes only scratch"),
        ("a:pretrain.mix_weight=0.5", "there are no pairs to mix"),
    ],
)
def test_a_strategy_that_does_not_read_so_is_refused(text, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        parse_strategies((text,), Experiment())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:epoch=3", "finetune.epoch"),
        ("a:epochs=many", "epochs"),
        ("a:augmentation=loud", "invalid choice 'loud'"),
        ("a:ema_decay=5", "ema_decay must lie in [0, 0.999999], received 5.0"),
    ],
)
def test_a_setting_that_is_none_is_refused_by_the_recipes_own_parser(text, said, capsys):
    with pytest.raises(SystemExit):
        parse_strategies((text,), Experiment())
    shown = capsys.readouterr()
    assert said in " ".join((shown.out + shown.err).replace("│", " ").split())


def test_names_that_differ_in_signs_have_folders_of_their_own():
    assert Cell("a+b", 5, 0, 0).folder != Cell("a-b", 5, 0, 0).folder


def cell(strategy: str, seed: int, values, fold: int = 0, pairs: int = 8) -> dict:
    rows = [
        {"id": f"{fold}-{i}"} | dict.fromkeys(MAIN_COLUMNS, 0.5) | {"l1": float(value)}
        for i, value in enumerate(values)
    ]
    place = {"strategy": strategy, "pairs": pairs, "fold": fold, "seed": seed}
    return {"cell": place, "rows": rows, "seconds": 10.0, "history": []}


def planted(gain: float, fits: dict[str, float] | None = None) -> list[dict]:
    """Scratch, transfer that is better by `gain`, and fits so many times as good as scratch."""
    generator = np.random.default_rng(0)
    base, cells = np.exp(generator.normal(-3, 0.3, (2, 10))), []
    for seed in range(3):
        for fold in range(2):
            for strategy, factor in {"scratch": 1.0, "transfer": 1 - gain, **(fits or {})}.items():
                noise = np.exp(generator.normal(0, 0.01) + generator.normal(0, 0.05, 10))
                cells.append(cell(strategy, seed, base[fold] * factor * noise, fold))
    return cells


SCENES = {f"{fold}-{i}": 100 * fold + i for fold in range(2) for i in range(10)}


def row_of(table: list[dict], strategy: str) -> dict:
    return next(row for row in table if row["strategy"] == strategy)


def test_the_table_joins_folds_and_compares_over_seeds_and_photos(tmp_path):
    cells = planted(0.15, {"curve": 1.6, "adaptive_lookup": 0.5})
    table = summarise_cells(cells, 2, SCENES)
    transfer, scratch = row_of(table, "transfer"), row_of(table, "scratch")
    assert (transfer["n"], transfer["seeds"]) == (20, 3)
    assert transfer["vs_scratch"]["relative_percent"] == pytest.approx(-15, abs=3)
    assert transfer["vs_scratch"]["outcome"] == "better"
    outcomes = [scratch[f"vs_{name}"]["outcome"] for name in ("curve", "adaptive_lookup")]
    assert outcomes == ["better", "worse"]
    headline, sentences = conclude(table, 2)
    assert headline.startswith("The gain is real: pre-training lowers the test L1 by 1")
    assert sentences[1].startswith("L1 of transfer against fitted curve: −4")
    assert any("2 folds" in sentence for sentence in sentences)
    text = write(tmp_path, {"finetune": {"epochs": 3}}, cells, 2, SCENES)
    assert re.search(r"transfer .* −1\d\.\d % \[−\d\d\.\d, −\d+\.\d\] better", text)
    page = (tmp_path / "ablation.html").read_text(encoding="utf-8")
    assert "<span>finetune.epochs</span><span>3</span>" in page
    assert "<svg" in page


def test_two_copies_of_a_strategy_show_no_difference():
    values = [0.1, 0.2, 0.15]
    cells = [cell(name, seed, values) for name in ("scratch", "transfer") for seed in range(2)]
    table = summarise_cells(cells, 1, {f"0-{i}": i for i in range(3)})
    assert row_of(table, "transfer")["vs_scratch"]["outcome"] == "same"


def test_a_seed_counts_when_all_of_its_folds_are_there():
    cells = planted(0.15)
    missing = [c for c in cells if (c["cell"]["seed"], c["cell"]["fold"]) != (2, 1)]
    assert {row["seeds"] for row in summarise_cells(missing, 2, SCENES)} == {2}


def fitting_cells(workdir: Path, pairs: list[dict], **options) -> Cells:
    """Training pairs that show no edit, validation and test pairs that show a brighter one."""
    unchanged = [pair | {"target": pair["input"]} for pair in pairs[:3]]
    experiment = Experiment(workdir=workdir, **options)
    data = DataSets(fivek=lambda _: [], real_estate=lambda _: [], extra=[], rendered=[])
    folds = [Fold(unchanged, pairs[3:6], pairs[6:])]
    return Cells(experiment, parse_strategies((), experiment), data, folds)


def test_baselines_are_fitted_again_where_networks_train_on_the_validation_pairs(
    tmp_path, brightened_pairs
):
    fitted, unedited = Cell("curve", 3, 0, 0), Cell("unedited", 3, 0, 0)
    before = fitting_cells(tmp_path, brightened_pairs)
    saved = [before.run(cell) for cell in (fitted, unedited)]
    assert [before.read(cell) for cell in (fitted, unedited)] == saved
    now = fitting_cells(tmp_path, brightened_pairs, train_on_validation=True)
    assert now.read(fitted) is None
    assert now.read(unedited) == saved[1]
    on_train, on_both = (
        np.mean([row["l1"] for row in run["rows"]]) for run in (saved[0], now.run(fitted))
    )
    assert on_both < 0.8 * on_train


def test_help_and_presets(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    said = capsys.readouterr().out
    assert "--train-on-validation" in said
    assert "--require-gain" not in said  # it would do nothing
    assert isinstance(parse(["quick"]), Ablation)
    assert parse(["quick", "--seeds", "3", "4"]).seeds == (3, 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--finetune.seed", "3"], "--seeds gives them"),
        (["--seeds", "-1"], "--seeds lie in"),
        (["--folds", "0"], "--folds >= 1"),
        (["--fractions", "1.5"], "--fractions lie in (0, 1]"),
    ],
)
def test_options_without_a_meaning_are_refused_before_anything_is_built(
    tmp_path, capsys, options, said
):
    assert main(["ablate", "quick", "--workdir", str(tmp_path), *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "miniature").exists()


def test_a_stopped_ablation_continues_with_what_is_left_and_ends_with_the_same_table(
    tmp_path, monkeypatch, capsys
):
    """Stages that only validate what they start from; the kill is a cell that is taken away."""
    stand_in(monkeypatch)
    for folder, seed in (("fivek", 1), ("rooms", 2)):
        names = [f"{folder}{i}" for i in range(6)]
        lists = {"train.jsonl": names[:4], "val.jsonl": names[4:5], "test.jsonl": names[5:]}
        write_pairs(tmp_path / folder, names, lists, seed=seed, height=96, width=96)
    lists = {"train.jsonl": ["few0"], "val.jsonl": ["few1"], "test.jsonl": ["few2"]}
    write_pairs(tmp_path / "few", ["few0", "few1", "few2"], lists, seed=3, height=96, width=96)
    stage = ("resolution=16", "epochs=0", "batch-size=4")
    arguments = ["ablate", "quick", f"--workdir={tmp_path / 'run'}"]
    arguments += [f"--fivek={tmp_path / 'fivek'}", "--real-estate"]
    arguments += [str(tmp_path / "rooms"), str(tmp_path / "few")]
    arguments += [f"--{name}.{option}" for name in ("pretrain", "finetune") for option in stage]
    arguments += ["--seeds", "0", "--fractions", "1", "--folds", "2", "--strategies"]
    assert main(arguments) == 0, capsys.readouterr().err
    cells = tmp_path / "run" / "cells"
    first = json.loads((tmp_path / "run" / "ablation.json").read_text())
    assert {row["n"] for row in first["table"]} == {9}  # each pair is tested once
    names = {"unedited", "pretrained", "curve", "adaptive_lookup", "scratch", "transfer"}
    assert {row["strategy"] for row in first["table"]} == names
    assert not list(cells.glob("*/checkpoints"))

    gone = next(cells.glob("transfer*fold1*"))
    (gone / "scores.json").unlink()
    untouched = {path: path.stat().st_mtime_ns for path in cells.glob("*/scores.json")}
    assert untouched
    assert main(arguments) == 0
    second = json.loads((tmp_path / "run" / "ablation.json").read_text())
    assert all(path.stat().st_mtime_ns == time for path, time in untouched.items())
    for row in (*first["table"], *second["table"]):
        row.pop("seconds")
    assert second["table"] == first["table"]

    capsys.readouterr()
    assert main([*arguments, "slow:level_decay=0.5", "--finetune.epochs=2"]) == 2
    assert "other settings" in capsys.readouterr().err
