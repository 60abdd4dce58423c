"""Streams in and out. Synchronous and blocking: each runs in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .audio import Picture, Samples

__all__ = ["Ingest", "Publish"]


class Ingest(Protocol):
    """One connection to an input."""

    def chunks(self) -> Iterator[Samples]:
        """Mono float32 at ``EAR_RATE_HZ``, in order, until the input ends.

        :raises StreamRefused: it may not be opened, does not exist, or has no sound.
        :raises StreamError: it broke; open a new one.
        """
        ...

    def close(self) -> None: ...


class Publish(Protocol):
    """One connection to an output."""

    def write(self, sound: Samples, picture: Picture | None, slot: int | None = None) -> None:
        """Send one A/V slice: 1920 samples at 48 kHz and the picture that belongs to them.

        :param picture: ``None`` shows the last one again.
        :param slot: the slice's number, which makes its time stamps; absent, the next one. Slots
            that are left out are silent.
        :raises StreamRefused: it can never be written; do not try again.
        :raises StreamError: it broke; open a new one.
        """
        ...

    def close(self) -> None:
        """Finish the file or say goodbye."""
        ...
