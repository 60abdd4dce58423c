"""The whole ear, with its real models: what is said while somebody plays."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import sounds
from numpy.typing import NDArray

from maestra.app import composition
from maestra.app.config import Config
from maestra.core.hearing import FloorChanged, FloorLabel, HearingEvent, UtteranceEnded
from maestra.core.media_time import to_seconds
from maestra.core.wake import WakePhraseMatcher
from maestra.ports.audio import EAR_RATE_HZ, AudioChunk

pytestmark = pytest.mark.models

pytest.importorskip("faster_whisper")


def hear(sound: NDArray[np.float32]) -> list[HearingEvent]:
    ear = composition.hearing(Config(), fast=True)
    try:
        events: list[HearingEvent] = []
        for start in range(0, len(sound), 882):
            samples = sound[start : start + 882]
            events += ear.push(AudioChunk(start=start, rate_hz=EAR_RATE_HZ, samples=samples))
        return [*events, *ear.flush()]
    finally:
        ear.close()


def level(sound: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(sound.astype(float) ** 2)))


@pytest.mark.parametrize("name", ["wake_033_s2", "wake_034_s2"])
def test_a_wake_phrase_over_music_is_both_and_is_understood(name: str) -> None:
    """The music goes on, 10 dB below the voice."""
    begin = 3 * EAR_RATE_HZ
    spoken = sounds.line(name, EAR_RATE_HZ)
    sound = sounds.melody(6.0 + len(spoken) / EAR_RATE_HZ, EAR_RATE_HZ)
    sound *= 10 ** (-10 / 20) * level(spoken) / level(sound)
    sound[begin : begin + len(spoken)] += spoken

    heard = hear(sound)

    changes = [event for event in heard if isinstance(event, FloorChanged)]
    assert [FloorLabel.PLAYING, FloorLabel.BOTH, FloorLabel.PLAYING] == [
        change.label for change in changes[-3:]
    ]
    assert to_seconds(changes[-2].since) == pytest.approx(3.05, abs=0.3)
    (said,) = [event.text for event in heard if isinstance(event, UtteranceEnded)]
    assert WakePhraseMatcher().match(said) is not None, said
