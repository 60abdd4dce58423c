"""A session's process, seen from within."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, cast

import anyio
import pytest

from maestra.app.service import runner
from maestra.app.service.lines import Lines

pytestmark = pytest.mark.anyio


class _Said:
    """A service that listens: it keeps what it is told first."""

    def __init__(self) -> None:
        self.first: Mapping[str, Any] = {}
        self.told = anyio.Event()

    async def send(self, message: Mapping[str, Any]) -> None:
        self.first = self.first or message
        self.told.set()


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
            tasks.start_soon(runner._Runner(cast(Lines, said))._beat)
            while not counting.is_set():  # noqa: ASYNC110 (it is set by a thread)
                await anyio.sleep(0.001)  # here the lesson goes on
            go_on.set()
            await said.told.wait()
            tasks.cancel_scope.cancel()

    assert said.first["status"] == {"running": False, "memory": 7}
