"""At which of its levels a musician would count a pulse: in crotchets, say, or in minims.

Even notes can be counted one, two, three or four to the beat, and nothing in them says which is
written. What is written, and what a listener taps, follows habits: beats are seldom much faster or
slower than a hundred a minute; most of them have a note; notes begin on the beat or half way rather
than elsewhere, long ones on the beat; a beat is not much weaker than its neighbours; melodies turn
and leap on it. Each habit is a *cue*, a number measured on the grid that was followed. Its weight
says how much it counts. The weights were fitted to melodies whose metre is known, none of them one
that the figures are measured on (``maestra.app.experiments.fit_levels``).

Conventions: positions are counted in ``TICKS`` to the beat of the grid that
:func:`~.rhythm.follow_pulse` follows. A level is a beat of so many ticks, and where in it the first
position lies. Periods in seconds.

Source: the cues are those of Parncutt, "A Perceptual Model of Pulse Salience and Metrical Accent",
1994, and Temperley, "Music and Probability", 2007.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from attrs import frozen

__all__ = ["CAME_BEFORE", "GOES_ON", "TICKS", "WEIGHTS", "Cues", "Level", "count_levels", "cues"]

TICKS: Final = 24
SHORTEST_BEAT, LONGEST_BEAT = 60 / 208, 60 / 40  # the range of a mechanical metronome
PREFERRED_BEAT, SLOW_BEAT = 0.6, 0.9
FEWEST_NOTES: Final = 6
MOST_NOTES: Final = 120
LEAP: Final = 5  # semitones
NEARLY_ALIKE: Final = 0.4  # of a note a step away: a sequence is a repetition, too
LONG: Final = 1.0  # a longer note is no stronger for it (s)
HEARD_NEAR: Final = 0.07  # a beat that was heard this near to a note is on it (s)
OFTEN: Final = 0.3  # beats begin where at least this share begins of what begins at the usual place
SAME_BEAT: Final = 0.12  # of the logarithm: the tempo has changed by less
GOES_ON, CAME_BEFORE = 4.0, 1.0

_BEATS = (6, 8, 12, 16, 18, 24, 32, 36, 48, 72, 96)
"""Levels that are considered, in ticks: simple multiples and parts of the grid's beat."""
Cues = Mapping[str, float]

WEIGHTS: Final[Cues] = {
    "speed": 1.39,
    "speed_squared": -1.15,
    "very_slow": -1.00,
    "notes_on": 11.05,
    "notes_at_half": 6.92,
    "notes_at_thirds": 5.72,
    "notes_at_quarters": 3.36,
    "notes_elsewhere": -12.10,
    "beats_with_note": 3.04,
    "long_on": 3.42,
    "turns_on": 1.21,
    "unlike_in_two": -1.17,
    "unlike_in_three": -1.58,
    "repeats": 1.58,
    "heard": 0.65,
}
"""What each cue counts for, in natural logarithms of the odds."""


@frozen(kw_only=True)
class Level:
    """A beat of ``period`` seconds may be counted; ``probability`` (0 to 1) says how likely."""

    period: float
    probability: float


def count_levels(
    ticks: Sequence[int],
    pitches: Sequence[int],
    period: float,
    onsets: Sequence[float],
    beats: Sequence[float],
    hint: float | None = None,
    trust: float = 0.0,
) -> tuple[Level, ...]:
    """The levels at which it may be counted, the likeliest first; none if there are too few notes.

    :param ticks: the place of each onset on the grid, in order; ``period`` is its beat's.
    :param pitches: of the same onsets, MIDI numbers; 0 where it isn't known.
    :param onsets: their instants.
    :param beats: where a beat tracker heard beats.
    :param hint: the period that was counted before, and by how much (natural logarithm of the odds)
        it is likelier for that: ``GOES_ON`` in the same take, ``CAME_BEFORE`` in the one before.
    """
    scores: dict[int, list[float]] = {}
    for beat, found in cues(ticks, pitches, period, onsets, beats):
        score = sum(WEIGHTS[name] * value for name, value in found.items())
        if hint is not None and abs(math.log(period * beat / TICKS / hint)) < SAME_BEAT:
            score += trust
        scores.setdefault(beat, []).append(score)
    if not scores:
        return ()
    best = max(max(each) for each in scores.values())
    odds = {beat: sum(math.exp(one - best) for one in each) for beat, each in scores.items()}
    total = sum(odds.values())
    return tuple(
        Level(period=period * beat / TICKS, probability=odds[beat] / total)
        for beat in sorted(odds, key=lambda each: -odds[each])
    )


