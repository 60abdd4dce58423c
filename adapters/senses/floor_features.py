"""What the floor detector looks at, twenty times a second.

Three views of the same sound: YAMNet's log-mel picture (which knows what a thing sounds like but
needs a while), Silero's probability of a voice (quick, and deaf to instruments, though not to
singing), and the steadiness of pitch (what tells singing from talking).

YAMNet's published front end: 16 kHz, windows of 25 ms every 10 ms, 512-point FFT magnitudes, 64 mel
bands from 125 to 7500 Hz, log(mel + 0.001), patches of 96 frames.
Source: https://github.com/tensorflow/models/tree/master/research/audioset/yamnet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

import numpy as np
from attrs import frozen

from maestra.ports.audio import SPEECH_RATE_HZ
from maestra.ports.errors import ModelMissing, SensesError

from .silero import FRAME_SAMPLES, SpeechProbability

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maestra.ports.audio import Samples

    Array = NDArray[np.float32]

__all__ = ["BLOCK_SAMPLES", "FEATURE_NAMES", "FloorFeatures", "Look", "Yamnet", "log_mel"]

BLOCK_SAMPLES = 800
"""One set of features for each 800 samples at 16 kHz (50 ms)."""

_WINDOW, _HOP, _FFT, _BANDS, _PATCH = 400, 160, 512, 64, 96

# The scales and zero points that the int8 model was quantised with; they stand in its file.
_INPUT_SCALE, _INPUT_ZERO = 0.04793788492679596, 144
_OUTPUT_SCALE, _OUTPUT_ZERO = 0.7565417289733887, 190

_SPEECH_CLASSES = (0, 1, 2, 3, 4, 5, 6, 9, 10, 12)
_SINGING_CLASSES = (24, 25, 26, 27, 28, 29, 30, 31, 32, 249, 250)
_MUSIC_CLASSES = tuple(range(132, 277))
_GROUPED = {*_SPEECH_CLASSES, *_SINGING_CLASSES, *_MUSIC_CLASSES}
_OTHER_CLASSES = tuple(i for i in range(494) if i not in _GROUPED)
"""494 is YAMNet's own "silence"; what follows it says what the room or the recording is like."""

_PITCH_WINDOW = 1024
_LOWEST_HZ, _HIGHEST_HZ = 70.0, 1200.0

_SHORT_FRAMES = 32
"""The short look of YAMNet: 0.32 s, repeated to fill its patch."""

_LEAST_FRAMES = 8
"""It never looks at less than 80 ms."""

_ACTIVE_DBFS = -55.0

_LONG_REST = 20
"""After so many quiet blocks nobody asks YAMNet what silence sounds like."""

_NOTHING = (-10.0, -18.0, -14.0, -14.0) * 2
"""What it would say."""

FEATURE_NAMES = (
    "short_speech",
    "short_singing",
    "short_music",
    "short_other",
    "long_speech",
    "long_singing",
    "long_music",
    "long_other",
    "voice_now",
    "voice_long",
    "voice_peak",
    "harmonicity",
    "pitch_steadiness",
    "pitch_steadiness_long",
    "flux",
    "age",
    "level",
)


def _mel_weights() -> Array:
    def mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(1127.0 * np.log1p(hz / 700.0))

    bins = mel(np.linspace(0.0, SPEECH_RATE_HZ / 2, _FFT // 2 + 1))[:, None]
    low, high = mel(np.array([125.0, 7500.0]))
    edges = np.linspace(low, high, _BANDS + 2)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling))
    weights[0] = 0.0
    return np.asarray(weights, np.float32)


_MEL_WEIGHTS = _mel_weights()
_HANN = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)).astype(np.float32)
_PITCH_HANN = np.hanning(_PITCH_WINDOW).astype(np.float32)


