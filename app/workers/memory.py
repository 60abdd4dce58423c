"""What a worker gives back to the machine."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["give_back"]


def give_back() -> None:
    """Return the free part of this process's heap to the system, where its C library can.

    A voice makes each clause in arrays of another size. glibc keeps them for the next, in pieces
    that do not fit: a speaker breathes by a hundred megabytes with the lengths of its sentences,
    and stays at the most it ever had. Takes 5 to 20 ms, in which no other thread waits for the
    interpreter (malloc_trim(3)).
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    if trim is not None:
        trim(0)
