"""What the C library does with memory that a program frees, which decides how fast a framework is that frees much of it."""

import ctypes

# glibc's <malloc.h>
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_NEVER = 2**31 - 1
_TOP_PAD_BYTES = 256 << 20


def keep_freed_memory() -> bool:
    """Have glibc keep what this process frees, for whatever it allocates next; False where that cannot be said.

    By default large blocks go back to the system when they are freed and come again page by page, zeroed, at 0.5 to 2 s per GB
    on some virtual machines.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = {
        _M_MMAP_MAX: 0,
        _M_TRIM_THRESHOLD: _NEVER,
        _M_ARENA_MAX: 1,  # a thread's own arena cannot hold blocks of this size
        _M_TOP_PAD: _TOP_PAD_BYTES,
    }
    return all(mallopt(name, value) for name, value in settings.items())
