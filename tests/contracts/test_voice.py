"""What every voice promises (``ports.voice.Voice``), kept by the fake and by the real ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fakes.voice import FakeVoice
from numpy.typing import NDArray

from maestra.app import composition
from maestra.app.config import Config, VoiceConfig
from maestra.core.persona import Manner, Persona
from maestra.ports.errors import ModelMissing
from maestra.ports.voice import AlignedSound, Voice

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _somebody() -> Persona:
    return Persona(
        id="somebody",
        name="Somebody",
        portrait="none.png",
        manner=Manner(pitch_hz=190.0, formants=1.15),
    )


def _piper() -> Voice:
    pytest.importorskip("piper")
    (_, build), *_ = composition.voices(Config(), _somebody())
    return build()


def _kokoro() -> Voice:
    pytest.importorskip("piper")
    config = Config(voice=VoiceConfig(backend="kokoro"))
    (_, build), *_ = composition.voices(config, _somebody())
    try:
        return build()
    except ModelMissing as error:
        pytest.skip(str(error))


@pytest.fixture(
    scope="module",
    params=[FakeVoice, _piper, pytest.param(_kokoro, marks=pytest.mark.slow)],
    ids=["fake", "piper", "kokoro"],
)
def voice(request: pytest.FixtureRequest) -> Voice:
    build: Callable[[], Voice] = request.param
    return build()


async def spoken(voice: Voice, clause: str) -> list[NDArray[np.float32]]:
    return [
        sound.samples if isinstance(sound, AlignedSound) else sound
        async for sound in voice.synthesise(clause)
    ]


async def test_sound_is_mono_float_within_bounds(voice: Voice) -> None:
    for sound in await spoken(voice, "In the last twenty seconds you sped up."):
        assert sound.dtype == np.float32
        assert 1 == sound.ndim
        assert len(sound)
        assert np.abs(sound).max() <= 1.0


async def test_longer_text_takes_longer(voice: Voice) -> None:
    short = sum(map(len, await spoken(voice, "Good.")))
    long = sum(map(len, await spoken(voice, "Good, and now the same once more, but slowly.")))

    assert long > 2 * short
    assert 0.1 < short / voice.sample_rate_hz < 2


async def test_a_voice_can_be_cut_off_and_used_again(voice: Voice) -> None:
    sounds = voice.synthesise("One sentence. Another sentence. A third one.")
    await anext(sounds)
    await sounds.aclose()  # type: ignore[attr-defined]

    assert await spoken(voice, "Good.")
