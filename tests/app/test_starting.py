"""A session that is cut off while it starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import anyio
import pytest
from fakes.leftovers import leaving_nothing

from maestra.app import session
from maestra.app.demo import LESSON
from maestra.core import log
from maestra.core.log import check_log, decode

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    with leaving_nothing(monkeypatch, tmp_path_factory.mktemp("temporary")):
        yield


@pytest.mark.parametrize("late", [1, 3, 5])
async def test_the_workers_that_are_there_are_left_when_it_is_cut_off(
    late: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scope = anyio.CancelScope()
    entered: list[str] = []
    left: list[str] = []
    killed: list[str] = []

    class Worker:
        def __init__(self, name: str, settings: object, *, pipes: object) -> None:
            self.name = name

        def __enter__(self) -> Self:
            entered.append(self.name)
            if len(entered) == late:
                anyio.from_thread.run_sync(scope.cancel)
            return self

        def listen(self) -> None:
            pass

        async def receive(self) -> list[object]:
            await anyio.sleep_forever()
            raise AssertionError

        def kill(self) -> None:
            killed.append(self.name)

        def stop(self) -> None:
            left.append(f"{self.name} told")

        def join(self) -> None:
            left.append(self.name)

    monkeypatch.setattr(session, "Worker", Worker)
    events = tmp_path / "events.jsonl"
    with scope:
        async with session.open_session(ingest=str(LESSON), events_path=events):
            raise AssertionError("it has started")

    assert late == len(entered)
    assert ["hearing", "music", "speaker"][:late] == killed, "who still loads"
    assert [*(f"{name} told" for name in entered), *entered] == left
    lines = events.read_text(encoding="utf-8").splitlines()
    assert not check_log(lines)
    last = decode(lines[-1])
    assert isinstance(last, log.SessionEnded)
    assert "stopped" == last.cause
