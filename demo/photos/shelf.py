"""Where uploads and results lie, whose they are, and how much room they may take.

The shelf is a folder of boxes. A box is a folder with a random name and belongs to one visitor: an
upload in one, everything that is made in a visit in another. Outside, a file is known by a handle,
`/photos/<box>/<file>`, and `find` is the only way from a handle to a file: a handle says nothing
about where the shelf is, and no other path is ever taken from a request.
"""

import contextlib
import dataclasses
import os
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from demo.photos.limits import Limits
from demo.photos.visitor import EVERYBODY, Visitor

PREFIX = "/photos"
_SPARE_DISK = 500_000_000
_AT_ONCE = 4
"""Uploads of one visitor that come in at the same time."""
_MOST_RESULTS = 200
"""Boxes of results of one visitor; the longest unused goes when there is another."""
_UPLOAD_SECONDS = 120.0
"""An upload that nobody asks to enhance for so long gives way to others when the room is short."""
NOT_HERE = "There is no such file. Upload the photo first."
FULL = "The server's space for photos is full. Try again in a few minutes."


class NotHere(Exception):
    """The handle names nothing that this visitor may have; `NOT_HERE` says so."""


class NoRoom(Exception):
    """The upload is not taken; the message is one sentence for the visitor."""


@dataclasses.dataclass
class _Box:
    owner: str
    account: str
    is_upload: bool
    size: int = 0
    """Bytes, as last measured or announced."""
    used: float = dataclasses.field(default_factory=time.monotonic)
    users: int = 0
    """How many are at work with it; it stays until they are done."""


