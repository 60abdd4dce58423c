"""The session's worker processes: how they are started, spoken to and ended.

A worker is ``python -m maestra.app.workers NAME FD…``: a fresh interpreter, so that an embedding
program needs no ``if __name__ == "__main__"`` guard, no fork copies its threads and its models.
It inherits the ends of its pipes and nothing else. The first message on its control pipe is its
settings. A worker leaves when it is told to, and when the control pipe closes: so a session that is
killed leaves no orphan.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from multiprocessing.reduction import send_handle
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.from_thread
from anyio.lowlevel import EventLoopToken, current_token
from attrs import define, field, frozen

from ..messages import Stop

__all__ = ["Worker", "pipe"]

_GRACE = 3.0
"""Seconds a worker has to leave by itself: enough for a file's trailer, not for a hung model."""


_BATCH = 256
"""Messages handed to the event loop at once."""

_INBOX = 1_000
"""Messages that may wait for the event loop; beyond it the worker's pipe pushes back."""


def pipe() -> tuple[Connection, Connection]:
    """Two ends of a duplex pipe."""
    a, b = Pipe(duplex=True)
    return a, b


@define
class _Outbox:
    """Messages on their way to a worker. Who sends sees to it that not too many wait."""

    _items: deque[Any] = field(factory=deque)
    _changed: threading.Condition = field(factory=threading.Condition)
    _closed: bool = False

    def put(self, message: object) -> None:
        with self._changed:
            self._items.append(message)
            self._changed.notify()

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


@frozen
class _WithConnection:
    """``message`` is followed by one ``end`` of a pipe."""

    message: object
    end: Connection


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
    ) -> None:
        self.name = name
        self._settings = settings
        self._pipes = tuple(pipes)
        self._outbox = _Outbox()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Connection | None = None
        self._carrier: threading.Thread | None = None
        self._reader: threading.Thread | None = None
        self._token: EventLoopToken | None = None
        self._inbox: deque[Any] = deque()
        self._news = anyio.Event()
        self._taken = threading.Event()
        self._gone = False
        self._deaf = False

    def __enter__(self) -> Self:
        ours, theirs = pipe()
        fds = [theirs.fileno(), *(end.fileno() for end in self._pipes)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "maestra.app.workers", self.name, *map(str, fds)],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            # By default each thread that ever allocates keeps a heap of its own, and keeps it big.
            env={"MALLOC_ARENA_MAX": "2", **os.environ},
            # A terminal's Ctrl-C is for the session alone, which then tells its workers. Who leads
            # a group has its workers in it, so that whoever made the group can end it as one.
            start_new_session=os.getsid(0) != os.getpid(),
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

    def send(self, message: object) -> None:
        """Queue ``message``."""
        self._outbox.put(message)

    def hand(self, message: object, end: Connection) -> None:
        """Queue ``message``, and after it one end of a pipe, which is the worker's from now on."""
        self._outbox.put(_WithConnection(message, end))

    def listen(self) -> None:
        """Begin to take in what the worker says; call it from the event loop, once."""
        self._token = current_token()
        self._reader = threading.Thread(target=self._read, name=f"from-{self.name}", daemon=True)
        self._reader.start()

    async def receive(self) -> list[Any]:
        """The messages that have come, at least one; empty when the worker has gone."""
        while not self._inbox and not self._gone:
            self._news = anyio.Event()
            await self._news.wait()
        messages = list(self._inbox)
        self._inbox.clear()
        self._taken.set()
        return messages

    def _read(self) -> None:
        """The reader's thread: the only one that ever reads the pipe, to its very end, so that a
        worker that is leaving can finish what it has to say."""
        assert self._control is not None
        while True:
            messages = []
            try:
                messages.append(self._control.recv())
                while len(messages) < _BATCH and self._control.poll(0):
                    messages.append(self._control.recv())
            except (EOFError, OSError):
                if messages:
                    self._hand_over(messages)
                self._hand_over([])
                return
            self._hand_over(messages)

    def _hand_over(self, messages: list[Any]) -> None:
        if self._deaf:
            return
        try:
            anyio.from_thread.run_sync(self._take_in, messages, token=self._token)
        except RuntimeError:  # the event loop has ended: nobody wants to know any more
            self._deaf = True
            return
        while len(self._inbox) > _INBOX and not self._deaf:
            self._taken.clear()
            self._taken.wait(0.5)

    def _take_in(self, messages: list[Any]) -> None:
        if messages:
            self._inbox.extend(messages)
        else:
            self._gone = True
        self._news.set()

    def _carry(self) -> None:
        assert self._control is not None
        while items := self._outbox.take():
            for item in items:
                try:
                    if isinstance(item, _WithConnection):
                        self._control.send(item.message)
                        with item.end:
                            send_handle(self._control, item.end.fileno(), self.pid)
                    else:
                        self._control.send(item)
                except (OSError, ValueError):
                    return

    def stop(self) -> None:
        """Tell it to leave; idempotent."""
        self._outbox.put(Stop())
        self._outbox.close()

    def kill(self) -> None:
        """End it at once: it hangs."""
        if self._process is not None:
            self._process.kill()

    def join(self, grace: float = _GRACE) -> None:
        """Wait for it to leave, or end it."""
        if self._process is None:
            return
        self._deaf = True
        self._taken.set()
        for end in (self._process.terminate, self._process.kill, lambda: None):
            try:
                self._process.wait(grace)
                break
            except subprocess.TimeoutExpired:
                end()
                grace = 1.0
        threads = [thread for thread in (self._carrier, self._reader) if thread is not None]
        for thread in threads:
            thread.join(1.0)
        # One that is still there would read whatever gets the pipe's number next.
        if self._control is not None and not any(thread.is_alive() for thread in threads):
            self._control.close()
