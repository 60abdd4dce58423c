"""What one passage (a stretch of a take, some two minutes at most) holds.

A passage is analysed whole, once it is closed, and the result is kept; so an hour-long take costs
no more at each question than its last passage does. Everything here is a pure function of the
events. Instants are seconds of session media time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean, median

from attrs import evolve, field, frozen

from .notes import PerformedNote
from .pitch import Key, find_key, foreignness
from .rhythm import Fit, Pulse, follow_pulse, tempo_points, unsteadiness

__all__ = ["Excess", "Hole", "Passage", "Stop", "Stray", "analyse_passage"]

TOGETHER = 0.04  # notes struck within this are one onset (s)
FAINT = 0.45  # notes less sure than this are not judged
SHORT_FOR_PITCH = 0.12  # shorter notes tell little about intonation (s)
DROP_DB = 9.0  # a level this far below a note's own is not that note any more
STICKS_OUT_DB = 7.5


@frozen(kw_only=True)
class Stop:
    """The pulse stood still from ``at`` on, for ``gap`` seconds."""

    at: float
    gap: float
    confidence: float
    went_back: bool


@frozen(kw_only=True)
class Hole:
    """``count`` notes are expected at ``at`` and the beat goes on without them."""

    at: float
    count: int
    confidence: float


@frozen(kw_only=True)
class Stray:
    """A note that doesn't belong to the key."""

    at: float
    midi: int
    confidence: float


@frozen(kw_only=True)
class Excess:
    """A note louder by ``excess`` (dB) than its neighbours."""

    at: float
    midi: int
    excess: float


@frozen(kw_only=True)
class Passage:
    """What was found. Fields are empty or ``None`` where there was too little to measure.

    ``shares`` are the first note's share of each pair of short notes; ``tuned`` is a histogram of
    the pitches heard, cents above C modulo the octave (rounded) to weight, and ``tuned_count`` how
    many notes are in it; ``levels`` are (instant, dBFS) about every second while it sounded.
    """

    start: float
    end: float
    notes: int
    sounding: float
    period: float | None = None
    pulse_confidence: float = 0.0
    pulse_beats: float = 0.0
    jitter: float | None = None
    tempo: tuple[tuple[float, float], ...] = ()
    slowing: float | None = None
    slowed_from: float | None = None
    shares: tuple[float, ...] = ()
    ragged: float | None = None
    unsteady: float | None = None
    stops: tuple[Stop, ...] = ()
    holes: tuple[Hole, ...] = ()
    strays: tuple[Stray, ...] = ()
    loud: tuple[Excess, ...] = ()
    articulation: tuple[float, ...] = ()
    durations: Mapping[int, float] = field(factory=dict)
    tuned: Mapping[int, float] = field(factory=dict)
    tuned_count: Mapping[int, int] = field(factory=dict)
    balance: tuple[float, ...] = ()
    levels: tuple[tuple[float, float], ...] = ()


@frozen
class _Struck:
    """What was struck together."""

    at: float
    end: float
    notes: tuple[PerformedNote, ...]


