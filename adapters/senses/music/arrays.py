"""The names of the arrays that the parts of the analysis hand to each other, and a queue of rows.

Conventions: time runs along axis 0. Instants inside the analysis are counted in whole frames or
samples since the passage began, never in seconds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Rows"]

Floats = NDArray[np.float32]


class Rows:
    """A queue of rows that keep the numbers they had when they came in.

    ``start`` is the number of the oldest row kept, ``end`` that of the next one to come.
    """

    def __init__(self, *, width: int | None = None, start: int = 0) -> None:
        shape = (0,) if width is None else (0, width)
        self._rows: Floats = np.zeros(shape, dtype=np.float32)
        self.start = start

    @property
    def end(self) -> int:
        return self.start + len(self._rows)

    def push(self, rows: Floats) -> None:
        self._rows = np.concatenate((self._rows, rows.astype(np.float32, copy=False)))

    def get(self, first: int, last: int) -> Floats:
        """Rows ``first`` up to, not including, ``last``. Rows that are not there are left out."""
        return self._rows[max(first - self.start, 0) : max(last - self.start, 0)]

    def drop(self, before: int) -> None:
        """Forget the rows before number ``before``."""
        gone = min(max(before - self.start, 0), len(self._rows))
        if gone:
            self._rows = self._rows[gone:].copy()
            self.start += gone
