"""The face: speech in, pictures out. One port, three verbs: push, iterate, clear."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from .audio import Picture, Samples

__all__ = ["Face", "Frame"]


@frozen(kw_only=True, eq=False)
class Frame:
    """Picture ``number`` of a face, counted from its first: ``(height, width, 3)`` RGB, or
    ``(height * 3 // 2, width)`` I420 (the planes Y, U, V; BT.601, limited range), which a face that
    draws on a device has half as much to copy of.

    ``ready`` is how many of the next ones have been drawn with it, and take no time.
    """

    number: int
    picture: Picture
    ready: int = 0


class Face(Protocol):
    """Draws a person who idles, and speaks what is pushed.

    ``frames`` is drawn from in a thread of its own, one picture at a time; ``push`` and ``clear``
    may come from another thread at any moment, in the middle of a batch too, and return at once.
    """

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def frame_rate(self) -> int:
        """Pictures a second; ``PLAYOUT_RATE_HZ`` is a multiple of it."""
        ...

    @property
    def look_ahead(self) -> float:
        """Seconds of speech beyond a picture's own that it wants to know before it draws it. It
        draws without them too, as if silence followed."""
        ...

    @property
    def warm_up(self) -> float:
        """Seconds that its first picture may take beyond what later ones take: compiling, loading
        onto a device."""
        ...

    def push(self, speech: Samples, *, last: bool = False) -> None:
        """Say ``speech`` (mono float32 at ``PLAYOUT_RATE_HZ``) after what was pushed before; with
        the picture drawn next, if nothing is left of that.

        :param last: no more of this reply comes; a last part that is shorter than a picture is
            filled up with silence. What is pushed after it is the next reply.
        """
        ...

    def frames(self) -> Iterator[Frame]:
        """The pictures, without end: of the speech that was pushed, and idle where there is none.

        An iterator that has raised is spent; ``frames`` asked anew goes on.

        :raises FaceOutOfMemory: the device has no room for it.
        :raises FaceError: it failed.
        """
        ...

    def clear(self, number: int) -> None:
        """Forget the speech, and go on from picture ``number``: those that were drawn from it on
        have not been shown, and are drawn again, idle or of what is pushed next, without a jump
        from the one before it.

        ``number`` may also lie ahead: the pictures before it come too late, and are left out.
        """
        ...
