"""The settings of the two-stage experiment: the plan's, and a quick one for trying things out."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from enhancer.config import MODEL_SIZES, Base, ModelConfig, ModelSize, StageConfig


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The whole two-stage experiment. The defaults are the plan's."""

    fivek: Path | None = None
    """Source folder of FiveK; prepared and built into --data-dir when it is not yet there."""
    real_estate: Path | None = None
    """Source folder of the real-estate pairs (JSON lines and images), likewise."""
    extra_pairs: Path | None = None
    """Source folder of more pairs for stage 1 (JSON lines and images); the share that they get is --pretrain.mix-weight."""
    miniature: bool = False
    """Render small stand-ins for the data sets that no folder was named for."""
    data_dir: Path | None = None
    """Where the built data sets are, or go: by default ~/tensorflow_datasets, or WORKDIR/data with --miniature."""
    workdir: Path = Path("runs/fivek_transfer")
    """Holds everything that the run leaves; the same folder continues the run."""
    fivek_config: str = "c_1024"
    """FiveK builder config: expert and long edge in pixels."""
    real_estate_config: str = "long_1536"
    """Real-estate builder config: long edge in pixels."""
    allow_near_duplicates: bool = False
    """Accept a source whose lists put photos of one scene into several splits: the test is then easier than it should be."""
    model: ModelSize = "base"
    """Size of the network: base has the paper's 26.1 M parameters, small 3.8 M, tiny 0.26 M."""
    base: Base = "photo"
    """What the network's output is added to. developed: not to the photo itself but to the photo brought to one brightness and near
    neutral white, through a learned tone curve."""
    pretrain: StageConfig = StageConfig()
    """Stage 1, on FiveK."""
    finetune: StageConfig = StageConfig(
        resolution=896,
        batch_size=4,
        epochs=100,
        peak_learning_rate=1e-5,
        warmup_epochs=5,
        early_stopping_patience=15,
    )
    """Stage 2, on real estate, from stage 1's best weights; also the from-scratch baseline."""
    pretrained: Path | None = None
    """Folder of a finished stage whose best weights fine-tuning starts from, such as OTHER_RUN/pretrain; stage 1 is then left out."""
    from_scratch: bool = True
    """Also train the network from scratch, which is what pre-training is judged against."""
    train_on_validation: bool = False
    """Fine-tune on the validation pairs too; what is printed as validation loss is then of photos that were trained on, and chooses
    nothing with --finetune.keep last. The test pairs stay unseen."""
    save_minutes: float = 10.0
    """Time between checkpoints within an epoch: what a kill costs at most."""
    squash: int | None = None
    """Score as the plan's scripts did: photo and target squashed to a square of this side, in pixels. By default both keep
    their shape."""
    require_gain: bool = False
    """Exit with 1 unless the fine-tuned network beats the unedited photos and its starting point by a clear margin."""


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
# Work in progress: docs/experiments.md says what was measured so far, which is not yet better than a fitted curve.
_RECOMMENDED_STAGE = StageConfig(
    resolution=64,
    batch_size=8,
    peak_learning_rate=2e-3,
    warmup_epochs=1,
    keep="last",
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
    "recommended": Experiment(
        data_dir=Path("runs/recommended/data"),
        workdir=Path("runs/recommended"),
        fivek_config="c_512",
        model="tiny",
        base="developed",
        pretrain=dataclasses.replace(
            _RECOMMENDED_STAGE,
            resolution=64,
            epochs=10,
            passes_per_epoch=20,
            early_stopping_patience=10,
            augmentation="strong",
            mix_weight=0.65,
        ),
        finetune=dataclasses.replace(
            _RECOMMENDED_STAGE,
            epochs=10,
            passes_per_epoch=20,
            early_stopping_patience=10,
            peak_learning_rate=3e-4,
            curve_rate=30.0,
        ),
        from_scratch=False,
        train_on_validation=True,
        squash=896,
    ),
}


class UsageError(Exception):
    """The command cannot run as given; the message says what to change."""


def network_shape(experiment: Experiment) -> ModelConfig:
    """The shape of the network that the experiment trains."""
    return dataclasses.replace(MODEL_SIZES[experiment.model], base=experiment.base)


def configuration(experiment: Experiment, data: dict[str, str]) -> dict[str, Any]:
    """The settings as JSON holds them, with `data`: each data set's fingerprint."""
    return json.loads(json.dumps(dataclasses.asdict(experiment) | {"data": data}, default=str))


