"""What the service and a session's runner say to each other: JSON, a line each, over a socket.

The service asks: ``{"id": 7, "do": "config", …}``, and the runner answers with ``{"answer": 7,
"result": …}`` or ``{"answer": 7, "error": {"kind": …, "text": …}}``. Besides, the runner says of
itself ``{"event": record}`` for each record of the event log, ``{"status": …}`` every second, which
is also how it is seen to live, and last ``{"ended": {"cause": …, "text": …}}``; before that
``{"summary": …}``, if its lesson had begun.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any, Self

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

__all__ = ["Lines"]

_LONGEST = 4 * 1024 * 1024
"""Bytes of a line: the summary of hours of playing is far shorter."""


class Lines:
    """One end of the socket. Messages are objects of JSON."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._received = BufferedByteReceiveStream(stream)
        self._sending = anyio.Lock()

    @classmethod
    async def of(cls, end: socket.socket) -> Self:
        """Take over ``end``."""
        end.setblocking(False)
        return cls(await SocketStream.from_socket(end))

    async def send(self, message: Mapping[str, Any]) -> None:
        """Say ``message``, the whole of it even if the caller is cancelled meanwhile: half a line
        would spoil the next.

        :raises ValueError: JSON cannot hold it, or it is too long.
        :raises anyio.BrokenResourceError: the other side has gone.
        :raises anyio.ClosedResourceError: this end was closed.
        """
        data = json.dumps(message, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        if len(data) > _LONGEST:
            raise ValueError(f"it has more than {_LONGEST} bytes")
        async with self._sending:
            with anyio.CancelScope(shield=True):
                await self._stream.send(data)

    async def receive(self) -> dict[str, Any] | None:
        """The next message, or ``None`` when the other side has gone.

        :raises ValueError: what came is no message.
        """
        try:
            line = await self._received.receive_until(b"\n", _LONGEST)
        except (
            anyio.EndOfStream,
            anyio.IncompleteRead,
            anyio.BrokenResourceError,
            anyio.ClosedResourceError,
        ):
            return None
        except anyio.DelimiterNotFound as error:
            raise ValueError(f"a line has more than {_LONGEST} bytes") from error
        try:
            message = json.loads(line)
        except RecursionError as error:
            raise ValueError("a message is nested too deeply") from error
        if not isinstance(message, dict):
            raise ValueError("a message is not an object")
        return message

    async def aclose(self) -> None:
        await self._stream.aclose()
