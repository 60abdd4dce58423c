"""The performance summary: every figure with its confidence and its time span.

Conventions: instants are seconds of session media time. A figure that could not be measured is
``None`` here and absent in :meth:`PerformanceSummary.to_dict`; it is never zero. Lists of places
(hesitations and the like) hold the most telling ones of a long take, in order of time.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import field, fields, frozen

from ..hearing import Instrument
from .figure import Figure, NamedFigure

__all__ = [
    "DynamicsShape",
    "ForeignNote",
    "Hesitation",
    "LoudNote",
    "MissedNotes",
    "PerformanceSummary",
    "PitchClassIntonation",
    "TakeSummary",
    "TempoPoint",
]

DynamicsShape = str
"""How the level goes through a take: ``level``, ``rising``, ``falling`` or ``arch``."""


@frozen(kw_only=True)
class TempoPoint:
    """The tempo around ``at``, measured over some eight beats. For drawing."""

    at: float
    tempo_bpm: float


@frozen(kw_only=True)
class PitchClassIntonation:
    """How all notes of one name were tuned, against the take's own overall tuning.

    ``pitch_class`` is 0 for C to 11 for B, ``name`` the same as it is spoken ("F sharp").
    ``deviation`` is in cents, sharp positive, relative to the take's overall deviation.
    """

    pitch_class: int
    name: str
    deviation: Figure
    count: int


@frozen(kw_only=True)
class Hesitation:
    """The pulse stood still at ``at`` for ``gap`` (s) more than the music's own pace explains.

    ``since_start`` is from the take's start. ``went_back`` says that what follows repeats what came
    just before: another try.
    """

    at: float
    gap: Figure
    place: str
    since_start: Figure
    went_back: bool = False


@frozen(kw_only=True)
class MissedNotes:
    """The beat went on at ``at``, but ``count`` notes that the piece's pattern asks for are not
    there. ``since_start`` is from the take's start."""

    at: float
    count: int
    place: str
    confidence: float
    since_start: Figure


@frozen(kw_only=True)
class ForeignNote:
    """A note that doesn't fit: foreign to the key the rest is in, or (``differs``) not the note
    that the same place had when the same line was played another time. ``since_start`` is from
    the take's start."""

    at: float
    midi: int
    name: str
    place: str
    confidence: float
    since_start: Figure
    differs: bool = False


@frozen(kw_only=True)
class LoudNote:
    """A note that sticks out by ``excess`` (dB) over its neighbours."""

    at: float
    midi: int
    excess: Figure
    place: str


