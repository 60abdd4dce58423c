"""Media time on a virtual clock: as fast as the work is done, in the same order as in real time.

The workers listen as fast as they can, each at its own pace. What they report waits here until
media time has come to it, and media time goes no further than all of them have listened, and no
further than the next thing that waits.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from maestra.core.conversation.conversation import ConversationState
from maestra.core.media_time import MediaTime, from_seconds

from .conductor import Conductor

__all__ = ["VirtualTime"]

_NOMINAL_REPLY_DELAY = from_seconds(0.3)
"""What an answer takes from the end of the turn to its first sound."""

_STEP = from_seconds(0.2)
"""How far the output goes at once while an answer is heard."""


class VirtualTime:
    """What waits for media time, and how far that may go. Tells ``conductor``, whose time it is,
    nothing but what was put here for it."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._heap: list[tuple[MediaTime, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._primed: dict[int, float] = {}
        self._scheduled = 0

    # --- what waits -----------------------------------------------------------

    def when(self, at: MediaTime, act: Callable[[], None]) -> None:
        """Do ``act`` once media time has come to ``at``; of the same time, in this order."""
        heapq.heappush(self._heap, (at, next(self._count), act))

    @property
    def next_at(self) -> MediaTime | None:
        """When the next thing that waits is due."""
        return self._heap[0][0] if self._heap else None

    def do_due(self, until: Callable[[], bool]) -> None:
        """Do what is due now, one thing after the other, ``until`` that is true."""
        while not until() and self._heap and self._heap[0][0] <= self._conductor.now:
            heapq.heappop(self._heap)[2]()

    # --- answers --------------------------------------------------------------

    def primed(self, number: int, voice_duration: float) -> None:
        """The voice of reply ``number`` is at hand."""
        self._primed[number] = voice_duration

    @property
    def lacks_voice(self) -> bool:
        """An answer is wanted whose voice is not at hand: time must wait, an answer takes no more
        of it than the nominal delay."""
        reply = self._conductor.reply
        return (
            reply is not None
            and not reply.failed
            and reply.number not in self._primed
            and reply.number != self._scheduled
            and self._conductor.conversation.state is ConversationState.RESPONDING
        )

    def schedule_answer(self) -> None:
        """Let the answer that is at hand begin a nominal delay after it was asked for."""
        reply = self._conductor.reply
        if reply is not None and reply.number in self._primed:
            number, duration = reply.number, self._primed.pop(reply.number)
            self.when(
                MediaTime(max(self._conductor.now, reply.turn_at + _NOMINAL_REPLY_DELAY)),
                lambda: self._conductor.primed(number, duration),
            )
            self._scheduled = number

    # --- how far --------------------------------------------------------------

    def next_step(self, frontier: MediaTime | None, *, speaks: bool) -> MediaTime | None:
        """How far media time may go now; ``None`` if it must wait for the senses.

        :param frontier: how far all the senses have listened; ``None``: to the end.
        :param speaks: an answer is on its way or heard, and may be interrupted at any time.
        """
        now = self._conductor.now
        limits = [at for at in (frontier, self.next_at, self._conductor.deadline) if at is not None]
        if speaks:
            limits.append(MediaTime(now + _STEP))
        if not limits:
            return None
        target = max(now, min(limits))
        due = self.next_at is not None and self.next_at <= now
        return target if target > now or due else None
