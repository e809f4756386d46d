"""Files that are complete or not there, and folders that one process works on at a time."""

import contextlib
import fcntl
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

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


@contextlib.contextmanager
def lock_folder(folder: Path, *, other_host_seconds: float = _OTHER_HOST_SECONDS) -> Iterator[None]:
    """Keep other processes off a folder while the context is open.

    The system lets go of it however the process dies. One of another host is waited for a while: it
    may have died with its host, and this be the job that continues.

    Raises:
        FolderInUseError: on entering, when another process holds it.
        FolderLockError: likewise, when the file system knows no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+") as file:
        waits_until = None
        while not _try_to_lock(folder, file):
            file.seek(0)
            holder = file.read().strip() or "another process"
            elsewhere = " on " in holder and holder.rpartition(" on ")[2] != platform.node()
            in_use = f"{folder} is in use by {holder}"
            if not elsewhere or (waits_until and time.monotonic() >= waits_until):
                raise FolderInUseError(f"{in_use}; wait for it, stop it, or name another folder.")
            if not waits_until:
                tqdm.write(f"{in_use}: waiting up to {other_host_seconds:.0f} s for its end.")
                waits_until = time.monotonic() + other_host_seconds
            time.sleep(min(_TRY_AGAIN_SECONDS, other_host_seconds))
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _try_to_lock(folder: Path, file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise FolderLockError(
            f"{folder} cannot be locked ({error.strerror}): its file system has no locks (Lustre "
            "does when it is mounted with -o flock). Without them two processes could write into "
            "it; name a folder on another file system."
        ) from error
    return True
