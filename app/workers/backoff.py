"""How long to wait before something that broke is tried again."""

from __future__ import annotations

from attrs import define, field

__all__ = ["BackOff"]


@define
class BackOff:
    """Waits (s) that double from ``shortest`` to ``longest``, until ``reset``."""

    shortest: float
    longest: float
    _next: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._next = self.shortest

    def next(self) -> float:
        """The next wait."""
        wait, self._next = self._next, min(self.longest, 2 * self._next)
        return wait

    def reset(self) -> None:
        """It worked: begin again from the shortest."""
        self._next = self.shortest
