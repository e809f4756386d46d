"""Ways to come to a network, by name: what each changes about the recipe's settings."""

import dataclasses
from typing import NamedTuple

import tyro

from recipes.experiment.options import Experiment, UsageError, refuse_contradictions

SCRATCH, TRANSFER = "scratch", "transfer"
ALTERNATIVES = (
    "3 levels frozen:frozen_levels=3",
    "unfrozen one by one:frozen_levels=4,unfreeze_every_epochs=1",
    "rates by depth:level_decay=0.7",
    "30 % FiveK mixed in:mix_weight=0.3",
    "strong augmentation:augmentation=strong",
    "moving average:ema_decay=0.99",
)


class Strategy(NamedTuple):
    """Whether a network starts from pre-trained weights, and the settings with the changes."""

    pretrained: bool
    experiment: Experiment


def parse_strategies(texts: tuple[str, ...], experiment: Experiment) -> dict[str, Strategy]:
    """From scratch, transfer, and what each `NAME:key=value,key=value` changes about it, by name.

    Keys are the recipe's own options: of fine-tuning without a prefix, `pretrain.epochs`, `model`,
    `base`, `progressive_resolutions=32+48`; and `from=scratch` to leave pre-training out.

    Raises:
        UsageError: one does not read so, or asks for what no run can use.
        SystemExit: a key or value is not the recipe's; its own parser has said so.
    """
    strategies = {name: Strategy(name == TRANSFER, experiment) for name in (SCRATCH, TRANSFER)}
    for text in texts:
        name, _, changes = (part.strip() for part in text.partition(":"))
        pairs = [change.partition("=") for change in changes.split(",")]
        if not name or name in strategies or not all(value for _, _, value in pairs):
            raise UsageError(
                f"A strategy is NAME:key=value,..., such as '{ALTERNATIVES[0]}', its NAME not "
                f"taken; received '{text}'."
            )
        settings = {key.strip(): value.strip() for key, _, value in pairs}
        start = settings.pop("from", TRANSFER)
        if start not in strategies or any("seed" in key for key in settings):
            raise UsageError(
                f"Strategy '{name}': from= takes only {SCRATCH}, and --seeds gives the seeds."
            )
        arguments = []
        for key, value in settings.items():
            whole = key in ("model", "base") or "." in key
            arguments += [f"--{key if whole else f'finetune.{key}'}", *value.split("+")]
        changed = tyro.cli(
            Experiment, default=experiment, args=arguments, prog=f"strategy '{name}'"
        )
        # A strategy may leave out what is mixed into the others' stages.
        extra = experiment.extra_pairs if changed.pretrain.mix_weight else ()
        rooms = experiment.rendered_rooms if changed.finetune.mix_weight else 0
        refuse_contradictions(dataclasses.replace(changed, extra_pairs=extra, rendered_rooms=rooms))
        strategies[name] = Strategy(start != SCRATCH, changed)
    return strategies
