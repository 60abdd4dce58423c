"""From the passages of a take to its summary.

:class:`TakeStatistics` is what is kept of the passages that are closed: histograms, running sums
and short lists, so that its size does not grow with the take. :func:`summarise_take` reads them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median, median_low
from typing import TypeVar

from ..hearing import Instrument
from .figure import Figure
from .passage import Excess, Hole, Passage, Stop, Stray
from .pitch import find_key, pitch_name, spread_of, tuning_of, weighted_median
from .places import place_of_instant
from .summary import (
    DynamicsShape,
    ForeignNote,
    Hesitation,
    LoudNote,
    MissedNotes,
    PitchClassIntonation,
    TakeSummary,
    TempoPoint,
)

__all__ = ["TakeStatistics", "summarise_take"]

CLEAR_KEY = 0.45
MOST_PLACES = 24  # of one kind that are kept: a coach speaks of one or two
MOST_POINTS = 240  # of a curve
MOST_FITTED = 60  # of them that a line is laid through
FEWEST_TUNED = 4
FEWEST_PAIRS = 4
FEWEST_REPEATED = 8
FEWEST_COMPARED = 3
KEYS_STRAY_CENTS = 12.0
A4_MIDI = 69
SHORTEST_RAMP = 8.0  # a shorter change of tempo is a gesture, not a drift (s)
COUNTED_TOO = (0.33, 0.5, 0.67, 1.5, 2.0, 3.0)  # nobody counts four beats for three
LEAST_ALTERNATIVE = 0.12  # what is less likely is not worth saying
SLOWER_TO_PRACTISE = 0.8  # of the measured tempo

_Found = TypeVar("_Found", Stop, Hole, Stray, Excess)


class TakeStatistics:
    """What is known of a take, passage by passage. Its size is bounded."""

    def __init__(self) -> None:
        self.start = math.inf
        self.end = -math.inf
        self.notes = 0
        self.tempo: list[tuple[float, float]] = []
        self.periods: list[tuple[float, float]] = []
        self.counted: dict[float, float] = {}
        self.pulse_confidence = 0.0
        self.jitters: list[tuple[float, float]] = []
        self.slowing: tuple[float, float, float] | None = None
        self.shares: list[float] = []
        self.ragged: list[tuple[float, float]] = []
        self.unsteady: list[tuple[float, float]] = []
        self.articulation: list[float] = []
        self.stops: list[Stop] = []
        self.holes: list[Hole] = []
        self.strays: list[Stray] = []
        self.loud: list[Excess] = []
        self.stop_count = self.hole_count = self.stray_count = self.tries = 0
        self.durations: dict[int, float] = {}
        self.tuned: dict[int, float] = {}
        self.tuned_count: dict[int, int] = {}
        self.repeated = self.repeated_alike = 0
        self.balance: list[float] = []
        self.levels: list[tuple[float, float]] = []

    def copy(self) -> TakeStatistics:
        """One that can absorb more without changing this one."""
        made = TakeStatistics()
        for name, value in vars(self).items():
            if isinstance(value, list):
                value = list(value)
            elif isinstance(value, dict):
                value = dict(value)
            setattr(made, name, value)
        return made

    def absorb(self, passage: Passage) -> None:
        """Take in what a passage, later than all before it, holds."""
        self.start = min(self.start, passage.start)
        self.end = max(self.end, passage.end)
        self.notes += passage.notes
        self.tempo = _thinned([*self.tempo, *passage.tempo])
        if passage.period is not None:
            self.periods.append((passage.period, passage.pulse_beats))
            self.periods = self.periods[-MOST_POINTS:]
            for level in passage.counted:
                times_slower = round(level.period / passage.period, 2)
                belief = level.probability * passage.pulse_beats
                self.counted[times_slower] = self.counted.get(times_slower, 0.0) + belief
            self.pulse_confidence = max(self.pulse_confidence, passage.pulse_confidence)
            if passage.jitter:
                self.jitters.append((passage.jitter, passage.pulse_beats))
                self.jitters = self.jitters[-MOST_POINTS:]
        self.slowing = None
        if passage.slowing is not None:
            begin = passage.slowed_from if passage.slowed_from is not None else passage.end
            self.slowing = (passage.slowing, begin, passage.end)
        self.shares = [*self.shares, *passage.shares][-2 * MOST_POINTS :]
        if passage.ragged is not None:
            self.ragged.append((passage.ragged, passage.pulse_beats))
            self.ragged = self.ragged[-MOST_POINTS:]
        if passage.unsteady is not None:
            self.unsteady.append((passage.unsteady, passage.pulse_beats))
            self.unsteady = self.unsteady[-MOST_POINTS:]
        self.articulation = [*self.articulation, *passage.articulation][-4 * MOST_POINTS :]
        self.stop_count += len(passage.stops)
        self.tries += sum(stop.went_back for stop in passage.stops)
        self.hole_count += sum(hole.count for hole in passage.holes)
        self.stray_count += len(passage.strays)
        self.stops = _worst([*self.stops, *passage.stops], lambda each: each.gap)
        self.holes = _worst([*self.holes, *passage.holes], lambda each: each.confidence)
        self.strays = _worst([*self.strays, *passage.strays], lambda each: each.confidence)
        self.loud = _worst([*self.loud, *passage.loud], lambda each: each.excess)
        for pitch_class, weight in passage.durations.items():
            self.durations[pitch_class] = self.durations.get(pitch_class, 0.0) + weight
        for cents, weight in passage.tuned.items():
            self.tuned[cents] = self.tuned.get(cents, 0.0) + weight
        for cents, count in passage.tuned_count.items():
            self.tuned_count[cents] = self.tuned_count.get(cents, 0) + count
        self.repeated += passage.repeated
        self.repeated_alike += passage.repeated_alike
        self.balance = [*self.balance, *passage.balance][-2 * MOST_POINTS :]
        self.levels = _thinned([*self.levels, *passage.levels])


def _worst(found: Sequence[_Found], badness: Callable[[_Found], float]) -> list[_Found]:
    kept = sorted(found, key=badness, reverse=True)[:MOST_PLACES]
    return sorted(kept, key=lambda each: each.at)


def _thinned(
    points: list[tuple[float, float]], most: int = MOST_POINTS
) -> list[tuple[float, float]]:
    """At most ``most``: neighbours become their mean, so the whole take stays covered."""
    while len(points) > most:
        points = [
            (
                fmean(at for at, _ in points[i : i + 2]),
                fmean(value for _, value in points[i : i + 2]),
            )
            for i in range(0, len(points), 2)
        ]
    return points


def summarise_take(
    known: TakeStatistics, *, number: int, running: bool, instrument: Instrument | None = None
) -> TakeSummary:
    """The figures of a take. Those that could not be measured are ``None``."""
    start, end = known.start, known.end

    def figure(
        value: float,
        unit: str,
        confidence: float,
        begin: float | None = None,
        finish: float | None = None,
    ) -> Figure:
        return Figure(
            value=value,
            unit=unit,
            confidence=max(0.0, min(1.0, confidence)),
            start=start if begin is None else begin,
            end=end if finish is None else finish,
        )

    def since(at: float) -> Figure:
        return figure(max(0.0, at - start), "s", 0.9, at, at)

    def place(at: float) -> str:
        return place_of_instant(at, start, end)

    measured: dict[str, Figure] = {}
    _tempo(known, figure, measured)
    _rhythm(known, figure, measured)
    pitch_classes = _intonation(known, figure, measured)
    instrument, fixed = _played_on(known, instrument, measured)
    shape = _dynamics(known, figure, measured)
    key = find_key(known.durations)
    if key is not None and key.clarity < CLEAR_KEY:
        key = None
    if known.tries:
        measured["repeated_tries"] = figure(known.tries, "count", 0.7)
    for name, count in (
        ("hesitation_count", known.stop_count),
        ("missed_count", known.hole_count),
        ("foreign_count", known.stray_count),
    ):
        if count:
            measured[name] = figure(count, "count", 0.8)
    return TakeSummary(
        number=number,
        start=start,
        end=end,
        running=running,
        instrument=instrument,
        fixed_pitch=fixed,
        key=key.name if key is not None else None,
        note_count=figure(known.notes, "count", 0.9),
        duration=figure(end - start, "s", 1.0),
        dynamics_shape=shape,
        pitch_classes=pitch_classes,
        hesitations=tuple(
            Hesitation(
                at=stop.at,
                gap=figure(stop.gap, "s", stop.confidence, stop.at, stop.at + stop.gap),
                place=place(stop.at),
                since_start=since(stop.at),
                went_back=stop.went_back,
            )
            for stop in known.stops
        ),
        missed=tuple(
            MissedNotes(
                at=hole.at,
                count=hole.count,
                place=place(hole.at),
                confidence=hole.confidence,
                since_start=since(hole.at),
            )
            for hole in known.holes
        ),
        foreign=tuple(
            ForeignNote(
                at=stray.at,
                midi=stray.midi,
                name=pitch_name(stray.midi, key),
                place=place(stray.at),
                confidence=stray.confidence,
                since_start=since(stray.at),
                differs=stray.differs,
            )
            for stray in known.strays
        ),
        loud=tuple(
            LoudNote(
                at=each.at,
                midi=each.midi,
                excess=figure(each.excess, "db", 0.7, each.at, each.at),
                place=place(each.at),
            )
            for each in known.loud
        ),
        tempo_curve=tuple(TempoPoint(at=at, tempo_bpm=bpm) for at, bpm in known.tempo),
        **measured,
    )


_MakeFigure = Callable[..., Figure]


# --- tempo --------------------------------------------------------------------


def _tempo(known: TakeStatistics, figure: _MakeFigure, measured: dict[str, Figure]) -> None:
    beats = sum(weight for _, weight in known.periods)
    if beats < 6:
        return
    sure = known.pulse_confidence * min(1.0, beats / 10)
    if known.tempo:
        tempo = median(bpm for _, bpm in known.tempo)
    else:
        tempo = 60 / weighted_median(known.periods)
    measured["tempo_bpm"] = figure(tempo, "bpm", sure)
    other = max(
        ((belief, slower) for slower, belief in known.counted.items() if slower in COUNTED_TOO),
        default=(0.0, 1.0),
    )
    belief, slower = other[0] / max(sum(known.counted.values()), 1e-9), other[1]
    if belief >= LEAST_ALTERNATIVE:
        measured["alternative_bpm"] = figure(tempo / slower, "bpm", sure * belief)
    measured["practice_tempo_bpm"] = figure(
        max(40.0, 2.0 * round(tempo * SLOWER_TO_PRACTISE / 2)), "bpm", sure
    )
    last = known.end
    if known.slowing is not None:
        slowing, begin, finish = known.slowing
        measured["ending_slowing"] = figure(slowing, "percent", sure, begin, finish)
        if slowing > 7:
            last = begin
    if known.unsteady:
        stray = weighted_median(known.unsteady)
        measured["tempo_unsteadiness"] = figure(100 * stray, "percent", sure)
    points = known.tempo
    if len(points) < 3 or last - known.start < 6:
        return
    ramp = _ramp(_thinned(points, MOST_FITTED), known.start, last)
    first_bpm, last_bpm, begin, finish, stray = ramp
    # neighbouring points share three quarters of their windows
    error = max(stray, 0.006) / math.sqrt(max(1.0, min(len(points), MOST_FITTED) / 4))
    drift = last_bpm / first_bpm - 1
    sure *= min(1.0, max(0.0, abs(drift) / (3 * error + 0.02))) if drift else 1.0
    measured["tempo_start_bpm"] = figure(first_bpm, "bpm", sure, known.start, begin)
    measured["tempo_end_bpm"] = figure(last_bpm, "bpm", sure, finish, last)
    measured["tempo_drift"] = figure(100 * drift, "percent", sure, begin, finish)
    measured["drift_duration"] = figure(finish - begin, "s", sure, begin, finish)


def _ramp(
    points: Sequence[tuple[float, float]], start: float, end: float
) -> tuple[float, float, float, float, float]:
    """Level, then a ramp, then level: the best such line through the logarithm of the tempo.

    Gives the tempo before and after, the ramp's begin and finish, and the relative spread around
    it. The whole take is preferred as the ramp unless a part explains the points much better.
    """
    length = end - start
    places = [min(1.0, max(0.0, (at - start) / length)) for at, _ in points]
    tempos = [math.log(bpm) for _, bpm in points]
    count = len(points)
    mean_y = fmean(tempos)
    best: tuple[float, float, float, float, float, float] | None = None
    for low, high in _RAMPS:
        if high - low < 1 and (high - low) * length < SHORTEST_RAMP:
            continue
        clipped = [min(high, max(low, place)) for place in places]
        mean_x = fmean(clipped)
        xx = sum((x - mean_x) ** 2 for x in clipped)
        if xx < 1e-9:
            continue
        slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(clipped, tempos, strict=True)) / xx
        stray = sum(
            (y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(clipped, tempos, strict=True)
        )
        cost = (stray + count * 1e-5) * (1.0 if high - low == 1 else 1.4)
        if best is None or cost < best[0]:
            begin = mean_y + slope * (low - mean_x)
            finish = mean_y + slope * (high - mean_x)
            best = (cost, begin, finish, low, high, math.sqrt(stray / count))
    if best is None:
        return math.exp(mean_y), math.exp(mean_y), start, end, 0.0
    _, begin, finish, low, high, spread = best
    return (
        math.exp(begin),
        math.exp(finish),
        start + low * length,
        start + high * length,
        spread,
    )


_RAMPS = (
    (0.0, 1.0),
    (0.25, 1.0),
    (0.4, 1.0),
    (0.5, 1.0),
    (0.6, 1.0),
    (0.75, 1.0),
    (0.0, 0.5),
    (0.0, 0.75),
    (0.25, 0.75),
)


# --- rhythm, articulation -------------------------------------------------------


def _rhythm(known: TakeStatistics, figure: _MakeFigure, measured: dict[str, Figure]) -> None:
    sure = known.pulse_confidence
    if known.jitters:
        measured["rhythm_deviation"] = figure(weighted_median(known.jitters), "s", sure)
    if known.ragged:
        total = sum(weight for _, weight in known.ragged)
        share = sum(value * weight for value, weight in known.ragged) / total
        measured["rhythm_raggedness"] = figure(100 * share, "percent", sure)
    if len(known.shares) >= FEWEST_PAIRS:
        # robust: a pair that a detector's slip has spoilt must not count
        middle = median_low(known.shares)
        kept = [share for share in known.shares if abs(share - middle) < 0.1]
        share = fmean(kept)
        spread = math.sqrt(fmean((each - share) ** 2 for each in kept)) if len(kept) > 1 else 0.1
        error = max(spread, 0.02) / math.sqrt(len(kept))
        agreement = len(kept) / len(known.shares)
        sure_of_pairs = sure * agreement * min(1.0, 0.03 / error)
        measured["long_share"] = figure(100 * share, "percent", sure_of_pairs)
        ratio = max(share, 1 - share) / min(share, 1 - share)
        measured["long_short_ratio"] = figure(ratio, "ratio", sure_of_pairs)
    if len(known.articulation) >= 6:
        middle = median(known.articulation)
        measured["articulation"] = figure(middle, "ratio", sure)
        spread = 1.4826 * median(abs(each - middle) for each in known.articulation)
        measured["articulation_spread"] = figure(spread, "ratio", sure)


# --- intonation -----------------------------------------------------------------


def _intonation(
    known: TakeStatistics, figure: _MakeFigure, measured: dict[str, Figure]
) -> tuple[PitchClassIntonation, ...]:
    count = sum(known.tuned_count.values())
    if count < FEWEST_TUNED:
        return ()
    key = find_key(known.durations)
    tuning = tuning_of([(cents % 100, weight) for cents, weight in known.tuned.items()])
    tuning = (tuning + 50) % 100 - 50
    by_class: dict[int, list[tuple[float, float]]] = {}
    counts: dict[int, int] = {}
    for cents, weight in known.tuned.items():
        over = cents - tuning
        pitch_class = round(over / 100)
        away = over - 100 * pitch_class
        other = pitch_class + (1 if away > 0 else -1)
        if abs(away) > 25 and key is not None:
            # half way between two: the one of the key is meant
            scale = key.scale
            if pitch_class % 12 not in scale and other % 12 in scale:
                away += 100 * (pitch_class - other)
                pitch_class = other
        pitch_class %= 12
        by_class.setdefault(pitch_class, []).append((away, weight))
        counts[pitch_class] = counts.get(pitch_class, 0) + known.tuned_count[cents]
    centres = {pc: weighted_median(values) for pc, values in by_class.items()}
    # the notes' own centre is that of most pitch classes, so that one bad one cannot move it
    spread = spread_of(
        [
            (away - centres[pc], weight)
            for pc, values in by_class.items()
            for away, weight in values
            if counts[pc] >= 2
        ]
        or [(0.0, 1.0)],
        0.0,
    )
    sure = min(1.0, count / 8) * min(1.0, 12 / max(spread, 1.0))
    measured["intonation"] = figure(tuning, "cents", sure)
    measured["intonation_spread"] = figure(spread, "cents", min(1.0, count / 12))
    measured["tuning_hz"] = figure(440 * 2 ** (tuning / 1200), "hz", sure)
    found: list[PitchClassIntonation] = []
    for pitch_class, values in sorted(by_class.items()):
        if counts[pitch_class] < 2:
            continue
        own = spread_of(values, centres[pitch_class])
        error = max(own, 4.0) / math.sqrt(counts[pitch_class])
        found.append(
            PitchClassIntonation(
                pitch_class=pitch_class,
                name=pitch_name(pitch_class, key),
                deviation=figure(
                    centres[pitch_class], "cents", min(1.0, 5 / error) * min(1.0, 15 / max(own, 1))
                ),
                count=counts[pitch_class],
            )
        )
    return tuple(found)


def _is_fixed(known: TakeStatistics) -> bool | None:
    """Do keys or frets make the pitch? ``None``: too few notes were repeated to tell."""
    if known.repeated < FEWEST_REPEATED:
        return None
    return 2 * known.repeated_alike > known.repeated


def _played_on(
    known: TakeStatistics, instrument: Instrument | None, measured: Mapping[str, Figure]
) -> tuple[Instrument | None, bool | None]:
    """The instrument, and whether its pitch is fixed.

    The pitches are the better witness: an instrument that cannot have made them was misheard.
    """
    fixed = _is_fixed(known)
    expected = None if instrument is None else instrument.has_fixed_pitch
    if expected is None:
        return instrument, fixed
    misheard = expected is not fixed if fixed is not None else _belies(known, expected, measured)
    return (None, fixed) if misheard else (instrument, expected)


def _belies(known: TakeStatistics, fixed: bool, measured: Mapping[str, Figure]) -> bool:
    """Do the few pitches that there are speak against a ``fixed`` pitch, or for one?"""
    compared = known.repeated >= FEWEST_COMPARED
    if not fixed:
        return compared and known.repeated_alike == known.repeated
    tuning, spread = measured.get("intonation"), measured.get("intonation_spread")
    if tuning is not None and abs(tuning.value) > KEYS_STRAY_CENTS:
        return True
    if spread is not None and spread.value > KEYS_STRAY_CENTS:
        return True
    return compared and known.repeated_alike == 0


# --- dynamics -------------------------------------------------------------------


def _dynamics(
    known: TakeStatistics, figure: _MakeFigure, measured: dict[str, Figure]
) -> DynamicsShape | None:
    if len(known.balance) >= 6:
        measured["balance"] = figure(median(known.balance), "db", 0.6)
    if len(known.levels) < 8:
        return None
    levels = [level for _, level in known.levels]
    ordered = sorted(levels)
    soft, loud = ordered[len(ordered) // 10], ordered[(9 * len(ordered)) // 10]
    measured["dynamics_range"] = figure(loud - soft, "db", min(1.0, len(levels) / 15))
    third = len(levels) // 3
    first, middle, last = (
        fmean(levels[:third]),
        fmean(levels[third:-third]),
        fmean(levels[-third:]),
    )
    if middle - max(first, last) > 1.5:
        return "arch"
    if last - first > 3:
        return "rising"
    if first - last > 3:
        return "falling"
    return "level"
