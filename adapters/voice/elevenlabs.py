"""ElevenLabs by WebSocket: one connection for the session, a context for each clause.

Conventions. A clause opens a context, is sent whole and flushed, so that it is spoken while the
next is still being written. The context is closed behind it; what was asked for before that still
arrives, and ``isFinal`` ends it. Sound is PCM of 24 kHz, base64, and each message says which
characters it speaks and when, counted from the message's own beginning.

The SDK has no client of its own for this endpoint that could be cancelled: its messages and its
addresses are used, over the WebSocket library that it brings.

Source: the API reference of ElevenLabs, *Multi-context WebSocket*, and its guide: at most five
contexts at once, and a connection without messages is closed after ``inactivity_timeout``. Its help
centre, *How can I keep the WebSocket open?*: by a single space, sent as text.
"""

from __future__ import annotations

import base64
import itertools
import json
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
from attrs import define, field, frozen

from maestra.ports.errors import BackendRefused, VoiceError
from maestra.ports.voice import AlignedSound, SpokenCharacter

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from websockets.asyncio.client import ClientConnection, connect

__all__ = ["ElevenLabs", "ElevenLabsSettings"]

_RATE_HZ: Final = 24_000
_INACTIVITY: Final = 180
"""Seconds, the longest that may be asked for."""
_LONGEST_CLAUSE: Final = 60.0
"""Seconds of sound that a clause may have. What is longer has failed: nobody is taught by a clause
of a minute, and what comes faster than it is taken must not pile up."""
_MOST_WAITING: Final = 1024
"""Messages of a clause that may wait to be taken, likewise."""
_LARGEST: Final = 8 * 2**20
"""Bytes of a message: a minute of sound, and its characters."""
_KEEP_ALIVE: Final = 60.0
"""Seconds without a clause after which it is told that we are still there."""
_PROVEN: Final = 10.0
"""A connection that lived so long (s) was well: losing it is no reason to hesitate."""
_CONTEXTS: Final = 5
_SHORTEST_WAIT: Final = 0.25
_LONGEST_WAIT: Final = 10.0
_LONGEST_WISH: Final = 60.0
"""Seconds after which it is tried again even if the service asked for more."""
_A_WORD: Final = 0.5
"""Seconds in which a service that has let one in says what it does not like after all."""


@frozen(kw_only=True)
class ElevenLabsSettings:
    """What can be chosen of ElevenLabs' voices."""

    model: str = field(default="eleven_turbo_v2_5", metadata={"doc": "The model's id."})
    voice: str | None = field(
        default=None, metadata={"doc": "A voice's id; absent, the persona's."}
    )
    stability: float = field(
        default=0.5,
        metadata={"doc": "Even rather than lively.", "minimum": 0.0, "maximum": 1.0},
    )
    similarity: float = field(
        default=0.75,
        metadata={"doc": "How close to the recorded voice.", "minimum": 0.0, "maximum": 1.0},
    )
    base_url: str | None = field(
        default=None,
        metadata={
            "doc": "Another address of the service, for residency: https://host.",
            "schemes": ("https", "http"),
        },
    )
    connect_timeout: float = field(
        default=1.5,
        metadata={
            "doc": "How long a clause waits for the connection.",
            "unit": "s",
            "minimum": 0.1,
            "maximum": 60.0,
        },
    )


class _RefusedError(VoiceError):
    """It will never work as it is configured."""


@define(eq=False)
class _Context:
    """A clause that is being spoken."""

    name: str
    characters: int
    send: MemoryObjectSendStream[Mapping[str, Any]]
    receive: MemoryObjectReceiveStream[Mapping[str, Any]]
    seconds: float = 0.0
    trouble: VoiceError | None = None

    def tell(self, message: Mapping[str, Any]) -> None:
        """Give it what has come; nobody may be waiting for it any more."""
        self.seconds += len(message.get("audio") or "") * 3 / 4 / 2 / _RATE_HZ
        if self.seconds > _LONGEST_CLAUSE:
            self.fail(VoiceError(f"ElevenLabs speaks a clause for more than {_LONGEST_CLAUSE:g} s"))
        try:
            self.send.send_nowait(message)
        except anyio.WouldBlock:
            self.fail(VoiceError("ElevenLabs sends a clause faster than it is taken"))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    def fail(self, trouble: VoiceError) -> None:
        """Nothing more of it will come, for this reason; what has come is still given."""
        self.trouble = self.trouble or trouble
        self.send.close()


