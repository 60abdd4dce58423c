"""The playout's window: what is played is shown, slot by slot, to browsers' worker.

The thread that keeps time only puts a slot down; another carries it over, while somebody watches.
Who is too slow loses the oldest slots.
"""

from __future__ import annotations

import threading
from collections import deque
from multiprocessing.connection import Connection

from attrs import define, field

from ..messages import Shown, Watch

__all__ = ["Tap"]

_WAITING = 4
"""Slots that may wait to be carried over: more would only be stale."""


@define(eq=False)
class Tap:
    """Costs nothing while nobody watches."""

    _changed: threading.Condition = field(factory=threading.Condition, init=False)
    _slots: deque[tuple[int, bytes | None, bytes | None]] = field(factory=deque, init=False)
    _picture: bytes | None = field(default=None, init=False)
    _pipe: Connection | None = field(default=None, init=False)
    _watched: bool = field(default=False, init=False)

    def attach(self, pipe: Connection) -> None:
        """From now on ``pipe`` leads to those who watch; what did before has gone."""
        with self._changed:
            self._pipe, self._watched = pipe, False
            self._slots.clear()
            self._changed.notify_all()
        for body in (self._listen, self._carry):
            threading.Thread(target=body, args=(pipe,), name="tap", daemon=True).start()

    def put(self, slot: int, sound: bytes | None, picture: bytes | None) -> None:
        """Slot ``slot`` is played; ``picture`` ``None`` holds the last one."""
        with self._changed:
            if picture is not None:
                self._picture = picture
            if self._watched:
                self._slots.append((slot, sound, self._picture))
                if len(self._slots) > _WAITING:
                    self._slots.popleft()
                self._changed.notify_all()

    def _listen(self, pipe: Connection) -> None:
        while True:
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                self._detach(pipe)
                return
            if isinstance(message, Watch):
                with self._changed:
                    self._watched = message.on and self._pipe is pipe

    def _carry(self, pipe: Connection) -> None:
        sent: bytes | None = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._slots or self._pipe is not pipe)
                if self._pipe is not pipe:
                    return
                slot, sound, picture = self._slots.popleft()
            fresh = picture if picture is not sent else None
            try:
                pipe.send(Shown(slot=slot, sound=sound, picture=fresh))
            except OSError:
                self._detach(pipe)
                return
            sent = picture

    def _detach(self, pipe: Connection) -> None:
        with self._changed:
            if self._pipe is pipe:
                self._pipe, self._watched = None, False
                self._slots.clear()
                self._changed.notify_all()
