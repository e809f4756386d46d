"""`python -m enhancer` with a model whose edit is seen at a glance, and files for it."""

from pathlib import Path

import keras
import numpy as np

from enhancer import __main__ as cli
from enhancer.inference.enhancer import Enhancer
from enhancer.inference.result_names import RECORD
from enhancer.photo.io import encode_jpeg, write_photo


class Inversion(keras.Model):
    """An edit that is seen at a glance: 255 minus the photo."""

    def call(self, x):
        return 1.0 - x


class CountingEnhancer(Enhancer):
    """A real one that counts photos and can be interrupted at one of them."""

    def __init__(self, batch_size: int = 1):
        model = Inversion()
        model.build((None, None, None, 3))
        super().__init__(model, 64, batch_size=batch_size)
        self.count = 0
        self.interrupt_at: int | None = None

    def enhance_many(self, photos, **settings):
        self.count += len(photos)
        if self.count == self.interrupt_at:
            raise KeyboardInterrupt
        return super().enhance_many(photos, **settings)


def write(*paths: Path) -> None:
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".jpg", ".png", ".tif"):
            write_photo(path, np.full((20, 30, 3), 40 + number, np.uint8))
        else:
            path.write_bytes(encode_jpeg(np.full((20, 30, 3), 40 + number, np.uint8)))


def run(*arguments: Path | str) -> int:
    return cli.main([*map(str, arguments), "--workdir", "unused"])


def files(folder: Path) -> list[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(path) for path in found if path.name != RECORD)
