"""S, the three small networks that keep shoulders in place and move eyes and lips by a ratio."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn

from .motion import KEYPOINTS

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Perceptron", "eye_network", "lip_network", "stitching_network"]

_OFFSETS = 3 * KEYPOINTS


class Perceptron(nn.Module):
    """Linear layers with rectifiers between them."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


def stitching_network() -> Perceptron:
    """Keypoints of source and driving to offsets of the driving ones, and a shift x, y of all."""
    return Perceptron(2 * _OFFSETS, 128, 128, 64, _OFFSETS + 2)


def eye_network() -> Perceptron:
    """Keypoints, the source's left and right eye ratio and the wanted one, to offsets."""
    return Perceptron(_OFFSETS + 3, 256, 256, 128, 128, 64, _OFFSETS)


def lip_network() -> Perceptron:
    """Keypoints, the source's lip ratio and the wanted one, to offsets."""
    return Perceptron(_OFFSETS + 2, 128, 128, 64, _OFFSETS)
