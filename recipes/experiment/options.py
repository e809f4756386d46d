"""The two-stage experiment: its options, where its data lie, and which runs it may continue."""

import dataclasses
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import tyro

from enhancer.config import MODEL_SIZES, Base, ModelConfig, ModelSize, StageConfig
from enhancer.system.errors import EnhancerError
from enhancer.system.files import write_json

SUCCESS_LEVELS = {"minimum": -10.0, "target": -15.0, "stretch": -20.0}
"""What the plan (docs/plan.md) calls a success: test L1 so many percent from scratch's."""

_STAGES = ("pretrain", "finetune")


class UsageError(EnhancerError):
    """The command cannot run as given; the message says what to change."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The whole two-stage experiment. The defaults are the plan's."""

    fivek: Path | None = None
    """Source folder of FiveK; prepared and built into --data-dir when it is not yet there."""
    real_estate: tuple[Path, ...] = ()
    """Source folders of the real-estate pairs (JSON lines and images), likewise. Pairs of a folder
    with far fewer than the largest are shown up to three times as often."""
    extra_pairs: tuple[Path, ...] = ()
    """Source folders of more pairs for stage 1 (JSON lines and images); together they get
    --pretrain.mix-weight of it, each an equal share."""
    rendered_rooms: int = 0
    """So many rendered rooms have --finetune.mix-weight of fine-tuning, each with a camera and an
    editor of its own. A few real editors teach their own tastes alone."""
    start_from_package: bool = False
    """Both stages start from the model in the package, which rendered rooms have taught; a network
    from scratch does not. The network must be of its shape: tiny, retouch."""
    taught_by_tables: bool = False
    """Stage 1 has most of --pretrain.mix-weight for its own photos, taken a little differently, as
    colour tables edit them that were fitted on its pairs: few pairs alone are learned by heart."""
    miniature: bool = False
    """Render small stand-ins for the data sets that no folder was named for."""
    data_dir: Path | None = None
    """Where the built data sets are, or go. By default WORKDIR/data for what is named or rendered
    here, and ~/tensorflow_datasets for what `python -m datasets build` has built before."""
    workdir: Path = Path("runs/fivek_transfer")
    """Holds everything that the run leaves; the same folder continues the run."""
    fivek_config: str = "c_1024"
    """FiveK builder config: expert and long edge in pixels."""
    real_estate_config: str = "long_1536"
    """Real-estate builder config: long edge in pixels."""
    allow_near_duplicates: bool = False
    """Accept a source whose lists put photos of one scene into several splits: the test is then
    easier than it should be."""
    model: ModelSize = "base"
    """Size of the network: base has the paper's 26.1 M parameters, small 3.8 M, tiny 0.26 M."""
    base: Base = "photo"
    """What the network's output means. photo: a residual that is added to the photo, as in the
    paper. retouch: the numbers of a bounded edit, which cannot tint blown whites or wipe out
    windows."""
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
    """Folder of a finished stage whose best weights fine-tuning starts from, such as
    OTHER_RUN/pretrain; stage 1 is then left out."""
    pretraining: bool = True
    """Without it there is no stage 1 and no FiveK: stage 2 starts from --pretrained, or from
    nothing. See also `python -m recipes.train`."""
    network: tyro.conf.Suppress[ModelConfig | None] = None
    """The shape where `model` and `base` do not give it."""
    from_scratch: bool = True
    """Also train the network from scratch, which is what pre-training is judged against."""
    train_on_validation: bool = False
    """Fine-tune on the validation pairs too; what is printed as validation loss is then of photos
    that were trained on, and chooses nothing with --finetune.keep last. The test pairs stay
    unseen."""
    save_minutes: float = 10.0
    """Time between checkpoints within an epoch: what a kill costs at most."""
    squash: int | None = None
    """Score as the plan's scripts did: photo and target squashed to a square of this side, in
    pixels. By default both keep their shape."""
    require_gain: bool = False
    """Exit with 1 unless the fine-tuned network beats the unedited photos and its starting point by
    a clear margin."""

    def __post_init__(self):
        if not self.save_minutes >= 0.001:
            raise ValueError(f"save_minutes must be 0.001 or more, received {self.save_minutes}.")
        if self.squash is not None and not 16 <= self.squash <= 8192:
            raise ValueError(f"squash must lie in [16, 8192], received {self.squash}.")

    @property
    def network_shape(self) -> ModelConfig:
        """The shape of the network that is trained."""
        return self.network or dataclasses.replace(MODEL_SIZES[self.model], base=self.base)

    @property
    def pretrains(self) -> bool:
        """Whether stage 1 is part of it."""
        return self.pretraining and self.pretrained is None

    def settled(self, *, on_cpu: bool) -> Self:
        """With what is "auto" in the stages chosen: as the run in the workdir has it, or for a
        device."""
        saved = _read_configuration(self.workdir)
        begun = {name: StageConfig.from_json(saved[name]) for name in _STAGES if saved}
        stages: dict[str, Any] = {
            name: getattr(self, name).settled(on_cpu=on_cpu, like=begun.get(name))
            for name in _STAGES
        }
        return dataclasses.replace(self, **stages)

    def configuration(self, data: Mapping[str, str]) -> dict[str, Any]:
        """The settings as JSON holds them, with `data`: each data set's fingerprint."""
        return json.loads(json.dumps(dataclasses.asdict(self) | {"data": data}, default=str))


