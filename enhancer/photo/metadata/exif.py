"""EXIF blocks, which are TIFF files without a picture, patched in place.

Nothing is read into values and written anew: what need not change keeps its bytes, its byte order
and its place, which the offsets in maker notes count on.

References: TIFF 6.0, section 2; CIPA DC-008 (Exif 3.0), section 4.6.
"""

import mmap
import struct
from collections.abc import Mapping
from typing import NamedTuple

FIRST, EXIF, GPS, INTEROP = 0, 34665, 34853, 40965  # directories, by the tag that points to them
_THUMBNAIL = -1  # the directory behind the first
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
XMP, IPTC, PHOTOSHOP, ICC_PROFILE = 700, 33723, 34377, 34675
ORIENTATION, COLOR_SPACE, _MAKER_NOTE = 274, 40961, 37500
_DNG_PRIVATE = 50740  # where Adobe's converter puts the maker note
MAKER_NOTES = frozenset({_MAKER_NOTE, _DNG_PRIVATE})
_ELSEWHERE = frozenset({273, 279, 324, 325, 330, 513, 514, XMP, IPTC, PHOTOSHOP, ICC_PROFILE})
# How a file stores its picture (37724: an editor's layers), and how to develop a RAW, but for the
# names and numbers of camera and lens.
_STORAGE = _ELSEWHERE | {284, 301, 33421, 33422, 33424, 37724, *range(254, 268), *range(277, 282)}
_STORAGE |= {317, *range(288, 294), *range(320, 326), *range(332, 348), *range(512, 533)}
# Tags of a TIFF or DNG that make no sense in another file.
OF_A_FILE = _STORAGE | {*range(50706, 52600)} - {50708, 50735, 50736, 50827, _DNG_PRIVATE}
_OLD_COLORS = frozenset({301, 318, 319, INTEROP, 42240})  # curves, white, primaries, gamma
_PLACE = MAKER_NOTES | {GPS, 33550, 33922, 34264, 34735, 34736, 34737}  # the last six: GeoTIFF

MAX_BYTES = 65_527  # of a block in a JPEG
_MAX_VALUE_BYTES = 1 << 20
_SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)  # of a value, by type
_SHORT, _LONG, _INTEGERS = 3, 4, {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}

Value = tuple[int, int, bytes]
"""Type, count and bytes; of more than four bytes that are stored already, their offset."""


class Entry(NamedTuple):
    """A tag, where its entry is, and where its value lies."""

    tag: int
    kind: int
    count: int
    position: int
    start: int
    end: int


class Block:
    """A TIFF structure, or a whole TIFF file; what lies beyond its end is not there.

    Of a file of several pages, the one whose directory lies at `page` counts. What it does not say
    of itself, but for its orientation, the first one says for all.

    Raises:
        ValueError: it is not one.
    """

    def __init__(self, content: bytes | mmap.mmap, page: int = 0):
        orders = {b"II": "<", b"MM": ">"}
        if len(content) < 14 or bytes(content[:2]) not in orders:
            raise ValueError("not a TIFF structure")
        self.content, self.order = content, orders[bytes(content[:2])]
        self.is_big = self._number("H", 2) == 43
        self._words = "QQ" if self.is_big else "HI"  # a directory's length, an offset
        # Offset and entries, by the tag that points there.
        self.directories: dict[int, tuple[int, list[Entry]]] = {}
        first = self._number(self._words[1], 8 if self.is_big else 4)
        waiting = [(FIRST, page or first)]
        for pointer, offset in waiting:
            if pointer in self.directories:
                continue
            entries, end = self._entries(offset)
            if pointer == FIRST and offset != first:
                own = {ORIENTATION, *(entry.tag for entry in entries)}
                entries += [entry for entry in self._entries(first)[0] if entry.tag not in own]
            self.directories[pointer] = offset, entries
            waiting += [(e.tag, self.integer(e)) for e in entries if e.tag in (EXIF, GPS, INTEROP)]
            if pointer == FIRST:
                waiting.append((_THUMBNAIL, self._number(self._words[1], end)))
        if not self.directories[FIRST][1]:
            raise ValueError("no directory")

    @property
    def parts(self) -> dict[int, "Part"]:
        """The entries of all directories, by the tag that points there."""
        return {pointer: (self, entries) for pointer, (_, entries) in self.directories.items()}

    def find(self, tag: int, pointer: int = FIRST) -> Entry | None:
        """The entry of a tag in a directory, if it is there."""
        _, entries = self.directories.get(pointer, (0, []))
        return next((entry for entry in entries if entry.tag == tag), None)

    def value(self, tag: int, pointer: int = FIRST) -> bytes:
        """The bytes of a value; none where there is no such tag."""
        entry = self.find(tag, pointer)
        return bytes(self.content[entry.start : entry.end]) if entry else b""

    def integer(self, entry: Entry | None) -> int:
        """The first number of a value; 0 if it is none."""
        if entry is None or entry.kind not in _INTEGERS or not entry.count:
            return 0
        return self._number(_INTEGERS[entry.kind], entry.start)

    def has_words(self) -> bool:
        """Whether somebody has described the photo or commented on it."""
        words = [self.value(tag) for tag in (270, 40091, 40092, 40094, 40095)]
        words.append(self.value(37510, EXIF)[8:])  # behind the name of its encoding
        return any(word.strip(b"\0 ") for word in words)

    def _entries(self, offset: int) -> tuple[list[Entry], int]:
        """A directory's entries, as many as there are, and where they end."""
        length, word = self._words
        inline = struct.calcsize(word)
        first, step, entries = offset + struct.calcsize(length), 4 + 2 * inline, []
        room = max(0, len(self.content) - first) // step if offset >= 8 else 0
        last = first + step * min(self._number(length, offset), room)
        for position in range(first, last, step):
            tag, kind, count = struct.unpack_from(f"{self.order}HH{word}", self.content, position)
            size = count * (_SIZES[kind] if kind < len(_SIZES) else 0)
            start = position + step - inline
            start = start if size <= inline else self._number(word, start)
            entries.append(Entry(tag, kind, count, position, start, start + size))
        return entries, last

    def _number(self, kind: str, position: int) -> int:
        is_there = position + struct.calcsize(kind) <= len(self.content)
        return struct.unpack_from(self.order + kind, self.content, position)[0] if is_there else 0


