"""The control interface from the outside: a real port, real processes, no lesson in them."""

from __future__ import annotations

import json
import os
import signal
import statistics
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

from fakes.service import QUICK, TOKEN, Caller, calling, nowhere, start_body

from maestra.app.service import sessions
from maestra.app.service.lesson import Patience

pytestmark = pytest.mark.anyio


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_a_session_is_begun_changed_reset_watched_and_stopped(caller: Caller) -> None:
    answer = await caller.post("start", {**start_body(), "persona_id": "teacher_mary_v1"})
    session = answer.json()["session_id"]
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/session/{session}" == answer.json()["links"]["session"]
    assert answer.json()["state"] == "starting"

    config = await caller.post(
        "config", {"wake_phrases": ["comment", "suggestion", "feedback"], "strictness": "high"}
    )
    assert config.status_code == 200
    assert config.json()["config"]["wake_phrases"] == ["comment", "suggestion", "feedback"]
    assert config.json()["config"]["strictness"] == "high"
    assert config.json()["config"]["window"] == 10.0  # all that is in force, not only what changed

    reset = await caller.post("reset_context")
    assert reset.json() == {
        "session_id": session,
        "cleared": {"turns": 2, "performance": False},
    }
    wiped = await caller.post("reset_context", {"performance": True, "session_id": session})
    assert wiped.json()["cleared"]["performance"] is True

    status = (await caller.http.get(f"/session/{session}")).json()
    assert (status["state"], status["floor"], status["fps"]) == ("running", "silence", 25.0)
    assert status["conversation"] == "passive_listening"
    assert status["ingest"]["ok"] and status["ingest"]["url"] == "rtmp://localhost/live/***"
    assert (await caller.http.get(f"/session/{session}/summary")).json()["summary"] == {"takes": []}
    listed = (await caller.http.get("/sessions")).json()["sessions"]
    assert [one["session_id"] for one in listed] == [session]

    pid = caller.service.sessions.get(session).pid
    stopped = await caller.post("stop")
    assert stopped.json()["ended"]["cause"] == "stopped"
    assert pid is not None and not is_there(pid)
    late = await caller.post("config", {"strictness": "low", "session_id": session})
    assert late.status_code == 409
    assert "start another" in late.json()["detail"]
    last = await caller.http.get(f"/session/{session}/summary")
    assert last.status_code == 200 and last.json()["session_id"] == session
    assert last.json()["summary"] == {"takes": [{"number": 1}]}  # as of its end


async def test_where_an_address_was_judged_to_lead_is_told_to_the_session() -> None:
    async with calling('hosts=["localhost", "inside.example.com"]') as caller:
        ingest = "rtmp://inside.example.com/live/pinned"
        answer = await caller.post("start", {**start_body(), "rtmp_ingest_url": ingest})
        session = answer.json()["session_id"]
        await caller.post("config", {})
        told = caller.service.sessions.get(session).events.after(0, 9)

    assert ["10.0.0.7 127.0.0.1"] == [json.loads(d)["text"] for _, k, d in told if k == "warning"]


@pytest.mark.parametrize("how", ["crash", "refuse"])
async def test_who_could_not_tell_at_its_end_has_no_summary(caller: Caller, how: str) -> None:
    session = await caller.start(how)
    await caller.over(session)
    answer = await caller.http.get(f"/session/{session}/summary")

    assert answer.status_code == 409 and "The session has ended" in answer.json()["detail"]


async def test_how_quick_the_teacher_is_and_who_can_teach_is_told(caller: Caller) -> None:
    session = await caller.start("turn")
    await caller.post("config", {})
    status = (await caller.http.get(f"/session/{session}")).json()
    personas = (await caller.http.get("/personas")).json()

    assert status["latencies"]["total"] == {"last": 0.62, "mean": 0.62, "count": 1}
    assert "face" not in status["latencies"]
    assert status["uptime"] > 0
    assert "teacher_mary_v1" in [one["persona_id"] for one in personas]


