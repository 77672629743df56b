"""Memory that nobody needs any more, back to the system."""

import ctypes
import gc
import sys
import threading
from functools import cache

EVERY_S = 60.0
"""How often a process that runs for months gives back."""


@cache
def _trim() -> "ctypes._NamedFuncPointer | None":
    """glibc's `malloc_trim`, where that is the C library."""
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> None:
    """What was needed at the busiest moment and is free by now, and rings of objects that hold nothing but each other: the
    interpreter looks for old ones the more seldom the more it holds. Else a process only ever grows. Takes some 10 ms.
    """
    gc.collect()
    trim = _trim()
    if trim is not None:
        trim(0)


def give_back_until(over: threading.Event) -> None:
    """The same once a minute, in a thread of its own."""

    def again() -> None:
        while not over.wait(EVERY_S):
            give_back()

    threading.Thread(target=again, name="memory", daemon=True).start()
