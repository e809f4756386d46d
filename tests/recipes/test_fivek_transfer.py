"""The recipe's settings, its errors, and the whole road on miniature data."""

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datasets import miniature
from enhancer.config import StageConfig
from recipes import fivek_transfer
from recipes.data_sets import JoinedSources
from recipes.experiment import PRESETS, UsageError, refuse_other_run, save_configuration
from recipes.fivek_transfer import main

ROOT = Path(__file__).resolve().parents[2]
# The smallest settings with which everything still happens: one epoch of each stage on 16 px crops.
SHORTEST = [
    word
    for stage in ("pretrain", "finetune")
    for word in (
        f"--{stage}.resolution=16",
        f"--{stage}.epochs=1",
        f"--{stage}.batch-size=4",
        f"--{stage}.remat=none",
    )
]


def test_defaults_are_the_plan_to_the_letter():
    shared = {
        "augmentation": "flip",
        "precision": "mixed",
        "min_crop_scale": 1.0,
        "warmup_epochs": 5,
    }
    pretrain, finetune = (
        dataclasses.asdict(getattr(PRESETS["plan"], stage)) for stage in ("pretrain", "finetune")
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


def test_help_needs_no_jax():
    code = "import sys, recipes.fivek_transfer; print(sorted({'jax', 'keras', 'gradio', 'tensorflow_datasets'} & set(sys.modules)))"
    completed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert completed.stdout.strip() == "[]"


def test_missing_data_names_the_command_that_makes_it(tmp_path, capsys):
    assert main(["--workdir", str(tmp_path / "run"), "--data-dir", str(tmp_path / "data")]) == 2
    assert "python -m datasets build fivek --manual-dir" in capsys.readouterr().err


def test_missing_source_folder_is_refused(tmp_path, capsys):
    arguments = [
        "--workdir",
        str(tmp_path / "run"),
        "--data-dir",
        str(tmp_path / "data"),
        "--fivek",
        str(tmp_path / "no"),
    ]
    assert main(arguments) == 2
    assert str(tmp_path / "no") in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [
        "--finetune.batch-size=0",
        "--pretrain.epochs=0",
        "--finetune.min-crop-scale=1.5",
        "--squash=3",
        "--pretrain.seed=-1",
    ],
)
def test_senseless_value_is_refused_by_name(tmp_path, capsys, option):
    assert main(["--workdir", str(tmp_path / "run"), option]) == 2
    name = option.removeprefix("--").split("=")[0].replace("-", "_")
    assert name in capsys.readouterr().err


def test_quick_runs_the_whole_road_and_its_folder_refuses_other_settings(tmp_path, capsys):
    """One epoch a stage cannot win, so `quick` must say so and exit with 1; all files must be there nevertheless."""
    arguments = ["quick", "--workdir", str(tmp_path / "run"), *SHORTEST]
    assert (
        main(
            [*arguments, "--finetune.peak-learning-rate=1e-7", "--pretrain.peak-learning-rate=1e-7"]
        )
        == 1
    )
    assert (
        "FAILED: the fine-tuned network's L1 is not at least 10 % lower" in capsys.readouterr().err
    )

    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert list(results["methods"]) == [
        "unedited",
        "curve",
        "lookup",
        "adaptive_lookup",
        "pretrained",
        "scratch",
        "finetuned",
    ]
    assert {len(method["per_image"]) for method in results["methods"].values()} == {8}
    assert results["methods"]["unedited"]["weights_sha256"] is None
    assert len(results["methods"]["finetuned"]["weights_sha256"]) == 64
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000

    assert main(arguments) == 2
    assert "finetune.peak_learning_rate: 1e-07 -> 0.001" in capsys.readouterr().err


@pytest.fixture
def rendered(tmp_path) -> Path:
    """Both data sets, rendered, in the layouts of their sources."""
    miniature.write(tmp_path / "rendered")
    return tmp_path / "rendered"


def test_recommended_trains_on_extra_pairs_and_on_validation(tmp_path, rendered, capsys):
    """Extra pairs have the layout of the real-estate ones, here only their training list."""
    extra = shutil.copytree(rendered / "real_estate", tmp_path / "extra")
    for name in ("val", "test"):
        (extra / f"{name}.jsonl").unlink()
    folders = [
        f"--fivek={rendered / 'fivek'}",
        f"--real-estate={rendered / 'real_estate'}",
        f"--extra-pairs={extra}",
    ]
    shortest = [
        *SHORTEST,
        "--pretrain.passes-per-epoch=1",
        "--finetune.passes-per-epoch=1",
        "--squash=64",
    ]
    run = tmp_path / "run"
    assert (
        main(
            [
                "recommended",
                *folders,
                f"--workdir={run}",
                f"--data-dir={tmp_path / 'data'}",
                *shortest,
            ]
        )
        == 0
    )
    counts = {
        name: len((rendered / "real_estate" / f"{name}.jsonl").read_text().splitlines())
        for name in ("train", "val")
    }
    assert f"extra pairs for stage 1: {counts['train']}" in capsys.readouterr().out
    assert (
        json.loads((run / "finetune" / "history.json").read_text())[-1]["step"]
        == sum(counts.values()) // 4
    )
    methods = set(json.loads((run / "results.json").read_text())["methods"])
    assert {"unedited", "pretrained", "finetuned"} <= methods
    assert "scratch" not in methods
    assert set(json.loads((run / "config.json").read_text())["data"]) == {
        "fivek",
        "real_estate",
        "extra_pairs",
    }


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["recommended"], "name their folder with --extra-pairs, or set --pretrain.mix-weight 0"),
        (["--extra-pairs=more"], "extra_pairs would not be used"),
        (["--train-on-validation"], "add --finetune.keep last"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, capsys, options, sentence):
    assert main([*options, f"--workdir={tmp_path / 'run'}"]) == 2
    assert sentence in capsys.readouterr().err


