"""The layers that StyleTTS2's networks are made of.

Conventions. Sequences are ``(batch, channels, time)`` unless a function says otherwise; a style is
``(batch, features)``. Weights are plain: weight and spectral norms are folded when they are read.
Dropout does nothing at inference and is left out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "AdaptiveInstanceNorm",
    "AdaptiveLayerNorm",
    "AdaptiveResidual",
    "ChannelNorm",
    "snake",
]

_SLOPE = 0.2


def snake(x: Tensor, alpha: Tensor) -> Tensor:
    """``x + sin²(αx) / α`` (L. Ziyin et al., *Neural Networks Fail to Learn Periodic Functions*,
    2020)."""
    return x + torch.sin(alpha * x).square() / alpha


class ChannelNorm(nn.Module):
    """A layer norm over the channels of ``(batch, channels, time)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x.transpose(1, 2), (x.shape[1],), self.gamma, self.beta, 1e-5)
        return normed.transpose(1, 2)


class AdaptiveInstanceNorm(nn.Module):
    """An instance norm whose scale and shift a style gives."""

    def __init__(self, style: int, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.fc(style).unsqueeze(-1).chunk(2, dim=1)
        return (1 + scale) * F.instance_norm(x, eps=1e-5) + shift


class AdaptiveLayerNorm(nn.Module):
    """A layer norm over the features of ``(batch, time, features)``, likewise."""

    def __init__(self, style: int, features: int) -> None:
        super().__init__()
        self.fc = nn.Linear(style, 2 * features)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.fc(style).unsqueeze(1).chunk(2, dim=-1)
        return (1 + scale) * F.layer_norm(x, (x.shape[-1],), eps=1e-5) + shift


class AdaptiveResidual(nn.Module):
    """Two convolutions that follow a style, beside a shortcut; with ``upsample`` twice as long."""

    def __init__(self, inner: int, outer: int, style: int, *, upsample: bool = False) -> None:
        super().__init__()
        self.upsample = upsample
        self.conv1 = nn.Conv1d(inner, outer, 3, padding=1)
        self.conv2 = nn.Conv1d(outer, outer, 3, padding=1)
        self.norm1 = AdaptiveInstanceNorm(style, inner)
        self.norm2 = AdaptiveInstanceNorm(style, outer)
        self.conv1x1 = nn.Conv1d(inner, outer, 1, bias=False) if inner != outer else None
        self.pool = (
            nn.ConvTranspose1d(inner, inner, 3, stride=2, groups=inner, padding=1, output_padding=1)
            if upsample
            else None
        )

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        shortcut = F.interpolate(x, scale_factor=2.0, mode="nearest") if self.upsample else x
        if self.conv1x1 is not None:
            shortcut = self.conv1x1(shortcut)
        x = F.leaky_relu(self.norm1(x, style), _SLOPE)
        if self.pool is not None:
            x = self.pool(x)
        x = F.leaky_relu(self.norm2(self.conv1(x), style), _SLOPE)
        return (self.conv2(x) + shortcut) / math.sqrt(2)
