"""One photo from its bytes to the files that its visitor gets, and again in another taste.

For that the network is not run again.
"""

import dataclasses
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from demo.photos.isolated_decoding import read_upload
from demo.photos.limits import Limits
from demo.photos.taste import Taste
from enhancer.inference.edit import Edit
from enhancer.inference.edit_search import load_edit, save_edit
from enhancer.inference.enhancer import Enhancer
from enhancer.inference.full_size import PhotoRetouch, fitted
from enhancer.inference.one_home import SEEN_SIDE, draw_together
from enhancer.inference.plan import result_suffix
from enhancer.photo.io import Photo, encode_jpeg, read_photo, write_photo

_LOG = logging.getLogger(__name__)
_KEPT_PREVIEWS = 3
_FRAME_BYTES = 50_000
"""More than a result's headers, its colour profile, and the edit's file take besides pixels."""
PREVIEW_PIXELS = 1600
"""Long edge of the pictures in the before/after view; the download is at full size."""
THUMBNAIL_PIXELS = 320


@dataclasses.dataclass(frozen=True)
class EnhancedPhoto:
    """What was made of a photo. All of it lies in `folder`, so that nothing stays in memory."""

    folder: Path
    source: Path
    """The photo as it came."""
    width: int
    height: int
    notes: tuple[str, ...]
    """What happened to the photo on the way that its owner may want to know, a sentence each."""
    seconds: float

    @property
    def thumbnail(self) -> Path:
        return self.folder / "thumbnail.jpg"

    def edit(self, taste: Taste) -> Edit | PhotoRetouch:
        """What the network did, or that and what makes the photo match the others."""
        return load_edit(self.folder / ("home.npz" if taste.one_home else "edit.npz"))

    @property
    def result_name(self) -> str:
        return f"{self.source.stem}_enhanced{result_suffix(self.source)}"


def enhance_photo(
    enhancer: Enhancer,
    source: Path,
    folder: Path,
    limits: Limits,
    taste: Taste,
    keep_room: Callable[[int], None],
    on_step: Callable[[str], None] = lambda step: None,
) -> EnhancedPhoto:
    """Decode, edit, and write result, previews and the edit itself into `folder`.

    Args:
        source: any file; it has to stay as long as the results.
        folder: of this photo alone.
        taste: how the visitor wants it.
        keep_room: is told how many bytes will be written at most, and raises if they have no place.
        on_step: called with the name of each step before it begins.

    Raises:
        PhotoError: the file is no photo, or exceeds the limits.
    """
    started = time.perf_counter()
    on_step("Reading")
    folder.mkdir(parents=True, exist_ok=True)
    decoded = read_upload(source, limits)
    pixels = decoded.pixels
    height, width = pixels.shape[:2]
    on_step(f"Enhancing {width} × {height} pixels")
    edit = enhancer.find_edit(pixels)
    edited = edit.apply(pixels)
    on_step("Writing the result")
    previews = {
        "before.jpg": _preview(pixels, PREVIEW_PIXELS),
        "after.jpg": _preview(edited, PREVIEW_PIXELS),
        "thumbnail.jpg": _preview(edited, THUMBNAIL_PIXELS),
    }
    photo = EnhancedPhoto(
        folder, source, width, height, decoded.notes + decoded.metadata.notes, 0.0
    )
    besides = sum(map(len, previews.values())) + sum(part.nbytes for part in vars(edit).values())
    keep_room(besides + most_bytes(photo, decoded))
    save_edit(folder / "edit.npz", edit)
    for name, content in previews.items():
        (folder / name).write_bytes(content)
    wanted = edited if taste == Taste() else taste.apply(edit, pixels)
    _write_result(photo, wanted, decoded, taste)
    seconds = time.perf_counter() - started
    _LOG.info("enhanced %d x %d in %.1f s", width, height, seconds)
    return dataclasses.replace(photo, seconds=seconds)