def folders_of(settings: Mapping[str, Any], name: str) -> list[Path]:
    """The source folders that an experiment's fields name for `name`."""
    named = settings.get(name) or ()
    return [Path(folder) for folder in ([named] if isinstance(named, str | Path) else named)]


def data_dirs_of(settings: Mapping[str, Any], name: str, workdir: Path) -> list[Path]:
    """Where the data sets called `name` are built, by an experiment's fields: see `data_dir`. One
    for each source folder, and one where none is named."""
    folders = folders_of(settings, name)
    if settings.get("data_dir"):
        data_dir = Path(settings["data_dir"]).expanduser()
    elif folders or settings.get("miniature"):
        data_dir = workdir / "data"
    else:
        data_dir = Path("~/tensorflow_datasets").expanduser()
    # Extra pairs have the layout of real-estate pairs, and in the folder of their own their name.
    first = data_dir / name if name == "extra_pairs" else data_dir
    return [first, *(data_dir / f"{name}_{n}" for n in range(2, len(folders) + 1))]


def refuse_contradictions(experiment: Experiment) -> None:
    """Raise UsageError for options that contradict each other, before anything is built."""
    pretrain, finetune = experiment.pretrain, experiment.finetune
    mixes, extra = pretrain.mix_weight, experiment.extra_pairs
    if experiment.pretrains and mixes and not (extra or experiment.taught_by_tables):
        raise UsageError(
            f"pretrain.mix_weight is {mixes}, but there are no pairs to mix into stage 1; name "
            "their folder with --extra-pairs, or set --pretrain.mix-weight 0."
        )
    mixes_fivek = finetune.mix_weight and not experiment.rendered_rooms
    if not experiment.pretraining and (mixes_fivek or extra):
        raise UsageError(
            "Without pre-training there is no second set to mix in: leave out --extra-pairs and "
            "--finetune.mix-weight, or --no-pretraining."
        )
    for name, given in (("extra_pairs", extra), ("taught_by_tables", experiment.taught_by_tables)):
        if given and not mixes:
            raise UsageError(f"{name} would have no share: set --pretrain.mix-weight.")
    if experiment.rendered_rooms and not finetune.mix_weight:
        raise UsageError(
            "rendered_rooms would not be used: give them a share with --finetune.mix-weight."
        )
    squashes = finetune.squash and (pretrain.squash or not experiment.pretrains)
    if experiment.network_shape.base == "retouch" and not squashes:
        raise UsageError(
            "base retouch: its network sees whole photos squashed into a square; add "
            "--pretrain.squash and --finetune.squash (in recipes.train --stage.squash)."
        )
    if experiment.train_on_validation and finetune.keep == "best":
        raise UsageError(
            "train_on_validation: photos that were trained on cannot choose the best epoch; add "
            "--finetune.keep last."
        )


