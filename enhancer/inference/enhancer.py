"""Load a trained model and enhance photos of any size.

enhancer = Enhancer.load()  # the model in the package; Enhancer.load("runs/a") loads a run's
edited = enhancer.enhance(photo)  # uint8 or uint16 (H, W, 3) sRGB in, the same shape and dtype out
enhancer.enhance_file("kitchen.jpg", "kitchen_enhanced.jpg")

`python -m enhancer` does folders.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import keras
import numpy as np

from enhancer.inference.edit import Edit, check_photo, check_strength
from enhancer.inference.edit_search import PictureSearch, RetouchSearch
from enhancer.inference.full_size import PhotoRetouch
from enhancer.network.restormer import Restormer
from enhancer.network.trained import CheckpointError, load_alone, load_best, read_config
from enhancer.photo.io import Photo, read_photo, write_photo
from enhancer.photo.metadata import MetadataPolicy, kept_metadata

PACKAGED_DESCRIPTION = (
    "the one in the package, trained on rendered rooms; one trained on your own pairs does better"
)
_ACCELERATOR_BATCH = 4


class EnhancedFile(NamedTuple):
    """A result that was written."""

    destination: Path
    width: int
    height: int
    notes: tuple[str, ...]
    """What happened to the photo on the way that its owner may want to know, a sentence each."""


class Enhancer:
    """Applies a trained network's edit to photos at their full size. Safe to share between threads.

    A network of base "retouch" sees the photo squashed into a square of `working_size`, and what it
    answers is applied to the photo's own pixels (`enhancer.inference.full_size`). One that answers
    with pictures sees the short side reduced to `working_size`, as in training, aspect ratio kept
    and never enlarged; of panoramas the long side is bounded instead (`MOST_ELONGATED`). A photo
    that fits comes back as that network made it; a larger one gets its edit carried over to its own
    pixels (`enhancer.inference.edit`). A black-and-white photo stays one.

    Args:
        model: from float32 `(batch, H, W, 3)` in [0, 1] to the same; weights are read each time.
        working_size: side in pixels of what the network sees, and was trained at.
        description: one line for people about the model.
        batch_size: photos that the network sees together (`enhance_many`); by default 1 on a CPU,
            where more gain nothing, and 4 on an accelerator.
    """

    def __init__(
        self,
        model: keras.Model,
        working_size: int,
        description: str = "",
        *,
        batch_size: int | None = None,
    ):
        if working_size < 8:
            raise ValueError(f"working_size must be at least 8 pixels, received {working_size}.")
        self.model = model
        self.working_size = working_size
        self.description = description or f"{model.name}, {working_size} pixels"
        on_cpu = jax.default_backend() == "cpu"
        self.batch_size = batch_size or (1 if on_cpu else _ACCELERATOR_BATCH)
        self.retouches = isinstance(model, Restormer) and model.config.base == "retouch"
        search = RetouchSearch if self.retouches else PictureSearch
        self._search = search(model, working_size)

    @classmethod
    def load(cls, workdir: str | os.PathLike[str] | None = None) -> "Enhancer":
        """Load the best weights of a trained run, or the model in the package.

        Args:
            workdir: a run's folder, whose fine-tuned stage is taken, or that of one stage; None
                for the model in the package, which has seen rendered rooms alone.

        Raises:
            CheckpointError: there is no trained model in `workdir`.
        """
        if workdir is None:
            model, about = load_alone()
            return cls(model, about["working_size"], PACKAGED_DESCRIPTION)
        stage_dir = find_stage(Path(workdir))
        _, stage = read_config(stage_dir)
        model = load_best(stage_dir)
        description = (
            f"Restormer with {model.count_params() / 1e6:.1f} M parameters, "
            f"stage “{stage_dir.name}”, works at {stage.resolution} px"
        )
        return cls(model, stage.resolution, description)

    @property
    def compiled_shapes(self) -> tuple[tuple[int, ...], ...]:
        """`(batch, height, width, 3)` of all that the network was compiled for; a shape's second
        photo adds nothing."""
        return self._search.forward.compiled_shapes

    def warm_up(
        self,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
        *,
        keep_to_these: bool = False,
    ) -> None:
        """Compile what photos of common shapes need, so that the first photo does not wait for it.

        Args:
            on_progress: called with the number of sizes that are done, and of all, as they are.
            keep_to_these: compile nothing afterwards. Photos of other shapes are continued by
                reflection to the next larger size, which changes their edits a little, so that a
                server's time and memory are bounded whatever is sent.
        """
        self._search.warm_up(on_progress, keep_to_these)

    def enhance(self, photo: np.ndarray, *, strength: float = 1.0) -> np.ndarray:
        """Return the edited photo at its full size.

        Args:
            photo: uint8 or uint16 `(H, W, 3)`, upright sRGB, full range; any sides from one pixel.
            strength: how much of the edit, in [0, 1]; 0 gives the photo itself.

        Returns:
            The same shape and dtype.

        Raises:
            ValueError: an argument is something else; the message says what.
        """
        return self.enhance_many([photo], strength=strength)[0]

    def enhance_many(
        self, photos: Sequence[np.ndarray], *, strength: float = 1.0
    ) -> list[np.ndarray]:
        """`enhance` several photos; those of one size pass the network `batch_size` at a time."""
        check_strength(strength)
        for photo in photos:
            check_photo(photo)
        if strength == 0.0:
            return [photo.copy() for photo in photos]
        edits = self._search(photos, self.batch_size)
        return [edit.apply(photo, strength) for edit, photo in zip(edits, photos, strict=True)]

    def find_edit(self, photo: np.ndarray) -> Edit | PhotoRetouch:
        """Run the network alone; what it did can be applied at several strengths."""
        check_photo(photo)
        return self._search([photo], self.batch_size)[0]

    def enhance_file(
        self,
        source: str | os.PathLike[str],
        destination: str | os.PathLike[str],
        *,
        strength: float = 1.0,
        metadata: MetadataPolicy = "keep",
        overwrite: bool = False,
    ) -> EnhancedFile:
        """Read a photo, enhance it and write it whole or not at all, in 16 bits where both can.

        Args:
            source: a photo in any format that `enhancer.photo.io` reads.
            destination: `.jpg`, `.png` or `.tif`; its folder is made.
            strength: as for `enhance`.
            metadata: what of the photo's EXIF data, captions and credits goes along.
            overwrite: write over a destination that exists; never over the source.

        Raises:
            PhotoError: `source` is not a readable photo, or `destination` has another suffix.
            OSError: reading or writing failed; FileExistsError, if `destination` is there.
        """
        source, destination = Path(source), Path(destination)
        refuse_overwriting(source, destination, overwrite)
        photo = read_photo(source, keep_depth=True)
        edited = self.enhance(photo.pixels, strength=strength)
        return write_result(photo, edited, destination, metadata)


def write_result(
    photo: Photo, edited: np.ndarray, destination: Path, metadata: MetadataPolicy
) -> EnhancedFile:
    """Write what became of `photo`, with as much of its metadata as `metadata` says."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    lost = write_photo(destination, edited, metadata=kept_metadata(photo.metadata, metadata))
    height, width = edited.shape[:2]
    return EnhancedFile(destination, width, height, photo.notes + lost)


def refuse_overwriting(source: Path, destination: Path, overwrite: bool) -> None:
    """Raise `FileExistsError` if the result would replace the photo, or a file that is to stay."""
    if destination.exists() and source.exists() and destination.samefile(source):
        raise FileExistsError(f"{destination} is the photo itself; choose another name.")
    if destination.exists() and not overwrite:
        raise FileExistsError(
            f"{destination} exists already; overwrite it on purpose, or choose another name."
        )


def find_stage(workdir: Path) -> Path:
    """The stage folder that `workdir` names: the fine-tuned stage in it, or itself.

    Raises:
        CheckpointError: there is none.
    """
    for stage_dir in (workdir / "finetune", workdir):
        if (stage_dir / "checkpoints").is_dir():
            return stage_dir
    if not workdir.exists():
        found = "does not exist"
    elif stages := sorted(path.parent.name for path in workdir.glob("*/checkpoints")):
        found = f"holds no fine-tuned model (but {', '.join(stages)})"
    else:
        found = "holds no trained model"
    raise CheckpointError(
        f"{workdir} {found}; name the folder of a run that has finished training, "
        "or of one stage in it."
    )
