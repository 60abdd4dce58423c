"""Whisper: the words, and none where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import sounds
from numpy.typing import NDArray

from maestra.adapters.senses.settings import WhisperSettings
from maestra.adapters.senses.whisper import FasterWhisper, words_of
from maestra.app import models
from maestra.ports.errors import BackendRefused, ModelMissing

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def whisper() -> FasterWhisper:
    return FasterWhisper(models.locate("whisper-tiny.en"), phrases=["Teacher, comment"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wake_031_s2", "teacher comment"),
        ("wake_033_s2", "teacher comment on my rhythm"),
        ("wake_034_s2", "hey teacher comment"),
        ("chat_011_s2", "is the microphone on"),
        ("follow_000_s2", "how can i fix that"),
    ],
)
@pytest.mark.parametrize("gain", [0.02, 1.0])
def test_words(whisper: FasterWhisper, name: str, words: str, gain: float) -> None:
    sound = sounds.line(name) * np.float32(gain)
    assert " ".join(words_of(whisper.transcribe(sound).text)) == words


def test_words_that_were_recorded_too_loud(whisper: FasterWhisper) -> None:
    sound = np.clip(sounds.line("wake_034_s2") * 6, -1, 1)
    assert np.mean(np.abs(sound) == 1) > 0.02
    assert words_of(whisper.transcribe(sound).text) == ("hey", "teacher", "comment")


def test_an_expected_phrase_is_not_heard_where_it_is_not(whisper: FasterWhisper) -> None:
    text = whisper.transcribe(sounds.line("near_009_s2")).text
    assert "teacher" not in text.lower()


def test_long_speech_is_heard_to_its_end(whisper: FasterWhisper) -> None:
    pause = sounds.hum(0.6)
    names = ["follow_003_s2", "chat_011_s2", "follow_000_s2", "wake_033_s2", "barge_000_s2"]
    sound = np.concatenate([part for name in names for part in (sounds.line(name), pause)])
    assert len(sound) / 16_000 > 9
    text = " ".join(words_of(whisper.transcribe(sound).text))
    assert text.startswith("can you say that again") and text.endswith("stop")
    assert "is the microphone on" in text and "comment on my rhythm" in text


@pytest.mark.parametrize(
    "sound",
    [
        sounds.silence(0.0),
        sounds.silence(2.0),
        sounds.hum(2.0),
        sounds.noise(2.0, 0.2),
        sounds.melody(3.0),
        np.full(16_000, np.nan, np.float32),
        np.ones(16_000, np.float32),
    ],
    ids=["nothing", "silence", "room", "noise", "melody", "not numbers", "stuck"],
)
def test_no_words_where_there_are_none(whisper: FasterWhisper, sound: NDArray[np.float32]) -> None:
    assert whisper.transcribe(sound).text == ""


def test_a_term_of_music_wins_over_what_is_hardly_likelier() -> None:
    whisper = FasterWhisper(models.locate("whisper-tiny.en"))
    hypotheses = [("play it with the gateau", -0.50), ("play it with legato", -0.60)]

    assert "play it with legato" == whisper._judge(hypotheses, 0.0, 2.0).text
    assert (
        "play it with the gateau"
        == whisper._judge([hypotheses[0], ("play it with legato", -0.70)], 0.0, 2.0).text
    )


def test_a_missing_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        FasterWhisper(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"not a model")
    with pytest.raises(ModelMissing):
        FasterWhisper(tmp_path)


def test_hotwords_go_before_what_is_heard() -> None:
    hot = FasterWhisper(
        models.locate("whisper-tiny.en"),
        WhisperSettings(hotwords=True, terms=("legato",)),
        phrases=["Teacher, comment"],
    )

    assert "teacher" in hot.transcribe(sounds.line("wake_033_s2")).text.lower()


def test_a_device_that_is_not_there_is_said() -> None:
    with pytest.raises(BackendRefused, match=r"senses\.options\.faster-whisper\.device"):
        FasterWhisper(models.locate("whisper-tiny.en"), WhisperSettings(device="cuda"))
