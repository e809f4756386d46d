"""Where uploads and results lie, whose they are, and how much room they may take.

Each upload, and each session's results, have a folder with a random name, which belongs to one
visitor. Outside, a file is known by a handle, `/photos/<folder>/<file>`, and `find` is the only way
from a handle to a file: it says nothing about where the storage is, and no other path is ever taken
from a request.
"""

import contextlib
import dataclasses
import os
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from demo.photos.limits import Limits, Refused
from demo.photos.visitor import EVERYBODY, Visitor

_PREFIX = "/photos/"
_SPARE_DISK = 500_000_000
_AT_ONCE = 4
"""Uploads of one visitor that come in at the same time."""
_MOST_RESULTS = 200
"""Folders of results of one visitor; the longest unused goes when there is another."""
_UPLOAD_SECONDS = 120.0
"""An upload that nobody asks to enhance for so long gives way to others when the room is short."""
_FULL = "The server's space for photos is full. Try again in a few minutes."


class NotFound(Refused):
    """The handle names nothing that this visitor may have."""

    def __init__(self):
        super().__init__("There is no such file. Upload the photo first.")


class NoRoom(Refused):
    """There is no place for this file."""


@dataclasses.dataclass
class _Folder:
    owner: str
    account: str
    is_upload: bool
    size: int = 0
    """Bytes, as last measured or announced."""
    used: float = dataclasses.field(default_factory=lambda: time.monotonic())  # tests change it
    users: int = 0
    """How many are at work with it; it stays until they are done."""

    @property
    def may_go(self) -> bool:
        is_new = self.is_upload and time.monotonic() - self.used <= _UPLOAD_SECONDS
        return not self.users and not is_new


