"""Files that are complete or not there, and folders that one process works on at a time."""

import fcntl
import json
import os
import platform
import threading
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from enhancer.system.errors import EnhancerError

_LONGEST_NAME = 200  # bytes, of the 255 that file systems take
_OTHER_HOST_SECONDS = 180.0  # a file server takes a lock from a dead host after a minute or two
_TRY_AGAIN_SECONDS = 2.0


class FolderLockError(EnhancerError):
    """A folder that cannot be locked."""


class FolderInUseError(FolderLockError):
    """Another process works on the folder."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write under a temporary name beside it, then rename: a kill leaves no torn file behind."""
    name = os.fsdecode(os.fsencode(path.name)[:_LONGEST_NAME])
    # No process and no thread shares this number: two may write the same file.
    temporary = path.with_name(f".{name}.{threading.get_native_id()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """Write strict JSON, which knows neither NaN nor infinity, atomically."""
    write_atomically(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


class FolderLock:
    """Keeps other processes off a folder while the context is open.

    The system lets go of it however the process dies. One of another host is waited for a while: it
    may have died with its host, and this be the job that continues.

    Raises:
        FolderInUseError: on entering, when another process holds it.
        FolderLockError: likewise, when the file system knows no locks.
    """

    def __init__(self, folder: Path, *, other_host_seconds: float = _OTHER_HOST_SECONDS):
        self._folder, self._patience = folder, other_host_seconds

    def __enter__(self) -> "FolderLock":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = open(self._folder / ".lock", "a+")
        try:
            self._acquire()
        except BaseException:
            self._file.close()
            raise
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {platform.node()}")
        self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.truncate(0)
        self._file.close()

    def _acquire(self) -> None:
        began, told = time.monotonic(), False
        while not self._try():
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            elsewhere = " on " in holder and holder.rpartition(" on ")[2] != platform.node()
            in_use = f"{self._folder} is in use by {holder}"
            if not elsewhere or (told and time.monotonic() - began >= self._patience):
                raise FolderInUseError(f"{in_use}; wait for it, stop it, or name another folder.")
            if not told:
                tqdm.write(f"{in_use}: waiting up to {self._patience:.0f} s for its end.")
                told = True
            time.sleep(min(_TRY_AGAIN_SECONDS, self._patience))

    def _try(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise FolderLockError(
                f"{self._folder} cannot be locked ({error.strerror}): its file system has no "
                "locks (Lustre does when it is mounted with -o flock). Without them two processes "
                "could write into it; name a folder on another file system."
            ) from error
        return True
