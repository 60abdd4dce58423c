"""Whole lessons through the whole system: real processes, real models, real files and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import av
import numpy as np
import psutil
import pytest
from fakes.leftovers import leaving_nothing
from fakes.streams import free_port, publisher, recorder
from numpy.typing import NDArray

from maestra.app import composition
from maestra.app.cli import exit_code
from maestra.app.config import Config
from maestra.app.demo import LESSON
from maestra.app.session import Session, open_session
from maestra.core import log
from maestra.ports.brain import Brain, BrainRequest, SpokenClause
from maestra.ports.errors import BackendRefused, BrainError

from .event_logs import records

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180), pytest.mark.models]


@pytest.fixture(autouse=True)
def leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Whatever a lesson does, all that it made for itself is gone when it is over."""
    with leaving_nothing(monkeypatch, tmp_path_factory.mktemp("temporary")):
        yield


async def hold(events: Path) -> list[log.Record]:
    async with open_session(ingest=str(LESSON), pace="fast", events_path=events) as session:
        await session.wait()
    return records(events)


def conversation(all_records: list[log.Record]) -> list[tuple[str, ...]]:
    """What was said and done, in order, without the times."""
    told: list[tuple[str, ...]] = []
    for record in all_records:
        match record:
            case log.Wake():
                told.append(("wake", record.phrase))
            case log.State():
                told.append(("state", record.before, record.after, record.cause))
            case log.Question():
                told.append(("question", record.kind, *words(record.text)))
            case log.ReplyStopped():
                told.append(("stopped", record.cause))
    return told


@pytest.mark.virtual
async def test_the_demo_lesson_goes_as_its_script_says(tmp_path: Path) -> None:
    found = await hold(tmp_path / "events.jsonl")

    causes = [r.cause for r in found if isinstance(r, log.ReplyStopped)]
    assert "finished" == causes[0], "the first answer is heard out"
    assert "speech" in causes, "the second is interrupted by a word"
    assert "music" == causes[-1], "the last is interrupted by playing"
    assert 2 == sum(isinstance(r, log.Wake) for r in found)
    kinds = [r.kind.value for r in found if isinstance(r, log.Question)]
    assert ["wake", "follow_up"] == kinds[:2]


def excerpt(path: Path, begin: float, end: float, *, silence: float = 0.0) -> Path:
    """The demo lesson from ``begin`` to ``end`` seconds, after so much ``silence``."""
    with av.open(str(LESSON)) as lesson:
        (stream,) = lesson.streams.audio
        rate = stream.rate
        parts = [frame.to_ndarray().reshape(-1) for frame in lesson.decode(stream)]
    sound: NDArray[Any] = np.concatenate(parts)[int(begin * rate) : int(end * rate)]
    sound = np.pad(sound, (int(silence * rate), 0))
    if sound.dtype != np.int16:
        sound = (sound / 65536).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.tobytes())
    return path


def story(all_records: list[log.Record]) -> dict[str, list[tuple[object, ...]]]:
    """What was heard, played, said and done, each in its order, without the times.

    In real time the ear, the music analysis and the brain each report when they are ready: of
    what came at the same time, one may be told before the other. So the kinds are told apart.
    """

    def of(kind: type[Any]) -> list[Any]:
        return [record for record in all_records if isinstance(record, kind)]

    return {
        "conversation": [tuple(each) for each in conversation(all_records)],
        "words": [(r.utterance, words(r.text)) for r in of(log.Transcript) if r.final],
        "takes": [(r.take,) for r in of(log.TakeStarted)],
        "played": [(r.take, r.notes) for r in of(log.TakeEnded)],
        "notes": [(r.midi,) for r in of(log.Note)],
        "answers": [(r.epoch, r.text, r.brain) for r in of(log.ReplyText)],
    }


def words(text: str) -> tuple[str, ...]:
    """Without points and capitals: Whisper sets them by how much silence is left of a sentence,
    and that a stream's coding changes."""
    return tuple("".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split())


async def live(lesson: Path, events: Path, video: Path) -> None:
    """Hold ``lesson`` as a meeting bot brings it: it comes to us as a stream, and so we answer."""
    student, teacher = (f"rtmp://127.0.0.1:{free_port()}/live/{who}" for who in ("in", "out"))
    with recorder(f"{teacher}?listen=1", video, video.with_suffix(".packets")) as viewer:
        async with open_session(
            ingest=f"{student}?listen=1", publish=teacher, events_path=events, end_on_close=True
        ) as session:
            with publisher(lesson, student):
                await session.wait()
        assert 0 == await anyio.to_thread.run_sync(viewer.wait, 10)


