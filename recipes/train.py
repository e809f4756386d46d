"""Train one network on your own pairs, in one stage.

    python -m recipes.train PAIRS --workdir RUN                       from nothing
    python -m recipes.train PAIRS --workdir RUN --start OTHER_RUN     from a run's best weights
    python -m recipes.train PAIRS --workdir RUN --start restormer.pth from the authors' weights
    python -m recipes.train PAIRS --workdir RUN --start package --stage.squash    from ours
    python -m recipes.train PAIRS --workdir RUN --model tiny --stage.epochs 1 --stage.resolution 64

PAIRS is a folder in any layout: before/ and after/ (input/ and target/, lq/ and gt/, low/ and
high/), names such as 1_src.jpg and 1_tar.jpg, or lists in JSON lines or CSV. What was found is said
before anything is built. Without lists, validation and test are held back scene by scene.

The stage is the second one of `recipes.fivek_transfer`, and what it leaves is the same:
RUN/finetune with the checkpoints, results.json, report.html. The same command continues a run that
was stopped.
Exit codes as there.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from enhancer.config import MODEL_SIZES, Base, ModelConfig, ModelSize, StageConfig
from recipes.experiment.options import Experiment, UsageError
from recipes.fivek_transfer import exit_code, leave, run_in_folder, run_stages


@dataclasses.dataclass(frozen=True)
class Training:
    """One stage on the pairs at hand."""

    pairs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders with the pairs; only read."""
    workdir: Path
    """Holds everything that the run leaves; the same folder continues the run."""
    start: Path | None = None
    """A run or one of its stages, whose best weights training starts from, a Restormer's state dict
    from PyTorch (.safetensors, or .pth with the extra `torch`), or "package" for the model that
    comes with it. By default random weights."""
    model: ModelSize | None = None
    """Size of the network; by default that of --start, or base."""
    base: Base = "photo"
    """What the network's output means, see `python -m recipes.fivek_transfer --help`."""
    dim: int | None = None
    """Feature channels at full resolution, instead of the size's; with the three below."""
    num_blocks: tuple[int, int, int, int] | None = None
    num_heads: tuple[int, int, int, int] | None = None
    num_refinement_blocks: int | None = None
    stage: StageConfig = Experiment().finetune
    """The stage's settings."""
    config: str = "long_1536"
    """How the photos are stored: long_1536, or full for their own size."""
    allow_near_duplicates: bool = False
    """Accept lists that put photos of one scene into several splits."""
    save_minutes: float = 10.0
    """Time between checkpoints within an epoch."""

    def experiment(self) -> Experiment:
        """The second stage of the recipe, without its first; UsageError for wrong settings."""
        if not self.pairs:
            raise UsageError("Name the folder of your pairs: python -m recipes.train PAIRS ...")
        return Experiment(
            real_estate=self.pairs,
            workdir=self.workdir,
            real_estate_config=self.config,
            allow_near_duplicates=self.allow_near_duplicates,
            finetune=self.stage,
            pretraining=False,
            pretrained=None if self.start is None else _stage_of(self.start),
            network=self._shape(),
            from_scratch=False,
            save_minutes=self.save_minutes,
        )

    def _shape(self) -> ModelConfig:
        names = ("dim", "num_blocks", "num_heads", "num_refinement_blocks")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        started = _shape_of(_stage_of(self.start)) if self.start is not None else None
        shape = started or dataclasses.replace(MODEL_SIZES["base"], base=self.base)
        if self.model:
            shape = dataclasses.replace(MODEL_SIZES[self.model], base=shape.base)
        try:
            shape = dataclasses.replace(shape, **given)
        except ValueError as error:
            raise UsageError(f"{error}") from error
        if started not in (None, shape):
            raise UsageError(
                f"--start {self.start} is a network of another shape ({started}). Leave out "
                "--model, --dim and the like: it brings its own."
            )
        return shape


def _stage_of(start: Path) -> Path:
    """A run's stage, a stage, or a file."""
    if start == Path("package"):
        from enhancer.network.trained import PACKAGED

        return PACKAGED
    if not start.exists():
        raise UsageError(f"--start {start} does not exist. Name a run, a stage or a state dict.")
    inner = start / "finetune"
    return inner if (inner / "checkpoints").is_dir() else start


def _shape_of(start: Path) -> ModelConfig:
    if start.is_dir():
        from enhancer.network.trained import read_config

        return read_config(start)[0]
    from enhancer.network.trained import load_file

    return load_file(start).config


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, look at the pairs, train, and return the exit code."""
    training = tyro.cli(
        Training, args=arguments, prog="python -m recipes.train", description=__doc__
    )
    return exit_code(lambda: run_in_folder(training.experiment(), run_stages))


if __name__ == "__main__":
    leave(main())
