"""What can be chosen: the network's shape and a training stage's settings, within bounds."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

Precision = Literal["auto", "mixed", "float32"]
Remat = Literal["auto", "none", "block"]
Base = Literal["photo", "retouch"]
Norm = Literal["bias_free", "with_bias"]
Keep = Literal["best", "last"]


def _refuse_outside(config: Any, **bounds: tuple[float, float]) -> None:
    """Raise ValueError for a field, or a number of a tuple, outside its bounds."""
    for name, (low, high) in bounds.items():
        value = getattr(config, name)
        for number in value if isinstance(value, tuple) else (value,):
            if not low <= number <= high:
                raise ValueError(f"{name} must lie in [{low}, {high}], received {number}.")


def _with_tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Shape of a Restormer, in the terms of its paper (Zamir et al., CVPR 2022, section 4)."""

    dim: int = 48
    """Feature channels at full resolution; each level down doubles them."""
    num_blocks: tuple[int, int, int, int] = (4, 6, 6, 8)
    """Transformer blocks on levels 1 to 4, 4 being the latent; the decoder mirrors them."""
    num_refinement_blocks: int = 4
    """Transformer blocks at full resolution after the decoder."""
    num_heads: tuple[int, int, int, int] = (1, 2, 4, 8)
    """Attention heads on levels 1 to 4."""
    ffn_expansion_factor: float = 2.66
    """Width of the gated feed-forward network relative to its input."""
    conv_bias: bool = False
    """Biases on the convolutions of the blocks, the channel reductions and the output."""
    norm: Norm = "bias_free"
    """BiasFree divides by the standard deviation only; WithBias is the ordinary layer norm."""
    channels: int = 3
    """Image channels, in and out."""
    base: Base = "photo"
    """What the network's output means. photo: a residual that is added to the photo, as in the
    paper. retouch: the numbers of a bounded edit (`enhancer.network.retouch`), which cannot tint
    blown whites or wipe out what lies in bright windows. For colour pictures only."""

    def __post_init__(self):
        _refuse_outside(
            self, dim=(1, 4096), num_refinement_blocks=(1, 1024), ffn_expansion_factor=(0.1, 64.0)
        )
        _refuse_outside(self, num_blocks=(1, 1024), num_heads=(1, 1024), channels=(1, 1024))
        if {len(self.num_blocks), len(self.num_heads)} != {4}:
            raise ValueError(f"A Restormer has four levels, received {self}.")
        if self.dim % 2:
            raise ValueError(f"dim must be even, as it is halved; received {self.dim}.")
        for name, choices in (("base", get_args(Base)), ("norm", get_args(Norm))):
            if getattr(self, name) not in choices:
                received = repr(getattr(self, name))
                raise ValueError(f"{name} must be one of {choices}, received {received}.")
        if self.base != "photo" and self.channels != 3:
            raise ValueError(f"base {self.base!r} takes 3 channels, received {self.channels}.")

    @property
    def embedded_channels(self) -> int:
        """Channels that the first convolution sees."""
        return self.channels * (2 if self.base == "retouch" else 1)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "ModelConfig":
        """The configuration that was written as JSON."""
        return cls(**_with_tuples(fields))


MODEL_SIZES = {
    "base": ModelConfig(),  # the paper's 26.1 M parameters
    "small": ModelConfig(dim=24, num_blocks=(2, 3, 3, 4), num_refinement_blocks=2),
    "tiny": ModelConfig(dim=8, num_blocks=(1, 1, 1, 2), num_refinement_blocks=1),
}
ModelSize = Literal["base", "small", "tiny"]


