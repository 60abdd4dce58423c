"""Following the pulse of a passage from its onsets alone, without the printed music.

Conventions: instants and spans in seconds. ``iois[i]`` lies between onset ``i`` and ``i + 1``. The
*period* is the beat's; a *value* is a note value in beats. An onset's jitter (the player's and the
detector's, some 10 to 20 ms) is what every threshold here is measured against.

Method: candidates for the period come from the peaks of the histogram of inter-onset intervals;
each is scored by how near the intervals lie to simple multiples of it, with a mild preference for
100 beats a minute and for the detected beats. Then every interval gets the value nearest to it in
the *local* period, which is a robust running mean of interval over value. What fits no value is
either one of a pair of unequal short notes, or a detector's slip (a neighbour makes up for it), or
a stop of the pulse.
"""

from __future__ import annotations

import cmath
import math
import operator
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, pairwise
from statistics import fmean, median

from attrs import frozen

__all__ = ["Fit", "Pulse", "follow_pulse", "tempo_points", "unsteadiness"]

FEWEST_ONSETS = 7
SHORTEST_PERIOD, LONGEST_PERIOD = 0.3, 1.5  # 200 and 40 beats a minute
PREFERRED_PERIOD = 0.6
LONGEST_STEADY_IOI = 3.0  # what is longer tells nothing about the period
SHORTEST_STOP = 0.3  # a shorter delay is a breath
LONGEST_ENDING = 14  # intervals
LARGEST_SAMPLE = 120  # intervals that decide on the period
_PHASE_BEATS = 8.0  # at a time are looked at for how nearly they lie in phase
_PHASE_STEP, _PHASE_STEPS = 0.005, 10
_STEADY_BEATS = 24.0  # within which one that drifts by 3 % has lost a steady grid
_STEADY_STEP, _STEADY_STEPS = 0.0015, 8
_PARTS = (2, 3, 4, 6, 8)
_FINER = 1.01
SHORTEST_PART = 0.09
STEADY_SHARE = 0.6
NO_CHANCE = 13.0  # Rayleigh: by chance the square of the share times the onsets exceeds it never
_CHANGES = (-0.2, -0.12, -0.06, 0.06, 0.12, 0.2)
MORE_STEADY = 1.0
OUT_OF_PHASE, MUCH_MORE_IN_PHASE = 0.55, 0.2
NEARLY_AS_LIKELY, MOST_LIKELY = 0.4, 6
HARDLY_MORE_THAN_JITTER = 0.16
LOST = 0.03  # local periods so far from the whole passage's follow a wrong grid
REACH = 5  # intervals to either side that make the local period

# Value in beats, and what it costs to believe in it. Simple values explain more.
_COSTS = (
    (1.0, 0.0),
    (1.5, 0.08),
    (2.0, 0.06),
    (2.5, 0.2),
    (3.0, 0.08),
    (3.5, 0.22),
    (4.0, 0.1),
    (5.0, 0.14),
    (6.0, 0.12),
    (8.0, 0.14),
)
_VALUES = (
    0.25,
    1 / 3,
    0.5,
    2 / 3,
    0.75,
    1.0,
    1.5,
    2.0,
    2.5,
    3.0,
    3.5,
    4.0,
    5.0,
    6.0,
    7.0,
    8.0,
    10.0,
    12.0,
    16.0,
)
# Where nothing speaks for beats divided in three.
_BINARY = tuple(value for value in _VALUES if round(12 * value) % 3 == 0)
# Where beats are divided in three.
_TERNARY = (1 / 3, 2 / 3, 1.0, 4 / 3, 5 / 3, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 16.0)


class Fit:
    """How an inter-onset interval fits the pulse."""

    ON = "on"  # on the grid
    PAIR_FIRST = "pair_first"  # two short notes share a beat, this is the first
    PAIR_SECOND = "pair_second"
    SLIP = "slip"  # off the grid, but a neighbour makes up for it
    STOP = "stop"  # the pulse stood still


