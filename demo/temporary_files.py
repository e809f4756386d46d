"""The folder in which uploads and results live, and their deletion."""

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "enhancer-demo-"


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder that only this user can read, for Gradio's files too, and delete it at the end.

    What servers that were killed left behind is deleted as well.
    """
    _delete_orphans(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        before = os.environ.get("GRADIO_TEMP_DIR")
        os.environ["GRADIO_TEMP_DIR"] = str(folder)
        try:
            yield folder
        finally:
            if before is None:
                del os.environ["GRADIO_TEMP_DIR"]
            else:
                os.environ["GRADIO_TEMP_DIR"] = before


@contextlib.contextmanager
def sweeping(folder: Path, keep_seconds: float, *, every_seconds: float = 60.0) -> Iterator[None]:
    """Call `sweep` again and again in a thread of its own."""
    stop = threading.Event()

    def sweep_until_stopped() -> None:
        while not stop.wait(every_seconds):
            sweep(folder, keep_seconds)

    thread = threading.Thread(target=sweep_until_stopped, name="sweeper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def sweep(folder: Path, keep_seconds: float) -> None:
    """Delete what lies in `folder` and was not changed for a time: finished visits, uploads, uploads that broke off."""
    for entry in folder.iterdir():
        with contextlib.suppress(OSError):  # somebody else deletes it just now
            newest = max(path.lstat().st_ctime for path in (entry, *entry.rglob("*")))
            if time.time() - newest > keep_seconds:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _delete_orphans(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        process = folder.name.removeprefix(_PREFIX).split("-")[0]
        if process.isdecimal() and not _is_running(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