def log_mel(samples: Samples) -> Array:
    """YAMNet's picture of 16 kHz ``samples``, ``(frames, 64)``, one frame per 10 ms."""
    if len(samples) < _WINDOW:
        return np.empty((0, _BANDS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    magnitudes = np.abs(np.fft.rfft(frames * _HANN, _FFT)).astype(np.float32)
    return np.asarray(np.log(magnitudes @ _MEL_WEIGHTS + 0.001), np.float32)


class Yamnet:
    """YAMNet, int8, from the ZIP that the ``sead`` distribution carries."""

    def __init__(self, model: Path) -> None:
        """:raises ModelMissing: there is no such file, or it is no such model."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            with ZipFile(model) as bundle:
                parts = {name.rpartition("/")[2]: name for name in bundle.namelist()}
                graph, weights = (bundle.read(parts[n]) for n in ("model.onnx", "model.data"))
            options.add_external_initializers_from_files_in_memory(
                ["model.data"], [weights], [len(weights)]
            )
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
            shape = self._session.get_inputs()[0].shape
        except (OSError, BadZipFile, KeyError) as error:
            raise ModelMissing(f"The YAMNet model {model} cannot be read: {error}") from error
        except Exception as error:
            raise ModelMissing(f"The YAMNet model {model} cannot be loaded: {error}") from error
        if shape != [1, 1, _PATCH, _BANDS]:
            raise ModelMissing(f"{model} is not the YAMNet model that this adapter knows.")

    def logits(self, frames: Array) -> Array:
        """The scores of the 521 AudioSet classes for the log-mel ``frames``, repeated to fill the
        patch where they are fewer than 96.

        :raises SensesError: the model failed.
        """
        patch = np.resize(frames, (_PATCH, _BANDS))
        quantised = np.clip(np.rint(patch / _INPUT_SCALE + _INPUT_ZERO), 0, 255).astype(np.uint8)
        try:
            (scores,) = self._session.run(None, {"audio": quantised[None, None]})
        except Exception as error:
            raise SensesError(f"YAMNet failed: {error}") from error
        return np.asarray((scores[0].astype(np.float32) - _OUTPUT_ZERO) * _OUTPUT_SCALE)


def _grouped(logits: Array) -> tuple[float, float, float, float]:
    """The best scores among speech, singing, music and everything else."""
    return (
        float(logits[list(_SPEECH_CLASSES)].max()),
        float(logits[list(_SINGING_CLASSES)].max()),
        float(logits[list(_MUSIC_CLASSES)].max()),
        float(logits[list(_OTHER_CLASSES)].max()),
    )


def _log_odds(probability: float) -> float:
    p = min(max(probability, 0.001), 0.999)
    return float(np.log(p / (1.0 - p)))


@frozen
class Look:
    """``features`` of a block, in the order of ``FEATURE_NAMES``. ``scores`` is what YAMNet makes
    of the second that ends with it: the logits of its classes; ``None`` where the sound is younger,
    or nothing sounds."""

    features: Array
    scores: Array | None


class FloorFeatures:
    """A stream of 16 kHz samples in, a look per block of 50 ms out.

    The looks do not depend on how the samples are cut into pushes.
    """

    def __init__(self, yamnet: Yamnet, speech: SpeechProbability) -> None:
        self._yamnet = yamnet
        self._speech = speech
        self._pending = np.empty(0, np.float32)
        self._recent = np.zeros(_PITCH_WINDOW + BLOCK_SAMPLES, np.float32)
        self._frames = np.full((_PATCH, _BANDS), np.log(0.001), np.float32)
        self._voice = [0.0] * 15
        self._pitch = np.zeros(40, np.float32)  # semitones, 25 ms apart; 0 where there is none
        self._harmonic = np.zeros(40, np.float32)
        self._age = 0
        self._rest = 1000

    def push(self, samples: Samples) -> Iterator[Look]:
        """What is seen of the blocks that ``samples`` complete.

        :raises SensesError: a model failed.
        """
        self._pending = np.concatenate([self._pending, samples.astype(np.float32, copy=False)])
        while len(self._pending) >= BLOCK_SAMPLES:
            block, self._pending = np.split(self._pending, [BLOCK_SAMPLES])
            yield self._look(block)

    def _look(self, block: Samples) -> Look:
        self._recent = np.concatenate([self._recent, block])[-len(self._recent) :]
        fresh = log_mel(self._recent[-(BLOCK_SAMPLES + _WINDOW - _HOP) :])
        self._frames = np.concatenate([self._frames, fresh])[-_PATCH:]
        self._voice = (self._voice + self._speech.push(block))[-15:]
        for end in (BLOCK_SAMPLES // 2, 0):
            window = self._recent[len(self._recent) - end - _PITCH_WINDOW :][:_PITCH_WINDOW]
            pitch, strength = _pitch(window)
            self._pitch = np.append(self._pitch[1:], np.float32(pitch))
            self._harmonic = np.append(self._harmonic[1:], np.float32(strength))

        level = float(10 * np.log10(np.mean(np.square(block, dtype=np.float64)) + 1e-10))
        if level < _ACTIVE_DBFS:
            self._rest += 1
        else:
            # After a real rest the past tells nothing about what begins now.
            self._age = 1 if self._rest > 6 else self._age + 1
            self._rest = 0
        since_onset = max(_LEAST_FRAMES, min(_PATCH, 5 * (self._age + self._rest)))
        whole: Array | None = None
        if self._rest > _LONG_REST:
            scores = _NOTHING
        else:
            short = self._frames[-min(_SHORT_FRAMES, since_onset) :]
            long = self._yamnet.logits(self._frames[-since_onset:])
            scores = (*_grouped(self._yamnet.logits(short)), *_grouped(long))
            if since_onset == _PATCH:
                whole = long
        features = [
            *scores,
            _log_odds(float(np.mean(self._voice[-3:]))),
            _log_odds(float(np.mean(self._voice))),
            _log_odds(max(self._voice[-8:])),
            float(np.mean(self._harmonic[-6:])),
            _steadiness(self._pitch[-8:]),
            _steadiness_of_runs(self._pitch),
            float(np.mean(np.abs(np.diff(self._frames[-16:], axis=0)))),
            min(self._age, 20) / 20.0,
            max(-70.0, level) / 10.0,
        ]
        return Look(np.array(features, np.float32), whole)


def _pitch(window: Samples) -> tuple[float, float]:
    """The pitch in semitones above 27.5 Hz (0 if there is none) and how periodic it is, 0 to 1.

    The highest peak of the normalised autocorrelation, preferring the shorter of two equal periods.
    """
    tapered = (window - window.mean()) * _PITCH_HANN
    energy = float(np.dot(tapered, tapered))
    if energy < 1e-5:
        return 0.0, 0.0
    spectrum = np.fft.rfft(tapered, 2 * _PITCH_WINDOW)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:_PITCH_WINDOW] / energy / _TAPER
    first, last = int(SPEECH_RATE_HZ / _HIGHEST_HZ), int(SPEECH_RATE_HZ / _LOWEST_HZ)
    span = correlation[first : last + 1]
    peaks = 1 + np.flatnonzero((span[1:-1] > span[:-2]) & (span[1:-1] >= span[2:]))
    if not len(peaks):
        return 0.0, 0.0
    strength = float(span[peaks].max())
    if strength < 0.5:
        return 0.0, max(0.0, strength)
    peak = int(peaks[np.argmax(span[peaks] > 0.9 * strength)])
    before, here, after = span[peak - 1 : peak + 2]
    bend = before - 2 * here + after
    period = first + peak + (0.5 * (before - after) / bend if bend else 0.0)
    return float(12 * np.log2(SPEECH_RATE_HZ / period / 27.5)), min(1.0, strength)


_TAPER = np.fft.irfft(np.abs(np.fft.rfft(_PITCH_HANN, 2 * _PITCH_WINDOW)) ** 2)[:_PITCH_WINDOW]
_TAPER /= _TAPER[0]


def _steadiness(pitch: Array) -> float:
    """1 if the pitch stood still, 0 if it moved a semitone or there was none in a third of it."""
    sounding = pitch[pitch > 0]
    if 3 * len(sounding) < 2 * len(pitch):
        return 0.0
    return max(0.0, 1.0 - 2.0 * float(np.median(np.abs(sounding - np.median(sounding)))))


def _steadiness_of_runs(pitch: Array) -> float:
    """The share of the last second spent in runs of 150 ms or more that stay within a semitone."""
    steady = run = 0
    reference = 0.0
    for value in pitch:
        if value > 0 and abs(value - reference) < 0.5:
            run += 1
        else:
            steady += run if run >= 6 else 0
            run = 1 if value > 0 else 0
        reference = float(value)
    steady += run if run >= 6 else 0
    return steady / len(pitch)


assert BLOCK_SAMPLES % _HOP == 0 and FRAME_SAMPLES < BLOCK_SAMPLES
