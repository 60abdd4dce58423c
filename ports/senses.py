"""The senses. Everything here is synchronous: a worker process feeds it chunk by chunk.

Results do not depend on how the same audio is cut into chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from attrs import frozen

from maestra.core.hearing import FloorEvent, FloorLabel, SpeechStarted, SpeechStopped
from maestra.core.performance.notes import MusicEvent

from .audio import AudioChunk

if TYPE_CHECKING:
    from .audio import Samples

__all__ = [
    "FloorDetector",
    "MusicAnalyser",
    "Recognition",
    "SpeechRecogniser",
    "StreamingRecogniser",
    "VoiceActivityDetector",
]


class FloorDetector(Protocol):
    """Says who has the floor and, if it knows, which instrument plays."""

    def push(self, chunk: AudioChunk) -> Sequence[FloorEvent]:
        """Hear ``chunk`` (any rate that was agreed at construction, mono)."""
        ...


class VoiceActivityDetector(Protocol):
    """Says when a voice speaks."""

    def push(self, chunk: AudioChunk) -> Sequence[SpeechStarted | SpeechStopped]: ...


@frozen(kw_only=True)
class Recognition:
    """What a recogniser made of a stretch of speech.

    ``text`` is empty if it held no words. ``ended`` is a hint: whoever spoke has said all, as far
    as the recogniser can tell.
    """

    text: str
    confidence: float
    no_speech_probability: float = 0.0
    ended: bool = False


class SpeechRecogniser(Protocol):
    """Writes down speech. May be called from a thread of its own; one call at a time."""

    def transcribe(self, samples: Samples) -> Recognition:
        """Transcribe mono 16 kHz ``samples``.

        :raises SensesError: the model failed.
        """
        ...


@runtime_checkable
class StreamingRecogniser(SpeechRecogniser, Protocol):
    """A recogniser that hears an utterance while it is being spoken.

    ``transcribe`` is then about all that ``begin`` and ``hear`` brought; its samples are the same
    sound. Without a ``begin`` before it, they are all there is. ``begin``, ``hear`` and ``so_far``
    return at once, and come from another thread than ``transcribe``.
    """

    @property
    def streams(self) -> bool:
        """Whether ``so_far`` has words; if not, ``transcribe`` is asked for interim ones too."""
        ...

    def begin(self, samples: Samples) -> None:
        """An utterance has begun, and ``samples`` (mono, 16 kHz) is what of it was heard."""
        ...

    def hear(self, samples: Samples) -> None:
        """More of it."""
        ...

    def so_far(self) -> Recognition:
        """What it has made of the utterance until now."""
        ...

    def close(self) -> None:
        """Leave no thread and no connection."""
        ...


class MusicAnalyser(Protocol):
    """Finds notes, onsets, beats and level."""

    def push(self, chunk: AudioChunk, floor: FloorLabel) -> Sequence[MusicEvent]:
        """Hear ``chunk`` (44.1 kHz). ``floor`` is its label: only music is analysed."""
        ...

    def flush(self) -> Sequence[MusicEvent]:
        """The sound has ended: give what was held back."""
        ...
