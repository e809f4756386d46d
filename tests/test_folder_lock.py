"""Two processes never work on one folder."""

import os
import subprocess
import sys

import pytest

from enhancer.folder_lock import FolderInUseError, FolderLock


def test_second_user_is_refused_and_told_who_the_first_is(tmp_path):
    refused = pytest.raises(FolderInUseError, match=f"in use by process {os.getpid()}")
    with FolderLock(tmp_path / "run"), refused, FolderLock(tmp_path / "run"):
        pass
    with FolderLock(tmp_path / "run"):
        pass


def test_lock_of_a_killed_process_is_no_obstacle(tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from enhancer.folder_lock import FolderLock
with FolderLock(Path({str(tmp_path)!r})):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=os.getcwd(), env=os.environ | {"PYTHONPATH": os.getcwd()})
    assert killed.returncode == -9
    with FolderLock(tmp_path):
        pass
