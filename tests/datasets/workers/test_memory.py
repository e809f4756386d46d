"""How much memory a photo takes is known before it is decoded, and is a few times the photo."""

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from datasets.miniature import files
from datasets.workers import memory
from datasets.workers.memory import bytes_to_decode

_PEAK = """
import sys
from pathlib import Path
from enhancer.photo.io import read_photo

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

before = peak()
pixels = read_photo(sys.argv[1]).pixels
print(peak() - before, *pixels.shape)
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="Linux tells how much memory was used"
)
def test_a_photo_takes_a_few_times_its_size_and_not_more_than_was_reserved(tmp_path):
    rng = np.random.default_rng(0)
    strip = rng.integers(0, 65536, (60, 100, 3), "uint16").repeat(60, axis=1)
    tifffile.imwrite(
        tmp_path / "large.tif",  # 16-bit ProPhoto of 12 megapixels, whose strips are all the same
        (zlib.compress(strip.tobytes(), 1) for _ in range(33)),
        shape=(1980, 6000, 3),
        dtype="uint16",
        photometric="rgb",
        compression="zlib",
        rowsperstrip=60,
        iccprofile=files.prophoto_profile(),
    )
    command = [sys.executable, "-c", _PEAK, tmp_path / "large.tif"]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    peak, *shape = map(int, done.stdout.split())
    assert shape == [1980, 6000, 3]
    assert peak < 3 * 1980 * 6000 * 6
    assert peak < bytes_to_decode(tmp_path / "large.tif")


def test_the_header_says_how_much_a_photo_takes(tmp_path):
    Image.new("RGB", (300, 200)).save(tmp_path / "photo.jpg")
    tifffile.imwrite(tmp_path / "photo.tif", np.zeros((200, 300, 3), "uint16"), photometric="rgb")
    files.write_dng(tmp_path / "photo.dng", np.full((200, 300), 0.5))
    for name, least in (("photo.jpg", 3), ("photo.tif", 6), ("photo.dng", 3 + 2)):
        assert 2 * least <= bytes_to_decode(tmp_path / name) / (200 * 300) <= 5 * least, name


def test_a_photo_without_a_readable_header_reserves_nothing(tmp_path):
    (tmp_path / "junk.dng").write_bytes(b"II*\0junk")
    assert [bytes_to_decode(tmp_path / name) for name in ("junk.dng", "missing.jpg")] == [0, 0]


def test_a_container_s_limit_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    machine = memory.machine_memory()
    assert machine > 2**27
    limits = tmp_path / "memory.max", tmp_path / "memory/memory.limit_in_bytes"  # version 2 and 1
    limits[1].parent.mkdir()
    for small, none in ((f"{2**27}\n", machine), ("max\n", machine)):
        limits[0].write_text(small)
        limits[1].write_text(small if small != "max\n" else f"{2**62}\n")
        assert memory.machine_memory() == (2**27 if small != "max\n" else none)
