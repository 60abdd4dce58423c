"""The music worker: a model that fails costs notes, not the lesson."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import pytest
from attrs import define, field

from maestra.app import composition
from maestra.app.config import Config
from maestra.app.messages import (
    EndOfStream,
    Failed,
    Feed,
    Hello,
    MusicHeard,
    Progress,
    Stop,
)
from maestra.app.workers.music import MusicSettings, run
from maestra.core.hearing import FloorLabel
from maestra.core.performance.notes import MusicEvent, Onset
from maestra.ports.audio import EAR_RATE_HZ, AudioChunk
from maestra.ports.errors import ModelMissing, SensesError


@define
class Script:
    """A pipe whose other end is a script."""

    messages: deque[object]
    said: list[object] = field(factory=list)

    def recv(self) -> object:
        return self.messages.popleft()

    def send(self, message: object) -> None:
        self.said.append(message)


@define
class Moody:
    """An analyser that fails on the chunks whose first sample says so."""

    heard: list[FloorLabel] = field(factory=list)

    def push(self, chunk: AudioChunk, floor: FloorLabel) -> Sequence[MusicEvent]:
        self.heard.append(floor)
        if chunk.samples[0] == 1.0:
            raise SensesError("a bad moment")
        if chunk.samples[0] == 2.0:
            raise ZeroDivisionError
        return [Onset(at=chunk.start / EAR_RATE_HZ, strength=1.0, loudness_db=-20.0)]

    def flush(self) -> Sequence[MusicEvent]:
        raise RuntimeError("nothing left")


def feed(number: int, mood: float) -> Feed:
    samples = np.full(882, mood, np.float32)
    chunk = AudioChunk(start=number * 882, rate_hz=EAR_RATE_HZ, samples=samples)
    return Feed(chunk=chunk, floor=FloorLabel.PLAYING)


def test_a_failure_is_said_once_a_spell_and_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    analyser = Moody()
    monkeypatch.setattr(composition, "music", lambda config: analyser)
    moods = [0.0, 1.0, 1.0, 2.0, 0.0, 1.0, *[0.0] * 500, 2.0]
    script = Script(
        deque([*(feed(n, mood) for n, mood in enumerate(moods)), EndOfStream(), Stop()])
    )
    run(script, MusicSettings(config=Config()))  # type: ignore[arg-type]

    assert isinstance(script.said[0], Hello)
    assert len(moods) == sum(isinstance(said, Progress) for said in script.said)
    assert 502 == sum(isinstance(said, MusicHeard) for said in script.said)
    failures = [said for said in script.said if isinstance(said, Failed)]
    assert ["SensesError", "ZeroDivisionError"] == [failure.kind for failure in failures]
    assert not any(failure.fatal for failure in failures)
    assert isinstance(script.said[-1], EndOfStream)


def test_without_a_model_the_lesson_is_told_which(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(config: Config) -> Moody:
        raise ModelMissing("the model crepe-tiny is missing")

    monkeypatch.setattr(composition, "music", missing)
    script = Script(deque())
    run(script, MusicSettings(config=Config()))  # type: ignore[arg-type]

    (failed,) = script.said
    assert isinstance(failed, Failed) and failed.fatal
    assert "ModelMissing" == failed.kind
