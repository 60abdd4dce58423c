"""A local Gemini Live service: BidiGenerateContent, JSON over a WebSocket with TLS.

It speaks to the vendor's own SDK and does what its script says. Each question takes the next
``Answer`` from the script, the last one stays; each connection takes the next ``Greeting``. It
keeps what Google's service keeps: sessions, and the handles by which they are resumed; and, like
it, it refuses to resume a session that is still open on another socket. ``arrived`` has everything
that clients did, in order.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import json
import ssl
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
from attrs import define, field, frozen
from numpy.typing import NDArray
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

__all__ = [
    "RATE_HZ",
    "Answer",
    "Arrived",
    "GeminiServer",
    "Greeting",
    "certificate",
    "serving",
    "spoken",
]

RATE_HZ = 24_000
_LETTERS_PER_S = 15.0
_PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


@frozen(kw_only=True)
class Answer:
    """How one question is answered.

    The sound of ``sentences`` is sent in pieces of ``piece`` seconds, ``before_first`` (s) before
    the first and ``between`` before each other; each sentence's transcription comes in pieces of
    some letters, ``lag`` pieces of sound late. After ``stop_after`` pieces of sound something
    happens: ``close`` (code and reason) hangs up, ``drop`` cuts the line, ``silence`` says nothing
    more, ``malformed`` sends half a message, ``interrupted`` says so. ``sounds``, ``transcribed``
    leave one or the other out; ``lingers`` (s) lies between the end of the writing and of the turn.
    """

    sentences: Sequence[str] = ("You kept a steady beat.", "Now play it slowly, hands apart.")
    before_first: float = 0.0
    between: float = 0.0
    piece: float = 0.25
    lag: int = 0
    stop_after: int | None = None
    close: tuple[int, str] | None = None
    drop: bool = False
    silence: bool = False
    malformed: bool = False
    interrupted: bool = False
    sounds: bool = True
    transcribed: bool = True
    lingers: float = 0.0
    tells_end: bool = True
    hears: str = "how was that"


@frozen(kw_only=True)
class Greeting:
    """How one connection is met: ``status`` other than 101 refuses the handshake, ``close`` hangs
    up instead of acknowledging the setup, ``silent`` never does."""

    status: int = 101
    headers: Mapping[str, str] = field(factory=dict)
    body: str = ""
    close: tuple[int, str] | None = None
    silent: bool = False


@frozen(kw_only=True)
class Arrived:
    """``what`` is ``opened``, ``setup``, ``content``, ``start``, ``audio``, ``end`` or ``closed``;
    ``socket`` counts the connections from 1; ``at`` is monotonic, seconds."""

    what: str
    socket: int
    at: float
    body: Mapping[str, Any] = field(factory=dict)


@define(eq=False)
class _Session:
    """What the service remembers. ``turns`` is the conversation as it would prompt the model."""

    number: int
    turns: list[str] = field(factory=list)


@define(eq=False)
class GeminiServer:
    """``sent`` has the moment (monotonic) of each piece of sound that went out, ``interruptions``
    of each answer that was stopped; ``stopped`` is set at each. ``acknowledges`` says whether that
    is told, ``resumes`` whether handles are still known."""

    script: list[Answer] = field(factory=lambda: [Answer()])
    greetings: list[Greeting] = field(factory=lambda: [Greeting()])
    arrived: list[Arrived] = field(factory=list)
    sent: list[float] = field(factory=list)
    acknowledges: bool = True
    resumes: bool = True
    port: int = 0
    interruptions: list[float] = field(factory=list)
    stopped: asyncio.Event = field(factory=asyncio.Event)
    sessions: int = 0
    _handles: dict[str, tuple[int, tuple[str, ...]]] = field(factory=dict)
    _open: dict[int, ServerConnection] = field(factory=dict)
    _sockets: int = 0
    _changed: asyncio.Condition = field(factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def all(self, *what: str) -> list[Arrived]:
        return [each for each in self.arrived if each.what in what]

    async def until(self, what: str, count: int = 1) -> None:
        """Wait until there were ``count`` of ``what``."""
        async with self._changed, asyncio.timeout(5):
            await self._changed.wait_for(lambda: len(self.all(what)) >= count)

    async def go_away(self, time_left: str) -> None:
        for socket in list(self._open.values()):
            await self._send(socket, {"goAway": {"timeLeft": time_left}})

    async def hang_up(self, code: int, reason: str) -> None:
        for socket in list(self._open.values()):
            await socket.close(code, reason)

    async def drop(self) -> None:
        for socket in list(self._open.values()):
            socket.transport.abort()

    # --- a connection -----------------------------------------------------------------------------

    async def _note(self, what: str, socket: int, body: Mapping[str, Any] | None = None) -> None:
        self.arrived.append(Arrived(what=what, socket=socket, at=time.monotonic(), body=body or {}))
        async with self._changed:
            self._changed.notify_all()

    def greet(self, connection: ServerConnection, request: Request) -> Response | None:
        greeting = self.greetings.pop(0) if len(self.greetings) > 1 else self.greetings[0]
        connection.greeting = greeting
        if request.path.replace("//", "/") != _PATH:
            return connection.respond(HTTPStatus.NOT_FOUND, "no such method\n")
        if not request.headers.get("x-goog-api-key"):
            return connection.respond(HTTPStatus.FORBIDDEN, "Method doesn't allow unregistered\n")
        if greeting.status == 101:
            return None
        response = connection.respond(HTTPStatus(greeting.status), greeting.body)
        for name, value in greeting.headers.items():
            response.headers[name] = value
        return response

    async def talk(self, connection: ServerConnection) -> None:
        self._sockets += 1
        number = self._sockets
        await self._note("opened", number)
        try:
            await self._talk(connection, number)
        except ConnectionClosed:
            pass
        finally:
            await self._note("closed", number)

    async def _talk(self, connection: ServerConnection, number: int) -> None:
        greeting: Greeting = connection.greeting
        setup = json.loads(await connection.recv())["setup"]
        await self._note("setup", number, setup)
        if greeting.silent:
            await connection.wait_closed()
        if greeting.close is not None:
            await connection.close(*greeting.close)
            return
        handle = setup.get("sessionResumption", {}).get("handle")
        if handle is None:
            self.sessions += 1
            session = _Session(self.sessions)
        elif handle not in self._handles or not self.resumes:
            await connection.close(1008, "BidiGenerateContent session not found")
            return
        else:
            session = _Session(self._handles[handle][0], list(self._handles[handle][1]))
        if session.number in self._open:
            await connection.close(1011, "Internal error encountered.")
            return
        self._open[session.number] = connection
        turn: asyncio.Task[None] | None = None
        try:
            await self._send(connection, {"setupComplete": {}})
            await self._give_handle(connection, session)
            async for raw in connection:
                message = json.loads(raw)
                begins = await self._take(message, session, number)
                if begins is None:
                    continue
                interrupts, asks = begins
                if interrupts and turn is not None and not turn.done():
                    self.interruptions.append(time.monotonic())
                    self.stopped.set()
                    turn.cancel()
                    with suppress(asyncio.CancelledError):
                        await turn
                    if self.acknowledges:
                        await self._content(connection, interrupted=True)
                        await self._content(connection, turnComplete=True)
                        await self._give_handle(connection, session)
                if asks:
                    answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                    turn = asyncio.create_task(self._answer(connection, session, answer))
                    # One that the next takes the place of may have ended with its connection.
                    turn.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        finally:
            if turn is not None:
                turn.cancel()
                with suppress(asyncio.CancelledError, ConnectionClosed):
                    await turn
            del self._open[session.number]

    async def _take(
        self, message: Mapping[str, Any], session: _Session, number: int
    ) -> tuple[bool, bool] | None:
        """Note a message: whether it interrupts, and whether an answer is due."""
        if (content := message.get("client_content")) is not None:
            await self._note("content", number, content)
            for turn in content.get("turns", ()):
                session.turns.append(f"{turn['role']}: {turn['parts'][0]['text']}")
            return True, bool(content.get("turnComplete", content.get("turn_complete")))
        given = message["realtime_input"]
        if "activityStart" in given:
            await self._note("start", number)
            return True, False
        if "activityEnd" in given:
            await self._note("end", number)
            return False, True
        await self._note("audio", number, given["audio"])
        return None

    # --- an answer --------------------------------------------------------------------------------

    async def _answer(
        self, connection: ServerConnection, session: _Session, answer: Answer
    ) -> None:
        await self._send(
            connection, {"sessionResumptionUpdate": {"newHandle": "", "resumable": False}}
        )
        if answer.hears:
            await self._content(connection, inputTranscription={"text": answer.hears})
        await asyncio.sleep(answer.before_first)
        pieces = _pieces(answer)
        for at, (sound, text) in enumerate(pieces):
            if answer.stop_after == at:
                await self._stop(connection, answer)
                return
            if at:
                await asyncio.sleep(answer.between)
            if sound is not None:
                data = base64.b64encode(sound).decode()
                part = {"inlineData": {"mimeType": f"audio/pcm;rate={RATE_HZ}", "data": data}}
                await self._content(connection, modelTurn={"role": "model", "parts": [part]})
                self.sent.append(time.monotonic())
            if text:
                await self._content(connection, outputTranscription={"text": text})
        session.turns.append("model: " + " ".join(answer.sentences))
        await self._content(connection, generationComplete=True)
        await asyncio.sleep(answer.lingers)
        if answer.tells_end:
            await self._content(connection, turnComplete=True)
        await self._give_handle(connection, session)

    async def _stop(self, connection: ServerConnection, answer: Answer) -> None:
        if answer.close is not None:
            await connection.close(*answer.close)
        elif answer.drop:
            connection.transport.abort()
        elif answer.malformed:
            await connection.send('{"serverContent": {"modelTu')
        elif answer.interrupted:
            await self._content(connection, interrupted=True)
            await self._content(connection, turnComplete=True)
            return
        await connection.wait_closed()

    async def _give_handle(self, connection: ServerConnection, session: _Session) -> None:
        handle = f"handle-{session.number}-{len(self._handles)}"
        self._handles[handle] = (session.number, tuple(session.turns))
        await self._send(
            connection, {"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}}
        )

    async def _content(self, connection: ServerConnection, **content: Any) -> None:
        await self._send(connection, {"serverContent": content})

    async def _send(self, connection: ServerConnection, message: Mapping[str, Any]) -> None:
        # Google's service sends its JSON in binary frames.
        await connection.send(json.dumps(message).encode())


def _pieces(answer: Answer) -> list[tuple[bytes | None, str]]:
    """Sound, and the text that goes with it."""
    made: list[tuple[bytes | None, str]] = []
    late: list[str] = []
    for number, sentence in enumerate(answer.sentences):
        sound = (spoken(sentence, number) * 32767).astype("<i2").tobytes()
        size = round(answer.piece * RATE_HZ) * 2
        parts = [sound[at : at + size] for at in range(0, len(sound), size)]
        letters = f" {sentence}" if made else sentence
        share = -(-len(letters) // len(parts))
        for at, part in enumerate(parts):
            late.append(letters[at * share : (at + 1) * share])
            text = late.pop(0) if len(late) > answer.lag else ""
            made.append((part if answer.sounds else None, text if answer.transcribed else ""))
    if answer.transcribed and late:
        made.append((None, "".join(late)))
    return made


def spoken(sentence: str, number: int) -> NDArray[np.float32]:
    """A sentence as a tone of its own: sentence ``number`` hums at 300 + 100 × ``number`` Hz, with
    a short gap at each comma and a longer one at its end."""
    parts: list[NDArray[np.float32]] = []
    for phrase in sentence.split(","):
        seconds = len(phrase) / _LETTERS_PER_S
        t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
        parts.append((0.3 * np.sin(2 * np.pi * (300 + 100 * number) * t)).astype(np.float32))
        parts.append(np.zeros(round(0.15 * RATE_HZ), np.float32))
    parts[-1] = np.zeros(round(0.35 * RATE_HZ), np.float32)
    return np.concatenate(parts)


# --- TLS ------------------------------------------------------------------------------------------


def certificate(folder: Path) -> Path:
    """A certificate for this machine that signs itself, with its key, in one PEM file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@asynccontextmanager
async def serving(
    server: GeminiServer, pem: Path, *, port: int = 0
) -> AsyncGenerator[GeminiServer, None]:
    """``server``, listening with the certificate ``pem``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    async with serve(
        server.talk,
        "127.0.0.1",
        port,
        ssl=context,
        process_request=server.greet,
        close_timeout=0.2,
        compression=None,
        max_size=None,
    ) as listening:
        server.port = next(iter(listening.sockets)).getsockname()[1]
        yield server
