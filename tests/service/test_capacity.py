"""How many lessons fit: the rule, what is remembered of the measurement, and who is let in."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import attrs
import pytest

pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

from fakes.service import calling, start_body
from hypothesis import given
from hypothesis import strategies as st

from maestra.app.config import Config, load
from maestra.app.service.capacity import (
    Capacity,
    NotMeasured,
    at_once,
    keep,
    kept,
    key_of,
    measure,
    room_for,
)
from maestra.app.service.machine import Machine
from maestra.app.service.measuring import Cost, phase_at, trouble_in, without_others

COST = Cost(
    processors={"idle": 0.4, "playing": 0.5, "talking": 0.8},
    busiest=1.1,
    memory=800_000_000,
    together=1.0,
    frames=25.0,
)


def capacity(processors: float = 2.0, cost: Cost = COST) -> Capacity:
    return Capacity(
        key="k", cpu="a cpu", processors=processors, cost=cost, at="2026-01-01T00:00:00", load=0.1
    )


# --- the rule -----------------------------------------------------------------


def test_in_few_there_is_talk_at_once_and_of_two_both_may_be() -> None:
    assert [at_once(lessons) for lessons in (0, 1, 2, 3, 4, 8, 40)] == [0, 1, 2, 3, 3, 5, 17]


def test_as_many_fit_as_leave_some_time_over() -> None:
    assert capacity().demand(2) == pytest.approx(2 * 0.8)
    assert capacity().demand(4) == pytest.approx(3 * 0.8 + 0.5)
    assert [capacity(n).most for n in (0.5, 1.0, 1.9, 2.9, 3.5, 8.0)] == [1, 1, 2, 3, 4, 9]
    slower = attrs.evolve(COST, together=0.5)  # two processors that are really one
    assert capacity(2.0, slower).most == 1
    assert "2 lessons fit: 3 would take 2.40 of the 1.70 processors" in str(capacity())


def test_where_one_lesson_cannot_keep_up_there_is_no_second() -> None:
    slow = capacity(8.0, attrs.evolve(COST, trouble="the music analysis is too far behind"))
    assert slow.most == 1
    assert "the music analysis is too far behind; the load was 0.1" in str(slow)


@given(
    processors=st.floats(0.1, 64),
    costs=st.tuples(*[st.floats(0.1, 8)] * 3),
    together=st.floats(0.2, 1),
)
def test_what_fits_fits_and_one_more_would_not(
    processors: float, costs: tuple[float, ...], together: float
) -> None:
    phases = dict(zip(("idle", "playing", "talking"), costs, strict=True))
    one = capacity(processors, attrs.evolve(COST, processors=phases, together=together))

    assert one.most == 1 or one.demand(one.most) <= one.usable
    assert one.most == 1000 or one.demand(one.most + 1) > one.usable
    assert one.demand(one.most + 1) > one.demand(one.most)


def test_a_lesson_is_let_in_if_its_memory_can_be_had() -> None:
    assert room_for(None, capacity(), 0)
    assert room_for(1_300_000_000, capacity(), 0)
    assert not room_for(1_200_000_000, capacity(), 0)
    assert not room_for(1_300_000_000, capacity(), 1)  # another has yet to take its own
    assert not room_for(1_300_000_000, None, 0)


# --- what is remembered -------------------------------------------------------


def test_what_was_measured_is_remembered_for_what_it_was_measured_of(tmp_path: Path) -> None:
    file = tmp_path / "state" / "capacity.json"
    assert kept(file, "k") is None

    keep(file, capacity())

    assert kept(file, "k") == capacity()
    assert kept(file, "another machine, or another face") is None
    for text in ("", "[]", '{"key": "k"}', '{"key": "k", "cost": {}}'):
        file.write_text(text, encoding="utf-8")
        assert kept(file, "k") is None


def test_it_depends_on_the_machine_and_on_what_a_lesson_is_made_of() -> None:
    machine = Machine(cpu="a cpu", processors=2)

    def key(*settings: str, on: Machine = machine) -> str:
        return key_of(load(environ={}, assignments=settings), on)

    assert key() == key("conversation.window=12", "service.max_sessions=3")
    others = (key("face.size=256"), key("voice.backend=kokoro"), key("senses.asr_model=base"))
    assert len({key(), *others, key(on=Machine(cpu="a cpu", processors=1.5))}) == 5


# --- measuring ----------------------------------------------------------------

SAYS = "import json, sys; assert json.load(sys.stdin)['face.size']; print(json.dumps({}))"


def says(text: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", text)


@pytest.mark.anyio
async def test_a_measurement_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "capacity.json"
    effective = load(environ={})
    measured = await measure(effective, file, command=says(SAYS.format(attrs.asdict(COST))))

    assert measured.cost == COST
    assert kept(file, key_of(effective, Machine())) == measured


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import sys; sys.exit('the face is missing')", "failed: the face is missing"),
        ("print('hm')", "said"),
        (SAYS.format(attrs.asdict(attrs.evolve(COST, processors={"idle": 0.0}))), "does not say"),
        ("import time; time.sleep(60)", "not over after"),
    ],
)
async def test_what_cannot_be_measured_is_said(text: str, why: str) -> None:
    within = 0.5 if "sleep" in text else 30.0
    with pytest.raises(NotMeasured, match=why):
        await measure(load(environ={}), None, command=says(text), within=within)


def test_a_lesson_s_records_tell_what_it_does() -> None:
    events = [
        {"wall": 1.0, "type": "floor", "label": "playing"},
        {"wall": 2.0, "type": "floor", "label": "speech"},
        {"wall": 3.0, "type": "state", "to": "responding"},
        {"wall": 4.0, "type": "state", "to": "active_listening"},
        {"wall": 5.0, "type": "floor", "label": "silence"},
        {"wall": 6.0, "type": "state", "to": "speaking"},
    ]
    phases = [phase_at(events, at) for at in (0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5)]
    assert phases == ["idle", "playing", "talking", "talking", "talking", "idle", "talking"]


@pytest.mark.parametrize(
    ("event", "trouble"),
    [
        ({"type": "warning", "source": "licence", "text": "GPL"}, ""),
        ({"type": "warning", "source": "music", "text": "too far behind"}, "too far behind"),
        ({"type": "face_degraded", "cause": "slow"}, "slow"),
        ({"type": "slice", "held": 4}, "pictures were not drawn in time"),
    ],
)
def test_a_lesson_that_does_not_keep_up_is_told(event: dict[str, object], trouble: str) -> None:
    usual = [{"type": "slice", "held": 0}] * 5 + [{"type": "reply_started"}]
    assert trouble_in([*usual, event]) == trouble
    assert trouble_in(usual[:-1]) == "the question was not answered"


@pytest.mark.anyio
async def test_what_others_disturbed_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "capacity.json"
    cost = attrs.evolve(COST, trouble="too far behind")
    for busy, is_kept in ((40.0 * Machine().processors, False), (0.0, True)):
        monkeypatch.setattr("os.getloadavg", lambda busy=busy: (busy, busy, busy))
        found = await measure(load(environ={}), file, command=says(SAYS.format(attrs.asdict(cost))))
        assert found.most == 1
        assert file.exists() is is_kept


def test_nobody_else_is_asked_for_a_measurement() -> None:
    given = load(
        environ={},
        assignments=(
            'brain.backend=["openai", "coach"]',
            'voice.backend=["elevenlabs"]',
            'senses.asr=["deepgram"]',
            "face.size=256",
            'conversation.wake_phrases=["ahoy"]',
        ),
    ).config
    measured = without_others(given)

    assert measured.brain.backend == ("coach",)
    assert measured.voice.backend == ("piper",)
    assert measured.senses.asr == ("faster-whisper",)
    assert measured.face == given.face
    assert measured.conversation == Config().conversation  # she is called by her usual name
    assert without_others(Config()) == Config()


# --- who is let in ------------------------------------------------------------


@pytest.mark.anyio
async def test_no_more_are_let_in_than_fit() -> None:
    async with calling("max_sessions=8", capacity=capacity()) as caller:
        await caller.start()
        await caller.start()
        refused = await caller.post("start", start_body())
        overview = (await caller.http.get("/sessions")).json()
        metrics = (await caller.http.get("/metrics")).text

    assert refused.status_code == 503
    assert refused.json()["cause"] == "full"
    assert "2 lessons fit" in refused.json()["detail"]
    assert int(refused.headers["retry-after"]) > 0
    assert (overview["most"], overview["limited_by"]) == (2, "measured")
    assert overview["measured"]["processors"]["playing"] == 0.5
    assert 'maestra_sessions_limit{by="measured"} 2.0' in metrics
    assert 'maestra_sessions_limit{by="max_sessions"} 8.0' in metrics
    assert 'maestra_lesson_processors{phase="talking"} 0.8' in metrics


@pytest.mark.anyio
async def test_the_configuration_may_allow_fewer() -> None:
    async with calling("max_sessions=1", capacity=capacity()) as caller:
        await caller.start()
        refused = await caller.post("start", start_body())
        overview = (await caller.http.get("/sessions")).json()

    assert "service.max_sessions" in refused.json()["detail"]
    assert (overview["most"], overview["limited_by"]) == (1, "max_sessions")


@pytest.mark.anyio
async def test_no_lesson_runs_while_the_machine_is_measured() -> None:
    go = anyio.Event()

    async def found() -> Capacity:
        await go.wait()
        return capacity()

    async with calling(measure=found) as caller:
        first = await caller.start()
        refused = await caller.post("start", start_body())
        assert refused.json()["cause"] == "measuring"
        assert refused.headers["retry-after"] == "45"
        assert caller.service.sessions.get(first).pid is None  # it waits
        go.set()
        await caller.post("config", {"session_id": first})  # answered once it runs
        await caller.start()
        assert (await caller.http.get("/sessions")).json()["most"] == 2


@pytest.mark.anyio
async def test_a_machine_that_cannot_be_measured_serves_all_the_same() -> None:
    async def never() -> Capacity:
        raise NotMeasured("the measured lesson failed: no face")

    async with calling("max_sessions=3", measure=never) as caller:
        await caller.start()
        await caller.start()
        assert (await caller.http.get("/sessions")).json()["limited_by"] == "max_sessions"


@pytest.mark.anyio
async def test_a_start_for_which_there_is_no_memory_is_refused() -> None:
    async with calling(capacity=capacity(8.0), memory=lambda: 1_000_000_000) as caller:
        refused = await caller.post("start", start_body())

    assert (refused.status_code, refused.json()["cause"]) == (503, "memory")
