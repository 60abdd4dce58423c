"""The error tree: what an adapter may raise. Foreign errors stop at the adapter's edge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

__all__ = [
    "BackendRefused",
    "BrainError",
    "FaceError",
    "FaceOutOfMemory",
    "MaestraError",
    "ModelMissing",
    "PeerRefused",
    "PortError",
    "SensesError",
    "StreamClosed",
    "StreamError",
    "StreamRefused",
    "VoiceError",
    "leaves",
]


class MaestraError(Exception):
    """Every error that is ours. Its text is one sentence a user can act on."""


class ModelMissing(MaestraError):
    """A model file is absent or is not the file that was pinned."""


class BackendRefused(MaestraError):
    """A backend will never work as it is configured: its key, model, voice or device is not there
    or not accepted.

    Told before the lesson starts; what happens in it is a ``PortError``.
    """


class PortError(MaestraError):
    """An adapter could not do what its port promises."""


class SensesError(PortError):
    """A floor detector, VAD, recogniser or music analysis failed."""


class BrainError(PortError):
    """A brain failed, refused, timed out or said nothing."""


class VoiceError(PortError):
    """A voice failed, timed out or made no sound."""


class FaceError(PortError):
    """A face failed, timed out or made no picture."""


class FaceOutOfMemory(FaceError):
    """The device has no room for what a face wants to draw.

    ``shrunk``: it draws fewer pictures at once from now on, and may simply be asked again.
    """

    def __init__(self, text: str, *, shrunk: bool = False) -> None:
        super().__init__(text)
        self.shrunk = shrunk


class StreamError(PortError):
    """An input or output failed; it may be tried again."""


class StreamRefused(StreamError):
    """The address is not one that may be opened, or will never work: do not try again."""


class StreamClosed(StreamError):
    """The other side finished."""


class PeerRefused(StreamRefused):
    """A browser may not connect, or there is none of that name.

    ``reason``: what it sent is no offer (``malformed``), or one that cannot be answered
    (``unsupported``); somebody else is heard already (``taken``), or all places are (``full``); the
    lesson has another input or shows nothing (``elsewhere``); it is not there (``unknown``); what
    answers browsers is not installed (``missing``), or has failed (``failed``).
    """

    Reason = Literal[
        "malformed", "unsupported", "taken", "full", "elsewhere", "unknown", "missing", "failed"
    ]

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def leaves(error: BaseException) -> Iterator[BaseException]:
    """``error``, or the errors in it if it is a group."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
