"""Which beat is counted: by the habits of written music, alike wherever and however fast it is
played, and with the other likely one where there is doubt."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from maestra.app.experiments.made_performances import PIECES, STUDIES, Piece
from maestra.core.performance.accumulator import PerformanceAccumulator
from maestra.core.performance.level import CAME_BEFORE, TICKS, Level, count_levels
from maestra.core.performance.notes import PerformedNote
from maestra.core.performance.summary import TakeSummary

BY_NAME = {piece.name: piece for piece in (*PIECES, *STUDIES)}


def counted(
    piece: Piece,
    bpm: float,
    *,
    grid: float = 1.0,
    later: float = 0.0,
    beats: Sequence[float] = (),
    hint: float | None = None,
) -> tuple[Level, ...]:
    """The levels of ``piece``, followed on a grid of ``grid`` written beats."""
    ticks: list[int] = []
    pitches: list[int] = []
    place = 0.0
    for value, midi in piece.notes:
        if midi is not None:
            ticks.append(round(place * TICKS / grid))
            pitches.append(midi)
        place += value
    tick = grid * 60 / bpm / TICKS
    onsets = [later + at * tick for at in ticks]
    return count_levels(
        ticks, pitches, grid * 60 / bpm, onsets, beats, hint, CAME_BEFORE if hint else 0.0
    )


def take_of(
    piece: Piece, bpm: float, *, jitter: float = 0.012, start: float = 1.0, stretch: float = 1.0
) -> TakeSummary:
    """What is known of ``piece``, played steadily; no beat tracker has heard it."""
    rng = random.Random(7)
    accumulator = PerformanceAccumulator()
    at = 1.0
    for value, midi in piece.notes:
        length = value * 60 / bpm
        if midi is not None:
            onset = start + stretch * (at + rng.gauss(0, jitter) - 1.0)
            accumulator.add(PerformedNote(onset=onset, duration=0.9 * length * stretch, midi=midi))
        at += length
    return accumulator.summary().takes[-1]


def tempo_of(take: TakeSummary) -> float:
    assert take.tempo_bpm is not None
    return take.tempo_bpm.value


@pytest.mark.parametrize("bpm", [76, 92, 108])
@pytest.mark.parametrize("name", ["ode_to_joy", "frere_jacques", "minuet_in_g", "greensleeves"])
def test_songs_at_a_walking_pace_are_counted_in_crotchets(name: str, bpm: float) -> None:
    assert 60 / counted(BY_NAME[name], bpm)[0].period == pytest.approx(bpm)


def test_the_likelihoods_are_those_of_levels_that_exclude_each_other() -> None:
    levels = counted(BY_NAME["twinkle"], 100)
    assert sum(level.probability for level in levels) == pytest.approx(1)
    assert [level.probability for level in levels] == sorted(
        (level.probability for level in levels), reverse=True
    )
    assert len({round(level.period, 6) for level in levels}) == len(levels)


@pytest.mark.parametrize("name", ["mary", "jig", "long_and_short"])
def test_it_matters_neither_when_it_is_played_nor_on_which_grid_it_was_followed(name: str) -> None:
    piece = BY_NAME[name]
    here = counted(piece, 90)
    assert counted(piece, 90, later=1000.0) == here
    for grid in (0.5, 2.0):
        other = {round(each.period, 6): each for each in counted(piece, 90, grid=grid)}
        # the grids offer different levels; what both offer is weighed alike
        both = [each for each in here if round(each.period, 6) in other]
        first, second = both[:2]
        odds = first.probability / second.probability
        alike = [other[round(each.period, 6)].probability for each in (first, second)]
        assert alike[0] / alike[1] == pytest.approx(odds, rel=1e-6)


def test_a_beat_is_seldom_very_slow_or_very_quick() -> None:
    for bpm in (60, 90, 120, 180):
        found = 60 / counted(BY_NAME["c_major_scale"], bpm)[0].period
        assert 50 < found < 190


def test_a_melody_that_turns_every_three_notes_is_counted_in_threes() -> None:
    levels = counted(BY_NAME["jig"], 96, grid=4 / 3)
    in_threes = next(each for each in levels if 60 / each.period == pytest.approx(96))
    in_fours = next(each for each in levels if 60 / each.period == pytest.approx(72))
    assert in_threes.probability > 4 * in_fours.probability


def test_beats_that_were_heard_speak_for_their_level() -> None:
    piece = BY_NAME["five_finger_study"]
    slow, quick = [k * 1.0 for k in range(40)], [k * 0.5 for k in range(80)]

    def likely(beats: Sequence[float]) -> float:
        return next(
            each.probability
            for each in counted(piece, 60, beats=beats)
            if each.period == pytest.approx(1.0)
        )

    assert likely(slow) > likely(()) > likely(quick)


def test_the_next_take_is_rather_counted_as_the_one_before() -> None:
    piece, bpm = BY_NAME["london_bridge"], 132.0
    first, second = counted(piece, bpm)[:2]
    after = counted(piece, bpm, hint=second.period)
    again = next(each for each in after if each.period == second.period)
    assert again.probability > second.probability
    assert counted(piece, bpm, hint=first.period * 1.25)[:2] == (first, second)


def test_too_few_notes_are_not_counted() -> None:
    assert count_levels([0, 24, 48], [60, 62, 64], 0.6, [0.0, 0.6, 1.2], ()) == ()
    assert count_levels([], [], 0.6, [], ()) == ()


# --- of a take ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["ode_to_joy", "in_five", "row_your_boat"])
def test_the_tempo_of_a_take_follows_its_stretching_and_not_its_place(name: str) -> None:
    piece = BY_NAME[name]
    here = tempo_of(take_of(piece, 96))
    assert tempo_of(take_of(piece, 96, start=500.0)) == pytest.approx(here, rel=1e-3)
    assert tempo_of(take_of(piece, 96, stretch=1.04)) == pytest.approx(here / 1.04, rel=5e-3)


def test_where_another_beat_is_as_likely_it_is_stated() -> None:
    take = take_of(BY_NAME["mary"], 150)
    other = take.alternative_bpm
    assert other is not None
    assert {round(tempo_of(take)), round(other.value)} == {75, 150}
    assert 0.1 < other.confidence < 0.6
    assert other in tuple(take.figures())


def test_where_there_is_no_doubt_no_other_beat_is_stated() -> None:
    take = take_of(BY_NAME["minuet_in_g"], 96)
    assert tempo_of(take) == pytest.approx(96, rel=0.01)
    assert take.alternative_bpm is None
    assert "alternative_bpm" not in take.to_dict()


def test_long_tones_have_no_tempo() -> None:
    """Five notes are no pulse, however evenly they follow each other."""
    accumulator = PerformanceAccumulator()
    for k in range(5):
        accumulator.add(PerformedNote(onset=1 + 3.3 * k, duration=3.2, midi=60 + k))
    take = accumulator.summary().takes[-1]
    assert take.tempo_bpm is None
    assert take.alternative_bpm is None
    assert take.practice_tempo_bpm is None
