"""One process at a time on a folder."""

import fcntl
import os
import platform
from pathlib import Path


class FolderInUseError(RuntimeError):
    """Another process works on the folder; the message names it."""


class FolderLock:
    """Keeps other processes off a folder while the context is open. The system lets go of it when the process dies, however it dies.

    Raises:
        FolderInUseError: on entering, when another process holds it.
    """

    def __init__(self, folder: Path):
        self._path = folder / ".lock"

    def __enter__(self) -> "FolderLock":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self._path, "a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise FolderInUseError(
                f"{self._path.parent} is in use by {holder}; wait for it, stop it, or name another folder."
            ) from None
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {platform.node()}")
        self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.truncate(0)
        self._file.close()
