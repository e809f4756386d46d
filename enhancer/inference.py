"""Load a trained model and enhance photos of any size: three lines from a file to an edited file.

enhancer = Enhancer.load("runs/fivek_transfer")
edited = enhancer.enhance(photo)  # uint8 or uint16 (H, W, 3) sRGB in, the same shape and dtype out
enhancer.enhance_file("kitchen.jpg", "kitchen_enhanced.jpg")

`enhance(photo, strength=0.5)` applies half of the edit; `enhance_many` runs several photos together where that pays;
`find_edit` runs the network alone, and its answer can be applied at several strengths; `warm_up` compiles ahead.
`python -m enhancer` does folders.
"""

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import cv2
import jax
import keras
import numpy as np

from enhancer.checkpoints import CheckpointError, load_best, read_config
from enhancer.edit import Edit
from enhancer.forward_pass import ForwardPass
from enhancer.kept_metadata import MetadataPolicy, kept_metadata
from enhancer.photo_io import read_photo, write_photo
from enhancer.tiled_inference import TiledInference
from enhancer.working_size import COMMON_ASPECTS, ELONGATED_ASPECTS, MOST_ELONGATED, pad, reduce_photo, reduced_size

__all__ = ["MOST_ELONGATED", "EnhancedFile", "Enhancer", "Mode", "find_stage"]

Mode = Literal["transfer", "tiled"]
"""transfer: the network sees the photo at its working size, and its edit is carried over to the full-size pixels.
tiled: the network sees every full-size pixel, in overlapping tiles."""

