"""What the music analysis reports, one fact at a time. Instants are in seconds of media time."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Beat", "Level", "MusicEvent", "Onset", "PerformedNote"]


@frozen(kw_only=True)
class PerformedNote:
    """One note as it was played.

    ``f0_hz`` and ``deviation_cents`` (signed, sharp positive, against equal temperament at the
    session's ``a4_hz``) are absent where intonation cannot be measured: chords, and the piano's
    notes found by transcription. ``loudness_db`` is dBFS over the sounding part; ``confidence``
    is 0 to 1.
    """

    onset: float
    duration: float
    midi: int
    f0_hz: float | None = None
    deviation_cents: float | None = None
    loudness_db: float = -30.0
    confidence: float = 1.0

    @property
    def offset(self) -> float:
        return self.onset + self.duration


@frozen(kw_only=True)
class Onset:
    """Something was struck, bowed, blown or sung at ``at``, whatever its pitch."""

    at: float
    strength: float
    loudness_db: float


@frozen(kw_only=True)
class Beat:
    """The pulse. ``confidence`` 0 to 1."""

    at: float
    confidence: float = 1.0


@frozen(kw_only=True)
class Level:
    """The sound level of the music, dBFS (RMS) over the 100 ms from ``at``."""

    at: float
    level_db: float


MusicEvent = PerformedNote | Onset | Beat | Level
