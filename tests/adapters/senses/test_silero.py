"""Silero: when a voice starts and stops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import sounds
from numpy.typing import NDArray

from maestra.adapters.senses.silero import FRAME_SAMPLES, SileroVad, SpeechProbability
from maestra.app import models
from maestra.core.hearing import SpeechStarted, SpeechStopped
from maestra.core.media_time import to_seconds
from maestra.ports.audio import AudioChunk
from maestra.ports.errors import ModelMissing, SensesError

pytestmark = pytest.mark.models


def hear(
    sound: NDArray[np.float32], sizes: Sequence[int] = (160,)
) -> list[SpeechStarted | SpeechStopped]:
    vad = SileroVad(models.locate("silero"))
    events: list[SpeechStarted | SpeechStopped] = []
    at = 0
    while at < len(sound):
        for size in sizes:
            chunk = AudioChunk(start=at, rate_hz=16_000, samples=sound[at : at + size])
            events += vad.push(chunk)
            at += len(chunk.samples)
    return events


@pytest.mark.parametrize(
    ("name", "end"), [("wake_033_s2", 1.60), ("follow_003_s2", 1.52), ("barge_000_s2", 0.87)]
)
def test_a_line_starts_and_stops_where_it_does(name: str, end: float) -> None:
    events = hear(np.concatenate([sounds.hum(1.0), sounds.line(name), sounds.hum(1.0)]))
    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped]
    started, stopped = events
    assert to_seconds(started.since) == pytest.approx(1.05, abs=0.08)
    assert to_seconds(started.at) < 1.05 + 0.15
    assert to_seconds(stopped.since) == pytest.approx(1.0 + end, abs=0.15)
    assert 0.09 < to_seconds(stopped.at) - to_seconds(stopped.since) < 0.14


def test_a_long_noise_before_does_not_make_it_slow() -> None:
    def frames_until_heard(before: NDArray[np.float32]) -> int:
        model = SpeechProbability(models.locate("silero"))
        heard = model.push(np.concatenate([before, sounds.line("wake_033_s2")]))
        after = heard[len(before) // FRAME_SAMPLES :]
        return next(i for i, probability in enumerate(after) if probability > 0.5)

    assert frames_until_heard(sounds.noise(15.0, 0.02)) <= frames_until_heard(sounds.hum(0.512))


@pytest.mark.parametrize(
    "sound",
    [sounds.silence(2.0), sounds.hum(2.0), sounds.noise(2.0, 0.2)],
    ids=["silence", "room", "noise"],
)
def test_what_is_no_voice_starts_nothing(sound: NDArray[np.float32]) -> None:
    assert hear(sound) == []


def test_the_cut_into_chunks_changes_nothing() -> None:
    sound = np.concatenate([sounds.hum(0.5), sounds.line("chat_011_s2"), sounds.hum(0.5)])
    assert hear(sound) == hear(sound, (16_000,)) == hear(sound, (7, 513, 1))


def test_bad_models_and_rates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        SileroVad(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelMissing):
        SileroVad(tmp_path / "bad.onnx")
    vad = SileroVad(models.locate("silero"))
    with pytest.raises(SensesError, match="44100"):
        vad.push(AudioChunk(start=0, rate_hz=44_100, samples=sounds.silence(0.1)))
