"""M, the motion extractor: where a face's keypoints are, how it is turned, what it expresses."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from attrs import frozen
from torch import nn
from torch.nn import functional as F

from .layers import ChannelNorm

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BINS", "KEYPOINTS", "MotionExtractor", "MotionWidths", "RawMotion"]

KEYPOINTS = 21
BINS = 66
"""A head's angle comes as the odds of so many bins, 3 degrees each."""

_EPS = 1e-6


@frozen(kw_only=True)
class MotionWidths:
    """How large M is: the published sizes."""

    channels: tuple[int, int, int, int] = (96, 192, 384, 768)
    blocks: tuple[int, int, int, int] = (3, 3, 9, 3)


class RawMotion(NamedTuple):
    """What M says of each picture of a batch.

    ``pitch``, ``yaw``, ``roll`` are the logits of the angles' bins ``(batch, 66)``; ``t``
    ``(batch, 3)`` and ``scale`` ``(batch, 1)`` place the head; ``exp`` and ``kp`` are offsets and
    keypoints ``(batch, 63)``, 21 times x, y, z.
    """

    pitch: Tensor
    yaw: Tensor
    roll: Tensor
    t: Tensor
    exp: Tensor
    scale: Tensor
    kp: Tensor


class _ResponseNorm(nn.Module):
    """Global response norm over ``(batch, height, width, channels)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        response = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        share = response / (response.mean(dim=-1, keepdim=True) + _EPS)
        return self.gamma * (x * share) + self.beta + x


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=_EPS)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.grn = _ResponseNorm(4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.pwconv2(self.grn(F.gelu(self.pwconv1(y))))
        return x + y.permute(0, 3, 1, 2)


class _Detector(nn.Module):
    """A ConvNeXt-V2 with seven heads."""

    def __init__(self, sizes: MotionWidths) -> None:
        super().__init__()
        channels = sizes.channels
        steps = [
            nn.Sequential(nn.Conv2d(3, channels[0], 4, 4), ChannelNorm(channels[0], eps=_EPS)),
            *(
                nn.Sequential(ChannelNorm(before, eps=_EPS), nn.Conv2d(before, after, 2, 2))
                for before, after in pairwise(channels)
            ),
        ]
        self.downsample_layers = nn.ModuleList(steps)
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Block(c) for _ in range(n)))
            for c, n in zip(channels, sizes.blocks, strict=True)
        )
        last = channels[-1]
        self.norm = nn.LayerNorm(last, eps=_EPS)
        self.fc_kp = nn.Linear(last, 3 * KEYPOINTS)
        self.fc_scale = nn.Linear(last, 1)
        self.fc_pitch = nn.Linear(last, BINS)
        self.fc_yaw = nn.Linear(last, BINS)
        self.fc_roll = nn.Linear(last, BINS)
        self.fc_t = nn.Linear(last, 3)
        self.fc_exp = nn.Linear(last, 3 * KEYPOINTS)

    def forward(self, x: Tensor) -> RawMotion:
        for down, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(down(x))
        seen = self.norm(x.mean(dim=(2, 3)))
        return RawMotion(
            pitch=self.fc_pitch(seen),
            yaw=self.fc_yaw(seen),
            roll=self.fc_roll(seen),
            t=self.fc_t(seen),
            exp=self.fc_exp(seen),
            scale=self.fc_scale(seen),
            kp=self.fc_kp(seen),
        )


class MotionExtractor(nn.Module):
    """``(batch, 3, 256, 256)`` RGB in 0 … 1 to ``RawMotion``."""

    def __init__(self, widths: MotionWidths | None = None) -> None:
        super().__init__()
        self.detector = _Detector(widths or MotionWidths())

    def forward(self, picture: Tensor) -> RawMotion:
        seen: RawMotion = self.detector(picture)
        return seen
