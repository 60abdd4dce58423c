"""Kokoro: its letters, its voices, and what an ear makes of its words."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import numpy as np
import pytest
from numpy.typing import NDArray

from maestra.adapters.voice.kokoro import Kokoro, kokoro_phonemes
from maestra.app import models
from maestra.ports.errors import ModelMissing, VoiceError

WORDS = (
    "You played all the way through without a stop, and the rhythm was steady.",
    "In the last twenty seconds you sped up, from ninety six to a hundred and eight.",
    "Try the passage from bar twelve with a slow count of four.",
)


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

    with pytest.raises(VoiceError, match="no voice 'mary'; there are jf_alpha, "):
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
    wrong = total = 0
    for text in WORDS:
        sound = soxr.resample(anyio.run(_spoken, kokoro, text), kokoro.sample_rate_hz, 16_000)
        heard = " ".join(part.text for part in ear.transcribe(sound, language="en")[0])
        wrong += _edits(_words(text), _words(heard))
        total += len(_words(text))
    assert wrong / total < 0.10


def _words(text: str) -> list[str]:
    """Numbers as words, since the ear writes figures."""
    figures = {"20": "twenty", "96": "ninety six", "108": "a hundred and eight", "12": "twelve"}
    figures["4"] = "four"
    spelled = re.sub(r"\d+", lambda found: figures.get(found[0], found[0]), text.lower())
    return re.findall(r"[a-z']+", spelled)


def _edits(expected: list[str], heard: list[str]) -> int:
    """The Levenshtein distance in words."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(expected, 1):
        before, row[0] = row[0], number
        for at, other in enumerate(heard, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (word != other))
    return row[-1]
