"""What some adapters are besides what their port asks: alive for as long as the session is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["Lives"]


@runtime_checkable
class Lives(Protocol):
    """An adapter that owns something for the whole session: a connection kept warm, a child
    process. Whoever built the adapter runs ``live`` beside its other work.
    """

    async def live(self) -> None:
        """Own it until cancelled, and then let nothing remain.

        A connection that drops or a child that dies is begun anew in here; it never raises for
        such a reason. An adapter that is asked for an answer before this has got anywhere waits, or
        fails with its port's error.
        """
        ...
