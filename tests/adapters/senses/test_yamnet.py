"""The floor detector: who has the floor, and how soon that is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from fakes import sounds
from numpy.typing import NDArray

from maestra.adapters.senses.floor_features import FEATURE_NAMES, log_mel
from maestra.adapters.senses.yamnet import FloorJudge, YamnetFloor
from maestra.app import models
from maestra.core.hearing import (
    FloorChanged,
    FloorEvent,
    FloorLabel,
    Instrument,
    InstrumentHeard,
)
from maestra.core.media_time import to_seconds
from maestra.ports.audio import AudioChunk
from maestra.ports.errors import ModelMissing, SensesError

pytestmark = pytest.mark.models


def hear_all(sound: NDArray[np.float32], sizes: Sequence[int] = (320,)) -> list[FloorEvent]:
    floor = YamnetFloor(models.locate("yamnet"), vad_model=models.locate("silero"))
    told: list[FloorEvent] = []
    at = 0
    while at < len(sound):
        for size in sizes:
            chunk = AudioChunk(start=at, rate_hz=16_000, samples=sound[at : at + size])
            told += floor.push(chunk)
            at += len(chunk.samples)
    return told


def hear(sound: NDArray[np.float32], sizes: Sequence[int] = (320,)) -> list[FloorChanged]:
    return [event for event in hear_all(sound, sizes) if isinstance(event, FloorChanged)]


def labels(changes: Sequence[FloorChanged]) -> set[FloorLabel]:
    return {change.label for change in changes}


def first(changes: Sequence[FloorChanged], label: FloorLabel) -> FloorChanged:
    return next(change for change in changes if change.label is label)


def test_playing_is_known_in_a_quarter_of_a_second_and_is_not_speech() -> None:
    changes = hear(np.concatenate([sounds.hum(1.0), sounds.melody(4.0), sounds.hum(3.0)]))
    began = first(changes, FloorLabel.PLAYING)
    assert to_seconds(began.at) - 1.0 <= 0.25
    assert to_seconds(began.since) == pytest.approx(1.0, abs=0.06)
    assert not any(change.label.is_speech for change in changes)
    assert changes[-1].label is FloorLabel.SILENCE


@pytest.mark.parametrize("name", ["wake_031_s2", "chat_011_s2", "follow_003_s2", "barge_000_s2"])
def test_speech_is_known_in_a_third_of_a_second_and_is_not_music(name: str) -> None:
    changes = hear(np.concatenate([sounds.hum(1.0), sounds.line(name), sounds.hum(1.0)]))
    began = first(changes, FloorLabel.SPEECH)
    assert to_seconds(began.at) - 1.05 <= 0.35
    assert to_seconds(began.since) == pytest.approx(1.05, abs=0.15)
    assert not any(c.label.is_music and not c.label.is_speech for c in changes)
    assert changes[-1].label is FloorLabel.SILENCE


def test_the_floor_passes_from_playing_to_speech_and_back() -> None:
    parts = [sounds.melody(3.0), sounds.hum(0.3), sounds.line("wake_033_s2"), sounds.hum(0.3)]
    changes = hear(np.concatenate([*parts, sounds.melody(3.0)]))
    spoken = first(changes, FloorLabel.SPEECH)
    assert 3.3 < to_seconds(spoken.at) < 3.8
    again = [c for c in changes if c.label is FloorLabel.PLAYING][-1]
    assert 5.3 < to_seconds(again.at) < 5.8


def test_singing_is_known_in_three_quarters_of_a_second_and_is_not_speech() -> None:
    changes = hear(np.concatenate([sounds.hum(1.0), sounds.sung(6.0), sounds.hum(1.0)]))
    assert to_seconds(first(changes, FloorLabel.SINGING).at) - 1.0 <= 0.75
    assert not any(change.label.is_speech for change in changes)
    assert [FloorLabel.SINGING, FloorLabel.SILENCE] == [change.label for change in changes[-2:]]


@pytest.mark.parametrize(
    "sound",
    [
        sounds.silence(3.0),
        sounds.hum(3.0),
        np.concatenate([sounds.hum(1.0), sounds.noise(0.3, 0.2), sounds.hum(1.0)]),
        np.concatenate([sounds.hum(1.0), sounds.noise(3.0, 0.05)]),
    ],
    ids=["silence", "room", "burst", "steady noise"],
)
def test_noise_is_neither_speech_nor_music(sound: NDArray[np.float32]) -> None:
    assert labels(hear(sound)) <= {FloorLabel.SILENCE, FloorLabel.OTHER}


def test_the_cut_into_chunks_changes_nothing() -> None:
    sound = np.concatenate([sounds.melody(2.0), sounds.line("chat_011_s2"), sounds.hum(0.5)])
    assert hear(sound) == hear(sound, (16_000,)) == hear(sound, (7, 813, 1))


def test_the_picture_of_a_tone() -> None:
    t = np.arange(16_000) / 16_000
    picture = log_mel((0.5 * np.sin(2 * np.pi * 1000 * t)).astype(np.float32))
    assert picture.shape == (98, 64)
    mel = 1127 * np.log1p(np.array([125.0, 7500.0, 1000.0]) / 700)
    band = (mel[2] - mel[0]) / (mel[1] - mel[0]) * 65 - 1
    assert abs(int(picture.mean(axis=0).argmax()) - band) <= 1
    assert picture.min() >= np.log(0.001) - 1e-6


def test_bad_models_and_rates_are_refused(tmp_path: Path) -> None:
    silero = models.locate("silero")
    with pytest.raises(ModelMissing):
        YamnetFloor(tmp_path / "none.zip", vad_model=silero)
    with ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(ModelMissing):
        YamnetFloor(tmp_path / "empty.zip", vad_model=silero)
    floor = YamnetFloor(models.locate("yamnet"), vad_model=silero)
    with pytest.raises(SensesError, match="44100"):
        floor.push(AudioChunk(start=0, rate_hz=44_100, samples=sounds.silence(0.1)))


def _features(**values: float) -> NDArray[np.float32]:
    """A block that YAMNet finds like nothing, where nothing else is said."""
    usual = dict.fromkeys(FEATURE_NAMES, -10.0) | {"flux": 0.4, "age": 1.0, "level": -3.0}
    return np.array([(usual | values)[name] for name in FEATURE_NAMES], np.float32)


_TALK = _features(
    short_speech=5.0, short_singing=-14.0, long_speech=5.5, long_singing=-14.0,
    voice_now=2.5, voice_long=2.5, voice_peak=4.0,
    harmonicity=0.7, pitch_steadiness=0.1, pitch_steadiness_long=0.1, flux=0.47,
)  # fmt: skip
_SINGS = _features(
    short_speech=4.0, short_singing=-10.0, short_music=-9.0, long_speech=3.5, long_singing=-9.0,
    long_music=-8.0, voice_now=2.0, voice_long=2.0, voice_peak=4.0,
    harmonicity=0.96, pitch_steadiness=0.7, pitch_steadiness_long=0.65, flux=0.27,
)  # fmt: skip
"""An untrained singer, where YAMNet takes her for a speaker."""


def test_who_sings_without_training_is_heard_to_sing_after_a_while() -> None:
    judge = FloorJudge()
    heard = [judge.label(_SINGS) for _ in range(100)]
    assert not heard[5].is_music
    assert all(label.is_music for label in heard[30:])


def test_who_sang_and_then_talks_is_heard_to_talk_at_once() -> None:
    judge = FloorJudge()
    for _ in range(200):
        judge.label(_SINGS)
    heard = [judge.label(_TALK) for _ in range(40)]
    assert heard[4].is_speech
    assert not any(label.is_music for label in heard[20:])


def test_an_instrument_that_is_taken_for_a_voice_is_no_singer() -> None:
    """Speech that follows it, in a room that still sounds, would long be heard as music, too."""
    played = _SINGS.copy()
    for name, value in (("music", 6.0), ("speech", -3.0)):
        played[[FEATURE_NAMES.index(f"{span}_{name}") for span in ("short", "long")]] = value
    judge = FloorJudge()
    for _ in range(200):
        judge.label(played)
    heard = [judge.label(0.6 * _TALK + 0.4 * played) for _ in range(10)]
    assert heard[-1] is FloorLabel.SPEECH


def test_who_only_talks_is_never_heard_to_sing() -> None:
    """Now and then a vowel is held: ever so briefly, that is like singing."""
    judge = FloorJudge()
    drawn = np.random.default_rng(5).random(2000) < 0.1
    heard = [judge.label(_SINGS if held else _TALK) for held in drawn]
    assert not any(label.is_music for label in heard)


def instruments(told: Sequence[FloorEvent]) -> list[InstrumentHeard]:
    return [event for event in told if isinstance(event, InstrumentHeard)]


def test_a_piano_is_known_by_its_sound_and_a_voice_that_speaks_is_no_instrument() -> None:
    playing = sounds.demo(8.0, 20.0)
    told = instruments(hear_all(np.concatenate([playing, sounds.line("chat_011_s2")])))
    assert {Instrument.PIANO} == {event.instrument for event in told}
    assert all(1.9 < to_seconds(event.at) - to_seconds(event.since) < 5.1 for event in told)
    assert told == instruments(hear_all(playing, sizes=(511, 1, 7_777)))


def test_the_first_second_of_each_phrase_is_no_pause() -> None:
    """YAMNet has not heard enough of it to say what it is, but somebody plays."""
    floor = YamnetFloor(models.locate("yamnet"), vad_model=models.locate("silero"))
    floor._start, floor._label = 0, FloorLabel.PLAYING
    violin = np.full(521, -8.0, np.float32)
    violin[186] = 2.0
    phrase = [None] * 19 + [violin] * 15
    told = [event for look in phrase * 3 for event in floor._hear_instrument(look)]
    assert [Instrument.VIOLIN] == [event.instrument for event in instruments(told)]
