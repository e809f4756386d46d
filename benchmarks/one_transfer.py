"""One edit transfer in a process of its own, for its time and memory; `benchmarks.transfer` starts this.

    python -m benchmarks.one_transfer METHOD FOLDER REPEATS

FOLDER holds photo.npy, low_input.npy and low_output.npy, and gets result.npy. Prints seconds and bytes as JSON.
"""

import json
import resource
import sys
from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 3 or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if len(arguments) == 1 else 2
    import numpy as np

    from benchmarks.timing import seconds_of
    from benchmarks.transfer_methods import METHODS

    transfer, folder, repeats = METHODS[arguments[0]], Path(arguments[1]), int(arguments[2])
    photo, low_input, low_output = (
        np.load(folder / f"{name}.npy") for name in ("photo", "low_input", "low_output")
    )
    before = _resident_bytes("VmRSS")
    result = transfer(photo, low_input, low_output)
    extra = _resident_bytes("VmHWM") - before
    np.save(folder / "result.npy", result)
    del result
    processor_before = resource.getrusage(resource.RUSAGE_SELF)
    seconds = [seconds_of(lambda: transfer(photo, low_input, low_output)) for _ in range(repeats)]
    processor = resource.getrusage(resource.RUSAGE_SELF)
    used = sum(
        getattr(processor, name) - getattr(processor_before, name)
        for name in ("ru_utime", "ru_stime")
    )
    print(
        json.dumps({"seconds": seconds, "processor_seconds": used / repeats, "extra_bytes": extra})
    )
    return 0


def _resident_bytes(field: str) -> int:
    """Of Linux: VmRSS is what is held now, VmHWM the most so far. `getrusage` would count the parent's too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


if __name__ == "__main__":
    sys.exit(main())
