"""Mel-frequency cepstral coefficients as SyncNet was trained on them.

16 kHz; windows of 25 ms every 10 ms, not tapered; pre-emphasis 0.97; 26 triangles on the mel scale
of D. O'Shaughnessy (1987), 0 to 8 kHz; 13 coefficients, liftered by 22, the first of them the
logarithm of the window's energy. Source: the documented defaults of python_speech_features 0.6
(J. Lyons).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["RATE_HZ", "mfcc"]

RATE_HZ = 16_000
_WINDOW, _STEP, _FFT = 400, 160, 512
_FILTERS, _COEFFICIENTS, _LIFTER = 26, 13, 22
_PRE_EMPHASIS = 0.97


def _triangles() -> Floats:
    """``(filters, bins)``; their edges are rounded down to bins."""
    top = 2595 * np.log10(1 + RATE_HZ / 2 / 700)
    hz = 700 * (10 ** (np.linspace(0, top, _FILTERS + 2) / 2595) - 1)
    edges = np.floor((_FFT + 1) * hz / RATE_HZ)
    bins = np.arange(_FFT // 2 + 1)
    low, middle, high = (edges[i : i + _FILTERS, None] for i in range(3))
    rising = (bins >= low) & (bins < middle)
    falling = (bins >= middle) & (bins < high)
    return np.where(rising, (bins - low) / np.maximum(middle - low, 1), 0) + np.where(
        falling, (high - bins) / np.maximum(high - middle, 1), 0
    )


def _cosines() -> Floats:
    """The orthonormal cosine transform (type II), ``(filters, coefficients)``, and the lifter."""
    n = np.arange(_FILTERS)[:, None] + 0.5
    k = np.arange(_COEFFICIENTS)
    table = np.cos(np.pi * k * n / _FILTERS) * np.sqrt(2 / _FILTERS)
    table[:, 0] /= np.sqrt(2)
    lifted: Floats = table * (1 + _LIFTER / 2 * np.sin(np.pi * k / _LIFTER))
    return lifted


_TRIANGLES = _triangles()
_COSINES = _cosines()


def mfcc(sound: NDArray[np.int16]) -> Floats:
    """The coefficients of ``sound`` (mono, ``RATE_HZ``), ``(13, windows)``: 100 windows a second,
    the last one filled up with zeros."""
    known = sound.astype(np.float64)
    sharpened = np.append(known[:1], known[1:] - _PRE_EMPHASIS * known[:-1])
    count = 1 + max(0, -(-(len(known) - _WINDOW) // _STEP))
    padded = np.pad(sharpened, (0, (count - 1) * _STEP + _WINDOW - len(known)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_STEP]
    power = np.abs(np.fft.rfft(windows, _FFT, axis=1)) ** 2 / _FFT
    least = np.finfo(np.float64).eps  # stands for nought, which has no logarithm
    bands = power @ _TRIANGLES.T
    found = np.log(np.where(bands == 0, least, bands)) @ _COSINES
    energy = power.sum(axis=1)
    found[:, 0] = np.log(np.where(energy == 0, least, energy))
    coefficients: Floats = found.T
    return coefficients
