"""Files that are complete or not there."""

import json
import os
import threading
from pathlib import Path
from typing import Any

_LONGEST_NAME = 200  # bytes of the name itself: file systems take 255, and the rest of the temporary one needs some


def write_atomically(path: Path, content: bytes) -> None:
    """Write under a temporary name in the same folder, then rename: a killed process leaves no torn file behind."""
    name = os.fsdecode(os.fsencode(path.name)[:_LONGEST_NAME])
    # The thread's number, which no process and no thread shares: two threads may write the same file.
    temporary = path.with_name(f".{name}.{threading.get_native_id()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """Write strict JSON, which knows neither NaN nor infinity, atomically."""
    write_atomically(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
