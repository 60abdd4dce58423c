"""Where a portrait's face is cut out, how it is shown to the face model, and how it goes back.

Coordinates are those of a mesh: pixels, x right, y down, the middle of the first pixel (0.5, 0.5).
Sources: the crop is that of the FFHQ data set (T. Karras et al., 2019), not rotated; the alignment
is that of Y. Deng et al., *Accurate 3D Face Reconstruction* (2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maestra.ports.audio import Picture

    from ..portrait import Eye, Mesh

__all__ = ["Box", "aligned", "five_points", "paste_mask", "square_around"]

_ALIGNED = 224
_RESCALE = 102.0

_STANDARD = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032535, -0.04617932, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.2484662, -0.38128236, 0.22235769],
    ]
)
"""The mean face's eyes, nose tip and corners of the mouth, x right, y up, z forwards."""

_RAMP = 0.14
"""The soft edge of what is pasted, as a share of its side."""


class Box(NamedTuple):
    """A square in whole pixels."""

    left: int
    top: int
    side: int


def five_points(mesh: Mesh) -> NDArray[np.float64]:
    """The middles of the eyes (between their corners), the nose tip and the corners of the mouth,
    from the picture's left to its right, ``(5, 2)``."""

    def middle(eye: Eye) -> tuple[float, float]:
        (x0, y0), (x1, y1) = eye.upper[0], eye.upper[-1]
        return (x0 + x1) / 2, (y0 + y1) / 2

    lip = mesh.outer_upper_lip
    return np.array(
        [middle(mesh.left_eye), middle(mesh.right_eye), mesh.nose_tip, lip[0], lip[-1]], np.float64
    )


def square_around(points: NDArray[np.float64], size: int) -> Box:
    """The crop around the face whose ``five_points`` these are, within a picture of ``size``."""
    left, right, _, *mouth = points
    eyes = (left + right) / 2
    down = np.mean(mouth, axis=0) - eyes
    reach = max(2.0 * float(np.hypot(*(right - left))), 1.8 * float(np.hypot(*down)))
    centre = eyes + 0.1 * down
    side = min(round(2 * reach), size)
    x, y = (min(max(round(float(c) - side / 2), 0), size - side) for c in centre)
    return Box(x, y, side)


def aligned(picture: Picture, points: NDArray[np.float64]) -> Picture:
    """``picture`` scaled and cut, ``(224, 224, 3)``, so that its five ``points`` lie as the mean
    face's do, as near as a shift and a scale allow."""
    import cv2

    height, width = picture.shape[:2]
    up = np.stack([points[:, 0] - 0.5, height - 0.5 - points[:, 1]], axis=1)
    known = np.concatenate([_STANDARD, np.ones((5, 1))], axis=1)
    solved = np.linalg.lstsq(known, up, rcond=None)[0]  # (4, 2): a camera without perspective
    scale = _RESCALE / float(np.linalg.norm(solved[:3], axis=0).mean())
    shift_x, shift_y = solved[3]
    across, down = int(width * scale), int(height * scale)
    left = int(across / 2 - _ALIGNED / 2 + (shift_x - width / 2) * scale)
    top = int(down / 2 - _ALIGNED / 2 + (height / 2 - shift_y) * scale)
    resized = cv2.resize(picture, (across, down), interpolation=cv2.INTER_CUBIC)
    found = np.zeros((_ALIGNED, _ALIGNED, 3), np.uint8)  # black where the picture ends
    x, y = max(left, 0), max(top, 0)
    part = resized[y : top + _ALIGNED, x : left + _ALIGNED]
    found[y - top :, x - left :][: part.shape[0], : part.shape[1]] = part
    return found


def paste_mask(side: int) -> NDArray[np.float32]:
    """How much of a crop is seen when it goes back, ``(side, side, 1)``, 0 … 1: all of its middle,
    none of its border, and a smooth way between with round corners."""
    ramp = _RAMP * side
    at = np.arange(side) + 0.5
    inside = np.maximum(0, ramp - np.minimum(at, side - at))
    away = np.clip(1 - np.hypot(inside[:, None], inside) / ramp, 0, 1)
    mask: NDArray[np.float32] = (away * away * (3 - 2 * away)).astype(np.float32)[:, :, None]
    return mask
