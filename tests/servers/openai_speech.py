"""A server of OpenAI's speech endpoint that does as it is told."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import h11
import numpy as np
from attrs import define, field, frozen

__all__ = ["Answer", "SpeechServer", "speech_server"]

KEY = "sk-local"


@frozen(kw_only=True)
class Answer:
    """How one request is answered.

    ``status`` other than 200 is an error with ``code``. ``silent`` sends headers and no sound.
    ``drop_after`` breaks the connection after so many bytes. ``piece`` bytes come at once; an odd
    number cuts samples in two. ``content_type`` other than PCM's sends ``body`` instead.
    """

    status: int = 200
    code: str = ""
    headers: Mapping[str, str] = field(factory=dict)
    silent: bool = False
    drop_after: int | None = None
    piece: int = 4096
    content_type: str = "audio/pcm"
    body: bytes | None = None


@define
class SpeechServer:
    """``answers`` are given in turn, then normal ones. ``asked`` are the requests' bodies. ``gone``
    is set when a client hung up in the middle of an answer, ``listed`` when it was asked for its
    models, over one of so many ``connections``. It says that it has ``models``; with
    ``says_no`` it answers so to who asks for them, an HTTP status and its message."""

    base_url: str = ""
    answers: deque[Answer] = field(factory=deque)
    asked: list[dict[str, object]] = field(factory=list)
    gone: asyncio.Event = field(factory=asyncio.Event)
    models: tuple[str, ...] = ("gpt-4o-mini-tts",)
    says_no: tuple[int, str] | None = None
    connections: int = 0
    listed: asyncio.Event = field(factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request after the other."""
        self.connections += 1
        http = h11.Connection(h11.SERVER)
        while True:
            await self._serve(http, reader, writer)
            if http.our_state is not h11.DONE:
                return
            http.start_next_cycle()

    async def _serve(
        self, http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head, body = await _request(http, reader)
        if head.target.endswith(b"/models"):
            await self._list(http, head, writer)
            self.listed.set()
            return
        self.asked.append(json.loads(body))
        answer = self.answers.popleft() if self.answers else Answer()
        if dict(head.headers).get(b"authorization") != f"Bearer {KEY}".encode():
            answer = Answer(status=401, code="invalid_api_key")
        sound = answer.body
        if answer.status != 200:
            error = {"message": "no", "type": "error", "param": None, "code": answer.code}
            sound = json.dumps({"error": error}).encode()
        elif sound is None:
            sound = tone(str(self.asked[-1]["input"]))
        headers = {
            "content-type": answer.content_type if answer.status == 200 else "application/json",
            **answer.headers,
        }
        begin = h11.Response(status_code=answer.status, headers=list(headers.items()))
        writer.write(http.send(begin) or b"")
        hung_up = asyncio.create_task(reader.read(1))
        try:
            for at in range(0, len(sound), answer.piece):
                if answer.silent or hung_up.done() or at >= (answer.drop_after or len(sound)):
                    break
                writer.write(http.send(h11.Data(data=sound[at : at + answer.piece])) or b"")
                try:
                    await writer.drain()
                except ConnectionError:
                    self.gone.set()
                    break
                await asyncio.sleep(0)
            else:
                writer.write(http.send(h11.EndOfMessage()) or b"")
            if answer.silent:
                await asyncio.wait([hung_up])
            if hung_up.done():
                self.gone.set()
        finally:
            hung_up.cancel()
            await asyncio.gather(hung_up, return_exceptions=True)

    async def _list(
        self, http: h11.Connection, head: h11.Request, writer: asyncio.StreamWriter
    ) -> None:
        status, message = self.says_no or (200, "")
        if dict(head.headers).get(b"authorization") != f"Bearer {KEY}".encode():
            status, message = 401, "Incorrect API key provided"
        listed = [
            {"id": name, "object": "model", "created": 0, "owned_by": "openai"}
            for name in self.models
        ]
        told = {"error": {"message": message}} if message else {"object": "list", "data": listed}
        begin = h11.Response(
            status_code=status,
            headers=[("content-type", "application/json")],
        )
        for event in (begin, h11.Data(data=json.dumps(told).encode()), h11.EndOfMessage()):
            writer.write(http.send(event) or b"")
        await writer.drain()


async def _request(http: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request, bytes]:
    head: h11.Request | None = None
    body = b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            return head, body
        else:
            raise ConnectionError("no request came")


def tone(text: str) -> bytes:
    """60 ms of a tone for each character: 24 kHz, 16 bit."""
    time = np.arange(int(0.06 * 24_000) * len(text)) / 24_000
    return (8000 * np.sin(2 * np.pi * 220 * time)).astype("<i2").tobytes()


@asynccontextmanager
async def speech_server() -> AsyncIterator[SpeechServer]:
    """The server, on a free port of the loopback interface."""
    speech = SpeechServer()
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            with suppress(ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
                await speech.serve(reader, writer)
        finally:
            connections.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    speech.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield speech
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()
