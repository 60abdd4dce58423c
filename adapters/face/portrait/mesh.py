"""The face mesh: where a portrait's features are.

Conventions
-----------

A mesh is a handful of *contours* in pixels of the portrait, x to the right, y down, the middle of
the first pixel at (0.5, 0.5). Contours run from the picture's left to its right (the oval runs
round, either way), so "left" is always the picture's left, which is the person's right.

It is plain JSON (``format`` 1), so it can come from anywhere: from a landmark model, from a drawing
program, or from a person with a ruler::

    {"format": 1, "size": [512, 512],
     "oval": [[x, y], …],
     "left_eye": {"upper": […], "lower": […], "iris": [x, y], "iris_radius": r}, "right_eye": {…},
     "left_brow": […], "right_brow": […],
     "nose_tip": [x, y], "nose_base": [x, y],
     "outer_upper_lip": […], "inner_upper_lip": […], "inner_lower_lip": […], "outer_lower_lip": […]}

The inner lip contours are where the lips meet: equal where the mouth is closed. All four lip
contours begin and end at the corners of the mouth.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

from maestra.ports.errors import FaceError

__all__ = ["FORMAT", "Contour", "Eye", "Mesh", "Point"]

FORMAT = 1

Point = tuple[float, float]
Contour = tuple[Point, ...]

_CONTOURS = (
    "oval",
    "left_brow",
    "right_brow",
    "outer_upper_lip",
    "inner_upper_lip",
    "inner_lower_lip",
    "outer_lower_lip",
)


@frozen(kw_only=True)
class Eye:
    """An eye's opening between its lids, and its iris."""

    upper: Contour
    lower: Contour
    iris: Point
    iris_radius: float


@frozen(kw_only=True)
class Mesh:
    """Where the features of a portrait of ``size`` (width, height) pixels are."""

    size: tuple[int, int]
    oval: Contour
    left_eye: Eye
    right_eye: Eye
    left_brow: Contour
    right_brow: Contour
    nose_tip: Point
    nose_base: Point
    outer_upper_lip: Contour
    inner_upper_lip: Contour
    inner_lower_lip: Contour
    outer_lower_lip: Contour = field()

    def __attrs_post_init__(self) -> None:
        self._check()

    def _check(self) -> None:
        # What the renderer relies on; anything else would show as a torn face, not as an error.
        eyes = (self.left_eye, self.right_eye)
        for name in _CONTOURS:
            if len(getattr(self, name)) < 3:
                raise FaceError(f"The mesh's {name} has fewer than three points.")
        if any(len(c) < 3 for e in eyes for c in (e.upper, e.lower)):
            raise FaceError("The mesh's eyelids have fewer than three points.")
        if self.left_eye.iris[0] >= self.right_eye.iris[0]:
            raise FaceError("The mesh's left eye is not left of its right eye.")
        left, right = self.outer_upper_lip[0], self.outer_upper_lip[-1]
        if right[0] - left[0] < 8 or min(e.iris_radius for e in eyes) <= 0:
            raise FaceError("The face in the mesh is too small to be moved.")
        chin = max(y for _, y in self.oval)
        if not self.left_eye.iris[1] < self.nose_base[1] < left[1] < chin:
            raise FaceError("The mesh's eyes, nose, mouth and chin are not below one another.")

    def scaled(self, size: tuple[int, int]) -> Mesh:
        """The same mesh for the same picture drawn at ``size``."""
        return self.moved(size[0] / self.size[0], 0.0, 0.0, size)

    def moved(self, scale: float, dx: float, dy: float, size: tuple[int, int]) -> Mesh:
        """The mesh after its picture was scaled and then shifted, in a picture of ``size``."""

        def point(p: Point) -> Point:
            return (p[0] * scale + dx, p[1] * scale + dy)

        def contour(c: Contour) -> Contour:
            return tuple(point(p) for p in c)

        def eye(e: Eye) -> Eye:
            return Eye(
                upper=contour(e.upper),
                lower=contour(e.lower),
                iris=point(e.iris),
                iris_radius=e.iris_radius * scale,
            )

        return Mesh(
            size=size,
            left_eye=eye(self.left_eye),
            right_eye=eye(self.right_eye),
            nose_tip=point(self.nose_tip),
            nose_base=point(self.nose_base),
            **{name: contour(getattr(self, name)) for name in _CONTOURS},
        )

    def to_json(self) -> str:
        """As text, a contour a line."""

        def points(c: Contour) -> list[list[float]]:
            return [[round(x, 2), round(y, 2)] for x, y in c]

        def eye(e: Eye) -> dict[str, object]:
            return {
                "upper": points(e.upper),
                "lower": points(e.lower),
                "iris": points((e.iris,))[0],
                "iris_radius": round(e.iris_radius, 2),
            }

        entries: dict[str, object] = {
            "format": FORMAT,
            "size": list(self.size),
            "left_eye": eye(self.left_eye),
            "right_eye": eye(self.right_eye),
            "nose_tip": points((self.nose_tip,))[0],
            "nose_base": points((self.nose_base,))[0],
            **{name: points(getattr(self, name)) for name in _CONTOURS},
        }
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in entries.items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> Mesh:
        """Read what ``to_json`` wrote.

        :raises FaceError: it is not a mesh, or not one of a face that can be moved.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise FaceError("The mesh is not JSON.") from error
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise FaceError(f"The mesh is not of format {FORMAT}.")
        try:
            width, height = data["size"]
            return cls(
                size=(int(width), int(height)),
                left_eye=_eye(data["left_eye"]),
                right_eye=_eye(data["right_eye"]),
                nose_tip=_point(data["nose_tip"]),
                nose_base=_point(data["nose_base"]),
                **{name: _contour(data[name]) for name in _CONTOURS},
            )
        except KeyError as error:
            raise FaceError(f"The mesh lacks {error.args[0]}.") from error
        except (TypeError, ValueError) as error:
            raise FaceError(
                "The mesh has something other than points where points belong."
            ) from error

    @classmethod
    def load(cls, path: Path) -> Mesh:
        """Read a mesh file.

        :raises FaceError: it can't be read or is not a mesh.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FaceError(f"The mesh {path.name} can't be read.") from error
        return cls.from_json(text)


def _point(value: Sequence[float]) -> Point:
    x, y = value
    point = (float(x), float(y))
    if not all(map(math.isfinite, point)):
        raise ValueError("not finite")
    return point


def _contour(value: Sequence[Sequence[float]]) -> Contour:
    return tuple(_point(p) for p in value)


def _eye(value: Mapping[str, object]) -> Eye:
    upper, lower, iris, radius = (value[k] for k in ("upper", "lower", "iris", "iris_radius"))
    if not isinstance(upper, list) or not isinstance(lower, list) or not isinstance(iris, list):
        raise TypeError("not lists")
    if not isinstance(radius, int | float):
        raise TypeError("not a number")
    return Eye(
        upper=_contour(upper), lower=_contour(lower), iris=_point(iris), iris_radius=float(radius)
    )
