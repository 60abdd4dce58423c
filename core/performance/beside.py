"""What the floor and the voices do, laid beside the music in its order.

The floor detector and the recogniser report sooner than the music analysis, which knows a note only
when it has ended. The accumulator must hear of all of it in the order in which it happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..hearing import FloorLabel
from .accumulator import PerformanceAccumulator, TakeEvent

__all__ = ["BesideTheMusic"]


class BesideTheMusic:
    """Keeps what ``accumulator`` is to be told until the music up to then has been added.

    Instants are seconds of media time, and come in their order.
    """

    def __init__(self, accumulator: PerformanceAccumulator) -> None:
        self._accumulator = accumulator
        self._waiting: deque[tuple[float, Callable[[float], tuple[TakeEvent, ...]]]] = deque()

    def floor_changed(self, at: float, before: FloorLabel, after: FloorLabel) -> None:
        """The floor is ``after`` from ``at`` on."""
        if after.is_music and not before.is_music:
            self._waiting.append((at, self._accumulator.music_started))
        elif before.is_music and not after.is_music:
            self._waiting.append((at, self._accumulator.music_stopped))

    def speech(self, at: float) -> None:
        """Somebody said something at ``at``."""
        self._waiting.append((at, self._spoken))

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
