"""Another face, at another size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import evolve

from maestra.ports.face import Face, Frame

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["Scaled"]


class Scaled:
    """``face``, ``size`` by ``size`` pixels."""

    def __init__(self, face: Face, size: int) -> None:
        self._face = face
        self.width = self.height = size
        self.frame_rate = face.frame_rate
        self.look_ahead = face.look_ahead
        self.warm_up = face.warm_up

    def push(self, speech: Samples, *, last: bool = False) -> None:
        """See ``maestra.ports.face.Face``."""
        self._face.push(speech, last=last)

    def clear(self, number: int) -> None:
        """See ``maestra.ports.face.Face``."""
        self._face.clear(number)

    def frames(self) -> Iterator[Frame]:
        """See ``maestra.ports.face.Face``."""
        import cv2
        import numpy as np

        size = (self.width, self.height)
        for frame in self._face.frames():
            how = cv2.INTER_AREA if self.width < frame.picture.shape[1] else cv2.INTER_CUBIC
            scaled = cv2.resize(frame.picture, size, interpolation=how)
            picture = np.ascontiguousarray(scaled, dtype=np.uint8)
            yield evolve(frame, picture=picture)
