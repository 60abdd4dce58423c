"""A server of Deepgram's streaming transcription that does as it is told.

It hears a word in every quarter of a second of sound that is not silent, or what its ``ear`` does.
Like the real one it does not answer ``Finalize`` where only silence is left.
"""

from __future__ import annotations

import http
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from attrs import define, field
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

__all__ = ["KEY", "WORDS", "TranscriptServer", "transcript_server"]

KEY = "dg-local"
WORDS = ("teacher", "comment", "please", "how", "was", "my", "tempo", "today")
_RATE = 16_000
_PER_WORD = _RATE // 4


@define
class _Connection:
    heard: int = 0
    loud: int = 0
    covered: int = 0
    told: int = 0
    quiet: int = 0
    sound: list[NDArray[np.float32]] = field(factory=list)


@define
class TranscriptServer:
    """``drop_after`` samples of sound the next connection is cut, once, or closed with ``close``, a
    code and a reason. ``refuse`` is an HTTP status, with ``retry_after`` (s). Results come ``late``
    by so many seconds. ``mute`` never answers; ``error`` is told instead of the first result; with
    ``malformed``, what is no JSON comes before each result; with ``hang_up`` it lets in and closes.
    ``serves`` is false where there is no server. ``ear`` writes down what was heard since the last
    final result."""

    refuse: int | None = None
    retry_after: str = ""
    drop_after: int | None = None
    close: tuple[int, str] | None = None
    late: float = 0.0
    mute: bool = False
    error: str = ""
    malformed: bool = False
    hang_up: bool = False
    url: str = ""
    serves: bool = True
    ear: Callable[[NDArray[np.float32]], str] | None = None
    sockets: list[ServerConnection] = field(factory=list)
    asked: list[dict[str, list[str]]] = field(factory=list)
    samples: list[int] = field(factory=list)
    kept_alive: threading.Event = field(factory=threading.Event)
    goodbyes: int = 0

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if self.refuse is not None:
            response = connection.respond(http.HTTPStatus(self.refuse), "no\n")
            if self.retry_after:
                response.headers["Retry-After"] = self.retry_after
            return response
        if request.headers.get("authorization") != f"Token {KEY}":
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no\n")
        self.asked.append(parse_qs(urlsplit(request.path).query))
        return None

    def talk(self, socket: ServerConnection) -> None:
        state = _Connection()
        number = len(self.samples)
        self.sockets.append(socket)
        self.samples.append(0)
        if self.hang_up:
            return
        try:
            for message in socket:
                if isinstance(message, bytes):
                    self._hear(socket, state, message)
                    self.samples[number] = state.heard
                    if self.drop_after is not None and state.heard >= self.drop_after:
                        self.drop_after = None
                        if self.close is not None:
                            socket.close(*self.close)
                        socket.close_socket()
                        return
                    continue
                kind = json.loads(message)["type"]
                if kind == "KeepAlive":
                    self.kept_alive.set()
                elif kind == "Finalize" and state.loud and not self.mute:
                    self._final(socket, state, from_finalize=True)
                elif kind == "CloseStream":
                    self.goodbyes += 1
                    return
        except (ConnectionClosed, OSError):
            pass

    def _hear(self, socket: ServerConnection, state: _Connection, sound: bytes) -> None:
        samples = np.frombuffer(sound, "<i2")
        state.heard += len(samples)
        state.loud += int(np.count_nonzero(samples))
        loud = np.flatnonzero(samples)
        state.quiet = len(samples) - 1 - int(loud[-1]) if len(loud) else state.quiet + len(samples)
        if self.ear is not None:
            state.sound.append((samples / 32768).astype(np.float32))
        if self.mute or self.ear is not None:
            return
        words = state.loud // _PER_WORD
        if words > state.told:
            if self.error:
                socket.send(json.dumps({"type": "Error", "description": self.error}))
                return
            if self.malformed:
                socket.send("{")
            socket.send(self._result(state, is_final=False))
            state.told = words
        if state.quiet >= _RATE // 10 and state.covered < state.heard - state.quiet:
            self._final(socket, state, speech_final=True)

    def _final(self, socket: ServerConnection, state: _Connection, **flags: bool) -> None:
        socket.send(self._result(state, is_final=True, **flags))
        state.covered = state.heard
        state.loud = state.told = 0

    def _result(self, state: _Connection, **flags: bool) -> str:
        time.sleep(self.late)
        transcript = " ".join(WORDS[: state.loud // _PER_WORD])
        if self.ear is not None:
            sound, state.sound = state.sound, []
            transcript = self.ear(np.concatenate([np.zeros(0, np.float32), *sound]))
        alternative: dict[str, Any] = {"transcript": transcript, "confidence": 0.9, "words": []}
        return json.dumps(
            {
                "type": "Results",
                "channel_index": [0, 1],
                "start": state.covered / _RATE,
                "duration": (state.heard - state.covered) / _RATE,
                "speech_final": False,
                "from_finalize": False,
                "channel": {"alternatives": [alternative]},
                "metadata": {
                    "request_id": "1",
                    "model_info": {"name": "nova-2", "version": "1", "arch": "nova-2"},
                    "model_uuid": "1",
                },
                **flags,
            }
        )

    def die(self) -> None:
        """Let nobody in any more, and cut off who is there."""
        self.refuse = 503
        for socket in self.sockets:
            socket.close_socket()


@contextmanager
def transcript_server() -> Iterator[TranscriptServer]:
    """The server, on a free port of the loopback interface."""
    running = TranscriptServer()
    with serve(
        running.talk, "127.0.0.1", 0, process_request=running.admit, close_timeout=0.1
    ) as server:
        running.url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield running
        server.shutdown()
    thread.join()
