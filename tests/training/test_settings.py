"""Precision and rematerialisation are chosen for the device, and stay what a stage began with."""

import dataclasses

from enhancer.config import StageConfig
from enhancer.network.trained import read_config
from recipes.experiment.options import Experiment, refuse_other_run, save_configuration
from tests.helpers.small_network import train


def chosen(stage: StageConfig) -> tuple[str, str]:
    return stage.precision, stage.remat


def test_on_a_cpu_the_defaults_are_float32_without_recomputation():
    assert chosen(StageConfig().settled(on_cpu=True)) == ("float32", "none")
    assert chosen(StageConfig().settled(on_cpu=False)) == ("mixed", "block")
    asked = StageConfig(precision="mixed", remat="block")
    assert asked.settled(on_cpu=True) == asked


def test_a_stage_records_what_was_chosen_and_keeps_it(tmp_path, nano_stage, brightened_pairs):
    """Here on a CPU, as if it had been begun on a GPU."""
    auto = dataclasses.replace(nano_stage, precision="auto", remat="auto", epochs=0)
    train(dataclasses.replace(auto, precision="mixed", remat="block"), brightened_pairs, tmp_path)
    train(auto, brightened_pairs, tmp_path)
    assert chosen(read_config(tmp_path)[1]) == ("mixed", "block")
    train(auto, brightened_pairs, tmp_path / "new")
    assert chosen(read_config(tmp_path / "new")[1]) == ("float32", "none")


def test_a_run_that_was_begun_on_a_gpu_is_continued_on_a_cpu(tmp_path):
    run = Experiment(workdir=tmp_path)
    save_configuration(run.settled(on_cpu=False), {})
    refuse_other_run(run.settled(on_cpu=True))
    assert chosen(run.settled(on_cpu=True).finetune) == ("mixed", "block")
