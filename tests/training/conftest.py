"""A stage that a small network trained, shared by the tests of loop and checkpoints."""

from pathlib import Path

import pytest

from tests.helpers.small_network import train


@pytest.fixture(scope="session")
def small_stage(tmp_path_factory, nano_stage, brightened_pairs) -> Path:
    """The folder of a stage in which a small network trained for three epochs of two steps."""
    stage_dir = tmp_path_factory.mktemp("small") / "finetune"
    train(nano_stage, brightened_pairs, stage_dir)
    return stage_dir
