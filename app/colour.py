"""Pictures as encoders want them.

RGB is ``(height, width, 3)``. I420 is ``(height * 3 // 2, width)``: the planes Y, U and V one after
the other, U and V of half the width and height, in ITU-R BT.601's limited range. It is half as much
to pass on, and what is passed on in it need not be converted again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from maestra.ports.audio import Picture

__all__ = ["Colour", "i420_shape", "rgb"]


def i420_shape(width: int, height: int) -> tuple[int, int]:
    """Of a picture in I420; width and height are even."""
    return height * 3 // 2, width


class Colour:
    """Converts pictures, one at a time."""

    def __init__(self) -> None:
        # Who only asks for a shape need not load FFmpeg.
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()

    def i420(self, picture: Picture) -> Picture:
        """``picture`` in I420, whatever it is in."""
        if picture.ndim == 2:
            return picture
        from av import VideoFrame

        frame = VideoFrame.from_ndarray(picture, format="rgb24")
        made = self._reformatter.reformat(frame, format="yuv420p", threads=1).to_ndarray()
        return np.asarray(made, np.uint8)


def rgb(picture: Picture) -> Picture:
    """``picture`` in RGB, whatever it is in."""
    if picture.ndim == 3:
        return picture
    from av import VideoFrame

    frame = VideoFrame.from_ndarray(picture, format="yuv420p")
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
