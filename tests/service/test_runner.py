"""A session's process, seen from within."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest
from attrs import evolve

from maestra.app.config import Config
from maestra.app.event_log import Subscription
from maestra.app.service import runner
from maestra.app.service.lesson import told
from maestra.app.service.lines import Lines
from maestra.app.session import Session, Status
from maestra.core import log
from maestra.core.networks import Permitted
from maestra.core.performance.figure import Figure
from maestra.core.performance.summary import PerformanceSummary
from maestra.core.stream_url import StreamUrl

pytestmark = pytest.mark.anyio


class _Said:
    """A service that listens: it keeps what it is told. It asks for one lesson at most."""

    def __init__(self, *asked: Mapping[str, Any]) -> None:
        self._asked = list(asked)
        self.all: list[Mapping[str, Any]] = []
        self.told = anyio.Event()

    async def send(self, message: Mapping[str, Any]) -> None:
        json.dumps(message, ensure_ascii=False, allow_nan=False).encode()  # as Lines does
        self.all.append(message)
        self.told.set()

    async def receive(self) -> Mapping[str, Any]:
        if not self._asked:
            await anyio.sleep_forever()
        return self._asked.pop()


class _Strange:
    """A session that was told, and measured, what JSON cannot hold."""

    def status(self) -> Status:
        return Status(
            t=1.0,
            state="speaking",
            floor="silence",
            transcript="half a \ud83c",
            reply="half a \ud83c",
            epoch=1,
            takes=0,
            notes=0,
            fps=25.0,
            input_gone=0.0,
            running=True,
        )

    def performance(self) -> tuple[PerformanceSummary, tuple[()]]:
        time = Figure(value=math.nan, unit="s", confidence=0.9, start=0.0, end=1.0)
        return PerformanceSummary(playing_time=time), ()


class _Short(_Strange):
    """A session that ends as soon as it is waited for."""

    def events(self) -> Subscription:
        events = Subscription(1)
        events.close()
        return events

    async def wait(self) -> None:
        pass

    def performance(self) -> tuple[PerformanceSummary, tuple[()]]:
        return PerformanceSummary(), ()


def _runner(said: _Said, session: object = None) -> runner._Runner:
    made = runner._Runner(cast(Lines, said))
    made._session = cast(Session, session)
    return made


async def test_the_lesson_does_not_stand_still_while_its_memory_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counting, go_on = threading.Event(), threading.Event()

    def count(group: int) -> int:
        counting.set()
        assert go_on.wait(10)
        return 7

    monkeypatch.setattr(runner, "group_memory", count)
    said = _Said()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_runner(said)._beat)
            while not counting.is_set():  # noqa: ASYNC110 (it is set by a thread)
                await anyio.sleep(0.001)  # here the lesson goes on
            go_on.set()
            await said.told.wait()
            tasks.cancel_scope.cancel()

    assert said.all[0]["status"] == {"running": False, "memory": 7}


async def test_a_record_that_json_cannot_hold_costs_only_itself() -> None:
    said, events = _Said(), Subscription(9)
    note: dict[str, Any] = {"midi": 60, "loudness_db": -20.0, "confidence": 0.9}
    for record in (
        log.Note(t=3.0, wall=13.0, onset=2.0, offset=math.nan, **note),
        log.Warned(t=math.inf, wall=15.0, source="brain", text="half a \ud83c"),
        log.Beat(t=6.0, wall=16.0, at=6.0),
    ):
        events.push(record)
    events.close()
    await _runner(said)._tell(events)

    first, second, third = (message["event"] for message in said.all)
    assert (first["type"], first["t"], first["wall"]) == ("warning", 3.0, 13.0)
    assert first["text"].startswith("a record of type note cannot be told: ")
    assert (second["type"], second["t"]) == ("warning", 3.0)  # when it was is not known
    assert (third["type"], third["at"]) == ("beat", 6.0)
    assert not log.problems(json.dumps(first)) and not log.problems(json.dumps(second))


async def test_a_summary_that_json_cannot_hold_is_an_error() -> None:
    said = _Said()
    await _runner(said, _Strange())._answer({"id": 7, "do": "summary"})

    (answer,) = said.all
    assert (answer["answer"], answer["error"]["kind"]) == (7, "ValueError")
    assert "result" not in answer


async def test_what_is_said_does_not_stop_the_sign_of_life() -> None:
    said = _Said()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_runner(said, _Strange())._beat)
            await said.told.wait()
            tasks.cancel_scope.cancel()

    assert said.all[0]["status"]["state"] == "speaking"


async def test_a_lesson_is_begun_as_asked_and_tells_at_its_end_what_was_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[StreamUrl] = []

    @asynccontextmanager
    async def open_session(
        config: Config, *, ingest: StreamUrl, publish: StreamUrl, persona: str
    ) -> AsyncGenerator[_Short]:
        begun.extend([ingest, publish])
        yield _Short()

    monkeypatch.setattr(runner, "open_session", open_session)
    permitted = Permitted(networks=["10.0.0.0/8"], private=True)
    wanted = [
        evolve(StreamUrl.parse(f"rtmp://bot.invalid/live/{way}"), permitted=permitted)
        for way in ("x", "y?listen=1")
    ]
    # Where its name was judged to lead goes along: it may lead elsewhere by now.
    wanted = [wanted[0].pin("10.0.0.7"), wanted[1].pin("2001:db8::1")]
    ingest, publish = json.loads(json.dumps([told(one) for one in wanted]))
    said = _Said({"id": 0, "ingest": ingest, "publish": publish, "persona": "", "config": {}})
    with anyio.fail_after(10):
        await _runner(said).run()

    assert begun == wanted
    assert [message for message in said.all if "status" not in message] == [
        {"answer": 0, "result": {}},
        {"summary": {"summary": {"takes": []}, "observations": []}},
        {"ended": {"cause": "finished", "text": ""}},
    ]
