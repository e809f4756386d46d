"""The other side: forward pass and train step in PyTorch, as its users write them."""

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from benchmarks.cases import Case, Opponent
from benchmarks.our_programs import targets_of
from benchmarks.torch_restormer import TorchRestormer
from enhancer.config import MODEL_SIZES, StageConfig

_SIZE_FOR_ESTIMATE = 64


class TorchProgram:
    """A case in PyTorch on the CPU. A call runs it once.

    Args:
        case: what to run.
        pictures: uint8 `(batch, size, size, 3)`.
        weights: a state dict; copied, because a train step changes it.
        opponent: eager, eager in the channels-last memory format, or compiled by Inductor; what becomes of freed memory is the caller's
            business.
    """

    def __init__(
        self, case: Case, pictures: np.ndarray, weights: dict[str, torch.Tensor], opponent: Opponent
    ):
        layout = torch.channels_last if opponent == "channels_last" else torch.contiguous_format
        self.case = case
        model = TorchRestormer(MODEL_SIZES[case.model], remat=case.remat)
        model.load_state_dict(weights)
        model = model.to(memory_format=layout).train(case.what == "train_step")
        # Not part of any timing: a PyTorch data loader delivers its batches in the layout that the model takes.
        self._input, self._target = (
            _planar(x).contiguous(memory_format=layout) for x in (pictures, targets_of(pictures))
        )
        self._as_float = self._input.float() / 255
        self._parameters = list(model.parameters())
        if case.what == "train_step":
            stage = StageConfig()
            self._clip_norm = stage.gradient_clip_norm
            self._optimizer = torch.optim.AdamW(
                self._parameters,
                lr=stage.peak_learning_rate,
                weight_decay=stage.weight_decay,
                fused=True,
            )
        if opponent == "compile":
            torch.compiler.reset()  # the program of another size would make this one a program for any size
        self._model = torch.compile(model) if opponent == "compile" else model

    def __call__(self) -> torch.Tensor:
        """The pictures, or the train step's loss."""
        if self.case.what == "train_step":
            return self._train_step()
        with torch.inference_mode(), self._precision():
            return self._model(self._as_float)

    def _train_step(self) -> torch.Tensor:
        photo, target = self._input.float() / 255, self._target.float() / 255
        with self._precision():
            loss = F.l1_loss(self._model(photo), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def _precision(self) -> torch.autocast:
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.case.dtype == "bfloat16")

    def peak_bytes(self) -> int:
        """Memory that one call takes from PyTorch's allocator at its peak, above what was taken before.

        oneDNN's own scratch memory does not pass through that allocator and is not counted.
        """
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            self()
        # The same events as in the exported trace, which for a large model is a file of hundreds of megabytes.
        events = [
            event
            for event in profiler.profiler.kineto_results.events()
            if event.name() == "[memory]"
        ]
        changes = np.array(
            [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
        )
        return int(max(0, np.cumsum(changes).max(initial=0)))


def estimated_peak_bytes(case: Case, weights: dict[str, torch.Tensor]) -> int:
    """What `peak_bytes` would give, from a measurement on one small picture: activations grow with the pixels.

    A train step that does not fit would not fail but end this process.
    """
    small = dataclasses.replace(case, size=_SIZE_FOR_ESTIMATE, batch=1)
    program = TorchProgram(
        small, np.zeros((1, small.size, small.size, 3), np.uint8), weights, "eager"
    )
    program()
    gradients = (
        sum(4 * value.numel() for value in weights.values()) if case.what == "train_step" else 0
    )
    return gradients + max(0, program.peak_bytes() - gradients) * case.pixels // small.pixels


def _planar(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)
