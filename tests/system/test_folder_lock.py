"""Two processes never work on one folder."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from enhancer.system.files import FolderInUseError, FolderLockError, lock_folder


def test_second_user_is_refused_and_told_who_the_first_is(tmp_path):
    refused = pytest.raises(FolderInUseError, match=f"in use by process {os.getpid()}")
    with lock_folder(tmp_path / "run"), refused, lock_folder(tmp_path / "run"):
        pass
    with lock_folder(tmp_path / "run"):
        pass


def test_lock_of_a_killed_process_is_no_obstacle(tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from enhancer.system.files import lock_folder
with lock_folder(Path({str(tmp_path)!r})):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run(
        [sys.executable, "-c", code], cwd=os.getcwd(), env=os.environ | {"PYTHONPATH": os.getcwd()}
    )
    assert killed.returncode == -9
    with lock_folder(tmp_path):
        pass


def test_process_of_another_host_is_waited_for(tmp_path, capsys):
    """After a host died, its file server keeps its locks for a while."""
    with lock_folder(tmp_path):
        (tmp_path / ".lock").write_text("process 7 on node3")
        refused = pytest.raises(FolderInUseError, match="in use by process 7 on node3")
        with refused, lock_folder(tmp_path, other_host_seconds=0.05):
            pass
    assert "in use by process 7 on node3: waiting up to 0 s" in capsys.readouterr().out


def test_file_system_without_locks_is_named_as_the_cause(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(FolderLockError, match=r"Function not implemented.*has no locks"),
        lock_folder(tmp_path),
    ):
        pass
