"""Connections: how long one may take, how many there may be, and who has to go for others.

A connection ends when a request's head does not come, or when its client no longer takes what it
is sent. Until the gate has let in a request of it, it is a stranger's; strangers have a part of the
places, and push out each other, so that who has no token keeps nobody away who has.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEAD_WITHIN", "Connections", "HttpConnection"]

HEAD_WITHIN: Final = 10.0
"""Seconds for a request's head to arrive, and for the next one's to begin."""

_TAKES_WITHIN: Final = 20.0
"""Seconds in which a client must take some of what waits for it."""

_SEND_BUFFER: Final = 128 * 1024
"""Bytes that the system keeps for a client: it tells of progress by a third of them, which for a
slow reader must not be rarer than the above."""

_STRANGERS: Final = 0.5
"""The part of the places that strangers may have."""

_SPARE: Final = 20
"""Connections above the most, which are told that there are too many."""

Malformed = Callable[[str], tuple[list[tuple[bytes, bytes]], bytes]]
"""From a client's address to the headers and the body that answer what is no HTTP (400)."""


class Connections:
    """Those there are.

    :param most: so many may be there; more are told to come again.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: set[HttpConnection] = set()
        self._strangers: dict[str, dict[HttpConnection, None]] = {}

    def are_too_many(self) -> bool:
        return len(self._all) > self._most

    def is_stranger(self, one: HttpConnection) -> bool:
        return one in self._strangers.get(one.address, ())

    def came(self, one: HttpConnection) -> HttpConnection | None:
        """The stranger that has to go for it, if one has to: the oldest of the address that has
        the most."""
        self._all.add(one)
        self._strangers.setdefault(one.address, {})[one] = None
        strangers = sum(map(len, self._strangers.values()))
        if strangers <= self._most * _STRANGERS and len(self._all) <= self._most + _SPARE:
            return None
        most = max(self._strangers.values(), key=lambda strangers: len(strangers))
        return next(iter(most))

    def let_in(self, one: HttpConnection) -> None:
        """It is no stranger any more."""
        if (of_address := self._strangers.get(one.address)) is not None:
            of_address.pop(one, None)
            if not of_address:
                del self._strangers[one.address]

    def left(self, one: HttpConnection) -> None:
        self.let_in(one)
        self._all.discard(one)


class _Counting:
    """A transport that counts what it is given to write. ``written`` is called then."""

    def __init__(self, transport: asyncio.Transport, written: Callable[[], None]) -> None:
        self._transport = transport
        self._written = written
        self._bytes = 0

    def write(self, data: bytes) -> None:
        self._bytes += len(data)
        self._transport.write(data)
        self._written()

    @property
    def taken(self) -> int:
        """Bytes that are off our hands."""
        return self._bytes - self._transport.get_write_buffer_size()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class HttpConnection(H11Protocol):
    """One connection. The gate finds it in the scope's state, under ``connection``.

    :param connections: among which it is counted.
    :param malformed: makes the answer to what is no HTTP.
    """

    transport: Any

    def __init__(self, connections: Connections, malformed: Malformed, **given: Any) -> None:
        super().__init__(**given)
        self.app_state = {**self.app_state, "connection": self}
        self.address = ""
        self._connections = connections
        self._malformed = malformed
        self._head_timer: asyncio.TimerHandle | None = None
        self._take_timer: asyncio.TimerHandle | None = None

    # --- what the gate asks ---------------------------------------------------

    def has_room(self) -> bool:
        """Whether it may be answered: if there are too many, those that are there already."""
        return not (self._connections.are_too_many() and self._connections.is_stranger(self))

    def let_in(self) -> None:
        """Who uses it may use the service."""
        self._connections.let_in(self)

    # --- coming and going -----------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        if (plain := transport.get_extra_info("socket")) is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        super().connection_made(_Counting(transport, self._await_taking))  # type: ignore[arg-type]
        self.address = self.client[0] if self.client else ""
        if (other := self._connections.came(self)) is not None:
            other.hang_up()
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._connections.left(self)
        self._forget_head()
        if self._take_timer is not None:
            self._take_timer.cancel()

    def hang_up(self) -> None:
        """At once: to close politely would be to wait until all that waits was taken."""
        self._forget_head()
        self._connections.left(self)
        self.transport.abort()

    # --- who dawdles ----------------------------------------------------------

    def _await_head(self) -> None:
        """Give the head its time, or be content because it has come."""
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._forget_head()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_WITHIN, self.hang_up)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _await_taking(self) -> None:
        """Something was written: if it is not off our hands, see to it that it will be."""
        if self._take_timer is None and self.transport.get_write_buffer_size():
            self._take_timer = self.loop.call_later(
                _TAKES_WITHIN, self._look_at_taking, self.transport.taken
            )

    def _look_at_taking(self, before: int) -> None:
        self._take_timer = None
        if self.transport.get_write_buffer_size() and self.transport.taken <= before:
            self.hang_up()
        else:
            self._await_taking()

    # --- what is no HTTP ------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        if self.cycle is not None:  # it gets no more, and has nobody to answer
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.hang_up()  # in the midst of an answer
            return
        headers, body = self._malformed(self.address)
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
        self.transport.close()
