"""Load a trained model and enhance photos of any size: three lines from a file to an edited file.

enhancer = Enhancer.load("runs/fivek_transfer")
edited = enhancer.enhance(photo)  # uint8 (H, W, 3) in, the same size out
enhancer.enhance_file(Path("kitchen.jpg"), Path("kitchen_enhanced.jpg"))
"""

import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import jax
import keras
import numpy as np

from enhancer.checkpoints import CheckpointError, load_best, read_config
from enhancer.compilation import compiler_options
from enhancer.edit import Edit
from enhancer.photo_io import read_photo, write_photo

_BUCKET_STEPS = (64, 32, 16, 8)
_MOST_PADDING = 1 / 12

_SMALLEST_WORKING_SIZE = 8

MOST_ELONGATED = 2.0
"""Longest side of what the network sees, in working sizes: it bounds the memory that a panorama takes."""


@dataclasses.dataclass(frozen=True)
class EnhancedFile:
    """What `Enhancer.enhance_file` did."""

    destination: Path
    width: int
    """Pixels of the result, which are those of the upright source."""
    height: int
    notes: tuple[str, ...]
    """What happened to the photo on the way that its owner may want to know, a sentence each."""
    seconds: float


class Enhancer:
    """Applies a trained network's edit to photos at their full size. Safe to share between threads.

    The network sees the photo with its short side reduced to `working_size`, as in training, aspect ratio kept and
    never enlarged; of panoramas the long side is bounded instead (`MOST_ELONGATED`). A photo that already fits comes
    back as the network made it; a larger one gets the network's edit carried over to its own pixels
    (`enhancer.edit_transfer`), so that no detail is lost.

    Args:
        model: a network from float32 `(1, H, W, 3)` in [0, 1] to the same shape. Its weights are read at each call.
        working_size: short side of what the network sees, in pixels; the resolution that it was trained at.
        description: one line for people about the model.
    """

    def __init__(self, model: keras.Model, working_size: int, description: str = ""):
        if working_size < _SMALLEST_WORKING_SIZE:
            raise ValueError(f"working_size must be at least {_SMALLEST_WORKING_SIZE} pixels, received {working_size}.")
        self.model = model
        self.working_size = working_size
        self.description = description or f"{model.name}, {working_size} pixels"
        # Tracing a Keras model is not safe in two threads at once, and one photo keeps the machine busy anyway.
        self._lock = threading.Lock()

        def forward(trainable, non_trainable, x):
            return model.stateless_call(trainable, non_trainable, x)[0].astype("float32")

        self._forward = jax.jit(forward, compiler_options=compiler_options())

    @classmethod
    def load(cls, workdir: str | Path) -> "Enhancer":
        """Load the best weights that a recipe left behind.

        Args:
            workdir: what the recipe was given as `--workdir`, of which the fine-tuned stage is taken, or the folder of
                one stage in it (`pretrain`, `finetune`, `scratch`).

        Raises:
            CheckpointError: there is no trained model in `workdir`; the message says what to run.
        """
        stage_dir = find_stage(Path(workdir))
        _, stage = read_config(stage_dir)
        model = load_best(stage_dir)
        description = (
            f"Restormer with {model.count_params() / 1e6:.1f} M parameters, stage “{stage_dir.name}”, "
            f"works at {stage.resolution} px"
        )
        return cls(model, stage.resolution, description)

    def enhance(self, photo: np.ndarray, *, strength: float = 1.0) -> np.ndarray:
        """Return the edited photo at its full size.

        Args:
            photo: uint8 `(H, W, 3)` in [0, 255], upright sRGB; any height and width from one pixel.
            strength: 0 gives the photo itself, 1 the whole edit.

        Returns:
            uint8 of the same shape.

        Raises:
            ValueError: `photo` is something else; the message says what.
        """
        return self.find_edit(photo).apply(photo, strength)

    def find_edit(self, photo: np.ndarray) -> Edit:
        """Run the network and return what it did, to be applied at several strengths.

        Args, Raises: as `enhance`.
        """
        _check_photo(photo)
        height, width = photo.shape[:2]
        scale = self.working_size * min(1 / min(height, width), MOST_ELONGATED / max(height, width))
        if scale >= 1.0:
            return Edit(photo, self._predict(photo))
        low_size = (max(1, round(width * scale)), max(1, round(height * scale)))
        low_input = cv2.resize(photo, low_size, interpolation=cv2.INTER_AREA)
        return Edit(low_input, self._predict(low_input))

    def warm_up(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Compile the sizes that photos of common shapes need.

        Args:
            on_progress: called with the number of sizes that are done, and of all.
        """
        shapes = [(2, 3), (3, 2), (3, 4), (4, 3), (9, 16), (16, 9), (1, 1)]
        for done, (height, width) in enumerate(shapes):
            if on_progress is not None:
                on_progress(done, len(shapes))
            side = 3 * self.working_size // min(height, width)
            self.find_edit(np.zeros((height * side, width * side, 3), np.uint8))
        if on_progress is not None:
            on_progress(len(shapes), len(shapes))

    def enhance_file(self, source: Path, destination: Path) -> EnhancedFile:
        """Read a photo, enhance it and write it whole or not at all; its EXIF data goes along.

        Args:
            source: a photo in any format that `enhancer.photo_io` reads.
            destination: `.jpg`, `.png` or `.tif`; overwritten if it exists, unless it is the source. Its folder is made.

        Raises:
            PhotoError: `source` is no readable photo.
            ValueError: `destination` is `source`.
            OSError: reading or writing failed.
        """
        started = time.perf_counter()
        if destination.exists() and destination.samefile(source):
            raise ValueError(f"{destination} is the photo itself; choose another name for the result.")
        photo = read_photo(source)
        edited = self.enhance(photo.pixels)
        destination.parent.mkdir(parents=True, exist_ok=True)
        write_photo(destination, edited, exif=photo.exif)
        height, width = edited.shape[:2]
        return EnhancedFile(destination, width, height, tuple(photo.notes), time.perf_counter() - started)

    def _predict(self, picture: np.ndarray) -> np.ndarray:
        """Return the network's answer to a uint8 picture `(h, w, 3)`: float32, same shape, not clipped."""
        height, width = picture.shape[:2]
        margins = ((0, bucket(height) - height), (0, bucket(width) - width), (0, 0))
        padded = np.pad(picture, margins, mode="reflect")
        x = padded[None].astype(np.float32) / np.float32(np.iinfo(picture.dtype).max)
        with self._lock:
            trainable = [variable.value for variable in self.model.trainable_variables]
            non_trainable = [variable.value for variable in self.model.non_trainable_variables]
            prediction = np.asarray(self._forward(trainable, non_trainable, x))[0, :height, :width]
        if not np.isfinite(prediction).all():
            raise ValueError(
                "The model answered with values that are not numbers; its training failed, train it again."
            )
        return prediction


def bucket(side: int) -> int:
    """Return the length to which a side is padded by reflection, so that photos of nearly equal size share a compilation.

    The padding is cut off again, but the network's attention, which sums over the whole picture, has seen it: a part of
    the photo counted twice. The steps (8 to 64 pixels) are therefore such that at most a twelfth is added, except to the
    multiple of 8 that the network needs anyway. There are about 50 lengths up to 896 pixels.
    """
    step = next(step for step in _BUCKET_STEPS if step <= side * _MOST_PADDING or step == _BUCKET_STEPS[-1])
    return -(-side // step) * step


def find_stage(workdir: Path) -> Path:
    """Return the stage folder that `workdir` names: itself, or the fine-tuned stage in it.

    Raises:
        CheckpointError: there is none.
    """
    for stage_dir in (workdir / "finetune", workdir):
        if (stage_dir / "checkpoints").is_dir():
            return stage_dir
    if not workdir.exists():
        found = "does not exist"
    else:
        stages = sorted(path.parent.name for path in workdir.glob("*/checkpoints"))
        found = f"holds no fine-tuned model (but {', '.join(stages)})" if stages else "holds no trained model"
    raise CheckpointError(
        f"{workdir} {found}; train one with: python -m recipes.fivek_transfer quick --workdir {workdir}"
    )


def _check_photo(photo: np.ndarray) -> None:
    if not isinstance(photo, np.ndarray):
        raise ValueError(f"A photo must be a NumPy array, received {type(photo).__name__}.")
    if photo.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"A photo must be uint8 in [0, 255], received {photo.dtype}; convert it first.")
    if photo.ndim != 3 or photo.shape[-1] != 3 or photo.size == 0:
        raise ValueError(
            f"A photo must have the shape (height, width, 3) and at least one pixel, received {photo.shape}."
        )
