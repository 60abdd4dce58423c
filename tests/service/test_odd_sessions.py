"""What one session says or lacks ends that session at most, and always comes to an end."""

from __future__ import annotations

import errno
import resource
import socket
from collections.abc import Mapping
from typing import Any, Never

import anyio
import pytest

pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

from fakes.service import Caller, start_body

from maestra.app.service import server
from maestra.app.service.lesson import Lesson

pytestmark = pytest.mark.anyio


async def test_an_event_that_nobody_can_count_ends_nothing(caller: Caller) -> None:
    session = await caller.start("strange")
    assert (await caller.post("config", {})).is_success

    assert caller.log.getvalue().count("strange event") == 1
    assert (await caller.http.get(f"/session/{session}")).json()["state"] == "running"
    assert (await caller.http.get("/metrics")).is_success


async def test_a_session_that_cannot_be_understood_ends_alone(caller: Caller) -> None:
    other = await caller.start()
    wanted = {"garbled": "is no message", "unwell": "cannot be followed (ValueError)"}
    begun = {how: await caller.start(how) for how in wanted}
    for how, says in wanted.items():
        ended = (await caller.over(begun[how]))["ended"]
        assert ended["cause"] == "crashed" and says in ended["text"]

    assert (await caller.http.get("/metrics")).is_success
    assert [one.id for one in caller.service.sessions.present()] == [other]


async def test_who_waits_for_an_end_is_told_of_it_whatever_goes_wrong(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await caller.start("end")
    lesson = caller.service.sessions.get(session)
    take = Lesson._take

    def choke(self: Lesson, event: Mapping[str, Any]) -> None:
        if event["type"] == "session_ended":
            raise TypeError("no end can be told")
        take(self, event)

    monkeypatch.setattr(Lesson, "_take", choke)
    with anyio.fail_after(5):
        await lesson.stop()

    assert lesson.is_over and lesson.events.closed
    assert "session lost" in caller.log.getvalue()


async def test_without_descriptors_one_start_fails(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await caller.start()
    assert (await caller.post("config", {})).is_success

    def full() -> Never:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socketpair", full)
        ended = (await caller.over(await caller.start()))["ended"]

    assert ended == {
        "cause": "crashed",
        "text": "The session's process cannot be started: Too many open files.",
    }
    assert (await caller.post("start", start_body())).is_success
    assert other in [one.id for one in caller.service.sessions.present()]


@pytest.mark.parametrize(
    ("soft", "hard", "most", "then"),
    [
        (1024, 4096, 1000, 1256),
        (1024, resource.RLIM_INFINITY, 1000, 1256),
        (1024, 1024, 768, 1024),
        (100, 100, 50, 100),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 1000, resource.RLIM_INFINITY),
    ],
)
def test_connections_leave_descriptors_for_sessions(
    soft: int, hard: int, most: int, then: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda what: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda what, both: limits.append(both))

    assert server._most_connections() == most
    assert limits[-1] == (then, hard)


def test_a_limit_that_may_not_be_raised_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(what: int, both: tuple[int, int]) -> Never:
        raise OSError(errno.EPERM, "not here")

    monkeypatch.setattr(resource, "getrlimit", lambda what: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)

    assert server._most_connections() == 768
