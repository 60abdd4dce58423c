"""The seams between idling and speech: nothing jumps where speech begins, ends or is cut off.

There a picture is shown only as far as the change from the one before it stays below what is usual
while the person speaks: the rest of the way is gone with the pictures that follow. It is the last
of the means, for what adds up by chance (a mouth that shuts, a blink and a turn of the head); a
face is to move smoothly by itself.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np
from attrs import define, field, frozen

if TYPE_CHECKING:
    from maestra.ports.audio import Picture

__all__ = ["Seams"]

_BOUND = 1.2
"""Times the median change from slot to slot within speech."""

_PICTURES = 8
"""So many from a seam on, and for as long as the picture has not caught up."""

_USUAL, _ENOUGH = 250, 20
"""Changes within speech that the median is of, at most and at least."""

_KEPT = 32
"""Pictures that were drawn and may not have been shown."""


@frozen(kw_only=True, eq=False)
class _Drawn:
    number: int
    speaking: bool
    picture: Picture


@define(eq=False)
class Seams:
    """What was drawn last, and how much changes from picture to picture of speech."""

    _drawn: deque[_Drawn] = field(factory=lambda: deque(maxlen=_KEPT), init=False)
    _changes: deque[float] = field(factory=lambda: deque(maxlen=_USUAL), init=False)
    _left: int = field(default=0, init=False)

    def shown(self, number: int, picture: Picture, *, speaking: bool) -> Picture:
        """What is shown of ``picture``, which follows the last one before ``number``: those from
        there on have not been seen."""
        while self._drawn and self._drawn[-1].number >= number:
            self._drawn.pop()
        if self._drawn:
            before = self._drawn[-1]
            if speaking != before.speaking:
                self._left = _PICTURES
            slots = number - before.number  # a slow face leaves some out
            picture = self._after(before.picture, picture, slots, speaking=speaking)
        self._drawn.append(_Drawn(number=number, speaking=speaking, picture=picture))
        return picture

    def _after(self, before: Picture, picture: Picture, slots: int, *, speaking: bool) -> Picture:
        apart = np.maximum(before, picture) - np.minimum(before, picture)
        change = float(apart.sum(dtype=np.uint64)) / apart.size
        if not self._left:
            if speaking:
                self._changes.append(change / slots)
            return picture
        self._left -= 1
        if len(self._changes) < _ENOUGH:
            return picture
        bound = _BOUND * slots * float(np.median(self._changes))
        if change <= bound:
            return picture
        self._left = max(self._left, 1)
        way = np.float32(bound / change)
        mixed = before + way * (picture.astype(np.float32) - before)
        blended: Picture = mixed.round().astype(np.uint8)
        return blended
