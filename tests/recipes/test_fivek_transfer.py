"""The recipe's whole road on miniature data, its exit codes, and what a signal does to it."""

import contextlib
import io
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
from enhancer.system.interruption import Interrupted
from recipes import fivek_transfer
from recipes.experiment import two_stages
from recipes.fivek_transfer import main
from tests.helpers.small_network import stand_in

ROOT = Path(__file__).resolve().parents[2]
write_miniature = miniature.write
# The smallest settings with which everything still happens: one epoch of each stage on 16 px crops.
SHORTEST = [
    f"--{stage}.{option}"
    for stage in ("pretrain", "finetune")
    for option in ("resolution=16", "epochs=1", "batch-size=4", "remat=none")
]


def write_few(out: Path) -> None:
    """What `miniature.write` does, with fewer and smaller photos."""
    counts = {"train": 8, "val": 4, "test": 3}
    write_miniature(out, long_edge=96, fivek_pairs=12, real_estate_pairs=counts)


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory) -> tuple[Path, list[str]]:
    """A run's folder and what it said, of a small network that does not learn."""
    workdir = tmp_path_factory.mktemp("quick") / "run"
    slow = [f"--{stage}.peak-learning-rate=1e-7" for stage in ("pretrain", "finetune")]
    said = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(said),
    ):
        stand_in(patch)
        patch.setattr("datasets.miniature.write", write_few)
        code = main(["quick", f"--workdir={workdir}", *SHORTEST, *slow])
    return workdir, [f"exit code {code}", *said.getvalue().splitlines()]


@pytest.fixture
def built(quick_run) -> list[str]:
    """Options that name that run's photos, and the data sets built of them."""
    workdir, _ = quick_run
    rendered = workdir / "miniature"
    folders = [f"--fivek={rendered / 'fivek'}", f"--real-estate={rendered / 'real_estate'}"]
    return [*folders, f"--data-dir={workdir / 'data'}"]


def test_quick_runs_the_whole_road_and_says_when_nothing_was_gained(quick_run):
    workdir, said = quick_run
    assert said[0] == "exit code 1"
    assert "FAILED: the fine-tuned network's L1 is not at least 10 % lower" in "\n".join(said)
    assert [line for line in said if line.startswith("[5/5]")] == ["[5/5] Test"]
    results = json.loads((workdir / "results.json").read_text())
    fitted = ["curve", "lookup", "adaptive_lookup"]
    networks = ["pretrained", "scratch", "finetuned"]
    assert list(results["methods"]) == ["unedited", *fitted, *networks]
    assert {len(method["per_image"]) for method in results["methods"].values()} == {3}
    assert results["methods"]["unedited"]["weights_sha256"] is None
    assert len(results["methods"]["finetuned"]["weights_sha256"]) == 64
    assert (workdir / "report.html").stat().st_size > 10_000
    assert (workdir / "learning_curves.png").exists()


def test_the_same_command_only_tests_what_is_trained_and_other_settings_are_refused(
    quick_run, monkeypatch, capsys
):
    workdir, _ = quick_run
    stand_in(monkeypatch)
    command = ["quick", f"--workdir={workdir}", *SHORTEST, "--no-require-gain"]
    before = json.loads((workdir / "results.json").read_text())["methods"]
    slow = [f"--{stage}.peak-learning-rate=1e-7" for stage in ("pretrain", "finetune")]
    assert main([*command, *slow]) == 0
    assert "finetune: finished after epoch 1 of 1" in capsys.readouterr().out
    assert json.loads((workdir / "results.json").read_text())["methods"] == before

    assert main(command) == 2
    assert "finetune.peak_learning_rate: 1e-07 -> 0.002" in capsys.readouterr().err