def analyse_passage(
    notes: Sequence[PerformedNote],
    onsets: Sequence[float],
    beats: Sequence[float],
    levels: Sequence[tuple[float, float]],
    *,
    following: PerformedNote | None = None,
    hint: float | None = None,
    last: bool = True,
) -> Passage:
    """Analyse ``notes`` (by onset), with the detected ``onsets``, ``beats`` and ``levels``.

    ``following`` is the first note of the next passage, so that nothing between them is lost;
    ``hint`` the beat's period in the passage before; ``last`` says that this may be the take's end.
    """
    start = notes[0].onset if notes else onsets[0]
    struck = _strike([*notes, following] if following is not None else notes)
    end = max((note.offset for note in notes), default=onsets[-1] if onsets else start)
    times = [each.at for each in struck]
    ends = [each.end for each in struck]
    from_notes = len(struck) >= 0.5 * len(onsets)
    if not from_notes:  # chords or noise: what was struck is known better than what it was
        times, ends = list(onsets), [*onsets[1:], onsets[-1] + 0.2]
    pulse = follow_pulse(times, ends, beats, hint)
    weights: dict[int, float] = {}
    for note in notes:
        weights[note.midi % 12] = weights.get(note.midi % 12, 0.0) + note.duration * note.confidence
    tuned, tuned_count = _tuned(notes)
    key = find_key(weights)
    polyphonic = sum(len(each.notes) > 1 for each in struck) > 0.3 * len(struck)
    level_of = _levels_by_second(levels)
    passage = Passage(
        start=start,
        end=end,
        notes=len(notes) if from_notes or notes else len(onsets),
        sounding=sum(each.end - each.at for each in struck),
        durations=weights,
        tuned=tuned,
        tuned_count=tuned_count,
        strays=_strays(notes, key) if key is not None and not polyphonic else (),
        loud=_sticking_out(struck),
        balance=_balance(struck) if polyphonic else (),
        levels=level_of,
    )
    if pulse is None:
        return passage
    midis = [max(each.notes, key=lambda note: note.midi).midi for each in struck]
    stop = pulse.slowed_from if last else len(pulse.iois)
    holes = _holes(pulse, times, ends, onsets, levels) if from_notes and not polyphonic else ()
    taken = {hole.at for hole in holes}
    return evolve(
        passage,
        period=pulse.period,
        pulse_confidence=pulse.confidence,
        pulse_beats=pulse.positions[-1],
        jitter=pulse.jitter,
        tempo=tuple(tempo_points(pulse, times)),
        slowing=pulse.slowing if last else None,
        slowed_from=times[stop] if last and stop < len(pulse.iois) else None,
        shares=_shares(pulse),
        ragged=_raggedness(pulse),
        unsteady=unsteadiness(pulse, times),
        stops=tuple(
            each
            for each in _stops(pulse, times, ends, midis if from_notes else [], levels)
            if each.at not in taken
        ),
        holes=holes,
        articulation=_articulation(pulse, times, ends) if from_notes else (),
    )


def _strike(notes: Sequence[PerformedNote]) -> list[_Struck]:
    struck: list[_Struck] = []
    group: list[PerformedNote] = []
    for note in notes:
        if note.confidence < 0.2:
            continue
        if group and note.onset - group[0].onset > TOGETHER:
            struck.append(_together(group))
            group = []
        group.append(note)
    if group:
        struck.append(_together(group))
    return struck


def _together(group: Sequence[PerformedNote]) -> _Struck:
    return _Struck(group[0].onset, max(note.offset for note in group), tuple(group))


# --- rhythm -------------------------------------------------------------------


def _shares(pulse: Pulse) -> tuple[float, ...]:
    found: list[float] = []
    for i, fit in enumerate(pulse.fits[:-1]):
        if fit == Fit.PAIR_FIRST and i < pulse.slowed_from:
            found.append(pulse.iois[i] / (pulse.iois[i] + pulse.iois[i + 1]))
    return tuple(found)


def _raggedness(pulse: Pulse) -> float | None:
    """Share of the intervals that fit no simple value, stops and pairs aside."""
    judged = [fit for fit in pulse.fits[: pulse.slowed_from] if fit != Fit.STOP]
    if len(judged) < 12:
        return None
    return sum(fit == Fit.SLIP for fit in judged) / len(judged)


def _stops(
    pulse: Pulse,
    times: Sequence[float],
    ends: Sequence[float],
    midis: Sequence[int],
    levels: Sequence[tuple[float, float]],
) -> list[Stop]:
    found: list[Stop] = []
    for i, fit in enumerate(pulse.fits):
        late = pulse.excess[i]
        resting = ends[i] < times[i + 1] - 0.5
        if fit == Fit.ON and pulse.values[i] * pulse.periods[i] > 1.6 and resting:
            # on the grid by chance, but far longer than anything else here, and silent
            others = [v for k, v in enumerate(pulse.values) if k != i and pulse.fits[k] == Fit.ON]
            longest = max(others, default=0.0)
            if pulse.values[i] >= longest + 2 and times[i + 1] - ends[i] > 1.2:
                sounded = max(1.0, math.ceil((ends[i] - times[i]) / pulse.periods[i] * 2 - 0.5) / 2)
                late = (pulse.values[i] - sounded) * pulse.periods[i]
                fit = Fit.STOP
        if fit != Fit.STOP or i >= pulse.slowed_from:
            continue
        certainty = min(1.0, 0.45 + 0.5 * late / max(0.5, pulse.periods[i]))
        found.append(
            Stop(
                at=times[i + 1] - late,
                gap=late,
                confidence=certainty * pulse.confidence,
                went_back=_went_back(midis, i + 1),
            )
        )
    return found


