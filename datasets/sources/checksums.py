"""Checksums of original files in TFDS' form: URL, bytes, SHA-256 and file name, by tabs."""

import hashlib
import urllib.parse
from pathlib import Path
from typing import NamedTuple

from enhancer.system.files import write_atomically

FILE_NAME = "checksums.tsv"


class Checksum(NamedTuple):
    """Size in bytes and SHA-256, hexadecimal, of a whole file."""

    size: int
    sha256: str


def of(path: Path) -> Checksum:
    """Read a file to its end."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Checksum(file.tell(), digest.hexdigest())


def url(base_url: str, name: str) -> str:
    """Return the address of a file below a server's."""
    return f"{base_url.rstrip('/')}/{urllib.parse.quote(name)}"


def read(path: Path) -> dict[str, Checksum]:
    """Read recorded checksums by path on the server, such as "img/dng/a0001-jmac_DSC1459.dng".

    The server's address does not matter: the files of a mirror are the same.
    """
    checksums = {}
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for line in text.split("\n"):
        match line.split("\t"):
            case [address, size, sha256, _] if size.isdigit() and len(sha256) == 64:
                name = "/".join(urllib.parse.unquote(address).split("/")[-3:])
                checksums[name] = Checksum(int(size), sha256)
    return checksums


def write(path: Path, base_url: str, checksums: dict[str, Checksum]) -> None:
    """Write checksums in the order of their paths; the file appears complete or not at all."""
    rows = ((url(base_url, name), *checksums[name], Path(name).name) for name in sorted(checksums))
    write_atomically(path, "".join("\t".join(map(str, row)) + "\n" for row in rows).encode())
