"""What the networks have to be told of a portrait: where to crop, how open eyes and mouth are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from maestra.ports.errors import FaceError, ModelMissing

from .geometry import LANDMARKS_203, Crop, Points, eye_ratios, lip_ratio, moved, two_points

if TYPE_CHECKING:
    from maestra.ports.audio import Picture

    from ..portrait import Contour, Eye, Mesh

__all__ = ["Features", "Landmarker"]

_LANDMARK_SIDE = 224


@frozen(kw_only=True, eq=False)
class Features:
    """A face in a picture.

    ``points`` ``(n, 2)`` are those that say how large it is: brows to chin. ``axis`` ``(2, 2)`` is
    the middle between the eyes, and that of the mouth. The ratios are how open its left eye, its
    right eye and its mouth are, in terms of their widths.
    """

    points: Points
    axis: Points
    eyes: tuple[float, float]
    lips: float

    @classmethod
    def of_mesh(cls, mesh: Mesh) -> Features:
        """By the contours of a mesh."""
        brows = [*mesh.left_brow, *mesh.right_brow]
        top = min(y for _, y in brows)
        eyes = (mesh.left_eye, mesh.right_eye)
        corners = np.array([mesh.outer_upper_lip[0], mesh.outer_upper_lip[-1]])
        between = np.mean([_around(eye).mean(axis=0) for eye in eyes], axis=0)
        # The oval goes up to the hair; what the crop's size is reckoned by ends at the brows.
        below = [point for point in mesh.oval if point[1] >= top]
        opening = np.subtract(_middle(mesh.inner_upper_lip), _middle(mesh.inner_lower_lip))
        width = np.linalg.norm(corners[0] - corners[1])
        left, right = (_openness(eye) for eye in eyes)
        return cls(
            points=np.array([*below, *brows, *mesh.outer_lower_lip, mesh.nose_tip]),
            axis=np.stack([between, corners.mean(axis=0)]),
            eyes=(left, right),
            lips=float(np.linalg.norm(opening) / width),
        )

    @classmethod
    def of_landmarks(cls, points: Points) -> Features:
        """By 203 landmarks."""
        return cls(
            points=points, axis=two_points(points), eyes=eye_ratios(points), lips=lip_ratio(points)
        )

    def crop(self) -> Crop:
        """The square that the networks see."""
        return Crop.around(self.points, self.axis)


def _middle(contour: Contour) -> Points:
    return np.array(contour[len(contour) // 2])


def _around(eye: Eye) -> Points:
    """An eye's outer and inner corner, and the middles of its lids."""
    return np.array([eye.upper[0], _middle(eye.upper), eye.upper[-1], _middle(eye.lower)])


def _openness(eye: Eye) -> float:
    one, above, other, below = _around(eye)
    return float(np.linalg.norm(above - below) / (np.linalg.norm(one - other) + 1e-6))


class Landmarker:
    """The published network that finds 203 landmarks of a face whose place is about known."""

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise ModelMissing(f"There is no landmark network at {model}.")
        import onnxruntime

        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(model), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own errors have no common root
            raise ModelMissing(f"The landmark network {model.name} can't be read.") from error

    def find(self, picture: Picture, about: Features) -> Features:
        """The face in ``picture`` that is ``about`` there.

        :raises FaceError: the network fails.
        """
        crop = Crop.around(about.points, about.axis, scale=1.5, raised=0.1)
        seen = crop.cut(picture, _LANDMARK_SIDE).astype(np.float32).transpose(2, 0, 1)[None] / 255
        try:
            found = self._session.run(None, {"input": seen})[2]
        except Exception as error:
            raise FaceError("The landmark network failed on the portrait.") from error
        points = np.asarray(found, np.float32).reshape(LANDMARKS_203, 2) * _LANDMARK_SIDE
        return Features.of_landmarks(moved(points, crop.inverse(_LANDMARK_SIDE)))
