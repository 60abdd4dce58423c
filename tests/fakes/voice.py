"""A voice for tests: every character takes 50 ms, as a tone that is never silent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import numpy as np
from attrs import define, field
from numpy.typing import NDArray

__all__ = ["SECONDS_PER_CHARACTER", "FakeVoice"]

SECONDS_PER_CHARACTER = 0.05


@define
class FakeVoice:
    """Remembers what it ``spoke``. Prime it with ``error`` to raise, ``hangs`` to say nothing for
    ever, ``mute`` to make no sound at all; ``delay`` is how long each clause takes."""

    sample_rate_hz: int = 24_000
    delay: float = 0.0
    error: Exception | None = None
    hangs: bool = False
    mute: bool = False
    spoke: list[str] = field(factory=list)

    async def synthesise(self, clause: str) -> AsyncIterator[NDArray[np.float32]]:
        if self.error is not None:
            raise self.error
        if self.hangs:
            await anyio.sleep_forever()
        if self.delay:
            await anyio.sleep(self.delay)
        self.spoke.append(clause)
        if not self.mute:
            count = round(len(clause) * SECONDS_PER_CHARACTER * self.sample_rate_hz)
            yield np.full(count, 0.5, np.float32)
