"""What the senses promise (``ports.senses``): nothing out of nothing, and the same for any cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from maestra.app import composition
from maestra.app.config import Config, SensesConfig
from maestra.core.hearing import FloorLabel
from maestra.ports.audio import EAR_RATE_HZ, SPEECH_RATE_HZ, AudioChunk
from maestra.ports.senses import SpeechRecogniser, StreamingRecogniser

Sound = NDArray[np.float32]


@pytest.fixture(autouse=True)
def embedded_default() -> None:
    pytest.importorskip("onnxruntime")


def cut(sound: Sound, rate_hz: int, lengths: Sequence[int]) -> list[AudioChunk]:
    """``sound`` in chunks of ``lengths``, over and over."""
    chunks, start, turn = [], 0, 0
    while start < len(sound):
        length = lengths[turn % len(lengths)]
        turn += 1
        chunks.append(
            AudioChunk(start=start, rate_hz=rate_hz, samples=sound[start : start + length])
        )
        start += length
    return chunks


def bursts(rate_hz: int, seconds: float = 4.0) -> Sound:
    """Something for everybody: a chord that comes and goes over a little noise."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    gate = (time % 1.0 < 0.6).astype(np.float32)
    tone = sum(np.sin(2 * np.pi * f * time) / n for n, f in enumerate((220, 440, 660), start=1))
    noise = np.random.default_rng(1).normal(0, 0.003, len(time))
    return (0.2 * gate * tone + noise).astype(np.float32)


@pytest.mark.parametrize("build", [composition.floor, composition.voice_activity])
def test_silence_is_nothing(build: Callable[[Config], Any]) -> None:
    ear = build(Config())
    silence = np.zeros(3 * SPEECH_RATE_HZ, np.float32)
    told = [event for chunk in cut(silence, SPEECH_RATE_HZ, [512]) for event in ear.push(chunk)]

    assert all(getattr(event, "label", None) is FloorLabel.SILENCE for event in told)


@pytest.mark.parametrize("lengths", [[3_999], [511, 1, 777], [97, 16_000]])
@pytest.mark.parametrize("build", [composition.floor, composition.voice_activity])
def test_what_is_heard_does_not_depend_on_the_cut(
    build: Callable[[Config], Any], lengths: list[int]
) -> None:
    def heard(chunks: list[AudioChunk]) -> list[tuple[object, ...]]:
        ear = build(Config())
        return [
            (type(event).__name__, getattr(event, "since", event.at), getattr(event, "label", None))
            for chunk in chunks
            for event in ear.push(chunk)
        ]

    sound = bursts(SPEECH_RATE_HZ)
    assert heard(cut(sound, SPEECH_RATE_HZ, [320])) == heard(cut(sound, SPEECH_RATE_HZ, lengths))


def test_a_recogniser_makes_no_words_of_silence_or_noise() -> None:
    pytest.importorskip("faster_whisper")
    ear = composition.recogniser(Config())
    noise = np.random.default_rng(2).normal(0, 0.05, 2 * SPEECH_RATE_HZ).astype(np.float32)

    for sound in (np.zeros(SPEECH_RATE_HZ, np.float32), noise, np.clip(noise * 40, -1, 1)):
        assert "" == ear.transcribe(sound).text


@contextmanager
def _whisper() -> Iterator[SpeechRecogniser]:
    pytest.importorskip("faster_whisper")
    yield composition.recogniser(Config())


@contextmanager
def _deepgram() -> Iterator[SpeechRecogniser]:
    """By the vendor's SDK, against a local server of its protocol."""
    pytest.importorskip("deepgram")
    from servers.deepgram import KEY, transcript_server

    with pytest.MonkeyPatch.context() as environment, transcript_server() as server:
        environment.setenv("DEEPGRAM_API_KEY", KEY)
        options = {"deepgram": {"base_url": server.url, "timeout": 5.0}}
        ear = composition.recogniser(Config(senses=SensesConfig(asr="deepgram", options=options)))
        assert isinstance(ear, StreamingRecogniser)
        yield ear
        ear.close()


@pytest.mark.parametrize("build", [_whisper, _deepgram])
def test_a_recogniser_hears_one_utterance_after_the_other(
    build: Callable[[], AbstractContextManager[SpeechRecogniser]],
) -> None:
    """Silence has no words, and the same sound has the same, however it was brought."""
    silence = np.zeros(SPEECH_RATE_HZ, np.float32)
    sound = bursts(SPEECH_RATE_HZ, seconds=2.0)
    with build() as ear:
        heard = []
        for length in (len(sound), 160, 777):
            if isinstance(ear, StreamingRecogniser):
                ear.begin(sound[:length])
                for begin in range(length, len(sound), length):
                    ear.hear(sound[begin : begin + length])
            recognition = ear.transcribe(sound)
            assert 0.0 <= recognition.confidence <= 1.0
            heard.append(recognition.text)
            if isinstance(ear, StreamingRecogniser):
                ear.begin(silence)
            assert "" == ear.transcribe(silence).text

    assert 1 == len(set(heard))


def test_the_music_analysis_makes_no_notes_of_silence_or_of_speech() -> None:
    pytest.importorskip("torch")
    analyser = composition.music(Config())
    silence = np.zeros(2 * EAR_RATE_HZ, np.float32)
    told = [
        event
        for label in (FloorLabel.SILENCE, FloorLabel.SPEECH)
        for chunk in cut(
            silence if label is FloorLabel.SILENCE else bursts(EAR_RATE_HZ), EAR_RATE_HZ, [882]
        )
        for event in analyser.push(chunk, label)
    ]

    assert not [event for event in (*told, *analyser.flush()) if hasattr(event, "midi")]
