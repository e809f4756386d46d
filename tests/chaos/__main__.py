"""Kill the recipe at random moments, start it again, and compare it with an undisturbed run.

    python -m tests.chaos                      twenty kills, a quarter of an hour on two cores
    python -m tests.chaos --kills 3 --seed 1

Each trial is a run of its own in its own folder: killed with SIGKILL once, at a moment drawn evenly
over the whole duration of the undisturbed run (data, all stages, saves, test), and then started
again with the same command. Compared are the hashes of the last and the best weights of every
stage, the histories without what a clock says, and every photo's scores. Checkpoints are written
every second, so that kills fall into saves too.

Exit codes: 0 all equal, 1 not.
"""

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tyro

ROOT = Path(__file__).resolve().parents[2]
_CLOCK = ("images_per_second", "seconds")


@dataclasses.dataclass(frozen=True)
class Arguments:
    __doc__ = __doc__

    kills: int = 20
    """Trials."""
    seed: int = 0
    """Draws the moments."""
    epochs: int = 3
    """Of each stage."""
    resolution: int = 32
    """Side of the training crops."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m tests.chaos")
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="enhancer-chaos-") as scratch:
        folder = Path(scratch)
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(folder / "xla")}
        warm_up = start(
            arguments, folder / "warm_up", environment
        )  # fills the cache of compiled programs
        if warm_up.wait():
            print((folder / "warm_up.log").read_text(), file=sys.stderr)
            return 1
        began = time.monotonic()
        if start(arguments, folder / "undisturbed", environment).wait():
            print((folder / "undisturbed.log").read_text(), file=sys.stderr)
            return 1
        duration = time.monotonic() - began
        expected = outcome(folder / "undisturbed")
        print(f"undisturbed: {duration:.0f} s, {expected['sha256']}", flush=True)
        equal = 0
        for trial in range(1, arguments.kills + 1):
            moment = moments.uniform(0, duration)
            workdir = folder / f"trial{trial}"
            process = start(arguments, workdir, environment)
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
            if process.wait() != -signal.SIGKILL:  # it had ended by itself, and nothing was shown
                print(
                    f"{trial}/{arguments.kills}: it ended within {moment:.1f} s, before the kill",
                    flush=True,
                )
                shutil.rmtree(workdir)
                continue
            log = folder / f"{workdir.name}.log"
            at = last_line(log)
            code = start(arguments, workdir, environment).wait()
            same = code == 0 and outcome(workdir) == expected
            equal += same
            found = "equal" if same else "DIFFERENT"
            print(
                f"{trial}/{arguments.kills}: killed after {moment:.1f} s ({at}): {found}",
                flush=True,
            )
            if not same:
                print(log.read_text(), file=sys.stderr)
            shutil.rmtree(workdir)
        print(f"{equal}/{arguments.kills} equal to the undisturbed run")
    return 0 if equal == arguments.kills else 1


def start(
    arguments: Arguments, workdir: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """The quick recipe, shortened; what it prints is added to a file beside its folder."""
    command = [sys.executable, "-m", "recipes.fivek_transfer", "quick", "--workdir", str(workdir)]
    command += ["--no-require-gain", "--save-minutes", str(1 / 60)]
    for stage in ("pretrain", "finetune"):
        command += [
            f"--{stage}.epochs={arguments.epochs}",
            f"--{stage}.resolution={arguments.resolution}",
        ]
        command += [f"--{stage}.ema-decay=0.99"]
    with open(workdir.with_name(f"{workdir.name}.log"), "ab") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def outcome(workdir: Path) -> dict[str, Any]:
    """All of a finished run that must not depend on how often it was killed."""
    results = json.loads((workdir / "results.json").read_text())
    histories = {
        stage: [
            {key: value for key, value in row.items() if key not in _CLOCK}
            for row in json.loads((workdir / stage / "history.json").read_text())
        ]
        for stage in results["stages"]
    }
    return {
        "sha256": {
            stage: values["last_weights_sha256"][:16] for stage, values in results["stages"].items()
        },
        "methods": results["methods"],
        "histories": histories,
    }


def last_line(log: Path) -> str:
    """What the process was doing, from its last words."""
    lines = [
        line.strip() for line in log.read_text().replace("\r", "\n").splitlines() if line.strip()
    ]
    return lines[-1][:60] if lines else "nothing printed yet"


if __name__ == "__main__":
    sys.exit(main())
