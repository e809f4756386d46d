"""Several results in one ZIP file."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path


def write_archive(destination: Path, files: Sequence[Path]) -> None:
    """Write the files into a ZIP, without their folders; it appears complete or not at all.

    Photos are compressed already, so they are stored as they are. Of files with one name the later
    get a number: kitchen.jpg, kitchen_2.jpg.
    """
    temporary = destination.with_name(f".{destination.name}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for file, name in zip(files, _distinct([file.name for file in files]), strict=True):
                archive.write(file, name)
        os.replace(temporary, destination)
    finally:
        temporary.unlink(missing_ok=True)


def _distinct(names: list[str]) -> list[str]:
    taken: set[str] = set()
    distinct = []
    for name in names:
        path, number = Path(name), 1
        # Case is ignored, as some file systems do.
        while name.lower() in taken:
            number += 1
            name = f"{path.stem}_{number}{path.suffix}"
        taken.add(name.lower())
        distinct.append(name)
    return distinct
