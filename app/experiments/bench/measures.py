"""What is measured of a recorded stream: frame rate, lip-sync, drift. Pure: arrays in, figures out.

A lag is *sound minus picture*: positive when the sound comes after the picture it belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...demo.latencies import Recording, audible_spans, measure

__all__ = [
    "Lag",
    "distinct",
    "drift",
    "frames_by_second",
    "latencies",
    "loudness",
    "motif",
    "mouth_lag",
    "silenced_for_good",
]

Floats = NDArray[np.float64]

_REACH = 0.3
_STEP = 0.002
_RATE = 25


# --- time ---------------------------------------------------------------------


def latencies(
    events: Iterable[Mapping[str, Any]], recording: Recording, published: float, role: str
) -> list[tuple[float, float]]:
    """Of each event of ``role``: when it was (s), and what it took (s); infinite if nothing came of
    it that should have, and left out if there was nobody to interrupt.

    A follow-up that came while the teacher was still speaking, or was asked after the conversation
    had ended, cannot be told from here: the caller passes only those that count.
    """
    chosen = [event for event in events if event["role"] == role]
    found = measure(chosen, recording, published)
    barge_in = role.startswith("barge_in")
    return [
        (one.at, math.inf if one.seconds is None else one.seconds)
        for one in found
        if not (barge_in and one.seconds is None)
    ]


def silenced_for_good(
    start: float, end: float, heard: Sequence[tuple[float, float]], grace: float = 1.0
) -> bool:
    """Whether the teacher said nothing from ``grace`` s after ``start`` until ``end`` (s)."""
    return not any(begin < end and finish > start + grace for begin, finish in heard)


# --- frames -------------------------------------------------------------------


def frames_by_second(times: Sequence[float]) -> NDArray[np.int64]:
    """How many of ``times`` (s) fall into each whole second from the first on.

    Times of a stream are rounded to milliseconds, so a frame belongs to the second it is nearest
    to, to half a frame. The last second, which is not whole, is left out.
    """
    if len(times) < 2:
        return np.zeros(0, np.int64)
    seconds = np.floor(np.asarray(times) - times[0] + 0.5 / _RATE).astype(np.int64)
    counts: NDArray[np.int64] = np.bincount(seconds)[:-1]
    return counts


def distinct(times: Sequence[float], changes: Sequence[float], least: float) -> list[float]:
    """The times of the pictures that differ from the one before by more than ``least``."""
    return [time for time, change in zip(times, changes, strict=True) if change > least]


# --- lips ---------------------------------------------------------------------


@frozen(kw_only=True)
class Lag:
    """``seconds`` of sound minus picture, and how well the two go together there (correlation)."""

    seconds: float
    likeness: float


def loudness(
    samples: NDArray[np.float32], rate_hz: int, times: Floats, window: float = 0.04
) -> Floats:
    """Loudness (dB over -50 dBFS, at least 0) of ``window`` s about each of ``times``."""
    if not len(times):
        return np.zeros(0)
    begin = max(0, math.floor((float(times.min()) - window) * rate_hz))
    near = samples[begin : max(begin, math.ceil((float(times.max()) + window) * rate_hz))]
    energy = np.concatenate([[0.0], np.cumsum(near.astype(np.float64) ** 2)])

    def upto(at: Floats) -> Floats:
        place = np.clip(np.rint(at * rate_hz).astype(np.int64) - begin, 0, len(energy) - 1)
        return np.asarray(energy[place])

    power = (upto(times + window / 2) - upto(times - window / 2)) / (window * rate_hz)
    return np.maximum(10 * np.log10(np.maximum(power, 0.0) + 1e-12) + 50.0, 0.0)


def _flattened(values: Floats, seconds: float = 1.0) -> Floats:
    """``values`` (one a picture, along the first axis) without their slow changes."""
    size = 2 * round(seconds * _RATE / 2) + 1
    if len(values) < size:
        return np.asarray(values - values.mean(axis=0))
    padded = np.concatenate(
        [
            np.repeat(values[:1], size // 2, axis=0),
            values,
            np.repeat(values[-1:], size // 2, axis=0),
        ]
    )
    total = np.cumsum(np.concatenate([np.zeros_like(padded[:1]), padded]), axis=0)
    return np.asarray(values - (total[size:] - total[:-size]) / size)


def motif(patches: NDArray[np.float32], loud: Floats) -> NDArray[np.float64]:
    """How the mouth's pixels move together when it opens: the first principal component of
    ``patches`` (pictures, pixels), turned so that it grows with ``loud``."""
    moving = _flattened(patches.astype(np.float64))
    _, vectors = np.linalg.eigh(moving.T @ moving)
    found: NDArray[np.float64] = vectors[:, -1]
    sign = float(np.dot(moving @ found, _flattened(loud)))
    return found if sign >= 0 else -found


def mouth_lag(
    patches: NDArray[np.float32],
    opening: NDArray[np.float64],
    times: Floats,
    samples: NDArray[np.float32],
    rate_hz: int,
) -> Lag:
    """How long after the mouth the sound comes.

    :param patches: the mouth in each picture, (pictures, pixels).
    :param opening: see ``motif``.
    :param times: when each picture is shown (s into ``samples``).
    """
    mouth = _flattened(patches.astype(np.float64)) @ opening
    lags = np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
    middle = times + 0.5 / _RATE
    # All lags at once: the loudness is taken on a grid as fine as the lags.
    grid = np.arange(middle[0] - _REACH - _STEP, middle[-1] + _REACH + 2 * _STEP, _STEP)
    loud = loudness(samples, rate_hz, grid)
    likeness = np.array(
        [_likeness(mouth, _flattened(np.interp(middle + lag, grid, loud))) for lag in lags]
    )
    best = int(np.argmax(likeness))
    return Lag(
        seconds=float(lags[best] + _STEP * _vertex(likeness, best)),
        likeness=float(likeness[best]),
    )


def _likeness(a: Floats, b: Floats) -> float:
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else 0.0


def _vertex(values: Floats, best: int, reach: int = 10) -> float:
    """Where a parabola through the neighbours of ``best`` peaks, in steps from ``best``."""
    low, high = max(best - reach, 0), min(best + reach, len(values) - 1)
    if high - low < 2:
        return 0.0
    x = np.arange(low, high + 1) - best
    a, b, _ = np.polyfit(x, values[low : high + 1], 2)
    return float(np.clip(-b / (2 * a), -reach, reach)) if a < 0 else 0.0


def drift(
    at: Sequence[float], offsets: Sequence[float], over: float = 600.0
) -> tuple[float, float]:
    """By how much ``offsets``, taken ``at`` (s), change in ``over`` s, and its standard error.

    The median of all pairs' slopes: one wrong offset does not tilt it.
    """
    x, y = np.asarray(at, np.float64), np.asarray(offsets, np.float64)
    if len(x) < 3 or float(np.ptp(x)) <= 0:
        return math.nan, math.nan
    first, second = np.triu_indices(len(x), 1)
    apart = x[second] - x[first]
    far = apart > 0
    slope = float(np.median((y[second] - y[first])[far] / apart[far]))
    rest = y - np.median(y - slope * x) - slope * x
    error = float(np.sqrt(np.sum(rest**2) / (len(x) - 2) / np.sum((x - x.mean()) ** 2)))
    return slope * over, error * over


def heard(recording: Recording, published: float) -> list[tuple[float, float]]:
    """Where (s, of the lesson) the viewer heard the teacher."""
    return [
        (recording.heard_at(start) - published, recording.heard_at(end - 0.01) - published)
        for start, end in audible_spans(recording.samples, recording.rate_hz)
    ]
