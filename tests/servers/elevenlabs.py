"""A server of ElevenLabs' multi-context WebSocket that does as it is told."""

from __future__ import annotations

import asyncio
import base64
import http
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import numpy as np
from attrs import define, field, frozen
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

__all__ = ["KEY", "SAMPLES_PER_CHARACTER", "Play", "VoiceServer", "voice_server"]

KEY = "el-local"
SAMPLES_PER_CHARACTER = 1440
MOST_CONTEXTS = 5


@frozen(kw_only=True)
class Play:
    """How one clause is answered.

    ``per_message`` characters are spoken in each message, ``before_first`` (s) before the first.
    ``silent`` says nothing. ``drop_after`` so many messages the connection is cut, or closed with
    ``close``, a code and a reason. ``refuse`` sends an error and closes with 1008. ``malformed``
    sends what is no JSON. ``held`` waits until the server's ``go`` is set before the second
    message. ``mute`` finishes without a sound.
    """

    per_message: int = 8
    before_first: float = 0.0
    silent: bool = False
    drop_after: int | None = None
    close: tuple[int, str] | None = None
    refuse: str = ""
    malformed: bool = False
    held: bool = False
    mute: bool = False


@define
class VoiceServer:
    """``plays`` are done in turn, the last one stays. ``texts`` are what was to be spoken. It does
    not let in with ``refuse_status``, to be tried again after ``retry_after`` (s); with
    ``refuse_all`` it does, and then says that. It hangs up after ``patience`` (s) without a
    message, if there is any limit to it."""

    plays: list[Play] = field(factory=lambda: [Play()])
    texts: list[str] = field(factory=list)
    messages: list[dict[str, Any]] = field(factory=list)
    paths: list[str] = field(factory=list)
    most_contexts: int = 0
    refuse_status: int | None = None
    retry_after: str = ""
    refuse_all: str = ""
    patience: float | None = None
    go: asyncio.Event = field(factory=asyncio.Event)
    base_url: str = ""
    sockets: list[ServerConnection] = field(factory=list)

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.paths.append(request.path)
        if self.refuse_status is not None:
            response = connection.respond(http.HTTPStatus(self.refuse_status), "no\n")
            if self.retry_after:
                response.headers["Retry-After"] = self.retry_after
            return response
        if request.headers.get("xi-api-key") != KEY:
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no\n")
        return None

    def die(self) -> None:
        """Let nobody in any more, and cut off who is there."""
        self.refuse_status = 503
        for socket in self.sockets:
            socket.transport.abort()

    async def talk(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        contexts: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            with suppress(ConnectionClosed):
                while True:
                    try:
                        async with asyncio.timeout(self.patience):
                            message = json.loads(await socket.recv())
                    except TimeoutError:
                        await socket.close(1008, "input_timeout_exceeded")
                        break
                    self.messages.append(message)
                    name = message["context_id"]
                    if self.refuse_all:
                        await socket.send(json.dumps({"message": self.refuse_all, "code": 1008}))
                        await socket.close(1008)
                        return
                    if message.get("close_context"):
                        tasks.create_task(self._finish(socket, name, contexts.get(name)))
                    elif message["text"].strip():
                        play = self.plays.pop(0) if len(self.plays) > 1 else self.plays[0]
                        self.texts.append(message["text"])
                        contexts[name] = tasks.create_task(
                            self._speak(socket, name, message["text"], play)
                        )
                        running = sum(not task.done() for task in contexts.values())
                        self.most_contexts = max(self.most_contexts, running)
            for speaking in contexts.values():
                speaking.cancel()

    async def _speak(self, socket: ServerConnection, name: str, text: str, play: Play) -> None:
        if play.refuse:
            await socket.send(
                json.dumps({"message": play.refuse, "error": "refused", "code": 1008})
            )
            await socket.close(1008, play.refuse)
            return
        if play.silent:
            await asyncio.Event().wait()
        if play.mute:
            return
        for count, begin in enumerate(range(0, len(text), play.per_message)):
            if not count:
                await asyncio.sleep(play.before_first)
            if count == play.drop_after:
                if play.close is not None:
                    await socket.close(*play.close)
                socket.transport.abort()
                return
            if count == 1 and play.held:
                await self.go.wait()
            if play.malformed:
                await socket.send("{")
                return
            part = text[begin : begin + play.per_message]
            with suppress(ConnectionClosed):
                await socket.send(json.dumps(spoken(part, name)))

    async def _finish(
        self, socket: ServerConnection, name: str, speaking: asyncio.Task[None] | None
    ) -> None:
        if speaking is not None:
            await asyncio.wait([speaking])
            if speaking.cancelled():
                return
        with suppress(ConnectionClosed):
            await socket.send(json.dumps({"isFinal": True, "contextId": name}))


def spoken(text: str, name: str) -> dict[str, Any]:
    """A message that says ``text``: 60 ms for each character."""
    time = np.arange(SAMPLES_PER_CHARACTER * len(text)) / 24_000
    sound = (8000 * np.sin(2 * np.pi * 220 * time)).astype("<i2").tobytes()
    alignment = {
        "chars": list(text),
        "charStartTimesMs": [60 * number for number in range(len(text))],
        "charDurationsMs": [60] * len(text),
    }
    return {
        "audio": base64.b64encode(sound).decode(),
        "alignment": alignment,
        "normalizedAlignment": alignment,
        "contextId": name,
    }


@asynccontextmanager
async def voice_server(*plays: Play) -> AsyncIterator[VoiceServer]:
    """The server, on a free port of the loopback interface."""
    running = VoiceServer(plays=list(plays) or [Play()])
    async with serve(
        running.talk, "127.0.0.1", 0, process_request=running.admit, close_timeout=0.1
    ) as server:
        (address,) = (socket.getsockname() for socket in server.sockets)
        running.base_url = f"http://127.0.0.1:{address[1]}"
        yield running
        for socket in running.sockets:
            socket.transport.abort()