def cues(
    ticks: Sequence[int],
    pitches: Sequence[int],
    period: float,
    onsets: Sequence[float],
    beats: Sequence[float],
) -> Iterator[tuple[int, Cues]]:
    """The cues of every level, and of every place where its beats may lie: (ticks, cues).

    Only of the first ``MOST_NOTES``. The arguments are those of :func:`count_levels`.
    """
    first_at = {at: k for k, at in reversed(list(enumerate(ticks[:MOST_NOTES])))}
    places = sorted(first_at)
    if len(places) < FEWEST_NOTES:
        return
    count = len(places)
    tick = period / TICKS
    longs = [min(LONG, (b - a) * tick) for a, b in pairwise(places)]
    longs.append(LONG)
    usual_long = sum(longs) / count
    turns = _turns([pitches[first_at[at]] for at in places])
    usual_turn = sum(turns) / count
    heard = [_is_near(beats, onsets[first_at[at]]) for at in places]
    all_heard = sum(heard)
    beats_in_range = [each for each in _BEATS if SHORTEST_BEAT <= each * tick <= LONGEST_BEAT]
    repeats = _repeats({at: pitches[k] for at, k in first_at.items()}, beats_in_range)
    for beat in beats_in_range:
        seconds = beat * tick
        speed = math.log2(seconds / PREFERRED_BEAT)
        notes = [0] * (6 * beat)
        long_at, turn_at, heard_at = [0.0] * beat, [0.0] * beat, [0] * beat
        for k, at in enumerate(places):
            notes[at % (6 * beat)] += 1
            place = at % beat
            long_at[place] += longs[k]
            turn_at[place] += turns[k]
            heard_at[place] += heard[k]
        each = [sum(notes[place::beat]) for place in range(beat)]
        most = max(each)
        for first, on in enumerate(each):
            if on < OFTEN * most:
                continue
            half = _at(each, first, (12,))
            thirds = _at(each, first, (8, 16))
            quarters = _at(each, first, (6, 18))
            one, other = (sum(notes[first + n * beat :: 2 * beat]) for n in (0, 1))
            three = sorted(sum(notes[first + n * beat :: 3 * beat]) for n in (0, 1, 2))
            yield (
                beat,
                {
                    "speed": speed,
                    "speed_squared": speed * speed,
                    "very_slow": max(0.0, math.log2(seconds / SLOW_BEAT)),
                    "notes_on": on / count,
                    "notes_at_half": half / count,
                    "notes_at_thirds": thirds / count,
                    "notes_at_quarters": quarters / count,
                    "notes_elsewhere": 1 - (on + half + thirds + quarters) / count,
                    "beats_with_note": min(1.0, on * beat / (places[-1] - places[0] + beat)),
                    "long_on": long_at[first] / on / usual_long - 1,
                    "turns_on": turn_at[first] / on - usual_turn,
                    "unlike_in_two": abs(one - other) / on,
                    "unlike_in_three": (three[2] - three[1]) / on,
                    "repeats": repeats[beat],
                    "heard": 2 * heard_at[first] / (on + all_heard),
                },
            )


def _at(each: Sequence[int], first: int, parts: Sequence[int]) -> int:
    """How many notes begin ``parts`` of the beat (24ths) after ``first``."""
    beat = len(each)
    return sum(each[(first + part * beat // 24) % beat] for part in parts if part * beat % 24 == 0)


def _repeats(pitch_at: Mapping[int, int], levels: Sequence[int]) -> Mapping[int, float]:
    """Of each level: how much (0 to 1) the melody is the same four and eight beats later. Where it
    is too short to tell, it is taken to be so as much as at the others."""
    found: dict[int, float] = {}
    last = max(pitch_at)
    for beat in levels:
        alike = 0.0
        compared = 0
        for lag in (4 * beat, 8 * beat):
            for at, pitch in pitch_at.items():
                if at + lag <= last:
                    compared += 1
                    off = abs(pitch_at.get(at + lag, -99) - pitch)
                    alike += 1.0 if off == 0 else NEARLY_ALIKE if off <= 2 else 0.0
        if compared >= FEWEST_NOTES:
            found[beat] = alike / compared
    usual = sum(found.values()) / len(found) if found else 0.0
    return {beat: found.get(beat, usual) for beat in levels}


def _turns(pitches: Sequence[int]) -> list[float]:
    """Of each note: does the melody turn there (1), or has it leapt there (0.7)?"""
    turns = [0.0] * len(pitches)
    for k in range(1, len(pitches) - 1):
        before, here, after = pitches[k - 1 : k + 2]
        if not (before and here and after):
            continue
        if (here - before) * (after - here) < 0:
            turns[k] = 1.0
        elif abs(here - before) >= LEAP:
            turns[k] = 0.7
    return turns


def _is_near(ordered: Sequence[float], at: float) -> bool:
    k = bisect_left(ordered, at)
    return any(abs(ordered[n] - at) < HEARD_NEAR for n in (k - 1, k) if 0 <= n < len(ordered))
