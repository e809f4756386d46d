"""What the pairs of stage 1 show, as fingerprints that tell whether a photo to be judged is among them."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from tqdm import tqdm

from datasets.preparation import prepared_folder
from datasets.checks.near_duplicates import perceptual_hash
from datasets.sources.lists import SourceError, Split
from enhancer.photo.io import PhotoError, read_photo
from recipes.scored_pairs import find_pairs

DatasetName = Literal["fivek", "real_estate"]

MOST_FILES = 1000
"""Pairs of a source folder that are read for this; the official FiveK, RAW and TIFF files, would take a day."""
_EDGE = 256  # long side in pixels of what is looked at, at least
_REDUCED = {1: cv2.IMREAD_COLOR_RGB, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
_BARS = {"unit": "pair", "delay": 2}


@dataclasses.dataclass(frozen=True)
class SeenScenes:
    """Perceptual hashes of pairs, and their targets where a hash is no proof."""

    hashes: tuple[tuple[str, str], ...] = ()
    """Of input and target of each pair."""
    targets: tuple[Callable[[], np.ndarray], ...] = ()
    """Functions that read a target, uint8 `(height, width, 3)` sRGB, of any size."""

    def __add__(self, other: "SeenScenes") -> "SeenScenes":
        return SeenScenes(self.hashes + other.hashes, self.targets + other.targets)


def find_seen_scenes(
    name: DatasetName,
    data_dir: Path,
    config: str | None,
    fingerprint: str | None,
    source: Path,
    splits: Sequence[Split],
) -> SeenScenes:
    """The scenes of a data set: from what its preparation wrote down, else from the built set, else from its source folder.

    Preparation keeps every pair's hashes, so that 5,000 pairs take no time. Without it each pair is decoded once, reduced: about
    5 ms a pair of 1024 pixels, with a progress bar.

    Args:
        name, data_dir, config: as for `datasets.build.build`.
        fingerprint: of the data set that was trained on; another one there does not count.
        source: the folder that it was built from. Whether it is still the same nobody checks: that would be preparing it again.
        splits: those that were trained on.

    Raises:
        SourceError: it is in none of these places; the message says what was found there.
    """
    said = []
    for attempt in (
        lambda: _prepared(data_dir / "prepared" / f"{name}-{config}", fingerprint, splits),
        lambda: _built(name, data_dir, config, fingerprint, splits),
        lambda: _listed(source, splits),
    ):
        try:
            return attempt()
        except (SourceError, PhotoError, OSError, KeyError, TypeError, ValueError) as error:
            said.append(str(error))
    raise SourceError(" ".join(said[1:]))  # nobody is to make a prepared folder for this


def _prepared(folder: Path, fingerprint: str | None, splits: Sequence[Split]) -> SeenScenes:
    metadata = prepared_folder.read_metadata(folder)
    if metadata is None or metadata["images_sha256"] != fingerprint:
        raise SourceError(f"{folder} is not what the run's data was made from.")
    rows = [row for split in splits for row in prepared_folder.read_rows(folder, split)]
    lines = (folder / prepared_folder.PROGRESS).read_text(encoding="utf-8").split("\n")
    measured = {
        row["id"]: row.get("measurements")
        for row in map(json.loads, filter(None, lines))
        if "id" in row
    }
    hashes = tuple(
        (measured[row["id"]]["input_hash"], measured[row["id"]]["target_hash"]) for row in rows
    )
    if not all((folder / row["target"]).is_file() for row in rows):
        raise SourceError(f"{folder} lacks some of its images.")
    return SeenScenes(hashes, tuple(_file_reader(folder / row["target"]) for row in rows))


def _built(
    name: DatasetName,
    data_dir: Path,
    config: str | None,
    fingerprint: str | None,
    splits: Sequence[Split],
) -> SeenScenes:
    from datasets import build  # imports TFDS, which takes seconds

    if build.fingerprint(name, data_dir, config) != fingerprint:
        raise SourceError(
            f"The data set in {data_dir} is not the one that the run was pre-trained on."
        )
    known = build.splits(name, data_dir, config)
    sources = [build.source(name, split, data_dir, config) for split in splits if split in known]
    records = [(source, index) for source in sources for index in range(len(source))]
    hashes, targets = [], []
    for source, index in tqdm(records, desc="pairs of stage 1", **_BARS):
        try:
            record = source[index]
            hashes.append(
                tuple(perceptual_hash(_decode(record, role)) for role in ("input", "target"))
            )
        except (
            RuntimeError,
            ValueError,
            cv2.error,
        ):  # damaged, as training has said; it was not trained on
            continue
        targets.append(_record_reader(source, index))
    return SeenScenes(tuple(hashes), tuple(targets))


def _listed(folder: Path, splits: Sequence[Split]) -> SeenScenes:
    pairs = [pair for pair in find_pairs(folder) if pair.split is None or pair.split in splits]
    if len(pairs) > MOST_FILES:
        raise SourceError(f"{folder} has {len(pairs)} pairs, too many to read them again.")
    hashes, targets = [], []
    for pair in tqdm(pairs, desc="pairs of stage 1", **_BARS):
        try:
            hashes.append(
                tuple(
                    perceptual_hash(read_photo(path).pixels) for path in (pair.input, pair.target)
                )
            )
        except (PhotoError, OSError):  # preparation has left it out
            continue
        targets.append(_file_reader(pair.target))
    return SeenScenes(tuple(hashes), tuple(targets))


def _decode(record, role: str) -> np.ndarray:
    factor = max(
        f for f in _REDUCED if f == 1 or max(record["width"], record["height"]) >= f * _EDGE
    )
    pixels = cv2.imdecode(np.frombuffer(record[role], np.uint8), _REDUCED[factor])
    if pixels is None:
        raise ValueError(f"The {role} does not decode.")
    return pixels if factor == 1 else pixels[..., ::-1]


def _file_reader(path: Path) -> Callable[[], np.ndarray]:
    return lambda: read_photo(path).pixels


def _record_reader(source, index: int) -> Callable[[], np.ndarray]:
    return lambda: _decode(source[index], "target")
