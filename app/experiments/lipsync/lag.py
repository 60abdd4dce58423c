"""The lip lag: how long after the mouth the sound comes, where there is no SyncNet.

The mouth's opening in each picture is laid beside the loudness of the sound; where they go together
best, there is the lag. It says nothing of whether the lips make the right sounds, and is no LSE.

Conventions
-----------

``lip_lag`` is sound minus picture in seconds, positive when the sound is late. Slow changes (over a
second) are taken off both. A mouth opens before it sounds and a speaker's loudness follows its
opening only roughly: on real speakers the lag is tens of milliseconds, and one sentence says it to
no better than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from ...demo.latencies import audible_spans
from ..bench.measures import loudness, motif
from .film import RATE, Film

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["LAGS", "LipLag", "Span", "lip_lag", "motions"]

LAGS = np.arange(-0.4, 0.4005, 0.005)
"""The lags that are tried, in seconds."""

_SHORTEST = 1.0
_ALIKE = 0.4
"""The correlation below which a span says nothing of the lag."""


@frozen(kw_only=True, eq=False)
class Span:
    """One stretch of speech: when (s), its lag (s), and the ``correlation`` at each of ``LAGS``."""

    begin: float
    end: float
    lag: float
    correlation: Floats

    @property
    def likeness(self) -> float:
        """How well mouth and loudness go together at the lag."""
        return float(self.correlation.max())

    @property
    def is_sure(self) -> bool:
        return self.likeness >= _ALIKE and abs(self.lag) < float(LAGS[-1])


@frozen(kw_only=True, eq=False)
class LipLag:
    """The median of the sure spans' lags; ``None`` if none is sure."""

    spans: Sequence[Span]

    @property
    def seconds(self) -> float | None:
        sure = [span.lag for span in self.spans if span.is_sure]
        return median(sure) if sure else None


def motions(patches: NDArray[np.float32], film: Film) -> Floats:
    """How open the mouth is in each picture, in no unit, from its pixels ``(pictures, pixels)``:
    how far they are along the direction in which they move together."""
    loud = loudness(film.sound, film.rate_hz, film.times + 0.5 / RATE)
    opening: Floats = patches.astype(np.float64) @ motif(patches, loud)
    return opening


def lip_lag(opening: Floats, film: Film) -> LipLag:
    """The lag in every stretch of speech that is long enough.

    :param opening: how open the mouth is in each picture, in any unit.
    """
    spans = []
    for begin, end in _speech(film):
        inside = np.flatnonzero((film.times >= begin - 0.2) & (film.times <= end + 0.2))
        if len(inside) < RATE * _SHORTEST:
            continue
        correlation = _correlation(opening[inside], film, film.times[inside])
        best = int(correlation.argmax())
        spans.append(
            Span(
                begin=begin,
                end=end,
                lag=float(LAGS[best] + (LAGS[1] - LAGS[0]) * _vertex(correlation, best)),
                correlation=correlation,
            )
        )
    return LipLag(spans=spans)


def _speech(film: Film) -> list[tuple[float, float]]:
    """Stretches of speech; where the background never is silent, the whole film."""
    spans = [
        (begin, min(end, film.count / RATE))
        for begin, end in audible_spans(film.sound, film.rate_hz)
        if end - begin >= _SHORTEST
    ]
    return spans or [(0.0, film.count / RATE)]


def _correlation(opening: Floats, film: Film, times: Floats) -> Floats:
    mouth = _quick(opening)
    found = []
    for lag in LAGS:
        loud = _quick(loudness(film.sound, film.rate_hz, times + 0.5 / RATE + lag))
        size = float(np.sqrt((mouth @ mouth) * (loud @ loud)))
        found.append(float(mouth @ loud) / size if size > 0 else 0.0)
    return np.array(found)


def _quick(values: Floats) -> Floats:
    """``values`` without what changes slower than a second."""
    from scipy.ndimage import uniform_filter1d

    quick: Floats = values - uniform_filter1d(values, RATE, mode="nearest")
    return quick


def _vertex(values: Floats, best: int) -> float:
    """Where the parabola through ``best`` and its neighbours peaks, in steps from ``best``."""
    if not 0 < best < len(values) - 1:
        return 0.0
    before, at, after = values[best - 1 : best + 2]
    bend = before - 2 * at + after
    return float((before - after) / (2 * bend)) if bend < 0 else 0.0
