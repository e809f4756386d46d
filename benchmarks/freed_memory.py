"""What the C library does with memory that a program frees, which decides how fast a framework is that frees much of it.

By default large blocks go back to the system when they are freed and come again page by page, zeroed, at 0.5 to 2 s per GB on
some virtual machines. An engineer who runs PyTorch there sets MALLOC_MMAP_MAX_ and MALLOC_TRIM_THRESHOLD_ against it.
"""

import contextlib
import ctypes
from collections.abc import Iterator

# glibc's <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_NEVER = -1
_AS_IT_COMES = {  # as far as glibc's own adaptation goes when a program frees large blocks
    _M_MMAP_MAX: 65536,
    _M_MMAP_THRESHOLD: 32 << 20,
    _M_TRIM_THRESHOLD: 64 << 20,
}


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Within the context, freed memory stays with the process; after it, all that is free goes back to the system.

    Raises:
        OSError: The C library is not glibc.
    """
    library = ctypes.CDLL(None)
    if not (hasattr(library, "mallopt") and hasattr(library, "malloc_trim")):
        raise OSError("freed memory can be kept with the GNU C library only")
    _set(library, {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER})
    try:
        yield
    finally:
        _set(library, _AS_IT_COMES)
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, settings: dict[int, int]) -> None:
    for name, value in settings.items():
        if not library.mallopt(name, value):
            raise OSError(f"mallopt({name}, {value}) was refused")
