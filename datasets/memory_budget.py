"""How much memory the photos that are being decoded may take together, and how much each of them will."""

import collections
import contextlib
import os
from pathlib import Path

import rawpy
import tifffile
from PIL import Image

from enhancer.photo.io import RAW_SUFFIXES

SHARE = 0.5
"""Of the machine's memory, for all photos that are being decoded at a time."""
_BYTES_PER_PIXEL = {
    1: 12,
    2: 14,
}  # at the peak of decoding, by bytes per sample; measured, see docs/data.md
_RAW_BYTES_PER_PIXEL = 16
_CGROUPS = Path("/sys/fs/cgroup")
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class MemoryBudget:
    """Hands out bytes to whoever asks, first come, first served: large photos wait for room, and are not overtaken."""

    def __init__(self, limit: int):
        """Allow `limit` bytes at a time; a single photo that needs more gets its turn alone."""
        self.limit = limit
        self._taken: dict[int, int] = {}
        self._waiting: collections.deque[tuple[int, int]] = collections.deque()

    def ask(self, who: int, num_bytes: int) -> None:
        """Stand in line; `grant` says when it is one's turn."""
        self._waiting.append((who, min(num_bytes, self.limit)))

    def leave(self, who: int) -> None:
        """Give back all that one has, or one's place in the line."""
        self._taken.pop(who, None)
        self._waiting = collections.deque(place for place in self._waiting if place[0] != who)

    def grant(self) -> list[int]:
        """Return those whose turn it is now; they have their bytes."""
        granted = []
        while self._waiting and sum(self._taken.values()) + self._waiting[0][1] <= self.limit:
            who, num_bytes = self._waiting.popleft()
            self._taken[who] = num_bytes
            granted.append(who)
        return granted


def machine_memory() -> int:
    """Return the bytes of memory that this process and its children may have: the machine's, or its control group's."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            number, controllers, name = line.split(":", 2)
            if number == "0":
                root, file = _CGROUPS, "memory.max"
            elif "memory" in controllers.split(","):
                root, file = _CGROUPS / "memory", "memory.limit_in_bytes"
            else:
                continue
            group = root / name.lstrip("/")
            for folder in (group, *group.parents):  # a limit of any group above holds too
                with contextlib.suppress(OSError, ValueError):  # "max": none
                    limits.append(int((folder / file).read_text()))
                if folder == root:
                    break
    return min(limits)


def bytes_to_decode(path: Path) -> int:
    """Return about how much memory decoding a photo takes at its peak, from its header; 0 where that cannot be read."""
    # Whatever is wrong with the file, decoding it will say.
    try:
        with open(path, "rb") as file:
            magic = file.read(4)
        if path.suffix.lower() in RAW_SUFFIXES:
            with rawpy.imread(os.fspath(path)) as raw:
                return raw.sizes.raw_width * raw.sizes.raw_height * _RAW_BYTES_PER_PIXEL
        if magic in _TIFF_MAGIC:
            with tifffile.TiffFile(path) as tiff:
                page = tiff.pages.first
                return (
                    page.imagewidth
                    * page.imagelength
                    * _BYTES_PER_PIXEL[1 if page.bitspersample <= 8 else 2]
                )
        with Image.open(path) as image:
            return image.width * image.height * _BYTES_PER_PIXEL[1]
    except Exception:
        return 0