async def live_undisturbed(lesson: Path, events: Path, video: Path) -> None:
    """``live``, and again, twice at most, where sound came too late: what a machine stands still
    for is left out, as it should be, and the story is another."""
    for _ in range(3):
        for path in (events, video):
            path.unlink(missing_ok=True)
        await live(lesson, events, video)
        if not any(isinstance(r, log.Warned) and r.source == "ingest" for r in records(events)):
            return


@pytest.mark.timeout(400)
async def test_fast_tells_the_same_story_as_real_time(tmp_path: Path) -> None:
    """The end of a piece, "Teacher, comment", and the whole of the answer: as live streams, and as
    a file that is read as fast as can be."""
    # It begins with a note, which is a note only after something else.
    lesson = excerpt(tmp_path / "lesson.wav", 24.95, 48.0, silence=0.5)
    await live_undisturbed(lesson, tmp_path / "live.jsonl", tmp_path / "live.mp4")
    async with open_session(
        ingest=str(lesson),
        publish=str(tmp_path / "fast.mp4"),
        pace="fast",
        events_path=tmp_path / "fast.jsonl",
    ) as session:
        await session.wait()

    stories = []
    for pace in ("live", "fast"):
        found = records(tmp_path / f"{pace}.jsonl")
        stories.append(story(found))
        answered = next(r for r in found if isinstance(r, log.ReplyStarted))
        assert answered.latency.total < 2.0
        assert abs(pictures_in(tmp_path / f"{pace}.mp4") - found[-1].t * 25) <= 4

    assert stories[0] == stories[1]
    assert ("stopped", "finished") in stories[0]["conversation"]
    for kind, told in stories[0].items():
        assert told, kind


@pytest.mark.slow
async def test_the_same_lesson_goes_the_same_way_twice(tmp_path: Path) -> None:
    once = await hold(tmp_path / "once.jsonl")
    again = await hold(tmp_path / "again.jsonl")

    assert story(once) == story(again)
    assert all(story(once).values())


def sound(path: Path, samples: np.ndarray, rate: int) -> str:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return str(path)


@pytest.mark.parametrize(
    "what",
    [
        "noise",
        "narrow",
        pytest.param("clipping", marks=pytest.mark.slow),
        pytest.param("wide", marks=pytest.mark.slow),
    ],
)
@pytest.mark.virtual
async def test_odd_sound_wakes_nobody(what: str, tmp_path: Path) -> None:
    rate = {"narrow": 8_000, "wide": 96_000}.get(what, 16_000)
    noise = np.random.default_rng(3).normal(0, 0.2, 6 * rate)
    time_axis = np.arange(6 * rate) / rate
    since = time_axis % 1.5  # a string that is plucked again and again
    pluck = sum(np.sin(880 * np.pi * k * time_axis) / k**1.5 for k in range(1, 6))
    odd = {"noise": noise, "clipping": noise * 50}.get(what, 0.3 * pluck * np.exp(-2.5 * since))
    events = tmp_path / "events.jsonl"
    async with open_session(
        ingest=sound(tmp_path / "odd.wav", odd, rate), pace="fast", events_path=events
    ) as session:
        await session.wait()

    found = records(events)
    assert not [r for r in found if isinstance(r, log.Wake | log.Question | log.ReplyText)]
    assert pytest.approx(6.0, abs=0.7) == found[-1].t
    notes = [r for r in found if isinstance(r, log.Note)]
    if what in ("narrow", "wide"):
        assert {69} == {note.midi for note in notes}, "an A, whatever the sampling rate"
    else:
        assert len(notes) <= 2


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_two_hours_of_silence(tmp_path: Path) -> None:
    silence = np.zeros(2 * 3600 * 8_000, np.float32)
    events = tmp_path / "events.jsonl"
    async with open_session(
        ingest=sound(tmp_path / "silence.wav", silence, 8_000), pace="fast", events_path=events
    ) as session:
        await session.wait()

    found = records(events)
    assert {"session_started", "warning", "slice", "state", "session_ended"} >= {
        r.type for r in found
    }
    assert pytest.approx(7200, abs=1) == found[-1].t


class Broken:
    """A brain that raises, hangs, or says nothing."""

    def __init__(self, how: str) -> None:
        self.how = how

    async def reply(self, request: BrainRequest) -> AsyncIterator[str]:
        match self.how:
            case "raises":
                raise BrainError("no")
            case "crashes":
                raise ZeroDivisionError
            case "hangs":
                await anyio.sleep_forever()
            case "lies":
                yield "You played at 999 beats per minute."
            case _:
                return


