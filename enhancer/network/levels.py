"""Depth levels: the network's layers in eight steps from photo to edit, and how fast each learns.

Not the four levels of the paper, which count halvings of the resolution and give layers their
names: here `encoder_level1` is level 0, `latent` level 3 and `decoder_level1` level 6.
"""

from collections.abc import Iterable

import numpy as np

from enhancer.config import StageConfig

LEVELS = (
    ("patch_embed", "encoder_level1"),
    ("down1_2", "encoder_level2"),
    ("down2_3", "encoder_level3"),
    ("down3_4", "latent"),
    ("up4_3", "reduce_chan_level3", "decoder_level3"),
    ("up3_2", "reduce_chan_level2", "decoder_level2"),
    ("up2_1", "decoder_level1"),
    ("refinement", "output", "retouch_hidden", "retouch_numbers"),
)
"""The network's layers by level, in the order in which a photo passes through them."""


def level_of(path: str) -> int:
    """The level, 0 to 7, of a variable by its path, such as "latent/ffn_expansion"; else
    ValueError."""
    layer = path.split("/")[0]
    for level, layers in enumerate(LEVELS):
        if layer in layers:
            return level
    raise ValueError(f"The layer {layer!r} of the variable {path!r} belongs to no level.")


def frozen_levels_in(stage: StageConfig, epoch: int) -> int:
    """How many levels, counted from the photo, stand still in an epoch (from 1).

    With `unfreeze_every_epochs` the last of them is set free after that many epochs, then the one
    before it, as ULMFiT does (Howard & Ruder, ACL 2018).
    """
    if not stage.unfreeze_every_epochs:
        return stage.frozen_levels
    return max(0, stage.frozen_levels - (epoch - 1) // stage.unfreeze_every_epochs)


def never_trained(stage: StageConfig, paths: Iterable[str]) -> frozenset[str]:
    """The variables that stand still through the whole stage: they need no gradient."""
    still = 0 if stage.unfreeze_every_epochs else stage.frozen_levels
    return frozenset(path for path in paths if level_of(path) < still)


def learning_rate_factors(stage: StageConfig, epoch: int) -> np.ndarray:
    """What each level's learning rate is multiplied with in an epoch, float32 `(8,)`: 0 for frozen
    levels, else `level_decay` to the power of the levels that come after."""
    powers = range(len(LEVELS) - 1, -1, -1)
    factors = np.asarray([stage.level_decay**power for power in powers], "float32")
    factors[: frozen_levels_in(stage, epoch)] = 0
    return factors


def has_one_rate(stage: StageConfig) -> bool:
    """Whether all of the network learns alike through the whole stage."""
    return stage.frozen_levels == 0 and stage.level_decay == 1
