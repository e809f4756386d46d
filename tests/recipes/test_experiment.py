"""The recipe's settings: what they default to, which of them are refused, which make a run."""

import dataclasses
import json
from pathlib import Path

import pytest

from datasets import build
from datasets.types import SPLITS
from enhancer.config import StageConfig
from recipes.experiment import data_sets
from recipes.experiment.data_sets import JoinedSources, open_or_build
from recipes.experiment.options import (
    Experiment,
    UsageError,
    data_dirs_of,
    refuse_contradictions,
    refuse_other_run,
    save_configuration,
)
from recipes.experiment.presets import PRESETS
from recipes.fivek_transfer import main
from tests.helpers.pair_folders import write_pairs

ROOT = Path(__file__).resolve().parents[2]


def test_defaults_are_the_plan_to_the_letter():
    shared = {
        "augmentation": "flip",
        "precision": "mixed",
        "min_crop_scale": 1.0,
        "warmup_epochs": 5,
    }
    pretrain, finetune = (
        dataclasses.asdict(getattr(PRESETS["plan"].settled(on_cpu=False), stage))
        for stage in ("pretrain", "finetune")
    )
    assert pretrain | shared == pretrain
    assert finetune | shared == finetune
    keys = ("resolution", "batch_size", "epochs", "peak_learning_rate", "early_stopping_patience")
    assert [pretrain[key] for key in keys] == [512, 8, 30, 5e-5, 10]
    assert [finetune[key] for key in keys] == [896, 4, 100, 1e-5, 15]
    assert PRESETS["plan"].model == "base"


def test_help_explains_each_option_with_its_unit(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for option in ("--finetune.batch-size", "--pretrain.resolution", "--squash", "Exit codes"):
        assert option in text
    for field in dataclasses.fields(StageConfig):
        assert f"--finetune.{field.name.replace('_', '-')}" in text


def test_missing_data_names_the_command_that_makes_it(tmp_path, capsys):
    assert main([f"--workdir={tmp_path / 'run'}", f"--data-dir={tmp_path / 'data'}"]) == 2
    assert "python -m datasets build fivek --manual-dir" in capsys.readouterr().err


def test_a_typo_is_refused_and_its_correction_does_not_meet_its_settings(tmp_path, capsys):
    assert main([f"--workdir={tmp_path / 'run'}", f"--fivek={tmp_path / 'typo'}"]) == 2
    assert str(tmp_path / "typo") in capsys.readouterr().err
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--finetune.batch-size=0", "batch_size must lie in"),
        ("--pretrain.epochs=-1", "epochs must lie in"),
        ("--finetune.min-crop-scale=1.5", "min_crop_scale must lie in"),
        ("--squash=3", "squash must lie in"),
        ("--pretrain.seed=-1", "seed must lie in"),
    ],
)
def test_senseless_value_is_refused_by_name(tmp_path, capsys, option, said):
    with pytest.raises(SystemExit) as exit_:
        main([f"--workdir={tmp_path / 'run'}", option])
    assert exit_.value.code == 2
    shown = capsys.readouterr()
    assert said in " ".join((shown.out + shown.err).replace("│", " ").split())


def test_a_stage_says_what_its_bounds_are():
    with pytest.raises(ValueError, match="batch_size must lie in"):
        StageConfig(batch_size=0)
    with pytest.raises(ValueError, match="progressive_resolutions must lie in"):
        StageConfig(progressive_resolutions=(64, 4))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--pretrain.mix-weight=0.5"], "or set --pretrain.mix-weight 0"),
        (["--base=retouch"], "add --pretrain.squash and --finetune.squash"),
        (["--extra-pairs=more"], "extra_pairs would have no share"),
        (["--train-on-validation"], "add --finetune.keep last"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, capsys, options, sentence):
    assert main([*options, f"--workdir={tmp_path / 'run'}"]) == 2
    assert sentence in capsys.readouterr().err


def test_two_runs_of_a_preset_with_different_pairs_do_not_meet(tmp_path):
    found = []
    for number in (1, 2):
        names = [f"{number}{letter}" for letter in "abcdef"]
        lists = {"train.jsonl": names[:4], "val.jsonl": names[4:5], "test.jsonl": names[5:]}
        for data_set, seed in (("fivek", 1), ("rooms", 2)):
            folder = tmp_path / f"{data_set}{number}"
            write_pairs(folder, names, lists, seed=10 * number + seed, height=72, width=96)
        run = dataclasses.replace(
            PRESETS["recommended"],
            fivek=tmp_path / f"fivek{number}",
            real_estate=(tmp_path / f"rooms{number}",),
            workdir=tmp_path / f"run{number}",
            rendered_rooms=0,
        )
        data, fingerprints = open_or_build(run)
        assert len(data.real_estate("train")) == 4
        found.append(fingerprints)
    assert found[0]["fivek"] != found[1]["fivek"]
    assert found[0]["real_estate"] != found[1]["real_estate"]


