"""Spectra of a sound that is still coming in, as madmom's networks want them.

Conventions
-----------
44.1 kHz sound; sample 0 is the first of the passage, before it there is silence. Frame ``n``
stands for sample ``441 n`` (100 frames per second). A *centred* frame lies around that sample, a
*past* frame ends with it. Spectra are magnitudes without the Nyquist bin, (frames, size / 2).

Source: the front ends of madmom (``madmom.features``), whose filter banks are used here.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from .arrays import Floats, Rows
from .madmom_models import import_madmom

__all__ = ["HOP", "RATE_HZ", "FilterBank", "magnitudes", "with_rises"]

RATE_HZ = 44_100
HOP = 441


def magnitudes(
    sound: Rows, first: int, last: int, size: int, *, past: bool = False, hop: int = HOP
) -> Floats:
    """The magnitude spectra of frames ``first`` up to, not including, ``last``.

    All the samples must be in ``sound``.
    """
    before = size - 1 if past else size // 2
    begin = first * hop - before
    samples = sound.get(begin, (last - 1) * hop - before + size)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    window = np.hanning(size).astype(np.float32)
    result: Floats = np.abs(fft.rfft(frames * window, axis=1)[:, : size // 2])
    return result


class FilterBank:
    """Bands of a spectrum, on a logarithmic scale of level.

    :param size: samples per frame.
    :param kind: madmom's class of filter bank, ``LogarithmicFilterbank`` or ``MelFilterbank``.
    """

    def __init__(self, size: int, kind: str, **settings: object) -> None:
        bins = np.fft.fftfreq(size, 1 / RATE_HZ)[: size // 2]
        bank = getattr(import_madmom("audio.filters"), kind)(bins, **settings)
        self._bank: Floats = np.asarray(bank, dtype=np.float32)

    @property
    def bands(self) -> int:
        return int(self._bank.shape[1])

    def __call__(self, spectra: Floats) -> Floats:
        """(frames, bins) → (frames, bands)"""
        return spectra @ self._bank


def with_rises(bands: Floats, lag: int) -> Floats:
    """Beside each frame, by how much each band rose over ``lag`` frames (falls count as zero).

    The first ``lag`` rows are only looked back at: (lag + frames, bands) → (frames, 2 bands)
    """
    now = bands[lag:]
    return np.hstack((now, np.maximum(now - bands[: len(now)], 0)))
