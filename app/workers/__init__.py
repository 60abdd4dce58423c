"""The session's worker processes: how they are started, spoken to and ended.

A worker is ``python -m maestra.app.workers NAME FD…``: a fresh interpreter, so that an embedding
program needs no ``if __name__ == "__main__"`` guard, no fork copies its threads and its models.
It inherits the ends of its pipes and nothing else. The first message on its control pipe is its
settings. A worker leaves when it is told to, and when the control pipe closes: so a session that is
killed leaves no orphan.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.to_thread
from attrs import define, field

from ..messages import Stop

__all__ = ["Worker", "pipe"]

_GRACE = 3.0
"""Seconds a worker has to leave by itself: enough for a file's trailer, not for a hung model."""


def pipe() -> tuple[Connection, Connection]:
    """Two ends of a duplex pipe."""
    a, b = Pipe(duplex=True)
    return a, b


@define
class _Outbox:
    """Messages on their way to a worker: bounded, so that a stalled worker costs no memory."""

    limit: int
    _items: deque[Any] = field(factory=deque)
    _changed: threading.Condition = field(factory=threading.Condition)
    _closed: bool = False
    dropped: int = 0

    def put(self, message: object, *, droppable: bool) -> bool:
        with self._changed:
            if droppable and len(self._items) >= self.limit:
                self.dropped += 1
                return False
            self._items.append(message)
            self._changed.notify()
            return True

    def take(self) -> list[Any]:
        """Everything that waits, once something does; empty when closed."""
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            items = list(self._items)
            self._items.clear()
            return items

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def __len__(self) -> int:
        return len(self._items)


class Worker:
    """A worker process and the pipe to it.

    Entering starts it; leaving tells it to stop, waits a little, then ends it. ``send`` never
    blocks: a thread carries the messages over.
    """

    def __init__(
        self,
        name: str,
        settings: object,
        *,
        pipes: Sequence[Connection] = (),
        outbox_limit: int = 3_000,
    ) -> None:
        self.name = name
        self._settings = settings
        self._pipes = tuple(pipes)
        self._outbox = _Outbox(limit=outbox_limit)
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Connection | None = None
        self._carrier: threading.Thread | None = None

    def __enter__(self) -> Self:
        ours, theirs = pipe()
        fds = [theirs.fileno(), *(end.fileno() for end in self._pipes)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "maestra.app.workers", self.name, *map(str, fds)],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            # A terminal's Ctrl-C is for the session alone, which then tells its workers.
            start_new_session=True,
        )
        theirs.close()
        for end in self._pipes:
            end.close()
        self._control = ours
        ours.send(self._settings)
        self._carrier = threading.Thread(target=self._carry, name=f"to-{self.name}", daemon=True)
        self._carrier.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.join()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def waiting(self) -> int:
        """How many messages have not been carried over yet."""
        return len(self._outbox)

    @property
    def dropped(self) -> int:
        """How many droppable messages the full outbox refused."""
        return self._outbox.dropped

    def send(self, message: object, *, droppable: bool = False) -> bool:
        """Queue ``message``; false if it was dropped because the worker is too far behind."""
        return self._outbox.put(message, droppable=droppable)

    async def receive(self) -> list[Any]:
        """The messages that have come, at least one; empty when the worker has gone."""
        return await anyio.to_thread.run_sync(self._receive, abandon_on_cancel=True)

    def _receive(self) -> list[Any]:
        assert self._control is not None
        messages = []
        try:
            messages.append(self._control.recv())
            while len(messages) < 256 and self._control.poll(0):
                messages.append(self._control.recv())
        except (EOFError, OSError):
            pass
        return messages

    def _carry(self) -> None:
        assert self._control is not None
        while items := self._outbox.take():
            for item in items:
                try:
                    self._control.send(item)
                except (OSError, ValueError):
                    return

    def stop(self) -> None:
        """Tell it to leave; idempotent."""
        self._outbox.put(Stop(), droppable=False)
        self._outbox.close()

    def join(self, grace: float = _GRACE) -> None:
        """Wait for it to leave, or end it. The pipe is drained meanwhile so that it can finish."""
        if self._process is None:
            return
        drain = threading.Thread(target=self._drain, daemon=True)
        drain.start()
        for end in (self._process.terminate, self._process.kill, lambda: None):
            try:
                self._process.wait(grace)
                break
            except subprocess.TimeoutExpired:
                end()
                grace = 1.0
        if self._carrier is not None:
            self._carrier.join(1.0)
        drain.join(1.0)
        if self._control is not None:
            self._control.close()

    def _drain(self) -> None:
        while self._receive():
            pass