def test_data_lie_in_the_runs_folder_unless_they_were_built_before_or_said_to_lie_elsewhere():
    run, shared = Path("run"), Path("~/tensorflow_datasets").expanduser()
    assert data_dirs_of(vars(Experiment(fivek=Path("a"))), "fivek", run) == [run / "data"]
    assert data_dirs_of(vars(Experiment(fivek=Path("a"))), "real_estate", run) == [shared]
    assert data_dirs_of(vars(PRESETS["quick"]), "fivek", run) == [run / "data"]
    assert data_dirs_of(vars(Experiment(data_dir=Path("b"))), "fivek", run) == [Path("b")]


def test_a_lone_training_list_is_divided_and_several_sets_are_opened_as_one(tmp_path):
    data_dirs, sizes = [], []
    for name, number in (("small", 4), ("lone", 8)):
        names = [f"{name}{i}" for i in range(number)]
        lists = {"train.jsonl": names}
        if name == "small":
            lists = {"train.jsonl": names[:2], "val.jsonl": names[2:3], "test.jsonl": names[3:]}
        write_pairs(tmp_path / name, names, lists, seed=number, height=72, width=96)
        data_dirs.append(tmp_path / f"{name}_data")
        build.build("real_estate", tmp_path / name, data_dirs[-1], num_workers=0)
        sizes.append([len(build.source("real_estate", split, data_dirs[-1])) for split in SPLITS])
    assert sizes[0] == [2, 1, 1]
    assert sum(sizes[1]) == 8
    assert min(sizes[1]) >= 1
    for split, first, second in zip(SPLITS, *sizes, strict=True):
        opened = data_sets.open_split("real_estate", data_dirs, None, split)
        # The small folder's training pairs are shown up to three times as often.
        repeats = min(3, second // first) if split == "train" else 1
        assert len(opened) == first * repeats + second
    assert data_sets.fingerprint("real_estate", data_dirs, None).count(" ") == 1


def test_joined_sources_are_one_after_the_other():
    joined = JoinedSources([[{"id": 0}], [], [{"id": 1}, {"id": 2}]])
    assert [joined[index]["id"] for index in range(len(joined))] == [0, 1, 2]


def test_only_what_changes_training_belongs_to_a_run(tmp_path):
    run, data = dataclasses.replace(PRESETS["quick"], workdir=tmp_path), {"fivek": "a"}
    save_configuration(run, data)
    moved = dataclasses.replace(run, squash=64, require_gain=False, data_dir=tmp_path / "moved")
    refuse_other_run(moved, data)
    with pytest.raises(UsageError, match=r"data\.fivek: a -> changed"):
        refuse_other_run(run, {"fivek": "changed"})
    with pytest.raises(UsageError, match="model: tiny -> small"):
        refuse_other_run(dataclasses.replace(run, model="small"))


def test_each_folder_of_pairs_is_built_in_a_place_of_its_own(tmp_path):
    def places(name, **settings):
        dirs = data_dirs_of(settings, name, tmp_path)
        return [str(path.relative_to(tmp_path)) for path in dirs]

    folders = (Path("a"), Path("b"))
    assert places("real_estate", real_estate=folders) == ["data", "data/real_estate_2"]
    expected = ["data/extra_pairs", "data/extra_pairs_2"]
    assert places("extra_pairs", extra_pairs=folders) == expected
    # As configurations of earlier versions name it.
    assert places("real_estate", real_estate="a") == places("fivek", miniature=True) == ["data"]


def test_a_retouching_network_sees_whole_photos():
    with pytest.raises(UsageError, match="squash"):
        refuse_contradictions(Experiment(base="retouch"))


def test_a_run_of_an_earlier_version_continues_and_another_pretraining_does_not(tmp_path):
    run = Experiment(workdir=tmp_path)
    save_configuration(run, {})
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text())
    del saved["rendered_rooms"], saved["pretrain"]["squash"]
    saved["finetune"]["curve_rate"] = 1.0
    path.write_text(json.dumps(saved))
    refuse_other_run(run)
    with pytest.raises(UsageError, match="rendered_rooms: 0 -> 9"):
        refuse_other_run(dataclasses.replace(run, rendered_rooms=9))
