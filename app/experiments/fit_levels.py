"""Fits the weights of ``core/performance/level.py``: ``python -m ...fit_levels FOLDER``.

FOLDER has tunes in ABC files. Every other one is played at the level of notes, at a tempo that is
drawn: half of them evenly (in its logarithm) from 50 to 180, half about 96, where students mostly
are. What was heard of it is compared with the written beat: a conditional logit over all the levels
that the core considers gives each cue its weight. The tunes in between tell how well it does, and
so do the pieces the bench plays, none of which the weights are fitted to.

Folk songs are mostly written with two notes to the beat, what beginners play with one. So that
neither habit decides, tunes whose usual note is a beat have as much to say as those in which it is
half of one (``_SHARES``).

Rendered and heard, some notes are lost or wrong, and the model is surer than it should be:
``_TRUST`` takes that back. What the beat tracker heard isn't in the notes; its weight is kept. On
rendered takes, which have no accents, the fitted one is about zero.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from maestra.core.performance.level import TICKS, WEIGHTS, count_levels, cues

from .bench.steady import BEATS, FASTEST, SECONDS, SLOWEST
from .made_performances import PIECES, STUDIES, Piece
from .tunes import pieces

__all__ = ["main"]

_NAMES = tuple(name for name in WEIGHTS if name != "heard")
_SHARES = {24: 0.4, 12: 0.4, 8: 0.12, 6: 0.08}
"""How much tunes weigh in all whose usual note has so many ticks; others 0.02."""
_HEAVIEST = 12.0
_TRUST = 0.65
_LOST = 0.04
_USUAL_BPM, _SPREAD = 96.0, 0.28
_RIDGE = 1.0
_MOST = 2700


@frozen(kw_only=True, eq=False)
class _Played:
    ticks: Sequence[int]
    pitches: Sequence[int]
    period: float
    usual: int

    @property
    def onsets(self) -> list[float]:
        return [tick * self.period / TICKS for tick in self.ticks]


def _play(piece: Piece, rng: random.Random) -> _Played | None:
    """The beginning of ``piece``, less a few notes; ``None`` if it is too short or too quick."""
    if rng.random() < 0.5:
        tempo = math.exp(rng.uniform(math.log(SLOWEST), math.log(FASTEST)))
    else:
        tempo = _USUAL_BPM * math.exp(rng.gauss(0, _SPREAD))
    values = [round(TICKS * value) for value, midi in piece.notes if midi is not None]
    ticks: list[int] = []
    pitches: list[int] = []
    place = 0
    for value, midi in piece.notes:
        if place >= TICKS * max(BEATS, SECONDS * tempo / 60):
            break
        if midi is not None and rng.random() > _LOST:
            ticks.append(place)
            pitches.append(midi)
        place += round(TICKS * value)
    middle = sorted(values)[len(values) // 2]
    if len(ticks) < 10 or middle / TICKS * 60 / tempo < 0.16:
        return None
    usual = Counter(values).most_common(1)[0][0]
    return _Played(ticks=ticks, pitches=pitches, period=60 / tempo, usual=usual)


def _fit(played: Sequence[_Played]) -> dict[str, float]:
    from scipy.optimize import minimize

    often = Counter(one.usual for one in played)
    tables: list[tuple[NDArray[Any], NDArray[Any], float]] = []
    for one in played:
        found = list(cues(one.ticks, one.pitches, one.period, one.onsets, ()))
        written = np.array([beat == TICKS for beat, _ in found])
        if written.any():
            share = _SHARES.get(one.usual, 0.02)
            weight = min(_HEAVIEST, share * len(played) / often[one.usual])
            rows = np.array([[cue[name] for name in _NAMES] for _, cue in found])
            tables.append((rows, written, weight))
    spread = np.vstack([rows for rows, _, _ in tables]).std(axis=0) + 1e-9

    def loss(weights: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        total, slope = _RIDGE * float(weights @ weights) / 2, _RIDGE * weights
        for rows, written, weight in tables:
            scaled = rows / spread
            score = scaled @ weights
            odds = np.exp(score - score.max())
            right = odds[written].sum()
            total -= weight * math.log(right / odds.sum())
            slope = slope - weight * (
                odds[written] @ scaled[written] / right - odds @ scaled / odds.sum()
            )
        return total, slope

    best = minimize(loss, np.zeros(len(_NAMES)), jac=True, method="L-BFGS-B")
    return dict(zip(_NAMES, (_TRUST * best.x / spread).tolist(), strict=True))


def _told(played: Sequence[_Played]) -> str:
    """How many the weights in the core get right, at once and in two tries."""
    first = second = 0
    for one in played:
        found = count_levels(one.ticks, one.pitches, one.period, one.onsets, ())
        right = [abs(level.period / one.period - 1) < 0.01 for level in found[:2]]
        first += right[0]
        second += any(right)
    return f"{first / len(played):.3f}, or one of two {second / len(played):.3f} ({len(played)})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the weights, and how well those that the core has now do."""
    parser = argparse.ArgumentParser(prog="fit_levels", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true", help="fit nothing")
    options = parser.parse_args(arguments)
    rng = random.Random(0)
    tunes = list(pieces(options.folder))
    if not tunes:
        print(f"skipped: there are no tunes in {options.folder}")
        return 0
    for name, chosen in (
        ("fitted to", rng.sample(tunes[::2], min(_MOST, len(tunes[::2])))),
        ("not fitted to", rng.sample(tunes[1::2], min(_MOST // 2, len(tunes[1::2])))),
        ("the bench's pieces", [*PIECES, *STUDIES] * 20),
    ):
        played = [one for piece in chosen if (one := _play(piece, rng)) is not None]
        if name == "fitted to" and not options.check:
            for cue, weight in _fit(played).items():
                print(f'    "{cue}": {weight:.2f},')
        print(f"{name}: written beat found of {_told(played)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
