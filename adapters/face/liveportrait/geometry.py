"""Where in a picture the face is that the networks see, and how it is put back there.

Pixels are x to the right and y down. What OpenCV resamples here it resamples as the published
program does, to the bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from maestra.ports.errors import FaceError

if TYPE_CHECKING:
    from maestra.ports.audio import Picture

__all__ = [
    "CROP_SIDE",
    "LANDMARKS_203",
    "Crop",
    "eye_ratios",
    "lip_ratio",
    "moved",
    "paste",
    "placed_mask",
    "soft_mask",
    "two_points",
]

CROP_SIDE = 512
"""Of the crop that is drawn; the networks see it at half that."""

Points = NDArray[Any]


# --- landmarks -----------------------------------------------------------------


@frozen(kw_only=True)
class _Numbers:
    """Which landmarks of a set are around the eyes and at the corners of the mouth."""

    left_eye: tuple[int, ...]
    right_eye: tuple[int, ...]
    mouth: tuple[int, int]


LANDMARKS_203 = 203
_SETS = {
    LANDMARKS_203: _Numbers(left_eye=(0, 6, 12, 18), right_eye=(24, 30, 36, 42), mouth=(48, 66)),
    106: _Numbers(left_eye=(33, 35, 40, 39), right_eye=(87, 89, 94, 93), mouth=(52, 61)),
    101: _Numbers(left_eye=(39, 42, 45, 48), right_eye=(51, 54, 57, 60), mouth=(75, 81)),
    68: _Numbers(left_eye=(36, 39), right_eye=(42, 45), mouth=(48, 54)),
    5: _Numbers(left_eye=(0,), right_eye=(1,), mouth=(3, 4)),
}


def two_points(points: Points, *, lips: bool = True) -> Points:
    """``(2, 2)``: between the eyes and between the corners of the mouth; or without ``lips`` the
    left eye, and a point as far below it as the right eye is beside it.

    :param points: a set of 203, 106, 101, 68 or 5 landmarks.
    """
    numbers = _SETS[len(points)]
    left = points[list(numbers.left_eye)].mean(axis=0)
    right = points[list(numbers.right_eye)].mean(axis=0)
    if lips:
        return np.stack([(left + right) / 2, points[list(numbers.mouth)].mean(axis=0)])
    across = right - left
    return np.stack([left, left + np.array([-across[1], across[0]])])


def _ratio(points: Points, above: int, below: int, one: int, other: int) -> float:
    opening = np.linalg.norm(points[above] - points[below])
    return float(opening / (np.linalg.norm(points[one] - points[other]) + 1e-6))


def eye_ratios(points: Points) -> tuple[float, float]:
    """How open the left and the right eye are, in terms of their widths, by 203 landmarks."""
    return _ratio(points, 6, 18, 0, 12), _ratio(points, 30, 42, 24, 36)


def lip_ratio(points: Points) -> float:
    """How open the mouth is, in terms of its width, by 203 landmarks."""
    return _ratio(points, 90, 102, 48, 66)


# --- the crop --------------------------------------------------------------------


@frozen(kw_only=True)
class Crop:
    """A square in a picture: its centre, its side, and the angle in radians by which it is turned
    clockwise."""

    centre: tuple[float, float]
    side: float
    angle: float

    @classmethod
    def around(
        cls,
        points: Points,
        axis: Points,
        *,
        scale: float = 2.3,
        raised: float = 0.125,
    ) -> Crop:
        """The square around a face.

        :param points: the landmarks that it is to be around.
        :param axis: between the eyes, and at the mouth: ``two_points``.
        :param scale: its side, in terms of the longer side of the box around ``points``.
        :param raised: how far it lies above their middle, in terms of its side.
        :raises FaceError: the points have no size.
        """
        down = axis[1] - axis[0]
        length = float(np.linalg.norm(down))
        down = down / length if length > 1e-3 else np.array([0.0, 1.0])
        across = np.array([down[1], -down[0]])
        frame = np.stack([across, down])
        mean = points.mean(axis=0)
        projected = (points - mean) @ frame.T
        low, high = projected.min(axis=0), projected.max(axis=0)
        side = float((high - low).max() * scale)
        if not side > 1:
            raise FaceError("The face in the portrait is too small to be moved.")
        centre = mean + (low + high) / 2 @ frame - down * raised * side
        angle = math.acos(min(max(float(across[0]), -1.0), 1.0))
        return cls(
            centre=(float(centre[0]), float(centre[1])),
            side=side,
            angle=-angle if across[1] < 0 else angle,
        )

    def upright(self) -> Crop:
        """The same square, not turned."""
        return evolve(self, angle=0.0)

    def scaled(self, factor: float) -> Crop:
        """The same square in the same picture drawn ``factor`` times as large."""
        # The middle of the first pixel is at (0, 0) here, and its corner is what stays in place.
        x, y = ((place + 0.5) * factor - 0.5 for place in self.centre)
        return evolve(self, centre=(x, y), side=self.side * factor)

    def matrix(self, side: int = CROP_SIDE) -> NDArray[np.float32]:
        """``(3, 3)``, from the picture to the crop drawn ``side`` pixels wide."""
        # In single precision, as the published program has it: a rounding that differs would move
        # a crop by a thousandth of a pixel, and with it values that OpenCV rounds.
        s = np.float32(side / np.float32(self.side))
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        x, y = np.float32(self.centre[0]), np.float32(self.centre[1])
        middle = side / 2
        return np.array(
            [
                [s * cos, s * sin, middle - s * (cos * x + sin * y)],
                [-s * sin, s * cos, middle - s * (cos * y - sin * x)],
                [0, 0, 1],
            ],
            np.float32,
        )

    def inverse(self, side: int = CROP_SIDE) -> NDArray[np.float32]:
        """``(3, 3)``, from the crop to the picture."""
        found: NDArray[np.float32] = np.linalg.inv(self.matrix(side))
        return found

    def cut(self, picture: Picture, side: int = CROP_SIDE) -> Picture:
        """The crop, ``(side, side, 3)``; black where the picture ends."""
        import cv2

        found: Picture = cv2.warpAffine(
            picture, self.matrix(side)[:2], (side, side), flags=cv2.INTER_LINEAR
        )
        return found


def moved(points: Points, matrix: NDArray[np.float32]) -> Points:
    """``points`` through a ``(3, 3)`` matrix of a crop."""
    found: Points = points @ matrix[:2, :2].T + matrix[:2, 2]
    return found


# --- putting it back -------------------------------------------------------------


def soft_mask(side: int = CROP_SIDE, border: int = 16) -> Picture:
    """``(side, side)``: 255 inside, falling to 0 over the ``border``, corners rounded."""
    index = np.arange(side)
    short = np.clip(border - np.minimum(index, side - index), 0, None)
    away = np.hypot(short[:, None], short[None, :]) / border
    made: Picture = np.floor(255 * np.clip(1 - away, 0, 1)).astype(np.uint8)
    return made


def placed_mask(crop: Crop, size: tuple[int, int]) -> NDArray[np.float32]:
    """``(height, width)`` in 0 … 1: how much of a picture of ``size`` (width, height) is the
    crop's."""
    import cv2

    mask = cv2.warpAffine(soft_mask(), crop.inverse()[:2], size, flags=cv2.INTER_LINEAR)
    made: NDArray[np.float32] = mask.astype(np.float32) / 255
    return made


def paste(drawn: Picture, picture: Picture, crop: Crop, mask: NDArray[np.float32]) -> Picture:
    """``picture`` with what was drawn in its ``crop``, ``(512, 512, 3)``, softly put in.

    :param mask: ``placed_mask`` for that picture.
    """
    import cv2

    height, width = picture.shape[:2]
    laid = cv2.warpAffine(drawn, crop.inverse()[:2], (width, height), flags=cv2.INTER_LINEAR)
    weight = mask[..., None]
    made: Picture = np.clip(weight * laid + (1 - weight) * picture, 0, 255).astype(np.uint8)
    return made