Part = tuple[Block, list[Entry]]
"""Entries of a directory, and where they lie."""


def upright(content: bytes, height: int, width: int) -> bytes:
    """Make a block true for an sRGB picture of this size that has been turned upright, and leave
    out the thumbnail, and metadata of other kinds, which go their own way."""
    source = Block(content)
    is_srgb = source.integer(source.find(COLOR_SPACE, EXIF)) == 1
    numbers = {(FIRST, ORIENTATION): 1, (FIRST, 256): width, (FIRST, 257): height}
    numbers |= {(EXIF, COLOR_SPACE): 1, (EXIF, 40962): width, (EXIF, 40963): height}
    numbers |= {(INTEROP, 4097): width, (INTEROP, 4098): height}
    gone = _ELSEWHERE | {_THUMBNAIL} | (frozenset() if is_srgb else _OLD_COLORS)
    return _patched(source, numbers, gone)


def without_place(content: bytes) -> bytes:
    """Remove where a photo was taken, and maker's notes, which may repeat it."""
    return _patched(Block(content), {}, _PLACE)


def _patched(source: Block, numbers: Mapping[tuple[int, int], int], gone: frozenset[int]) -> bytes:
    """Write numbers over those of the same tags, and take tags and directories out."""
    if source.is_big:
        raise ValueError("a BigTIFF is not patched in place")
    result = bytearray(source.content)
    x, y, twin = source.find(X_RESOLUTION), source.find(Y_RESOLUTION), {}
    is_turned = numbers and source.integer(source.find(ORIENTATION)) in range(5, 9)
    if is_turned and x and y and source.value(x.tag) != source.value(y.tag):
        twin = {x: y, y: x}
    needed, erased = [(0, 8)], []
    for pointer, (offset, entries) in source.directories.items():
        if not entries:
            continue
        kept = [e for e in entries if not {e.tag, pointer} & gone]
        end = offset + 6 + 12 * len(entries)
        lost = [e for e in entries if e not in kept]
        erased += [(e.start, e.end) for e in lost if not offset <= e.start < end]
        if not kept and pointer != FIRST:
            erased.append((offset, end))
            continue
        table = struct.pack(f"{source.order}H", len(kept))
        for entry in kept:
            value = numbers.get((pointer, entry.tag))
            at = twin.get(entry, entry).position
            stored = result[entry.position : entry.position + 2] + result[at + 2 : at + 12]
            if value is not None and (entry.count, source.integer(entry)) != (1, value):
                kind = _LONG if entry.kind == _LONG or value > 0xFFFF else _SHORT
                stored = struct.pack(f"{source.order}HHI", entry.tag, kind, 1)
                stored += struct.pack(source.order + _INTEGERS[kind], value).ljust(4, b"\0")
            table += stored
        link = result[end - 4 : end] if pointer != FIRST or _THUMBNAIL not in gone else bytes(4)
        result[offset:end] = (table + link).ljust(end - offset, b"\0")[: len(result) - offset]
        needed += [(offset, end), *((e.start, e.end) for e in kept)]
    for tags in ((513, 514), (273, 279)) if _THUMBNAIL in gone else ():
        start, size = (source.integer(source.find(tag, _THUMBNAIL)) for tag in tags)
        erased.append((start, start + size))
    patched = bytes(result)
    for start, end in erased:
        result[start:end] = bytes(len(patched[start:end]))
    for start, end in needed:  # the parts of a damaged block may overlap
        result[start:end] = patched[start:end]
    if gone == _PLACE and any(any(result[start:end]) for start, end in erased):
        raise ValueError("where it was taken lies across something else")
    if all(entry.tag in gone for entry in source.directories[FIRST][1]):
        return b""
    return bytes(Block(bytes(result)).content)  # unless its parts lay across each other


