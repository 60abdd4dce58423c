"""Whether a picture's sound can be heard: what can't be does not open a mouth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from maestra.ports.audio import FRAME_RATE, PLAYOUT_RATE_HZ

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["REACH", "audible", "only_audible"]

REACH = 0.12
"""Seconds around a picture in which sound opens the mouth; less with the distance."""

_SHUT_DB, _OPEN_DB = -52.0, -40.0
_HOP = PLAYOUT_RATE_HZ // 100


def audible(sound: Samples, look_back: float, *, frame_rate: int = FRAME_RATE) -> float:
    """How far the level of a moment's ``sound`` lets the mouth open, 0 shut … 1, whatever a model
    makes of it: 0 up to -52 dB full scale (RMS of 10 ms), 1 from -40 dB on.

    Sound within ``REACH`` before and after the picture counts too, the less the further away, so
    that a mouth opens before the first syllable and isn't shut in every gap between two.

    :param look_back: seconds of ``sound`` before the picture's own.
    """
    length, reach = PLAYOUT_RATE_HZ // frame_rate, round(REACH * PLAYOUT_RATE_HZ)
    own = round(look_back * PLAYOUT_RATE_HZ)
    begin = max(0, own - reach)
    near = sound[begin : own + length + reach]
    near = near[: len(near) // _HOP * _HOP].reshape(-1, _HOP)
    if not near.size:
        return 0.0
    level = 10 * np.log10(np.mean(np.square(near, dtype=np.float64), axis=1) + 1e-12)
    loud = np.clip((level - _SHUT_DB) / (_OPEN_DB - _SHUT_DB), 0.0, 1.0)
    middle = (np.arange(len(near)) + 0.5) * _HOP + begin - own - length / 2
    away = np.maximum(np.abs(middle) - length / 2, 0.0) / reach
    return float(np.max(loud * np.clip(1 - away, 0.0, 1.0)))


def only_audible(sound: Samples) -> Samples:
    """``sound`` with zeros for every 10 ms of it that ``audible`` takes for silence: a model makes
    the same of what can't be heard then as of nothing."""
    parts = np.pad(sound, (0, -len(sound) % _HOP)).reshape(-1, _HOP)
    level = 10 * np.log10(np.mean(np.square(parts, dtype=np.float64), axis=1) + 1e-12)
    heard: Samples = (parts * (level > _SHUT_DB)[:, None]).reshape(-1)[: len(sound)]
    return heard
