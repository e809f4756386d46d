"""What is measured: one case per row, and the command-line options that pick cases."""

import dataclasses
import itertools
from typing import Annotated, Literal

import tyro

from enhancer.config import ModelSize

What = Literal["forward", "train_step"]
Dtype = Literal["float32", "bfloat16"]
Opponent = Literal["eager", "kept_memory", "channels_last", "compile"]


@dataclasses.dataclass(frozen=True)
class Case:
    """One program on square pictures. `bfloat16` is mixed precision: the weights stay float32."""

    what: What
    model: ModelSize
    size: int
    batch: int
    dtype: Dtype = "float32"
    remat: bool = False

    def __str__(self) -> str:
        remat = " remat" if self.remat else ""
        return f"{self.what} {self.model} {self.size}x{self.batch} {self.dtype}{remat}"

    @property
    def pixels(self) -> int:
        """Pixels that one call works on."""
        return self.size**2 * self.batch


GOALS = (
    Case("forward", "small", 256, 1),
    Case("forward", "base", 256, 1),
    Case("forward", "base", 512, 1),
    Case("train_step", "small", 128, 2),
    Case("train_step", "small", 256, 1),
    Case("train_step", "base", 128, 2),
    Case("train_step", "base", 256, 1),
)


@dataclasses.dataclass(frozen=True)
class Picks:
    """Which rows. Without any of these options: the rows that the project set itself goals for.

    Naming a model, size, batch or dtype makes a grid of what is named instead; what is not named is
    then small, 256, 1 and float32.
    """

    only: What | None = None
    """Leave the other program out."""
    model: tuple[ModelSize, ...] = ()
    """One or several networks."""
    size: Annotated[tuple[int, ...], tyro.conf.arg(metavar="PIXELS...")] = ()
    """Sides of the square pictures, multiples of 8."""
    batch: Annotated[tuple[int, ...], tyro.conf.arg(metavar="PICTURES...")] = ()
    """Pictures per call."""
    dtype: tuple[Dtype, ...] = ()
    """float32, or bfloat16 activations over float32 weights."""
    remat: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Measure each train step once more with activations recomputed per block, on both sides."""


def picked(picks: Picks) -> list[Case]:
    """The cases that `picks` names.

    Raises:
        ValueError: a side is not a multiple of 8, or a number is not positive.
    """
    if any(size < 8 or size % 8 for size in picks.size) or any(batch < 1 for batch in picks.batch):
        raise ValueError("--size takes multiples of 8 and --batch positive numbers.")
    cases = list(GOALS)
    if picks.model or picks.size or picks.batch or picks.dtype:
        axes = picks.model or ("small",), picks.size or (256,), picks.batch or (1,)
        grid = itertools.product(("forward", "train_step"), *axes, picks.dtype or ("float32",))
        cases = [Case(*values) for values in grid]
    wanted = []
    for case in cases:
        if picks.only in (None, case.what):
            wanted.append(case)
            if picks.remat and case.what == "train_step":
                wanted.append(dataclasses.replace(case, remat=True))
    return wanted
