"""What a run would take, said before anything is trained."""

import dataclasses
import math
import os

import jax
import pytest
from recipes.estimate.accelerators import ACCELERATORS, fit, step_seconds, step_traffic_bytes
from recipes.estimate.compile_target import CompileTarget, CompileTargetError, compile_target
from recipes.estimate.estimate_report import report
from recipes.estimate.flops import features_per_pixel, forward_flops, train_step_flops
from recipes.estimate.stage_estimate import estimate_stage
from recipes.estimate.step_memory import compiled_step, step_memory

from enhancer.config import MODEL_SIZES, StageConfig
from enhancer.network.blocks import formulated_for_accelerators, on_one_cpu_device
from enhancer.network.restormer import Restormer
from enhancer.training.optimizer import make_optimizer
from enhancer.training.state import initial_state
from recipes.experiment import PRESETS
from recipes.fivek_transfer import main

GIB = 2**30
SMALL = [
    f"--{stage}.{option}"
    for stage in ("pretrain", "finetune")
    for option in ("resolution=16", "batch-size=4")
]


@pytest.fixture(scope="module")
def memory(nano, nano_stage):
    """What the step of `nano_stage` with a moving average takes."""
    return step_memory(nano, dataclasses.replace(nano_stage, ema_decay=0.9), compile_target())


@pytest.fixture
def no_data(tmp_path):
    """Options under which no data set is built."""
    return ["--data-dir", str(tmp_path / "data"), "--workdir", str(tmp_path / "run")]


def test_state_has_the_bytes_of_a_real_one(memory, nano, nano_stage):
    model = Restormer(nano)
    optimizer = make_optimizer(nano_stage.weight_decay, model.trainable_variables)
    state = initial_state(model, optimizer, with_average=True)
    assert memory.parameters == model.count_params()
    for part, counted in (
        (state.weights, memory.weights_bytes),
        (state.optimizer, memory.optimizer_bytes),
        (state.average, memory.average_bytes),
    ):
        assert counted == sum(array.nbytes for array in part.values())


def test_donated_state_counts_once_beside_the_batch(memory, nano_stage):
    state = memory.weights_bytes + memory.optimizer_bytes + memory.average_bytes
    batch = 2 * nano_stage.batch_size * nano_stage.resolution**2 * 3
    assert state + batch <= memory.arguments_bytes < 1.1 * (state + batch)


def test_temporary_memory_is_the_compiled_programs_own(memory, nano, nano_stage):
    compiled, _ = compiled_step(
        nano, dataclasses.replace(nano_stage, ema_decay=0.9), compile_target()
    )
    assert memory.temporary_bytes == compiled.memory_analysis().temp_size_in_bytes > 0


def test_rematerialisation_lowers_temporary_memory():
    stage = StageConfig(resolution=64, batch_size=1, precision="float32", remat="none")
    network = dataclasses.replace(MODEL_SIZES["tiny"], num_blocks=(2, 1, 1, 1))
    kept, again = (
        step_memory(
            network, dataclasses.replace(stage, remat=remat), compile_target()
        ).temporary_bytes
        for remat in ("none", "block")
    )
    assert again < 0.8 * kept


def test_accumulation_lowers_temporary_memory_and_a_stage_without_average_has_none(
    nano, nano_stage
):
    stage = dataclasses.replace(nano_stage, resolution=64)
    whole, parts = (
        step_memory(
            nano, dataclasses.replace(stage, gradient_accumulation_steps=number), compile_target()
        )
        for number in (1, 4)
    )
    assert parts.temporary_bytes < 0.6 * whole.temporary_bytes
    assert whole.average_bytes == 0


def test_programs_are_written_for_a_gpu_only_inside_the_block():
    assert on_one_cpu_device()
    with formulated_for_accelerators():
        assert not on_one_cpu_device()
    assert on_one_cpu_device()


def test_one_more_refinement_block_adds_its_products():
    tiny = MODEL_SIZES["tiny"]
    larger = dataclasses.replace(tiny, num_refinement_blocks=tiny.num_refinement_blocks + 1)
    channels, hidden = 16, 42
    attention = (
        3 * channels**2 + 9 * 3 * channels + 2 * channels**2 + channels**2
    )  # projections, filter, both products, projection
    feed_forward = 2 * channels * hidden + 9 * 2 * hidden + hidden * channels
    pixels = 64**2
    assert forward_flops(larger, pixels) - forward_flops(tiny, pixels) == 2 * pixels * (
        attention + feed_forward
    )


def test_train_step_is_worth_three_forward_passes():
    assert train_step_flops(MODEL_SIZES["base"], 256**2) == 3 * forward_flops(
        MODEL_SIZES["base"], 256**2
    )