def _went_back(midis: Sequence[int], here: int) -> bool:
    """What begins at ``here`` is what came shortly before it: another try."""
    for length in range(3, 13):
        begin = here - length
        if begin < 0 or here + 3 > len(midis):
            return False
        same = min(length, len(midis) - here, 6)
        tried = midis[begin : begin + same]
        if midis[here : here + same] == tried and len(set(tried)) >= 3:
            return True
    return False


def _articulation(pulse: Pulse, times: Sequence[float], ends: Sequence[float]) -> tuple[float, ...]:
    return tuple(
        min(1.3, (ends[i] - times[i]) / pulse.iois[i])
        for i, fit in enumerate(pulse.fits)
        if fit not in (Fit.STOP, Fit.SLIP) and pulse.values[i] <= 2
    )


def _holes(
    pulse: Pulse,
    times: Sequence[float],
    ends: Sequence[float],
    onsets: Sequence[float],
    levels: Sequence[tuple[float, float]],
) -> tuple[Hole, ...]:
    """Notes missed: the sound stops, the beat goes on, and the rhythm of the piece asks for a note.

    What is asked for comes from the piece itself: rhythms repeat from bar to bar and from line to
    line, so each place on the grid is compared with the places one, two, three... periods away, for
    every period, and periods in which the piece repeats itself well have most to say.
    """
    common = Counter(pulse.values)
    count = len(pulse.values)
    unit = 0.5 if common[0.5] >= 0.12 * count else 1.0
    suspects: list[tuple[int, list[int]]] = []
    places = [round(position / unit) for position in pulse.positions]
    for i in range(count):
        if pulse.fits[i] != Fit.ON or i >= pulse.slowed_from:
            continue
        steps = pulse.values[i] / unit
        if steps < 2 or steps != int(steps) or steps > 12:
            continue
        step = unit * pulse.periods[i]
        empty = [
            m
            for m in range(1, int(steps))
            if ends[i] < times[i] + (m + 0.25) * step
            and not _struck_near(onsets, times[i] + m * step, 0.3 * step)
            and _is_quiet(levels, times[i], times[i] + m * step, times[i] + (m + 1) * step)
        ]
        if empty:
            suspects.append((i, empty))
    if not suspects:
        return ()
    expected = _expectation(places)
    found: list[Hole] = []
    for i, empty in suspects:
        asked = [m for m in empty if expected.get(places[i] + m, 0.0) > 0.6]
        if asked:
            belief = fmean(expected[places[i] + m] for m in asked)
            found.append(
                Hole(
                    at=times[i] + asked[0] * unit * pulse.periods[i],
                    count=len(asked),
                    confidence=belief * pulse.confidence,
                )
            )
    return tuple(found)


def _struck_near(onsets: Sequence[float], at: float, within: float) -> bool:
    return any(abs(onset - at) < within for onset in onsets)


def _is_quiet(
    levels: Sequence[tuple[float, float]], sounding: float, begin: float, end: float
) -> bool:
    """The level between ``begin`` and ``end`` is well below what it was after ``sounding``."""
    loud = [level for at, level in levels if sounding <= at < sounding + 0.25]
    here = [level for at, level in levels if begin + 0.05 <= at < end - 0.15]
    if not loud or not here:
        return True  # not known: the note's own end is all there is
    return min(here) < max(loud) - DROP_DB