def render_result(
    photo: EnhancedPhoto, taste: Taste, limits: Limits, keep_room: Callable[[int], None]
) -> Path:
    """Return the full-size result in a taste.

    Where it is not there yet the photo is decoded again; the network is not run.

    Raises:
        FileNotFoundError: the photo has been deleted in the meantime.
    """
    path = _result_path(photo, taste)
    if not path.exists():
        decoded = read_upload(photo.source, limits)
        keep_room(most_bytes(photo, decoded))
        edited = taste.apply(photo.edit(taste), decoded.pixels)
        _write_result(photo, edited, decoded, taste)
    return path


def most_bytes(photo: EnhancedPhoto, decoded: Photo) -> int:
    """Return how large a result may become: its pixels uncompressed, and what comes with them."""
    height, width = (
        -(-side // 8) * 8 for side in decoded.pixels.shape[:2]
    )  # JPEG has whole blocks
    depth = 1 if photo.result_name.endswith(".jpg") else decoded.pixels.itemsize
    found = decoded.metadata
    blocks = found.exif, found.xmp, found.photoshop * 2, *(text for _, text in found.texts)
    beside = sum(map(len, blocks)) + _FRAME_BYTES
    return round(1.01 * 3 * depth * height * width) + beside


def compare(
    photo: EnhancedPhoto, taste: Taste, keep_room: Callable[[int], None]
) -> tuple[Path, Path]:
    """Return previews of before and after, the latter in a taste.

    Raises:
        FileNotFoundError: the photo has been deleted in the meantime.
    """
    before, after = photo.folder / "before.jpg", photo.folder / "after.jpg"
    if not (before.exists() and after.exists()):
        raise FileNotFoundError(after.name)
    if taste == Taste():
        return before, after
    blended = photo.folder / f"after-{taste.name}.jpg"
    if not blended.exists():
        # As the result is made, and not by mixing the previews: those are clipped, the edit is not.
        pixels = read_photo(before).pixels
        edited = taste.apply(photo.edit(taste), pixels)
        content = encode_jpeg(edited, quality=90)
        keep_room(len(content))
        blended.write_bytes(content)
        # The page may still be loading the one before; whoever moves the slider fills no disk.
        made = sorted(photo.folder.glob("after-*.jpg"), key=lambda path: path.stat().st_mtime_ns)
        for earlier in made[:-_KEPT_PREVIEWS]:
            earlier.unlink(missing_ok=True)
    return before, blended


def match(photos: Sequence[EnhancedPhoto]) -> None:
    """Let the photos of one home agree in white balance and brightness.

    Raises:
        FileNotFoundError: one has been deleted in the meantime.
    """
    edits = [photo.edit(Taste()) for photo in photos]
    seen = [fitted(read_photo(photo.folder / "before.jpg").pixels, SEEN_SIDE) for photo in photos]
    matched, _, _ = draw_together([e for e in edits if isinstance(e, PhotoRetouch)], seen)
    for photo, edit in zip(photos, matched, strict=True):
        for made_before in photo.folder.glob("a*-home*"):  # with fewer photos
            shutil.rmtree(made_before) if made_before.is_dir() else made_before.unlink()
        save_edit(photo.folder / "home.npz", edit)


def _result_path(photo: EnhancedPhoto, taste: Taste) -> Path:
    return photo.folder / f"at-{taste.name}" / photo.result_name


def _write_result(photo: EnhancedPhoto, pixels: np.ndarray, decoded: Photo, taste: Taste) -> None:
    path = _result_path(photo, taste)
    for earlier in photo.folder.glob("at-*"):
        if earlier != path.parent:
            shutil.rmtree(earlier, ignore_errors=True)
    path.parent.mkdir(exist_ok=True)
    write_photo(path, pixels, metadata=decoded.metadata)


def _preview(pixels: np.ndarray, long_edge: int) -> bytes:
    scale = long_edge / max(pixels.shape[:2])
    if scale < 1.0:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    if pixels.dtype == np.uint16:
        pixels = np.rint(pixels / np.float32(257.0)).astype(np.uint8)
    return encode_jpeg(pixels, quality=90)
