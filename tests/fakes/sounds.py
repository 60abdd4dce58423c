"""Made sounds for the ear: notes, noise, and the spoken lines of ``data/lines``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

__all__ = ["hum", "line", "melody", "noise", "silence"]

Sound = NDArray[np.float32]

_LINES = Path(__file__).parent.parent / "data" / "lines"


def silence(seconds: float, rate: int = 16_000) -> Sound:
    return np.zeros(round(seconds * rate), np.float32)


def hum(seconds: float, rate: int = 16_000) -> Sound:
    """A quiet room, -70 dBFS."""
    return noise(seconds, 3e-4, rate)


def noise(seconds: float, level: float, rate: int = 16_000) -> Sound:
    rng = np.random.default_rng(5)
    return (rng.standard_normal(round(seconds * rate)) * level).astype(np.float32)


def melody(seconds: float, rate: int = 16_000) -> Sound:
    """Two plucked notes a second, up and down a scale, each with eight partials."""
    out = np.zeros(round(seconds * rate))
    for i, midi in enumerate([60, 62, 64, 65, 67, 65, 64, 62] * int(seconds)):
        begin = i * rate // 2
        if begin >= len(out):
            break
        t = np.arange(len(out) - begin) / rate
        f0 = 440.0 * 2 ** ((midi - 69) / 12)
        for k in range(1, 9):
            out[begin:] += 0.1 / k * np.sin(2 * np.pi * k * f0 * t) * np.exp(-(2 + k) * t)
    return out.astype(np.float32)


@cache
def line(name: str, rate: int = 16_000) -> Sound:
    """The spoken line ``name``."""
    with av.open(str(_LINES / f"{name}.flac")) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        parts = [
            part.to_ndarray().ravel()
            for frame in [*container.decode(audio=0), None]
            for part in resampler.resample(frame)
        ]
    sound = np.concatenate(parts).astype(np.float32)
    sound.setflags(write=False)
    return sound
