"""When the painted mouth shows: by how loud the sound is, whatever the model makes of silence."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from attrs import frozen

from ..motion import audible
from ..streaming import REMEMBERED

if TYPE_CHECKING:
    from ..streaming import Moment

__all__ = ["Gate", "Shown"]

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
        self._look_back = look_back
        self._states: OrderedDict[int, Shown] = OrderedDict()

    def step(self, moment: Moment) -> Shown:
        """What is shown at ``moment``, which follows the last one before it."""
        before = self._before(moment.number)
        wanted = audible(moment.sound, self._look_back) if moment.speaking else 0.0
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
