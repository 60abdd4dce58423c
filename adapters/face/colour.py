"""Colour conversion where the pictures are drawn.

The port carries RGB. A publisher's encoder wants YUV 4:2:0, which is half as much to copy from a
GPU: where a frame may carry it some day, this is what a face calls before its copy to the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["yuv420"]

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
    matrix = torch.tensor(_MATRIX, device=rgb.device)[:, :, None, None]
    luma = F.conv2d(rgb, matrix[:1]) + _LUMA_OFFSET
    chroma = F.conv2d(F.avg_pool2d(rgb, 2), matrix[1:]) + _CHROMA_OFFSET
    planes = torch.cat((luma.flatten(1), chroma.flatten(1)), dim=1)
    return planes.round().clamp(0, 255).to(torch.uint8).view(batch, height * 3 // 2, width)
