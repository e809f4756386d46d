"""How much memory the photos that are being decoded may take together, and how much each needs."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import rawpy
import tifffile
from PIL import Image

from enhancer.photo.io import RAW_SUFFIXES

SHARE = 0.5
"""Of the machine's memory, for all photos that are being decoded at a time."""
# At the peak of decoding, by bytes per sample; measured, see docs/data.md.
_BYTES_PER_PIXEL = {1: 12, 2: 16}
_RAW_BYTES_PER_PIXEL = 16
_CGROUPS = Path("/sys/fs/cgroup")
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class MemoryBudget:
    """Bytes that threads share: who needs many waits for room, and is not overtaken; who needs more
    than the limit gets its turn alone."""

    def __init__(self, limit: int):
        self.limit = self._free = limit
        self._line = threading.Lock()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, num_bytes: int) -> Iterator[None]:
        """Wait for some bytes, and have them until the block ends."""
        num_bytes = min(num_bytes, self.limit)
        with self._line, self._changed:
            self._changed.wait_for(lambda: self._free >= num_bytes)
            self._free -= num_bytes
        try:
            yield
        finally:
            with self._changed:
                self._free += num_bytes
                self._changed.notify_all()


def machine_memory() -> int:
    """Return the bytes that this process and its children may have: the machine's or a group's."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            is_first_version = bool(controllers)
            group = _CGROUPS / ("memory" if is_first_version else "") / name.lstrip("/")
            file = "memory.limit_in_bytes" if is_first_version else "memory.max"
            for folder in (group, *group.parents):  # a limit of any group above holds too
                with contextlib.suppress(OSError, ValueError):  # "max": none
                    limits.append(int((folder / file).read_text()))
    return min(limits)


def bytes_to_decode(*photos: str | Path) -> int:
    """Return about what decoding photos takes at its peak, from their headers; 0 without one."""
    return sum(map(_bytes_to_decode, map(Path, photos)))


def _bytes_to_decode(path: Path) -> int:
    # Whatever is wrong with the file, decoding it will say.
    with contextlib.suppress(Exception):
        with open(path, "rb") as file:
            magic = file.read(4)
        if path.suffix.lower() in RAW_SUFFIXES:
            with rawpy.imread(os.fspath(path)) as raw:
                return raw.sizes.raw_width * raw.sizes.raw_height * _RAW_BYTES_PER_PIXEL
        if magic in _TIFF_MAGIC:
            with tifffile.TiffFile(path) as tiff:
                height, width = tiff.pages.first.shape[:2]
                per_sample = 1 if tiff.pages.first.bitspersample <= 8 else 2
                return width * height * _BYTES_PER_PIXEL[per_sample]
        with Image.open(path) as image:
            return image.width * image.height * _BYTES_PER_PIXEL[1]
    return 0