@frozen(kw_only=True)
class Pulse:
    """The pulse of a passage. All sequences but ``clock`` have one item for each interval.

    ``excess`` is how much longer the interval is than its value; ``clock`` has each onset's time
    with the stops taken out, and ``positions`` each onset's place on the grid, in beats.
    ``jitter`` is the spread of the onsets around the local grid;
    ``ternary`` says that beats are divided in three. ``slowed_from`` is the index of
    the interval where the ending begins to slow, or the number of intervals.
    """

    period: float
    confidence: float
    iois: Sequence[float]
    values: Sequence[float]
    periods: Sequence[float]
    fits: Sequence[str]
    excess: Sequence[float]
    positions: Sequence[float]
    clock: Sequence[float]
    jitter: float
    ternary: bool
    slowed_from: int
    slowing: float | None
    """Percent that the last notes are slower; ``None`` if there is too little before them."""


def follow_pulse(
    onsets: Sequence[float], ends: Sequence[float], beats: Sequence[float], hint: float | None
) -> Pulse | None:
    """The pulse of ``onsets`` (rising; struck together is one), or ``None`` if they have none.

    ``ends`` says when each stopped sounding, ``beats`` where a beat tracker heard beats; ``hint``
    is the period of the passage before.
    """
    if len(onsets) < FEWEST_ONSETS:
        return None
    iois = [b - a for a, b in pairwise(onsets)]
    likely = _periods(iois, beats, hint)
    if not likely:
        return None
    sample = onsets[:LARGEST_SAMPLE]
    period, halves, thirds = _in_phase(sample, likely[0])
    if max(halves, thirds) < OUT_OF_PHASE:
        others = [_in_phase(sample, other) for other in likely[1:]]
        for other in others:
            if max(other[1:]) > max(halves, thirds) + MUCH_MORE_IN_PHASE:
                period, halves, thirds = other
    confidence = max(0.2, min(1.0, 1.1 - _mean_misfit(iois[:LARGEST_SAMPLE], period)))
    count = len(iois)
    ternary = _is_ternary(iois, period) or (
        thirds > max(0.6, halves + 0.2) and not _is_in_pairs(iois, period)
    )
    allowed = _TERNARY if ternary else _BINARY if halves > thirds + 0.1 else _VALUES
    periods = [period] * count
    values: list[float] = []
    fits: list[str] = []
    excess: list[float] = []
    for _ in range(3):
        values, fits, excess = _quantise(iois, periods, onsets, ends, allowed)
        periods = _local_periods(iois, values, fits, period)
    quick = sorted(iois)[count // 4] < HARDLY_MORE_THAN_JITTER
    if quick and abs(math.log(median(periods) / period)) > LOST:
        values, excess = _placed(onsets, period, 3 if ternary else 4)
        fits = [Fit.ON if value else Fit.SLIP for value in values]
        periods = [period] * count
    slowed_from, slowing = _ending(iois, values, fits, periods)
    steady = [
        abs(iois[i] + iois[i + 1] - periods[i])
        for i in range(count - 1)
        if fits[i] == Fit.PAIR_FIRST and i < slowed_from
    ]
    steady += [
        abs(excess[i])
        for i in range(count)
        if fits[i] == Fit.ON and values[i] <= 4 and i < slowed_from
    ]
    # the excess of an interval is the difference of two onsets' jitters
    jitter = 1.4826 * median(steady) / math.sqrt(2) if steady else 0.0
    fitting = sum(fit not in (Fit.SLIP, Fit.STOP) for fit in fits) / count
    positions, clock = [0.0], [onsets[0]]
    for i in range(count):
        positions.append(positions[-1] + values[i])
        stopped = excess[i] if fits[i] == Fit.STOP else 0.0
        clock.append(clock[-1] + iois[i] - stopped)
    grid = None if Fit.STOP in fits else _steady(onsets[: slowed_from + 1], period)
    if grid is not None:
        places, _ = _placed(onsets, *grid)
        positions = [0.0, *accumulate(places)]
    return Pulse(
        period=median(periods) if grid is None else grid[0],
        confidence=confidence * fitting,
        iois=iois,
        values=values,
        periods=periods,
        fits=fits,
        excess=excess,
        positions=positions,
        clock=clock,
        jitter=jitter,
        ternary=ternary,
        slowed_from=slowed_from,
        slowing=slowing,
    )


def tempo_points(
    pulse: Pulse, onsets: Sequence[float], beats: float = 8.0
) -> list[tuple[float, float]]:
    """(time, bpm) about every two beats: the slope of onset time against grid position over
    windows of ``beats``, the stops and the ending's slowing left out. Regression over a window
    makes 15 ms of jitter less than half a percent of tempo."""
    last = pulse.slowed_from
    positions, clock = pulse.positions, pulse.clock
    usable = [
        i
        for i in range(last + 1)
        if (i == 0 or pulse.fits[i - 1] not in (Fit.SLIP, Fit.PAIR_FIRST))
    ]
    points: list[tuple[float, float]] = []
    if len(usable) < 4:
        return points
    span = positions[usable[-1]] - positions[usable[0]]
    beats = min(beats, max(4.0, span / 2))
    head = 0
    reached = -math.inf
    for tail in range(len(usable)):
        if usable[tail] and pulse.fits[usable[tail] - 1] == Fit.STOP:
            head = tail  # the grid before a stop says nothing about the one after it
        while positions[usable[tail]] - positions[usable[head]] > beats:
            head += 1
        width = positions[usable[tail]] - positions[usable[head]]
        window = usable[head : tail + 1]
        if len(window) < 4 or width < 0.7 * beats or positions[usable[tail]] < reached + 2:
            continue
        reached = positions[usable[tail]]
        n = len(window)
        mean_x = sum(positions[i] for i in window) / n
        mean_y = sum(clock[i] for i in window) / n
        xx = sum((positions[i] - mean_x) ** 2 for i in window)
        xy = sum((positions[i] - mean_x) * (clock[i] - mean_y) for i in window)
        if xx <= 0 or xy <= 0:
            continue
        slope = xy / xx
        misfit = median(abs(clock[i] - mean_y - slope * (positions[i] - mean_x)) for i in window)
        if misfit < max(0.04, 3 * pulse.jitter):
            points.append(((onsets[window[0]] + onsets[window[-1]]) / 2, 60 / slope))
    return points


def unsteadiness(pulse: Pulse, onsets: Sequence[float]) -> float | None:
    """Spread of the tempo (relative) over four beats at a time around a steady change, the part
    that jitter alone explains taken off; ``None`` if the passage is too short."""
    points = tempo_points(pulse, onsets, 4.0)
    if len(points) < 6:
        return None
    x = [at for at, _ in points]
    y = [math.log(bpm) for _, bpm in points]
    mean_x, mean_y = fmean(x), fmean(y)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum(
        (a - mean_x) ** 2 for a in x
    )
    stray = fmean((b - mean_y - slope * (a - mean_x)) ** 2 for a, b in zip(x, y, strict=True))
    # standard error of a slope through five evenly spaced onsets
    by_jitter = pulse.jitter / (math.sqrt(10) * pulse.period)
    return math.sqrt(max(0.0, stray - by_jitter**2))


# --- the period ---------------------------------------------------------------


def _periods(iois: Sequence[float], beats: Sequence[float], hint: float | None) -> list[float]:
    """The likely periods, the likeliest first, or none."""
    steady = [ioi for ioi in iois if 0.08 < ioi < LONGEST_STEADY_IOI]
    if len(steady) < FEWEST_ONSETS - 2:
        return []
    bins = _peaks(steady)
    sums = _peaks([a + b for a, b in pairwise(iois) if a + b < 2.2])
    heard = _beat_period(beats)
    candidates: list[float] = [] if heard is None else [heard]
    bases = [size for size, _ in sorted(bins, key=lambda each: -each[1])[:6]]
    bases += [size for size, _ in sorted(sums, key=lambda each: -each[1])[:4]]
    for base in bases:
        candidates += [base * factor for factor in (1 / 3, 0.5, 2 / 3, 1.0, 2.0, 3.0, 4.0)]
    if hint is not None:
        candidates.append(hint)
    found: list[tuple[float, float]] = []
    sample = iois[:LARGEST_SAMPLE]
    tried: set[int] = set()
    for period in candidates:
        key = round(math.log(period) / 0.02)
        if key in tried or not SHORTEST_PERIOD <= period <= LONGEST_PERIOD:
            continue
        tried.add(key)
        misfit = _mean_misfit(sample, period)
        cost = misfit + 0.12 * (math.log2(period / PREFERRED_PERIOD) / 0.7) ** 2
        if heard is not None and abs(math.log(period / heard)) < 0.05:
            period, cost = heard, cost - 0.25
        if hint is not None and abs(math.log(period / hint)) < 0.1:
            cost -= 0.2
        found.append((cost, period))
    found.sort()
    if not found or _mean_misfit(sample, found[0][1]) > 0.45:
        return []
    period = found[0][1]
    for _ in range(0 if period == heard else 2):  # an unsteady tempo has more than one peak: go to
        close = [size for size in steady if abs(math.log(size / period)) < 0.2]  # their middle
        if len(close) >= 3:
            period = median(close)
    nearly = [other for cost, other in found[1:] if cost < found[0][0] + NEARLY_AS_LIKELY]
    return [period, *nearly[:MOST_LIKELY]]


def _misfit(ratio: float) -> float:
    """0 to about 1: how badly an interval of ``ratio`` beats fits. Short ones may be uneven."""
    if ratio < 0.22:
        return 0.5
    if ratio < 0.82:
        near = abs(ratio - 0.5)
        if near < 0.06:
            return 0.03
        if abs(ratio - 0.25) < 0.04 or abs(ratio - 0.75) < 0.06:
            return 0.12
        return 0.2 if 0.3 < ratio < 0.7 else 0.4
    return min(min(1.0, ((ratio / value - 1) / 0.11) ** 2) + cost for value, cost in _COSTS)


_LONGEST_JUDGED = 5  # beats
_GRAIN = 64  # steps to the beat
_MISFITS = tuple(_misfit((step + 0.5) / _GRAIN) for step in range(_LONGEST_JUDGED * _GRAIN))


def _mean_misfit(iois: Sequence[float], period: float) -> float:
    """How badly the intervals fit ``period``. Two short ones that share a beat, fit."""
    total, count, skip = 0.0, 0, False
    ratios = [ioi / period for ioi in iois]
    for i, ratio in enumerate(ratios):
        if skip:
            skip = False
            continue
        if ratio >= _LONGEST_JUDGED:
            continue
        if 0.28 < ratio < 0.73 and i + 1 < len(ratios):
            other = ratios[i + 1]
            if 0.28 < other < 0.73 and 0.92 < ratio + other < 1.08:
                total += 0.08
                count += 2
                skip = True
                continue
        total += _MISFITS[int(ratio * _GRAIN)]
        count += 1
    return total / count if count else 1.0


def _peaks(spans: Sequence[float]) -> list[tuple[float, float]]:
    """(centre, weight) of a histogram with bins 6 % wide."""
    bins: dict[int, list[float]] = {}
    for span in spans:
        if span > 0.05:
            bins.setdefault(round(math.log(span) / 0.06), []).append(span)
    return [(sum(each) / len(each), float(len(each))) for each in bins.values()]


def _beat_period(beats: Sequence[float]) -> float | None:
    gaps = [b - a for a, b in pairwise(beats) if 0.2 < b - a < 2]
    if len(gaps) < 4:
        return None
    middle = median(gaps)
    regular = sum(abs(gap / middle - 1) < 0.12 for gap in gaps) / len(gaps)
    if regular <= 0.6:
        return None
    return fmean(gap for gap in gaps if abs(gap / middle - 1) < 0.12)


def _in_phase(onsets: Sequence[float], period: float) -> tuple[float, float, float]:
    """The period near ``period`` at which the onsets lie most nearly in phase, for a few beats at a
    time; and how nearly (0 to 1) they do in halves or quarters of that, and in thirds.

    Jitter spoils the ratio of short intervals, but not the place of an onset among its neighbours.
    """
    best: tuple[float, float, float, float] | None = None
    for step in range(-_PHASE_STEPS, _PHASE_STEPS + 1):
        tried = period * (1 + _PHASE_STEP * step)
        two = three = four = 0.0
        head = 0
        while head < len(onsets):
            tail = bisect_left(onsets, onsets[head] + _PHASE_BEATS * period, head)
            turns = [cmath.exp(2j * math.pi * at / tried) for at in onsets[head:tail]]
            squares = [turn * turn for turn in turns]
            two += abs(sum(squares))
            three += abs(sum(map(operator.mul, squares, turns)))
            four += abs(sum(map(operator.mul, squares, squares)))
            head = tail
        # a grid of halves is one of quarters, too; the finer one is believed less
        halves = max(two, 0.9 * four) / len(onsets)
        thirds = three / len(onsets)
        score = max(halves, 0.9 * thirds) - 0.002 * abs(step)
        if best is None or score > best[0]:
            best = (score, tried, halves, thirds)
    assert best is not None
    return best[1:]


def _steady(onsets: Sequence[float], period: float) -> tuple[float, int] | None:
    """The period near ``period`` of one grid on which the onsets lie for many beats at a time, and
    the parts of its beat; ``None`` if they don't: the tempo changes, or the grid was not found.

    An onset too many or too few, or one that was given the wrong value, moves no other here.
    """
    found = max(
        (
            (_FINER**parts * _on_grid(onsets, tried / parts, period), tried, parts)
            for parts in _PARTS
            if period / parts >= SHORTEST_PART
            for tried in _around(period)
        ),
        default=(0.0, period, 1),
    )
    share, steady, parts = found
    if share < max(STEADY_SHARE, math.sqrt(NO_CHANCE / len(onsets))):
        return None
    length = onsets[-1] - onsets[0]
    for change in _CHANGES:
        # as they would lie if the tempo changed by so much from the first to the last
        warped = [at + change * (at - onsets[0]) * (at - onsets[-1]) / length / 2 for at in onsets]
        if _FINER**parts * _on_grid(warped, steady / parts, period) > MORE_STEADY * share:
            return None
    return steady, parts


def _around(period: float) -> list[float]:
    steps = range(-_STEADY_STEPS, _STEADY_STEPS + 1)
    return [period * (1 + _STEADY_STEP * step) for step in steps]


def _on_grid(onsets: Sequence[float], part: float, period: float) -> float:
    """How nearly (0 to 1) onsets lie on a grid of ``part`` (s), for some beats at a time, where
    they do so least."""
    turn = 2j * math.pi / part
    least = 1.0
    head = 0
    while head < len(onsets):
        tail = bisect_left(onsets, onsets[head] + _STEADY_BEATS * period, head)
        if onsets[-1] - onsets[tail - 1] < _STEADY_BEATS * period / 2:
            tail = len(onsets)
        least = min(
            least, abs(sum(cmath.exp(turn * at) for at in onsets[head:tail])) / (tail - head)
        )
        head = tail
    return least


# --- values --------------------------------------------------------------------


def _is_ternary(iois: Sequence[float], period: float) -> bool:
    """Beats are divided in three: three short notes together make one beat, more than once."""
    found = 0
    for three in zip(iois, iois[1:], iois[2:], strict=False):
        ratios = [ioi / period for ioi in three]
        found += min(ratios) > 0.26 and max(ratios) < 0.41 and abs(sum(ratios) - 1) < 0.12
    return found >= 2


def _is_in_pairs(iois: Sequence[float], period: float) -> bool:
    """Most short notes share a beat with one other: they are uneven rather than thirds."""
    ratios = [ioi / period for ioi in iois]
    short = [ratio for ratio in ratios if ratio < 0.73]
    paired = sum(
        2
        for one, other in pairwise(ratios)
        if max(one, other) < 0.73 and abs(one + other - 1) < 0.1
    )
    return paired > 0.6 * len(short)


def _placed(onsets: Sequence[float], period: float, parts: int) -> tuple[list[float], list[float]]:
    """Values and excesses by each onset's place on a steady grid of ``parts`` to the beat.

    For notes that are hardly longer than their jitter: one that was put wrong moves no other. One
    that was heard twice takes no place: its value is 0.
    """
    values: list[float] = []
    excess: list[float] = []
    due = onsets[0]
    for before, at in pairwise(onsets):
        value = max(0, round((at - due) / period * parts)) / parts
        values.append(value)
        excess.append(at - before - value * period)
        due += value * period
        due += 0.3 * (at - due)
    return values, excess


def _nearest(ratio: float, allowed: Sequence[float]) -> float:
    """The value nearest to ``ratio`` beats."""
    best, least = allowed[0], math.inf
    for value in allowed:
        away = abs(ratio - value) / (0.5 + 0.5 * value)
        if away < least:
            best, least = value, away
    return best


def _tolerance(value: float, period: float) -> float:
    return max(0.055, 0.11 * period) + 0.03 * value * period


def _quantise(
    iois: Sequence[float],
    periods: Sequence[float],
    onsets: Sequence[float],
    ends: Sequence[float],
    allowed: Sequence[float],
) -> tuple[list[float], list[str], list[float]]:
    count = len(iois)
    values = [0.0] * count
    fits = [Fit.ON] * count
    excess = [0.0] * count
    i = 0
    while i < count:
        period = periods[i]
        ratio = iois[i] / period
        if ratio < 0.73 and i + 1 < count and allowed is not _TERNARY:
            other = iois[i + 1] / period
            if other < 0.73 and min(ratio, other) > 0.29 and abs(ratio + other - 1) < 0.1:
                for k, fit in ((i, Fit.PAIR_FIRST), (i + 1, Fit.PAIR_SECOND)):
                    values[k], fits[k] = 0.5, fit
                    excess[k] = iois[k] - 0.5 * period
                i += 2
                continue
        value = _nearest(ratio, allowed)
        over = iois[i] - value * period
        values[i], excess[i] = value, over
        if abs(over) > _tolerance(value, period):
            fits[i] = Fit.SLIP
        i += 1
    common = Counter(value for value in values if value >= 0.5)
    usual = common.most_common(1)[0][0] if common else 1.0
    for i in range(count):
        if fits[i] != Fit.SLIP:
            continue
        period = periods[i]
        made_up = False
        for k in (i - 1, i + 1):
            if 0 <= k < count and fits[k] == Fit.SLIP:
                both = (iois[i] + iois[k]) / period
                near = _nearest(both, allowed)
                made_up = made_up or abs(both - near) * period < _tolerance(near, period)
        sounded = ends[i] - onsets[i]
        written = max(usual, math.ceil((sounded / period - 0.25) * 2) / 2)
        if written * period > iois[i] - SHORTEST_STOP:
            written = usual
        over = iois[i] - written * period
        if over > SHORTEST_STOP and (not made_up or over > 2 * period):
            values[i], excess[i], fits[i] = written, over, Fit.STOP
    return values, fits, excess


def _local_periods(
    iois: Sequence[float], values: Sequence[float], fits: Sequence[str], period: float
) -> list[float]:
    """Period around each interval: median, then the mean of what lies near it, long ones more."""
    places: list[int] = []
    spans: list[float] = []
    beats: list[float] = []
    i = 0
    while i < len(iois):
        if fits[i] == Fit.PAIR_FIRST:
            places.append(i)
            spans.append(iois[i] + iois[i + 1])
            beats.append(1.0)
            i += 2
            continue
        if fits[i] == Fit.ON and values[i] <= 4:
            places.append(i)
            spans.append(iois[i])
            beats.append(values[i])
        i += 1
    if not places:
        return [period] * len(iois)
    quotients = [span / value for span, value in zip(spans, beats, strict=True)]
    weights = [min(value, 2.0) for value in beats]
    local: list[float] = []
    low = high = 0
    for i in range(len(iois)):
        while low < len(places) and places[low] < i - REACH:
            low += 1
        while high < len(places) and places[high] <= i + REACH:
            high += 1
        if high - low < 3:
            local.append(local[-1] if local else period)
            continue
        middle = sorted(quotients[low:high])[(high - low) // 2]
        least, most = 0.85 * middle, 1.15 * middle
        time = count = 0.0
        for k in range(low, high):
            if least < quotients[k] < most:
                time += spans[k] * weights[k]
                count += beats[k] * weights[k]
        local.append(time / count)
    return local


def _ending(
    iois: Sequence[float], values: list[float], fits: Sequence[str], periods: list[float]
) -> tuple[int, float | None]:
    """Where the ending begins to slow, and by how much (percent), rewriting the values there.

    A slowing of a half looks like dotted values to :func:`_nearest`; followed step by step it does
    not, for each step is small.
    """
    count = len(iois)
    window = min(LONGEST_ENDING, count // 3)
    if window < 3:
        return count, None
    begin = count - window
    if fits[begin] == Fit.PAIR_SECOND:
        begin += 1
    before = _quotients(iois, values, fits, range(max(0, begin - 12), begin))
    if len(before) < 3:
        return count, None
    base = median(before)
    seen = Counter(values[:begin])
    usual = [v for v, often in seen.items() if often >= max(2, 0.06 * begin) and v >= 0.5] or [1.0]
    # (index, value, quotient): how long a beat is, step by step
    followed: list[tuple[int, float, float]] = []
    pace = base
    i = begin
    while i < count:
        if fits[i] == Fit.PAIR_FIRST and i + 1 < count:
            quotient = iois[i] + iois[i + 1]
            if 0.8 < quotient / pace < 1.45:
                followed.append((i, 0.5, quotient))
                followed.append((i + 1, 0.5, quotient))
                pace += 0.7 * (quotient - pace)
                i += 2
                continue
        # the slower it gets the rather it is slowing than a longer value
        value = min(usual, key=lambda v: abs(math.log(iois[i] / (v * pace * 1.03))) + 0.02 * v)
        quotient = iois[i] / value
        if 0.8 < quotient / pace < 1.45:
            pace += 0.7 * (quotient - pace)
        else:
            quotient = pace
        followed.append((i, value, quotient))
        i += 1
    late = followed[-3:]
    end = sum(v * q for _, v, q in late) / sum(v for _, v, _ in late)
    slowing = 100 * (end / base - 1)
    if slowing < 7 or followed[-1][2] < 1.06 * base or followed[-2][2] < 1.03 * base:
        return count, slowing if abs(slowing) < 7 else 0.0
    start = len(followed) - 1
    while start > 0 and followed[start - 1][2] > 1.02 * base:
        start -= 1
    if start == 0:
        return count, 0.0  # not an ending: it was slower already
    for index, value, quotient in followed[start:]:
        values[index], periods[index] = value, quotient
    return followed[start][0], slowing


def _quotients(
    iois: Sequence[float], values: Sequence[float], fits: Sequence[str], indices: range
) -> list[float]:
    """Seconds a beat, from each interval that says it."""
    found: list[float] = []
    for i in indices:
        if fits[i] == Fit.PAIR_FIRST and i + 1 < len(iois):
            found.append(iois[i] + iois[i + 1])
        elif fits[i] == Fit.ON and values[i] <= 4:
            found.append(iois[i] / values[i])
    return found
