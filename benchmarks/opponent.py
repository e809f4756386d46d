"""The other side: forward pass and train step in PyTorch, with our weights."""

import contextlib
import ctypes
import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from benchmarks.cases import Case, Opponent
from benchmarks.program import OurProgram, random_pictures, targets_of
from benchmarks.torch_restormer import TorchRestormer
from enhancer.config import MODEL_SIZES, ModelSize, StageConfig
from enhancer.network.torch_weights import restormer_from_torch

_SIZE_FOR_ESTIMATE = _SIZE_FOR_PROOF = 64
_MOST_DIFFERENCE = 1e-4
# glibc's <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_KEPT = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1}
# As far as glibc's own adaptation goes when a program frees large blocks.
_AS_IT_COMES = {_M_MMAP_MAX: 65536, _M_MMAP_THRESHOLD: 32 << 20, _M_TRIM_THRESHOLD: 64 << 20}

State = dict[str, torch.Tensor]


class MismatchError(RuntimeError):
    """The two sides do not compute the same; comparing their times would be senseless."""


class TorchProgram:
    """A case in PyTorch. A call runs it once and waits for the result.

    Args:
        case: what to run.
        pictures: uint8 `(batch, size, size, 3)`.
        weights: a state dict; copied, because a train step changes it.
        opponent: eager, channels last, or compiled by Inductor; what becomes of freed memory is the
            caller's business.
        device: "cpu" or "cuda"; there the compiled one is in channels last too.
    """

    def __init__(
        self,
        case: Case,
        pictures: np.ndarray,
        weights: State,
        opponent: Opponent,
        device: str = "cpu",
    ):
        last = opponent == "channels_last" or (opponent, device) == ("compile", "cuda")
        layout = torch.channels_last if last else torch.contiguous_format
        self.case, self._device = case, device
        model = TorchRestormer(MODEL_SIZES[case.model], remat=case.remat)
        model.load_state_dict(weights)
        model = model.to(device, memory_format=layout).train(case.what == "train_step")
        # Not part of any timing: a data loader delivers its batches in the layout of the model.
        self._input, self._target = (
            torch.from_numpy(x).to(device).permute(0, 3, 1, 2).contiguous(memory_format=layout)
            for x in (pictures, targets_of(pictures))
        )
        self._as_float = self._input.float() / 255
        self._parameters = list(model.parameters())
        if case.what == "train_step":
            stage = StageConfig()
            self._clip_norm = stage.gradient_clip_norm
            rates = {"lr": stage.peak_learning_rate, "weight_decay": stage.weight_decay}
            self._optimizer = torch.optim.AdamW(self._parameters, **rates, fused=True)
        if opponent == "compile":
            torch.compiler.reset()  # a program of another size would make this one for any size
        self._model = torch.compile(model) if opponent == "compile" else model

    def __call__(self) -> torch.Tensor:
        """The pictures, or the train step's loss."""
        if self.case.what == "train_step":
            answer = self._train_step()
        else:
            with torch.inference_mode(), self._precision():
                answer = self._model(self._as_float)
        if self._device == "cuda":
            torch.cuda.synchronize()
        return answer

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
        return torch.autocast(
            self._device, dtype=torch.bfloat16, enabled=self.case.dtype == "bfloat16"
        )

    def peak_bytes(self) -> int:
        """Memory that a call takes from PyTorch's allocator at its peak, above what it had before.

        oneDNN's own scratch memory does not pass through that allocator and is not counted.
        """
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            self()
        events = profiler.profiler.kineto_results.events()
        events = sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns())
        return int(max(0, np.cumsum([event.nbytes() for event in events]).max(initial=0)))


def estimated_peak_bytes(case: Case, weights: State) -> int:
    """What `peak_bytes` would give, from one small picture: activations grow with the pixels.

    A train step that does not fit would not fail but end this process.
    """
    small = dataclasses.replace(case, size=_SIZE_FOR_ESTIMATE, batch=1)
    program = TorchProgram(small, random_pictures(small), weights, "eager")
    program()
    gradients = 0
    if case.what == "train_step":
        gradients = sum(4 * value.numel() for value in weights.values())
    return gradients + max(0, program.peak_bytes() - gradients) * case.pixels // small.pixels


def shared_weights(model: ModelSize) -> tuple[list[np.ndarray], State, float]:
    """Random weights in both layouts, and by how much the two sides' outputs differ at most.

    Raises:
        MismatchError: by more than rounding.
    """
    torch.manual_seed(0)
    theirs = TorchRestormer(MODEL_SIZES[model]).state_dict()
    for name, value in theirs.items():
        # Scales and temperatures all start at 1, where an exchange of two would not show.
        if "norm" in name or "temperature" in name:
            theirs[name] = value * torch.empty_like(value).uniform_(0.8, 1.2)
    ours = restormer_from_torch({name: x.numpy() for name, x in theirs.items()}).get_weights()
    case = Case("forward", model, _SIZE_FOR_PROOF, 1)
    pictures = random_pictures(case)
    answer = TorchProgram(case, pictures, theirs, "eager")().permute(0, 2, 3, 1).numpy()
    difference = float(np.abs(np.asarray(OurProgram(case, pictures, ours)()) - answer).max())
    if not difference < _MOST_DIFFERENCE:
        raise MismatchError(f"The {model} models' outputs differ by {difference:.1e}.")
    return ours, theirs, difference


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed memory with the process; afterwards, all that is free goes back to the system.

    By default large blocks go back when they are freed and come again page by page, zeroed, at 0.5
    to 2 s per GB on some virtual machines. An engineer who runs PyTorch there sets MALLOC_MMAP_MAX_
    and MALLOC_TRIM_THRESHOLD_ against it.

    Raises:
        OSError: the C library is not glibc.
    """
    library = ctypes.CDLL(None)
    if not (hasattr(library, "mallopt") and hasattr(library, "malloc_trim")):
        raise OSError("freed memory can be kept with the GNU C library only")
    try:
        for name, value in _KEPT.items():
            library.mallopt(name, value)
        yield
    finally:
        for name, value in _AS_IT_COMES.items():
            library.mallopt(name, value)
        library.malloc_trim(0)