def rebuilt(parts: Mapping[int, Part], gone: frozenset[int]) -> tuple[bytes, list[str]]:
    """Build a block of directories, by the tag that points there, and of their values' bytes; say
    what was lost.

    A maker note stays where it was if it can, because it may hold offsets into the file.
    """
    order, notes = parts[FIRST][0].order, []
    directories: dict[int, dict[int, Value]] = {INTEROP: {}, GPS: {}, EXIF: {}, FIRST: {}}
    note_start = 0
    for pointer, (source, entries) in parts.items():
        for tag, kind, count, _, start, end in entries if pointer in directories else ():
            value = bytes(source.content[start : min(end, start + _MAX_VALUE_BYTES)])
            if tag in gone or tag in directories or not value or kind > 13:
                continue
            if len(value) < end - start:
                notes.append(f"the tag {tag}, too large or cut off, was left out")
                continue
            directories[pointer][tag] = kind, count, value
            if (pointer, tag) == (EXIF, _MAKER_NOTE) and len(value) > 4:
                note_start = start
    block = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 0)
    if note_start:
        kind, count, value = directories[EXIF][_MAKER_NOTE]
        sizes = (14 + len(v) for values in directories.values() for *_, v in values.values())
        stays = 8 <= note_start <= MAX_BYTES - sum(sizes) - 32
        if not stays:
            notes.append("the maker note was moved, which programs may not understand")
        block = block.ljust(note_start if stays else 8, b"\0")
        directories[EXIF][_MAKER_NOTE] = kind, count, struct.pack(f"{order}I", len(block))
        block += value
    for pointer, parent in ((INTEROP, EXIF), (GPS, FIRST), (EXIF, FIRST)):
        if directories[pointer]:
            tail, offset = _directory(block, order, directories[pointer])
            directories[parent][pointer] = _LONG, 1, struct.pack(f"{order}I", offset)
            block += tail
    first = directories[FIRST]
    return _with_first(block, order, first) if first else b"", notes


def as_tiff(content: bytes, tags: Mapping[int, Value]) -> bytes:
    """Make a block the head of a TIFF file, by a first directory of these tags and its own."""
    entries = Block(content).directories[FIRST][1] if len(content) > 8 else []
    own = {
        e.tag: (e.kind, e.count, content[e.position + 8 : e.position + 12])
        for e in entries
        if e.tag not in _STORAGE
    }
    return _with_first(content, "<" if content[:2] == b"II" else ">", {**tags, **own})


def _with_first(block: bytes, order: str, values: Mapping[int, Value]) -> bytes:
    tail, offset = _directory(block, order, values)
    return block[:4] + struct.pack(f"{order}I", offset) + block[8:] + tail


def _directory(block: bytes, order: str, values: Mapping[int, Value]) -> tuple[bytes, int]:
    """A directory to be put behind a block, and its offset there."""
    padding = bytes(len(block) % 2)
    offset = len(block) + len(padding)
    table, behind = struct.pack(f"{order}H", len(values)), b""
    for tag, (kind, count, value) in sorted(values.items()):
        table += struct.pack(f"{order}HHI", tag, kind, count)
        if len(value) > 4:
            table += struct.pack(f"{order}I", offset + 6 + 12 * len(values) + len(behind))
            behind += value + bytes(len(value) % 2)
        else:
            table += value.ljust(4, b"\0")
    return padding + table + bytes(4) + behind, offset  # its end is even, as its beginning
