"""How a slow face degrades: fewer pictures, then the last one held, then a still.

Pure: ``now`` is seconds on any clock that never goes back.
"""

from __future__ import annotations

import enum
from collections import deque

from attrs import define, field

from maestra.ports.audio import FRAME_RATE

__all__ = ["HELD_AFTER", "STILL_AFTER", "Degrading", "Level"]

HELD_AFTER = 0.5
"""A picture that takes this long (s) holds the one before it: the picture counts as held."""

STILL_AFTER = 1.0
"""After this long (s) a face that stands still with its mouth open is replaced by an idle one."""

_WINDOW = 1.0
"""Seconds of pictures that say how quickly they are drawn."""

_ENOUGH = 6
"""So many pictures say so at the least."""

_TOO_SLOW = 1.25
_QUICK_ENOUGH = 0.9
"""Slots that a picture may take: more, and only every second slot is drawn; less, and all are
again."""


class Level(enum.Enum):
    """What is drawn: every slot's picture, every second one's, what comes, or nothing."""

    FULL = "full"
    FEWER = "fewer"
    HELD = "held"
    STILL = "still"


@define
class Degrading:
    """At which ``level`` one face is shown. Both methods say why the level has just changed, or
    nothing if it has not."""

    level: Level = field(default=Level.FULL, init=False)
    _took: deque[tuple[float, float]] = field(factory=deque, init=False)
    _since: float | None = field(default=None, init=False)

    def came(self, now: float, took: float) -> str:
        """A picture has come that took so many seconds."""
        self._since = now if self._since is None else self._since
        if self.level in (Level.HELD, Level.STILL):
            if took < HELD_AFTER:
                return self._change(now, Level.FEWER, "pictures come again")
            if took < STILL_AFTER and self.level is Level.STILL:
                return self._change(now, Level.HELD, "a picture came, late")
            return ""
        self._took.append((now, took))
        while self._took[0][0] <= now - _WINDOW:
            self._took.popleft()
        slots = sum(each for _, each in self._took) / len(self._took) * FRAME_RATE
        said = f"a picture takes {slots:.1f} times as long as it lasts"
        if now - self._since < _WINDOW or len(self._took) < _ENOUGH:
            return ""
        if self.level is Level.FULL and slots > _TOO_SLOW:
            return self._change(now, Level.FEWER, said)
        if self.level is Level.FEWER and slots < _QUICK_ENOUGH:
            return self._change(now, Level.FULL, said)
        return ""

    def waits(self, now: float, waited: float) -> str:
        """There has been no picture for so many seconds, though one is wanted."""
        if waited >= STILL_AFTER and self.level is not Level.STILL:
            return self._change(now, Level.STILL, f"no picture for {waited:.1f} s")
        if waited >= HELD_AFTER and self.level in (Level.FULL, Level.FEWER):
            return self._change(now, Level.HELD, f"no picture for {waited:.1f} s")
        return ""

    def _change(self, now: float, level: Level, cause: str) -> str:
        self.level = level
        self._since = now
        self._took.clear()
        return cause