async def test_a_setting_applies_within_a_tenth_of_a_second(caller: Caller) -> None:
    session = await caller.start()
    await caller.post("config", {})
    seen = caller.service.sessions.get(session).events.last
    asked = []
    for window in range(10, 15):
        asked.append(time.monotonic())
        await caller.post("config", {"window": window})

    found = [
        json.loads(data)
        for _, _, data in caller.service.sessions.get(session).events.after(seen, 9)
    ]
    applied = [record["wall"] for record in found if record["type"] == "config_changed"]
    took = [at - before for before, at in zip(asked, applied, strict=True)]
    assert statistics.median(took) < 0.1  # the machine has other work


@pytest.mark.parametrize(("how", "text"), [("busy", "the stream is busy"), ("back", "")])
async def test_what_is_wrong_with_the_output_is_said_until_it_is_back(
    caller: Caller, how: str, text: str
) -> None:
    session = await caller.start(how)
    await caller.post("reset_context", {})  # is answered once it has begun

    publish = (await caller.http.get(f"/session/{session}")).json()["publish"]
    assert (publish["ok"], publish["text"]) == (not text, text)


async def test_a_machine_that_stood_still_is_no_sessions_fault() -> None:
    """Neither the service nor the session got any processor for longer than one may be silent."""
    patience = Patience(answer=5.0, hung=2.5, stop=1.0, orphans=1.0)
    async with calling(patience=patience) as caller:
        session = await caller.start()
        await caller.post("reset_context", {})  # is answered once it has begun
        pid = caller.service.sessions.get(session).pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        time.sleep(3.0)  # noqa: ASYNC251 - the service stands still, too
        await anyio.sleep(0.4)
        os.kill(pid, signal.SIGCONT)
        await anyio.sleep(1.0)

        assert (await caller.http.get(f"/session/{session}")).json()["state"] == "running"


async def test_which_session_is_meant(caller: Caller) -> None:
    none = await caller.post("reset_context", {})
    assert none.status_code == 404 and "POST /session/start" in none.json()["detail"]

    one, two = await caller.start(), await caller.start()
    unclear = await caller.post("config", {"strictness": "low"})
    assert unclear.status_code == 409
    assert unclear.json()["sessions"] == [one, two]
    assert (await caller.post("config", {"strictness": "low", "session_id": two})).is_success
    assert (await caller.http.get("/session/nobody")).status_code == 404


async def test_a_start_that_is_sent_twice_begins_one_session(caller: Caller) -> None:
    key = {"Idempotency-Key": "lesson-7"}
    first = await caller.post("start", start_body(), headers=key)
    again = await caller.post("start", start_body(), headers=key)
    other = await caller.post("start", start_body("other"), headers=key)

    assert first.json()["session_id"] == again.json()["session_id"]
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotent-replayed"] == "true"
    assert other.status_code == 422 and "new key" in other.json()["detail"]


async def test_a_name_that_is_looked_up_for_long_holds_nobody_up() -> None:
    known = anyio.Event()

    async def look_up(host: str, port: int) -> list[str]:
        if host == "slow.example.com":
            await known.wait()
        return await nowhere(host, port)

    async with calling('hosts=["localhost", "slow.example.com"]', look_up=look_up) as caller:
        slow = {**start_body(), "rtmp_ingest_url": "rtmp://slow.example.com/live/x"}
        answers = []

        async def start_slowly() -> None:
            answers.append(await caller.post("start", slow))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(start_slowly)
            await anyio.sleep(0.1)
            with anyio.fail_after(10):
                await caller.start()
            assert not answers
            known.set()
        assert answers[0].status_code == 422


async def test_a_start_that_comes_twice_at_once_begins_one_session() -> None:
    asked, both = 0, anyio.Event()

    async def look_up(host: str, port: int) -> list[str]:
        nonlocal asked
        asked += 1
        if asked == 2:
            both.set()
        with anyio.move_on_after(10):
            await both.wait()
        return await nowhere(host, port)

    answers = []
    async with calling(look_up=look_up) as caller:

        async def start() -> None:
            answers.append(
                await caller.post("start", start_body(), headers={"Idempotency-Key": "lesson-7"})
            )

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(start)
            tasks.start_soon(start)
        assert both.is_set()  # they were indeed at it together
        assert [one.status_code for one in answers] == [201, 201]
        assert len(caller.service.sessions.all()) == 1


