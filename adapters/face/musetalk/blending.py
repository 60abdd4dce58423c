"""Where the face is in the picture, and how what was painted is laid into it.

Boxes are whole pixels, ``(left, top, right, bottom)``, the right and the bottom outside. Masks are
bytes, 255 where the painted face shows. As published: the face box ends at the chin and its middle
is the bridge of the nose, so that the lower half, which is painted, is what lies below that; it is
laid in within a square half as large again, through a mask with soft edges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maestra.ports.audio import Picture

    from ..portrait import Mesh

    Mask = NDArray[np.uint8]

__all__ = [
    "Box",
    "cut_out",
    "cut_square",
    "face_box",
    "laid_in",
    "mesh_mask",
    "soft_mask",
    "square_around",
]

Box = tuple[int, int, int, int]

_BRIDGE = 2 / 3  # of the way from the eyes to the tip of the nose: what point 29 of 68 is
_BELOW_CHIN = 10
_BLUR = 0.1

CROP = 256


def face_box(mesh: Mesh) -> Box:
    """The box around the face of ``mesh``, in its pixels."""
    oval = np.array(mesh.oval)
    eyes = (mesh.left_eye.iris[1] + mesh.right_eye.iris[1]) / 2
    bridge = eyes + _BRIDGE * (mesh.nose_tip[1] - eyes)
    chin = float(oval[:, 1].max())
    width, height = mesh.size
    left, right = max(0, int(oval[:, 0].min())), min(width, int(oval[:, 0].max()))
    top = max(0, int(2 * bridge - chin))
    return left, top, right, min(height, int(chin) + _BELOW_CHIN)


def square_around(box: Box, expand: float = 1.5) -> Box:
    """The square with ``box`` in its middle, so many times as large. It may leave the picture."""
    left, top, right, bottom = box
    x, y = (left + right) // 2, (top + bottom) // 2
    half = int(max(right - left, bottom - top) // 2 * expand)
    return x - half, y - half, x + half, y + half


def cut_out(picture: Picture, box: Box) -> Picture:
    """What is in ``box``, scaled to what the networks take."""
    left, top, right, bottom = box
    crop = cv2.resize(
        picture[top:bottom, left:right], (CROP, CROP), interpolation=cv2.INTER_LANCZOS4
    )
    return np.asarray(crop, np.uint8)


def cut_square(picture: Picture, square: Box) -> Picture:
    """What is in ``square``, black where that leaves the picture."""
    side = square[2] - square[0]
    height, width = picture.shape[:2]
    left, top, right, bottom = square
    cut = np.zeros((side, side, 3), np.uint8)
    rows, columns = slice(max(0, top), min(height, bottom)), slice(max(0, left), min(width, right))
    inside = picture[rows, columns]
    y, x = max(0, -top), max(0, -left)
    cut[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return cut


def soft_mask(inside: Mask, face: Box, square: Box, blur: float = _BLUR) -> Mask:
    """The mask through which a face is laid into ``square``: of ``inside``, a mask of the square,
    what is in the lower half of it and in the face's box, with soft edges."""
    side = square[2] - square[0]
    left, top = face[0] - square[0], face[1] - square[1]
    right, bottom = face[2] - square[0], face[3] - square[1]
    kept = np.zeros_like(inside)
    top = max(top, side // 2)
    kept[top:bottom, left:right] = inside[top:bottom, left:right]
    kernel = int(blur * side // 2 * 2) + 1
    return np.asarray(cv2.GaussianBlur(kept, (kernel, kernel), 0), np.uint8)


def mesh_mask(mesh: Mesh, face: Box, square: Box) -> Mask:
    """A mask of the square drawn from the face's outline: what takes a face parser's place.

    The outline is drawn in by half of what the edges are softened by, so that nothing behind the
    face shows through.
    """
    side = square[2] - square[0]
    outline = np.array(mesh.oval) - np.array(square[:2])
    middle = (outline.min(axis=0) + outline.max(axis=0)) / 2
    half = (outline.max(axis=0) - outline.min(axis=0)) / 2
    # The chin keeps its place: the jaw falls below the outline of a shut mouth.
    inwards = np.array([1 - _BLUR * side / 4 / half[0], 1.0])
    inside = np.zeros((side, side), np.uint8)
    points = np.round(middle + (outline - middle) * inwards).astype(np.int32)
    cv2.fillPoly(inside, [points], 255)
    return soft_mask(inside, face, square)


def laid_in(picture: Picture, face: Picture, box: Box, square: Box, mask: Mask) -> Picture:
    """``picture`` with ``face``, of any size, scaled into ``box`` and seen through ``mask``."""
    left, top, right, bottom = box
    scaled = cv2.resize(face, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    result = picture.copy()
    inner = mask[top - square[1] : bottom - square[1], left - square[0] : right - square[0]]
    under = result[top:bottom, left:right]
    share = inner[..., None].astype(np.uint16)
    # Rounded division by 255, as Pillow's paste does it.
    mixed = under * (255 - share) + scaled * share + 128
    under[:] = ((mixed >> 8) + mixed) >> 8
    return result
