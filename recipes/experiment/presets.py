"""The named settings of the experiment: learning rates, epochs and sizes of crops stand here."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import tyro

from enhancer.config import StageConfig
from recipes.experiment.options import Experiment

Options = TypeVar("Options", bound=Experiment)

_QUICK_STAGE = StageConfig(
    resolution=48,
    batch_size=4,
    epochs=10,
    peak_learning_rate=2e-3,
    warmup_epochs=1,
    early_stopping_patience=10,
    squash=True,
    min_crop_scale=0.7,
    precision="float32",
    remat="none",
)
_RECOMMENDED_STAGE = StageConfig(
    resolution=48,
    batch_size=8,
    epochs=6,
    passes_per_epoch=50,
    early_stopping_patience=6,
    peak_learning_rate=2e-3,
    warmup_epochs=1,
    keep="last",
    squash=True,
    min_crop_scale=0.7,
    precision="float32",
    remat="none",
    ema_decay=0.98,
)
PRESETS = {
    "plan": Experiment(),
    "quick": Experiment(
        miniature=True,
        workdir=Path("runs/quick"),
        fivek_config="c_512",
        model="tiny",
        base="retouch",
        pretrain=_QUICK_STAGE,
        finetune=dataclasses.replace(
            _QUICK_STAGE, epochs=16, early_stopping_patience=16, min_crop_scale=1.0
        ),
        require_gain=True,
    ),
    # docs/experiments.md says what it scores.
    "recommended": Experiment(
        workdir=Path("runs/recommended"),
        fivek_config="c_512",
        model="tiny",
        base="retouch",
        rendered_rooms=600,
        start_from_package=True,
        taught_by_tables=True,
        pretrain=dataclasses.replace(_RECOMMENDED_STAGE, epochs=3, mix_weight=0.75),
        finetune=dataclasses.replace(
            _RECOMMENDED_STAGE,
            epochs=3,
            passes_per_epoch=12,
            augmentation="strong",
            mix_weight=0.6,
            peak_learning_rate=5e-4,
        ),
        from_scratch=False,
        train_on_validation=True,
        squash=896,
    ),
}


def parse_options(
    arguments: list[str], default: Callable[[str], Options], command: str, description: str | None
) -> Options:
    """Read a command line that may begin with a preset's name; without one it means "plan".

    Args:
        arguments: what follows the command.
        default: the options of a preset by its name.
        command: how the recipe is asked for it, such as "ablate".
        description: for --help.
    """
    preset = arguments[0] if arguments[:1] and arguments[0] in PRESETS else "plan"
    return tyro.cli(
        type(default(preset)),
        default=default(preset),
        args=arguments[1:] if arguments[:1] == [preset] else arguments,
        prog=" ".join(filter(None, ("python -m recipes.fivek_transfer", command, preset))),
        description=description,
    )