class Shelf:
    """Safe to use from several threads.

    Args:
        folder: for the boxes; what else lies in it is only counted and swept.
        limits: its size, and each visitor's share.
    """

    def __init__(self, folder: Path, limits: Limits):
        self.folder = folder
        self._limits = limits
        self._lock = threading.Lock()
        self._boxes: dict[str, _Box] = {}

    def find(self, visitor: Visitor, handle: str) -> Path:
        """Return the file that the handle names: regular, in the visitor's box or everybody's.

        Raises:
            NotHere: there is none, it is another's, or a link lies on the way.
        """
        name, path = self._locate(handle)
        with self._lock:
            box = self._boxes.get(name)
            if box is None or box.owner not in (visitor.owner, EVERYBODY):
                raise NotHere
            box.used = time.monotonic()
        return path

    def handle(self, path: str | os.PathLike[str]) -> str:
        """Return what the file is called outside.

        Raises:
            ValueError: it lies elsewhere.
        """
        return f"{PREFIX}/{Path(path).relative_to(self.folder).as_posix()}"

    def open_box(self, visitor: Visitor) -> Path:
        """Make an empty folder for what becomes of the visitor's photos."""
        return self._new_box(visitor, is_upload=False)

    @contextlib.contextmanager
    def receiving(self, visitor: Visitor, size: int) -> Iterator[Path]:
        """Keep room for an upload and yield a folder to write it into, which is deleted afterwards.

        Args:
            size: bytes of the whole request.

        Raises:
            NoRoom: the visitor has sent too much, or the shelf is full.
        """
        folder = self._new_box(visitor, is_upload=True, size=size)
        try:
            with self.using(folder):
                yield folder
        finally:
            self.remove(folder)

    def put(self, visitor: Visitor, files: Sequence[tuple[Path, str]]) -> list[str]:
        """Take over files that were received, all or none; return their handles.

        Args:
            visitor: whose they are.
            files: where each lies, and its name.

        Raises:
            NoRoom: the visitor has sent too many.
            OSError, ValueError: a name cannot be used.
        """
        folders, handles = [], []
        try:
            for file, name in files:
                folders.append(folder := self._new_box(visitor, is_upload=True))
                os.rename(file, folder / name)
                with self._lock:
                    self._boxes[folder.name].size = (folder / name).stat().st_size
                handles.append(self.handle(folder / name))
        except BaseException:
            for folder in folders:
                self.remove(folder)
            raise
        return handles

    def take(self, visitor: Visitor, handle: str, into: Path) -> Path:
        """Move an upload into another folder, where it keeps its name; its handle ends.

        What belongs to everybody is copied.

        Raises:
            NotHere: see `find`; or the handle names a result.
        """
        path = self.find(visitor, handle)
        with self._lock:
            box = self._boxes.get(path.parent.name)
            if box is None or not (box.is_upload or box.owner == EVERYBODY):
                raise NotHere
            if box.is_upload:
                del self._boxes[path.parent.name]
                if (target := self._boxes.get(into.relative_to(self.folder).parts[0])) is not None:
                    target.size += box.size
        into.mkdir(parents=True)
        taken = into / path.name
        if box.is_upload:
            os.rename(path, taken)
            path.parent.rmdir()
        else:
            shutil.copyfile(path, taken)
        return taken

    def publish(self, name: str, files: list[Path]) -> list[Path]:
        """Copy files into a box of everybody; return the copies."""
        folder = self.folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        with self._lock:
            self._boxes[name] = _Box(EVERYBODY, EVERYBODY, is_upload=False, users=1)  # for good
        return [Path(shutil.copyfile(file, folder / file.name)) for file in files]

    @contextlib.contextmanager
    def using(self, folder: Path) -> Iterator[None]:
        """Keep a box from being deleted; count its files afterwards."""
        with self._lock:
            if (box := self._boxes.get(folder.name)) is None:
                raise FileNotFoundError(folder.name)
            box.users += 1
        try:
            yield
        finally:
            size = _size(folder) if not box.is_upload else box.size
            with self._lock:
                box.users -= 1
                box.used, box.size = time.monotonic(), size

    def make_room(self, visitor: Visitor, folder: Path, size: int) -> None:
        """Count what lies in a box by now, and see that `size` bytes more have room.

        Raises:
            NoRoom: they do not.
        """
        measured, gone = _size(folder), []
        try:
            with self._lock:
                if (box := self._boxes.get(folder.name)) is not None:
                    box.size = measured
                self._make_room(visitor.account, False, size, gone)
        finally:
            self._delete(gone)

    def remove(self, folder: Path) -> None:
        """Delete a box, now."""
        with self._lock:
            self._boxes.pop(folder.name, None)
        shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Delete what was not used for `keep_minutes`, and what no box knows when it is as old."""
        keep_seconds = self._limits.keep_minutes * 60
        with self._lock:
            now = time.monotonic()
            old = [n for n, b in self._boxes.items() if not b.users and now - b.used > keep_seconds]
            known = set(self._boxes)
        for name in old:
            self.remove(self.folder / name)
        for entry in self.folder.iterdir():
            with contextlib.suppress(OSError):  # somebody else deletes it just now
                if entry.name not in known and time.time() - entry.lstat().st_mtime > keep_seconds:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def sweep_regularly(self, every_seconds: float = 60.0) -> None:
        """Sweep in a thread of its own until the folder is gone or the process ends."""

        def sweep_until_gone() -> None:
            while self.folder.exists():
                with contextlib.suppress(FileNotFoundError):
                    self.sweep()
                time.sleep(every_seconds)

        threading.Thread(target=sweep_until_gone, name="sweeper", daemon=True).start()

    def _locate(self, handle: str) -> tuple[str, Path]:
        steps = handle.removeprefix(f"{PREFIX}/").split("/")
        if not handle.startswith(f"{PREFIX}/") or len(steps) < 2 or {"", ".", ".."} & set(steps):
            raise NotHere
        path = self.folder
        try:
            for step in steps[:-1]:
                path = path / step
                if not stat.S_ISDIR(path.lstat().st_mode):
                    raise NotHere
            path = path / steps[-1]
            if not stat.S_ISREG(path.lstat().st_mode):
                raise NotHere
        except (OSError, ValueError):
            raise NotHere from None
        return steps[0], path

    def _new_box(self, visitor: Visitor, *, is_upload: bool, size: int = 0) -> Path:
        folder = self.folder / secrets.token_urlsafe(16)
        gone: list[str] = []
        try:
            with self._lock:
                self._make_room(visitor.account, is_upload, size, gone)
                self._boxes[folder.name] = _Box(visitor.owner, visitor.account, is_upload, size)
        finally:
            self._delete(gone)
        folder.mkdir(parents=True, mode=0o700)
        return folder

    def _delete(self, names: list[str]) -> None:
        for name in names:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _make_room(self, account: str, is_upload: bool, size: int, gone: list[str]) -> None:
        own = {name: box for name, box in self._boxes.items() if box.account == account}
        coming_in = sum(box.is_upload and box.users > 0 for box in own.values())
        if is_upload and size and coming_in >= _AT_ONCE:
            raise NoRoom(f"{_AT_ONCE} uploads of yours are coming in. Wait until one is there.")
        kind = {n: b for n, b in own.items() if b.is_upload == is_upload and not b.users}
        most = self._limits.uploads_per_visitor if is_upload else _MOST_RESULTS
        excess = len(kind) + 1 - most
        spare = _UPLOAD_SECONDS if is_upload else 0.0
        old = sorted((b.used, n) for n, b in kind.items() if time.monotonic() - b.used > spare)
        if excess > len(old):
            raise NoRoom(
                f"{len(kind)} of your uploads wait already. Enhance them, or try again in "
                f"{_UPLOAD_SECONDS / 60:.0f} minutes."
            )
        for _, name in old[: max(0, excess)]:
            del self._boxes[name], own[name]
            gone.append(name)
        room = self._limits.disk_megabytes * 1_000_000
        gone += self._clear(own, room // 2 - size)
        gone += self._clear(self._boxes, room - size)
        if size and shutil.disk_usage(self.folder).free < size + _SPARE_DISK:
            raise NoRoom(FULL)

    def _clear(self, boxes: dict[str, _Box], most: int) -> list[str]:
        """Forget boxes until the others hold `most` bytes: results first, longest unused first."""
        now = time.monotonic()
        excess = sum(box.size for box in boxes.values()) - most
        idle = [
            (box.is_upload, box.used, name)
            for name, box in boxes.items()
            if not box.users and (not box.is_upload or now - box.used > _UPLOAD_SECONDS)
        ]
        if excess > sum(boxes[name].size for _, _, name in idle):
            raise NoRoom(FULL)
        gone = []
        for _, _, name in sorted(idle):
            if excess <= 0:
                break
            excess -= boxes[name].size
            del self._boxes[name]
            gone.append(name)
        return gone


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total