class ElevenLabs:
    """A voice of ElevenLabs. ``live`` holds its connection: run it beside.

    :param voice: a voice's id.
    :param key: the secret.
    :param pace: how fast it speaks, 0.7 to 1.2; 1 is the voice's own.
    :raises VoiceError: the SDK is not installed.
    """

    sample_rate_hz = _RATE_HZ

    def __init__(
        self, settings: ElevenLabsSettings, *, voice: str, key: str, pace: float = 1.0
    ) -> None:
        try:
            from elevenlabs.environment import ElevenLabsEnvironment
            from elevenlabs.url_utils import build_ws_url
        except ImportError as error:
            raise VoiceError("ElevenLabs' voice needs its SDK: install maestra[elevenlabs]") from (
                error
            )
        self._url = build_ws_url(
            settings.base_url or ElevenLabsEnvironment.PRODUCTION.value,
            ["v1", "text-to-speech", voice, "multi-stream-input"],
            {
                "model_id": settings.model,
                "output_format": f"pcm_{_RATE_HZ}",
                "inactivity_timeout": _INACTIVITY,
                "sync_alignment": "true",
            },
        )
        self._settings = settings
        self._voice = voice
        self._key = key
        self._pace = min(max(pace, 0.7), 1.2)
        self._socket: ClientConnection | None = None
        self._connected = anyio.Event()
        self._contexts: dict[str, _Context] = {}
        self._names = itertools.count(1)
        self._trouble: VoiceError | None = None
        self._sounded = False
        self._told_at = 0.0
        self._free = anyio.Semaphore(_CONTEXTS)

    # --- the connection -------------------------------------------------------

    async def check(self) -> None:
        """Whether key, voice and model are accepted: a handshake and a context without a word cost
        nothing. See ``maestra.ports.lifetime.Checks``."""
        try:
            async with self._connection() as socket:
                await _greet(socket)
                with anyio.move_on_after(_A_WORD):
                    told = json.loads(await socket.recv())
                    if _is_error(told):
                        raise self._told(told)
        except Exception as error:
            trouble = self._mapped(error)
            if isinstance(trouble, _RefusedError):
                raise BackendRefused(str(trouble)) from error
            raise trouble from error

    def _connection(self) -> connect:
        from websockets.asyncio.client import connect

        return connect(
            self._url,
            additional_headers={"xi-api-key": self._key},
            max_size=_LARGEST,
            open_timeout=_LONGEST_WAIT,
            # A slow goodbye must not hold up the session's end.
            close_timeout=0.5,
        )

    async def live(self) -> None:
        """Hold the connection, and make it anew when it breaks; see
        ``maestra.ports.lifetime.Lives``."""
        wait = _SHORTEST_WAIT
        while True:
            self._trouble, self._sounded = None, False
            asked = 0.0
            begun, was_idle = math.inf, True
            try:
                async with self._connection() as socket, anyio.create_task_group() as tasks:
                    begun = self._told_at = anyio.current_time()
                    self._socket = socket
                    self._connected.set()
                    tasks.start_soon(self._keep_alive, socket)
                    try:
                        async for message in socket:
                            self._receive(json.loads(message))
                    except Exception as error:
                        self._trouble = self._trouble or self._mapped(error)
                    tasks.cancel_scope.cancel()
                self._trouble = self._trouble or VoiceError("ElevenLabs closed the connection")
            except Exception as error:
                self._trouble = self._trouble or self._mapped(error)
                asked = _retry_after(error)
            finally:
                self._socket = None
                self._connected = anyio.Event()
                was_idle = not self._contexts
                trouble = self._trouble or VoiceError("the connection to ElevenLabs was given up")
                for context in list(self._contexts.values()):
                    context.fail(trouble)
                    self._end(context.name)
            lived = anyio.current_time() - begun > _PROVEN
            if lived or self._sounded:
                wait = _SHORTEST_WAIT
            if lived and was_idle:
                continue  # that nobody spoke is nobody's fault, and the next clause must not wait
            await anyio.sleep(max(wait, asked))
            wait = min(wait * 2, _LONGEST_WAIT)

    async def _keep_alive(self, socket: ClientConnection) -> None:
        """In silence, say that we are still there."""
        from websockets.exceptions import ConnectionClosed

        while True:
            await anyio.sleep(self._told_at + _KEEP_ALIVE - anyio.current_time())
            if anyio.current_time() < self._told_at + _KEEP_ALIVE:
                continue
            self._told_at = anyio.current_time()
            with suppress(ConnectionClosed):
                await _greet(socket)

    def _receive(self, message: Mapping[str, Any]) -> None:
        """Give ``message`` to the clause it belongs to; one that was cancelled gets none."""
        if _is_error(message):
            trouble = self._told(message)
            self._trouble = trouble
            for context in self._contexts.values():
                context.fail(trouble)
        else:
            name = str(message.get("contextId"))
            asked = self._contexts.get(name)
            if asked is not None:
                self._sounded = self._sounded or "audio" in message
                asked.tell(message)
                if message.get("isFinal"):
                    self._end(name)

    def _end(self, name: str) -> None:
        if self._contexts.pop(name, None) is not None:
            self._free.release()

    # --- the voice ------------------------------------------------------------

    async def synthesise(self, clause: str) -> AsyncIterator[AlignedSound]:
        """Speak ``clause`` as it arrives; see ``maestra.ports.voice.Voice``."""
        with anyio.move_on_after(self._settings.connect_timeout):
            await self._connected.wait()
        if self._socket is None:
            raise self._trouble or VoiceError(
                f"no connection to ElevenLabs for {self._settings.connect_timeout:g} s"
            )
        await self._take_turn()
        send, receive = anyio.create_memory_object_stream[Mapping[str, Any]](_MOST_WAITING)
        context = _Context(
            name=f"clause-{next(self._names)}", characters=len(clause), send=send, receive=receive
        )
        self._contexts[context.name] = context
        try:
            await self._ask(context, clause)
            async for sound in _sounds(context):
                yield sound
        finally:
            # The rest of a clause that was cut off still comes, and counts as a context until then.
            send.close()
            receive.close()

    async def _take_turn(self) -> None:
        """Wait until another context is allowed. A service that ends none of them is left: what is
        open ends with the connection, and ``live`` makes another."""
        with anyio.move_on_after(self._settings.connect_timeout):
            await self._free.acquire()
            return
        if self._socket is not None:
            self._socket.transport.abort()
        raise VoiceError("ElevenLabs does not end what was cut off: the connection is made anew")

    async def _ask(self, context: _Context, clause: str) -> None:
        from elevenlabs.types import (
            InitializeConnectionMulti,
            RealtimeVoiceSettings,
            SendTextMulti,
        )

        begin = InitializeConnectionMulti(
            text=" ",
            context_id=context.name,
            voice_settings=RealtimeVoiceSettings(
                stability=self._settings.stability,
                similarity_boost=self._settings.similarity,
                speed=self._pace,
            ),
        )
        text = SendTextMulti(text=f"{clause} ", context_id=context.name, flush=True)
        for message in (begin, text):
            await self._tell(message.dict(exclude_none=True))
        # What was flushed is still spoken; ``isFinal`` comes only to a context that is closed.
        await self._tell(_closing(context.name))

    async def _tell(self, message: Mapping[str, Any]) -> None:
        """Send ``message``; a connection that has just broken is noticed where it is read."""
        if self._socket is not None:
            from websockets.exceptions import ConnectionClosed

            self._told_at = anyio.current_time()
            with suppress(ConnectionClosed):
                await self._socket.send(json.dumps(message))

    # --- errors ---------------------------------------------------------------

    def _told(self, message: Mapping[str, Any]) -> VoiceError:
        """The service's own word, in a sentence that says what to do."""
        word = f"{message.get('error') or ''} {message.get('message') or ''}".strip()
        low = word.lower()
        if "quota" in low:
            return VoiceError("ElevenLabs says that the quota is used up: see its subscription")
        if "key" in low or "unauthorized" in low:
            return self._refused()
        if "voice" in low:
            return _RefusedError(f"ElevenLabs knows no voice {self._voice!r}")
        if "model" in low:
            return _RefusedError(
                f"ElevenLabs knows no model {self._settings.model!r}: set"
                " voice.options.elevenlabs.model"
            )
        return VoiceError(f"ElevenLabs refuses: {word[:200]}")

    @staticmethod
    def _refused() -> VoiceError:
        return _RefusedError("ElevenLabs refuses the key: check the variable ELEVENLABS_API_KEY")

    def _mapped(self, error: Exception) -> VoiceError:
        from websockets.exceptions import ConnectionClosed, InvalidStatus

        match error:
            case VoiceError():
                return error
            case InvalidStatus() if error.response.status_code in (401, 403):
                return self._refused()
            case InvalidStatus() if error.response.status_code == 429:
                return VoiceError("ElevenLabs is asked too often: it will be tried later")
            case InvalidStatus():
                return VoiceError(f"ElevenLabs failed with HTTP {error.response.status_code}")
            case ConnectionClosed() if error.rcvd is not None and error.rcvd.reason:
                return self._told({"message": error.rcvd.reason})
            case ConnectionClosed():
                return VoiceError("the connection to ElevenLabs broke")
            case json.JSONDecodeError():
                return VoiceError("ElevenLabs sent something that is no message")
            case _:
                return VoiceError(f"no connection to ElevenLabs: {type(error).__name__}")


