"""A circuit breaker: a backend that fails again and again is left alone for a while.

The kept libraries wrap a call and read a clock of their own. Here a call is a stream of clauses or
of sound that may fail half-way or be cut off, and time is an argument, so this one is ours.
"""

from __future__ import annotations

import enum

from attrs import define, field

__all__ = ["Breaker", "BreakerState"]


class BreakerState(enum.Enum):
    """``CLOSED``: it is asked. ``OPEN``: it is passed over. ``HALF_OPEN``: it is being tried."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@define
class Breaker:
    """Whether one backend is worth asking.

    It opens after ``tolerance`` failures in a row, for ``cool_down`` seconds. Then one call is let
    through: if that succeeds the breaker closes, if it fails the breaker opens for twice as long,
    up to ``longest``. ``now`` is seconds on any clock that never goes back, always the same one.

    Each ``admits`` that was true is followed by one of ``succeeded``, ``failed`` and ``abandoned``.
    """

    tolerance: int = 2
    cool_down: float = 15.0
    longest: float = 240.0
    state: BreakerState = field(default=BreakerState.CLOSED, init=False)
    _failures: int = field(default=0, init=False)
    _rest: float = field(default=0.0, init=False)
    _until: float = field(default=0.0, init=False)

    def admits(self, now: float) -> bool:
        """May it be asked now? When it is open and has cooled down, the first who asks may try."""
        if self.state is BreakerState.OPEN and now >= self._until:
            self.state = BreakerState.HALF_OPEN
            return True
        return self.state is BreakerState.CLOSED

    def is_open(self, now: float) -> bool:
        """Would it be passed over now? Unlike ``admits`` this begins no trial."""
        if self.state is BreakerState.OPEN:
            return now < self._until
        return self.state is BreakerState.HALF_OPEN

    def succeeded(self) -> None:
        """It did what it was asked for: it is well."""
        self.state = BreakerState.CLOSED
        self._failures = 0
        self._rest = 0.0

    def failed(self, now: float) -> None:
        """It failed."""
        self._failures += 1
        if self.state is BreakerState.CLOSED and self._failures < self.tolerance:
            return
        self._rest = min(self._rest * 2 or self.cool_down, self.longest)
        self.state = BreakerState.OPEN
        self._until = now + self._rest

    def abandoned(self) -> None:
        """It was cut off before it could succeed or fail: if that was a trial, another may follow
        at once."""
        if self.state is BreakerState.HALF_OPEN:
            self.state = BreakerState.OPEN
