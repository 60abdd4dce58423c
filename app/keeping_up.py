"""Whether a sense keeps up with a live input: when to spare it sound, and when to call it hung.

A worker on a machine that is busy with other things is slow, and that is no reason to end it: what
it has learnt would be lost, and its models would have to be loaded where there is least time for
it. So it hangs only if it owes something and has said nothing at all for long; and if too much
waits for it, it is spared sound until it has caught up.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field

from maestra.core.media_time import SESSION_START, MediaTime, from_seconds

__all__ = ["KeepingUp"]

HUNG_AFTER = 20.0
"""Seconds in which a worker that owes something says nothing. The slowest thing it does between two
words takes half a second on an idle core."""

LOADING = 60.0
"""Likewise while it loads its models."""

FARTHEST_BEHIND = from_seconds(10.0)
"""So much may wait for a worker. Speech that is heard later than this is answered to nobody."""

CAUGHT_UP = from_seconds(0.5)


@define
class KeepingUp:
    """Follows one worker. ``now`` is monotonic, in seconds, and so are all times but media time."""

    _waiting: deque[tuple[MediaTime, MediaTime]] = field(factory=deque)
    """Until where each chunk that waits goes, and how long it is."""
    _waits: MediaTime = SESSION_START
    """How long they are in all."""
    _sign: float = 0.0
    """When it last gave a sign of life, or began to owe something."""
    _loading: bool = False
    _spared: bool = False

    def spare(self) -> bool:
        """Whether it is to be spared what comes now, and then until it has caught up."""
        self._spared = self._waits > (CAUGHT_UP if self._spared else FARTHEST_BEHIND)
        return self._spared

    def sent(self, start: MediaTime, end: MediaTime, now: float) -> None:
        """It was given sound."""
        if not self._waiting and not self._loading:
            self._sign = now
        self._waiting.append((end, MediaTime(end - start)))
        self._waits = MediaTime(self._waits + end - start)

    def said(self, now: float, up_to: MediaTime) -> None:
        """It said that it has heard all ``up_to`` there."""
        self._sign, self._loading = now, False
        while self._waiting and self._waiting[0][0] <= up_to:
            self._waits = MediaTime(self._waits - self._waiting.popleft()[1])

    def started_anew(self, now: float) -> None:
        """What waited for it is lost, and another loads."""
        self._sign, self._loading = now, True
        self._waiting.clear()
        self._waits, self._spared = SESSION_START, False

    def excuse(self, seconds: float) -> None:
        """For so long nobody could have heard it."""
        self._sign += seconds

    def hangs(self, now: float) -> bool:
        """Whether nothing is to be expected from it any more."""
        if self._loading:
            return now - self._sign > LOADING
        return bool(self._waiting) and now - self._sign > HUNG_AFTER
