"""Fixtures shared by all tests."""

import os
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest

import enhancer  # noqa: F401  # chooses the Keras backend before any test imports keras
from enhancer.config import ModelConfig, StageConfig
from tests.helpers.xla import SOON


def pytest_configure(config: pytest.Config) -> None:
    """Compile soon, and once for the whole run: its workers and the processes that they start."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # a worker inherits what is set here
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {SOON}".strip()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = tempfile.mkdtemp(prefix="enhancer-xla-")
        config.add_cleanup(lambda: shutil.rmtree(cache, ignore_errors=True))
        os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real photos that may not be redistributed; tests on it skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real photos are not redistributable and not on this machine")
    return folder


@pytest.fixture(scope="session")
def nano() -> ModelConfig:
    """A network that compiles in seconds."""
    return ModelConfig(
        dim=4, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, num_heads=(1, 1, 1, 1)
    )


@pytest.fixture(scope="session")
def nano_stage() -> StageConfig:
    """A stage of two steps per epoch on `brightened_pairs`."""
    return StageConfig(
        resolution=16,
        batch_size=4,
        epochs=3,
        peak_learning_rate=3e-3,
        warmup_epochs=1,
        precision="float32",
        remat="none",
    )


@pytest.fixture(scope="session")
def brightened_pairs() -> list[dict]:
    """Nine pairs of 40 x 28 pictures: the target is the input, brighter, which is soon learned."""
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(9):
        photo = cv2.resize(
            rng.integers(0, 180, (5, 4, 3), dtype=np.uint8), (28, 40), interpolation=cv2.INTER_CUBIC
        )
        brighter = np.clip(photo * 1.3 + 12, 0, 255).astype(np.uint8)
        encoded = {
            key: cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
            for key, picture in (("input", photo), ("target", brighter))
        }
        pairs.append(encoded | {"id": f"pair{index}".encode()})
    return pairs


@pytest.fixture(scope="session")
def small_stage(tmp_path_factory, nano_stage, brightened_pairs) -> Path:
    """The folder of a stage in which a small network trained for three epochs of two steps."""
    from tests.helpers.small_network import train

    stage_dir = tmp_path_factory.mktemp("small") / "finetune"
    train(nano_stage, brightened_pairs, stage_dir)
    return stage_dir
