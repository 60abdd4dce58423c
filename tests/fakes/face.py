"""A face for tests: a picture whose pixels tell its number and whether it speaks."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maestra.adapters.face.streaming import Moment, StreamingFace

__all__ = ["FakeFace"]


class FakeFace(StreamingFace):
    """Remembers the ``asked`` moments. Prime it with ``error`` to raise, ``hangs`` to block until
    ``release`` is set."""

    def __init__(
        self,
        *,
        error: Exception | None = None,
        look_back: float = 0.2,
        look_ahead: float = 0.2,
        most_at_once: int = 1,
    ) -> None:
        super().__init__(look_back=look_back, look_ahead=look_ahead, most_at_once=most_at_once)
        self.width, self.height = 4, 2
        self.error = error
        self.hangs = False
        self.release = threading.Event()
        self.asked: list[Moment] = []

    def draw(self, moments: Sequence[Moment]) -> Sequence[NDArray[np.uint8]]:
        self.asked.extend(moments)
        if self.error is not None:
            raise self.error
        if self.hangs:
            self.release.wait(30)
        return [self._picture(moment) for moment in moments]

    def _picture(self, moment: Moment) -> NDArray[np.uint8]:
        picture = np.zeros((self.height * 3 // 2, self.width), np.uint8)  # as it is, when shown
        picture[0, 0] = moment.number % 256
        picture[0, 1] = moment.speaking
        return picture
