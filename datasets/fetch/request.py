"""What to fetch from a server, as `python -m datasets build` is told."""

import dataclasses
import urllib.parse
from pathlib import Path

from datasets.types import SourceError


@dataclasses.dataclass(frozen=True)
class Request:
    """What to fetch, and how."""

    base_url: str | None = None
    """Of another server than the data set's own."""
    names: Path | None = None
    """Text file with the names of the photos; None takes all."""
    limit: int | None = None
    """Only the first so many."""
    keep_originals: Path | None = None
    """Folder to keep the originals in, in the layout of the server; None drops them."""
    connections: int = 4
    """At the same time, at most."""

    def __post_init__(self) -> None:
        """Refuse what cannot be fetched.

        Raises:
            SourceError: the address is not one of http or https, or a number is out of range.
        """
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
        options = {
            "--base-url": self.base_url,
            "--names": self.names,
            "--limit": self.limit,
            "--keep-originals": self.keep_originals,
        }
        given = [(name, str(value)) for name, value in options.items() if value is not None]
        source = [] if self.base_url else ["--download"]
        return [*source, *(word for option in given for word in option)]


def _is_address(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        has_port = parts.port is None or parts.port > 0  # or it raises
    except ValueError:
        return False
    is_text = url.isprintable() and " " not in url
    return parts.scheme in ("http", "https") and bool(parts.hostname) and has_port and is_text
