"""Models whose edit is known."""

import pytest

from enhancer.inference import enhancer as inference
from enhancer.system import compiler
from tests.helpers.command import CountingEnhancer
from tests.helpers.lift import Lift


@pytest.fixture
def enhancer(monkeypatch) -> CountingEnhancer:
    counting = CountingEnhancer()
    monkeypatch.setattr(inference.Enhancer, "load", lambda workdir: counting)
    monkeypatch.setattr(compiler, "enable_cache", lambda: None)
    return counting


@pytest.fixture
def lift() -> Lift:
    model = Lift()
    model.build((None, None, None, 3))
    model.compiled_shapes.clear()
    return model
