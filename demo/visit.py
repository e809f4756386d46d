"""What the server knows of one visitor's photos. It lies in a folder with a name that nobody can guess."""

import dataclasses
import os
import secrets
import shutil
from pathlib import Path
from typing import Literal

from demo.enhanced_photo import EnhancedPhoto

State = Literal["waiting", "working", "done", "failed"]


@dataclasses.dataclass
class Entry:
    """One uploaded file and how far it has come."""

    upload: Path
    number: int
    """Place among the visit's files, from 0."""
    state: State = "waiting"
    text: str = "Waiting"
    """A sentence for the visitor."""
    share: float = 0.0
    """How much of the work is done, [0, 1]."""
    photo: EnhancedPhoto | None = None

    @property
    def name(self) -> str:
        return self.upload.name


@dataclasses.dataclass
class Visit:
    """A visitor's files, in the order in which they came."""

    folder: Path
    entries: list[Entry] = dataclasses.field(default_factory=list)
    shown: int | None = None
    """Number of the entry in the before/after view."""

    @classmethod
    def open(cls, below: Path) -> "Visit":
        folder = below / f"visit-{secrets.token_urlsafe(16)}"
        folder.mkdir(parents=True, mode=0o700)
        return cls(folder)

    def add(self, uploads: list[Path]) -> list[Entry]:
        added = [Entry(upload, number) for number, upload in enumerate(uploads, len(self.entries))]
        self.entries += added
        return added

    @property
    def done(self) -> list[Entry]:
        """The entries with a result."""
        return [entry for entry in self.entries if entry.photo is not None]

    @property
    def photos(self) -> list[EnhancedPhoto]:
        """The results."""
        return [entry.photo for entry in self.entries if entry.photo is not None]

    @property
    def shown_photo(self) -> EnhancedPhoto | None:
        """The result in the before/after view."""
        return None if self.shown is None else self.entries[self.shown].photo

    def touch(self) -> None:
        """Say that the visit is in use, which puts off its deletion."""
        if self.folder.exists():
            os.utime(self.folder)

    def delete(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
