"""The last seconds of the student's side, for a brain that hears: in memory, and nowhere else."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import anyio.to_thread

from maestra.ports.audio import SPEECH_RATE_HZ, AudioChunk

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["RecentSound"]


class RecentSound:
    """Keeps the last ``seconds`` of what it is given, and forgets what is older.

    It is kept as it came; only when somebody asks is it made what a brain wants. Nothing of it
    leaves the process until a question is asked.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._chunks: deque[AudioChunk] = deque()
        self._held = 0.0

    def push(self, chunk: AudioChunk) -> None:
        """Take the next piece of sound."""
        self._chunks.append(chunk)
        self._held += _duration(chunk)
        while self._held - _duration(self._chunks[0]) >= self._seconds:
            self._held -= _duration(self._chunks.popleft())

    def clear(self) -> None:
        """Forget it all: somebody else sits down."""
        self._chunks.clear()
        self._held = 0.0

    async def sound(self) -> Samples:
        """What is held, mono at ``SPEECH_RATE_HZ``, at most ``seconds`` of it."""
        return await anyio.to_thread.run_sync(_joined, tuple(self._chunks), self._seconds)


def _duration(chunk: AudioChunk) -> float:
    return len(chunk.samples) / chunk.rate_hz


def _joined(chunks: tuple[AudioChunk, ...], seconds: float) -> Samples:
    import numpy as np
    import soxr

    if not chunks:
        return np.zeros(0, np.float32)
    rate_hz = chunks[0].rate_hz
    sound = np.concatenate([chunk.samples for chunk in chunks])[-round(seconds * rate_hz) :]
    resampled: Samples = soxr.resample(sound, rate_hz, SPEECH_RATE_HZ)
    return resampled
