"""One session as the service sees it: its process, what it was asked, and what it has said.

``Lesson.run`` starts the runner, listens to it, and sees to it that it ends: by itself, because it
was told to, or because it is killed when it hangs. Nothing that happens there is an error here.
"""

from __future__ import annotations

import enum
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread
from anyio.abc import SocketStream
from attrs import asdict, define, field, frozen

from maestra.core import log
from maestra.core.stream_url import StreamUrl
from maestra.ports.errors import MaestraError, leaves

from .lines import Lines
from .logs import LOGGER, Secrets

__all__ = [
    "RUNNER",
    "End",
    "Events",
    "Health",
    "Lesson",
    "LessonError",
    "LessonState",
    "Patience",
    "Wanted",
    "told",
]

RUNNER: Final = (sys.executable, "-m", "maestra.app.service.runner")

_KEPT_EVENTS = 20_000
"""Of a session's events so many are kept for those who come late or come back: an hour of a
lively lesson."""

_OVERHEAD = 130
"""Bytes that an event takes besides its text, about."""

_MINDED_EVERY = 0.25
"""Seconds from one look at a session to the next."""

_COMPLAINTS = 50
"""Lines of what the runner wrote to its standard error that are kept."""


class LessonError(MaestraError):
    """The session did not do what it was asked. ``kind`` is the class of what went wrong there."""

    def __init__(self, text: str, *, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


class LessonState(enum.StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


@frozen(kw_only=True)
class End:
    """Why a session is over: ``finished``, ``stopped``, ``idle``, ``drained``, ``failed``,
    ``crashed`` or ``hung``; and one sentence, if there is more to say."""

    cause: str
    text: str = ""


@frozen(kw_only=True)
class Health:
    """How a connection fares. ``url`` without its secrets."""

    url: str
    ok: bool
    text: str = ""


@frozen(kw_only=True)
class Patience:
    """How long (s) the service waits: for an answer, for a sign of life, for a session that was
    told to stop, and for processes whose runner has gone."""

    answer: float = 10.0
    loading: float = 75.0
    hung: float = 10.0
    stop: float = 15.0
    orphans: float = 4.0


@frozen(kw_only=True)
class Wanted:
    """What a session shall be. ``config`` as dotted keys and values."""

    ingest: StreamUrl
    publish: StreamUrl
    persona: str
    config: Mapping[str, object]


class Events:
    """A session's events, numbered from 1, for any number of readers: each only remembers where it
    is, so a reader that is slow or goes away costs nothing. ``size`` is what they take (bytes)."""

    def __init__(self, keep: int = _KEPT_EVENTS) -> None:
        self._kept: deque[tuple[str, str]] = deque()
        self._keep = keep
        self._count = 0
        self._news = anyio.Event()
        self.size = 0
        self.closed = False

    @property
    def last(self) -> int:
        """The number of the newest."""
        return self._count

    @property
    def first(self) -> int:
        """The number of the oldest that is kept."""
        return self._count - len(self._kept) + 1

    def append(self, kind: str, data: str) -> None:
        self._kept.append((sys.intern(kind), data))
        self._count += 1
        self.size += len(data) + _OVERHEAD
        if len(self._kept) > self._keep:
            self._drop()
        self._wake()

    def trim(self, size: int) -> None:
        """Keep no more than ``size`` bytes, of the newest; but the last in any case."""
        while self.size > size and len(self._kept) > 1:
            self._drop()

    def _drop(self) -> None:
        _, data = self._kept.popleft()
        self.size -= len(data) + _OVERHEAD

    def close(self) -> None:
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()

    def after(self, number: int, most: int) -> list[tuple[int, str, str]]:
        """The number, type and JSON of up to ``most`` events that come after ``number``."""
        begin = max(number + 1, self.first)
        end = min(self._count, begin + most - 1)
        offset = self.first
        return [(at, *self._kept[at - offset]) for at in range(begin, end + 1)]

    async def wait(self, number: int) -> None:
        """Until there is an event after ``number``, or there will be none."""
        while self._count <= number and not self.closed:
            await self._news.wait()


@define
class _Watch:
    """What is gathered from the events for those who ask how things are."""

    latencies: dict[str, dict[str, float]] = field(factory=dict)
    input_text: str = ""
    output_text: str = ""

    def note(self, event: Mapping[str, Any]) -> None:
        match event:
            case {"type": "reply_started", "latency": dict(parts)}:
                for name, value in parts.items():
                    if isinstance(value, int | float):
                        known = self.latencies.setdefault(
                            name, {"last": 0.0, "mean": 0.0, "count": 0}
                        )
                        known["count"] += 1
                        known["last"] = value
                        known["mean"] = round(
                            known["mean"] + (value - known["mean"]) / known["count"], 4
                        )
            case {"type": "warning", "source": "ingest", "text": str(text)}:
                self.input_text = text
            case {"type": "adapter_failed", "port": "ingest", "text": str(text)}:
                self.input_text = text
            case {"type": "adapter_failed", "port": "publish", "adapter": "nvenc"}:
                pass  # another encoder serves, and the output is well
            case {"type": "adapter_failed", "port": "publish" | "playout", "text": str(text)}:
                self.output_text = text
            case {"type": "connection_restored", "port": "publish"}:
                self.output_text = ""
            case _:
                pass


class Lesson:
    """One session. ``on_event`` gets each event of it; ``patience`` is how long it is waited for.

    :param idle_timeout: seconds without input after which it is ended.
    :param secrets: what nothing that it says may show.
    :param turn: is held while its models are loaded, which takes all the time there is.
    """

    def __init__(
        self,
        session_id: str,
        wanted: Wanted,
        *,
        command: Sequence[str] = RUNNER,
        idle_timeout: float,
        turn: anyio.Semaphore,
        secrets: Secrets,
        on_event: Callable[[Lesson, Mapping[str, Any]], None],
        patience: Patience | None = None,
    ) -> None:
        self.id = session_id
        self.wanted = wanted
        self.state = LessonState.STARTING
        self.started_at = datetime.now(UTC)
        self.events = Events()
        self.status: Mapping[str, Any] = {}
        self.end: End | None = None
        self.over = anyio.Event()
        self.watch = _Watch()
        self._last_summary = ""
        self._command = tuple(command)
        self._idle_timeout = idle_timeout
        self._turn = turn
        self._loads = False
        self._secrets = secrets
        self._on_event = on_event
        self._patience = patience or Patience()
        self._begun = time.monotonic()
        self._ended_at: float | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: Lines | None = None
        self._ready = anyio.Event()
        self._answers: dict[int, tuple[anyio.Event, list[Mapping[str, Any]]]] = {}
        self._number = 0
        self._loading_since = self._heard_at = self._begun
        self._has_spoken = False
        self._stop_at: float | None = None
        self._stopping = anyio.Event()
        self._reason: End | None = None
        self._last_t = 0.0
        self._is_strange = False
        self._complaints: deque[str] = deque(maxlen=_COMPLAINTS)

    # --- what may be asked ----------------------------------------------------

    @property
    def pid(self) -> int | None:
        """The process, which leads a group of its own."""
        return self._process.pid if self._process else None

    @property
    def is_over(self) -> bool:
        return self.state is LessonState.ENDED

    @property
    def ended_at(self) -> float:
        """When (monotonic seconds) it ended; of one that has not ended, now."""
        return self._ended_at or time.monotonic()

    @property
    def uptime(self) -> float:
        """Seconds from its start until now, or until its end."""
        return self.ended_at - self._begun

    @property
    def complaints(self) -> tuple[str, ...]:
        """The last lines that its processes wrote to standard error, without secrets."""
        return tuple(self._complaints)

    @property
    def last_summary(self) -> Mapping[str, Any] | None:
        """What was measured of the performance, if it has ended and could still tell."""
        return json.loads(self._last_summary) if self._last_summary else None

    def trim(self, size: int) -> int:
        """Keep no more than ``size`` bytes of what it said: the summary, then the newest events, of
        which the last in any case.

        :returns: how many bytes are kept.
        """
        if len(self._last_summary) > size:
            self._last_summary = ""
        self.events.trim(size - len(self._last_summary))
        return self.events.size + len(self._last_summary)

    def input(self) -> Health:
        gone = float(self.status.get("input_gone") or 0.0)
        ok = bool(self.status.get("running")) and gone < 1.0 and not self.is_over
        text = "" if ok else self.watch.input_text or "nothing has come in yet"
        return Health(url=self.wanted.ingest.redacted(), ok=ok, text=text)

    def output(self) -> Health:
        """``text`` is what is wrong there; an output is opened again by itself."""
        ok = self.state is LessonState.RUNNING and not self.watch.output_text
        return Health(url=self.wanted.publish.redacted(), ok=ok, text=self.watch.output_text)

    async def ask(self, do: str, **arguments: object) -> Mapping[str, Any]:
        """Have the session do something, once it has begun.

        :raises LessonError: it is over, refuses, or does not answer.
        """
        with anyio.move_on_after(self._patience.loading):
            await self._ready.wait()
        if not self._ready.is_set():
            raise LessonError("The session has not begun yet.", kind="TimeoutError")
        return await self._ask(do, **arguments)

    async def _ask(self, do: str, **arguments: object) -> Mapping[str, Any]:
        if self.is_over or self._lines is None:
            raise LessonError("The session is over.", kind="SessionOver")
        self._number += 1
        number = self._number
        came, box = self._answers[number] = (anyio.Event(), [])
        try:
            with anyio.move_on_after(self._patience.answer):
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await self._lines.send({"id": number, "do": do, **arguments})
                await came.wait()
        finally:
            del self._answers[number]
        if not box:
            if self.is_over:
                raise LessonError("The session has ended.", kind="SessionOver")
            raise LessonError("The session does not answer.", kind="TimeoutError")
        if "error" in box[0]:
            error = box[0]["error"]
            raise LessonError(self._secrets.hide(str(error["text"])), kind=str(error["kind"]))
        result: Mapping[str, Any] = box[0].get("result") or {}
        return result

    async def stop(self, reason: End | None = None) -> None:
        """End it, and wait until it has ended. ``reason`` is what is said of it."""
        self.tell_to_stop(reason or End(cause="stopped"))
        await self.over.wait()

    def tell_to_stop(self, reason: End) -> None:
        if self.is_over or self._stop_at is not None:
            return
        self.state = LessonState.STOPPING
        self._reason = reason
        self._stop_at = time.monotonic()
        self._stopping.set()

    # --- its life -------------------------------------------------------------

    async def run(self) -> None:
        """Start it, and mind it until nothing of it is left."""
        try:
            await self._live()
        except Exception as error:
            if self._reason is None:
                what = next(leaves(error))
                text = f"What the session says cannot be followed ({type(what).__name__})."
                self._reason = End(cause="crashed", text=text)
            raise
        finally:
            self._finish()

    async def _await_turn(self) -> None:
        """Until it may load, or need not because it was stopped."""
        async with anyio.create_task_group() as tasks:

            async def give_up() -> None:
                await self._stopping.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(give_up)
            await self._turn.acquire()
            self._loads = True
            tasks.cancel_scope.cancel()

    def _loaded(self) -> None:
        """Let the next one load."""
        if self._loads:
            self._loads = False
            self._turn.release()

    async def _live(self) -> None:
        await self._await_turn()
        if not self._loads:
            return
        self._loading_since = self._heard_at = time.monotonic()
        with ExitStack() as ends:
            try:
                # With no descriptor left it is only this session that does not begin.
                ours, theirs, hears, says = (
                    ends.enter_context(end) for _ in range(2) for end in socket.socketpair()
                )
                self._process = await anyio.to_thread.run_sync(partial(self._start, theirs, says))
            except OSError as error:
                text = f"The session's process cannot be started: {error.strerror}."
                self._reason = End(cause="crashed", text=text)
                return
            ends.pop_all()
        theirs.close()
        says.close()
        self._lines = await Lines.of(ours)
        hears.setblocking(False)
        errors = await SocketStream.from_socket(hears)
        silent = anyio.Event()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read_errors, errors, silent)
                async with anyio.create_task_group() as minded:
                    minded.start_soon(self._mind)
                    minded.start_soon(self._begin)
                    minded.start_soon(self._pass_on_the_stop)
                    try:
                        await self._listen()
                    except Exception:
                        self._kill()  # or what is being said to it might never be heard
                        raise
                    minded.cancel_scope.cancel()
                # Workers leave when their runner does. Once none of them can be heard, none is.
                with anyio.move_on_after(self._patience.orphans):
                    await silent.wait()
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                # Until it has been waited for, no other process can have its number.
                self._kill()
                await anyio.to_thread.run_sync(self._process.wait)
                await self._lines.aclose()
                await errors.aclose()

    def _start(self, theirs: socket.socket, says: socket.socket) -> subprocess.Popen[bytes]:
        kept = {k: v for k, v in os.environ.items() if k != "MAESTRA_SERVICE_TOKEN"}
        return subprocess.Popen(
            [*self._command, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=says.fileno(),
            env=kept,
            start_new_session=True,
        )

    async def _pass_on_the_stop(self) -> None:
        assert self._lines is not None
        await self._stopping.wait()
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._lines.send({"id": -1, "do": "stop"})

    async def _begin(self) -> None:
        wanted = self.wanted
        try:
            await self._ask_patiently(
                "open",
                config=wanted.config,
                ingest=told(wanted.ingest),
                publish=told(wanted.publish),
                persona=wanted.persona,
            )
        except LessonError:
            return  # why is told with its end
        if self.state is LessonState.STARTING:
            self.state = LessonState.RUNNING
        self._loaded()
        self._ready.set()

    async def _ask_patiently(self, do: str, **arguments: object) -> None:
        """As ``_ask``, for as long as loading may take: what loads for ever is killed elsewhere."""
        assert self._lines is not None
        came, box = self._answers[0] = (anyio.Event(), [])
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._lines.send({"id": 0, "do": do, **arguments})
        await came.wait()
        self._answers.pop(0, None)
        if not box or "error" in box[0]:
            raise LessonError("The session could not begin.", kind="SessionFailed")

    async def _listen(self) -> None:
        """Take in what the runner says, to its end."""
        assert self._lines is not None
        while True:
            try:
                message = await self._lines.receive()
            except ValueError as error:
                if self._reason is None:
                    text = self._secrets.hide(f"What the session says is no message: {error}.")
                    self._reason = End(cause="crashed", text=text)
                self._kill()
                return
            if message is None:
                return
            self._heard_at = time.monotonic()
            self._has_spoken = True
            match message:
                case {"event": dict(event)}:
                    self._take(event)
                case {"status": dict(status)}:
                    for figure in ("input_gone", "memory"):  # others count with them
                        float(status.get(figure) or 0.0)
                    self.status = status
                case {"answer": int(number)}:
                    if number in self._answers:
                        came, box = self._answers[number]
                        box.append(message)
                        came.set()
                case {"summary": dict(summary)}:
                    self._last_summary = json.dumps(summary)  # in ASCII: as many bytes
                case {"ended": {"cause": str(cause), "text": str(text)}}:
                    if self._reason is None or cause == "failed":
                        self._reason = End(cause=cause, text=self._secrets.hide(text))
                case _:
                    pass

    def _take(self, event: Mapping[str, Any]) -> None:
        kind = str(event.get("type", "message"))
        text = json.dumps(event, ensure_ascii=False)
        if self._secrets.occur_in(text):
            event = {**self._secrets.hide_in(event), "type": kind}
            text = json.dumps(event, ensure_ascii=False)
        if isinstance(event.get("t"), int | float):
            self._last_t = float(event["t"])
        self.watch.note(event)
        self.events.append(kind, text)
        try:
            self._on_event(self, event)
        except Exception:
            # Whoever counts events has met a strange one: no reason to end a lesson.
            if not self._is_strange:
                self._is_strange = True
                LOGGER.exception("strange event", extra={"fields": {"session_id": self.id}})

    async def _read_errors(self, errors: SocketStream, silent: anyio.Event) -> None:
        rest = b""
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                *lines, rest = (rest + await errors.receive()).split(b"\n")
                rest = rest[-4096:]
                for line in lines:
                    text = line[-4096:].decode(errors="replace")
                    self._complaints.append(self._secrets.hide(text))
        silent.set()

    async def _mind(self) -> None:
        """End what hangs, what will not stop, and what nobody sends anything to."""
        looked_at = time.monotonic()
        while True:
            await anyio.sleep(_MINDED_EVERY)
            now, patience = time.monotonic(), self._patience
            # While we ourselves got no processor, a session may well have got none either.
            self._excuse(now, now - looked_at - _MINDED_EVERY)
            looked_at = now
            # Before its first word it is being loaded, which takes long where little time is left.
            if self._has_spoken and now - self._heard_at > patience.hung:
                text = f"The session gave no sign of life for {patience.hung:g} s and was killed."
                self._reason = End(cause="hung", text=text)
                self._kill()
                return
            if self._stop_at is not None and now - self._stop_at > patience.stop:
                text = f"The session did not stop within {patience.stop:g} s and was killed."
                self._reason = End(cause="hung", text=text)
                self._kill()
                return
            if self.state is LessonState.STARTING and now - self._loading_since > patience.loading:
                text = f"The session was not ready within {patience.loading:g} s and was killed."
                self._reason = End(cause="hung", text=text)
                self._kill()
                return
            gone = float(self.status.get("input_gone") or 0.0)
            if gone > self._idle_timeout and self._stop_at is None:
                text = f"No input came for {self._idle_timeout:g} s (service.idle_timeout)."
                self.tell_to_stop(End(cause="idle", text=text))

    def _excuse(self, now: float, stalled: float) -> None:
        """Of what the session is waited for, ``stalled`` seconds do not count."""
        self._heard_at = min(now, self._heard_at + stalled)
        self._loading_since = min(now, self._loading_since + stalled)
        if self._stop_at is not None:
            self._stop_at = min(now, self._stop_at + stalled)

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _finish(self) -> None:
        try:
            self._loaded()
            self._ended_at = time.monotonic()
            self.end = self._reason or self._how_it_crashed()
            self.state = LessonState.ENDED
            if not self._is_told():
                self._tell_the_end(self.end)
        finally:
            # Whatever happens: somebody waits for it.
            self.events.close()
            self._ready.set()
            for came, _ in self._answers.values():
                came.set()
            self.over.set()

    def _tell_the_end(self, end: End) -> None:
        cause = end.cause if end.cause in ("finished", "stopped") else "failed"
        ended = log.SessionEnded(
            t=self._last_t,
            wall=time.monotonic(),
            cause=cause,  # type: ignore[arg-type]
            text=end.text,
        )
        self._take(log.encode(ended))

    def _is_told(self) -> bool:
        return any(
            kind == "session_ended" for _, kind, _ in self.events.after(self.events.last - 1, 1)
        )

    def _how_it_crashed(self) -> End:
        code = self._process.returncode if self._process is not None else None
        if code is None or code >= 0:
            how = f"ended without a word (code {code})"
        else:
            try:
                how = f"was ended by {signal.Signals(-code).name}"
            except ValueError:
                how = f"was ended by signal {-code}"
        return End(cause="crashed", text=f"The session's process {how}.")


def told(url: StreamUrl) -> dict[str, Any]:
    """``url`` as the runner takes it, with all that was found out about it."""
    whole = url.address
    if url.listen:
        whole += f"{'&' if '?' in whole else '?'}listen=1"
    permitted = asdict(url.permitted) if url.permitted is not None else None
    return {"url": whole, "pinned": url.pinned, "permitted": permitted}
