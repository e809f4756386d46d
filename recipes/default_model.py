"""Make the model in the package, from rendered rooms alone: anyone may use it for anything.

    python -m recipes.default_model --workdir runs/default_model

Renders rooms, each with a camera and an editor of its own, trains on them, tests on rooms that the
network never saw, and writes it with its scores into one file of the package. No photo takes part.
The same command continues a run that was stopped at any moment, and ends with the same weights.

Exit codes: 0 done, 1 training or writing failed, 2 wrong usage, 75 stopped by a signal with
everything saved, 130 the same by Ctrl-C.
"""

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import tyro

from datasets.miniature.rendered_rooms import RenderedRooms
from enhancer.config import MODEL_SIZES, ModelConfig, StageConfig
from recipes.fivek_transfer import exit_code, leave, run_in_folder

LICENCE = "Apache-2.0. It was made from rendered rooms alone, which hold nobody else's work."
_TEST_ROOMS, _FIRST_TEST_ROOM = 40, 900_000


@dataclasses.dataclass(frozen=True)
class DefaultModel:
    """What it is made of."""

    workdir: Path = Path("runs/default_model")
    """Holds the rooms and the training; the same folder continues."""
    output: Path | None = None
    """The file that is written; by default the one in the package."""
    rooms: int = 2000
    """Rendered for training."""
    stage: StageConfig = StageConfig(
        resolution=48,
        batch_size=8,
        epochs=12,
        peak_learning_rate=2e-3,
        warmup_epochs=1,
        early_stopping_patience=12,
        keep="last",
        augmentation="strong",
        random_edit_share=0.3,
        squash=True,
        min_crop_scale=0.7,
        precision="float32",
        remat="none",
        ema_decay=0.98,
    )
    """Its settings."""

    @property
    def network_shape(self) -> ModelConfig:
        """The shape of the network."""
        return dataclasses.replace(MODEL_SIZES["tiny"], base="retouch")


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and return the exit code."""
    command = tyro.cli(
        DefaultModel, args=arguments, prog="python -m recipes.default_model", description=__doc__
    )
    return exit_code(lambda: run_in_folder(command, _run))


def _run(command: DefaultModel) -> int:
    from enhancer.network import trained
    from enhancer.system import compiler
    from enhancer.system.console import say
    from enhancer.training.loop import train

    compiler.enable_cache()
    output, folder = command.output or trained.PACKAGED, command.workdir / "rooms"
    say("[1/3] Render")
    rooms = RenderedRooms(folder, range(command.rooms))
    tests = RenderedRooms(folder, range(_FIRST_TEST_ROOM, _FIRST_TEST_ROOM + _TEST_ROOMS))
    say("\n[2/3] Train")
    train(command.stage, command.network_shape, rooms, tests, command.workdir / "stage")
    say("\n[3/3] Test")
    model = trained.load_best(command.workdir / "stage")
    about = {
        "working_size": command.stage.resolution,
        "trained_on": f"Trained on {command.rooms:,} rendered rooms, and on no photo at all.",
        "scores": _scores(command, rooms, tests),
        "recipe": "python -m recipes.default_model",
        "settings": {"rooms": command.rooms, "stage": dataclasses.asdict(command.stage)},
        "commit": _commit(),
        "licence": LICENCE,
    }
    trained.save_alone(output, model, about)
    trained.load_alone(output)
    say(f"\n{output}: {output.stat().st_size / 1e6:.1f} MB")
    return 0


def _scores(command: DefaultModel, rooms: RenderedRooms, tests: RenderedRooms) -> dict[str, Any]:
    """Test the network beside the fitted methods; what a model card shows of it."""
    from enhancer.data.pairs import ReadablePairs
    from enhancer.inference.enhancer import Enhancer
    from enhancer.scoring.baselines import FIT_SIDE, fit_baselines
    from enhancer.scoring.evaluation import evaluate, unedited
    from enhancer.scoring.results import build_results, results_table
    from enhancer.system.console import say
    from recipes.experiment.scored_pairs import read_reduced

    readable = ReadablePairs(rooms, "rendered rooms")
    enhancer = Enhancer.load(command.workdir / "stage")
    methods = {
        "unedited": unedited,
        **fit_baselines(read_reduced(readable, FIT_SIDE, "fitting the baselines")),
        "finetuned": enhancer.enhance,
    }
    rows = evaluate(methods, tests, network_side=command.stage.resolution)
    results = build_results(rows, weights_sha256={}, config={}, stages={})
    say(results_table(results))
    kept = ("mean", "interval_95")
    model, before = (
        {field: results["methods"][name][field] for field in kept}
        for name in ("finetuned", "unedited")
    )
    return {"photos": len(tests), "model": model, "unedited": before}


def _commit() -> str | None:
    asked = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    return asked.stdout.strip() or None


if __name__ == "__main__":
    leave(main())
