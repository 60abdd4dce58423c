"""A voice for tests: every character takes 50 ms, as a tone that is never silent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from maestra.ports.voice import AlignedSound, SpokenCharacter

__all__ = ["SECONDS_PER_CHARACTER", "AligningVoice", "FakeVoice", "LivingVoice"]

SECONDS_PER_CHARACTER = 0.05


@define
class FakeVoice:
    """Remembers what it ``spoke``. Prime it with ``error`` to raise, ``hangs`` to say nothing for
    ever, ``mute`` to make no sound at all; ``delay`` is how long each clause takes.

    ``hanging`` and ``cut_off`` count the clauses that hung and that were cancelled."""

    sample_rate_hz: int = 24_000
    delay: float = 0.0
    error: Exception | None = None
    hangs: bool = False
    mute: bool = False
    spoke: list[str] = field(factory=list)
    hanging: int = 0
    cut_off: int = 0

    async def synthesise(self, clause: str) -> AsyncIterator[NDArray[np.float32]]:
        if self.error is not None:
            raise self.error
        if self.hangs:
            self.hanging += 1
            try:
                await anyio.sleep_forever()
            finally:
                self.cut_off += 1
        if self.delay:
            await anyio.sleep(self.delay)
        self.spoke.append(clause)
        if not self.mute:
            count = round(len(clause) * SECONDS_PER_CHARACTER * self.sample_rate_hz)
            yield np.full(count, 0.5, np.float32)


@define
class AligningVoice:
    """Knows when it speaks which character: spaces take no time, and every piece is a word."""

    sample_rate_hz: int = 24_000

    async def synthesise(self, clause: str) -> AsyncIterator[AlignedSound]:
        at = 0.0
        for number, word in enumerate(clause.split()):
            characters = []
            for character in word if not number else f" {word}":
                end = at + (0.0 if character == " " else SECONDS_PER_CHARACTER)
                characters.append(SpokenCharacter(character=character, start=at, end=end))
                at = end
            count = round(len(word) * SECONDS_PER_CHARACTER * self.sample_rate_hz)
            sound = np.full(count, 0.5, np.float32)
            yield AlignedSound(samples=sound, characters=tuple(characters))


@define
class LivingVoice(FakeVoice):
    """Speaks only while it is alive."""

    alive: anyio.Event = field(factory=anyio.Event)
    ended: bool = False

    async def live(self) -> None:
        self.alive.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.ended = True

    async def synthesise(self, clause: str) -> AsyncIterator[NDArray[np.float32]]:
        await self.alive.wait()
        async for sound in super().synthesise(clause):
            yield sound
