"""Folders of pairs as people have them, for tests."""

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from enhancer.photo.io import write_photo


def soft_photo(seed: int = 0, height: int = 72, width: int = 96) -> np.ndarray:
    """A picture of soft patches, uint8 `(height, width, 3)`, another one for each seed."""
    patches = np.random.default_rng(seed).integers(20, 220, (7, 9, 3), dtype=np.uint8)
    return cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)


def write_png_pair(
    folder: Path, name: object, before: np.ndarray, after: np.ndarray | None = None
) -> str:
    """Write a pair to `images/`, by default with a brighter target; return its line of a list."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    row = {"src": f"images/{name}_src.png", "tar": f"images/{name}_tar.png"}
    Image.fromarray(before).save(folder / row["src"])
    Image.fromarray(before // 2 + 90 if after is None else after).save(folder / row["tar"])
    return json.dumps(row) + "\n"


def write_pairs(
    folder: Path,
    names: list[str],
    lists: dict[str, list[str]],
    keys: tuple[str, str] = ("src", "tar"),
    seed: int = 5,
    height: int = 30,
    width: int = 44,
) -> None:
    """Write pairs of `height` x `width` whose target is brighter, and their lists in JSON lines."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        blocks = generator.integers(10, 180, (5, 6, 3))
        photo = np.kron(blocks, np.ones((-(-height // 5), -(-width // 6), 1)))[
            :height, :width
        ].astype(np.uint8)
        write_photo(folder / f"{name}_src.png", photo)
        write_photo(folder / f"{name}_tar.png", np.clip(photo * 1.3 + 12, 0, 255).astype(np.uint8))
    for list_name, members in lists.items():
        rows = [{keys[0]: f"{name}_src.png", keys[1]: f"{name}_tar.png"} for name in members]
        (folder / list_name).write_text("".join(json.dumps(row) + "\n" for row in rows))
