"""Decode one photo file to sRGB as it is stored: which decoder reads which kind of file."""

from pathlib import Path

from enhancer.photo import exif, file_kind, heic, jpeg, png, raw, refusal, tiff, webp, xmp
from enhancer.photo.decoded import DecodedPhoto
from enhancer.photo.file_kind import FileKind
from enhancer.photo.refusal import MAX_PIXELS, PhotoError

RAW_SUFFIXES = raw.RAW_SUFFIXES
"""Lower-case suffixes, with the dot, of camera RAW files."""
_PLAIN_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".heic", ".heif", ".hif"}
)
PHOTO_SUFFIXES = _PLAIN_SUFFIXES | RAW_SUFFIXES
"""Lower-case suffixes, with the dot, of the files that `read_photo` is meant for."""

_LARGE_PREVIEW_PIXELS = 1_000_000  # anything smaller is for the camera's screen


def decode(path: Path, head: bytes, *, keep_depth: bool = False) -> DecodedPhoto:
    """Decode a file by its content; camera RAW goes by the suffix too.

    Args:
        path: an existing file.
        head: its first bytes, from `refusal.read_head`.
        keep_depth: develop RAW and HEIC to uint16 where they hold more than 8 bits. PNG and TIFF of 16 bits are uint16
            in any case.

    Raises:
        PhotoError: for the faults that are recognised.
        Exception: of any kind from the decoders, for damaged files.
    """
    kind = file_kind.recognise(head)
    if kind is None and (other := file_kind.describe_other(head)):
        name, advice = other
        raise PhotoError(f"{path.name} is not a photo but {name}. {advice}")
    if path.suffix.lower() in RAW_SUFFIXES or kind is FileKind.RAW:
        return _develop(path, kind, keep_depth=keep_depth)
    match kind:
        case FileKind.JPEG:
            return jpeg.decode(path)
        case FileKind.PNG:
            return png.decode(path, head)
        case FileKind.TIFF:
            return tiff.decode(path, head) or _develop(path, kind, keep_depth=keep_depth)
        case FileKind.WEBP:
            return webp.decode(path, head)
        case FileKind.HEIC:
            return heic.decode(path, keep_depth=keep_depth)
    raise refusal.damaged(path, "its content is of no known picture format")


def _develop(path: Path, kind: FileKind | None, *, keep_depth: bool) -> DecodedPhoto:
    if kind not in (FileKind.TIFF, FileKind.RAW, None):
        raise PhotoError(
            f"{path.name} holds a {kind.value} picture and no RAW data. "
            "Use the camera's own file, or rename this one to what it is."
        )
    try:
        pixels = raw.develop(path, max_pixels=MAX_PIXELS, bits_per_channel=16 if keep_depth else 8)
    except raw.RawError as error:
        # The camera's own rendering looks unlike ours, and may be a thumbnail: it is never passed off as the photo.
        width, height = raw.preview_size(path) or (0, 0)
        advice = "Copy it from the camera again"
        if width * height >= _LARGE_PREVIEW_PIXELS:
            advice = f"The camera's own JPEG in it, {width} x {height} pixels, was not used: extract it with a photo viewer"
        raise PhotoError(
            f"{path.name} {error}. {advice}, or export a TIFF from your RAW converter."
        ) from error
    # LibRaw turns the picture upright itself.
    tags = exif.from_tiff(path) if kind is FileKind.TIFF else None
    tags = tags or exif.from_jpeg(raw.preview_jpeg(path))
    return DecodedPhoto(pixels, 1, tags, xmp.from_tiff(path) if kind is FileKind.TIFF else None)
