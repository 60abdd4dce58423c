"""Models that fail for a while: each spell is told once, and survived."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from attrs import define, field

__all__ = ["OnceASpell"]

_Found = TypeVar("_Found")

_WELL_AFTER = 500
"""Calls in a row that must succeed before a spell is over: 5 s of the ear's blocks, 10 s of chunks.
A model is not asked at every call, so a few that succeed say nothing."""


@define
class OnceASpell:
    """Calls what a model of somebody else's does, which may raise anything.

    :param tell: is told of the first failure of each spell.
    """

    tell: Callable[[Exception], None]
    _well: int = field(default=_WELL_AFTER, init=False)

    def call(self, listen: Callable[[], Sequence[_Found]]) -> Sequence[_Found]:
        """What ``listen`` finds: nothing where it fails."""
        try:
            found = listen()
        except Exception as error:
            if self._well >= _WELL_AFTER:
                self.tell(error)
            self._well = 0
            return ()
        self._well += 1
        return found
