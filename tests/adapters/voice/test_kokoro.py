"""Kokoro: its letters, its voices, and what an ear makes of its words."""

from __future__ import annotations

from pathlib import Path

import anyio
import numpy as np
import pytest
from fakes.words import SENTENCES, word_error_rate
from numpy.typing import NDArray

from maestra.adapters.voice.kokoro import Kokoro, kokoro_phonemes
from maestra.app import models
from maestra.ports.errors import BackendRefused, ModelMissing, VoiceError


@pytest.mark.parametrize(
    ("ipa", "letters"),
    [
        ("bˈiːts pɜː mˈɪnɪt", "bˈits pɜɹ mˈɪnɪt"),
        ("dʒˈʌdʒ tʃˈeɪndʒ", "ʤˈʌʤ ʧˈAnʤ"),
        ("ɡˌoʊ slˈoʊɚ", "ɡˌO slˈOəɹ"),
    ],
)
def test_two_sounds_that_are_one_letter(ipa: str, letters: str) -> None:
    assert letters == kokoro_phonemes(ipa)


def _model() -> tuple[list[Path], Path, Path]:
    try:
        parts = [models.locate_all(f"kokoro-82m-{part}")[0] for part in range(1, 5)]
        vocabulary, voices = models.locate_all("kokoro-voices")
    except ModelMissing as error:
        pytest.skip(str(error))
    return parts, vocabulary, voices


@pytest.fixture(scope="module")
def kokoro() -> Kokoro:
    parts, vocabulary, voices = _model()
    return Kokoro(parts, vocabulary=vocabulary, voices=voices, voice="jf_alpha")


@pytest.mark.models
def test_a_voice_that_is_not_there_is_named_with_those_that_are() -> None:
    parts, vocabulary, voices = _model()

    with pytest.raises(BackendRefused, match="no voice 'mary'; there are jf_alpha, "):
        Kokoro(parts, vocabulary=vocabulary, voices=voices, voice="mary")


@pytest.mark.models
def test_a_folder_of_voices_serves_as_well(tmp_path: Path) -> None:
    parts, vocabulary, voices = _model()
    with np.load(voices) as archive:
        archive["jm_kumo"].astype(np.float32).tofile(tmp_path / "kumo.bin")
    (tmp_path / "short.bin").write_bytes(b"1234")

    assert Kokoro(parts, vocabulary=vocabulary, voices=tmp_path, voice="kumo")
    with pytest.raises(VoiceError, match="not a table"):
        Kokoro(parts, vocabulary=vocabulary, voices=tmp_path, voice="short")


@pytest.mark.models
def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    parts, vocabulary, voices = _model()

    with pytest.raises(VoiceError, match="cannot be read"):
        Kokoro(parts[:3], vocabulary=vocabulary, voices=voices, voice="jf_alpha")


@pytest.mark.models
def test_what_cannot_be_spoken_is_an_error(kokoro: Kokoro) -> None:
    with pytest.raises(VoiceError, match="no sound"):
        anyio.run(_spoken, kokoro, "…")


async def _spoken(voice: Kokoro, clause: str) -> NDArray[np.float32]:
    return np.concatenate([sound async for sound in voice.synthesise(clause)])


@pytest.mark.slow
@pytest.mark.parametrize("voice", ["jf_alpha", "jm_kumo"])
def test_an_ear_understands_nine_words_of_ten(voice: str) -> None:
    soxr = pytest.importorskip("soxr")
    whisper = pytest.importorskip("faster_whisper")
    parts, vocabulary, voices = _model()
    kokoro = Kokoro(parts, vocabulary=vocabulary, voices=voices, voice=voice)
    ear = whisper.WhisperModel(str(models.locate("whisper-tiny.en")), compute_type="int8")
    heard = []
    for text in SENTENCES:
        sound = soxr.resample(anyio.run(_spoken, kokoro, text), kokoro.sample_rate_hz, 16_000)
        parts, _ = ear.transcribe(sound, language="en")
        heard.append(" ".join(part.text for part in parts))
    assert word_error_rate(zip(SENTENCES, heard, strict=True)) < 0.10