class Storage:
    """Safe to use from several threads."""

    def __init__(self, folder: Path, limits: Limits):
        self.folder = folder
        self._limits = limits
        self._lock = threading.RLock()
        self._folders: dict[str, _Folder] = {}

    def find(self, visitor: Visitor, handle: str) -> Path:
        """Return the file that the handle names: regular, in a folder of the visitor or everybody.

        Raises NotFound where there is none, it is another's, or a link lies on the way.
        """
        steps = handle.removeprefix(_PREFIX).split("/")
        if not handle.startswith(_PREFIX) or len(steps) < 2 or {"", ".", ".."} & set(steps):
            raise NotFound
        with self._lock:
            folder = self._folders.get(steps[0])
            if folder is None or folder.owner not in (visitor.owner, EVERYBODY):
                raise NotFound
            folder.used = time.monotonic()
        path = self.folder
        try:
            for step in steps:
                path /= step
                is_right = stat.S_ISREG if step is steps[-1] else stat.S_ISDIR
                if not is_right(path.lstat().st_mode):
                    raise NotFound
        except (OSError, ValueError):
            raise NotFound from None
        return path

    def handle(self, path: str | os.PathLike[str]) -> str:
        """Return what a file of the storage is called outside."""
        return f"{_PREFIX}{Path(path).relative_to(self.folder).as_posix()}"

    def new_folder(self, visitor: Visitor) -> Path:
        """Make an empty folder for what becomes of the visitor's photos."""
        return self._add(visitor, is_upload=False)

    @contextlib.contextmanager
    def receiving(self, visitor: Visitor, size: int) -> Iterator[Path]:
        """Keep room for an upload of `size` bytes; yield a folder to write it into, for the time.

        Raises NoRoom where the visitor has sent too much, or the storage is full.
        """
        folder = self._add(visitor, is_upload=True, size=size)
        try:
            with self.using(folder):
                yield folder
        finally:
            self.remove(folder)

    def put(self, visitor: Visitor, files: Sequence[tuple[Path, str]]) -> list[str]:
        """Take over files, each with its name, all or none; return their handles.

        Raises NoRoom if they are too many, OSError or ValueError if a name cannot be used.
        """
        folders, handles = [], []
        try:
            for file, name in files:
                folders.append(folder := self._add(visitor, is_upload=True))
                os.rename(file, folder / name)
                with self._lock:
                    self._folders[folder.name].size = (folder / name).stat().st_size
                handles.append(self.handle(folder / name))
        except BaseException:
            for folder in folders:
                self.remove(folder)
            raise
        return handles

    def take(self, visitor: Visitor, handle: str, into: Path) -> Path:
        """Move an upload into another folder, where it keeps its name; its handle ends.

        What belongs to everybody is copied. Raises NotFound as `find` does, and for a result.
        """
        path = self.find(visitor, handle)
        with self._lock:
            folder = self._folders.get(path.parent.name)
            if folder is None or not (folder.is_upload or folder.owner == EVERYBODY):
                raise NotFound
            if folder.is_upload:
                self._known(into.relative_to(self.folder).parts[0]).size += folder.size
                del self._folders[path.parent.name]
        into.mkdir(parents=True)
        if not folder.is_upload:
            return Path(shutil.copyfile(path, into / path.name))
        os.rename(path, into / path.name)
        path.parent.rmdir()
        return into / path.name

    def publish(self, name: str, files: list[Path]) -> list[Path]:
        """Copy files into a folder of everybody; return the copies."""
        folder = self.folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folders[name] = _Folder(EVERYBODY, EVERYBODY, is_upload=False, users=1)  # for good
        return [Path(shutil.copyfile(file, folder / file.name)) for file in files]

    @contextlib.contextmanager
    def using(self, path: Path) -> Iterator[None]:
        """Keep a folder from being deleted; count its files afterwards."""
        with self._lock:
            folder = self._known(path.name)
            folder.users += 1
        try:
            yield
        finally:
            size = folder.size if folder.is_upload else _size(path)
            with self._lock:
                folder.users -= 1
                folder.used, folder.size = time.monotonic(), size

    def make_room(self, visitor: Visitor, path: Path, size: int) -> None:
        """Count what lies in a folder, and keep room in it for `size` bytes more, or raise NoRoom.

        It is kept until the folder is no longer in use (`using`), or is asked for room again.
        """
        measured = _size(path)
        with self._lock:
            folder = self._known(path.name)
            folder.size = measured
            self._make_room(visitor.account, size)
            folder.size += size

    def remove(self, folder: Path) -> None:
        """Delete a folder, now."""
        with self._lock:
            self._folders.pop(folder.name, None)
        shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Delete what was not used for `keep_minutes`, and what is as old and known to nobody."""
        keep_seconds = self._limits.keep_minutes * 60
        with self._lock:
            now = time.monotonic()
            for name, folder in list(self._folders.items()):
                if not folder.users and now - folder.used > keep_seconds:
                    self.remove(self.folder / name)
            known = set(self._folders)
        for entry in self.folder.iterdir():
            with contextlib.suppress(OSError):  # somebody else deletes it just now
                if entry.name not in known and time.time() - entry.lstat().st_mtime > keep_seconds:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def sweep_regularly(self, every_seconds: float = 10.0) -> None:
        """Sweep in a thread of its own until the folder is gone or the process ends."""

        def sweep_until_gone() -> None:
            while self.folder.exists():
                with contextlib.suppress(FileNotFoundError):
                    self.sweep()
                time.sleep(every_seconds)

        threading.Thread(target=sweep_until_gone, name="sweeper", daemon=True).start()

    def _known(self, name: str) -> _Folder:
        if name not in self._folders:
            raise FileNotFoundError(name)
        return self._folders[name]

    def _add(self, visitor: Visitor, *, is_upload: bool, size: int = 0) -> Path:
        path = self.folder / secrets.token_urlsafe(16)
        most = self._limits.uploads_per_visitor if is_upload else _MOST_RESULTS
        with self._lock:
            own = {n: f for n, f in self._of(visitor.account).items() if f.is_upload == is_upload}
            idle = {name: folder for name, folder in own.items() if not folder.users}
            if size and len(own) - len(idle) >= _AT_ONCE:
                raise NoRoom(f"{_AT_ONCE} uploads of yours are coming in. Wait until one is there.")
            told = f"{len(idle)} of your uploads wait already. Enhance them, or try again later."
            self._clear(idle, len(idle) + 1 - most, lambda folder: 1, told)
            self._make_room(visitor.account, size)
            self._folders[path.name] = _Folder(visitor.owner, visitor.account, is_upload, size)
        path.mkdir(parents=True, mode=0o700)
        return path

    def _of(self, account: str) -> dict[str, _Folder]:
        return {name: f for name, f in self._folders.items() if f.account == account}

    def _make_room(self, account: str, size: int) -> None:
        room = self._limits.disk_megabytes * 1_000_000
        for folders, most in ((self._of(account), room // 2), (self._folders, room)):
            held = sum(folder.size for folder in folders.values())
            self._clear(folders, held + size - most, lambda folder: folder.size, _FULL)
        if size and shutil.disk_usage(self.folder).free < size + _SPARE_DISK:
            raise NoRoom(_FULL)

    def _clear(
        self, folders: dict[str, _Folder], excess: int, weigh: Callable[[_Folder], int], told: str
    ) -> None:
        """Delete folders until the excess is gone, results and what is longest unused first."""
        idle = sorted((f.is_upload, f.used, name) for name, f in folders.items() if f.may_go)
        if excess > sum(weigh(folders[name]) for _, _, name in idle):
            raise NoRoom(told)
        for _, _, name in idle:
            if excess <= 0:
                break
            excess -= weigh(folders[name])
            self.remove(self.folder / name)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total
