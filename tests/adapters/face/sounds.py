"""Made speech sounds, and the moments and pictures that they are cut into."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from maestra.adapters.face.motion import LOOK_AHEAD, LOOK_BACK
from maestra.adapters.face.streaming import Moment
from maestra.ports.audio import PLAYOUT_RATE_HZ, SLICE_SAMPLES
from maestra.ports.face import Face

__all__ = ["drawn", "hiss", "moments", "silence", "vowel"]

Sound = NDArray[np.float32]


def silence(seconds: float) -> Sound:
    return np.zeros(round(seconds * PLAYOUT_RATE_HZ), np.float32)


def vowel(seconds: float, *formants_hz: float, rms: float = 0.1, pitch_hz: float = 125.0) -> Sound:
    """Harmonics of ``pitch_hz`` under the given resonances, with soft ends."""
    t = np.arange(round(seconds * PLAYOUT_RATE_HZ)) / PLAYOUT_RATE_HZ
    sound = np.zeros_like(t)
    for k in range(1, int(4000 / pitch_hz)):
        f = k * pitch_hz
        peaks = sum(1 / (1 + ((f - formant) / 90) ** 2) for formant in formants_hz)
        sound += (0.02 + peaks) / k**0.5 * np.sin(2 * np.pi * f * t + k * k)
    return _level(sound, rms)


def hiss(seconds: float, rms: float = 0.06) -> Sound:
    """As in "sss": noise above 4 kHz."""
    count = round(seconds * PLAYOUT_RATE_HZ)
    spectrum = np.fft.rfft(np.random.default_rng(3).standard_normal(count))
    f = np.fft.rfftfreq(count, 1 / PLAYOUT_RATE_HZ)
    spectrum[(f < 4000) | (f > 8000)] = 0
    return _level(np.fft.irfft(spectrum, count), rms)


def _level(sound: NDArray[np.float64], rms: float) -> Sound:
    ends = min(len(sound) // 4, PLAYOUT_RATE_HZ // 50)
    ramp = np.ones(len(sound))
    ramp[:ends] = np.linspace(0, 1, ends)
    ramp[len(sound) - ends :] = np.linspace(1, 0, ends)
    level = rms / np.sqrt((sound**2).mean())
    result: Sound = (sound * ramp * level).astype(np.float32)
    return result


def moments(*sounds: Sound, start: int = 0, speaking: bool = True) -> Iterator[Moment]:
    """One moment for each 40 ms of the sounds laid end to end, silence around them."""
    sound = np.concatenate(sounds)
    count = -(-len(sound) // SLICE_SAMPLES)
    back, ahead = round(LOOK_BACK * PLAYOUT_RATE_HZ), round(LOOK_AHEAD * PLAYOUT_RATE_HZ)
    padded = np.zeros(back + count * SLICE_SAMPLES + ahead, np.float32)
    padded[back : back + len(sound)] = sound
    for n in range(count):
        at = n * SLICE_SAMPLES
        yield Moment(
            number=start + n,
            sound=padded[at : at + back + SLICE_SAMPLES + ahead],
            speaking=speaking,
        )


def drawn(face: Face, *sounds: Sound, start: int = 0) -> list[NDArray[np.uint8]]:
    """The pictures of the sounds laid end to end, from picture ``start`` on."""
    sound = np.concatenate(sounds)
    face.clear(start)
    face.push(sound, last=True)
    return [frame.picture for frame in islice(face.frames(), -(-len(sound) // SLICE_SAMPLES))]
