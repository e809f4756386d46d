"""What the C library does with memory that a program frees, which decides how fast a framework is that frees much of it.

By default large blocks go back to the system when they are freed and come again page by page, zeroed, at 0.5 to 2 s per GB on
some virtual machines. An engineer who runs PyTorch there sets MALLOC_MMAP_MAX_ and MALLOC_TRIM_THRESHOLD_ against it.
"""

import contextlib
import ctypes
from collections.abc import Iterator

# glibc's <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_NEVER = 2**31 - 1
_AS_IT_COMES = {  # where glibc's own adaptation ends up once a program frees large blocks
    _M_MMAP_MAX: 65536,
    _M_MMAP_THRESHOLD: 32 << 20,
    _M_TRIM_THRESHOLD: 64 << 20,
}


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Within the context, freed memory stays with the process.

    Raises:
        OSError: The C library is not glibc.
    """
    _set({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: _NEVER})
    try:
        yield
    finally:
        _set(_AS_IT_COMES)


def _set(settings: dict[int, int]) -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        raise OSError("memory can be kept with the GNU C library only") from None
    for name, value in settings.items():
        if not mallopt(name, value):
            raise OSError(f"mallopt({name}, {value}) was refused")