def _expectation(places: Sequence[int]) -> dict[int, float]:
    """For each place on the grid, 0 to 1: how much the rest of the piece asks for a note there."""
    last = places[-1]
    struck = [False] * (last + 1)
    for place in places:
        struck[place] = True
    lags = range(2, min(last // 2, 48) + 1)
    agreement: dict[int, float] = {}
    for lag in lags:
        same = sum(struck[k] == struck[k - lag] for k in range(lag, last + 1))
        n = last + 1 - lag
        agreement[lag] = same / n - 0.25 / math.sqrt(n)
    if not agreement:
        return {}
    best = max(agreement.values())
    weights = {lag: math.exp(14 * (value - best)) for lag, value in agreement.items()}
    asked: dict[int, float] = {}
    for place in range(last + 1):
        if struck[place]:
            continue
        says = total = 0.0
        for lag, weight in weights.items():
            others = [
                struck[place + k * lag]
                for k in range(-(place // lag), (last - place) // lag + 1)
                if k
            ]
            if others:
                says += weight * sum(others) / len(others)
                total += weight
        asked[place] = says / total if total else 0.0
    return asked


# --- pitch --------------------------------------------------------------------


def _tuned(notes: Sequence[PerformedNote]) -> tuple[dict[int, float], dict[int, int]]:
    tuned: dict[int, float] = {}
    count: dict[int, int] = {}
    for note in notes:
        if (
            note.deviation_cents is None
            or note.confidence < FAINT
            or note.duration < SHORT_FOR_PITCH
        ):
            continue
        place = round(note.midi * 100 + note.deviation_cents) % 1200
        weight = note.confidence * min(note.duration, 1.0)
        tuned[place] = tuned.get(place, 0.0) + weight
        count[place] = count.get(place, 0) + 1
    return tuned, count


def _strays(notes: Sequence[PerformedNote], key: Key) -> tuple[Stray, ...]:
    sure = [note for note in notes if note.confidence >= 0.6 and note.duration >= 0.1]
    if len(sure) < 12 or key.clarity < 0.55:
        return ()
    doubts = foreignness([note.midi for note in sure], key)
    if sum(doubt > 0 for doubt in doubts) > 0.15 * len(sure):
        return ()  # chromatic music, or no clear key: nothing is foreign there
    deviations = [note.deviation_cents for note in sure if note.deviation_cents is not None]
    usual = median(deviations) if deviations else 0.0
    found: list[Stray] = []
    for note, doubt in zip(sure, doubts, strict=True):
        between = note.deviation_cents is not None and abs(note.deviation_cents - usual) > 28
        if doubt > 0 and not between:  # between two half steps is out of tune, not wrong
            found.append(Stray(at=note.onset, midi=note.midi, confidence=doubt * note.confidence))
    return tuple(found)


# --- loudness -----------------------------------------------------------------


def _sticking_out(struck: Sequence[_Struck]) -> tuple[Excess, ...]:
    if len(struck) < 10:
        return ()
    peaks = [max(note.loudness_db for note in each.notes) for each in struck]
    excesses: list[float] = []
    for i in range(len(peaks)):
        around = peaks[max(0, i - 4) : i] + peaks[i + 1 : i + 5]
        excesses.append(peaks[i] - median(around))
    usual = 1.4826 * median(abs(each) for each in excesses)
    return tuple(
        Excess(at=struck[i].at, midi=struck[i].notes[-1].midi, excess=excess)
        for i, excess in enumerate(excesses)
        if excess > max(STICKS_OUT_DB, 4 * usual)
    )


def _balance(struck: Sequence[_Struck]) -> tuple[float, ...]:
    """Lowest against highest of what was struck together, dB."""
    found: list[float] = []
    for each in struck:
        low = min(each.notes, key=lambda note: note.midi)
        high = max(each.notes, key=lambda note: note.midi)
        if high.midi - low.midi >= 7:
            found.append(low.loudness_db - high.loudness_db)
    return tuple(found)


def _levels_by_second(levels: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """About one (instant, dBFS) a second: mean power, silences left out."""
    if not levels:
        return ()
    loudest = max(level for _, level in levels)
    found: list[tuple[float, float]] = []
    group: list[float] = []
    begin = levels[0][0]
    for at, level in levels:
        if at - begin >= 1.0:
            if len(group) >= 4:
                found.append((begin, 10 * math.log10(fmean(group))))
            group, begin = [], at
        if level > loudest - 30:
            group.append(10 ** (level / 10))
    if len(group) >= 4:
        found.append((begin, 10 * math.log10(fmean(group))))
    return tuple(found)
