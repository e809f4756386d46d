"""One stage on one's own pairs: what is known from flags and folders is said before all else."""

import dataclasses
from pathlib import Path

import pytest

from datasets.types import SourceError
from enhancer.config import MODEL_SIZES, StageConfig
from enhancer.network.trained import write_config
from recipes import fivek_transfer, train
from recipes.experiment.options import UsageError, look_at_sources, refuse_contradictions
from tests.helpers.pair_folders import write_pairs


def training(tmp_path, **options):
    return train.Training((tmp_path,), tmp_path / "run", **options)


def test_a_folder_without_pairs_is_refused_before_anything_is_made(tmp_path, capsys):
    (tmp_path / "holiday.jpg").touch()
    assert train.main([str(tmp_path), "--workdir", str(tmp_path / "run")]) == 2
    assert "Expected folders before/ and after/" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_start_that_does_not_exist_is_refused(tmp_path, capsys):
    where = ["--workdir", str(tmp_path / "run"), "--start", str(tmp_path / "gone")]
    assert train.main([str(tmp_path), *where]) == 2
    assert "gone does not exist" in capsys.readouterr().err


def test_what_the_folders_hold_is_said_first(tmp_path, capsys):
    pairs = tmp_path / "pairs"
    write_pairs(pairs, list("ab"), {})
    experiment = training(tmp_path).experiment()
    look_at_sources(dataclasses.replace(experiment, real_estate=(pairs,)))
    assert "2 pairs (names in _src with _tar" in capsys.readouterr().out
    with pytest.raises(UsageError, match="gone is not a folder"):
        look_at_sources(dataclasses.replace(experiment, real_estate=(pairs, tmp_path / "gone")))
    with pytest.raises(SourceError, match="has no config 'huge'"):
        look_at_sources(dataclasses.replace(experiment, real_estate_config="huge"))


@pytest.mark.parametrize("options", [[], ["--no-pretraining"]])
def test_a_data_set_that_is_neither_named_nor_built_is_missed_at_once(tmp_path, capsys, options):
    where = [f"--workdir={tmp_path / 'run'}", f"--data-dir={tmp_path / 'data'}"]
    assert fivek_transfer.main([*where, *options]) == 2
    told = capsys.readouterr().err
    assert "is not built in" in told
    assert f"--{'real-estate' if options else 'fivek'}" in told


@pytest.mark.parametrize("content", ["", "[]", '{"model": {}, "stage": {}}'])
def test_a_folder_with_another_configuration_is_refused(tmp_path, capsys, content):
    (tmp_path / "config.json").write_text(content)
    assert train.main([str(tmp_path), "--workdir", str(tmp_path)]) == 2
    assert "is not a run's configuration" in capsys.readouterr().err


def test_retouching_needs_squashed_photos_and_a_start_brings_its_shape(tmp_path):
    with pytest.raises(UsageError, match=r"--stage\.squash"):
        refuse_contradictions(training(tmp_path, model="tiny", base="retouch").experiment())
    with pytest.raises(UsageError, match="another shape"):
        training(tmp_path, start=Path("package"), model="small").experiment()


def test_the_shape_is_that_of_the_size_with_what_is_given_changed(tmp_path):
    experiment = training(tmp_path, model="tiny", dim=16).experiment()
    assert experiment.network_shape == dataclasses.replace(MODEL_SIZES["tiny"], dim=16)
    refuse_contradictions(experiment)
    assert not experiment.pretrains


def test_a_start_gives_its_own_shape(tmp_path):
    (tmp_path / "other/finetune/checkpoints").mkdir(parents=True)
    write_config(tmp_path / "other/elsewhere", MODEL_SIZES["small"], StageConfig())
    stage = (tmp_path / "other/elsewhere").rename(tmp_path / "other/stage")
    experiment = training(tmp_path, start=stage).experiment()
    assert experiment.network_shape == MODEL_SIZES["small"]
    assert experiment.pretrained == stage
