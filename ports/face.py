"""The face: from sound to pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from .audio import Picture, Samples

__all__ = ["LOOK_AHEAD", "LOOK_BACK", "Face", "FrameRequest"]

LOOK_BACK = 0.2
"""Seconds of sound before a picture's own 40 ms that its request carries."""

LOOK_AHEAD = 0.2
"""Seconds of sound after them (zeros where the reply has not been spoken yet or is over)."""


@frozen(kw_only=True, eq=False)
class FrameRequest:
    """Which picture is wanted.

    ``index`` counts output frames since the session began and never repeats, but it may step back:
    after an interruption the pictures that were not shown are asked for again, with other sound.
    ``sound`` is mono 48 kHz from ``LOOK_BACK`` before the picture's 40 ms to ``LOOK_AHEAD`` after
    them. ``speaking`` is false for idle pictures (listening, thinking).
    """

    index: int
    sound: Samples
    speaking: bool


class Face(Protocol):
    """Draws pictures. Synchronous: it is called from a thread of its own, one call at a time."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def render(self, request: FrameRequest) -> Picture:
        """The picture, ``(height, width, 3)`` RGB.

        :raises FaceError: it failed.
        """
        ...
