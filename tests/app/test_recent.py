"""The last seconds of the student's side."""

from __future__ import annotations

import numpy as np
import pytest

from maestra.app.recent import RecentSound
from maestra.ports.audio import EAR_RATE_HZ, SPEECH_RATE_HZ, AudioChunk

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_it_holds_the_last_seconds_and_forgets_the_rest() -> None:
    recent = RecentSound(2.0)
    rng = np.random.default_rng(1)
    for number in range(1000):  # 20 s in chunks of 20 ms
        level = 0.01 if number < 900 else 0.5
        samples = (level * rng.standard_normal(EAR_RATE_HZ // 50)).astype(np.float32)
        recent.push(AudioChunk(start=number * len(samples), rate_hz=EAR_RATE_HZ, samples=samples))

    sound = await recent.sound()

    assert sound.dtype == np.float32
    assert len(sound) == pytest.approx(2 * SPEECH_RATE_HZ, abs=2)
    assert np.sqrt(np.mean(sound[:8000] ** 2)) > 0.1, "only the end is left"
    recent.clear()
    assert not len(await recent.sound())
