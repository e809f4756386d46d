"""Memory that photos took goes back to the system when they are done."""

import ctypes

_M_ARENA_MAX = -8  # malloc.h


def share_arenas() -> None:
    """Let all threads allocate from two arenas instead of eight for each core (glibc only).

    Each request may run in another thread, and each arena keeps some of what was freed in it:
    under load the server held 15 % more memory than after a single photo, for good. Call it before
    threads are started.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)
