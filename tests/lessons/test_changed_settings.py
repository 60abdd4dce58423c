"""Settings are changed all the time, and the lesson does not notice."""

from __future__ import annotations

import wave
from pathlib import Path

import anyio
import pytest

pytest.importorskip("faster_whisper")
pytest.importorskip("piper")
pytest.importorskip("torch")

import av

from maestra.app.demo import LESSON
from maestra.app.session import Session, open_session
from maestra.core import log

from .event_logs import records

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300), pytest.mark.models, pytest.mark.slow]

SECONDS = 45
"""So much of the lesson: some talk, a take, a wake phrase, and its answer."""


def beginning(path: Path) -> Path:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=32_000)
    with av.open(str(LESSON)) as lesson, wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(32_000)
        for frame in lesson.decode(audio=0):
            if frame.time is not None and frame.time < SECONDS:
                for block in resampler.resample(frame):
                    file.writeframes(block.to_ndarray().tobytes())
    return path


async def hold(lesson: Path, events: Path, *, change: bool) -> list[log.Record]:
    async def keep_changing(session: Session) -> None:
        while True:
            await session.update_config({"conversation.window": 10})
            await anyio.sleep(0.05)

    async with open_session(ingest=str(lesson), pace="fast", events_path=events) as session:
        async with anyio.create_task_group() as tasks:
            if change:
                tasks.start_soon(keep_changing, session)
            await session.wait()
            tasks.cancel_scope.cancel()
    return records(events)


def told(lesson: list[log.Record]) -> list[tuple[object, ...]]:
    """What was heard, asked and answered, and when in the lesson. (How long a voice takes to say
    the same varies by itself.)"""
    found: list[tuple[object, ...]] = []
    for record in lesson:
        match record:
            case log.Transcript() | log.Wake() | log.Question() | log.ReplyText():
                found.append((record.type, record.t, record.text))
            case log.ReplyStarted(latency=latency):
                found.append((record.type, record.t, latency.total))
            case log.ReplyStopped(cause=cause):
                found.append((record.type, cause, record.heard_text))
            case log.State(after=after):
                found.append((record.type, after))
            case log.Note() | log.TakeStarted() | log.TakeEnded():
                found.append((record.type, record.t))
    return found


async def test_a_lesson_whose_settings_are_changed_all_the_time_is_the_same(tmp_path: Path) -> None:
    lesson = beginning(tmp_path / "lesson.wav")
    left_alone = await hold(lesson, tmp_path / "alone.jsonl", change=False)
    changed = await hold(lesson, tmp_path / "changed.jsonl", change=True)

    assert any(isinstance(record, log.ReplyStarted) for record in left_alone)
    assert sum(isinstance(record, log.ConfigChanged) for record in changed) > 50
    assert told(left_alone) == told(changed)
