"""From phonemes to what they sound like, and from a recording to its style."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import ChannelNorm

__all__ = ["StyleEncoder", "TextEncoder"]

_SLOPE = 0.2


class TextEncoder(nn.Module):
    """Phonemes ``(batch, length)`` to features ``(batch, channels, length)``."""

    def __init__(self, *, channels: int, depth: int, symbols: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, channels)
        self.cnn = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(channels, channels, 5, padding=2),
                ChannelNorm(channels),
                nn.LeakyReLU(_SLOPE),
            )
            for _ in range(depth)
        )
        self.lstm = nn.LSTM(channels, channels // 2, batch_first=True, bidirectional=True)

    def forward(self, phonemes: Tensor) -> Tensor:
        x = self.embedding(phonemes).transpose(1, 2)
        for layer in self.cnn:
            x = layer(x)
        out, _ = self.lstm(x.transpose(1, 2))
        features: Tensor = out.transpose(1, 2)
        return features


class _Halving(nn.Module):
    """A residual block on a spectrogram that halves both its sides."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, inner, 3, padding=1)
        self.downsample_res = nn.ModuleDict(
            {"conv": nn.Conv2d(inner, inner, 3, stride=2, groups=inner, padding=1)}
        )
        self.conv2 = nn.Conv2d(inner, outer, 3, padding=1)
        self.conv1x1 = nn.Conv2d(inner, outer, 1, bias=False) if inner != outer else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.conv1x1 is None else self.conv1x1(x)
        if shortcut.shape[-1] % 2:
            shortcut = torch.cat([shortcut, shortcut[..., -1:]], dim=-1)
        shortcut = F.avg_pool2d(shortcut, 2)
        x = self.conv1(F.leaky_relu(x, _SLOPE))
        x = self.downsample_res["conv"](x)
        x = self.conv2(F.leaky_relu(x, _SLOPE))
        return (x + shortcut) / math.sqrt(2)


class StyleEncoder(nn.Module):
    """A mel spectrogram ``(batch, 1, 80, frames)`` to a style ``(batch, style)``. At least 80
    frames: its last window is five wide."""

    def __init__(self, *, channels: int, most: int, style: int) -> None:
        super().__init__()
        widths = [min(channels * 2**step, most) for step in range(5)]
        self.shared = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            *(_Halving(inner, outer) for inner, outer in pairwise(widths)),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(widths[-1], widths[-1], 5),
            nn.AdaptiveAvgPool2d(1),
            nn.LeakyReLU(_SLOPE),
        )
        self.unshared = nn.Linear(widths[-1], style)

    def forward(self, mel: Tensor) -> Tensor:
        style: Tensor = self.unshared(self.shared(mel).flatten(1))
        return style
