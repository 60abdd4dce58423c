"""The event log's keeper: writes a session's records to a file and hands them to whoever listens.

The log never hurts the session. A disk that is full, or a file that is gone, costs records and one
warning; writing is tried again later, and the first record after the gap says how many were lost.
A listener that does not keep up loses its oldest records and is told how many.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import anyio
import attrs

from maestra.core.log import Record, SessionEnded, Warned, encode
from maestra.ports.errors import MaestraError

__all__ = ["EventLog", "EventLogError", "Subscription"]

_RETRY_AFTER = 5.0
"""Seconds to wait before a file that failed is tried again."""

_SUBSCRIBER_RECORDS = 10_000
"""How many records may wait for a listener: minutes of the densest music."""

_FIRST_RECORDS = 200
"""How many of a session's first records are kept for listeners that come late: what it said of
itself and of licences while nobody could listen yet."""


class EventLogError(MaestraError):
    """The event log's file cannot be opened. Raised before the session begins, never during it."""


class Subscription:
    """An async iterator of records, until the log is closed.

    ``lost`` counts the records that were dropped, oldest first, because nobody took them, and of a
    replay those that were no longer kept.
    """

    def __init__(self, limit: int) -> None:
        self._waiting: deque[Record] = deque()
        self._limit = limit
        self._news = anyio.Event()
        self._closed = False
        self.lost = 0

    def push(self, record: Record) -> None:
        """Hand over ``record``; never waits."""
        if len(self._waiting) == self._limit:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(record)
        self._news.set()

    def close(self) -> None:
        """End the iteration once what waits has been taken."""
        self._closed = True
        self._news.set()

    def __aiter__(self) -> AsyncIterator[Record]:
        return self

    async def __anext__(self) -> Record:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._news = anyio.Event()
            await self._news.wait()
        return self._waiting.popleft()


class EventLog:
    """Append-only. Use as a context manager; ``append`` never raises.

    :param path: where to write; ``None`` keeps no file.
    :param wall: the clock that stamps the records.
    :raises EventLogError: the file cannot be opened.
    """

    def __init__(self, path: Path | None = None, *, wall: Callable[[], float] = time.monotonic):
        self._path = path
        self._wall = wall
        self._file: IO[bytes] | None = None
        self._lost = 0
        self._retry_at = 0.0
        self._torn = False
        self._t = 0.0
        self._closed = False
        self._first: list[Record] = []
        self._count = 0
        self._subscriptions: list[Subscription] = []
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("wb", buffering=0)
            except OSError as error:
                raise EventLogError(
                    f"the event log {path} cannot be written: {error.strerror}"
                ) from error

    def subscribe(self, *, replay: bool = False, limit: int = _SUBSCRIBER_RECORDS) -> Subscription:
        """Listen from now on; of a log that is closed there is nothing more to come.

        :param replay: begin with the session's first records, as many as are kept. Each record
            comes once.
        """
        subscription = Subscription(limit)
        if replay:
            for record in self._first:
                subscription.push(record)
            subscription.lost += self._count - len(self._first)
        if self._closed:
            subscription.close()
        else:
            self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop listening."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
        subscription.close()

    def append(self, record: Record) -> None:
        """Stamp ``record`` and log it."""
        stamped = attrs.evolve(record, wall=self._wall())
        if math.isfinite(stamped.t):
            self._t = stamped.t
        self._publish(stamped)
        if self._path is None:
            return
        if self._lost and stamped.wall < self._retry_at and not isinstance(record, SessionEnded):
            self._lost += 1
            return
        data = b""
        if self._lost:
            gap = f"{self._lost} records were lost: the file could not be written"
            data = self._warning(gap, stamped.wall)
        try:
            data += _line(stamped)
        except (TypeError, ValueError) as error:  # a figure that is not a number, most likely
            text = f"a record of type {stamped.type} cannot be written: {error}"
            data += self._warning(text, stamped.wall)
        try:
            self._write(data)
        except OSError as error:
            self._retry_at = stamped.wall + _RETRY_AFTER
            self._lost += 1
            if self._lost == 1:
                text = f"the event log cannot be written, the session goes on: {error.strerror}"
                self._publish(Warned(t=self._t, wall=stamped.wall, source="event_log", text=text))
        else:
            self._lost = 0

    def close(self) -> None:
        """Close the file and end every subscription."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError:
                pass  # nothing waits to be written: the file is unbuffered
            self._file = None
        self._path = None
        self._closed = True
        for subscription in self._subscriptions:
            subscription.close()
        self._subscriptions.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _warning(self, text: str, wall: float) -> bytes:
        """A line of our own, at the last instant that is known."""
        return _line(Warned(t=self._t, wall=wall, source="event_log", text=text))

    def _publish(self, record: Record) -> None:
        self._count += 1
        if len(self._first) < _FIRST_RECORDS:
            self._first.append(record)
        for subscription in self._subscriptions:
            subscription.push(record)

    def _write(self, data: bytes) -> None:
        """Write ``data``, whole lines. What a full disk cut short is taken back, or ended."""
        if self._file is None:
            assert self._path is not None
            self._file = self._path.open("ab", buffering=0)
        if self._torn:
            data = b"\n" + data
        written = 0
        try:
            while written < len(data):
                written += self._file.write(data[written:]) or 0
            self._torn = False
        except OSError:
            if written:
                self._torn = not self._take_back(written)
            raise

    def _take_back(self, count: int) -> bool:
        assert self._file is not None
        try:
            size = self._file.seek(0, os.SEEK_END) - count
            self._file.truncate(size)
            self._file.seek(size)
        except OSError:
            return False
        return True


def _line(record: Record) -> bytes:
    return json.dumps(encode(record), ensure_ascii=False, allow_nan=False).encode() + b"\n"
