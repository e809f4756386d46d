"""Where each photo lies in FiveK's archive, a tar file of 50 GB: found by reading its headers only, once."""

import dataclasses
import json
import sys
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import tqdm

from datasets.fivek.layouts import is_archived_photo
from datasets.sources import SourceError
from enhancer.system.files import write_json

_FORMAT = 1  # raised when the stored index is made or written in another way


@dataclasses.dataclass(frozen=True)
class Member:
    """A photo in the archive."""

    path: str
    """In the archive."""
    offset: int
    """Of its first byte in the archive."""
    size: int
    """Bytes."""


@dataclasses.dataclass(frozen=True)
class ArchiveIndex:
    """The photos of an archive of a certain size and modification time."""

    size: int
    mtime_ns: int
    is_whole: bool
    """Whether it ends as a tar file does; where not, it is cut off or damaged, and photos may be missing."""
    members: dict[str, Member]
    """By file name without suffix."""

    def is_cut_off(self, name: str) -> bool:
        """Whether a photo is missing, in whole or in part, because the archive is cut off."""
        member = self.members.get(name)
        return member.offset + member.size > self.size if member else not self.is_whole


def read_index(archive: Path, cache: Path) -> ArchiveIndex:
    """Return where an archive's photos are, from `cache` where that was made from the archive as it is now.

    A bar shows how far it is when it takes more than two seconds. A path that occurs twice counts as it would when
    extracted: the last one stays.

    Args:
        archive: a tar file, not compressed; only read.
        cache: JSON file; written when there is none or it is of another archive.

    Raises:
        SourceError: it is no tar file, holds no photos, or holds two of the same name.
        OSError: it cannot be read, or `cache` not be written.
    """
    status = archive.stat()
    known = _read_cache(cache)
    if known and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
        return known
    photos, is_whole = _scan(archive, status.st_size)
    index = ArchiveIndex(status.st_size, status.st_mtime_ns, is_whole, _by_name(photos, archive))
    cache.parent.mkdir(parents=True, exist_ok=True)
    write_json(cache, {"format": _FORMAT, **dataclasses.asdict(index)})
    return index


def _read_cache(path: Path) -> ArchiveIndex | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != _FORMAT:
            return None
        members = {name: Member(**member) for name, member in content.pop("members").items()}
        return ArchiveIndex(**content, members=members)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # missing, damaged or of another version: made anew


def _scan(archive: Path, size: int) -> tuple[list[tarfile.TarInfo], bool]:
    """Return the headers of the photos in the order of the archive, and whether it is whole."""
    photos: list[tarfile.TarInfo] = []
    bar = tqdm.tqdm(
        total=size,
        desc=f"looking into {archive.name}",
        unit="B",
        unit_scale=True,
        delay=2,
        leave=False,
        file=sys.stderr,
    )
    try:
        # "r:" is a tar file that is not compressed: only there can be skipped from header to header.
        with bar, tarfile.open(archive, "r:") as tar:
            try:
                for header in tar:
                    if header.isfile() and is_archived_photo(PurePosixPath(header.name).parts):
                        photos.append(header)
                    bar.update(min(header.offset_data + header.size, size) - bar.n)
                is_whole = _ends_at(archive, tar.offset)
            # A header is missing or damaged, or the end of a photo is missing.
            except (tarfile.TarError, ValueError, OverflowError):
                is_whole = False
    except tarfile.ReadError as error:
        raise SourceError(
            f"{archive} is no tar file ({error}), or a compressed one. Name FiveK's archive as it was downloaded, or a folder."
        ) from error
    return photos, is_whole


def _ends_at(archive: Path, offset: int) -> bool:
    """Whether there is the block of zeros that ends a tar file; reading stops without an error at anything else, too."""
    with open(archive, "rb") as file:
        file.seek(offset)
        return file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)


def _by_name(photos: list[tarfile.TarInfo], archive: Path) -> dict[str, Member]:
    if not photos:
        raise SourceError(
            f"{archive} holds no photos. Expected fivek_dataset/raw_photos/HQa1to700/photos/<name>.dng and others like it."
        )
    members: dict[str, Member] = {}
    for photo in photos:
        if photo.issparse():
            raise SourceError(
                f"{archive}: {photo.name} is stored in pieces (a sparse file). Extract the archive and name the folder."
            )
        name = PurePosixPath(photo.name).stem
        if name in members and members[name].path != photo.name:
            raise SourceError(
                f"{archive}: {members[name].path} and {photo.name} have the same name. Extract the archive, keep one of the "
                "two and name the folder."
            )
        members[name] = Member(photo.name, photo.offset_data, photo.size)
    return dict(sorted(members.items()))