def refuse_senseless(experiment: Experiment) -> None:
    """Raise UsageError for a value that no run can use, before anything is built or trained."""
    limits = {
        "resolution": (8, 8192),
        "batch_size": (1, 1 << 20),
        "gradient_accumulation_steps": (1, 1 << 20),
        "epochs": (1, 1 << 20),
        "passes_per_epoch": (1, 1 << 20),
        "peak_learning_rate": (1e-12, 10),
        "warmup_epochs": (0, 1 << 20),
        "early_stopping_patience": (1, 1 << 20),
        "min_crop_scale": (0.01, 1),
        "weight_decay": (0, 10),
        "gradient_clip_norm": (1e-9, 1e9),
        "ema_decay": (0, 0.999999),
        "frozen_levels": (0, 7),
        "unfreeze_every_epochs": (0, 1 << 20),
        "level_decay": (1e-3, 1),
        "curve_rate": (0, 1000),
        "mix_weight": (0, 0.99),
        "max_consecutive_skips": (1, 1 << 20),
        "seed": (0, 2**32 - 1),
    }
    values = {
        f"{stage}.{name}": (getattr(getattr(experiment, stage), name), limit)
        for stage in ("pretrain", "finetune")
        for name, limit in limits.items()
    }
    for stage in ("pretrain", "finetune"):
        sides = getattr(experiment, stage).progressive_resolutions
        values |= {
            f"{stage}.progressive_resolutions[{i}]": (side, (8, 8192))
            for i, side in enumerate(sides)
        }
    values["save_minutes"] = (experiment.save_minutes, (0.001, 1 << 20))
    if experiment.squash is not None:
        values["squash"] = (experiment.squash, (16, 8192))
    for name, (value, (low, high)) in values.items():
        if not low <= value <= high:
            raise UsageError(f"{name} must lie in [{low}, {high}], received {value}.")
    if (
        experiment.pretrained is None
        and experiment.pretrain.mix_weight
        and experiment.extra_pairs is None
    ):
        raise UsageError(
            f"pretrain.mix_weight is {experiment.pretrain.mix_weight}, but there are no pairs to mix into stage 1; name their folder "
            "with --extra-pairs, or set --pretrain.mix-weight 0."
        )
    if experiment.extra_pairs is not None and not experiment.pretrain.mix_weight:
        raise UsageError(
            "extra_pairs would not be used: say with --pretrain.mix-weight what share of stage 1 they get."
        )
    if experiment.train_on_validation and experiment.finetune.keep == "best":
        raise UsageError(
            "train_on_validation: photos that were trained on cannot choose the best epoch; add --finetune.keep last."
        )


def refuse_other_run(experiment: Experiment, data: dict[str, str] | None = None) -> None:
    """Raise UsageError when the workdir holds a run whose training had other settings or, if given, other data.

    Folders and evaluation options may differ: they change nothing about what was trained.
    """
    path = experiment.workdir / "config.json"
    if not path.exists():
        return
    saved, wanted = json.loads(path.read_text()), configuration(experiment, data or {})
    trained = (
        "model",
        "base",
        "pretrained",
        "pretrain",
        "finetune",
        "train_on_validation",
        *(("data",) if data else ()),
    )
    differences = [
        line for key in trained for line in _differences(saved.get(key), wanted[key], key)
    ]
    if differences:
        raise UsageError(
            f"{experiment.workdir} holds a run with other settings (saved -> now asked for):\n  "
            + "\n  ".join(differences)
            + "\nName another --workdir, or repeat the run's own settings to continue it."
        )


def save_configuration(experiment: Experiment, data: dict[str, str]) -> None:
    """Write config.json of a run whose data are there."""
    from enhancer.system.files import write_json

    refuse_other_run(experiment, data)
    write_json(experiment.workdir / "config.json", configuration(experiment, data))


def _differences(saved: Any, wanted: Any, name: str) -> list[str]:
    if isinstance(saved, dict) and isinstance(wanted, dict):
        keys = sorted({*saved, *wanted})
        return [
            line
            for key in keys
            for line in _differences(saved.get(key), wanted.get(key), f"{name}.{key}")
        ]
    return [] if saved == wanted else [f"{name}: {saved} -> {wanted}"]
