"""Piper: how loud it is, and whose throat it has."""

from __future__ import annotations

from pathlib import Path

import anyio
import numpy as np
import pytest
from fakes.words import SENTENCES, word_error_rate
from numpy.typing import NDArray

from maestra.adapters.senses.whisper import FasterWhisper
from maestra.adapters.voice.piper import Piper
from maestra.app import models
from maestra.ports.errors import VoiceError


def _spoken(voice: Piper, clause: str) -> NDArray[np.float32]:
    async def run() -> NDArray[np.float32]:
        return np.concatenate([sound async for sound in voice.synthesise(clause)])

    return anyio.run(run)


@pytest.fixture(scope="module")
def model() -> Path:
    pytest.importorskip("piper")
    return models.locate_all("piper-joe")[0]


def test_every_clause_is_about_as_loud_and_starts_at_once(model: Path) -> None:
    voice = Piper(model)
    levels = []
    for clause in ("Good.", "Nice and steady at the start.", "Try it with a slow count of four."):
        sound = _spoken(voice, clause)
        loud = np.abs(sound) > 0.02
        assert np.flatnonzero(loud)[0] / voice.sample_rate_hz < 0.03
        levels.append(20 * np.log10(np.sqrt(np.mean(np.square(sound[loud])))))
    assert max(levels) - min(levels) < 4


def _pitch_hz(sound: NDArray[np.float32], rate_hz: int) -> float:
    """The median of the strongest autocorrelation lag between 70 and 350 Hz."""
    found = []
    frame = rate_hz // 20
    for begin in range(0, len(sound) - frame, frame):
        part = sound[begin : begin + frame]
        if np.abs(part).max() < 0.1:
            continue
        correlation = np.correlate(part, part, "full")[frame - 1 :]
        low, high = rate_hz // 350, rate_hz // 70
        lag = low + int(np.argmax(correlation[low:high]))
        if correlation[lag] > 0.5 * correlation[0]:
            found.append(rate_hz / lag)
    return float(np.median(found))


def test_one_voice_speaks_with_two_throats(model: Path) -> None:
    clause = "You played all the way through without a stop."
    his, hers = Piper(model), Piper(model, pitch_hz=190.0, formants=1.15)

    assert _pitch_hz(_spoken(his, clause), his.sample_rate_hz) < 130
    assert 165 < _pitch_hz(_spoken(hers, clause), hers.sample_rate_hz) < 220


def test_a_model_that_is_none_is_refused_with_a_reason(tmp_path: Path) -> None:
    pytest.importorskip("piper")
    (tmp_path / "voice.onnx").write_bytes(b"not a model")
    (tmp_path / "voice.onnx.json").write_text("{}")

    with pytest.raises(VoiceError, match=r"voice\.onnx cannot be read"):
        Piper(tmp_path / "voice.onnx")


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.parametrize("throat", [{}, {"pitch_hz": 190.0, "formants": 1.15}], ids=["his", "hers"])
def test_an_ear_understands_nine_words_of_ten(model: Path, throat: dict[str, float]) -> None:
    soxr = pytest.importorskip("soxr")
    pytest.importorskip("faster_whisper")
    voice = Piper(model, pitch_hz=throat.get("pitch_hz"), formants=throat.get("formants", 1.0))
    ear = FasterWhisper(models.locate("whisper-tiny.en"))
    heard = [
        ear.transcribe(soxr.resample(_spoken(voice, text), voice.sample_rate_hz, 16_000)).text
        for text in SENTENCES
    ]
    assert word_error_rate(zip(SENTENCES, heard, strict=True)) < 0.10
