"""What the rooms of the data side hand to each other, and what a user says about a build."""

import dataclasses
import urllib.parse
from pathlib import Path
from typing import Any, Literal

from enhancer.system.errors import EnhancerError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

PairRecord = dict[str, Any]
"""What is known of one pair, as a line of JSON: see `datasets.preparation.pair_job`."""


class SourceError(EnhancerError):
    """Source photos that cannot be used, or that are not the ones a data set was made from."""


class PreparationError(EnhancerError):
    """Preparation that cannot give a usable folder."""


class DatasetNotBuilt(EnhancerError):
    """A data set that is not there, or damaged; the message names the command that makes it."""


class PairRejected(Exception):
    """A pair that cannot be learned from, with what a photographer needs to judge it."""

    def __init__(self, kind: str, reason: str, measured: Any = None):
        """Name the kind, a short phrase to count by, what is wrong with this pair, in a sentence,
        and the value that decided, where there is one, as JSON has it."""
        super().__init__(reason)
        self.kind, self.reason, self.measured = kind, reason, measured
        self.thumbnails: dict[str, str] = {}
        """Of what could be decoded, by role: a small JPEG, base64."""


@dataclasses.dataclass(frozen=True)
class SourcePair:
    """Two files that should show one scene before and after; they may be missing or damaged."""

    id: str
    """Unique in its data set: the input's name without suffix, with folders where needed."""
    input: Path
    target: Path
    split: Split | None
    """None when the source assigns no splits."""

    def rejected(self, kind: str, reason: str) -> PairRecord:
        """The record of a pair that was refused before its photos were looked at."""
        refusal = {"kind": kind, "reason": reason, "measured": None}
        return {"id": self.id, "split": self.split, "status": "rejected", **refusal}


@dataclasses.dataclass(frozen=True)
class Choices:
    """What to do with doubtful pairs. No pair has to be done again for a change."""

    drop_outliers: bool = False
    """Leave out the pairs whose edit is unlike the others' instead of flagging them."""
    allow_near_duplicates: bool = False
    """Accept split lists in which one scene is in several splits."""


DEFAULT_CHOICES = Choices()


@dataclasses.dataclass(frozen=True)
class Request:
    """What to fetch from a server, and how.

    Raises:
        SourceError: the address is not one of http or https, or a number is out of range.
    """

    download: bool = False
    """Fetch FiveK from its own server (about 310 GB for all 5,000 photos; never more than 1 GB on
    the disk)."""
    base_url: str | None = None
    """Fetch FiveK from this server: img/dng/<name>.dng and img/tiff16_c/<name>.tif are below it."""
    names: Path | None = None
    """Fetch the photos of this list only: a text file with a name a line, such as
    a0001-jmac_DSC1459 or a0001."""
    limit: int | None = None
    """Fetch the first so many photos only, for a trial."""
    keep_originals: Path | None = None
    """Keep what is fetched in this folder, which is then a --manual-dir of its own."""
    connections: int = 4
    """To the server at the same time, at most."""

    def __post_init__(self) -> None:
        if self.base_url is not None and not _is_address(self.base_url):
            raise SourceError(
                f"{self.base_url!r} is not the address of a server. Expected one such as "
                "https://server.org/fivek/"
            )
        if not 1 <= self.connections <= 16:
            raise SourceError(
                f"--connections {self.connections} is out of range. Name 1 to 16; 4 are polite."
            )
        if self.limit is not None and self.limit < 2:
            raise SourceError(
                f"--limit {self.limit} leaves nothing to train or validate on. Name at least 2."
            )

    @property
    def arguments(self) -> list[str]:
        """The options of `python -m datasets build` that say the same."""
        words = [] if self.base_url else ["--download"]
        for name in ("base_url", "names", "limit", "keep_originals"):
            if (value := getattr(self, name)) is not None:
                words += [f"--{name.replace('_', '-')}", str(value)]
        return words


def _is_address(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        has_port = parts.port is None or parts.port > 0  # or it raises
    except ValueError:
        return False
    is_text = url.isprintable() and " " not in url
    return parts.scheme in ("http", "https") and bool(parts.hostname) and has_port and is_text
