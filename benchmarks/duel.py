"""One case, run by us and by PyTorch in turns."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.cases import Case, Opponent
from benchmarks.freed_memory import kept_memory
from benchmarks.machine import available_bytes
from benchmarks.match import MismatchError, SharedWeights
from benchmarks.our_programs import OurProgram, random_pictures
from benchmarks.timing import interleaved, median, ratio, seconds_of
from benchmarks.torch_programs import TorchProgram, estimated_peak_bytes

_MOST_LOSS_DIFFERENCE = {"float32": 1e-5, "bfloat16": 1e-2}  # of losses about 0.3


class Duel:
    """Both sides of a case, warmed up.

    Args:
        case: what is run.
        shared: the weights.
        opponents: PyTorch's variants; one that fails or would not fit in memory is left out and its problem noted.
        say: shows what is going on.
    """

    def __init__(
        self,
        case: Case,
        shared: SharedWeights,
        opponents: Sequence[Opponent],
        say: Callable[[str], None],
    ):
        self.case, self._opponents = case, opponents
        self.problems: dict[str, str] = {}
        pictures = random_pictures(case)
        self.ours = OurProgram(case, pictures, shared.ours)
        second_compile_s = self.ours.compile_again_s()
        say(
            f"    compiled in {self.ours.compile_s:.1f} s, from the cache in {second_compile_s:.1f} s"
        )
        self._fields: dict[str, Any] = {
            "compile_s": self.ours.compile_s,
            "second_compile_s": second_compile_s,
        }
        our_first = self.ours()

        self._torch: dict[str, TorchProgram] = {}
        too_large = _too_large(estimated_peak_bytes(case, shared.theirs))
        for opponent in opponents:
            if too_large:
                self.problems[opponent] = too_large
                continue
            say(f"    PyTorch {opponent}")
            try:
                if opponent == "kept_memory":
                    with kept_memory():
                        pass  # or fail here, where the other opponents still count
                program = TorchProgram(case, pictures, shared.theirs, opponent)
                first: list[torch.Tensor] = []
                warm_up_s = seconds_of(lambda call=program, results=first: results.append(call()))
            except Exception as error:  # Inductor alone can fail in dozens of ways, and the others' numbers still count
                self.problems[opponent] = (
                    f"failed: {type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
                )
                continue
            if opponent == "compile":
                self._fields["torch_compile_compile_s"] = warm_up_s
            if case.what == "train_step":
                _refuse_other_loss(case, float(our_first), first[0].item())
            self._torch[opponent] = program

    def run(self, repeats: int) -> dict[str, Any]:
        """Measure, and return the fields of a row that come of it."""
        surroundings = {"kept_memory": kept_memory} if "kept_memory" in self._torch else {}
        seconds = interleaved({"ours": self.ours, **self._torch}, repeats, surroundings)
        ours = seconds.pop("ours")
        fields: dict[str, Any] = {"ours_s": median(ours)}
        fields |= {
            f"torch_{name}_s": median(seconds[name]) if name in seconds else None
            for name in self._opponents
        }
        for name in self._opponents:
            field = "ratio" if name == "eager" else f"ratio_{name}"
            against = ratio(seconds[name], ours) if name in seconds else (None, None, None)
            fields[field], fields[f"{field}_low"], fields[f"{field}_high"] = against
        fields |= self._fields
        fields["our_temp_bytes"] = self.ours.temp_bytes
        fields["torch_peak_bytes"] = (
            self._torch["eager"].peak_bytes() if "eager" in self._torch else None
        )
        return fields | {"repeats": repeats, "problems": self.problems}


def _too_large(estimate: int) -> str | None:
    available = available_bytes()
    if available is None or estimate < available:
        return None
    return f"would need about {estimate / 1e9:.0f} GB, {available / 1e9:.0f} GB are free"


def _refuse_other_loss(case: Case, ours: float, theirs: float) -> None:
    if not np.isclose(ours, theirs, rtol=0, atol=_MOST_LOSS_DIFFERENCE[case.dtype]):
        raise MismatchError(
            f"{case}: the first step's losses differ, ours is {ours}, PyTorch's {theirs}."
        )
