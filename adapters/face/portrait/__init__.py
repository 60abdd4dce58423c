"""A portrait and its mesh: what every face that draws a person starts from."""

from __future__ import annotations

from .finding import find_mesh, open_portrait, prepared, read_picture
from .mesh import Contour, Eye, Mesh, Point

__all__ = [
    "Contour",
    "Eye",
    "Mesh",
    "Point",
    "find_mesh",
    "open_portrait",
    "prepared",
    "read_picture",
]
