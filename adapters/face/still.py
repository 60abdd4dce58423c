"""A still: the portrait, unmoved. What is shown when every face has failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .portrait import read_picture
from .streaming import Moment, StreamingFace

if TYPE_CHECKING:
    from maestra.ports.audio import Picture

__all__ = ["Still"]


class Still(StreamingFace):
    """``portrait`` at ``size`` by ``size`` pixels.

    :raises FaceError: the portrait cannot be read.
    """

    def __init__(self, portrait: Path, *, size: int) -> None:
        super().__init__(look_back=0.0, look_ahead=0.0)
        import cv2
        import numpy as np

        picture = read_picture(portrait)
        side = min(picture.shape[:2])
        top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
        square = picture[top : top + side, left : left + side]
        how = cv2.INTER_AREA if size < side else cv2.INTER_CUBIC
        self._picture = np.ascontiguousarray(
            cv2.resize(square, (size, size), interpolation=how), dtype=np.uint8
        )
        self.width = self.height = size

    def draw(self, moments: Sequence[Moment]) -> Sequence[Picture]:
        """The same picture, whatever is said."""
        return [self._picture] * len(moments)
