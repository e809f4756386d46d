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
    taken: set[str] = set()
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for file in files:
                name, number = file.name, 1
                while name.lower() in taken:  # some file systems ignore case
                    number += 1
                    name = f"{file.stem}_{number}{file.suffix}"
                taken.add(name.lower())
                archive.write(file, name)
        os.replace(temporary, destination)
    finally:
        temporary.unlink(missing_ok=True)
