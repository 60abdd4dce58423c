"""The senses. Everything here is synchronous: a worker process feeds it chunk by chunk.

Results do not depend on how the same audio is cut into chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from maestra.core.hearing import FloorChanged, FloorLabel, SpeechStarted, SpeechStopped
from maestra.core.performance.notes import MusicEvent

from .audio import AudioChunk

if TYPE_CHECKING:
    from .audio import Samples

__all__ = [
    "FloorDetector",
    "MusicAnalyser",
    "Recognition",
    "SpeechRecogniser",
    "VoiceActivityDetector",
]


class FloorDetector(Protocol):
    """Says who has the floor."""

    def push(self, chunk: AudioChunk) -> Sequence[FloorChanged]:
        """Hear ``chunk`` (any rate that was agreed at construction, mono)."""
        ...


class VoiceActivityDetector(Protocol):
    """Says when a voice speaks."""

    def push(self, chunk: AudioChunk) -> Sequence[SpeechStarted | SpeechStopped]: ...


@frozen(kw_only=True)
class Recognition:
    """What a recogniser made of a stretch of speech. ``text`` is empty if it held no words."""

    text: str
    confidence: float
    no_speech_probability: float = 0.0


class SpeechRecogniser(Protocol):
    """Writes down speech. May be called from a thread of its own; one call at a time."""

    def transcribe(self, samples: Samples) -> Recognition:
        """Transcribe mono 16 kHz ``samples``.

        :raises SensesError: the model failed.
        """
        ...


class MusicAnalyser(Protocol):
    """Finds notes, onsets, beats and level."""

    def push(self, chunk: AudioChunk, floor: FloorLabel) -> Sequence[MusicEvent]:
        """Hear ``chunk`` (44.1 kHz). ``floor`` is its label: only music is analysed."""
        ...

    def flush(self) -> Sequence[MusicEvent]:
        """The sound has ended: give what was held back."""
        ...
