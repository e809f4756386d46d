"""Decoded pairs of a source; those that cannot be read are named, counted and left out.

A source has `len(source)` and `source[i]` returning `{"input": bytes, "target": bytes, "id": bytes,
...}`, both encoded pictures (JPEG or PNG) of the same size. `tfds.data_source(...,
decoders=SkipDecoding)` is one; so is a list.
"""

import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from tqdm import tqdm

from enhancer.system.errors import EnhancerError

# Before a record is read again: a file server that restarts takes about this long.
_WAITS_SECONDS = (0.5, 5.0, 30.0)


class Source(Protocol):
    """Random access to encoded pairs."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: Any, /) -> dict[str, Any]: ...


class Pair(NamedTuple):
    """A decoded pair: two pictures of one size, uint8 `(height, width, 3)` sRGB, [0, 255]."""

    id: str
    input: np.ndarray
    target: np.ndarray


class DamagedPairError(ValueError):
    """A record that is not a pair of pictures of one size; the message names it."""


class UnreadableDataError(EnhancerError):
    """A source that gives no pair at all, or whose storage does not answer."""

    exit_code = 1


def decode_pair(record: Mapping[str, Any]) -> Pair:
    """Decode a record; DamagedPairError if a picture does not decode or the two differ in size."""
    name = record.get("id", "without id")
    name = name.decode() if isinstance(name, bytes) else str(name)
    pictures = []
    for role in ("input", "target"):
        content = np.frombuffer(record[role], np.uint8)
        # OpenCV fails an assertion on no bytes at all.
        pixels = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB) if len(content) else None
        if pixels is None:
            raise DamagedPairError(
                f"The {role} of pair {name} does not decode as a JPEG or PNG picture; build the "
                "data again."
            )
        pictures.append(np.asarray(pixels))
    if pictures[0].shape != pictures[1].shape:
        raise DamagedPairError(
            f"Input and target of pair {name} differ in size: {pictures[0].shape} and "
            f"{pictures[1].shape}; build the data again."
        )
    return Pair(name, *pictures)


class ReadablePairs:
    """Random access to the decoded pairs of a source that outlives damaged records.

    A record is damaged when the source raises on it again and again (ArrayRecord: RuntimeError),
    when a picture does not decode, or when the two differ in size. A disk or a file server that
    does not answer (OSError) ends the training: going on without the record would not be what a
    repetition gives. Each damaged record is reported once, on standard error, and stays left out as
    long as this object lives: keep one per source. Threads may share it.

    Attributes:
        damaged: index of each damaged record found so far, and why it cannot be used.
    """

    def __init__(self, source: Source, name: str = "data"):
        """Wrap `source`, which reports call `name`; raises UnreadableDataError for an empty one."""
        if len(source) == 0:
            raise UnreadableDataError(
                f"The {name} is empty: there is no pair in it. Build the data set again."
            )
        self._source, self._name = source, name
        self._lock = threading.Lock()
        self.damaged: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._source)  # damaged ones included

    def __getitem__(self, index: int) -> Pair:
        """The pair at `index`, or of a damaged one the next readable, after the last the first:
        it follows from the data alone. Raises UnreadableDataError if there is none."""
        while (pair := self.read(index)) is None:
            index = (index + 1) % len(self)
        return pair

    def read(self, index: int) -> Pair | None:
        """The pair at `index`, None when it is damaged. Raises UnreadableDataError when all are, or
        when the storage does not answer."""
        if index not in self.damaged:
            try:
                return decode_pair(self._record(index))
            except (MemoryError, UnreadableDataError):  # say nothing about the record
                raise
            except DamagedPairError as error:
                self._leave_out(index, str(error))
            except Exception as error:  # the storage's must not end a night's training
                reason = f"{type(error).__name__}: {error}"
                self._leave_out(index, f"It cannot be read ({reason}); build the data again.")
        if len(self.damaged) == len(self):
            raise UnreadableDataError(
                f"None of the {len(self)} pairs of the {self._name} can be read. The first reason: "
                f"{next(iter(self.damaged.values()))}"
            )
        return None

    def _record(self, index: int) -> dict[str, Any]:
        """The record, read again when the storage raises: the pairs must stay the same."""
        for seconds in _WAITS_SECONDS:
            try:
                return self._source[index]
            except OSError:
                time.sleep(seconds)
            except RuntimeError:  # ArrayRecord: damage, mostly, which another look does not mend
                break
        try:
            return self._source[index]
        except OSError as error:
            raise UnreadableDataError(
                f"Record {index} of the {self._name} could not be read in "
                f"{sum(_WAITS_SECONDS):.0f} s ({error}): the disk or file server does not answer. "
                "Nothing is wrong with what was trained; start the same command when it does."
            ) from error

    def _leave_out(self, index: int, reason: str) -> None:
        with self._lock:
            if index in self.damaged:  # another thread was faster
                return
            self.damaged[index] = reason
            # Not print: a progress bar may be on the line.
            text = f"Damaged {self._name}: record {index} is left out. {reason}"
            tqdm.write(text, file=sys.stderr)


class WithoutDamaged:
    """The records that are readable pairs, by their place among these, for a test."""

    def __init__(self, source: Source, name: str = "data"):
        """Read all of `source` once, reporting as `ReadablePairs` does; UnreadableDataError if none
        can be read."""
        pairs = ReadablePairs(source, name)
        self._source = source
        self._places = [index for index in range(len(source)) if pairs.read(index) is not None]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._source[self._places[index]]
