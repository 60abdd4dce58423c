"""Idle pictures for a face whose networks have left the device: the last ones that it drew.

They are shown forwards and backwards, a step a picture, so nothing jumps. Where to turn around is
chosen by chance among the places where the least moves, so that no turn is seen and no loop comes
of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from maestra.ports.audio import FRAME_RATE

from .streaming import REMEMBERED

if TYPE_CHECKING:
    from maestra.ports.audio import Picture

    from .streaming import Moment

__all__ = ["Resting"]

_KEPT = 6 * FRAME_RATE
"""Pictures that are kept, at most: 59 MB at 512 pixels square."""

_ENOUGH = 2 * FRAME_RATE
"""Pictures without which nobody rests."""

_SETTLING = 2 * FRAME_RATE
"""Idle pictures after speech in which head and mouth still come to rest: they are not kept."""

_QUIET = 0.25
"""The share of places where one may turn around."""


@frozen(kw_only=True)
class _Step:
    number: int
    place: int
    goal: int


class Resting:
    """Keeps what was drawn, and shows it again."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._settling = 0
        self._drawn: deque[tuple[int, Picture]] = deque(maxlen=_KEPT)
        self._steps: deque[_Step] = deque(maxlen=REMEMBERED)
        self._turns: list[int] = []

    @property
    def ready(self) -> bool:
        """Whether there is enough to be shown."""
        return len(self._drawn) >= _ENOUGH

    def keep(self, moments: Sequence[Moment], pictures: Sequence[Picture]) -> None:
        """Look at what was drawn of ``moments``."""
        self._steps.clear()
        for moment, picture in zip(moments, pictures, strict=True):
            while self._drawn and self._drawn[-1][0] >= moment.number:
                self._drawn.pop()
            if moment.speaking:
                self._drawn.clear()
                self._settling = _SETTLING
            elif self._settling:
                self._settling -= 1
            else:
                self._drawn.append((moment.number, picture))

    def show(self, number: int) -> Picture:
        """Picture ``number``, while ``ready``; those from there on have not been seen."""
        while self._steps and self._steps[-1].number >= number:
            self._steps.pop()
        if self._steps:
            place, goal = self._steps[-1].place, self._steps[-1].goal
        else:
            self._turns = self._quiet()
            seen = [place for place, (drawn, _) in enumerate(self._drawn) if drawn < number]
            place = goal = seen[-1] if seen else 0
        if place == goal:
            goal = self._away_from(place)
        place += 1 if goal > place else -1
        self._steps.append(_Step(number=number, place=place, goal=goal))
        return self._drawn[place][1]

    def _quiet(self) -> list[int]:
        """The places where the least moves."""
        coarse = np.stack([picture[::8, ::8] for _, picture in self._drawn]).astype(np.int16)
        moves = np.abs(np.diff(coarse, axis=0)).mean(axis=(1, 2))
        around = moves[:-1] + moves[1:]
        return [int(at) + 1 for at in np.flatnonzero(around <= np.quantile(around, _QUIET))]

    def _away_from(self, place: int) -> int:
        """Where to turn around next: not soon."""
        last = len(self._drawn) - 1
        far = [turn for turn in self._turns if abs(turn - place) > last // 3]
        if far:
            return far[int(self._random.integers(len(far)))]
        return 0 if place > last // 2 else last
