"""The process that decodes one photo under limits: its parent is `demo.photos.isolated_decoding`.

It reads a request (JSON) from standard input and answers on standard output with one line of JSON,
which the pixels follow.
"""

import json
import resource
import sys
from pathlib import Path


def main() -> int:
    request = json.load(sys.stdin)
    _limit_resources(request["bytes"], request["seconds"])
    # From here on: what is imported counts against the limits too.
    import numpy as np

    from enhancer.photo import refusal

    refusal.MAX_PIXELS = request["pixels"]  # this server's limit, before the decoders look at it
    from enhancer.photo.io import PhotoError, read_photo

    try:
        photo = read_photo(Path(request["path"]), keep_depth=True)
    except PhotoError as error:
        print(json.dumps({"problem": str(error), "no_memory": _is_memory_error(error)}))
        return 0
    header = {
        "shape": photo.pixels.shape,
        "dtype": photo.pixels.dtype.name,
        "metadata": vars(photo.metadata),
        "notes": photo.notes,
    }
    # Bytes go through JSON as Latin-1, which has a letter for every byte.
    print(json.dumps(header, default=lambda block: block.decode("latin-1")), flush=True)
    sys.stdout.buffer.write(np.ascontiguousarray(photo.pixels).data.cast("B"))
    sys.stdout.flush()
    return 0


def _limit_resources(address_space: int, seconds: int) -> None:
    """Bound this process's memory and processor time; it writes no files and no core dump."""
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    # Wall time is watched by the parent; this is for the case that the parent is gone. Decoders
    # use every core.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds * 8, seconds * 8 + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _is_memory_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or "memory" in type(error).__name__.lower():
            return True
        error = error.__cause__
    return False


if __name__ == "__main__":
    sys.exit(main())
