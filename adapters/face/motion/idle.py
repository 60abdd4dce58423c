"""What a living face does by itself: blinks, glances, breath, sway.

Everything here is a pure, continuous function of the picture's number and a seed, so that stepping
back in time shows the same movement again, and nothing ever loops: the noise is drawn from a hash
of the lattice point, not from a table.
"""

from __future__ import annotations

import math

from attrs import frozen

from maestra.ports.audio import FRAME_RATE

__all__ = ["Idle", "Rest"]

_MASK = (1 << 64) - 1

_BLINK_EVERY = 4.0
_BLINK_JITTER = 0.95  # either way, so that blinks are 2.1 to 5.9 s apart
_CLOSE, _HOLD, _OPEN = 0.08, 0.03, 0.17

_GLANCE_EVERY = 1.7
_GLANCE_JITTER = 0.6
_SACCADE = 0.07


def _hash(*parts: int) -> float:
    """Uniform in [0, 1) from integers (splitmix64)."""
    z = 0
    for part in parts:
        z = (z ^ (part & _MASK)) + 0x9E3779B97F4A7C15 & _MASK
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
        z ^= z >> 31
    return z / 2.0**64


def _ease(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * x * (x * (6 * x - 15) + 10)


@frozen(kw_only=True)
class Rest:
    """The face at one moment, were nothing said.

    ``blink`` 0 open … 1 shut; ``gaze_x``, ``gaze_y`` -1 … 1; ``breath`` -1 out … 1 in; the rest is
    smooth noise of about unit size: ``x``, ``y`` head position, ``roll``, ``near`` its distance,
    ``yaw``, ``pitch`` where it is turned, ``brow``, ``smile``.
    """

    blink: float
    gaze_x: float
    gaze_y: float
    breath: float
    x: float
    y: float
    roll: float
    near: float
    yaw: float
    pitch: float
    brow: float
    smile: float


class Idle:
    """The idle movement of one puppet."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def at(self, index: int) -> Rest:
        """The rest at picture ``index``."""
        t = index / FRAME_RATE
        gaze_x, gaze_y = self._gaze(t)
        return Rest(
            blink=self._blink(t),
            gaze_x=gaze_x + 0.05 * self._noise(1, t * 2.3),
            gaze_y=gaze_y + 0.05 * self._noise(2, t * 2.1),
            breath=math.sin(2 * math.pi * 0.24 * t + 1.3 * self._noise(3, t * 0.11)),
            x=self._drift(4, t, 0.19),
            y=self._drift(5, t, 0.17),
            roll=self._drift(6, t, 0.15),
            near=self._drift(7, t, 0.09),
            # The eyes hold the student's while the head turns, and the head follows a glance a
            # little.
            yaw=self._drift(8, t, 0.21) + 0.25 * self._smooth_gaze(t),
            pitch=self._drift(9, t, 0.18),
            brow=self._drift(10, t, 0.23),
            smile=self._drift(11, t, 0.12),
        )

    def _noise(self, channel: int, x: float) -> float:
        """Smooth noise in [-1, 1]."""
        cell = math.floor(x)
        a = 2 * _hash(self._seed, channel, cell) - 1
        b = 2 * _hash(self._seed, channel, cell + 1) - 1
        return a + (b - a) * _ease(x - cell)

    def _drift(self, channel: int, t: float, rate_hz: float) -> float:
        return (
            self._noise(channel, t * rate_hz * 2)
            + 0.45 * self._noise(channel + 100, t * rate_hz * 4.7 + 0.37)
            + 0.16 * self._noise(channel + 200, t * rate_hz * 11.3 + 0.71)
        )

    def _blink(self, t: float) -> float:
        slot = math.floor(t / _BLINK_EVERY)
        shut = 0.0
        for n in (slot - 1, slot, slot + 1):
            jitter = (2 * _hash(self._seed, 20, n) - 1) * _BLINK_JITTER
            start = (n + 0.5) * _BLINK_EVERY + jitter
            shut = max(shut, self._lid(t - start))
            if _hash(self._seed, 21, n) < 0.12:  # now and then a second one follows at once
                shut = max(shut, 0.85 * self._lid(t - start - 0.36))
        return shut

    @staticmethod
    def _lid(t: float) -> float:
        if t < _CLOSE:
            return _ease(t / _CLOSE)
        return 1 - _ease((t - _CLOSE - _HOLD) / _OPEN)

    def _target(self, n: int) -> tuple[float, float, float]:
        start = (n + 0.5 + (_hash(self._seed, 30, n) - 0.5) * _GLANCE_JITTER) * _GLANCE_EVERY
        if _hash(self._seed, 31, n) < 0.45:  # mostly she looks at the student
            return start, 0.0, 0.0
        x = 2 * _hash(self._seed, 32, n) - 1
        y = 2 * _hash(self._seed, 33, n) - 1
        return start, x, 0.6 * y

    def _gaze(self, t: float, duration: float = _SACCADE) -> tuple[float, float]:
        n = math.floor(t / _GLANCE_EVERY) + 1
        while self._target(n)[0] > t:
            n -= 1
        start, x, y = self._target(n)
        _, px, py = self._target(n - 1)
        k = _ease((t - start) / duration)
        return px + (x - px) * k, py + (y - py) * k

    def _smooth_gaze(self, t: float) -> float:
        return self._gaze(t, 0.6)[0]
