"""A brain for tests: it answers what it was primed with, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
from attrs import define, field

from maestra.ports.brain import BrainRequest

__all__ = ["FakeBrain"]


@define
class FakeBrain:
    """``clauses`` are what it says. Prime it with ``error`` to raise, ``hangs`` to say nothing."""

    clauses: tuple[str, ...] = ("Lovely.", "Try it slowly.")
    error: Exception | None = None
    hangs: bool = False
    asked: list[BrainRequest] = field(factory=list)

    async def reply(self, request: BrainRequest) -> AsyncIterator[str]:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        if self.hangs:
            await anyio.sleep_forever()
        for clause in self.clauses:
            await anyio.lowlevel.checkpoint()
            yield clause
