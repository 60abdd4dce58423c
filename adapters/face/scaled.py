"""Another face, at another size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import evolve

from maestra.ports.face import Face, Frame

if TYPE_CHECKING:
    from maestra.ports.audio import Picture, Samples

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
        for frame in self._face.frames():
            yield evolve(frame, picture=self._scaled(frame.picture))

    def _scaled(self, picture: Picture) -> Picture:
        import cv2
        import numpy as np

        how = cv2.INTER_AREA if self.width < self._face.width else cv2.INTER_CUBIC

        def resized(plane: Picture, width: int, height: int) -> Picture:
            scaled = cv2.resize(plane, (width, height), interpolation=how)
            return np.ascontiguousarray(scaled, dtype=np.uint8)

        if picture.ndim == 3:
            return resized(picture, self.width, self.height)
        height, width = self._face.height, self._face.width
        luma, chromas = picture[:height], picture[height:].reshape(2, height // 2, width // 2)
        planes = [resized(luma, self.width, self.height)]
        planes += [resized(chroma, self.width // 2, self.height // 2) for chroma in chromas]
        return np.concatenate([plane.reshape(-1) for plane in planes]).reshape(-1, self.width)
