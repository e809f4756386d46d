"""One photo from its bytes to the files that its visitor gets, and again in another taste.

For that the network is not run again. Keras is imported here: others import this module late.
"""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from demo.photos.isolated_decoding import read_upload
from demo.photos.limits import Limits
from demo.photos.session import EnhancedPhoto, Session
from demo.photos.taste import Taste
from enhancer.inference.edit import Edit
from enhancer.inference.edit_search import load_edit, save_edit
from enhancer.inference.enhancer import Enhancer
from enhancer.inference.full_size import PhotoRetouch, fitted
from enhancer.inference.one_home import SEEN_SIDE, draw_together
from enhancer.inference.result_names import result_suffix
from enhancer.photo.io import Photo, encode_jpeg, read_photo, write_photo

_LOG = logging.getLogger(__name__)
_KEPT_PREVIEWS = 3
_FRAME_BYTES = 50_000
"""More than a result's headers, its colour profile, and the edit's file take besides pixels."""
PREVIEW_PIXELS, THUMBNAIL_PIXELS = 1600, 320
"""Long edges, of the before/after view's pictures too; the download is at full size."""

KeepRoom = Callable[[int], None]
"""Is told how many bytes will be written at most, and raises if they have no place."""


class Darkroom:
    """Makes photos with a model, within limits."""

    def __init__(self, enhancer: Enhancer, limits: Limits):
        self._enhancer = enhancer
        self._limits = limits

    def enhance(
        self,
        source: Path,
        folder: Path,
        taste: Taste,
        keep_room: KeepRoom,
        on_step: Callable[[str], None] = lambda step: None,
    ) -> EnhancedPhoto:
        """Decode, edit, and write result, previews and the edit itself into `folder`.

        Args:
            source: any file; it has to stay as long as the results.
            folder: of this photo alone.
            taste: how the visitor wants it.
            keep_room: see `KeepRoom`.
            on_step: called with the name of each step before it begins.

        Raises:
            PhotoError: the file is not a photo, or exceeds the limits.
        """
        started = time.perf_counter()
        on_step("Reading")
        folder.mkdir(parents=True, exist_ok=True)
        decoded = read_upload(source, self._limits)
        pixels = decoded.pixels
        height, width = pixels.shape[:2]
        on_step(f"Enhancing {width} × {height} pixels")
        edit = self._enhancer.find_edit(pixels)
        edited = edit.apply(pixels)
        on_step("Writing the result")
        previews = {
            "before.jpg": _preview(pixels, PREVIEW_PIXELS),
            "after.jpg": _preview(edited, PREVIEW_PIXELS),
            "thumbnail.jpg": _preview(edited, THUMBNAIL_PIXELS),
        }
        name = f"{source.stem}_enhanced{result_suffix(source)}"
        besides = sum(map(len, previews.values())) + sum(
            part.nbytes for part in vars(edit).values()
        )
        keep_room(besides + most_bytes(name, decoded))
        save_edit(folder / "edit.npz", edit)
        for preview, content in previews.items():
            (folder / preview).write_bytes(content)
        wanted = edited if taste == Taste() else _apply(edit, pixels, taste)
        _write_result(folder / f"at-{taste.name}" / name, wanted, decoded)
        seconds = time.perf_counter() - started
        _LOG.info("enhanced %d x %d in %.1f s", width, height, seconds)
        notes = decoded.notes + decoded.metadata.notes
        return EnhancedPhoto(folder, source, name, width, height, notes, seconds)

    def render(self, photo: EnhancedPhoto, taste: Taste, keep_room: KeepRoom) -> Path:
        """Return the full-size result in a taste.

        Where it is not there yet the photo is decoded again; the network is not run.

        Raises:
            FileNotFoundError: the photo has been deleted in the meantime.
        """
        path = photo.folder / f"at-{taste.name}" / photo.result_name
        if not path.exists():
            decoded = read_upload(photo.source, self._limits)
            keep_room(most_bytes(photo.result_name, decoded))
            _write_result(path, _apply(_edit_of(photo, taste), decoded.pixels, taste), decoded)
        return path

    @staticmethod
    def compare(photo: EnhancedPhoto, taste: Taste, keep_room: KeepRoom) -> tuple[Path, Path]:
        """Return previews of before and after, the latter in a taste.

        Raises:
            FileNotFoundError: the photo has been deleted in the meantime.
        """
        before, after = photo.folder / "before.jpg", photo.folder / "after.jpg"
        if not (before.exists() and after.exists()):
            raise FileNotFoundError(after.name)
        if taste == Taste():
            return before, after
        moved = photo.folder / f"after-{taste.name}.jpg"
        if not moved.exists():
            # Made as the result is: a mixture of previews would be clipped, the edit is not.
            edited = _apply(_edit_of(photo, taste), read_photo(before).pixels, taste)
            content = encode_jpeg(edited, quality=90)
            keep_room(len(content))
            moved.write_bytes(content)
            # The page may still be loading the one before; whoever moves the slider fills no disk.
            made = sorted(
                photo.folder.glob("after-*.jpg"), key=lambda file: file.stat().st_mtime_ns
            )
            for earlier in made[:-_KEPT_PREVIEWS]:
                earlier.unlink(missing_ok=True)
        return before, moved

    @staticmethod
    def match(session: Session, taste: Taste) -> None:
        """Let a session's photos agree in white balance and brightness, where the taste wants it.

        Raises:
            FileNotFoundError: one has been deleted in the meantime.
        """
        photos = list(session.photos.values())
        if not taste.one_home or session.matched == len(photos):
            return
        edits = [_edit_of(photo, Taste()) for photo in photos]
        seen = [
            fitted(read_photo(photo.folder / "before.jpg").pixels, SEEN_SIDE) for photo in photos
        ]
        matched, _, _ = draw_together([e for e in edits if isinstance(e, PhotoRetouch)], seen)
        for photo, edit in zip(photos, matched, strict=True):
            for made_before in photo.folder.glob("a*-home*"):  # with fewer photos
                shutil.rmtree(made_before) if made_before.is_dir() else made_before.unlink()
            save_edit(photo.folder / "home.npz", edit)
        session.matched = len(photos)


def most_bytes(result_name: str, decoded: Photo) -> int:
    """Return how large a result may become: its pixels uncompressed, and what comes with them."""
    height, width = (-(-side // 8) * 8 for side in decoded.pixels.shape[:2])  # JPEG's whole blocks
    depth = 1 if result_name.endswith(".jpg") else decoded.pixels.itemsize
    found = decoded.metadata
    blocks = found.exif, found.xmp, found.photoshop * 2, *(text for _, text in found.texts)
    beside = sum(map(len, blocks)) + _FRAME_BYTES
    return round(1.01 * 3 * depth * height * width) + beside


def _edit_of(photo: EnhancedPhoto, taste: Taste) -> Edit | PhotoRetouch:
    """What the network did, or that and what makes the photo match the others."""
    return load_edit(photo.folder / ("home.npz" if taste.one_home else "edit.npz"))


def _apply(edit: Edit | PhotoRetouch, pixels: np.ndarray, taste: Taste) -> np.ndarray:
    if isinstance(edit, PhotoRetouch):
        edit = edit.adjusted(taste.brightness / 100, taste.warmth / 100)
    return edit.apply(pixels, taste.strength / 100)


def _write_result(path: Path, pixels: np.ndarray, decoded: Photo) -> None:
    """Write a result; it takes the place of those in other tastes."""
    for earlier in path.parent.parent.glob("at-*"):
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
