"""Where the face is in the picture, and how what was painted is laid into it.

Boxes are whole pixels, ``(left, top, right, bottom)``, the right and the bottom outside. Masks are
bytes, 255 where the painted face shows. As published: the face box ends at the chin and its middle
is the bridge of the nose, so that the lower half, which is painted, is what lies below that; it is
laid in within a square half as large again, through a mask with soft edges. That happens on the
device where the faces are painted, in whole numbers, so that it is the same everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from maestra.ports.audio import Picture

    from ..portrait import Mesh

    Mask = NDArray[np.uint8]

__all__ = [
    "Box",
    "Laying",
    "cut_out",
    "cut_square",
    "face_box",
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


class Laying:
    """Lays faces that were painted, ``CROP`` pixels wide and high, into the part of pictures that
    they change.

    :param box: where faces belong in the picture.
    :param square: what ``mask`` is of.
    :param device: where the faces are.
    """

    def __init__(self, box: Box, square: Box, mask: Mask, device: torch.device) -> None:
        left, top, right, bottom = box
        # A quarter of the colour is kept: the part must begin and end between two samples of it.
        self.part: Box = left & ~1, top & ~1, right + (right & 1), bottom + (bottom & 1)
        self._inside = (
            slice(top - self.part[1], bottom - self.part[1]),
            slice(left - self.part[0], right - self.part[0]),
        )
        inner = mask[top - square[1] : bottom - square[1], left - square[0] : right - square[0]]
        self._mask = torch.from_numpy(inner.astype(np.float32)).to(device)
        self._columns, self._rows = (
            [each.to(device) for each in _taps(CROP, wanted)]
            for wanted in (right - left, bottom - top)
        )

    def __call__(self, under: Tensor, faces: Tensor, shares: Tensor) -> Tensor:
        """``under`` ``(n, height, width, 3)``, what ``part`` shows, with ``faces``
        ``(n, CROP, CROP, 3)`` seen through the mask by ``shares`` ``(n,)``, 0 … 1. All bytes."""
        laid = under.int()
        rows, columns = self._inside
        below = laid[:, rows, columns]
        share = (self._mask * shares[:, None, None]).round().int()[..., None]
        # Rounded division by 255, as Pillow's paste does it.
        mixed = below * (255 - share) + self._scaled(faces.int()) * share + 128
        laid[:, rows, columns] = ((mixed >> 8) + mixed) >> 8
        return laid.to(torch.uint8)

    def _scaled(self, faces: Tensor) -> Tensor:
        """As OpenCV scales bytes bilinearly, but for a rounding in a thousand values."""
        near, far, of_near, of_far = self._columns
        across = faces[:, :, near] * of_near[:, None] + faces[:, :, far] * of_far[:, None]
        near, far, of_near, of_far = self._rows
        upper = ((across[:, near] >> 4) * of_near[:, None, None]) >> 16
        lower = ((across[:, far] >> 4) * of_far[:, None, None]) >> 16
        return (upper + lower + 2) >> 2


def _taps(given: int, wanted: int) -> list[Tensor]:
    """Which two of ``given`` samples each of ``wanted`` lies between, and what they count for, in
    2048ths."""
    at = ((np.arange(wanted) + 0.5) * (given / wanted) - 0.5).astype(np.float32)
    at = at.clip(0, given - 1)
    near = at.astype(np.int64)
    far = np.minimum(near + 1, given - 1)
    counts = [np.rint(share * 2048).astype(np.int32) for share in (1 - (at - near), at - near)]
    return [torch.from_numpy(each) for each in (near, far, *counts)]