def test_joined_sources_are_one_after_the_other():
    joined = JoinedSources([[{"id": 0}], [], [{"id": 1}, {"id": 2}]])
    assert [joined[index]["id"] for index in range(len(joined))] == [0, 1, 2]


def test_margin_is_judged_with_its_interval(capsys):
    def results(high, percent):
        pair = {"l1": {"high": high, "relative_percent": percent}}
        return {"paired": {"finetuned_vs_unedited": pair, "finetuned_vs_pretrained": pair}}

    assert fivek_transfer._judge(results(-0.01, -20.0)) == 0
    assert fivek_transfer._judge(results(0.01, -20.0)) == 1
    assert fivek_transfer._judge(results(-0.01, -5.0)) == 1
    assert fivek_transfer._judge(results(None, -20.0)) == 1
    capsys.readouterr()


def test_corrected_typo_does_not_meet_the_settings_of_the_failed_command(tmp_path, capsys):
    arguments = [
        "--workdir",
        str(tmp_path / "run"),
        "--data-dir",
        str(tmp_path / "data"),
        "--fivek",
    ]
    assert main([*arguments, str(tmp_path / "typo")]) == 2
    assert not (tmp_path / "run" / "config.json").exists()
    capsys.readouterr()


def test_only_what_changes_training_belongs_to_a_run(tmp_path):
    run = dataclasses.replace(PRESETS["quick"], workdir=tmp_path)
    save_configuration(run, {"fivek": "a", "real_estate": "b"})
    evaluated_otherwise = dataclasses.replace(
        run, squash=64, require_gain=False, data_dir=tmp_path / "moved"
    )
    refuse_other_run(evaluated_otherwise, {"fivek": "a", "real_estate": "b"})
    with pytest.raises(UsageError, match=r"data\.fivek: a -> changed"):
        refuse_other_run(run, {"fivek": "changed", "real_estate": "b"})
    with pytest.raises(UsageError, match="model: tiny -> small"):
        refuse_other_run(dataclasses.replace(run, model="small"))


def test_workdir_that_is_a_file_is_refused_in_a_sentence(tmp_path, capsys):
    (tmp_path / "run").write_text("")
    assert main(["--workdir", str(tmp_path / "run")]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def wait_for(process: subprocess.Popen, happened, log: Path) -> None:
    deadline = time.monotonic() + 300
    while not happened():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)


def test_two_processes_run_the_whole_road_together(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = os.environ | {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    command = [
        sys.executable,
        "-m",
        "recipes.fivek_transfer",
        "quick",
        *SHORTEST,
        "--no-require-gain",
        "--no-from-scratch",
    ]
    started = [
        subprocess.Popen(
            [*command, "--workdir", str(tmp_path / "run")],
            cwd=ROOT,
            env=environment | {"JAX_PROCESS_ID": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    outputs = [process.communicate(timeout=400)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], "\n".join(outputs)
    assert "FiveK: 38 train" in outputs[0]
    assert "FiveK" not in outputs[1]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert set(results["methods"]) >= {"unedited", "pretrained", "finetuned"}
    assert "scratch" not in results["methods"]


def test_preempted_run_keeps_others_out_saves_exits_with_75_and_continues(tmp_path):
    """Slurm's signal in the middle of a stage; meanwhile a second process tries the same folder."""
    workdir = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "recipes.fivek_transfer",
        "quick",
        *SHORTEST,
        "--workdir",
        str(workdir),
    ]
    command += [
        "--pretrain.epochs=500",
        "--pretrain.early-stopping-patience=500",
        "--no-require-gain",
    ]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    checkpoints = "pretrain/checkpoints/*/_CHECKPOINT_METADATA"
    wait_for(process, lambda: len(list(workdir.glob(checkpoints))) >= 2, tmp_path / "log")
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert second.returncode == 2
    assert f"is in use by process {process.pid} " in second.stderr
    process.send_signal(signal.SIGUSR1)
    assert process.wait(120) == 75
    said = (tmp_path / "log").read_text()
    assert "SIGUSR1: saving a checkpoint, then stopping." in said
    assert "Stopped by SIGUSR1. The same command continues." in said
    assert "Traceback" not in said
    saved = max(int(folder.name) for folder in (workdir / "pretrain" / "checkpoints").iterdir())
    assert saved >= json.loads((workdir / "pretrain" / "history.json").read_text())[-1]["step"]
    with open(tmp_path / "log", "w") as log:
        again = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    wait_for(
        again,
        lambda: "pretrain: continuing after" in (tmp_path / "log").read_text(),
        tmp_path / "log",
    )
    again.send_signal(signal.SIGTERM)
    assert again.wait(120) == 75
