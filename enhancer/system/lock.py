"""One process at a time on a folder."""

import fcntl
import os
import platform
import time
from pathlib import Path
from typing import IO

from enhancer.system.console import say
from enhancer.system.errors import EnhancerError

_OTHER_HOST_SECONDS = (
    180.0  # a file server takes a lock from a host that died after a minute or two
)
_TRY_AGAIN_SECONDS = 2.0


class FolderLockError(EnhancerError):
    """A folder that cannot be locked; the message says why and what to do."""


class FolderInUseError(FolderLockError):
    """Another process works on the folder; the message names it."""


class FolderLock:
    """Keeps other processes off a folder while the context is open. The system lets go of it when the process dies, however it dies.

    A process of another host is waited for a while: it may have died with its host, and this be the job that continues.

    Raises:
        FolderInUseError: on entering, when another process holds it.
        FolderLockError: likewise, when the file system knows no locks.
    """

    def __init__(self, folder: Path, *, other_host_seconds: float = _OTHER_HOST_SECONDS):
        self._path, self._patience = folder / ".lock", other_host_seconds

    def __enter__(self) -> "FolderLock":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._path, "a+")
        try:
            self._acquire()
        except BaseException:
            self._file.close()
            raise
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {platform.node()}")
        self._file.flush()
        return self

    def _acquire(self) -> None:
        began = None
        while not self._try(self._file):
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            elsewhere = " on " in holder and holder.rpartition(" on ")[2] != platform.node()
            if began is None:
                began = time.monotonic()
                if elsewhere:
                    say(
                        f"{self._path.parent} is in use by {holder}: waiting up to {self._patience:.0f} s for its end."
                    )
            if not elsewhere or time.monotonic() - began >= self._patience:
                raise FolderInUseError(
                    f"{self._path.parent} is in use by {holder}; wait for it, stop it, or name another folder."
                )
            time.sleep(min(_TRY_AGAIN_SECONDS, self._patience))

    def _try(self, file: IO[str]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise FolderLockError(
                f"{self._path.parent} cannot be locked ({error.strerror}): its file system knows no locks (Lustre does when it is "
                "mounted with -o flock). Without them two processes could write into it; name a folder on another file system."
            ) from error
        return True

    def __exit__(self, *_: object) -> None:
        self._file.truncate(0)
        self._file.close()
