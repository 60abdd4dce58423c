"""What every voice promises (``ports.voice.Voice``), kept by the fake and by the real ones."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import anyio.lowlevel
import numpy as np
import pytest
from contracts.quiet import cancels, how_soon_quiet, quickest
from fakes.libraries import need
from fakes.voice import FakeVoice
from numpy.typing import NDArray

from maestra.app import composition
from maestra.app.config import Config, VoiceConfig
from maestra.core.persona import Manner, Persona
from maestra.ports.errors import ModelMissing
from maestra.ports.lifetime import Lives
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


def _built(backend: str, **options: object) -> Voice:
    config = Config(voice=VoiceConfig(backend=backend, options={backend: options}))
    (_, build), *_ = composition.voices(config, _somebody())
    try:
        return build()
    except ModelMissing as error:
        pytest.skip(str(error))


@asynccontextmanager
async def _fake() -> AsyncIterator[Voice]:
    yield FakeVoice()


_local = functools.cache(_built)


@asynccontextmanager
async def _piper() -> AsyncIterator[Voice]:
    pytest.importorskip("piper")
    yield _local("piper")


@asynccontextmanager
async def _kokoro() -> AsyncIterator[Voice]:
    pytest.importorskip("piper")
    yield _local("kokoro")


@asynccontextmanager
async def _styletts2() -> AsyncIterator[Voice]:
    """Small, and without its weights: what it says is noise."""
    for package in ("piper", "safetensors.torch"):
        pytest.importorskip(package)
    need("transformers")
    from fakes.styletts2 import filled, hummed

    from maestra.adapters.voice.styletts2.settings import StyleTTS2Settings
    from maestra.adapters.voice.styletts2.voice import StyleTTS2

    with TemporaryDirectory() as folder:
        yield StyleTTS2(
            StyleTTS2Settings(device="cpu", steps=2),
            weights=Path("nowhere"),
            reference=hummed(Path(folder)),
            networks=filled(),
            pace=3.0,
        )


@asynccontextmanager
async def _openai() -> AsyncIterator[Voice]:
    pytest.importorskip("openai")
    from servers import openai_speech

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OPENAI_API_KEY", openai_speech.KEY)
        async with openai_speech.speech_server() as server:
            yield _built("openai", base_url=server.base_url)


@asynccontextmanager
async def _elevenlabs() -> AsyncIterator[Voice]:
    pytest.importorskip("elevenlabs")
    from servers import elevenlabs

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ELEVENLABS_API_KEY", elevenlabs.KEY)
        async with elevenlabs.voice_server() as server:
            yield _built("elevenlabs", base_url=server.base_url)


@pytest.fixture(
    params=[
        _fake,
        _piper,
        pytest.param(_kokoro, marks=pytest.mark.slow),
        _styletts2,
        _openai,
        _elevenlabs,
    ],
    ids=["fake", "piper", "kokoro", "styletts2", "openai", "elevenlabs"],
)
async def voice(request: pytest.FixtureRequest) -> AsyncIterator[Voice]:
    """A voice that lives, where it is one that does."""
    async with request.param() as built, anyio.create_task_group() as tasks:
        if isinstance(built, Lives):
            tasks.start_soon(built.live)
            await anyio.lowlevel.checkpoint()
        yield built
        tasks.cancel_scope.cancel()


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


async def test_a_voice_can_be_cut_off_and_used_again(
    voice: Voice, request: pytest.FixtureRequest
) -> None:
    async def once() -> float:
        sounds = voice.synthesise("One sentence. Another sentence. A third one.")
        await anext(sounds)
        begun = anyio.current_time()
        await sounds.aclose()  # type: ignore[attr-defined]
        return anyio.current_time() - begun

    await quickest(once, 0.05)
    assert cancels("voice", request.node.callspec.id)

    assert await spoken(voice, "Good.")


@pytest.mark.slow
async def test_how_soon_it_is_quiet(voice: Voice) -> None:
    """Prints what the reference states (``pytest -m slow -rP -k quiet tests/contracts``)."""
    clause = "One sentence. Another sentence. A third one."
    assert await how_soon_quiet(type(voice).__name__, lambda: voice.synthesise(clause)) < 0.05
