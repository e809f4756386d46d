"""What a training prints: sentences above one progress bar."""

import sys

from tqdm import tqdm

from enhancer.system.processes import is_first_process

_LOG_SECONDS = 30.0  # in a log file each update is a line of its own


def say(text: str, *, each_process: bool = False) -> None:
    """Print a line, above a progress bar; of several processes the first does, or each."""
    if each_process or is_first_process():
        tqdm.write(text)


def progress_bar(label: str, done: int, total: int) -> tqdm:
    """A bar over training steps with rate and remaining time, `done` of `total` behind it."""
    return tqdm(
        desc=label,
        total=total,
        initial=done,
        unit="step",
        dynamic_ncols=True,
        mininterval=0.2 if sys.stderr.isatty() else _LOG_SECONDS,
        disable=not is_first_process(),
    )