def test_traffic_is_that_of_the_programs_it_was_fitted_to():
    base = MODEL_SIZES["base"]
    assert features_per_pixel(base) == 1440
    assert step_traffic_bytes(base, 8 * 512**2, "mixed") == pytest.approx(1414e9, rel=0.005)
    assert step_traffic_bytes(base, 4 * 896**2, "mixed") == pytest.approx(2157e9, rel=0.005)
    assert step_traffic_bytes(base, 4 * 896**2, "float32") == pytest.approx(5259e9, rel=0.005)


def test_step_takes_longer_than_the_data_sheet_allows():
    gpu = next(gpu for gpu in ACCELERATORS if gpu.name.startswith("H100"))
    low, high = step_seconds(gpu, MODEL_SIZES["base"], StageConfig(), 8 * 512**2)
    assert 1414e9 / gpu.bytes_per_second < low < high


@pytest.mark.parametrize(
    ("gibibytes", "verdict"),
    [(0.0, "yes"), (16.9, "yes"), (17.1, "with a larger share"), (21.2, "no"), (641.0, "no")],
)
def test_24_gb_hold_what_is_left_beside_the_reserve(gibibytes, verdict):
    assert fit(gibibytes * GIB, 24) == verdict


def test_estimate_of_quick_trains_and_writes_nothing(no_data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["estimate", "quick", *SMALL, *no_data]) == 0
    captured = capsys.readouterr()
    assert list(tmp_path.iterdir()) == []
    assert "compiling the training step of pretrain" in captured.err
    assert "| training pairs | 38 (assumed) | 20 (assumed) |" in captured.out
    assert "| steps | 9 × 14 epochs = 126 | 5 × 20 epochs = 100 |" in captured.out
    assert "| fits 24 GB | yes | yes |" in captured.out
    for said in (
        "compiler for CPUs",
        "estimate, no measurement",
        "Early stopping may end sooner",
        "H100 80 GB SXM",
    ):
        assert said in captured.out


def test_batch_shared_out_among_devices_takes_less_of_each(no_data, memory, monkeypatch, capsys):
    compiled = []

    def record(model_config, stage, target):
        compiled.append(stage.batch_size)
        return memory

    monkeypatch.setattr("recipes.estimate.stage_estimate.step_memory", record)
    for devices in (1, 4):
        assert main(["estimate", "quick", *SMALL, "--devices", str(devices), *no_data]) == 0
        assert f"16 px × {4 // devices} " in capsys.readouterr().out
    assert compiled == [4, 4, 1, 1]


def test_batch_that_cannot_be_shared_out_is_refused(no_data, capsys):
    assert main(["estimate", "quick", "--devices", "3", *no_data]) == 2
    assert "Choose a multiple of 3" in capsys.readouterr().err


def test_description_of_a_gpu_without_the_plugin_names_the_packages(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "h100.txtpb").write_text('name: "H100"')
    with pytest.raises(CompileTargetError, match="uv pip install jax-cuda12-plugin"):
        compile_target(tmp_path / "h100.txtpb")


def test_missing_description_is_refused_in_a_sentence(no_data, capsys):
    assert main(["estimate", "quick", "--target-config", os.devnull + "/no", *no_data]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.fixture(scope="module")
def plan(memory):
    """The plan's stages, as if compiled by the CPU's compiler, without the minutes that takes."""
    target = CompileTarget(jax.devices()[0], "cpu", is_accelerator=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "recipes.estimate.stage_estimate.step_memory",
            lambda *_: memory._replace(temporary_bytes=60 * GIB),
        )
        patch.setattr("recipes.estimate.stage_estimate._built_pairs", lambda *_: None)
        stages = [
            estimate_stage(PRESETS["plan"], name, 1, target) for name in ("pretrain", "finetune")
        ]
    return target, stages


def test_plan_is_judged_by_the_gpus_compiler_where_its_figure_is_known(plan):
    text = report("base", 1, *plan)
    assert "| temporary memory, GiB, compiled for an H100 earlier | 16.7 | 25.4 |" in text
    assert "| fits 24 GB | yes | no |" in text
    assert "| fits 40 GB | yes | yes |" in text
    assert "| fits 80 GB | yes | yes |" in text
    assert "judged by what XLA's compiler for GPUs said" in text


def test_unknown_settings_are_judged_by_the_cpus_figure_and_it_says_so(plan):
    target, stages = plan
    unknown = [stage._replace(cuda_temporary_bytes=None) for stage in stages]
    text = report("base", 1, target, unknown)
    assert "| fits 40 GB | no | no |" in text
    assert "| hours, A100 40 GB | does not fit | does not fit | does not fit |" in text
    assert "what is said not to fit may fit a GPU" in text


def test_whole_run_counts_the_scratch_baseline(plan):
    text = report("base", 1, *plan)
    row = next(line for line in text.splitlines() if "H100 80 GB SXM" in line)
    pretrain, finetune, run = (float(cell.split(" to ")[0]) for cell in row.split("|")[2:5])
    assert math.isclose(run, pretrain + 2 * finetune, abs_tol=0.2)
