"""Steady takes: many pieces, rhythms, metres, instruments and tempi, to measure the tempo by.

What is played follows from the seed alone. Tempi are spread evenly (in their logarithm) from
``SLOWEST`` to ``FASTEST``, and dealt to the pieces by chance: a waltz may come out slow and a
march fast, as with students. A take has as many notes as begin within its first ``BEATS`` beats or
``SECONDS`` seconds, whichever is longer.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

from attrs import evolve, frozen

from ..made_performances import (
    PIECES,
    STUDIES,
    Detector,
    Fault,
    MadePerformance,
    Piece,
    Player,
    make_performance,
)
from . import material

__all__ = ["BEATS", "FASTEST", "SECONDS", "SLOWEST", "SteadyTake", "steady_takes"]

_T = TypeVar("_T")

SLOWEST, FASTEST = 50.0, 180.0
BEATS, SECONDS = 24.0, 16.0
SHORTEST_NOTE = 0.14
_JITTER = (0.010, 0.015)
"""Standard deviation of a note's onset, in seconds, from the best to the worst player."""


@frozen(kw_only=True)
class SteadyTake:
    """``made`` is what the player did; ``tempo_bpm`` is that of the beat as it is written."""

    name: str
    instrument: str
    tempo_bpm: float
    made: MadePerformance


def steady_takes(
    count: int, seed: int, played: Sequence[Piece] | None = None
) -> Iterator[SteadyTake]:
    """``count`` different takes of ``played``, or of the project's own pieces. A detector's errors
    are none of theirs.

    Nobody can play a piece at any tempo: one that would be too quick gives way to another.
    """
    rng = random.Random(seed)
    tempi = [SLOWEST * (FASTEST / SLOWEST) ** ((k + rng.random()) / count) for k in range(count)]
    rng.shuffle(tempi)
    pieces = _dealt((*PIECES, *STUDIES) if played is None else played, count, rng)
    instruments = _dealt(tuple(material.ALL_INSTRUMENTS), count, rng)
    pure = Detector(jitter=0.0, lateness=0.0, missing=0.0, extra=0.0, spread_cents=0.0)
    for k, (piece, instrument, tempo) in enumerate(zip(pieces, instruments, tempi, strict=True)):
        while played is not None and not _is_playable(piece, tempo):
            piece = rng.choice(played)
        player = Player(
            jitter=rng.uniform(*_JITTER),
            articulation=rng.choice((0.85, 0.93, 0.97)),
            rings=instrument in ("plucked", "struck"),
        )
        made = make_performance(
            seed * 1000 + k,
            Fault.CLEAN,
            piece=_beginning(piece, max(BEATS, SECONDS * tempo / 60)),
            player=player,
            detector=pure,
            tempo_bpm=tempo,
        )
        yield SteadyTake(
            name=f"{piece.name} on {instrument} at {tempo:.0f}",
            instrument=instrument,
            tempo_bpm=tempo,
            made=made,
        )


def _dealt(cards: Sequence[_T], count: int, rng: random.Random) -> list[_T]:
    """``count`` of ``cards``: all of them, mixed, as often as it takes."""
    dealt: list[_T] = []
    while len(dealt) < count:
        dealt += rng.sample(cards, len(cards))
    return dealt[:count]


def _is_playable(piece: Piece, tempo_bpm: float) -> bool:
    """Three of four notes last long enough for a student."""
    values = sorted(value for value, midi in piece.notes if midi is not None)
    return 60 / tempo_bpm * values[len(values) // 4] >= SHORTEST_NOTE


def _beginning(piece: Piece, beats: float) -> Piece:
    """The notes of ``piece`` that begin in its first ``beats``."""
    kept = 0
    place = 0.0
    while kept < len(piece.notes) and place < beats:
        place += piece.notes[kept][0]
        kept += 1
    return evolve(piece, notes=piece.notes[:kept])
