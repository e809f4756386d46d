"""`ablate`: the grid, its strategies, its table, and that a stopped one continues where it was."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from recipes.ablation_cells import Cells, FoldData
from recipes.ablation_grid import Cell, pair_counts, plan
from recipes.ablation_report import closest_preset, conclude, write
from recipes.ablation_table import ablation_text, summarise_cells
from recipes.strategies import ALTERNATIVES, basic_strategies, parse_strategy

from enhancer import config
from enhancer.config import StageConfig
from enhancer.scoring.metrics import METRICS
from recipes.ablation import Options, defaults, parse
from recipes.data_sets import Sources
from recipes.experiment import Experiment, UsageError, configuration
from recipes.fivek_transfer import main
from tests.conftest import NANO
from tests.helpers.pair_folders import write_pairs


def test_a_strategy_changes_settings_of_either_stage_and_the_network():
    strategy = parse_strategy(
        "slow:level_decay=0.5,pretrain.epochs=7,model=tiny,progressive_resolutions=32+48",
        Experiment(),
    )
    assert (strategy.name, strategy.pretrained) == ("slow", True)
    assert (strategy.experiment.finetune.level_decay, strategy.experiment.pretrain.epochs) == (
        0.5,
        7,
    )
    assert (strategy.experiment.model, strategy.experiment.finetune.progressive_resolutions) == (
        "tiny",
        (32, 48),
    )


def test_a_strategy_may_start_from_scratch():
    assert not parse_strategy("longer:from=scratch,epochs=300", Experiment()).pretrained


def test_the_built_in_strategies_can_be_read():
    assert len({parse_strategy(text, Experiment()).name for text in ALTERNATIVES}) == len(
        ALTERNATIVES
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("frozen", "NAME:key=value"),
        ("scratch:epochs=3", "NAME not taken"),
        ("a:epochs", "not key=value"),
        ("a:epoch=3", "'epoch', which is no setting"),
        ("a:epochs=many", "epochs is a number"),
        ("a:augmentation=loud", "augmentation is one of none, flip, strong"),
        ("a:test.epochs=3", "stages are pretrain and finetune"),
        ("a:pretrain.seed=3", "--seeds gives them"),
        (
            "a:ema_decay=5",
            "Strategy 'a': finetune.ema_decay must lie in [0, 0.999999], received 5.0",
        ),
        ("a:pretrain.epochs=0", "Strategy 'a': pretrain.epochs must lie in"),
        (
            "a:pretrain.mix_weight=0.5",
            "Strategy 'a': pretrain.mix_weight is 0.5, but there are no pairs to mix",
        ),
    ],
)
def test_a_strategy_that_does_not_read_so_is_refused(text, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        parse_strategy(text, Experiment())


def test_a_strategy_may_leave_the_extra_pairs_out():
    experiment = Experiment(extra_pairs=Path("more"), pretrain=StageConfig(mix_weight=0.5))
    assert (
        parse_strategy(
            "FiveK alone:pretrain.mix_weight=0", experiment
        ).experiment.pretrain.mix_weight
        == 0
    )


def test_numbers_of_pairs_come_from_fractions_and_numbers():
    assert pair_counts(405, [0.5, 1.0], [10, 50, 9999]) == [10, 50, 202, 405]
    with pytest.raises(UsageError, match="fractions"):
        pair_counts(10, [1.5], [])


def test_the_grid_sets_scratch_against_transfer_on_each_number_and_the_others_on_the_largest():
    strategies = [*basic_strategies(Experiment()), parse_strategy(ALTERNATIVES[0], Experiment())]
    cells = plan(strategies, [5, 20], folds=2, seeds=[0, 1])
    assert len(cells) == len({cell.name for cell in cells})
    assert sum(cell.strategy == "transfer" for cell in cells) == 2 * 2 * 2
    assert {cell.pairs for cell in cells if cell.strategy == strategies[2].name} == {20}
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)


def test_names_that_differ_in_signs_have_folders_of_their_own():
    assert Cell("a+b", 5, 0, 0).name != Cell("a-b", 5, 0, 0).name


def cell(strategy: str, seed: int, values, fold: int = 0, pairs: int = 8) -> dict:
    rows = [
        {"id": f"{fold}-{i}"} | dict.fromkeys(METRICS, 0.5) | {"l1": float(value)}
        for i, value in enumerate(values)
    ]
    place = {"strategy": strategy, "pairs": pairs, "fold": fold, "seed": seed}
    return {"cell": place, "rows": rows, "seconds": 10.0, "history": []}


def planted(gain: float, seeds: int = 3, photos: int = 20) -> list[dict]:
    """Scratch, and transfer that is better by `gain`, over seeds, in two folds."""
    generator = np.random.default_rng(0)
    base, cells = np.exp(generator.normal(-3, 0.3, (2, photos // 2))), []
    for seed in range(seeds):
        for fold in range(2):
            for strategy, factor in (("scratch", 1.0), ("transfer", 1 - gain)):
                noise = np.exp(generator.normal(0, 0.01) + generator.normal(0, 0.05, photos // 2))
                cells.append(cell(strategy, seed, base[fold] * factor * noise, fold))
    return cells


SCENES = {f"{fold}-{i}": 100 * fold + i for fold in range(2) for i in range(10)}


def test_the_table_joins_folds_and_compares_over_seeds_and_photos():
    table = summarise_cells(planted(0.15), 2, SCENES)
    transfer = next(row for row in table if row["strategy"] == "transfer")
    assert (transfer["n"], transfer["seeds"]) == (20, 3)
    assert transfer["vs_scratch"]["relative_percent"] == pytest.approx(-15, abs=3)
    assert transfer["vs_scratch"]["outcome"] == "better"
    headline, sentences = conclude(table, 2)
    assert headline.startswith("The gain is real: pre-training lowers the test L1 by 1")
    assert "over 3 seeds" in sentences[0]
    assert any("2 folds" in sentence for sentence in sentences)
    assert re.search(r"transfer .* −1\d\.\d % \[−\d\d\.\d, −\d+\.\d\] better", ablation_text(table))


def with_fits(cells: list[dict], factors: dict[str, float]) -> list[dict]:
    """Beside each training from scratch, what was fitted on as many pairs, so many times as good."""
    fits = []
    for scratch in (entry for entry in cells if entry["cell"]["strategy"] == "scratch"):
        place, values = scratch["cell"], [row["l1"] for row in scratch["rows"]]
        fits += [
            cell(name, place["seed"], np.array(values) * factor, place["fold"])
            for name, factor in factors.items()
        ]
    return cells + fits


def test_transfer_and_scratch_are_set_against_what_was_fitted_without_a_network():
    table = summarise_cells(
        with_fits(planted(0.15), {"curve": 1.6, "adaptive_lookup": 0.5}), 2, SCENES
    )
    scratch, transfer = (
        next(row for row in table if row["strategy"] == name) for name in ("scratch", "transfer")
    )
    assert transfer["vs_curve"]["relative_percent"] == pytest.approx(100 * (0.85 / 1.6 - 1), abs=2)
    assert (scratch["vs_curve"]["outcome"], scratch["vs_adaptive_lookup"]["outcome"]) == (
        "better",
        "worse",
    )
    curve = next(row for row in table if row["strategy"] == "curve")
    assert (curve["vs_curve"], curve["vs_adaptive_lookup"]) == (None, None)
    said = [sentence for sentence in conclude(table, 2)[1] if sentence.startswith("Compared with")]
    assert len(said) == 4
    assert said[0].startswith("Compared with “fitted curve”, transfer changes L1 by −4")
    assert said[0].endswith("the whole interval lies on the better side.")
    assert said[3].startswith(
        "Compared with “fitted lookup table, adaptive”, training from scratch changes L1 by +100.0 %"
    )
    assert said[3].endswith("the whole interval lies on the worse side.")


def test_without_fits_nothing_is_said_about_them():
    assert not [
        text
        for text in conclude(summarise_cells(planted(0.15), 2, SCENES), 2)[1]
        if "Compared" in text
    ]


def test_the_page_lists_the_settings_that_differ_from_the_closest_preset(tmp_path):
    options = dataclasses.replace(defaults()["recommended"], seeds=(4, 5), fivek=Path("photos"))
    options = dataclasses.replace(
        options, finetune=dataclasses.replace(options.finetune, peak_learning_rate=1e-4)
    )
    config = configuration(options, {"fivek": "17c4"})
    presets = {name: configuration(default, {}) for name, default in defaults().items()}
    assert closest_preset(config, presets) == (
        "recommended",
        [
            ("fivek", "photos", "–"),
            ("finetune.peak_learning_rate", "0.0001", "0.0003"),
            ("seeds", "4, 5", "0, 1, 2"),
            ("data.fivek", "17c4", "–"),
        ],
    )
    write(tmp_path, config, planted(0.15), [0, 0], SCENES, presets)
    page = (tmp_path / "ablation.html").read_text(encoding="utf-8")
    assert "<td>finetune.peak_learning_rate</td><td>0.0001</td><td>0.0003</td>" in page
    assert "{&#39;" not in page  # no dictionary as Python writes it
    assert "warmup_epochs" not in page


def test_two_copies_of_a_strategy_show_no_difference():
    cells = [
        cell(strategy, seed, [0.1, 0.2, 0.15])
        for strategy in ("scratch", "transfer")
        for seed in range(2)
    ]
    (_, transfer) = summarise_cells(cells, 1, {f"0-{i}": i for i in range(3)})
    assert transfer["vs_scratch"]["outcome"] == "same"


def test_a_seed_counts_when_all_of_its_folds_are_there():
    cells = [
        entry
        for entry in planted(0.15)
        if not (entry["cell"]["seed"] == 2 and entry["cell"]["fold"] == 1)
    ]
    assert {row["seeds"] for row in summarise_cells(cells, 2, SCENES)} == {2}


def fitting_cells(workdir: Path, pairs: list[dict], **options) -> Cells:
    """Training pairs that show no edit, validation and test pairs that show a brighter one."""
    unchanged = [pair | {"target": pair["input"]} for pair in pairs[:3]]
    experiment = Experiment(workdir=workdir, **options)
    sources = Sources(fivek=lambda _: [], real_estate=lambda _: [], extra=None)
    return Cells(
        experiment,
        basic_strategies(experiment),
        sources,
        [FoldData(unchanged, pairs[3:6], pairs[6:])],
    )


def test_baselines_are_fitted_on_the_validation_pairs_where_networks_train_on_them(
    tmp_path, brightened_pairs
):
    fitted = Cell("curve", 3, 0, 0)
    on_train = fitting_cells(tmp_path / "train", brightened_pairs).run(fitted)
    on_both = fitting_cells(tmp_path / "both", brightened_pairs, train_on_validation=True).run(
        fitted
    )
    assert np.mean([row["l1"] for row in on_both["rows"]]) < 0.8 * np.mean(
        [row["l1"] for row in on_train["rows"]]
    )


def test_baselines_that_were_fitted_on_other_pairs_are_fitted_again(tmp_path, brightened_pairs):
    fitted, unedited = Cell("curve", 3, 0, 0), Cell("unedited", 3, 0, 0)
    before = fitting_cells(tmp_path, brightened_pairs)
    saved = [before.run(cell) for cell in (fitted, unedited)]
    assert [before.read(cell) for cell in (fitted, unedited)] == saved
    now = fitting_cells(tmp_path, brightened_pairs, train_on_validation=True)
    assert now.read(fitted) is None
    assert now.read(unedited) == saved[1]


def test_validation_pairs_that_were_trained_on_are_named_beside_the_table(tmp_path):
    said = "have also seen the 1 to 2 validation pairs, which the numbers of pairs do not count"
    assert said in write(tmp_path, {}, planted(0.15), [1, 2], SCENES)
    assert said in " ".join((tmp_path / "ablation.html").read_text().split())
    assert "validation pairs" not in write(tmp_path, {}, planted(0.15), [0, 0], SCENES)


def test_help_and_presets(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    said = capsys.readouterr().out
    assert "--train-on-validation" in said
    assert not [
        option for option in ("--from-scratch", "--require-gain") if option in said
    ]  # they would do nothing
    assert isinstance(parse(["quick"]), Options)
    assert parse(["quick", "--seeds", "3", "4"]).seeds == (3, 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--finetune.seed", "3"], "--seeds gives them"),
        (["--seeds", "-1"], "--seeds lie in"),
        (["--folds", "0"], "--folds is at least 1"),
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
    """Real training of a network that compiles in seconds, cross-validated; the kill is a cell that is taken away."""
    monkeypatch.setitem(config.MODEL_SIZES, "tiny", NANO)
    for folder, seed in (("fivek", 1), ("rooms", 2)):
        names = [f"{folder}{i}" for i in range(8)]
        write_pairs(
            tmp_path / folder,
            names,
            {"train.jsonl": names[:5], "val.jsonl": names[5:6], "test.jsonl": names[6:]},
            seed=seed,
            height=96,
            width=96,
        )
    stage = [
        f"--{s}.{o}"
        for s in ("pretrain", "finetune")
        for o in ("resolution=16", "epochs=1", "batch-size=4")
    ]
    arguments = [
        "ablate",
        "quick",
        "--fivek",
        str(tmp_path / "fivek"),
        "--real-estate",
        str(tmp_path / "rooms"),
        *stage,
    ]
    arguments += [
        "--workdir",
        str(tmp_path / "run"),
        "--seeds",
        "0",
        "--fractions",
        "1",
        "--folds",
        "2",
        "--strategies",
    ]
    assert main(arguments) == 0, capsys.readouterr().err
    first = json.loads((tmp_path / "run" / "ablation.json").read_text())
    assert {row["strategy"] for row in first["table"]} == {
        "unedited",
        "pretrained",
        "curve",
        "adaptive_lookup",
        "scratch",
        "transfer",
    }
    assert {row["n"] for row in first["table"]} == {8}  # each pair is tested once
    assert "<svg" in (tmp_path / "run" / "ablation.html").read_text()
    assert not list((tmp_path / "run" / "cells").glob("*/checkpoints"))

    gone = next((tmp_path / "run" / "cells").glob("transfer*fold1*"))
    (gone / "scores.json").unlink()
    untouched = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "cells").glob("*/scores.json")
    }
    assert main(arguments) == 0
    second = json.loads((tmp_path / "run" / "ablation.json").read_text())
    assert all(path.stat().st_mtime_ns == time for path, time in untouched.items())
    for row in (*first["table"], *second["table"]):
        row.pop("seconds")
    assert second["table"] == first["table"]
    capsys.readouterr()

    assert main([*arguments, "slow:level_decay=0.5", "--finetune.epochs=2"]) == 2
    assert "other settings" in capsys.readouterr().err