def look_at_sources(experiment: Experiment) -> None:
    """Say what pairs the folders have that are not built yet, before anything is read for long.

    Of several processes the first one's build says it, whose machine alone may have the folders.

    Raises:
        UsageError: a data set is neither built nor named, or a folder is not there.
        SourceError: a folder has no known layout or not one whole pair, or a config is unknown.
    """
    if "JAX_COORDINATOR_ADDRESS" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        return
    from datasets import build  # with OpenCV and TFDS, a second
    from datasets.types import DatasetNotBuilt

    if experiment.pretrained is not None and not experiment.pretrained.exists():
        raise UsageError(f"--pretrained {experiment.pretrained} is not there.")
    sets: list[tuple[str, build.DatasetName]] = [("real_estate", "real_estate")]
    if experiment.pretraining:
        sets.insert(0, ("fivek", "fivek"))
    if experiment.extra_pairs and experiment.pretrains:
        sets.append(("extra_pairs", "real_estate"))
    settings = vars(experiment)
    for option, name in sets:
        folders, config = folders_of(settings, option), settings[f"{name}_config"]
        data_dirs = data_dirs_of(settings, option, experiment.workdir)
        for folder, data_dir in itertools.zip_longest(folders, data_dirs):
            try:
                build.splits(name, data_dir, config)
            except DatasetNotBuilt as error:
                if folder is not None and not folder.is_dir():
                    hint = "Name the folder that holds the source photos."
                    raise UsageError(f"{folder} is not a folder. {hint}") from error
                if folder is not None:
                    print(*build.look(name, folder, config), sep="\n", flush=True)
                elif not experiment.miniature:
                    hint = f"Or name the folder of its photos with --{name.replace('_', '-')}"
                    if name == "fivek":
                        hint += ", or train on your pairs alone: python -m recipes.train PAIRS"
                    raise UsageError(f"{error}\n{hint}.") from error


def refuse_other_run(experiment: Experiment, data: Mapping[str, str] | None = None) -> None:
    """Raise UsageError when the workdir holds a run whose training had other settings or data;
    folders and evaluation options may differ."""
    saved = _read_configuration(experiment.workdir)
    if not saved:
        return
    trained = ["model", "base", "pretrained", "pretrain", "finetune", "train_on_validation"]
    added = ("rendered_rooms", "start_from_package", "pretraining", "network", "taught_by_tables")
    trained += [*added, "data"] if data else [*added]
    wanted = experiment.configuration(data or {})
    # Of an earlier version: settings that it did not have are at their defaults.
    for name in added:
        saved.setdefault(name, json.loads(json.dumps(getattr(Experiment(), name))))
    for stage in _STAGES:
        settings = dataclasses.asdict(StageConfig.from_json(saved[stage]))
        saved[stage] = json.loads(json.dumps(settings))
    lines = [line for key in trained for line in _differences(saved.get(key), wanted[key], key)]
    if lines:
        differences = "\n  ".join(["(saved -> now asked for):", *lines])
        raise UsageError(
            f"{experiment.workdir} holds a run with other settings {differences}\n"
            "Name another --workdir, or repeat the run's own settings to continue it."
        )


def save_configuration(experiment: Experiment, data: Mapping[str, str]) -> None:
    """Write config.json of a run whose data are there."""
    refuse_other_run(experiment, data)
    write_json(experiment.workdir / "config.json", experiment.configuration(data))


def _read_configuration(workdir: Path) -> dict[str, Any]:
    """What a run's config.json holds; empty where there is none. UsageError: it is not a run's."""
    path = workdir / "config.json"
    if not path.exists():
        return {}
    try:
        saved = json.loads(path.read_text())
        for stage in _STAGES:
            StageConfig.from_json(saved[stage])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is not a run's configuration, or damaged ({error!r}): {workdir} may be one "
            "stage's folder, or hold something else. Name another --workdir."
        ) from error
    return saved


def _differences(saved: Any, wanted: Any, name: str) -> list[str]:
    if isinstance(saved, dict) and isinstance(wanted, dict):
        keys = sorted({*saved, *wanted})
        lines = [_differences(saved.get(key), wanted.get(key), f"{name}.{key}") for key in keys]
        return [line for inner in lines for line in inner]
    return [] if saved == wanted else [f"{name}: {saved} -> {wanted}"]