async def test_a_key_begins_no_second_session_when_the_first_is_forgotten(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_KEPT", 1)
    first = await caller.start("end", **{"Idempotency-Key": "lesson-7"})
    await caller.over(first)
    await caller.over(await caller.start("end"))
    again = await caller.post("start", start_body("end"), headers={"Idempotency-Key": "lesson-7"})

    assert (await caller.http.get(f"/session/{first}")).status_code == 404
    assert again.status_code == 422 and again.json()["type"].endswith("idempotency-key-spent")
    assert first in again.json()["detail"] and "new key" in again.json()["detail"]


WRONG_SETTINGS: list[tuple[object, int, str]] = [
    ({"strictness": "brutal"}, 422, "low, medium, high"),
    ({"window": 1e9}, 422, "at most 300"),
    ({"wake_phrases": []}, 422, "must not be empty"),
    ({"wake_phrases": "comment"}, 400, "wake_phrases"),
    ({"wake_phrase": ["comment"]}, 400, "did you mean wake_phrases?"),
    ({"keep_audio": True}, 400, "not a field"),
    ([1, 2], 400, "object"),
]


async def test_a_wrong_setting_is_refused_and_changes_nothing(caller: Caller) -> None:
    await caller.start()
    for body, status, says in WRONG_SETTINGS:
        answer = await caller.post("config", body)

        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert says in answer.json()["detail"]
    assert (await caller.post("config", {})).json()["config"]["strictness"] == "medium"


async def events(
    caller: Caller, session: str, *, after: int | None = None, until: str = "session_ended"
) -> list[tuple[int, str, dict[str, Any]]]:
    """Number, type and record of the session's events, to the first of type ``until``."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    found: list[tuple[int, str, dict[str, Any]]] = []
    number, kind = 0, ""
    with anyio.fail_after(10):
        async with caller.http.stream(
            "GET", f"/session/{session}/events", headers=headers
        ) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                match name:
                    case "id":
                        number = int(value)
                    case "event":
                        kind = value
                    case "data":
                        found.append((number, kind, json.loads(value)))
                        if kind == until:
                            return found
    return found


async def test_events_go_on_where_the_reader_was(caller: Caller) -> None:
    session = await caller.start()
    await caller.post("config", {"strictness": "low"})
    first = await events(caller, session, until="config_changed")
    await caller.post("stop")
    rest = await events(caller, session, after=first[-1][0])
    after_all = await caller.http.get(
        f"/session/{session}/events", headers={"Last-Event-ID": str(rest[-1][0])}
    )

    assert [kind for _, kind, _ in first] == ["session_started", "config_changed"]
    assert [kind for _, kind, _ in rest] == ["session_ended"]
    assert [number for number, _, _ in first + rest] == [1, 2, 3]
    assert after_all.status_code == 204  # a browser that comes back is told not to


async def test_a_reader_is_told_how_many_events_are_no_longer_kept(caller: Caller) -> None:
    session = await caller.start("many")
    await caller.post("config", {})
    found = await events(caller, session, until="config_changed")

    assert found[0][1] == "lost"
    assert found[0][2]["lost"] == 25_002 - 20_000
    assert len(found) == 20_001


async def test_those_that_have_ended_share_what_is_kept_of_their_events(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []
    for _ in range(3):
        ended.append(await caller.start())
        await caller.post("config", {"session_id": ended[-1]})
        await caller.post("stop", {"session_id": ended[-1]})
        if len(ended) == 1:
            size = caller.service.sessions.get(ended[0]).events.size
            monkeypatch.setattr(sessions, "_KEPT_BYTES", 1.9 * size)
    kept = [caller.service.sessions.get(session).events for session in ended]

    # The newest has all of its own, the one before what is left, the oldest how it ended. What was
    # measured goes last.
    assert [one.last - one.first + 1 for one in kept] == [1, 2, 3]
    monkeypatch.setattr(sessions, "_KEPT_BYTES", 1)
    await caller.over(await caller.start("end"))
    paths = [f"/session/{session}/summary" for session in ended]
    assert [(await caller.http.get(path)).status_code for path in paths] == [409, 409, 409]
    found = await events(caller, ended[0])
    assert [(kind, record.get("lost")) for _, kind, record in found] == [
        ("lost", 2),
        ("session_ended", None),
    ]


async def test_a_reader_that_does_not_read_holds_nobody_up(caller: Caller) -> None:
    session = await caller.start("many")
    await caller.post("config", {})
    host, port = caller.service.address.removeprefix("http://").split(":")
    request = (
        f"GET /session/{session}/events HTTP/1.1\r\nHost: localhost:{port}\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n"
    ).encode()
    async with AsyncExitStack() as stack:
        for _ in range(5):
            deaf = await stack.enter_async_context(await anyio.connect_tcp(host, int(port)))
            await deaf.send(request)
        assert await events(caller, session, until="lost")
        assert (await caller.post("stop")).json()["ended"]["cause"] == "stopped"


async def test_what_happens_to_one_session_leaves_the_others_alone(caller: Caller) -> None:
    well = await caller.start()
    killed = await caller.start()
    await caller.post("config", {"session_id": killed})
    pid = caller.service.sessions.get(killed).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    crashed = await caller.start("crash")

    status = await caller.over(killed)
    assert status["ended"]["cause"] == "crashed" and "SIGKILL" in status["ended"]["text"]
    assert "SIGABRT" in (await caller.over(crashed))["ended"]["text"]
    assert [kind for _, kind, _ in await events(caller, killed)][-1] == "session_ended"
    assert (await caller.post("config", {"strictness": "low"})).is_success  # only one is left
    assert (await caller.http.get(f"/session/{well}")).json()["state"] == "running"


async def test_why_a_session_ended_is_told() -> None:
    patience = Patience(answer=0.3, loading=20.0, hung=3.0, stop=2.0, orphans=0.5)
    async with calling("idle_timeout=5", patience=patience) as caller:
        wanted = {
            "refuse": ("failed", "has no sound"),
            "end": ("finished", ""),
            "idle": ("idle", "service.idle_timeout"),
            "silent": ("hung", "no sign of life"),
        }
        started = {how: await caller.start(how) for how in wanted}
        for how, (cause, says) in wanted.items():
            ended = (await caller.over(started[how]))["ended"]
            assert ended["cause"] == cause and says in ended["text"], (how, ended)

        deaf = await caller.start("deaf")
        answer = await caller.post("config", {"strictness": "low"})
        assert answer.status_code == 503 and "does not answer" in answer.json()["detail"]
        stopped = await caller.post("stop", {"session_id": deaf})
        assert stopped.json()["ended"]["cause"] == "hung"
        assert "did not stop" in stopped.json()["ended"]["text"]


async def test_a_session_that_is_slow_to_begin_is_not_taken_for_hung() -> None:
    async with calling(patience=Patience(loading=20.0, hung=2.2)) as caller:
        session = await caller.start("late")
        assert (await caller.post("config", {"session_id": session})).is_success


async def test_a_full_service_says_so_and_when_to_come_again() -> None:
    async with calling("max_sessions=1", "starts_per_minute=3") as caller:
        await caller.start()
        full = await caller.post("start", start_body())
        assert full.status_code == 503 and full.json()["cause"] == "full"
        assert int(full.headers["retry-after"]) > 0
        await caller.post("stop")
        await caller.start()
        often = await caller.post("start", start_body())
        assert often.status_code == 429
        assert int(often.headers["retry-after"]) > 0


async def test_an_input_or_an_output_that_is_gone_is_told_of_while_the_session_runs(
    caller: Caller,
) -> None:
    ok = 'maestra_connection_ok{{port="{}",session="{}"}} {}'
    for how, ingest, publish in (("lesson", 1, 1), ("busy", 1, 0), ("encoder", 1, 1)):
        session = await caller.start(how)
        which = {"session_id": session}
        await caller.post("reset_context", which)  # is answered once it has begun
        told = (await caller.http.get("/metrics")).text
        assert ok.format("ingest", session, f"{ingest:.1f}") in told
        assert ok.format("publish", session, f"{publish:.1f}") in told
        await caller.post("stop", which)
        assert f'session="{session}"' not in (await caller.http.get("/metrics")).text


@pytest.mark.parametrize(("fps", "held"), [(19.0, 0), (25.0, 8)], ids=["missing", "shown again"])
async def test_a_machine_that_has_no_time_to_spare_takes_no_more(
    caller: Caller, fps: float, held: int
) -> None:
    session = await caller.start()
    lesson = caller.service.sessions.get(session)
    for _ in range(3):
        caller.service.sessions._heard(
            lesson,
            {"type": "slice", "fps": fps, "underruns": 1, "held": held, "late": 6, "queued": 0.1},
        )
    slow = await caller.post("start", start_body())

    assert slow.status_code == 503 and slow.json()["cause"] == "slow"


async def test_a_service_that_ends_takes_no_more_and_stops_what_runs(caller: Caller) -> None:
    session = await caller.start()
    await caller.post("config", {})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(caller.service.sessions.drain, 0.3)
        await anyio.wait_all_tasks_blocked()
        assert (await caller.http.get("/readyz")).status_code == 503
        refused = await caller.post("start", start_body())
        assert refused.status_code == 503 and refused.json()["cause"] == "draining"
        assert (await caller.http.get(f"/session/{session}")).json()["state"] == "running"

    assert (await caller.over(session))["ended"]["cause"] == "drained"
    assert (await caller.http.get("/healthz")).is_success


async def test_a_service_that_ends_lets_a_lesson_come_to_its_end(caller: Caller) -> None:
    await caller.start()
    await caller.post("config", {})
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(caller.service.sessions.drain, 60.0)
            await anyio.wait_all_tasks_blocked()
            assert (await caller.post("stop")).json()["ended"]["cause"] == "stopped"


async def test_sessions_that_come_and_go_leave_nothing() -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    async with calling("starts_per_minute=1000") as caller:
        pids = []
        for _ in range(6):
            session = await caller.start()
            await caller.post("stop")
            pids.append(caller.service.sessions.get(session).pid)
        counted = (await caller.http.get("/metrics")).text
        assert 'maestra_sessions_ended_total{cause="stopped"} 6.0' in counted
        assert "session=" not in counted

    assert not [pid for pid in pids if pid is not None and is_there(pid)]
    assert len(os.listdir("/proc/self/fd")) <= descriptors


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_200_sessions_that_come_and_go_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that end well, crash, and hang: no process, descriptor, thread, file, or growth."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    process = psutil.Process()
    shared = set(os.listdir("/dev/shm"))
    groups: list[int | None] = []
    held: list[tuple[int, int, int]] = []
    async with calling("starts_per_minute=10000", "idle_timeout=1", patience=QUICK) as caller:
        for number in range(200):
            how = {17: "crash", 18: "refuse", 19: "deaf"}.get(number % 20, "lesson")
            session = await caller.start(how)
            if how in ("crash", "refuse"):
                await caller.over(session)
            else:
                await caller.post("config", {"session_id": session, "strictness": "low"})
                await caller.post("stop", {"session_id": session})
            groups.append(caller.service.sessions.get(session).pid)
            memory = process.memory_full_info().uss
            held.append((process.num_fds(), process.num_threads(), memory))
        assert 'maestra_sessions{state="running"} 0.0' in (await caller.http.get("/metrics")).text

    print([held[number] for number in (5, 20, 60, 100, 120, 160, 199)])
    assert len(set(groups)) == 200  # each had a process
    left = [one.pid for one in psutil.process_iter() if _group(one.pid) in groups]
    assert not left
    assert held[-1][0] <= held[5][0] and held[-1][1] <= held[5][1]
    # A hundred that have ended are remembered; once there are so many, nothing is added.
    assert held[-1][2] - held[120][2] < 2_000_000
    assert not os.listdir(tmp_path)
    assert not set(os.listdir("/dev/shm")) - shared


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None
