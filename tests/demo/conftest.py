"""Gradio leaves sockets and event loops to the garbage collector: in these tests that may be."""

import gc
from pathlib import Path

import pytest

LEFT_OPEN = ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            for warning in LEFT_OPEN:
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{warning}"))


@pytest.fixture(scope="module", autouse=True)
def collect_garbage_here():
    """And is collected before the tests of other folders, where it may not."""
    yield
    gc.collect()
