"""One stage on one's own pairs: what is known from flags and folders is said before all else."""

import dataclasses

from enhancer.config import MODEL_SIZES, StageConfig
from enhancer.network.trained import write_config
from recipes import train
from recipes.experiment.options import refuse_contradictions
from tests.helpers.pair_folders import write_pairs


def training(tmp_path, **options):
    return train.Training((tmp_path,), tmp_path / "run", **options)


def test_a_folder_without_pairs_is_refused_before_anything_is_made(tmp_path, capsys):
    (tmp_path / "holiday.jpg").touch()
    assert train.main([str(tmp_path), "--workdir", str(tmp_path / "run")]) == 2
    assert "Expected folders before/ and after/" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_start_that_does_not_exist_is_refused(tmp_path, capsys):
    write_pairs(tmp_path, list("ab"), {})
    where = ["--workdir", str(tmp_path / "run"), "--start", str(tmp_path / "gone")]
    assert train.main([str(tmp_path), *where]) == 2
    printed = capsys.readouterr()
    assert "2 pairs (names in _src with _tar" in printed.out
    assert "gone does not exist" in printed.err


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
