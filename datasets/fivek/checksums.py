"""Sizes and SHA-256 of original files, kept in the form of TFDS' checksums.tsv: URL, bytes, SHA-256 and file name, by tabs."""

import threading
import urllib.parse
from pathlib import Path

from datasets.partial_file import Checksum
from enhancer.system.files import write_atomically

FILE_NAME = "checksums.tsv"


def read_checksums(path: Path) -> dict[str, Checksum]:
    """Read recorded checksums by path in the official layout, such as "img/dng/a0001-jmac_DSC1459.dng".

    The server's address does not matter: the files of a mirror are the same. A line that was cut off is left out.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return {}
    checksums = {}
    for line in lines[
        :-1
    ]:  # behind the last line end there is nothing, or a line that was being written
        match line.split("\t"):
            case [url, size, sha256, *_] if size.isdigit() and len(sha256) == 64:
                checksums["/".join(urllib.parse.unquote(url).split("/")[-3:])] = Checksum(
                    int(size), sha256
                )
    return checksums


def write_checksums(path: Path, base_url: str, checksums: dict[str, Checksum]) -> None:
    """Write checksums in the order of their paths; the file appears complete or not at all."""
    lines = (_line(base_url, name, checksums[name]) for name in sorted(checksums))
    write_atomically(path, "".join(lines).encode())


class ChecksumLog:
    """The checksums of a folder of originals, recorded as the files arrive; used from several threads."""

    def __init__(self, path: Path, base_url: str) -> None:
        """Read what earlier runs recorded.

        Args:
            path: of checksums.tsv; its folder is created with the first record.
            base_url: that the files come from.
        """
        self._path, self._base_url = path, base_url
        self.known = read_checksums(path)
        """What is recorded, by path in the official layout."""
        self._lock = threading.Lock()
        if path.exists():
            write_checksums(path, base_url, self.known)

    def record(self, name: str, checksum: Checksum) -> None:
        """Add a file, or replace what was recorded."""
        with self._lock:
            if self.known.get(name) == checksum:
                return
            replaced = name in self.known
            self.known[name] = checksum
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if replaced:
                write_checksums(self._path, self._base_url, self.known)
                return
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(_line(self._base_url, name, checksum))


def file_url(base_url: str, name: str) -> str:
    """Return the address of a file in the official layout."""
    return f"{base_url.rstrip('/')}/{urllib.parse.quote(name)}"


def _line(base_url: str, name: str, checksum: Checksum) -> str:
    return f"{file_url(base_url, name)}\t{checksum.size}\t{checksum.sha256}\t{name.rpartition('/')[2]}\n"
