"""From sound to the shape of a mouth.

Conventions
-----------

Sound is mono float32 at 48 kHz; a moment carries 0.2 s before and after its own 40 ms, so every
figure here is read from sound on both sides of the picture, and nothing lags. All figures are
0 … 1 unless they say otherwise.

How
---

The short-time spectrum (25 ms windows every 10 ms) is split into broad bands. Loudness, against the
level the voice usually has, says how far the mouth may open; the first formant (energy between 500
and 1100 Hz against that below) how far the jaw really falls; the second (1600 to 3000 Hz against
700 to 1400 Hz) whether the lips are spread, as in "ee", or round, as in "oo"; energy above 3.5 kHz
is a fricative, which shows teeth behind barely parted lips; and energy that is nearly all below
500 Hz is a nasal or a stop's closure, for which the lips meet.

Source: the acoustic correlates of vowels in G. Fant, *Acoustic Theory of Speech Production* (1960).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from maestra.ports.audio import FRAME_RATE, PLAYOUT_RATE_HZ

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maestra.ports.audio import Samples

__all__ = ["LOOK_AHEAD", "LOOK_BACK", "Articulation", "articulate"]

LOOK_BACK = 0.2
"""Seconds of sound before a picture's own 40 ms that are read."""

LOOK_AHEAD = 0.2
"""Seconds of sound after them."""

_DECIMATION = 3
_RATE_HZ = PLAYOUT_RATE_HZ // _DECIMATION
_WINDOW = 400
_HOP = 160
_FFT = 512
_SAMPLES = round((LOOK_BACK + 1 / FRAME_RATE + LOOK_AHEAD) * PLAYOUT_RATE_HZ)

_FREQUENCY = np.fft.rfftfreq(_FFT, 1 / _RATE_HZ)
_HANN = np.hanning(_WINDOW).astype(np.float32)
_BANDS = np.stack(
    [
        ((_FREQUENCY >= low) & (_FREQUENCY < high)).astype(np.float32)
        for low, high in (
            (100, 500),
            (500, 1100),
            (700, 1400),
            (1600, 3000),
            (3500, 8000),
            (500, 3500),
        )
    ],
    axis=1,
)  # (bins, bands)

# Where the mouth is read, from the middle of the picture. The performer's filters delay it by less
# than half a picture: measured over nine speakers, it comes 3 to 13 ms after the sound.
_LEAD = 0.0
_REACH = 0.045

_FLOOR_DB = -90.0
_RANGE_DB = 24.0

_INAUDIBLE = 0.001
"""What never goes beyond this, -60 dB full scale, is silence: lips meet for a sound, not for the
noise of a line."""


@frozen(kw_only=True)
class Articulation:
    """The mouth that a picture's sound asks for.

    ``level_db`` is the loudness in dB full scale around the picture; ``open`` the opening, ``wide``
    the spread (-1 round … 1 spread), ``hiss`` how much of a fricative it is, ``closure`` how firmly
    the lips are shut.
    """

    level_db: float
    open: float
    wide: float
    hiss: float
    closure: float


def _ramp(x: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    ramp: NDArray[np.float32] = np.clip((x - low) / (high - low), 0.0, 1.0)
    return ramp


def _hop_times() -> NDArray[np.float32]:
    """The middle of every window, in seconds from the middle of the picture."""
    count = 1 + (_SAMPLES // _DECIMATION - _WINDOW) // _HOP
    middle = (np.arange(count) * _HOP + _WINDOW / 2) / _RATE_HZ
    times: NDArray[np.float32] = (middle - LOOK_BACK - 0.5 / FRAME_RATE).astype(np.float32)
    return times


_TIMES = _hop_times()


def _weights(centre: float, reach: float) -> NDArray[np.float32]:
    w = np.clip(1 - np.abs(_TIMES - centre) / reach, 0.0, None)
    weights: NDArray[np.float32] = (w / w.sum()).astype(np.float32)
    return weights


_AT_LIPS = _weights(_LEAD, _REACH)
_AT_STRESS = _weights(0.06, 0.12)
_HOPS = np.flatnonzero(_AT_LIPS + _AT_STRESS)  # the others count for nothing
_AT_LIPS, _AT_STRESS = _AT_LIPS[_HOPS], _AT_STRESS[_HOPS]


def articulate(sound: Samples, reference_db: float) -> Articulation:
    """Read the mouth off ``sound``; ``reference_db`` is how loud the voice's vowels usually are.

    Sound of another length than a moment's is padded with silence or cut at its end.
    """
    samples = np.nan_to_num(np.asarray(sound, np.float32).reshape(-1)[:_SAMPLES])
    if len(samples) < _SAMPLES:
        samples = np.pad(samples, (0, _SAMPLES - len(samples)))
    if np.abs(samples).max() < _INAUDIBLE:
        return Articulation(level_db=_FLOOR_DB, open=0.0, wide=0.0, hiss=0.0, closure=0.0)
    low = samples.reshape(-1, _DECIMATION).mean(axis=1)
    frames = np.lib.stride_tricks.sliding_window_view(low, _WINDOW)[_HOPS * _HOP]
    power = np.abs(np.fft.rfft(frames * _HANN, _FFT)) ** 2 / (_WINDOW * 0.375)
    total = power.sum(axis=1) * 2 / _FFT + 1e-12
    low_band, first, back, front, hiss_band, body = (power.astype(np.float32) @ _BANDS).T + 1e-9
    level = (10 * np.log10(total)).astype(np.float32)

    loud = _ramp(level, reference_db - _RANGE_DB, reference_db + 2.0)
    fall = _ramp(10 * np.log10(first / low_band), -13.0, 3.0)
    f2 = np.sqrt(front) / (np.sqrt(front) + np.sqrt(back))
    high = np.sqrt(hiss_band) / np.sqrt(hiss_band + body + low_band)
    hiss = _ramp(high, 0.45, 0.85) * _ramp(level, reference_db - 32, reference_db - 16)
    nasal = _ramp(-10 * np.log10(body / low_band), 13.0, 21.0)
    shut = np.maximum(nasal, 1 - _ramp(level, reference_db - _RANGE_DB, reference_db - 16))
    opening = loud * (0.45 + 0.55 * fall) * (1 - 0.75 * hiss) * (1 - 0.9 * nasal)
    wide = (2 * _ramp(f2, 0.16, 0.5) - 1) * loud * (1 - hiss)
    # An open "ah" has a low second formant too, and is not round.
    wide = np.where(wide < 0, wide * (1 - 0.75 * fall), wide)

    return Articulation(
        level_db=float(level @ _AT_STRESS),
        open=float(opening @ _AT_LIPS),
        wide=float(wide @ _AT_LIPS),
        hiss=float(hiss @ _AT_LIPS),
        closure=float(shut @ _AT_LIPS),
    )
