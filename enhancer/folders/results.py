"""Whose result each file of an output folder is: cameras call many photos IMG_0001.JPG."""

import hashlib
import json
import os
from pathlib import Path

RECORD = ".enhancer.jsonl"
"""In the output folder: a line for each result, with the photo that it was made from."""
_PART = 1 << 18  # bytes: a photo's metadata and its first rows, and its last ones


class Results:
    """The results of a folder, and the photos that they were made from.

    One that was not written down, as by an earlier version, is nobody's.
    """

    def __init__(self, output: Path):
        """Read what was written down; a line that a kill tore counts as nothing."""
        self._output = output
        self._made: dict[str, str] = {}
        try:
            lines = (output / RECORD).read_bytes().split(b"\n")
        except OSError:
            return
        for line in lines:
            try:
                row = json.loads(line)
                self._made[row["result"]] = row["photo"]
            except (ValueError, KeyError, TypeError):
                continue

    def are_anothers(self, photo: Path, result: Path) -> bool:
        """Whether a result is there, made from another photo; where that photo was is no matter."""
        made_from = self._made.get(self._name(result))
        return made_from is not None and os.path.exists(result) and made_from != _identity(photo)

    def claim(self, photo: Path, result: Path) -> None:
        """Write down that `result` is going to be made from `photo`."""
        row = {"result": self._name(result), "photo": _identity(photo), "path": str(photo)}
        self._output.mkdir(parents=True, exist_ok=True)
        with open(self._output / RECORD, "ab") as record:
            record.write(b"\n" * (record.tell() > 0) + json.dumps(row).encode())

    def _name(self, result: Path) -> str:
        return result.relative_to(self._output).as_posix()


def _identity(photo: Path) -> str | None:
    """A hash over a photo's length, its beginning and its end; None where it cannot be read."""
    try:
        with open(photo, "rb") as file:
            length = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(f"{length} ".encode() + file.read(_PART))
            file.seek(max(_PART, length - _PART))
            digest.update(file.read(_PART))
    except OSError:
        return None
    return digest.hexdigest()
