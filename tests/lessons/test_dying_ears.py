"""An ear that dies in mid-lesson: what it heard is not lost, and the next one hears on."""

from __future__ import annotations

import os
import signal
import wave
from pathlib import Path

import numpy as np
import pytest
from fakes import sounds

from maestra.app.session import Session, open_session
from maestra.core import log
from maestra.core.hearing import FloorLabel

from .event_logs import records

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(180),
    pytest.mark.models,
    pytest.mark.slow,
]


def excerpt(path: Path, begin: float, end: float) -> Path:
    """The demo lesson from ``begin`` to ``end`` seconds, as a file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((32767 * sounds.demo(begin, end)).astype(np.int16).tobytes())
    return path


def kill_the_ear(session: Session) -> None:
    pid = session._workers["hearing"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def test_an_ear_that_dies_while_the_student_plays_costs_no_take(tmp_path: Path) -> None:
    """Then come the end of the piece, "Teacher, comment.", and an answer."""
    lesson, events = excerpt(tmp_path / "lesson.wav", 18.0, 44.0), tmp_path / "events.jsonl"
    async with open_session(ingest=str(lesson), events_path=events) as session:
        async for record in session.events():
            if isinstance(record, log.Note):
                kill_the_ear(session)
                break
        await session.wait()
    found = records(events)

    (failed,) = [record for record in found if isinstance(record, log.AdapterFailed)]
    assert ("hearing", "WorkerDied") == (failed.adapter, failed.error)
    floor = [(r.label, r.t) for r in found if isinstance(r, log.Floor)]
    after = [(label, at) for label, at in floor if at >= failed.t]
    assert FloorLabel.SILENCE is after[0][0]
    assert min(at for label, at in after if label is FloorLabel.PLAYING) < failed.t + 8
    takes = [record for record in found if isinstance(record, log.TakeEnded)]
    assert 1 == takes[0].take and takes[0].end > 13.0, "the take goes on"
    assert takes[0].notes == 24
    (wake,) = [record for record in found if isinstance(record, log.Wake)]
    assert 16.0 < wake.t < 19.0
    assert [record for record in found if isinstance(record, log.ReplyStarted)]


async def test_an_ear_that_dies_in_mid_question_holds_nothing_up(tmp_path: Path) -> None:
    """What it had written down of the question is answered; if that was nothing, the next ear
    hears the rest, or the window ends."""
    lesson, events = excerpt(tmp_path / "lesson.wav", 26.0, 61.0), tmp_path / "events.jsonl"
    async with open_session(ingest=str(lesson), events_path=events) as session:
        async for record in session.events():
            if isinstance(record, log.SpeechStarted) and record.t > 20.0:
                kill_the_ear(session)
                break
        await session.wait()
    found = records(events)

    assert [record for record in found if isinstance(record, log.AdapterFailed)]
    begun = [record for record in found if isinstance(record, log.SpeechStarted)]
    over = [record for record in found if isinstance(record, log.SpeechStopped)]
    assert len(begun) == len(over)
    finals = [r.utterance for r in found if isinstance(r, log.Transcript) and r.final]
    assert len(finals) == len(set(finals)), "each utterance has a number of its own"
