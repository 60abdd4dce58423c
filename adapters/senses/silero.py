"""Silero VAD: when a voice speaks.

The ONNX file is the one that the ``faster-whisper`` distribution carries (Silero VAD v6, MIT). It
takes 512 samples at 16 kHz with the 64 samples before them, and an LSTM state, and gives the
probability that they hold a voice. Only the file is used; onnxruntime runs it here, on one thread.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maestra.core.hearing import SpeechStarted, SpeechStopped
from maestra.core.media_time import MediaTime, from_samples
from maestra.ports.audio import SPEECH_RATE_HZ, AudioChunk
from maestra.ports.errors import ModelMissing, SensesError

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["FRAME_SAMPLES", "SileroVad", "SpeechProbability"]

FRAME_SAMPLES = 512
"""One probability is given for each 512 samples (32 ms)."""

_CONTEXT_SAMPLES = 64
_STATE_SIZE = 128

_NO_VOICE = 0.15
_FADE = 0.9
"""While there is no voice, the state fades by this factor each frame. Left alone, it is so used to
a piano or a tap after some seconds that a voice is noticed 0.3 s late; faded, after 0.1 s, as at
the start of a file."""


class SpeechProbability:
    """The bare model: a stream of samples in, a stream of probabilities out."""

    def __init__(self, model: Path) -> None:
        """Load ``model``, an ONNX file.

        :raises ModelMissing: there is no such file, or it is no such model.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                model.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
            names = {value.name for value in self._session.get_inputs()}
        except Exception as error:
            raise ModelMissing(f"The Silero VAD model {model} cannot be loaded: {error}") from error
        if names != {"input", "h", "c"}:
            raise ModelMissing(f"{model} is not the Silero VAD model that this adapter knows.")
        self.reset()

    def reset(self) -> None:
        """Forget what was heard."""
        self._h = np.zeros((1, 1, _STATE_SIZE), np.float32)
        self._c = np.zeros_like(self._h)
        self._pending = np.zeros(_CONTEXT_SAMPLES, np.float32)

    def push(self, samples: Samples) -> list[float]:
        """The probabilities of the frames that ``samples`` (16 kHz) complete.

        :raises SensesError: the model failed.
        """
        self._pending = np.concatenate([self._pending, samples.astype(np.float32, copy=False)])
        found: list[float] = []
        while len(self._pending) >= _CONTEXT_SAMPLES + FRAME_SAMPLES:
            frame = self._pending[None, : _CONTEXT_SAMPLES + FRAME_SAMPLES]
            try:
                probability, self._h, self._c = self._session.run(
                    None, {"input": frame, "h": self._h, "c": self._c}
                )
            except Exception as error:
                raise SensesError(f"Silero VAD failed: {error}") from error
            found.append(float(probability.ravel()[0]))
            if found[-1] < _NO_VOICE:
                self._h, self._c = self._h * np.float32(_FADE), self._c * np.float32(_FADE)
            self._pending = self._pending[FRAME_SAMPLES:]
        return found


class SileroVad:
    """Implements ``VoiceActivityDetector`` on 16 kHz chunks.

    A voice starts when the probability passes ``threshold`` in two frames of three (one alone is a
    click), and stops when it has stayed under ``release`` for ``hangover`` seconds.
    """

    def __init__(
        self,
        model: Path,
        *,
        threshold: float = 0.5,
        release: float = 0.35,
        hangover: float = 0.1,
    ) -> None:
        """:raises ModelMissing: the model cannot be loaded."""
        self._probability = SpeechProbability(model)
        self._threshold = threshold
        self._release = release
        self._hangover_frames = max(1, round(hangover * SPEECH_RATE_HZ / FRAME_SAMPLES))
        self._start: int | None = None
        self._frames = 0
        self._recent: deque[bool] = deque(maxlen=3)
        self._quiet_frames = 0
        self._speaking = False

    @property
    def speaking(self) -> bool:
        """A voice has started and not yet stopped."""
        return self._speaking

    def push(self, chunk: AudioChunk) -> list[SpeechStarted | SpeechStopped]:
        """Hear ``chunk`` (mono, 16 kHz, following the last one without a gap).

        :raises SensesError: the model failed.
        """
        if chunk.rate_hz != SPEECH_RATE_HZ:
            raise SensesError(f"Silero VAD hears {SPEECH_RATE_HZ} Hz, not {chunk.rate_hz} Hz.")
        if self._start is None:
            self._start = chunk.start
        events: list[SpeechStarted | SpeechStopped] = []
        for probability in self._probability.push(chunk.samples):
            self._frames += 1
            event = self._judge(probability)
            if event is not None:
                events.append(event)
        return events

    def _judge(self, probability: float) -> SpeechStarted | SpeechStopped | None:
        self._recent.append(probability > self._threshold)
        if not self._speaking:
            if sum(self._recent) < 2:
                return None
            first = len(self._recent) - list(self._recent).index(True)
            self._speaking = True
            self._quiet_frames = 0
            return SpeechStarted(at=self._time(0), since=self._time(first))
        self._quiet_frames = self._quiet_frames + 1 if probability < self._release else 0
        if self._quiet_frames < self._hangover_frames:
            return None
        self._speaking = False
        self._recent.clear()
        return SpeechStopped(at=self._time(0), since=self._time(self._quiet_frames))

    def _time(self, frames_ago: int) -> MediaTime:
        assert self._start is not None
        frames = max(0, self._frames - frames_ago)
        return from_samples(self._start + frames * FRAME_SAMPLES, SPEECH_RATE_HZ)
