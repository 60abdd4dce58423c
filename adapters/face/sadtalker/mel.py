"""The mel spectrogram that SadTalker listens to, and which part of it each picture hears.

16 kHz; frames of 50 ms every 12.5 ms; 80 bands on Slaney's scale, 55 to 7600 Hz; -4 … 4. Source:
the conventions of Wav2Lip (K. R. Prajwal et al., 2020) with the short-time spectrum of librosa:
frames are centred, and padded with zeros at the ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Indices = NDArray[np.int64]

__all__ = ["BANDS", "HOP", "RATE_HZ", "WINDOW", "first_frame", "mel", "windows"]

RATE_HZ = 16_000
HOP = 200
"""Samples between frames: 80 frames a second."""

BANDS = 80
WINDOW = 16
"""Frames that a picture hears."""

_FFT = 800
_LOWEST_HZ, _HIGHEST_HZ = 55.0, 7600.0
_PRE_EMPHASIS = 0.97
_FRAMES_PER_PICTURE = 80 / 25


def _slaney(hz: Floats | float) -> Floats:
    """Slaney's mel scale: linear to 1 kHz, logarithmic above."""
    hz = np.asarray(hz, np.float64)
    step = np.log(6.4) / 27
    return np.where(hz < 1000, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1000) / 1000) / step)


def _slaney_hz(value: Floats) -> Floats:
    step = np.log(6.4) / 27
    return np.where(value < 15, value * 200 / 3, 1000 * np.exp(step * (value - 15)))


def _filters() -> Floats:
    """Triangles of equal area, ``(bands, bins)``."""
    edges = _slaney_hz(np.linspace(_slaney(_LOWEST_HZ), _slaney(_HIGHEST_HZ), BANDS + 2))
    bins = np.fft.rfftfreq(_FFT, 1 / RATE_HZ)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    # The published features were made with filters that were rounded so.
    rounded = (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)
    return rounded.astype(np.float64)


_FILTERS = _filters()
_HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FFT) / _FFT)


def mel(sound: Floats, *, padded: bool = True) -> Floats:
    """The mel spectrogram of ``sound`` (mono, ``RATE_HZ``), ``(frames, BANDS)``.

    :param padded: the first frame is around the first sample, and there are
        ``1 + samples // HOP``. Otherwise the first frame begins with the second sample, since the
        first only sharpens it, and there are as many as are whole.
    """
    known = np.asarray(sound, np.float64)
    sharpened = known[1:] - _PRE_EMPHASIS * known[:-1]
    if padded:
        sharpened = np.pad(np.concatenate([known[:1], sharpened]), _FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(sharpened, _FFT)[::HOP]
    spectrum = np.abs(np.fft.rfft(frames * _HANN, axis=1))
    level = 20 * np.log10(np.maximum(1e-5, spectrum @ _FILTERS.T)) - 20
    return np.clip(8 * (level + 100) / 100 - 4, -4, 4)


def first_frame(picture: int) -> int:
    """The number of the first mel frame that ``picture`` hears; negative for the first two."""
    return int(_FRAMES_PER_PICTURE * (picture - 2))


def windows(pictures: int, frames: int) -> Indices:
    """The mel frames that each of the first ``pictures`` hears, ``(pictures, WINDOW)``; those that
    would lie outside the ``frames`` there are stay at the end."""
    first = np.array([first_frame(picture) for picture in range(pictures)], np.int64)
    heard: Indices = np.clip(first[:, None] + np.arange(WINDOW), 0, frames - 1)
    return heard