_SMALLEST_WORKING_SIZE = 8
_ACCELERATOR_BATCH = 4


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
    (`enhancer.edit_transfer`), so that no detail is lost. A black-and-white photo stays one: a network that has seen
    coloured rooms only would tint it.

    Args:
        model: a network from float32 `(batch, H, W, 3)` in [0, 1] to the same shape. Its weights are read at each call.
        working_size: short side of what the network sees, in pixels; the resolution that it was trained at.
        description: one line for people about the model.
        batch_size: photos that the network sees together (`enhance_many`); by default 1 on a CPU, where more gain
            nothing, and 4 on an accelerator.
    """

    def __init__(self, model: keras.Model, working_size: int, description: str = "", *, batch_size: int | None = None):
        if working_size < _SMALLEST_WORKING_SIZE:
            raise ValueError(f"working_size must be at least {_SMALLEST_WORKING_SIZE} pixels, received {working_size}.")
        self.model = model
        self.working_size = working_size
        self.description = description or f"{model.name}, {working_size} pixels"
        self.batch_size = batch_size or (1 if jax.default_backend() == "cpu" else _ACCELERATOR_BATCH)
        self._forward = ForwardPass(model)
        self._tiles: TiledInference | None = None

    @classmethod
    def load(cls, workdir: str | os.PathLike[str]) -> "Enhancer":
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

    @property
    def compiled_shapes(self) -> tuple[tuple[int, ...], ...]:
        """`(batch, height, width, 3)` of all that was compiled so far; a second photo of a shape adds nothing."""
        return self._forward.compiled_shapes

    def warm_up(
        self, on_progress: Callable[[int, int], None] | None = None, *, keep_to_these: bool = False
    ) -> None:
        """Compile the sizes that photos of common shapes need, so that the first photo does not wait for it.

        Args:
            on_progress: called with the number of sizes that are done, and of all, before the first and after each.
            keep_to_these: compile nothing afterwards. Photos of other shapes are continued by reflection to the
                next larger size, so that a server's time and memory are bounded whatever is sent; their edits
                differ a little from those that are made without.
        """
        aspects = COMMON_ASPECTS + (ELONGATED_ASPECTS if keep_to_these else ())
        sides = [
            reduced_size(height * self.working_size, width * self.working_size, self.working_size)
            for height, width in aspects
        ]
        for done, size in enumerate(sides):
            if on_progress is not None:
                on_progress(done, len(sides))
            self._forward.compile(*size)
        if keep_to_these:
            self._forward.keep_to_compiled()
        if on_progress is not None:
            on_progress(len(sides), len(sides))

    def enhance(self, photo: np.ndarray, *, strength: float = 1.0, mode: Mode = "transfer") -> np.ndarray:
        """Return the edited photo at its full size.

        Args:
            photo: uint8 or uint16 `(H, W, 3)`, upright sRGB, full range; any height and width from one pixel.
            strength: how much of the edit, in [0, 1]; 0 gives the photo itself.
            mode: see `Mode`.

        Returns:
            The same shape and dtype.

        Raises:
            ValueError: an argument is something else; the message says what.
        """
        return self.enhance_many([photo], strength=strength, mode=mode)[0]

    def enhance_many(
        self,
        photos: Sequence[np.ndarray],
        *,
        strength: float = 1.0,
        mode: Mode = "transfer",
        on_tiles: Callable[[int, int], None] | None = None,
    ) -> list[np.ndarray]:
        """`enhance` for several photos: those whose reduced sizes share a bucket pass the network `batch_size` at a time.

        Args:
            photos, strength, mode: as for `enhance`.
            on_tiles: in tiled mode called with the number of tiles that are done, and of all, of each photo.
        """
        if mode not in ("transfer", "tiled"):
            raise ValueError(f"mode must be 'transfer' or 'tiled', received {mode!r}.")
        if not 0.0 <= strength <= 1.0:
            raise ValueError(f"strength must be between 0 and 1, received {strength}.")
        for photo in photos:
            _check_photo(photo)
        if strength == 0.0:
            return [photo.copy() for photo in photos]
        if mode == "tiled":
            return [self._enhance_in_tiles(photo, strength, on_tiles) for photo in photos]
        edits = self._find_edits(photos)
        return [edit.apply(photo, strength) for edit, photo in zip(edits, photos, strict=True)]

    def find_edit(self, photo: np.ndarray) -> Edit:
        """Run the network and return what it did, to be applied at several strengths.

        Args:
            photo: as for `enhance`.
        """
        _check_photo(photo)
        return self._find_edits([photo])[0]

    def enhance_file(
        self,
        source: str | os.PathLike[str],
        destination: str | os.PathLike[str],
        *,
        strength: float = 1.0,
        mode: Mode = "transfer",
        metadata: MetadataPolicy = "keep",
        overwrite: bool = False,
    ) -> EnhancedFile:
        """Read a photo, enhance it and write it whole or not at all, 16 bits per channel where both files hold them.

        Args:
            source: a photo in any format that `enhancer.photo_io` reads.
            destination: `.jpg`, `.png` or `.tif`; its folder is made.
            strength, mode: as for `enhance`.
            metadata: what of the photo's EXIF data, captions and credits goes along.
            overwrite: write over a destination that exists; never over the source.

        Raises:
            PhotoError: `source` is no readable photo, or `destination` has another suffix.
            FileExistsError: `destination` exists, or is `source`.
            OSError: reading or writing failed.
        """
        started = time.perf_counter()
        source, destination = Path(source), Path(destination)
        refuse_overwriting(source, destination, overwrite)
        photo = read_photo(source, keep_depth=True)
        edited = self.enhance(photo.pixels, strength=strength, mode=mode)
        destination.parent.mkdir(parents=True, exist_ok=True)
        write_photo(destination, edited, **kept_metadata(photo, metadata))
        height, width = edited.shape[:2]
        return EnhancedFile(destination, width, height, tuple(photo.notes), time.perf_counter() - started)

    def _find_edits(self, photos: Sequence[np.ndarray]) -> list[Edit]:
        reduced = [reduce_photo(photo, self.working_size) for photo in photos]
        groups: dict[tuple, list[int]] = {}
        for index, picture in enumerate(reduced):
            groups.setdefault(self._forward.size_for(*picture.shape[:2]), []).append(index)
        answers: dict[int, np.ndarray] = {}
        for indices in groups.values():
            # Full batches and single photos: another program for each remainder would cost more than it saves.
            full = len(indices) - len(indices) % self.batch_size
            batches = [indices[start : start + self.batch_size] for start in range(0, full, self.batch_size)]
            for batch in batches + [[index] for index in indices[full:]]:
                answers |= zip(batch, self._forward([reduced[index] for index in batch]), strict=True)
        return [
            Edit(picture, _without_color(answers[index]) if _has_no_color(picture) else answers[index])
            for index, picture in enumerate(reduced)
        ]

    def _enhance_in_tiles(
        self, photo: np.ndarray, strength: float, on_tiles: Callable[[int, int], None] | None
    ) -> np.ndarray:
        # Padded as in `_find_edits`, so that the network's attention is the same in both modes, and compiled once per bucket.
        reduced = reduce_photo(photo, self.working_size)
        low_input = pad(reduced)
        with self._forward.lock:
            if self._tiles is None:
                self._tiles = TiledInference(self.model)
            edited = self._tiles.enhance(photo, low_input, batch=self.batch_size, on_progress=on_tiles)
        if _has_no_color(reduced):
            edited = _without_color(edited)
        return edited if strength == 1.0 else cv2.addWeighted(edited, strength, photo, 1.0 - strength, 0.0)


def refuse_overwriting(source: Path, destination: Path, overwrite: bool) -> None:
    """Raise `FileExistsError` if the result would take the place of the photo itself, or of a file that is to stay."""
    if not destination.exists():
        return
    if source.exists() and destination.samefile(source):
        raise FileExistsError(f"{destination} is the photo itself; choose another name for the result.")
    if not overwrite:
        raise FileExistsError(f"{destination} exists already; overwrite it on purpose, or choose another name.")


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


def _has_no_color(picture: np.ndarray) -> bool:
    return bool((picture[..., :1] == picture[..., 1:]).all())


def _without_color(picture: np.ndarray) -> np.ndarray:
    """The luminance of uint8, uint16 or float32 `(h, w, 3)` in all three channels."""
    return cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _check_photo(photo: np.ndarray) -> None:
    if not isinstance(photo, np.ndarray):
        raise ValueError(f"A photo must be a NumPy array, received {type(photo).__name__}.")
    if photo.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"A photo must be uint8 or uint16, received {photo.dtype}; convert it first.")
    if photo.ndim != 3 or photo.shape[-1] != 3 or photo.size == 0:
        raise ValueError(
            f"A photo must have the shape (height, width, 3) and at least one pixel, received {photo.shape}."
        )
