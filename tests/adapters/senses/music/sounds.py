"""Sounds made of sines and noise. Mono float32 at 44.1 kHz, the same every time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["RATE", "Sound", "line", "noise", "silence", "speech_like", "tone"]

RATE = 44_100
Sound = NDArray[np.float32]


def silence(seconds: float) -> Sound:
    return np.zeros(round(seconds * RATE), dtype=np.float32)


def noise(seconds: float, level_db: float) -> Sound:
    """White noise, ``level_db`` dBFS (RMS)."""
    drawn = np.random.default_rng(1).normal(0, 10 ** (level_db / 20), round(seconds * RATE))
    return drawn.astype(np.float32)


def tone(
    midi: float,
    seconds: float,
    *,
    decay: float = 0.0,
    vibrato_cents: float = 0.0,
    attack: float = 0.01,
    amplitude: float = 0.2,
) -> Sound:
    """Eight partials. ``decay`` is in e-foldings per second; vibrato turns six times a second."""
    t = np.arange(round(seconds * RATE)) / RATE
    cents = vibrato_cents * np.sin(2 * np.pi * 6 * t)
    hz = 440 * 2 ** ((midi - 69) / 12 + cents / 1200)
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    wave = np.sum([np.sin(h * phase) / h**1.3 for h in range(1, 9)], axis=0)
    envelope = np.minimum(t / attack, 1) * np.exp(-decay * t)
    envelope *= np.minimum((t[-1] - t) / 0.02, 1).clip(0)
    return np.asarray(amplitude * wave * envelope, dtype=np.float32)


def line(notes: Iterable[tuple[float, Sound]], seconds: float) -> Sound:
    """Each sound from its instant (s) on, in a very quiet room."""
    whole = noise(seconds, -75)
    for at, sound in notes:
        first = round(at * RATE)
        whole[first : first + len(sound)] += sound[: len(whole) - first]
    return whole


def speech_like(seconds: float) -> Sound:
    """A voice whose pitch always glides, in syllables, through two moving formants."""
    t = np.arange(round(seconds * RATE)) / RATE
    hz = 130 * 2 ** ((5 * np.sin(2 * np.pi * 2.3 * t) + 4 * np.sin(2 * np.pi * 3.7 * t + 1)) / 12)
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    centres: Sequence[NDArray[np.float64]] = (
        500 + 250 * np.sin(2 * np.pi * 3.1 * t),
        1500 + 600 * np.sin(2 * np.pi * 2.1 * t + 2),
    )
    wave = np.zeros_like(t)
    for h in range(1, 25):
        gain = np.sum([np.exp(-(((h * hz - centre) / 180) ** 2)) for centre in centres], axis=0)
        wave += gain * np.sin(h * phase)
    syllables = np.clip(np.sin(2 * np.pi * 4.2 * t) + 0.4, 0, 1)
    breath = noise(seconds, -45) * np.clip(np.sin(2 * np.pi * 1.3 * t), 0, 1)
    return np.asarray(0.1 * wave * syllables + breath, dtype=np.float32)
