"""How long each phoneme is, and how pitch and energy move."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import AdaptiveLayerNorm, AdaptiveResidual

__all__ = ["ProsodyPredictor", "alignment"]


class _DurationEncoder(nn.Module):
    """LSTMs and adaptive norms in turn, each given the style anew."""

    def __init__(self, *, style: int, features: int, depth: int) -> None:
        super().__init__()
        self.lstms = nn.ModuleList()
        for _ in range(depth):
            self.lstms.append(
                nn.LSTM(features + style, features // 2, batch_first=True, bidirectional=True)
            )
            self.lstms.append(AdaptiveLayerNorm(style, features))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """``(batch, time, features)`` to ``(batch, time, features + style)``."""
        along = style.unsqueeze(1).expand(-1, x.shape[1], -1)
        x = torch.cat([x, along], dim=-1)
        for layer in self.lstms:
            if isinstance(layer, AdaptiveLayerNorm):
                x = torch.cat([layer(x, style), along], dim=-1)
            else:
                x, _ = layer(x)
        return x


class _Projection(nn.Module):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.linear_layer = nn.Linear(inner, outer)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear_layer(x)
        return out


class ProsodyPredictor(nn.Module):
    """See the module. ``longest`` is the most frames that a phoneme lasts."""

    def __init__(self, *, style: int, features: int, depth: int, longest: int) -> None:
        super().__init__()
        wide = features + style
        self.text_encoder = _DurationEncoder(style=style, features=features, depth=depth)
        self.lstm = nn.LSTM(wide, features // 2, batch_first=True, bidirectional=True)
        self.duration_proj = _Projection(features, longest)
        self.shared = nn.LSTM(wide, features // 2, batch_first=True, bidirectional=True)
        self.F0 = _curve(features, style)
        self.N = _curve(features, style)
        self.F0_proj = nn.Conv1d(features // 2, 1, 1)
        self.N_proj = nn.Conv1d(features // 2, 1, 1)

    def durations(self, text: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """``text`` ``(batch, features, length)`` to the frames that each phoneme lasts
        ``(batch, length)``, and the features ``(batch, features + style, length)`` from which pitch
        and energy are made."""
        encoded = self.text_encoder(text.transpose(1, 2), style)
        hidden, _ = self.lstm(encoded)
        frames = torch.sigmoid(self.duration_proj(hidden)).sum(dim=-1)
        return frames.round().clamp(min=1).long(), encoded.transpose(1, 2)

    def curves(self, aligned: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """F0 (Hz) and energy, ``(batch, 2 × frames)``, of ``aligned`` features."""
        hidden, _ = self.shared(aligned.transpose(1, 2))
        f0 = energy = hidden.transpose(1, 2)
        for block in self.F0:
            f0 = block(f0, style)
        for block in self.N:
            energy = block(energy, style)
        return self.F0_proj(f0).squeeze(1), self.N_proj(energy).squeeze(1)


def _curve(features: int, style: int) -> nn.ModuleList:
    half = features // 2
    return nn.ModuleList(
        [
            AdaptiveResidual(features, features, style),
            AdaptiveResidual(features, half, style, upsample=True),
            AdaptiveResidual(half, half, style),
        ]
    )


def alignment(frames: Tensor) -> Tensor:
    """``(length,)`` durations to a matrix ``(length, sum)`` that holds a one where a phoneme
    sounds."""
    which = torch.repeat_interleave(torch.arange(len(frames), device=frames.device), frames)
    return nn.functional.one_hot(which, len(frames)).T.float()
