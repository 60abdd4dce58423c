"""Commands out: what the conversation wants done. The session runtime carries them out."""

from __future__ import annotations

import enum

from attrs import frozen

from ..media_time import MediaTime
from .history import Turn

__all__ = [
    "AskBrain",
    "CancelReply",
    "CancelTimer",
    "Close",
    "Command",
    "FlushPlayout",
    "ForgetPerformance",
    "PausePlayout",
    "QuestionKind",
    "ReportReset",
    "ResumePlayout",
    "SayApology",
    "StartPlayout",
    "StartTimer",
]


class QuestionKind(enum.StrEnum):
    WAKE = "wake"
    FOLLOW_UP = "follow_up"


@frozen(kw_only=True)
class AskBrain:
    """Have a reply made, under number ``epoch``.

    It may be prepared now, and is played at ``StartPlayout``.
    """

    epoch: int
    kind: QuestionKind
    question: str
    history: tuple[Turn, ...]


@frozen(kw_only=True)
class CancelReply:
    """Stop making reply ``epoch``; drop everything that carries its number."""

    epoch: int


@frozen(kw_only=True)
class StartPlayout:
    epoch: int


@frozen(kw_only=True)
class PausePlayout:
    """Fall silent at once, keep the queue."""

    epoch: int


@frozen(kw_only=True)
class ResumePlayout:
    epoch: int


@frozen(kw_only=True)
class FlushPlayout:
    """Fall silent at once, drop the queue."""

    epoch: int


@frozen(kw_only=True)
class SayApology:
    """Say a short prepared sentence, under number ``epoch``. It starts without ``StartPlayout``."""

    epoch: int


@frozen(kw_only=True)
class StartTimer:
    """Send ``WindowExpired`` with this number when media time reaches ``deadline``."""

    timer: int
    deadline: MediaTime


@frozen(kw_only=True)
class CancelTimer:
    timer: int


@frozen(kw_only=True)
class ForgetPerformance:
    """Clear the performance accumulator."""


@frozen(kw_only=True)
class ReportReset:
    """Answer a reset: how many turns were cleared, and whether the performance was."""

    turns: int
    performance: bool


@frozen(kw_only=True)
class Close:
    """Drain and close."""


Command = (
    AskBrain
    | CancelReply
    | StartPlayout
    | PausePlayout
    | ResumePlayout
    | FlushPlayout
    | SayApology
    | StartTimer
    | CancelTimer
    | ForgetPerformance
    | ReportReset
    | Close
)
