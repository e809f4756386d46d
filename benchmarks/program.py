"""A case of ours: forward pass or train step as a compiled program that runs again and again."""

import time
from collections.abc import Sequence
from typing import Any

import jax
import keras
import numpy as np

from benchmarks.cases import Case
from enhancer.config import MODEL_SIZES, StageConfig
from enhancer.network.levels import learning_rate_factors
from enhancer.network.restormer import Restormer
from enhancer.system.compiler import compiler_options
from enhancer.training.optimizer import make_optimizer
from enhancer.training.state import initial_state
from enhancer.training.step import StepControls, make_train_step


class OurProgram:
    """A case of ours, compiled. A call runs it once and waits for the result.

    Attributes:
        compile_s: seconds from the Python function to the executable.
        temp_bytes: memory that the program takes besides its arguments and results.
        memory_bytes: with them; what is given in and handed back counts once.
        bytes_accessed: what its kernels read and write, as XLA estimates.
    """

    def __init__(
        self, case: Case, pictures: np.ndarray, weights: Sequence[np.ndarray] | None = None
    ):
        """Take uint8 pictures `(batch, size, size, 3)`; a train step's targets are mirrored."""
        self.model = build_model(case, weights)
        self._program, self._arguments = program_of(case, self.model, pictures)
        self._state = self._arguments[0] if case.what == "train_step" else None
        started = time.perf_counter()
        self._compiled = self._program.lower(*self._arguments).compile()
        self.compile_s = time.perf_counter() - started
        memory = self._compiled.memory_analysis()
        self.temp_bytes = int(memory.temp_size_in_bytes)
        given = memory.argument_size_in_bytes + memory.output_size_in_bytes
        self.memory_bytes = self.temp_bytes + int(given - memory.alias_size_in_bytes)
        self.bytes_accessed = float((self._compiled.cost_analysis() or {}).get("bytes accessed", 0))

    def __call__(self) -> jax.Array:
        """The pictures, or the train step's loss."""
        if self._state is None:
            return jax.block_until_ready(self._compiled(*self._arguments))
        # The state given in is gone.
        self._state, report = self._compiled(self._state, *self._arguments[1:])
        jax.block_until_ready((self._state, report))
        return report.loss

    def run_many(self, steps: int) -> None:
        """Send off train steps one after the other and wait for the last."""
        for _ in range(steps):
            self._state, _ = self._compiled(self._state, *self._arguments[1:])
        jax.block_until_ready(self._state)

    def compile_again_s(self) -> float:
        """Seconds that compiling takes in a later process, with what is cached on disk."""
        jax.clear_caches()
        arguments = self._arguments if self._state is None else (self._state, *self._arguments[1:])
        started = time.perf_counter()
        self._program.lower(*arguments).compile()
        return time.perf_counter() - started


def build_model(case: Case, weights: Sequence[np.ndarray] | None = None) -> Restormer:
    """The case's network with the given weights, or with seeded random ones."""
    keras.utils.set_random_seed(0)
    policy = "mixed_bfloat16" if case.dtype == "bfloat16" else "float32"
    remat = "block" if case.remat else "none"
    model = Restormer(MODEL_SIZES[case.model], remat=remat, dtype=policy)
    if weights is not None:
        model.set_weights(list(weights))
    return model


def random_pictures(case: Case) -> np.ndarray:
    """Seeded noise, uint8 `(batch, size, size, 3)`."""
    shape = case.batch, case.size, case.size, 3
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def targets_of(pictures: np.ndarray) -> np.ndarray:
    """What pictures become in a train step: their mirror images, so that there is a loss."""
    return np.ascontiguousarray(pictures[:, :, ::-1])


def program_of(case: Case, model: Restormer, pictures: np.ndarray) -> tuple[Any, tuple[Any, ...]]:
    """A jitted function, not yet compiled, and its arguments."""
    if case.what == "forward":

        def forward(weights: list[jax.Array], x: jax.Array) -> jax.Array:
            return model.stateless_call(weights, [], x)[0]

        weights = [variable.value for variable in model.trainable_variables]
        x = jax.device_put(pictures.astype("float32") / 255)
        return jax.jit(forward, compiler_options=compiler_options()), (weights, x)

    stage = StageConfig()
    optimizer = make_optimizer(stage.weight_decay, model.trainable_variables)
    state = initial_state(model, optimizer, with_average=False)
    batch = {"input": pictures, "target": targets_of(pictures)}
    nothing_asked = np.zeros(jax.local_device_count(), "int32")
    controls = StepControls(
        np.float32(stage.peak_learning_rate), learning_rate_factors(stage, epoch=1), nothing_asked
    )
    return make_train_step(model, optimizer, stage), (state, batch, controls)
