"""Another face, at another size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestra.ports.face import Face, FrameRequest

if TYPE_CHECKING:
    from maestra.ports.audio import Picture

__all__ = ["Scaled"]


class Scaled:
    """``face``, ``size`` by ``size`` pixels."""

    def __init__(self, face: Face, size: int) -> None:
        self._face = face
        self.width = self.height = size

    def render(self, request: FrameRequest) -> Picture:
        """See ``maestra.ports.face.Face``."""
        import cv2
        import numpy as np

        picture = self._face.render(request)
        how = cv2.INTER_AREA if self.width < picture.shape[1] else cv2.INTER_CUBIC
        scaled = cv2.resize(picture, (self.width, self.height), interpolation=how)
        return np.ascontiguousarray(scaled, dtype=np.uint8)
