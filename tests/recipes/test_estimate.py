"""What a run would take, said before anything is trained."""

import dataclasses

import jax
import pytest

from enhancer.config import MODEL_SIZES
from enhancer.network.blocks import formulated_for_accelerators, on_one_cpu_device
from enhancer.training.optimizer import make_optimizer
from enhancer.training.state import initial_state
from recipes.estimate.step_cost import StepCost, Target, find_target, step_cost
from recipes.experiment.options import UsageError
from recipes.fivek_transfer import main
from tests.helpers.small_network import InPlaceOfRestormer

GIB = 2**30


@pytest.fixture(scope="module")
def device():
    return jax.devices()[0]


@pytest.fixture(scope="module", autouse=True)
def small_network():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recipes.estimate.step_cost.Restormer", InPlaceOfRestormer)
        yield


@pytest.fixture(scope="module")
def cost(nano, nano_stage, device):
    """Of the step of `nano_stage` with a moving average."""
    return step_cost(nano, dataclasses.replace(nano_stage, ema_decay=0.9), device)


def test_state_has_the_bytes_of_a_real_one(cost, nano, nano_stage):
    model = InPlaceOfRestormer(nano)
    optimizer = make_optimizer(nano_stage.weight_decay, model.trainable_variables)
    state = initial_state(model, optimizer, with_average=True)
    weights, others, average = (
        sum(array.nbytes for array in part.values())
        for part in (state.weights, state.optimizer, state.average)
    )
    batch = 2 * nano_stage.batch_size * nano_stage.resolution**2 * 3
    # The donated state and the batch once; first values and a copy of weights and optimizer;
    # average.
    expected = 3 * (weights + others) + 2 * average + batch
    assert expected <= cost.state_bytes < 1.05 * expected
    assert cost.parameters == model.count_params()


def test_accumulation_lowers_temporary_memory_and_not_the_work(cost, nano, nano_stage, device):
    parts = dataclasses.replace(nano_stage, ema_decay=0.9, gradient_accumulation_steps=4)
    found = step_cost(nano, parts, device)
    assert 0 < found.temporary_bytes < 0.6 * cost.temporary_bytes
    assert found.flops == pytest.approx(cost.flops, rel=0.1)


def test_programs_are_written_for_a_gpu_only_inside_the_block():
    assert on_one_cpu_device()
    with formulated_for_accelerators():
        assert not on_one_cpu_device()
    assert on_one_cpu_device()


@pytest.mark.parametrize(
    ("gibibytes", "said"), [(17.9, "yes"), (18.1, "with XLA_"), (22.0, "with XLA_"), (22.1, "no")]
)
def test_a_gpu_of_24_gib_holds_what_jax_takes_of_it_or_a_larger_share(device, gibibytes, said):
    assert Target(device, "GPU", 18 * GIB).fits(gibibytes * GIB).startswith(said)


def test_whether_a_gpu_holds_what_was_compiled_for_a_cpu_is_not_known():
    assert find_target().fits(1.0) == "not known"


def test_a_description_that_nothing_can_be_compiled_for_names_the_packages(tmp_path):
    (tmp_path / "h100.txtpb").write_text('name: "H100"')
    with pytest.raises(UsageError, match="uv pip install jax-cuda12-plugin"):
        find_target(tmp_path / "h100.txtpb")


def test_estimate_of_quick_trains_and_writes_nothing(tmp_path, monkeypatch, capsys):
    compiled = []

    def recorded(model, stage, _):
        compiled.append((model.dim, stage.resolution))
        return StepCost(1000, 2e12, GIB, 2 * GIB)

    monkeypatch.setattr("recipes.estimate.step_cost.step_cost", recorded)
    monkeypatch.chdir(tmp_path)
    arguments = ["estimate", "quick", "--pretrain.progressive-resolutions", "96"]
    assert main([*arguments, "--data-dir", "data", "--workdir", "run"]) == 0
    assert compiled == [(MODEL_SIZES["tiny"].dim, 96), (MODEL_SIZES["tiny"].dim, 48)]
    assert list(tmp_path.iterdir()) == []
    said = capsys.readouterr().out
    assert "|  | pretrain | finetune, scratch |" in said
    assert "| training pairs | 38 (assumed) | 72 (assumed) |" in said
    assert "| steps | 9 × 10 epochs = 90 | 18 × 16 epochs = 288 |" in said
    assert "| in all, GiB | 3 | 3 |" in said
    assert "Compiled for a CPU" in said


def test_missing_description_is_refused_in_a_sentence(tmp_path, capsys):
    assert main(["estimate", "quick", "--target-config", str(tmp_path / "no")]) != 0
    assert capsys.readouterr().err.startswith("error: ")
