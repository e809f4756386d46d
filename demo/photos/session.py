"""The photos that a visitor has on one open page; they lie in one folder of the storage."""

import dataclasses
from pathlib import Path
from typing import Literal


@dataclasses.dataclass(frozen=True)
class EnhancedPhoto:
    """What was made of a photo. All of it lies in `folder`, so that nothing stays in memory."""

    folder: Path
    source: Path
    """The photo as it came."""
    result_name: str
    width: int
    height: int
    notes: tuple[str, ...]
    """What happened to the photo on the way that its owner may want to know, a sentence each."""
    seconds: float

    @property
    def thumbnail(self) -> Path:
        return self.folder / "thumbnail.jpg"


@dataclasses.dataclass
class Entry:
    """One uploaded file and how far it has come."""

    upload: str
    """The upload's handle, which ends when the photo is taken into the session."""
    number: int
    """Place among the session's files, from 0."""
    state: Literal["waiting", "working", "done", "failed"] = "waiting"
    text: str = "Waiting"
    """A sentence for the visitor."""
    share: float = 0.0
    """How much of the work is done, [0, 1]."""
    source: Path | None = None
    """The photo as it came, in the session's folder."""
    photo: EnhancedPhoto | None = None

    def fail(self, sentence: str) -> None:
        self.state, self.text, self.share = "failed", sentence, 1.0

    @property
    def is_finished(self) -> bool:
        return self.state in ("done", "failed")

    @property
    def name(self) -> str:
        return self.upload.rsplit("/", 1)[-1]


@dataclasses.dataclass
class Session:
    """A visitor's files, in the order in which they came."""

    owner: str
    folder: Path
    entries: list[Entry] = dataclasses.field(default_factory=list)
    shown: int | None = None
    """Number of the entry in the before/after view."""
    matched: int = 0
    """Photos that were made to agree."""

    def add(self, uploads: list[str]) -> list[Entry]:
        added = [Entry(upload, number) for number, upload in enumerate(uploads, len(self.entries))]
        self.entries += added
        return added

    def folder_of(self, entry: Entry) -> Path:
        return self.folder / f"photo-{entry.number}"

    @property
    def photos(self) -> dict[int, EnhancedPhoto]:
        """The results, by the number of their entry."""
        return {entry.number: entry.photo for entry in self.entries if entry.photo is not None}

    @property
    def shown_photo(self) -> EnhancedPhoto:
        """The result in the before/after view."""
        if self.shown is None or self.shown not in self.photos:
            raise FileNotFoundError("no photo is shown")
        return self.photos[self.shown]
