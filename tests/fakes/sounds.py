"""Made sounds for the ear: notes, noise, and the spoken lines of ``data/lines``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from maestra.app.demo import LESSON

__all__ = ["demo", "hum", "line", "melody", "noise", "silence", "sung"]

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


def sung(seconds: float, rate: int = 16_000) -> Sound:
    """A trained voice that sings a vowel to each note, up and down a scale: a buzz with vibrato
    through the resonances (Hz, and how wide) of A, O, I and E."""
    vowels = (
        ((800, 80), (1200, 90), (2500, 120), (3300, 150)),
        ((500, 70), (900, 80), (2500, 120), (3300, 150)),
        ((300, 60), (2200, 100), (2900, 120), (3500, 150)),
        ((500, 70), (1800, 90), (2500, 120), (3400, 150)),
    )
    t = np.arange(round(0.8 * rate)) / rate
    swell = np.clip(t / 0.06, 0, 1) * np.clip((0.76 - t) / 0.06, 0, 1)
    vibrato = 0.3 * np.sin(2 * np.pi * 5.5 * t) * np.clip(t / 0.3, 0, 1)  # semitones
    notes: list[NDArray[np.float64]] = []
    while len(notes) * 0.8 < seconds:
        midi = (60, 62, 64, 65, 67, 65, 64, 62)[len(notes) % 8]
        f0 = 440.0 * 2 ** ((midi - 69 + vibrato) / 12)
        phase = 2 * np.pi * np.cumsum(f0) / rate
        note = np.zeros(len(t))
        for k in range(1, int(7600 / f0.mean())):
            gain = np.full(len(t), 0.002)
            for strength, (centre, width) in zip(
                (1.0, 0.6, 0.35, 0.25), vowels[len(notes) % 4], strict=True
            ):
                gain += strength / (1 + ((k * f0 - centre) / width) ** 2)
            note += gain / np.sqrt(k) * np.sin(k * phase)
        notes.append(note * swell)
    voice = np.concatenate(notes)[: round(seconds * rate)]
    sound: Sound = (0.3 * voice / np.abs(voice).max()).astype(np.float32)
    return sound + hum(seconds, rate)


def line(name: str, rate: int = 16_000) -> Sound:
    """The spoken line ``name``."""
    return _decoded(_LINES / f"{name}.flac", rate)


def demo(begin: float, end: float, rate: int = 16_000) -> Sound:
    """The demo lesson from ``begin`` to ``end`` seconds. Until the 33rd, a piano is played."""
    return _decoded(LESSON, rate)[round(begin * rate) : round(end * rate)]


@cache
def _decoded(path: Path, rate: int) -> Sound:
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        parts = [
            part.to_ndarray().ravel()
            for frame in [*container.decode(audio=0), None]
            for part in resampler.resample(frame)
        ]
    sound = np.concatenate(parts).astype(np.float32)
    sound.setflags(write=False)
    return sound
