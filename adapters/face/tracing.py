"""Stages of the work on a picture, by name, for whoever measures them; nothing otherwise.

A face says which stage it is in::

    with stage("warp"):
        ...

Stages don't lie within one another. What is compiled or recorded (a CUDA graph) can hold stages,
and runs as if they were not there: to see them it has to be built without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

__all__ = ["Tracer", "stage", "traced"]

Tracer = Callable[[str], AbstractContextManager[object]]
"""Is entered where the stage of that name begins, and left where it ends."""

_NOTHING = nullcontext()
_tracer: Tracer | None = None


def stage(name: str) -> AbstractContextManager[object]:
    """What follows is the stage ``name``. Costs a fifth of a microsecond while nobody looks."""
    return _NOTHING if _tracer is None else _tracer(name)


@contextmanager
def traced(tracer: Tracer) -> Iterator[None]:
    """Have ``tracer`` see the stages of every face of this process. One at a time."""
    global _tracer
    _tracer = tracer
    try:
        yield
    finally:
        _tracer = None
