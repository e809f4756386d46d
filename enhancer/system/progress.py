"""How far work has come and how long it will take, on a terminal and in a log alike."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

_LOG_SECONDS = 30.0  # in a log file each update is a line of its own


def progress_bar(items: Iterable[Any] | None = None, **settings: Any) -> tqdm:
    """A bar with rate and remaining time; `items` and `settings` are tqdm's."""
    seconds = 0.1 if sys.stderr.isatty() else _LOG_SECONDS
    return tqdm(items, mininterval=seconds, dynamic_ncols=True, **settings)
