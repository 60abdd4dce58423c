"""What the floor and the voices do, laid beside the music in its order.

The floor detector and the recogniser report sooner than the music analysis, which knows a note only
when it has ended. The accumulator must hear of all of it in the order in which it happened.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from functools import partial
from operator import itemgetter

from ..hearing import FloorLabel, Instrument
from .accumulator import PerformanceAccumulator, TakeEvent

__all__ = ["BesideTheMusic"]

_Tell = Callable[[float], tuple[TakeEvent, ...]]


class BesideTheMusic:
    """Keeps what ``accumulator`` is to be told until the music up to then has been added.

    Instants are seconds of media time, and come in about their order.
    """

    def __init__(self, accumulator: PerformanceAccumulator) -> None:
        self._accumulator = accumulator
        self._waiting: deque[tuple[float, _Tell]] = deque()

    def floor_changed(self, at: float, before: FloorLabel, after: FloorLabel) -> None:
        """The floor is ``after`` from ``at`` on."""
        if after.is_music and not before.is_music:
            self._wait(at, self._accumulator.music_started)
        elif before.is_music and not after.is_music:
            self._wait(at, self._accumulator.music_stopped)

    def instrument(self, at: float, since: float, instrument: Instrument) -> None:
        """It is known at ``at`` what has been playing since ``since``."""
        self._wait(at, partial(self._heard, since, instrument))

    def speech(self, at: float) -> None:
        """Somebody said something at ``at``."""
        self._wait(at, self._spoken)

    def _wait(self, at: float, tell: _Tell) -> None:
        insort(self._waiting, (at, tell), key=itemgetter(0))

    def _heard(self, since: float, instrument: Instrument, at: float) -> tuple[TakeEvent, ...]:
        self._accumulator.instrument_heard(since, instrument)
        return ()

    def _spoken(self, at: float) -> tuple[TakeEvent, ...]:
        self._accumulator.speech_heard(at)
        return ()

    def analysed(self, up_to: float) -> tuple[TakeEvent, ...]:
        """All music up to ``up_to`` has been added: tell what belongs beside it.

        :returns: the takes that began or ended by it.
        """
        changes: list[TakeEvent] = []
        while self._waiting and self._waiting[0][0] <= up_to:
            at, tell = self._waiting.popleft()
            changes += tell(at)
        return (*changes, *self._accumulator.advance(up_to))

    def clear(self) -> None:
        """Forget what was not told yet."""
        self._waiting.clear()
