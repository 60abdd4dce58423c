"""Colour conversion where the pictures are drawn.

An encoder wants YUV 4:2:0, which is half as much to copy from a GPU: a face whose pictures are
whole on its device calls this before they are copied to the host.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

    from maestra.ports.audio import Picture

__all__ = ["lay_planes", "yuv420"]

# ITU-R BT.601, limited range, of RGB in 0 … 255.
_MATRIX = (
    (65.481 / 255, 128.553 / 255, 24.966 / 255),
    (-37.797 / 255, -74.203 / 255, 112.0 / 255),
    (112.0 / 255, -93.786 / 255, -18.214 / 255),
)
_LUMA_OFFSET, _CHROMA_OFFSET = 16.0, 128.0


def yuv420(pictures: Tensor) -> Tensor:
    """``(batch, height, width, 3)`` uint8 RGB to ``(batch, height · 3/2, width)`` uint8: the planes
    Y, U, V one after another (I420), height and width even, chroma of the mean of four pixels.
    """
    batch, height, width, _ = pictures.shape
    rgb = pictures.permute(0, 3, 1, 2).float()
    matrix = _matrix(rgb.device)
    luma = F.conv2d(rgb, matrix[:1]) + _LUMA_OFFSET
    chroma = F.conv2d(F.avg_pool2d(rgb, 2), matrix[1:]) + _CHROMA_OFFSET
    planes = torch.cat((luma.flatten(1), chroma.flatten(1)), dim=1)
    return planes.round().clamp(0, 255).to(torch.uint8).view(batch, height * 3 // 2, width)


def lay_planes(whole: Picture, part: Picture, left: int, top: int) -> None:
    """Lay ``part`` over ``whole``, both I420 as ``yuv420`` makes them, at an even place."""
    width, (rows, side) = whole.shape[1], part.shape
    size, height = whole.shape[0] * 2 // 3, rows * 2 // 3
    whole[top : top + height, left : left + side] = part[:height]
    chromas = whole[size:].reshape(2, size // 2, width // 2)
    here = slice(top // 2, (top + height) // 2), slice(left // 2, (left + side) // 2)
    chromas[:, *here] = part[height:].reshape(2, height // 2, side // 2)


@functools.cache
def _matrix(device: torch.device) -> Tensor:
    """Once a device: to bring it there, all that is under way there would be waited for."""
    with torch.inference_mode(False):
        return torch.tensor(_MATRIX, device=device)[:, :, None, None]
