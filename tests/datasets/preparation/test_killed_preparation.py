"""A preparation that was killed continues with the pairs that are left, to the same folder, which
is the one that another number of worker processes leaves."""

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.datasets.preparation.test_preparation import folder_hash, prepare_fivek, write_fivek

_PREPARE = """
import sys
from pathlib import Path
from tests.datasets.preparation.test_preparation import prepare_fivek
prepare_fivek(*map(Path, sys.argv[1:]), num_workers=None)
"""


def test_kill_9_and_the_same_call_again_gives_the_same_folder_without_redoing_pairs(tmp_path):
    fivek = write_fivek(tmp_path / "fivek", 360, 480, 12)  # there is time to kill
    out, root = tmp_path / "out", Path(__file__).parents[3]
    command = [sys.executable, "-c", _PREPARE, fivek, out]
    progress = out / "progress.jsonl"
    process = subprocess.Popen(
        command, cwd=root, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    while not (progress.exists() and progress.read_bytes().count(b"\n") >= 5):
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert not (out / "dataset_metadata.json").exists()
    logged = [
        json.loads(line)["id"]
        for line in progress.read_bytes().splitlines(keepends=True)[1:]
        if line[-1] == 10
    ]
    survivors = {
        path: path.stat().st_mtime_ns
        for name in logged
        for path in (out / "images").glob(f"{name}_*")
    }
    assert len(survivors) >= 8
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in survivors} == survivors
    prepare_fivek(fivek, tmp_path / "fresh")
    assert folder_hash(out) == folder_hash(tmp_path / "fresh")
