"""Events in: what may happen to a conversation. Each is stamped with media time by the caller."""

from __future__ import annotations

from attrs import frozen

from ..media_time import MediaTime

__all__ = [
    "BargedIn",
    "ContextReset",
    "ConversationEvent",
    "InterruptionDismissed",
    "InterruptionSuspected",
    "MusicStarted",
    "ReplyFailed",
    "ReplyFinished",
    "ReplyReady",
    "SessionEnded",
    "SpeechContinued",
    "SpeechResumed",
    "UtteranceHeard",
    "WakePhraseHeard",
    "WindowExpired",
]


@frozen(kw_only=True)
class WakePhraseHeard:
    """Somebody called the teacher. ``question`` is what follows the phrase, perhaps empty.

    ``heard`` is the part of the running answer that had been played, if the teacher was speaking.
    """

    at: MediaTime
    phrase: str
    score: float
    text: str
    question: str
    utterance: int
    heard: str = ""


@frozen(kw_only=True)
class SpeechContinued:
    """While responding, the same speaker's words went on: ``question`` is the joined question."""

    at: MediaTime
    question: str
    utterance: int


@frozen(kw_only=True)
class SpeechResumed:
    """While the follow-up window is open, somebody began to speak: hold the timer."""

    at: MediaTime


@frozen(kw_only=True)
class UtteranceHeard:
    """An utterance ended. ``text`` is empty if it held no words: then only a held timer goes on."""

    at: MediaTime
    text: str
    utterance: int


@frozen(kw_only=True)
class MusicStarted:
    """Music over the threshold.

    ``heard`` is the part of the running answer that had been played, if the teacher was speaking.
    """

    at: MediaTime
    heard: str = ""


@frozen(kw_only=True)
class ReplyReady:
    """The first slices of reply ``epoch`` can be played, and the question is over."""

    at: MediaTime
    epoch: int


@frozen(kw_only=True)
class ReplyFailed:
    """Reply ``epoch`` failed and so did every fallback.

    If it failed half way, this is sent once what had been made is played; that is ``heard``.
    """

    at: MediaTime
    epoch: int
    heard: str = ""


@frozen(kw_only=True)
class ReplyFinished:
    """Reply (or apology) ``epoch`` was played to its end. ``heard`` is its whole text."""

    at: MediaTime
    epoch: int
    heard: str


@frozen(kw_only=True)
class InterruptionSuspected:
    """While speaking, a voice is heard: fall silent now, decide later."""

    at: MediaTime


@frozen(kw_only=True)
class BargedIn:
    """The interruption is speech. ``heard`` is the part of the answer that had been played."""

    at: MediaTime
    heard: str


@frozen(kw_only=True)
class InterruptionDismissed:
    """The interruption was nothing (cough, noise, backchannel): resume where it stopped."""

    at: MediaTime


@frozen(kw_only=True)
class WindowExpired:
    """The follow-up timer number ``timer`` ran out. A stale number is ignored."""

    at: MediaTime
    timer: int


@frozen(kw_only=True)
class ContextReset:
    """A new student or piece. ``performance`` says whether the performance is forgotten too."""

    at: MediaTime
    performance: bool = False


@frozen(kw_only=True)
class SessionEnded:
    at: MediaTime


ConversationEvent = (
    WakePhraseHeard
    | SpeechContinued
    | SpeechResumed
    | UtteranceHeard
    | MusicStarted
    | ReplyReady
    | ReplyFailed
    | ReplyFinished
    | InterruptionSuspected
    | BargedIn
    | InterruptionDismissed
    | WindowExpired
    | ContextReset
    | SessionEnded
)