@pytest.mark.slow
@pytest.mark.parametrize("how", ["hangs", "raises", "crashes", "mute", "lies"])
async def test_a_brain_that_fails_is_replaced_within_two_seconds(
    how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    works = composition.brains(Config(), composition.persona("teacher_mary_v1"))
    broken: list[tuple[str, Brain]] = [("broken", Broken(how)), *works]
    monkeypatch.setattr(composition, "brains", lambda config, who: broken)
    events = tmp_path / "events.jsonl"
    async with open_session(ingest=str(LESSON), pace="fast", events_path=events) as session:
        await first_answer(session)

    found = records(events)
    failed = next(r for r in found if isinstance(r, log.AdapterFailed))
    switched = next(r for r in found if isinstance(r, log.AdapterSwitched))
    text = next(r for r in found if isinstance(r, log.ReplyText))
    assert ("brain", "broken") == (failed.port, failed.adapter)
    assert ("broken", "coach") == (switched.before, switched.after)
    assert "coach" == text.brain
    summary = next(r for r in found if isinstance(r, log.Summary))
    assert switched.wall - summary.wall < 2.0


class Refused(Broken):
    """A brain whose key is not accepted."""

    async def check(self) -> None:
        raise BackendRefused("ORACLE_API_KEY is not accepted")


@pytest.mark.slow
async def test_a_key_that_is_refused_keeps_the_lesson_from_starting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(composition, "brains", lambda config, who: [("oracle", Refused(""))])
    events = tmp_path / "events.jsonl"

    with pytest.raises(BackendRefused, match="ORACLE_API_KEY is not accepted") as refused:
        async with open_session(ingest=str(LESSON), pace="fast", events_path=events):
            raise AssertionError("it has started")

    assert 2 == exit_code(refused.value)
    (*_, last) = records(events)
    assert isinstance(last, log.SessionEnded)
    assert ("failed", "ORACLE_API_KEY is not accepted") == (last.cause, last.text)


class Breaking:
    """A brain that says a sentence, with its own voice or ours, and then ``ends``."""

    def __init__(self, ends: str, *, speaks: bool = False) -> None:
        self.ends, self.speaks = ends, speaks

    async def reply(self, request: BrainRequest) -> AsyncIterator[str | SpokenClause]:
        text = "I could listen to that tone of yours all day."
        if self.speaks:
            time_axis = np.arange(3 * 24_000) / 24_000
            hum = (0.2 * np.sin(2 * np.pi * 220 * time_axis)).astype(np.float32)
            yield SpokenClause(text=text, sound=hum, sample_rate_hz=24_000)
        else:
            yield text
        if self.ends == "hangs":
            await anyio.sleep_forever()
        raise BrainError("the connection was lost")


@pytest.mark.slow
@pytest.mark.parametrize(("ends", "speaks"), [("raises", False), ("hangs", False), ("hangs", True)])
async def test_in_mid_answer_the_next_word_is_heard_within_two_seconds(
    ends: str, speaks: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In real time, measured in what was put out."""
    works = composition.brains(Config(), composition.persona("teacher_mary_v1"))
    first: list[tuple[str, Brain]] = [("breaking", Breaking(ends, speaks=speaks)), *works]
    monkeypatch.setattr(composition, "brains", lambda config, who: first)
    events, video = tmp_path / "events.jsonl", tmp_path / "teacher.mp4"
    ingest = str(excerpt(tmp_path / "lesson.wav", 25.0, 48.0))
    async with open_session(ingest=ingest, publish=str(video), events_path=events) as session:
        await session.wait()

    found = records(events)
    answer = [r for r in found if isinstance(r, log.ReplyText)]
    assert ["breaking", "coach"] == list(dict.fromkeys(r.brain for r in answer))
    stopped = next(r for r in found if isinstance(r, log.ReplyStopped))
    assert " ".join(r.text for r in answer) == stopped.heard_text
    assert {"breaking", "coach"} == {r.brain for r in found if isinstance(r, log.Answered)}
    gap = longest_pause(video)
    print(f"the longest pause within the answer: {gap:.2f} s")
    assert gap < 2.0


def longest_pause(video: Path) -> float:
    """Seconds of silence between the first and the last sound of ``video``, the longest."""
    with av.open(str(video)) as playable:
        (stream,) = playable.streams.audio
        parts = [frame.to_ndarray().mean(axis=0) for frame in playable.decode(stream)]
        rate = stream.rate
    sound = np.concatenate(parts)
    step = rate // 50
    level = np.abs(sound[: len(sound) // step * step]).reshape(-1, step).max(axis=1)
    heard = np.flatnonzero(level > 0.01)
    return float(np.diff(heard).max()) / 50


async def first_answer(session: Session) -> None:
    async for record in session.events():
        if isinstance(record, log.ReplyStarted):
            return


def command(*arguments: str, lesson: Path = LESSON) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "maestra.app.cli", "lesson", str(lesson), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait_until_seen(path: Path, what: str, *, times: int = 1, limit: float = 60) -> None:
    """Until the log holds ``what`` so many times."""
    deadline = time.monotonic() + limit
    while not path.exists() or path.read_text(encoding="utf-8").count(what) < times:
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.05)


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Its workers. Once it has ended they would be nobody's children, and not to be found."""
    found: list[psutil.Process] = psutil.Process(process.pid).children(recursive=True)
    return found


def all_gone(workers: list[psutil.Process]) -> bool:
    _, left = psutil.wait_procs(workers, timeout=10)
    return not left


def pictures_in(video: Path) -> int:
    with av.open(str(video)) as playable:
        return sum(1 for _ in playable.decode(video=0))


SLOT_RECORDED = '"slice"'
"""The log has one of these for every second that was put out."""


def wait_for(moment: str, events: Path, video: Path) -> int:
    """Until the lesson of ``events`` is at ``moment``; how many pictures there are at least."""
    match moment:
        case "starting":
            wait_until_seen(events, '"session_started"')
            return 0
        case "loading":  # the output is opened before the models are loaded
            deadline = time.monotonic() + 60
            while not video.exists():
                assert time.monotonic() < deadline, "no output"
                time.sleep(0.05)
            return 1
        case "idle":
            wait_until_seen(events, SLOT_RECORDED, times=2)
        case "speaking":
            wait_until_seen(events, '"reply_started"')
    return 25


@pytest.mark.parametrize(
    ("how", "moment"),
    [
        pytest.param(signal.SIGINT, "starting", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "starting", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "loading", marks=pytest.mark.slow),
        (signal.SIGTERM, "loading"),
        (signal.SIGINT, "idle"),
        (signal.SIGTERM, "idle"),
        pytest.param(signal.SIGINT, "speaking", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "speaking", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_lesson_well(how: signal.Signals, moment: str, tmp_path: Path) -> None:
    """Whenever it comes: no worker is left, and a file that plays, from the output's opening on."""
    events, video = tmp_path / "events.jsonl", tmp_path / "teacher.mp4"
    lesson = excerpt(tmp_path / "lesson.wav", 25.0, 48.0) if moment == "speaking" else LESSON
    process = command("--publish", str(video), "--events", str(events), lesson=lesson)
    pictures = wait_for(moment, events, video)
    workers = workers_of(process)
    process.send_signal(how)
    output, _ = process.communicate(timeout=30)

    assert 0 == process.returncode, output.decode()
    assert b"Traceback" not in output
    assert all_gone(workers)
    found = records(events)
    assert isinstance(found[-1], log.SessionEnded)
    assert "stopped" == found[-1].cause
    if pictures:
        assert workers
        assert pictures <= pictures_in(video)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_everything_at_once(how: signal.Signals, tmp_path: Path) -> None:
    events, video = tmp_path / "events.jsonl", tmp_path / "teacher.mp4"
    process = command("--publish", str(video), "--events", str(events))
    wait_for("idle", events, video)
    workers = workers_of(process)
    process.send_signal(how)
    time.sleep(0.05)  # two at once would count as one
    process.send_signal(how)
    output, _ = process.communicate(timeout=10)

    assert process.returncode in (0, 130, -how), output.decode()
    assert all_gone(workers)
    assert 25 <= pictures_in(video)
    assert records(events, complete=False)


def test_a_lesson_that_is_killed_leaves_no_orphan_and_a_file_that_plays(tmp_path: Path) -> None:
    events, video = tmp_path / "events.jsonl", tmp_path / "teacher.mp4"
    process = command("--publish", str(video), "--events", str(events))
    wait_until_seen(events, SLOT_RECORDED, times=5)
    workers = workers_of(process)
    assert 5 <= len(workers)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)

    assert all_gone(workers)
    assert 50 <= pictures_in(video)
    assert records(events, complete=False)


@pytest.mark.virtual
async def test_a_running_session_can_be_asked_changed_and_reset(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    async with open_session(ingest=str(LESSON), pace="fast", events_path=events) as session:
        await first_answer(session)
        status = session.status()
        assert status.running
        assert status.notes > 10
        config = await session.update_config({"conversation.wake_phrases": ["hello teacher"]})
        assert ("hello teacher",) == config.conversation.wake_phrases
        report = await session.reset_context(performance=True)
        assert report.performance
        assert session.status().notes < status.notes
    kinds = {r.type for r in records(events)}
    assert {"config_changed", "context_reset"} <= kinds
