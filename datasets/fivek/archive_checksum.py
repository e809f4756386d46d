"""FiveK's archive against the SHA-1 that is published beside it."""

import hashlib
import re
import sys
from pathlib import Path

import tqdm

from datasets.fivek.layouts import ARCHIVE
from datasets.sources import SourceError

_BLOCK = 1 << 22


def verify_archive(manual_dir: Path) -> None:
    """Read an archive to its end and compare it with `<archive>.sha1`; a bar shows how far it is.

    Args:
        manual_dir: the archive, or the folder that holds `fivek_dataset.tar`.

    Raises:
        SourceError: there is no archive or no SHA-1, or the two do not belong together.
        OSError: one of them cannot be read.
    """
    archive = manual_dir / ARCHIVE if manual_dir.is_dir() else manual_dir
    if not archive.is_file():
        raise SourceError(
            f"There is no {archive} to verify. Leave --verify out, or name the archive with --manual-dir."
        )
    expected = _read_sha1(archive.with_name(f"{archive.name}.sha1"))
    digest = hashlib.sha1(usedforsecurity=False)
    bar = tqdm.tqdm(
        total=archive.stat().st_size,
        desc=f"verifying {archive.name}",
        unit="B",
        unit_scale=True,
        file=sys.stderr,
    )
    with bar, open(archive, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            bar.update(len(block))
    if digest.hexdigest() != expected:
        raise SourceError(
            f"{archive} has the SHA-1 {digest.hexdigest()}, expected {expected}: it is cut off or damaged. Download it again; "
            "without --verify it is used as far as it can be read."
        )
    print(f"{archive} has the SHA-1 that was published.", file=sys.stderr)


def _read_sha1(path: Path) -> str:
    if not path.is_file():
        raise SourceError(
            f"{path} is not there. Download it from where the archive came from, or leave --verify out."
        )
    # Either the digest alone or what `sha1sum` prints.
    found = re.match(rb"\s*\\?([0-9a-fA-F]{40})(?:\s|$)", path.read_bytes()[:4096])
    if not found:
        raise SourceError(
            f"{path} holds no SHA-1. Expected 40 hexadecimal digits at its beginning."
        )
    return found.group(1).decode().lower()