def test_recommended_trains_on_extra_pairs_and_on_validation(
    quick_run, built, tmp_path, monkeypatch, capsys
):
    """Extra pairs have the layout of the real-estate ones, here only their training list."""
    stand_in(monkeypatch)
    run = tmp_path / "run"
    extra = shutil.copytree(quick_run[0] / "miniature" / "real_estate", tmp_path / "extra")
    for name in ("val", "test"):
        (extra / f"{name}.jsonl").unlink()
    shortest = [*SHORTEST, "--pretrain.passes-per-epoch=1", "--finetune.passes-per-epoch=1"]
    shortest += [f"--extra-pairs={extra}", f"--workdir={run}", "--squash=64"]
    shortest += ["--rendered-rooms=2", "--no-start-from-package"]
    assert main(["recommended", *built, *shortest]) == 0
    said = capsys.readouterr().out
    assert "extra pairs for stage 1: 8" in said
    assert "[4/4] Test" in said  # nothing from scratch
    assert json.loads((run / "finetune" / "history.json").read_text())[-1]["step"] == (8 + 4) // 4
    methods = set(json.loads((run / "results.json").read_text())["methods"])
    assert methods >= {"unedited", "pretrained", "finetuned"}
    assert "scratch" not in methods
    data = json.loads((run / "config.json").read_text())["data"]
    assert set(data) == {"fivek", "real_estate", "extra_pairs"}


@pytest.mark.parametrize(
    ("high", "percent", "code"),
    [(-0.01, -20.0, 0), (0.01, -20.0, 1), (-0.01, -5, 1), (None, -20, 1)],
)
def test_margin_is_judged_with_its_interval(high, percent, code):
    pair = {"l1": {"high": high, "relative_percent": percent}}
    results = {"paired": {"finetuned_vs_unedited": pair, "finetuned_vs_pretrained": pair}}
    assert two_stages._judge(results) == code


def test_workdir_that_is_a_file_is_refused_in_a_sentence(tmp_path, capsys):
    (tmp_path / "run").write_text("")
    assert main(["quick", f"--workdir={tmp_path / 'run'}"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (Interrupted(signal.SIGUSR1), 75),
        (Interrupted(signal.SIGTERM), 75),
        (Interrupted(signal.SIGINT), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_a_signal_ends_the_command_with_its_own_code(raised, code, capsys):
    def stop():
        raise raised

    assert fivek_transfer.exit_code(stop) == code
    assert "The same command continues" in capsys.readouterr().err


def test_two_processes_run_the_whole_road_together(built, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = os.environ | {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    command = [sys.executable, "-m", "tests.helpers.small_network", "quick", *SHORTEST]
    command += ["--no-require-gain", "--no-from-scratch", f"--workdir={tmp_path / 'run'}", *built]
    started = [
        subprocess.Popen(
            command,
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
    assert "FiveK: 11 train" in outputs[0]
    assert "FiveK" not in outputs[1]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert set(results["methods"]) >= {"unedited", "pretrained", "finetuned"}


def test_preempted_run_keeps_others_out_saves_and_exits_with_75(built, tmp_path, capsys):
    """Slurm's signal in the middle of a stage; meanwhile a second process tries the same folder."""
    workdir, log = tmp_path / "run", tmp_path / "log"
    command = [sys.executable, "-m", "tests.helpers.small_network", "quick", *SHORTEST]
    command += [f"--workdir={workdir}", "--pretrain.epochs=5000", *built]
    command += ["--pretrain.early-stopping-patience=5000"]
    with open(log, "w") as file, contextlib.ExitStack() as at_last:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
        at_last.callback(process.kill)
        deadline = time.monotonic() + 300
        while len(list(workdir.glob("pretrain/checkpoints/*/_CHECKPOINT_METADATA"))) < 2:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.01)
        assert main(command[3:]) == 2
        assert f"is in use by process {process.pid} " in capsys.readouterr().err
        process.send_signal(signal.SIGUSR1)
        assert process.wait(120) == 75
    said = log.read_text()
    assert "SIGUSR1: saving a checkpoint, then stopping." in said
    assert "Stopped by SIGUSR1. The same command continues." in said
    assert "Traceback" not in said
    saved = max(int(folder.name) for folder in (workdir / "pretrain" / "checkpoints").iterdir())
    assert saved >= json.loads((workdir / "pretrain" / "history.json").read_text())[-1]["step"]
