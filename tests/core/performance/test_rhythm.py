from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import median

import pytest

from maestra.core.performance.rhythm import follow_pulse, tempo_points


def tempo(rhythm: Sequence[float], bpm: float, *, seed: int, beats_heard_every: float) -> float:
    """The tempo found of ``rhythm`` (in beats), eight times over, with a jitter of 15 ms."""
    rng = random.Random(seed)
    period = 60 / bpm
    at = 1.0
    onsets: list[float] = []
    for value in tuple(rhythm) * 8:
        onsets.append(at + rng.gauss(0, 0.015))
        at += value * period
    onsets.append(at)
    ends = [*(onset - 0.02 for onset in onsets[1:]), at + 0.2]
    step = beats_heard_every * period
    beats = [1 + step * k + rng.gauss(0, 0.01) for k in range(int((at - 1) / step))]
    pulse = follow_pulse(onsets, ends, beats, None)
    assert pulse is not None
    return median(found for _, found in tempo_points(pulse, onsets))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_notes_hardly_longer_than_their_jitter_have_a_tempo(seed: int) -> None:
    """Sixteenths of a tenth of a second, with beats heard on every other beat."""
    found = tempo((0.25,) * 4 + (0.5, 0.5), 146, seed=seed, beats_heard_every=2)
    assert found == pytest.approx(146, rel=0.01)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_slow_pulse_that_was_heard_is_followed_through_dotted_notes(seed: int) -> None:
    found = tempo((0.75, 0.25, 0.75, 0.25, 1, 1), 178, seed=seed, beats_heard_every=2)
    assert found == pytest.approx(89, rel=0.04)


@pytest.mark.parametrize("seed", range(6))
def test_a_note_heard_twice_or_not_at_all_does_not_change_the_tempo(seed: int) -> None:
    """Quavers at 162, two of them heard twice and one not: each used to move all after it."""
    rng = random.Random(seed)
    half = 30 / 162
    onsets = [1 + half * k + rng.gauss(0, 0.018) for k in range(33)]
    del onsets[17]
    onsets = sorted([*onsets, onsets[1] + 0.085, onsets[13] + 0.08])
    ends = [*(onset - 0.02 for onset in onsets[1:]), onsets[-1] + 0.2]
    beats = [1 + 4 * half * k for k in range(9)]
    pulse = follow_pulse(onsets, ends, beats, None)
    assert pulse is not None
    assert pulse.period / half == pytest.approx(round(pulse.period / half), rel=0.01)


@pytest.mark.parametrize("change", [0.9, 1.12, 1.25])
def test_a_tempo_that_changes_is_not_put_on_a_steady_grid(change: float) -> None:
    rng = random.Random(3)
    onsets: list[float] = []
    beats: list[float] = []
    at = 1.0
    for k in range(48):
        beats.append(at)
        onsets.append(at + rng.gauss(0, 0.01))
        at += 0.6 / (1 + (change - 1) * k / 48)
    ends = [*(onset - 0.02 for onset in onsets[1:]), onsets[-1] + 0.2]
    pulse = follow_pulse(onsets, ends, beats, None)
    assert pulse is not None
    points = [bpm for _, bpm in tempo_points(pulse, onsets)]
    assert points[-1] / points[0] == pytest.approx(change, rel=0.07)
