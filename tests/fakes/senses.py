"""Senses for tests: they do not listen, they follow a script written in seconds of media time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
from attrs import define, evolve, field
from numpy.typing import NDArray

from maestra.core.hearing import FloorChanged, FloorLabel, SpeechStarted, SpeechStopped
from maestra.core.media_time import from_samples, from_seconds
from maestra.ports.audio import AudioChunk
from maestra.ports.senses import Recognition

__all__ = ["FakeFloor", "FakeRecogniser", "FakeStreamingRecogniser", "FakeVad"]


@define
class FakeFloor:
    """Changes to ``label`` when ``at`` seconds have been heard, for each ``(at, label)``. Prime it
    with ``error`` to raise at every chunk."""

    script: Sequence[tuple[float, FloorLabel]]
    error: Exception | None = None
    _told: int = field(default=0, init=False)

    def push(self, chunk: AudioChunk) -> list[FloorChanged]:
        if self.error is not None:
            raise self.error
        now = from_samples(chunk.end, chunk.rate_hz)
        changes = []
        while self._told < len(self.script) and from_seconds(self.script[self._told][0]) <= now:
            at, label = self.script[self._told]
            changes.append(FloorChanged(at=now, label=label, since=from_seconds(at)))
            self._told += 1
        return changes


@define
class FakeVad:
    """Hears a voice from ``start`` to ``stop`` seconds, for each pair, ``delay`` late. Prime it
    with ``error`` to raise at every chunk."""

    voices: Sequence[tuple[float, float]]
    delay: float = 0.1
    error: Exception | None = None
    _told: int = field(default=0, init=False)

    def push(self, chunk: AudioChunk) -> list[SpeechStarted | SpeechStopped]:
        if self.error is not None:
            raise self.error
        now = from_samples(chunk.end, chunk.rate_hz)
        instants = [instant for voice in self.voices for instant in voice]
        events: list[SpeechStarted | SpeechStopped] = []
        while self._told < len(instants) and from_seconds(instants[self._told] + self.delay) <= now:
            kind = SpeechStopped if self._told % 2 else SpeechStarted
            events.append(kind(at=now, since=from_seconds(instants[self._told])))
            self._told += 1
        return events


@define
class FakeRecogniser:
    """Hears ``words``, or what they make of the length of the sound in seconds. Remembers the
    lengths it was ``asked``. Prime it with ``error`` to raise; ``gate`` makes it hang until set."""

    words: str | Callable[[float], str]
    error: Exception | None = None
    gate: threading.Event | None = None
    asked: list[float] = field(factory=list)
    expected: tuple[str, ...] = ()

    def expect(self, phrases: Sequence[str]) -> None:
        self.expected = tuple(phrases)

    def transcribe(self, samples: NDArray[np.float32]) -> Recognition:
        self.asked.append(len(samples) / 16_000)
        if self.gate is not None:
            self.gate.wait(20)
        if self.error is not None:
            raise self.error
        text = self.words if isinstance(self.words, str) else self.words(self.asked[-1])
        return Recognition(text=text, confidence=1.0)


@define
class FakeStreamingRecogniser(FakeRecogniser):
    """One that hears an utterance as it is spoken. ``heard`` are the lengths of what it was given
    of each; with ``ends`` it believes that all is said."""

    heard: list[float] = field(factory=list)
    ends: bool = False
    closed: bool = False
    streams: bool = True

    def begin(self, samples: NDArray[np.float32]) -> None:
        self.heard.append(len(samples) / 16_000)

    def hear(self, samples: NDArray[np.float32]) -> None:
        self.heard[-1] += len(samples) / 16_000

    def so_far(self) -> Recognition:
        text = self.words if isinstance(self.words, str) else self.words(self.heard[-1])
        return Recognition(text=text, confidence=1.0)

    def transcribe(self, samples: NDArray[np.float32]) -> Recognition:
        return evolve(super().transcribe(samples), ended=self.ends)

    def close(self) -> None:
        self.closed = True
