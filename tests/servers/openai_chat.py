"""A local server of chat completions: HTTP with server-sent events, as OpenAI documents them.

It speaks to a real client over a real socket, and does what its script says: each request takes the
next ``Play`` from the script, the last one stays.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import h11
from attrs import define, field, frozen

__all__ = ["ChatServer", "Play", "Request", "serving"]


@frozen(kw_only=True)
class Play:
    """What to do with one request.

    ``pieces`` are streamed as deltas, ``before_first`` (s) before the first and ``between`` before
    each other one. ``status`` other than 200 sends ``error`` as OpenAI's error object. After the
    pieces: ``finish`` is the reason that is given (``None``: none, nor ``[DONE]``), ``silence``
    sends nothing more and keeps the connection, ``drop`` cuts it in the middle of the chunked
    body, ``malformed`` sends half of a JSON object, ``error_event`` an error in the stream.
    """

    pieces: Sequence[str] = ("You kept ", "a steady beat. ", "Now play it ", "slowly.")
    before_first: float = 0.0
    between: float = 0.0
    status: int = 200
    error: Mapping[str, object] = field(factory=dict)
    headers: Mapping[str, str] = field(factory=dict)
    finish: str | None = "stop"
    silence: bool = False
    drop: bool = False
    malformed: bool = False
    error_event: str = ""


@frozen(kw_only=True)
class Request:
    """A request as it came. ``body`` is its JSON, empty if it has none."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


@define
class ChatServer:
    """``requests`` are those for a completion; ``others`` all else; ``asked`` is set when the first
    of either came. ``hung_up`` is set when a client closed its connection in the middle of an
    answer, ``sent`` counts the pieces that went out. ``models`` are those it says it has, and
    ``owner`` whose; with ``refuses`` it takes no key."""

    script: list[Play] = field(factory=lambda: [Play()])
    requests: list[Request] = field(factory=list)
    others: list[Request] = field(factory=list)
    connections: int = 0
    sent: int = 0
    asked: asyncio.Event = field(factory=asyncio.Event)
    hung_up: asyncio.Event = field(factory=asyncio.Event)
    port: int = 0
    models: tuple[str, ...] = ()
    owner: str = "somebody"
    refuses: bool = False

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def next_play(self) -> Play:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


@asynccontextmanager
async def serving(*plays: Play) -> AsyncGenerator[ChatServer]:
    """A server on a free port of this machine, that does ``plays``."""
    chat = ChatServer(script=list(plays) or [Play()])
    handlers: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        chat.connections += 1
        try:
            await _Connection(chat, reader, writer).serve()
        except (ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
            pass
        finally:
            handlers.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    chat.port = server.sockets[0].getsockname()[1]
    try:
        yield chat
    finally:
        server.close()
        for task in list(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await server.wait_closed()


class _Connection:
    """One client's connection: one request after the other."""

    def __init__(
        self, chat: ChatServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._chat = chat
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)

    async def serve(self) -> None:
        while (request := await self._next_request()) is not None:
            self._chat.asked.set()
            if request.path == "/v1/chat/completions":
                self._chat.requests.append(request)
                going_on = await self._answer(self._chat.next_play())
            else:
                self._chat.others.append(request)
                going_on = await self._models()
            if not going_on or self._http.our_state is h11.MUST_CLOSE:
                return
            self._http.start_next_cycle()

    async def _next_request(self) -> Request | None:
        head: h11.Request | None = None
        body = b""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(65536))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return Request(
                    method=head.method.decode(),
                    path=head.target.decode(),
                    headers={name.decode(): value.decode() for name, value in head.headers},
                    body=json.loads(body) if body else {},
                )
            else:
                return None

    async def _send(self, *events: h11.Event) -> None:
        for event in events:
            self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()

    async def _json(
        self, status: int, value: object, headers: Mapping[str, str] | None = None
    ) -> bool:
        content = json.dumps(value).encode()
        await self._send(
            h11.Response(
                status_code=status,
                headers=[
                    ("content-type", "application/json"),
                    ("content-length", str(len(content))),
                    *(headers or {}).items(),
                ],
            ),
            h11.Data(data=content),
            h11.EndOfMessage(),
        )
        return True

    async def _models(self) -> bool:
        if self._chat.refuses:
            return await self._json(401, {"error": {"message": "Incorrect API key provided"}})
        listed = [
            {"id": name, "object": "model", "created": 0, "owned_by": self._chat.owner}
            for name in self._chat.models
        ]
        return await self._json(200, {"object": "list", "data": listed})

    async def _answer(self, play: Play) -> bool:
        """Do ``play``; return whether the connection can be used again."""
        if play.status != 200:
            return await self._json(play.status, {"error": dict(play.error)}, play.headers)
        watch = asyncio.create_task(self._reader.read(1))
        telling = asyncio.create_task(self._tell(play))
        try:
            await asyncio.wait({watch, telling}, return_when=asyncio.FIRST_COMPLETED)
            if not telling.done():
                self._chat.hung_up.set()
                return False
            try:
                return telling.result()
            except ConnectionError:  # it hung up while it was being told
                self._chat.hung_up.set()
                return False
        finally:
            for task in (watch, telling):
                task.cancel()
            await asyncio.gather(watch, telling, return_exceptions=True)

    async def _tell(self, play: Play) -> bool:
        await self._send(
            h11.Response(
                status_code=200,
                headers=[("content-type", "text/event-stream"), ("transfer-encoding", "chunked")],
            )
        )
        await self._event(_chunk({"role": "assistant", "content": ""}))
        for number, piece in enumerate(play.pieces):
            await asyncio.sleep(play.between if number else play.before_first)
            await self._event(_chunk({"content": piece}))
            self._chat.sent += 1
        if play.silence:
            await asyncio.Event().wait()
        if play.drop:
            self._writer.write(b"ff\r\ndata: {")
            await self._writer.drain()
            return False
        if play.malformed:
            await self._event('{"id":"x","choices":[{"delta":{"cont')
        if play.error_event:
            await self._event(json.dumps({"error": {"message": play.error_event, "code": 500}}))
        if play.finish is not None:
            await self._event(_chunk({}, finish=play.finish))
            await self._event(json.dumps(_USAGE))
            await self._event("[DONE]")
        await self._send(h11.EndOfMessage())
        return True

    async def _event(self, data: str) -> None:
        await self._send(h11.Data(data=f"data: {data}\n\n".encode()))


def _chunk(delta: Mapping[str, str], *, finish: str | None = None) -> str:
    choice = {"index": 0, "delta": dict(delta), "finish_reason": finish}
    return json.dumps({**_HEAD, "choices": [choice]})


_HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "tested"}
_USAGE = {
    **_HEAD,
    "choices": [],
    "usage": {"prompt_tokens": 700, "completion_tokens": 20, "total_tokens": 720},
}
