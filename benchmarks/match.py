"""The same weights on both sides, and the proof that they mean the same function."""

import dataclasses

import numpy as np
import torch

from benchmarks.cases import Case
from benchmarks.our_programs import OurProgram, random_pictures
from benchmarks.torch_programs import TorchProgram
from benchmarks.torch_restormer import TorchRestormer
from enhancer.config import MODEL_SIZES, ModelSize
from enhancer.network.torch_weights import restormer_from_torch

_SIZE = 64
_MOST_DIFFERENCE = 1e-4


class MismatchError(RuntimeError):
    """The two sides do not compute the same; comparing their times would be senseless."""


@dataclasses.dataclass(frozen=True)
class SharedWeights:
    """Random weights in both layouts."""

    ours: list[np.ndarray]  # in the order of `model.weights`
    theirs: dict[str, torch.Tensor]  # a state dict
    difference: float
    """The greatest difference between the two sides' outputs, float32."""

    @classmethod
    def of(cls, model: ModelSize) -> "SharedWeights":
        """Draw weights for a model, convert them, and compare the outputs.

        Raises:
            MismatchError: The outputs differ.
        """
        torch.manual_seed(0)
        theirs = TorchRestormer(MODEL_SIZES[model]).state_dict()
        # Scales and temperatures all start at 1, where an exchange of two would not show.
        theirs = {
            name: value * torch.empty_like(value).uniform_(0.8, 1.2)
            if "norm" in name or "temperature" in name
            else value
            for name, value in theirs.items()
        }
        ours = restormer_from_torch(
            {name: value.numpy() for name, value in theirs.items()}
        ).get_weights()
        case = Case("forward", model, _SIZE, 1)
        pictures = random_pictures(case)
        our_pictures = np.asarray(OurProgram(case, pictures, ours)())
        their_pictures = TorchProgram(case, pictures, theirs, "eager")().permute(0, 2, 3, 1).numpy()
        difference = float(np.abs(our_pictures - their_pictures).max())
        if not difference < _MOST_DIFFERENCE:
            raise MismatchError(
                f"The {model} models' outputs differ by {difference:.1e}, allowed is {_MOST_DIFFERENCE}."
            )
        return cls(ours, theirs, difference)
