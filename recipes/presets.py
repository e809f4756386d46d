"""The named settings of the experiment: the plan's, a quick one on rendered photos, and what scored
best from few pairs. Learning rates, epochs and sizes of crops stand here."""

import dataclasses
from pathlib import Path

from enhancer.config import StageConfig
from recipes.experiment import Experiment

_QUICK_STAGE = StageConfig(
    resolution=64,
    batch_size=4,
    epochs=14,
    peak_learning_rate=2e-3,
    warmup_epochs=2,
    early_stopping_patience=14,
    min_crop_scale=0.5,
    precision="float32",
    remat="none",
)
_RECOMMENDED_STAGE = StageConfig(
    resolution=64,
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
        pretrain=_QUICK_STAGE,
        finetune=dataclasses.replace(
            _QUICK_STAGE, epochs=20, early_stopping_patience=20, peak_learning_rate=1e-3
        ),
        require_gain=True,
    ),
    # docs/experiments.md says what it scores.
    "recommended": Experiment(
        workdir=Path("runs/recommended"),
        fivek_config="c_512",
        model="tiny",
        base="retouch",
        pretrain_on_rooms=True,
        pretrain=dataclasses.replace(_RECOMMENDED_STAGE, mix_weight=0.75, random_edit_share=0.7),
        finetune=dataclasses.replace(
            _RECOMMENDED_STAGE,
            passes_per_epoch=12,
            augmentation="strong",
            peak_learning_rate=1e-3,
        ),
        from_scratch=False,
        train_on_validation=True,
        squash=896,
    ),
}


def preset_and_rest(arguments: list[str]) -> tuple[str, list[str]]:
    """The preset that a command line begins with, "plan" if it names none, and what follows it."""
    named = arguments[:1] and arguments[0] in PRESETS
    return (arguments[0], arguments[1:]) if named else ("plan", arguments)