@dataclasses.dataclass(frozen=True)
class StageConfig:
    """One training stage. The defaults are the plan's pre-training stage."""

    resolution: int = 512
    """Side of the square training crops, in pixels."""
    progressive_resolutions: tuple[int, ...] = ()
    """Sides of crops to begin with, such as 256 384: the epochs are shared out evenly among them
    and `resolution`, which comes last."""
    batch_size: int = 8
    """Pairs per step, over all devices and processes."""
    gradient_accumulation_steps: int = 1
    """Equal parts in which a batch passes through the network, one after the other: less memory,
    the same gradient."""
    epochs: int = 30
    """Passes over the training pairs, at most; see `passes_per_epoch`."""
    passes_per_epoch: int = 1
    """Times that the training pairs pass in what counts as one epoch. Of a handful of pairs many,
    or validations and checkpoints take longer than training."""
    peak_learning_rate: float = 5e-5
    """AdamW's learning rate after the warm-up; it then falls to 0 along a cosine."""
    warmup_epochs: int = 5
    """Epochs in which the learning rate rises linearly from 0 to its peak."""
    early_stopping_patience: int = 10
    """Epochs without a better validation loss after which the stage ends."""
    keep: Keep = "best"
    """best: the epoch with the lowest validation loss is what the stage leaves. last: the last one,
    for a number of epochs that was fixed beforehand, where the validation photos are too few to
    choose by."""
    augmentation: Literal["none", "flip", "strong"] = "flip"
    """flip: mirror half of the pairs left to right, the same for input and target. strong: besides,
    turn them by up to 3 degrees, crop down to half the short side, and change exposure, contrast,
    saturation and white balance of the input a little."""
    random_edit_share: float = 0.0
    """Share of the training pairs, in [0, 1], whose input is replaced by their target, edited at
    random (exposure, light that falls off, white balance, contrast, saturation): the network learns
    to undo it. Endless pairs from a few published photos."""
    squash: bool = False
    """Crops have the photo's own shape and are squashed into a square, as a retouching network sees
    whole photos. By default they are square, and nothing is squashed."""
    min_crop_scale: float = 1.0
    """Smallest training crop, as a fraction of the photo's short side, in (0, 1]. 1 takes the
    largest square."""
    mix_weight: float = 0.0
    """Share of the training pairs that comes from a second set, in [0, 1): extra pairs in stage 1,
    FiveK during fine-tuning. An epoch keeps its number of steps."""
    precision: Precision = "auto"
    """mixed: bfloat16 activations with float32 weights, norms, softmax and loss. auto: mixed, and
    float32 on a CPU."""
    remat: Remat = "auto"
    """block: recompute each block's activations in the backward pass. A GPU runs out of memory
    without it; on a CPU, where half blocks keep only their input anyway, it saves a fifth of the
    memory. auto: block, and none on a CPU."""
    weight_decay: float = 1e-4
    """AdamW's decoupled weight decay, on convolution kernels only."""
    gradient_clip_norm: float = 1.0
    """Gradients are scaled down to this global L2 norm when they exceed it."""
    ema_decay: float = 0.0
    """Above 0: an exponential moving average of the weights with this decay per step is validated,
    and is what is kept as best."""
    frozen_levels: int = 0
    """The first so many of the network's 8 levels do not learn: 3 encoder levels, the latent one, 3
    decoder levels, refinement."""
    unfreeze_every_epochs: int = 0
    """Above 0: after every so many epochs the last frozen level is set free."""
    level_decay: float = 1.0
    """Learning rates fall by this factor from level to level, seen from the output: below 1 early
    levels learn slowly."""
    max_consecutive_skips: int = 10
    """Steps whose loss or gradient is not finite change nothing; so many in a row end the
    training."""
    seed: int = 0
    """Seeds the weights of a model that starts from scratch, the data order and the
    augmentation."""

    def __post_init__(self):
        many = 1 << 20
        _refuse_outside(
            self,
            resolution=(8, 8192),
            progressive_resolutions=(8, 8192),
            batch_size=(1, many),
            gradient_accumulation_steps=(1, many),
            epochs=(0, many),  # 0 only validates what the stage starts from
            passes_per_epoch=(1, many),
            peak_learning_rate=(1e-12, 10),
            warmup_epochs=(0, many),
            early_stopping_patience=(1, many),
            random_edit_share=(0, 1),
            min_crop_scale=(0.01, 1),
            mix_weight=(0, 0.99),
            weight_decay=(0, 10),
            gradient_clip_norm=(1e-9, 1e9),
            ema_decay=(0, 0.999999),
            frozen_levels=(0, 7),
            unfreeze_every_epochs=(0, many),
            level_decay=(1e-3, 1),
            max_consecutive_skips=(1, many),
            seed=(0, 2**32 - 1),
        )

    def settled(self, *, on_cpu: bool, like: "StageConfig | None" = None) -> "StageConfig":
        """With what is "auto" chosen: as `like` has it, a stage that is continued, or for a
        device."""
        precision, remat = ("float32", "none") if on_cpu else ("mixed", "block")
        if like:
            precision, remat = like.precision, like.remat
        return dataclasses.replace(
            self,
            precision=precision if self.precision == "auto" else self.precision,
            remat=remat if self.remat == "auto" else self.remat,
        )

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "StageConfig":
        """The settings that were written as JSON."""
        values = _with_tuples(fields)
        if values.get("curve_rate") == 1.0:  # a setting that was, where it did nothing
            del values["curve_rate"]
        return cls(**values)
