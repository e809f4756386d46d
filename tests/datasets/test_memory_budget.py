"""How much memory a photo takes is known before it is decoded, and stays within a few times the photo itself."""

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from datasets.workers import memory
from datasets.workers.memory import bytes_to_decode
from datasets.miniature import files

ROOT = Path(__file__).parents[2]
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


@pytest.fixture(scope="module")
def huge(tmp_path_factory):
    """A 16-bit ProPhoto TIFF of 100 megapixels, 605 MB when it is decoded; its strips are all the same."""
    path = tmp_path_factory.mktemp("huge") / "huge.tif"
    rng = np.random.default_rng(0)
    strip = zlib.compress(
        rng.integers(0, 65536, (60, 100, 3), "uint16").repeat(120, axis=1).tobytes(), 1
    )
    tifffile.imwrite(
        path,
        (strip for _ in range(140)),
        shape=(8400, 12000, 3),
        dtype="uint16",
        photometric="rgb",
        compression="zlib",
        rowsperstrip=60,
        iccprofile=files.prophoto_profile(),
    )
    return path


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="Linux tells how much memory was used"
)
def test_100_megapixels_take_a_few_times_their_size_and_not_more_than_was_reserved(huge):
    command = [sys.executable, "-c", _PEAK, huge]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    peak, *shape = map(int, done.stdout.split())
    assert shape == [8400, 12000, 3]
    assert peak < 3 * 8400 * 12000 * 6
    assert peak < bytes_to_decode(huge)


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
    for name, limit in (
        ("memory.max", f"{2**27}\n"),
        ("memory/memory.limit_in_bytes", f"{2**27}\n"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(limit)
    assert memory.machine_memory() == 2**27
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory/memory.limit_in_bytes").write_text(f"{2**62}\n")
    assert memory.machine_memory() == machine
