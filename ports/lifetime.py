"""What some adapters are besides what their port asks: alive for as long as the session is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["Checks", "Lives"]


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


@runtime_checkable
class Checks(Protocol):
    """An adapter whose key and model somebody else has to accept."""

    async def check(self) -> None:
        """Ask, before the lesson starts, whether they are accepted. Must cost nothing, or next to
        nothing, and take no more than a second or two.

        :raises BackendRefused: they are not, and never will be as it is configured.
        :raises PortError: that cannot be said now, perhaps for want of a connection.
        """
        ...
