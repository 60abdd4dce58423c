"""One session's process: ``python -m maestra.app.service.runner FD``.

It holds one lesson and speaks with the service over the socket ``FD`` (see ``lines``). The first
message is what the lesson shall be. When the service goes, the lesson ends, its outputs closed.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import anyio
import anyio.to_thread
import attrs
from anyio.abc import TaskGroup

from maestra.core.log import Warned, encode
from maestra.core.networks import Permitted
from maestra.core.stream_url import StreamUrl
from maestra.ports.errors import MaestraError, PeerRefused, leaves

from ..config import Config, from_values, options
from ..event_log import Subscription
from ..session import Session, open_session
from .lines import Lines
from .machine import group_memory

__all__ = ["main"]

_HEARTBEAT = 1.0
"""Seconds between two words of being alive."""

_MEMORY_EVERY = 10
"""Heartbeats between two looks at the memory, which take up to a tenth of a second."""

_OF_BROWSERS = ("connect", "disconnect")

_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError)


class _Runner:
    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._session: Session | None = None
        self._stop = anyio.Event()
        self._lesson_scope = anyio.CancelScope()

    async def run(self) -> None:
        first = await self._lines.receive()
        if first is None:
            return
        cause, text = "stopped", ""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen, tasks)
            tasks.start_soon(self._beat)
            tasks.start_soon(self._mind_signals)
            try:
                with self._lesson_scope:
                    await self._hold(first)
                    cause = "stopped" if self._stop.is_set() else "finished"
            except BaseException as error:
                told = [leaf for leaf in leaves(error) if isinstance(leaf, MaestraError)]
                if not told:
                    raise
                cause, text = "failed", str(told[0])
            tasks.cancel_scope.cancel()
        if self._session is not None:
            await self._say({"summary": _summary(self._session)})
        if why := await self._say({"ended": {"cause": cause, "text": text}}):
            await self._say({"ended": {"cause": cause, "text": f"What ended it {why}"}})

    async def _hold(self, wanted: Mapping[str, Any]) -> None:
        config = from_values(wanted["config"])
        async with anyio.create_task_group() as viewer:
            async with open_session(
                config,
                ingest=_address(wanted["ingest"]),
                publish=_address(wanted["publish"]),
                persona=wanted["persona"],
            ) as session:
                self._session = session
                viewer.start_soon(self._tell, session.events())
                await self._lines.send({"answer": wanted["id"], "result": {}})
                if self._stop.is_set():
                    session.stop()
                await session.wait()

    async def _tell(self, events: Subscription) -> None:
        """Pass the event log on, to its end."""
        t = 0.0
        async for record in events:
            t = record.t if math.isfinite(record.t) else t
            if why := await self._say({"event": encode(record)}):
                text = f"a record of type {record.type} {why}"
                warned = Warned(t=t, wall=record.wall, source="event_log", text=text)
                await self._say({"event": encode(warned)})

    async def _say(self, message: Mapping[str, Any]) -> str:
        """Send ``message``. What JSON cannot hold (a figure that is not a number, half a surrogate)
        or is too long is not sent, and why is returned: it costs that message, not the lesson."""
        with suppress(*_GONE):
            try:
                await self._lines.send(message)
            except (TypeError, ValueError) as error:
                return f"cannot be told: {error}"
        return ""

    async def _beat(self) -> None:
        memory: int | None = None
        count = 0
        with suppress(*_GONE):
            while True:
                if count % _MEMORY_EVERY == 0:
                    # The kernel walks all their pages: the lesson must not stand still for it.
                    memory = await anyio.to_thread.run_sync(
                        group_memory, os.getpgrp(), abandon_on_cancel=True
                    )
                count += 1
                await self._lines.send({"status": {**self._status(), "memory": memory}})
                await anyio.sleep(_HEARTBEAT)

    def _status(self) -> dict[str, Any]:
        if self._session is None:
            return {"running": False}
        # What is said is told by the events, and may be what JSON cannot hold.
        said = attrs.filters.exclude("transcript", "reply")
        return attrs.asdict(self._session.status(), filter=said)

    async def _listen(self, tasks: TaskGroup) -> None:
        while (message := await self._lines.receive()) is not None:
            if message["do"] in _OF_BROWSERS:
                tasks.start_soon(self._answer, message)  # it takes longer; nothing waits for it
            else:
                await self._answer(message)
        self._end()

    async def _answer(self, message: Mapping[str, Any]) -> None:
        answer: dict[str, Any] = {"answer": message.get("id")}
        try:
            answer["result"] = await self._do(message)
        except (MaestraError, ValueError) as error:
            answer["error"] = {"kind": type(error).__name__, "text": str(error)}
        if why := await self._say(answer):
            refusal = {"kind": "ValueError", "text": f"The answer {why}"}
            await self._say({"answer": message.get("id"), "error": refusal})

    async def _mind_signals(self) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM) as signals:
            async for _ in signals:
                self._end()

    async def _do(self, message: Mapping[str, Any]) -> object:
        if message["do"] == "stop":
            self._end()
            return {}
        session = self._session
        if session is None:
            raise MaestraError("the session has not begun yet")
        match message["do"]:
            case "config":
                return live(await session.update_config(message["values"]))
            case "reset":
                report = await session.reset_context(performance=message["performance"])
                return attrs.asdict(report)
            case "summary":
                return _summary(session)
            case "connect" | "disconnect":
                return await _browser(session, message)
            case other:
                raise MaestraError(f"there is no command {other!r}")

    def _end(self) -> None:
        self._stop.set()
        if self._session is None:  # still loading
            self._lesson_scope.cancel()
        else:
            self._session.stop()


def live(config: Config) -> dict[str, object]:
    """The live options of ``config`` by the last part of their keys."""
    values: dict[str, object] = {}
    for option in options():
        if option.about["live"]:
            section, _, name = option.key.rpartition(".")
            values[name] = getattr(getattr(config, section), name)
    return values


def _address(given: Mapping[str, Any]) -> StreamUrl:
    permitted = Permitted(**given["permitted"]) if given["permitted"] is not None else None
    return attrs.evolve(StreamUrl.parse(given["url"]), pinned=given["pinned"], permitted=permitted)


async def _browser(session: Session, message: Mapping[str, Any]) -> dict[str, object]:
    """A browser comes or goes; what speaks against it is an answer, too."""
    try:
        if message["do"] == "disconnect":
            await session.disconnect_browser(message["peer"])
            return {}
        answer = await session.connect_browser(message["way"], message["offer"])
    except PeerRefused as error:
        return {"refused": error.reason, "text": str(error)}
    return {"peer": answer.peer, "sdp": answer.sdp}


def _summary(session: Session) -> dict[str, object]:
    summary, observations = session.performance()
    return {
        "summary": summary.to_dict(),
        "observations": [
            {
                "kind": one.kind.value,
                "take": one.take,
                "start": round(one.start, 3),
                "end": round(one.end, 3),
                "place": one.place,
                "text": one.text,
            }
            for one in observations
        ],
    }


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end = socket.socket(fileno=int(arguments[0]))
    end.set_inheritable(False)

    async def run() -> None:
        await _Runner(await Lines.of(end)).run()

    anyio.run(run)
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)  # a thread of a library's is not to be waited for
