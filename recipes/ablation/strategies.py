"""Ways to fine-tune, by name: what each changes about the recipe's settings."""

import dataclasses
from typing import Any, get_args, get_origin, get_type_hints

from enhancer.config import StageConfig
from recipes.experiment import Experiment, UsageError, refuse_senseless

SCRATCH, TRANSFER = "scratch", "transfer"
ALTERNATIVES = (
    "3 levels frozen:frozen_levels=3",
    "unfrozen one by one:frozen_levels=4,unfreeze_every_epochs=1",
    "rates by depth:level_decay=0.7",
    "30 % FiveK mixed in:mix_weight=0.3",
    "strong augmentation:augmentation=strong",
    "moving average:ema_decay=0.99",
)
_EXPERIMENT_KEYS = ("model", "base")


@dataclasses.dataclass(frozen=True)
class Strategy:
    """How a network comes to be."""

    name: str
    pretrained: bool
    experiment: Experiment
    """The settings with the strategy's changes."""


def basic_strategies(experiment: Experiment) -> list[Strategy]:
    """From scratch, and pre-trained then fine-tuned, with the same settings."""
    return [Strategy(SCRATCH, False, experiment), Strategy(TRANSFER, True, experiment)]


def parse_strategy(text: str, experiment: Experiment) -> Strategy:
    """Read `NAME:key=value,key=value`.

    Keys are the settings of fine-tuning, such as `frozen_levels`, of pre-training with `pretrain.` in front, `model` and
    `base`, and `from=scratch` to leave pre-training out.

    Raises:
        UsageError: it does not read so, or asks for a value that no run can use.
    """
    name, colon, changes = text.partition(":")
    if not (name.strip() and colon and changes) or name.strip() in (SCRATCH, TRANSFER):
        raise UsageError(
            f"A strategy is NAME:key=value,..., such as '{ALTERNATIVES[0]}', and NAME not taken; received '{text}'."
        )
    pretrained = True
    for change in changes.split(","):
        key, equals, value = (part.strip() for part in change.partition("="))
        if not equals:
            raise UsageError(f"Strategy '{name}': '{change}' is not key=value.")
        if key == "from":
            if value != SCRATCH:
                raise UsageError(
                    f"Strategy '{name}': from= takes only {SCRATCH}, received '{value}'."
                )
            pretrained = False
        elif key in _EXPERIMENT_KEYS:
            experiment = dataclasses.replace(
                experiment, **{key: _parsed(Experiment, key, value, name)}
            )
        else:
            stage_name, _, field = key.rpartition(".")
            stage_name = stage_name or "finetune"
            if stage_name not in ("pretrain", "finetune"):
                raise UsageError(
                    f"Strategy '{name}' changes '{key}', which is no setting; stages are pretrain and finetune."
                )
            if field == "seed":
                raise UsageError(
                    f"Strategy '{name}' changes a seed; --seeds gives them to every training."
                )
            stage = getattr(experiment, stage_name)
            stage = dataclasses.replace(stage, **{field: _parsed(StageConfig, field, value, name)})
            experiment = dataclasses.replace(experiment, **{stage_name: stage})
    # A strategy may leave the extra pairs out that the others are pre-trained on.
    used = (
        experiment
        if experiment.pretrain.mix_weight
        else dataclasses.replace(experiment, extra_pairs=None)
    )
    try:
        refuse_senseless(used)
    except UsageError as error:
        raise UsageError(f"Strategy '{name.strip()}': {error}") from None
    return Strategy(name.strip(), pretrained, experiment)


def _parsed(owner: type, field: str, value: str, strategy: str) -> Any:
    """A field's value from text, by the field's type."""
    hints = get_type_hints(owner)
    if field not in hints:
        raise UsageError(
            f"Strategy '{strategy}' changes '{field}', which is no setting; see --help."
        )
    kind = hints[field]
    try:
        if get_origin(kind) is tuple:
            return tuple(int(part) for part in value.split("+"))  # commas stand between the changes
        if kind in (int, float):
            return kind(value)
    except ValueError:
        raise UsageError(
            f"Strategy '{strategy}': {field} is a number, received '{value}'."
        ) from None
    if value not in get_args(kind):
        raise UsageError(
            f"Strategy '{strategy}': {field} is one of {', '.join(map(str, get_args(kind)))}, received '{value}'."
        )
    return value
