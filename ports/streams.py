"""Streams in and out.

``Ingest`` and ``Publish`` are synchronous and block: each runs in a process of its own. ``Peers``
lives in an event loop, in yet another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from .audio import Picture, Samples

__all__ = ["Encoded", "Ingest", "PeerAnswer", "PeerEvents", "Peers", "Publish", "SliceEncoder"]


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

        :param picture: RGB or I420, as in ``ports.face.Frame``; ``None`` shows the last one again.
        :param slot: the slice's number, which makes its time stamps; absent, the next one. Slots
            that are left out are silent.
        :raises StreamRefused: it can never be written; do not try again.
        :raises StreamError: it broke; open a new one.
        """
        ...

    def close(self) -> None:
        """Finish the file or say goodbye. A file must play, even if nothing was written to it."""
        ...


# --- browsers -------------------------------------------------------------------


@frozen(kw_only=True, eq=False)
class Encoded:
    """A slice as it is sent to browsers: one picture in H.264 (Annex B) and its sound in Opus.

    ``key``: who sees nothing yet can begin with this picture.
    """

    slot: int
    picture: bytes
    sound: bytes
    key: bool


class SliceEncoder(Protocol):
    """Encodes once for all who watch."""

    def encode(
        self, slot: int, sound: bytes | None, picture: Picture | None, *, key: bool
    ) -> Encoded:
        """One A/V slice.

        :param sound: 1920 samples, int16 at 48 kHz; ``None`` is silence.
        :param picture: I420, as in ``ports.face.Frame``; ``None`` shows the last one again.
        :param key: make it a picture to begin with.
        """
        ...


@frozen(kw_only=True)
class PeerAnswer:
    """``peer`` is the connection's name, ``sdp`` the answer to the offer."""

    peer: str
    sdp: str


class PeerEvents(Protocol):
    """Who is told what browsers do; called in the event loop, and must not block."""

    def heard(self, at: int, sound: bytes) -> None:
        """The student's sound: int16 at 48 kHz. ``at`` is its first sample's number since the
        browser began; what is missing before it was lost on the way."""
        ...

    def silent(self) -> None:
        """Who was heard has gone, or somebody new is about to be."""
        ...

    def watched(self, watched: bool) -> None:
        """Whether anybody watches, when that changes."""
        ...

    def key_wanted(self) -> None:
        """Somebody needs a picture to begin with."""
        ...


class Peers(Protocol):
    """The browsers of one session: one that is heard, and some that watch."""

    async def publish(self, offer: str) -> PeerAnswer:
        """Let a browser be heard.

        :raises PeerRefused: it may not.
        """
        ...

    async def view(self, offer: str) -> PeerAnswer:
        """Let a browser watch.

        :raises PeerRefused: it may not.
        """
        ...

    async def hang_up(self, peer: str) -> None:
        """End a connection.

        :raises PeerRefused: there is none of that name.
        """
        ...

    def show(self, encoded: Encoded) -> None:
        """Send the next slice to all who watch."""
        ...

    async def close(self) -> None:
        """End all connections."""
        ...
