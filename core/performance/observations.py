"""Observations: what is worth saying about a performance, ranked, with the facts behind it."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from attrs import field, frozen

from .figure import Figure

__all__ = ["Figure", "Observation", "ObservationKind"]


class ObservationKind(enum.StrEnum):
    """Faults first, virtues after. What would need the printed music is not here."""

    RUSHING = "rushing"
    DRAGGING = "dragging"
    UNSTEADY_TEMPO = "unsteady_tempo"
    UNEVEN_RHYTHM = "uneven_rhythm"
    HESITATION = "hesitation"
    MISSED_NOTES = "missed_notes"
    WRONG_NOTES = "wrong_notes"
    REPEATED_TRIES = "repeated_tries"
    SHARP = "sharp"
    FLAT = "flat"
    NOTE_OUT_OF_TUNE = "note_out_of_tune"
    UNSTABLE_PITCH = "unstable_pitch"
    CHOPPY = "choppy"
    UNEVEN_ARTICULATION = "uneven_articulation"
    BLURRED = "blurred"
    FLAT_DYNAMICS = "flat_dynamics"
    STICKING_OUT = "sticking_out"
    LOW_VOICE_TOO_LOUD = "low_voice_too_loud"
    FADING_ENDING = "fading_ending"

    STEADY_TEMPO = "steady_tempo"
    EVEN_RHYTHM = "even_rhythm"
    FLUENT = "fluent"
    IN_TUNE = "in_tune"
    LEGATO = "legato"
    SHAPED_DYNAMICS = "shaped_dynamics"
    GOOD_BALANCE = "good_balance"
    SHAPED_ENDING = "shaped_ending"
    IMPROVED = "improved"
    PERSEVERED = "persevered"

    @property
    def is_praise(self) -> bool:
        return self in _PRAISE


_PRAISE = frozenset(
    {
        ObservationKind.STEADY_TEMPO,
        ObservationKind.EVEN_RHYTHM,
        ObservationKind.FLUENT,
        ObservationKind.IN_TUNE,
        ObservationKind.LEGATO,
        ObservationKind.SHAPED_DYNAMICS,
        ObservationKind.GOOD_BALANCE,
        ObservationKind.SHAPED_ENDING,
        ObservationKind.IMPROVED,
        ObservationKind.PERSEVERED,
    }
)


@frozen(kw_only=True)
class Observation:
    """One thing worth saying.

    ``salience`` ranks it (0 to 1, faults and praise each on their own scale). ``start`` and ``end``
    are seconds of session media time. ``place`` is the same in words a person can follow ("in the
    second half", "towards the end", "before the third phrase"). ``facts`` are named figures, e.g.
    ``tempo_start_bpm``, ``tempo_end_bpm``, ``deviation_cents``, ``gap``; ``names`` are named words,
    e.g. ``note`` -> "F sharp". ``text`` is one plain sentence of fact.
    """

    kind: ObservationKind
    take: int
    start: float
    end: float
    place: str
    salience: float
    text: str
    facts: Mapping[str, Figure] = field(factory=dict)
    names: Mapping[str, str] = field(factory=dict)
