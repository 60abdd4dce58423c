"""Media time: where in the session something is, exactly.

An instant is an integer count of *flicks* since the session began. A flick is 1/705 600 000 s,
the smallest unit in which one sample at 8, 16, 22.05, 24, 44.1, 48 or 96 kHz and one frame at 24,
25, 30 or 60 per second are all whole numbers, so conversions between them never round.

Measurements of the music (a note's onset) are estimates and are given in float seconds; instants
that decide or pace something are flicks.

Source: the flick, https://github.com/facebookarchive/Flicks.
"""

from __future__ import annotations

from typing import NewType

__all__ = [
    "FLICKS_PER_SECOND",
    "SESSION_START",
    "MediaTime",
    "from_samples",
    "from_seconds",
    "to_samples",
    "to_seconds",
]

FLICKS_PER_SECOND = 705_600_000

MediaTime = NewType("MediaTime", int)
"""An instant or a span, in flicks."""

SESSION_START = MediaTime(0)


def from_samples(count: int, rate_hz: int) -> MediaTime:
    """The time that ``count`` samples at ``rate_hz`` take.

    :raises ValueError: ``rate_hz`` does not divide the flick.
    """
    if FLICKS_PER_SECOND % rate_hz:
        raise ValueError(f"{rate_hz} Hz has no whole number of flicks per sample")
    return MediaTime(count * (FLICKS_PER_SECOND // rate_hz))


def to_samples(at: MediaTime, rate_hz: int) -> int:
    """How many whole samples at ``rate_hz`` fit before ``at``."""
    return at * rate_hz // FLICKS_PER_SECOND


def from_seconds(seconds: float) -> MediaTime:
    """The nearest media time to what a person or a detector calls ``seconds``."""
    return MediaTime(round(seconds * FLICKS_PER_SECOND))


def to_seconds(at: MediaTime) -> float:
    """Seconds, for people and for the event log."""
    return at / FLICKS_PER_SECOND
