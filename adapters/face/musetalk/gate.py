"""When the painted mouth shows: by how loud the sound is, whatever the model makes of silence."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from maestra.ports.audio import PLAYOUT_RATE_HZ, SLICE_SAMPLES

from ..streaming import REMEMBERED

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

    from ..streaming import Moment

__all__ = ["Gate", "Shown"]

_SHUT_DB, _OPEN_DB = -52.0, -40.0
_HOP = PLAYOUT_RATE_HZ // 100
_REACH = 0.12
"""Seconds around a picture in which sound opens the mouth; less with the distance."""

_OPENING, _SHUTTING = 1 / 5, 1 / 6
"""By how much from picture to picture, at most."""


@frozen(kw_only=True)
class Shown:
    """``share`` 0 … 1: how much of the painted mouth is seen. ``spoken``: how many pictures of this
    speech came before; -1 while nothing is said."""

    share: float = 0.0
    spoken: int = -1


class Gate:
    """What is shown at each moment. A moment's number may step back: the states of the last
    ``REMEMBERED`` pictures are kept.

    :param look_back: seconds of sound before a moment's picture.
    """

    def __init__(self, look_back: float) -> None:
        self._begin = round(look_back * PLAYOUT_RATE_HZ)
        self._states: OrderedDict[int, Shown] = OrderedDict()

    def step(self, moment: Moment) -> Shown:
        """What is shown at ``moment``, which follows the last one before it."""
        before = self._before(moment.number)
        wanted = self._wanted(moment.sound) if moment.speaking else 0.0
        share = min(max(wanted, before.share - _SHUTTING), before.share + _OPENING)
        shown = Shown(
            share=max(share, 0.0) if share > 1e-6 else 0.0,
            spoken=before.spoken + 1 if moment.speaking else -1,
        )
        self._states[moment.number] = shown
        while len(self._states) > REMEMBERED:
            self._states.popitem(last=False)
        return shown

    def _before(self, number: int) -> Shown:
        """The state to go on from; those from ``number`` on are forgotten."""
        last = Shown()
        while self._states:
            newest = next(reversed(self._states))
            if newest < number:
                return self._states[newest]
            last = self._states.pop(newest)
        return last

    def _wanted(self, sound: Samples) -> float:
        reach = round(_REACH * PLAYOUT_RATE_HZ)
        begin = max(0, self._begin - reach)
        near = sound[begin : self._begin + SLICE_SAMPLES + reach]
        near = near[: len(near) // _HOP * _HOP].reshape(-1, _HOP)
        level = 10 * np.log10(np.mean(np.square(near, dtype=np.float64), axis=1) + 1e-12)
        loud = np.clip((level - _SHUT_DB) / (_OPEN_DB - _SHUT_DB), 0, 1)
        middle = (np.arange(len(near)) + 0.5) * _HOP + begin - self._begin - SLICE_SAMPLES / 2
        away = np.maximum(np.abs(middle) - SLICE_SAMPLES / 2, 0) / reach
        return float(np.max(loud * np.clip(1 - away, 0, 1)))
