"""A file that is still being received: its bytes so far, and what tells whether the server's file is still the same."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO

from enhancer.system.files import write_atomically

_BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Checksum:
    """Size in bytes and SHA-256, hexadecimal, of a whole file."""

    size: int
    sha256: str


def checksum_of(path: Path) -> Checksum:
    """Read a file to its end; its first bytes are hashed while the rest is read."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return Checksum(size, digest.hexdigest())


class PartialFile:
    """`<name>.part` beside the file that it becomes, and `<name>.part.json` with what the server said about it.

    Both outlive the process: the next one asks for the rest. The SHA-256 is computed as the bytes arrive.
    """

    def __init__(self, path: Path) -> None:
        """Take up what an earlier attempt left.

        Args:
            path: of the complete file; its folder is created.
        """
        self._final = path
        self._part = path.with_name(f"{path.name}.part")
        self._about = path.with_name(f"{path.name}.part.json")
        self.size = 0
        self.length: int | None = None
        """Of the complete file in bytes, as the server said; None when it did not."""
        self.validator: str | None = None
        """The server's ETag or Last-Modified: the rest may be asked for only while it has not changed."""
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        self._take_up()

    def __enter__(self) -> "PartialFile":
        """Return this file; what was received is kept when the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._close()

    @property
    def is_complete(self) -> bool:
        """Whether all bytes are there, as far as the server said how many there are."""
        return self.length is not None and self.size == self.length

    def start(self, length: int | None, validator: str | None) -> None:
        """Drop what is there and begin with the first byte."""
        self.discard()
        self.length, self.validator = length, validator
        about = {"length": length, "validator": validator}
        write_atomically(self._about, json.dumps(about).encode())
        self._part.touch()

    def append(self, block: bytes) -> None:
        """Add bytes at the end; they survive a kill -9 of this process."""
        if self._file is None:
            self._file = open(self._part, "ab", buffering=0)  # noqa: SIM115  # closed in __exit__
        self._file.write(block)
        self._digest.update(block)
        self.size += len(block)

    def discard(self) -> None:
        """Remove both files."""
        self._close()
        for path in (self._part, self._about):
            path.unlink(missing_ok=True)
        self.size, self.length, self.validator = 0, None, None
        self._digest = hashlib.sha256()

    def finish(self) -> Checksum:
        """Give the file its name."""
        self._close()
        os.replace(self._part, self._final)
        self._about.unlink(missing_ok=True)
        return Checksum(self.size, self._digest.hexdigest())

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _take_up(self) -> None:
        try:
            about = json.loads(self._about.read_text())
            length, validator = about["length"], about["validator"]
            with open(self._part, "rb") as file:
                while block := file.read(_BLOCK):
                    self._digest.update(block)
                    self.size += len(block)
        except (OSError, ValueError, KeyError, TypeError):
            self.discard()
            return
        self.length, self.validator = length, validator
        if length is not None and self.size > length:
            self.discard()