def _retry_after(error: Exception) -> float:
    """How long a service that does not let one in asks to be left alone (s)."""
    headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", {})
    try:
        return min(max(0.0, float(headers["Retry-After"])), _LONGEST_WISH)
    except (KeyError, ValueError):
        return 0.0


def _closing(context: str) -> dict[str, Any]:
    return {"context_id": context, "close_context": True}


async def _greet(socket: ClientConnection) -> None:
    """Send a space, which is not spoken, in a context of its own that is closed at once."""
    for message in ({"text": " ", "context_id": "0"}, _closing("0")):
        await socket.send(json.dumps(message))


def _is_error(message: Mapping[str, Any]) -> bool:
    return bool(message.get("error") or (message.get("message") and "audio" not in message))


async def _sounds(context: _Context) -> AsyncIterator[AlignedSound]:
    """The sound of ``context`` with its characters, timed from the clause's beginning."""
    import numpy as np

    samples = spoken = 0
    async for message in context.receive:
        if message.get("audio"):
            try:
                sound = np.frombuffer(base64.b64decode(message["audio"]), "<i2")
            except ValueError as error:
                raise VoiceError("ElevenLabs sent something that is no sound") from error
            # What is spoken beyond the clause is the space that ends it.
            characters = _characters(message.get("alignment"), samples / _RATE_HZ)
            characters = characters[: context.characters - spoken]
            spoken += len(characters)
            samples += len(sound)
            yield AlignedSound(samples=sound.astype(np.float32) / 32768.0, characters=characters)
        if message.get("isFinal"):
            break
    else:
        if context.trouble is not None:
            raise context.trouble
    if not samples:
        raise VoiceError("ElevenLabs made no sound of a clause")


def _characters(alignment: Mapping[str, Any] | None, begin: float) -> tuple[SpokenCharacter, ...]:
    """What ``alignment`` says of a message whose sound begins ``begin`` seconds into the clause."""
    if not alignment or not alignment.get("chars"):
        return ()
    starts = alignment.get("charStartTimesMs") or alignment.get("charsStartTimesMs") or ()
    durations = alignment.get("charDurationsMs") or alignment.get("charsDurationsMs") or ()
    return tuple(
        SpokenCharacter(
            character=character,
            start=begin + start / 1000,
            end=begin + (start + duration) / 1000,
        )
        for character, start, duration in zip(alignment["chars"], starts, durations, strict=False)
    )