@frozen(kw_only=True)
class TakeSummary:
    """One take: the playing between two rests.

    ``tempo_bpm`` is that of the beat that a musician would count; its confidence is that of the
    pulse. Where another beat (mostly twice or half as slow) could be counted as well, its tempo is
    ``alternative_bpm``, whose confidence says how likely it is that one: it is absent where there
    is no doubt. Nothing in the sound of even notes tells which of the two is written.
    ``tempo_drift`` is how much faster (percent, positive) the end is than the start, the slowing of
    the ending taken off, and ``drift_duration`` how long (s) the change took: its span says when.
    ``tempo_unsteadiness`` (percent) is how far the tempo strays around that drift, and
    ``ending_slowing`` how much slower the last notes are. ``rhythm_deviation`` is the spread (s) of
    the onsets against the beat grid, ``rhythm_raggedness`` the percentage of notes that fit no
    place on it; ``long_share`` is the percentage that the first of two neighbouring short notes has
    of their time, 50 when even, and ``long_short_ratio`` the longer over the shorter.
    ``articulation`` is sounding time over inter-onset time. ``intonation`` is the overall
    deviation, ``intonation_spread`` the spread of single notes around their own pitch class.
    ``instrument`` is what it was played on, where only one was heard, and that is known for sure.
    ``fixed_pitch`` says whether keys or frets make the pitch: by the pitches, and where they are
    too few, by the instrument; ``None`` is not known. ``tuning_hz``
    is where the take's A4 lies. ``dynamics_range`` is between the soft and the loud passages;
    ``balance`` how much louder the low voice is than the high one. ``practice_tempo_bpm`` is a
    slower tempo to practise at, derived from the measured one.
    """

    number: int
    start: float
    end: float
    running: bool = False
    instrument: Instrument | None = None
    fixed_pitch: bool | None = None
    key: str | None = None
    note_count: Figure
    duration: Figure
    tempo_bpm: Figure | None = None
    alternative_bpm: Figure | None = None
    tempo_start_bpm: Figure | None = None
    tempo_end_bpm: Figure | None = None
    tempo_drift: Figure | None = None
    drift_duration: Figure | None = None
    tempo_unsteadiness: Figure | None = None
    ending_slowing: Figure | None = None
    practice_tempo_bpm: Figure | None = None
    rhythm_deviation: Figure | None = None
    rhythm_raggedness: Figure | None = None
    long_share: Figure | None = None
    long_short_ratio: Figure | None = None
    articulation: Figure | None = None
    articulation_spread: Figure | None = None
    intonation: Figure | None = None
    intonation_spread: Figure | None = None
    tuning_hz: Figure | None = None
    dynamics_range: Figure | None = None
    dynamics_shape: DynamicsShape | None = None
    balance: Figure | None = None
    hesitation_count: Figure | None = None
    missed_count: Figure | None = None
    foreign_count: Figure | None = None
    repeated_tries: Figure | None = None
    pitch_classes: tuple[PitchClassIntonation, ...] = ()
    hesitations: tuple[Hesitation, ...] = ()
    missed: tuple[MissedNotes, ...] = ()
    foreign: tuple[ForeignNote, ...] = ()
    loud: tuple[LoudNote, ...] = ()
    tempo_curve: tuple[TempoPoint, ...] = ()

    def figures(self) -> Iterator[Figure]:
        """Every figure it holds."""
        return (named.figure for named in self.named_figures())

    def named_figures(self) -> Iterator[NamedFigure]:
        """Every figure it holds, with its name."""

        def named(figure: Figure, name: str, detail: str = "") -> NamedFigure:
            return NamedFigure(figure=figure, name=name, detail=detail, take=self.number)

        for attribute in fields(TakeSummary):
            value = getattr(self, attribute.name)
            if isinstance(value, Figure):
                yield named(value, attribute.name)
        for note in self.pitch_classes:
            yield named(note.deviation, "pitch_class", note.name)
        for stop in self.hesitations:
            yield named(stop.since_start, "hesitation_at", stop.place)
        for gap in self.missed:
            yield named(gap.since_start, "missed_at", gap.place)
        for foreign in self.foreign:
            yield named(foreign.since_start, "foreign_at", foreign.place)
        for stop in self.hesitations:
            yield named(stop.gap, "hesitation_gap", stop.place)
        for loud in self.loud:
            yield named(loud.excess, "loud_excess", loud.place)

    def to_dict(self) -> dict[str, object]:
        """JSON-able; what was not measured is left out, and so is the tempo curve."""
        made: dict[str, object] = {}
        for attribute in fields(TakeSummary):
            value = getattr(self, attribute.name)
            if isinstance(value, Figure):
                made[attribute.name] = _figure_to_dict(value)
            elif isinstance(value, (str, int)) or attribute.name == "number":
                made[attribute.name] = value
            elif isinstance(value, float):
                made[attribute.name] = round(value, 3)
        places: dict[str, list[dict[str, object]]] = {
            "pitch_classes": [
                {"name": each.name, "count": each.count, **_figure_to_dict(each.deviation)}
                for each in self.pitch_classes
            ],
            "hesitations": [
                {
                    "at": round(each.at, 3),
                    "place": each.place,
                    "went_back": each.went_back,
                    "gap": _figure_to_dict(each.gap),
                }
                for each in self.hesitations
            ],
            "missed": [
                {
                    "at": round(each.at, 3),
                    "place": each.place,
                    "count": each.count,
                    "confidence": round(each.confidence, 2),
                }
                for each in self.missed
            ],
            "foreign": [
                {
                    "at": round(each.at, 3),
                    "place": each.place,
                    "name": each.name,
                    "midi": each.midi,
                    "differs": each.differs,
                    "confidence": round(each.confidence, 2),
                }
                for each in self.foreign
            ],
            "loud": [
                {
                    "at": round(each.at, 3),
                    "place": each.place,
                    "midi": each.midi,
                    "excess": _figure_to_dict(each.excess),
                }
                for each in self.loud
            ],
        }
        made.update({name: listed for name, listed in places.items() if listed})
        return made


@frozen(kw_only=True)
class PerformanceSummary:
    """Everything measured since the session began (or since it was last cleared).

    ``playing_time`` (s) and ``note_count`` are over all takes. ``takes`` are in order of time; the
    last one may still be running.
    """

    takes: tuple[TakeSummary, ...] = ()
    playing_time: Figure | None = None
    note_count: Figure | None = None
    take_count: Figure | None = field(default=None)

    @property
    def is_empty(self) -> bool:
        """Nothing was played yet."""
        return not self.takes

    def figures(self) -> tuple[Figure, ...]:
        """Every figure it holds, for the number checker."""
        return tuple(named.figure for named in self.named_figures())

    def named_figures(self) -> tuple[NamedFigure, ...]:
        """Every figure it holds, with its name."""
        own = {
            "playing_time": self.playing_time,
            "note_count": self.note_count,
            "take_count": self.take_count,
        }
        return (
            *(NamedFigure(figure=each, name=name) for name, each in own.items() if each),
            *(each for take in self.takes for each in take.named_figures()),
        )

    def to_dict(self) -> dict[str, object]:
        """JSON-able, compact: every figure with unit, confidence and span; absent ones left out."""
        made: dict[str, object] = {"takes": [take.to_dict() for take in self.takes]}
        for name in ("playing_time", "note_count", "take_count"):
            value = getattr(self, name)
            if value is not None:
                made[name] = _figure_to_dict(value)
        return made


def _figure_to_dict(figure: Figure) -> dict[str, object]:
    return {
        "value": round(figure.value, 2),
        "unit": figure.unit,
        "confidence": round(figure.confidence, 2),
        "span": [round(figure.start, 2), round(figure.end, 2)],
    }
