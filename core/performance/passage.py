"""What one passage (a stretch of a take, some two minutes at most) holds.

A passage is analysed whole, once it is closed, and the result is kept; so an hour-long take costs
no more at each question than its last passage does. Everything here is a pure function of the
events. Instants are seconds of session media time.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import pairwise
from statistics import fmean, median

from attrs import evolve, field, frozen

from .level import CAME_BEFORE, GOES_ON, TICKS, Level, count_levels
from .notes import PerformedNote
from .pitch import Key, find_key, foreignness
from .rhythm import Fit, Pulse, follow_pulse, tempo_points, unsteadiness

__all__ = ["Excess", "Hole", "Passage", "Stop", "Stray", "analyse_passage"]

TOGETHER = 0.04  # notes struck within this are one onset (s)
FAINT = 0.45  # notes less sure than this are not judged
SHORT_FOR_PITCH = 0.12  # shorter notes tell little about intonation (s)
# The same key or fret sounds the same each time: half of its repetitions differed by less than 0.6
# cents on seven recordings of pianos and guitars, by more than 2.3 on seven of other instruments.
ALIKE_CENTS = 1.2
DROP_DB = 9.0  # a level this far below a note's own is not that note any more
STICKS_OUT_DB = 9.0
SAME_AROUND = 6  # notes to either side of a differing one, of which all but one must be the same


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
    """A note that doesn't belong to the key, or differs from the same place in the same line."""

    at: float
    midi: int
    confidence: float
    differs: bool = False


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
    the pitches heard, cents above C modulo the octave (even numbers) to weight, ``tuned_count`` how
    many notes are in it. ``repeated`` counts notes that had sounded before, at the same pitch, and
    ``repeated_alike`` those of them that came out the same. ``levels`` are (instant, dBFS) about
    every second while it sounded.

    ``period`` (s) and ``tempo`` are those of the beat that is counted, ``grid_period`` of the grid
    that was followed; ``counted`` are all beats that may be counted, the likeliest first.
    """

    start: float
    end: float
    notes: int
    sounding: float
    period: float | None = None
    grid_period: float | None = None
    counted: tuple[Level, ...] = ()
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
    repeated: int = 0
    repeated_alike: int = 0
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
    before: Passage | None = None,
    usual_period: float | None = None,
    last: bool = True,
) -> Passage:
    """Analyse ``notes`` (by onset), with the detected ``onsets``, ``beats`` and ``levels``.

    ``following`` is the first note of the next passage, so that nothing between them is lost;
    ``before`` the take's last passage that had a pulse; ``usual_period`` the beat that was counted
    in the take before (s); ``last`` says that this may be the take's end.
    """
    start = notes[0].onset if notes else onsets[0]
    struck = _strike([*notes, following] if following is not None else notes)
    end = max((note.offset for note in notes), default=onsets[-1] if onsets else start)
    from_notes = len(struck) >= 0.5 * len(onsets)
    if from_notes:
        struck = _with_unnamed(struck, onsets)
    times = [each.at for each in struck]
    ends = [each.end for each in struck]
    if not from_notes:  # chords or noise: what was struck is known better than what it was
        times, ends = list(onsets), [*onsets[1:], onsets[-1] + 0.2]
    pulse = follow_pulse(times, ends, beats, before.grid_period if before is not None else None)
    weights: dict[int, float] = {}
    for note in notes:
        weights[note.midi % 12] = weights.get(note.midi % 12, 0.0) + note.duration * note.confidence
    tuned, tuned_count = _tuned(notes)
    repeated, alike = _repeated(notes)
    key = find_key(weights)
    named = [each for each in struck if each.notes]
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
        repeated=repeated,
        repeated_alike=alike,
        strays=_strays(notes, key) if key is not None and not polyphonic else (),
        loud=_sticking_out(named),
        balance=_balance(named) if polyphonic else (),
        levels=level_of,
    )
    if pulse is None:
        return passage
    midis = [max((note.midi for note in each.notes), default=0) for each in struck]
    stop = pulse.slowed_from if last else len(pulse.iois)
    holes: tuple[Hole, ...] = ()
    silent: dict[int, float] = {}
    if from_notes and not polyphonic:
        holes, silent = _silences(pulse, times, ends, onsets, levels, midis)
    strays = passage.strays
    if from_notes and not polyphonic:
        strays = _merged(strays, _differing(pulse, times, struck, key))
    counted = count_levels(
        [round(TICKS * position) for position in pulse.positions],
        midis if from_notes else [0] * len(times),
        pulse.period,
        times,
        beats,
        before.period if before is not None else usual_period,
        GOES_ON if before is not None else CAME_BEFORE,
    )
    period = counted[0].period if counted else pulse.period
    times_faster = pulse.period / period
    return evolve(
        passage,
        strays=strays,
        period=period,
        grid_period=pulse.period,
        counted=counted,
        pulse_confidence=pulse.confidence,
        pulse_beats=pulse.positions[-1],
        jitter=pulse.jitter,
        tempo=tuple((at, bpm * times_faster) for at, bpm in tempo_points(pulse, times)),
        slowing=pulse.slowing if last else None,
        slowed_from=times[stop] if last and stop < len(pulse.iois) else None,
        shares=() if pulse.ternary else _shares(pulse, times, beats),
        ragged=_raggedness(pulse),
        unsteady=unsteadiness(pulse, times),
        stops=_stops(pulse, times, ends, midis if from_notes else [], silent),
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


def _with_unnamed(struck: Sequence[_Struck], onsets: Sequence[float]) -> list[_Struck]:
    """Together with what was struck but given no note, inside intervals longer than usual: there
    the note was missed by the analysis and not by the player."""
    if len(struck) < 4 or not onsets:
        return list(struck)
    usual = median(b.at - a.at for a, b in pairwise(struck))
    made: list[_Struck] = []
    for one, other in pairwise(struck):
        made.append(one)
        if other.at - one.at < 1.4 * usual:
            continue
        low = bisect_left(onsets, one.at + 0.15)
        high = bisect_left(onsets, other.at - 0.15)
        before = one.at
        for at in onsets[low:high]:
            if at - before > 0.15:
                made[-1] = evolve(made[-1], end=min(made[-1].end, at))
                made.append(_Struck(at, other.at, ()))
                before = at
    made.append(struck[-1])
    return made


# --- rhythm -------------------------------------------------------------------


def _shares(pulse: Pulse, times: Sequence[float], beats: Sequence[float]) -> tuple[float, ...]:
    """The first note's share of each pair of short notes.

    Which of two is the first is told by the beats. Where there are none, the longer one is taken
    for the first: so it mostly is.
    """
    found: list[float] = []
    for_first = for_second = 0
    for i, fit in enumerate(pulse.fits[:-1]):
        if fit != Fit.PAIR_FIRST or i >= pulse.slowed_from:
            continue
        found.append(pulse.iois[i] / (pulse.iois[i] + pulse.iois[i + 1]))
        if beats:
            first, second = _to_nearest(beats, times[i]), _to_nearest(beats, times[i + 1])
            for_first += first < second
            for_second += second < first
    if found and (for_second > for_first or (not beats and median(found) < 0.5)):
        return tuple(1 - share for share in found)
    return tuple(found)


def _to_nearest(ordered: Sequence[float], at: float) -> float:
    k = bisect_left(ordered, at)
    return min(abs(ordered[n] - at) for n in (k - 1, k) if 0 <= n < len(ordered))


def _raggedness(pulse: Pulse) -> float | None:
    """Share of the intervals that fit no simple value, stops and pairs aside."""
    judged = [fit for fit in pulse.fits[: pulse.slowed_from] if fit != Fit.STOP]
    if len(judged) < 30:
        return None
    return sum(fit == Fit.SLIP for fit in judged) / len(judged)


def _stops(
    pulse: Pulse,
    times: Sequence[float],
    ends: Sequence[float],
    midis: Sequence[int],
    silent: Mapping[int, float],
) -> tuple[Stop, ...]:
    """Where the pulse stood still; ``silent`` are the stops that fell on the grid by chance."""
    found: list[Stop] = []
    for i in range(pulse.slowed_from):
        late = silent.get(i, pulse.excess[i] if pulse.fits[i] == Fit.STOP else 0.0)
        if late <= 0:
            continue
        certainty = min(1.0, 0.45 + 0.5 * late / max(0.5, pulse.periods[i]))
        if ends[i] > times[i + 1] - 0.5 * late:
            certainty *= 0.8  # a note held through may have been meant so long
        found.append(
            Stop(
                at=times[i + 1] - late,
                gap=late,
                confidence=certainty * pulse.confidence,
                went_back=_went_back(midis, i + 1),
            )
        )
    return tuple(found)


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


@frozen
class _Gap:
    """The sound stops after onset ``index``; the ``empty`` places on the grid pass in silence."""

    index: int
    step: float
    empty: tuple[int, ...]


def _gaps(
    pulse: Pulse,
    times: Sequence[float],
    ends: Sequence[float],
    onsets: Sequence[float],
    levels: Sequence[tuple[float, float]],
    unit: float,
) -> list[_Gap]:
    found: list[_Gap] = []
    touch = _articulation(pulse, times, ends)
    lifted = 1 - min(1.0, median(touch)) if touch else 0.0  # of each note, as this player does
    for i in range(len(pulse.values)):
        steps = math.floor(pulse.values[i] / unit + 0.01)
        if pulse.fits[i] != Fit.ON or i >= pulse.slowed_from or not 2 <= steps <= 16:
            continue
        step = unit * pulse.periods[i]
        if times[i + 1] - ends[i] < 1.6 * lifted * pulse.iois[i] + 0.3 * step:
            continue
        empty = tuple(
            m
            for m in range(1, steps)
            if ends[i] < times[i] + (m + 0.25) * step
            and not _struck_near(onsets, times[i] + m * step, 0.3 * step)
            and _is_quiet(levels, times[i], times[i] + m * step, times[i] + (m + 1) * step)
        )
        if empty:
            found.append(_Gap(i, step, empty))
    return found


def _silences(
    pulse: Pulse,
    times: Sequence[float],
    ends: Sequence[float],
    onsets: Sequence[float],
    levels: Sequence[tuple[float, float]],
    midis: Sequence[int],
) -> tuple[tuple[Hole, ...], dict[int, float]]:
    """Silences on the grid: notes missed, stops of the pulse (index to gap), or the piece's rests.

    What the piece asks for comes from itself: rhythms repeat from bar to bar and from line to line,
    so each place on the grid is compared with the places a period away, for every period, and the
    periods in which the piece repeats itself well have most to say. Notes missed leave the rest of
    the piece where it was; a stop moves it, and falls exactly on the grid only by chance.
    """
    common = Counter(pulse.values)
    unit = 0.5 if common[0.5] >= 0.12 * len(pulse.values) else 1.0
    gaps = _gaps(pulse, times, ends, onsets, levels, unit)
    # the same notes with the same silence after them, twice: so it is written
    led_by = Counter(tuple(midis[max(0, gap.index - 2) : gap.index + 1]) for gap in gaps)
    written = {
        gap.index for gap in gaps if led_by[tuple(midis[max(0, gap.index - 2) : gap.index + 1])] > 1
    }
    if not gaps or len(gaps) > 12:
        return (), {}
    places = [round(position / unit) for position in pulse.positions]
    rests = {places[gap.index] + m for gap in gaps for m in gap.empty}
    expected = _expectation(places, rests)
    error = math.sqrt(2) * max(pulse.jitter, 0.012)
    holes: list[Hole] = []
    stops: dict[int, float] = {}
    alone = sum(gap.index not in written for gap in gaps)
    for gap in gaps:
        i = gap.index
        if i in written:
            continue
        asked = [m for m in gap.empty if expected[places[i] + m] > 0.6]
        filled = {places[i] + m for m in gap.empty}
        stays = _best_agreement({*places, *filled}, places[-1])
        moves = max(
            _best_agreement(
                {*places[: i + 1], *(place - shift for place in places[i + 1 :])},
                places[-1] - shift,
            )
            for shift in range(1, len(gap.empty) + 1)
        )
        between = pulse.values[i] / unit % 1 > 0.01
        off = 8.0 if between else (pulse.excess[i] / error) ** 2 / 2
        lasts = len(gap.empty) * gap.step
        for_stop = (
            off
            - math.log(gap.step / (2.5 * error))
            + (1.8 * (len(asked) - 1) if asked else 1.5 * (len(gap.empty) - 1))
            + max(-3.0, min(3.0, 0.6 * (moves - stays) * len(places)))
            + (-3.0 if lasts < 0.9 else 0.0)
            - 2.0 * (alone - 1)
        )
        recurs = max(expected[place] for place in filled) < 0
        if for_stop > 0 and not recurs and (asked or for_stop > 3):
            stops[i] = pulse.excess[i] + lasts
        elif asked and for_stop <= 0:
            holes.append(
                Hole(
                    at=times[i] + asked[0] * gap.step,
                    count=len(asked),
                    confidence=fmean(expected[places[i] + m] for m in asked) * pulse.confidence,
                )
            )
    return tuple(holes), stops


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


LONGEST_LAG = 48  # places on the grid: a line of a song


def _agreements(struck: Set[int], last: int) -> dict[int, float]:
    """How well the rhythm repeats itself at each lag, as the share of places that agree, less a
    standard error: long lags compare few places."""
    mask = 0
    for place in struck:
        if 0 <= place <= last:
            mask |= 1 << place
    found: dict[int, float] = {}
    for lag in range(2, min(last // 2, LONGEST_LAG) + 1):
        n = last + 1 - lag
        differ = ((mask ^ (mask >> lag)) & ((1 << n) - 1)).bit_count()
        found[lag] = 1 - differ / n - 0.25 / math.sqrt(n)
    return found


def _best_agreement(struck: Set[int], last: int) -> float:
    return max(_agreements(struck, last).values(), default=0.0)


def _expectation(places: Sequence[int], rests: Set[int]) -> dict[int, float]:
    """How much the rest of the piece asks for a note at each of ``rests``, at most 1.

    Negative where the same place a bar or a line away is silent too: a rest of the piece's own.
    """
    last = places[-1]
    struck = set(places)
    agreements = _agreements(struck | rests, last)
    for lag, value in _agreements(struck, last).items():
        agreements[lag] = max(value, agreements[lag])
    best = max(agreements.values(), default=0.0)
    weights = {lag: math.exp(14 * (value - best)) for lag, value in agreements.items()}
    asked: dict[int, float] = {}
    for place in rests:
        says = total = 0.0
        for lag, weight in weights.items():
            others = [
                1.0 if there in struck else (-0.8 if there in rests else 0.0)
                for k in range(-(place // lag), (last - place) // lag + 1)
                if k and 0 <= (there := place + k * lag) <= last
            ]
            if others and weight > 0.02:
                says += weight * sum(others) / len(others)
                total += weight
        asked[place] = says / total if total else 0.0
    return asked


# --- pitch --------------------------------------------------------------------


def _tuned(notes: Sequence[PerformedNote]) -> tuple[dict[int, float], dict[int, int]]:
    tuned: dict[int, float] = {}
    count: dict[int, int] = {}
    for note, deviation in _with_pitch(notes):
        place = 2 * round((note.midi * 100 + deviation) / 2) % 1200
        weight = note.confidence * min(note.duration, 1.0)
        tuned[place] = tuned.get(place, 0.0) + weight
        count[place] = count.get(place, 0) + 1
    return tuned, count


def _repeated(notes: Sequence[PerformedNote]) -> tuple[int, int]:
    """How many notes had sounded before at the same pitch, and how many of them came out alike."""
    before: dict[int, float] = {}
    repeated = alike = 0
    for note, deviation in _with_pitch(notes):
        if note.midi in before:
            repeated += 1
            alike += abs(deviation - before[note.midi]) < ALIKE_CENTS
        before[note.midi] = deviation
    return repeated, alike


def _with_pitch(notes: Sequence[PerformedNote]) -> Iterator[tuple[PerformedNote, float]]:
    """The notes that tell about intonation, each with its deviation."""
    for note in notes:
        if (
            note.deviation_cents is not None
            and note.confidence >= FAINT
            and note.duration >= SHORT_FOR_PITCH
        ):
            yield note, note.deviation_cents


def _strays(notes: Sequence[PerformedNote], key: Key) -> tuple[Stray, ...]:
    sure = [note for note in notes if note.confidence >= 0.6 and note.duration >= 0.1]
    if len(sure) < 12 or key.clarity < 0.4:
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


def _differing(
    pulse: Pulse, times: Sequence[float], struck: Sequence[_Struck], key: Key | None
) -> tuple[Stray, ...]:
    """Single notes that differ where the rest of a line comes back as it was.

    Two places in the piece, some beats apart, with the same rhythm and the same notes before and
    after; one note is another one. Composers vary the ends of their lines, seldom one note within.
    """
    at_place: dict[int, PerformedNote] = {}
    for i, each in enumerate(struck):
        if each.notes:
            at_place[round(pulse.positions[i] * 12)] = max(each.notes, key=lambda n: n.confidence)
    places = sorted(at_place)
    found: dict[float, Stray] = {}
    if len(places) < 2 * SAME_AROUND:
        return ()
    midis = {place: note.midi for place, note in at_place.items()}
    for lag in range(48, min(places[-1] - SAME_AROUND * 12, 40 * 12), 12):
        if sum(midis.get(place + lag) == midi for place, midi in midis.items()) < SAME_AROUND:
            continue
        pairs: list[tuple[int, bool]] = []  # (place, same) for what is struck at both
        for place in places:
            other = at_place.get(place + lag)
            if other is not None:
                pairs.append((place, at_place[place].midi == other.midi))
            elif place + lag <= places[-1]:
                pairs.append((place, False))
        for k in range(3, len(pairs) - 3):
            place, same = pairs[k]
            if same or place + lag not in at_place:
                continue
            around = pairs[max(0, k - SAME_AROUND) : k] + pairs[k + 1 : k + 1 + SAME_AROUND]
            near = pairs[k - 3 : k] + pairs[k + 1 : k + 4]
            if not all(fits for _, fits in near) or sum(not fits for _, fits in around) > 1:
                continue
            if len({at_place[there].midi for there, _ in near}) < 3:
                continue
            one, two = at_place[place], at_place[place + lag]
            if min(one.confidence, two.confidence) < 0.6 or abs(one.midi - two.midi) > 4:
                continue
            wrong = _odder(one, two, key)
            found[wrong.onset] = Stray(
                at=wrong.onset,
                midi=wrong.midi,
                confidence=0.65 * wrong.confidence,
                differs=True,
            )
    return tuple(found[at] for at in sorted(found))[:6]


def _odder(one: PerformedNote, two: PerformedNote, key: Key | None) -> PerformedNote:
    """Which of two notes that differ is the wrong one: the one outside the key, else the later."""
    if key is not None:
        outside = [note for note in (one, two) if note.midi % 12 not in key.scale]
        if len(outside) == 1:
            return outside[0]
    return two


def _merged(strays: Sequence[Stray], more: Sequence[Stray]) -> tuple[Stray, ...]:
    known = {stray.at for stray in strays}
    return tuple(
        sorted(
            [*strays, *(each for each in more if each.at not in known)], key=lambda each: each.at
        )
    )


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
