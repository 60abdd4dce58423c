"""A face for tests: a picture whose pixels tell its index and whether it speaks."""

from __future__ import annotations

import threading

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from maestra.ports.face import FrameRequest

__all__ = ["FakeFace"]


@define
class FakeFace:
    """Remembers the ``asked`` requests. Prime it with ``error`` to raise, ``hangs`` to block until
    ``release`` is set."""

    width: int = 4
    height: int = 2
    error: Exception | None = None
    hangs: bool = False
    release: threading.Event = field(factory=threading.Event)
    asked: list[FrameRequest] = field(factory=list)

    def render(self, request: FrameRequest) -> NDArray[np.uint8]:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        if self.hangs:
            self.release.wait(30)
        picture = np.zeros((self.height, self.width, 3), np.uint8)
        picture[0, 0, 0] = request.index % 256
        picture[0, 0, 1] = request.speaking
        return picture
