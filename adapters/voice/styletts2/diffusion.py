"""A style is sampled: a transformer that takes noise from 256 numbers, given text and reference.

Sources: T. Karras et al., *Elucidating the Design Space of Diffusion-Based Generative Models*
(2022), for the schedule and the preconditioning; the ancestral sampler of the second order
(ADPM2) of K. Crowson's k-diffusion.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import AdaptiveLayerNorm

__all__ = ["StyleTransformer", "karras_sigmas", "sample"]


class _Attention(nn.Module):
    def __init__(self, features: int, *, style: int, heads: int, head: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = AdaptiveLayerNorm(style, features)
        self.norm_context = AdaptiveLayerNorm(style, features)
        self.to_q = nn.Linear(features, heads * head, bias=False)
        self.to_kv = nn.Linear(features, 2 * heads * head, bias=False)
        self.attention = nn.ModuleDict({"to_out": nn.Linear(heads * head, features)})

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        keys, values = self.to_kv(self.norm_context(x, style)).chunk(2, dim=-1)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.to_q(self.norm(x, style)), keys, values)
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.attention["to_out"](mixed.transpose(1, 2).flatten(2))
        return out


class _Block(nn.Module):
    def __init__(
        self, features: int, *, style: int, heads: int, head: int, multiplier: int
    ) -> None:
        super().__init__()
        self.attention = _Attention(features, style=style, heads=heads, head=head)
        self.feed_forward = nn.Sequential(
            nn.Linear(features, features * multiplier),
            nn.GELU(),
            nn.Linear(features * multiplier, features),
        )

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = self.attention(x, style) + x
        out: Tensor = self.feed_forward(x) + x
        return out


class _Frequencies(nn.Module):
    """A time as itself and as sines and cosines of learned frequencies."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(channels // 2))

    def forward(self, time: Tensor) -> Tensor:
        turns = time[:, None] * self.weights * 2 * math.pi
        return torch.cat([time[:, None], turns.sin(), turns.cos()], dim=-1)


class _Positions(nn.Module):
    """What stands for text where there is none."""

    def __init__(self, length: int, features: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(length, features)

    def forward(self, length: int) -> Tensor:
        return self.embedding.weight[:length].unsqueeze(0)


class StyleTransformer(nn.Module):
    """Takes noise from a style of ``channels`` numbers, given a text of ``embedding`` numbers for
    each phoneme and a reference style."""

    def __init__(
        self,
        *,
        channels: int,
        embedding: int,
        depth: int,
        heads: int,
        head: int,
        multiplier: int,
        longest: int = 512,
    ) -> None:
        super().__init__()
        wide = channels + embedding
        self.blocks = nn.ModuleList(
            _Block(wide, style=channels, heads=heads, head=head, multiplier=multiplier)
            for _ in range(depth)
        )
        self.to_out = nn.Sequential(nn.Identity(), nn.Conv1d(wide, channels, 1))
        self.to_mapping = nn.Sequential(
            nn.Linear(wide, wide), nn.GELU(), nn.Linear(wide, wide), nn.GELU()
        )
        self.to_time = nn.Sequential(
            nn.Sequential(_Frequencies(channels), nn.Linear(channels + 1, wide)), nn.GELU()
        )
        self.to_features = nn.Sequential(nn.Linear(channels, wide), nn.GELU())
        self.fixed_embedding = _Positions(longest, embedding)

    def forward(
        self, x: Tensor, time: Tensor, text: Tensor, reference: Tensor, emphasis: float = 1.0
    ) -> Tensor:
        """``x`` ``(batch, 1, channels)`` at ``time`` ``(batch,)``, given ``text`` ``(batch, length,
        embedding)`` and ``reference`` ``(batch, channels)``.

        :param emphasis: scale of classifier-free guidance by the text.
        """
        given = self._run(x, time, text, reference)
        if emphasis == 1.0:
            return given
        nothing = self.fixed_embedding(text.shape[1]).expand_as(text)
        without = self._run(x, time, nothing, reference)
        return without + (given - without) * emphasis

    def _run(self, x: Tensor, time: Tensor, text: Tensor, reference: Tensor) -> Tensor:
        mapping = self.to_mapping(self.to_time(time) + self.to_features(reference)).unsqueeze(1)
        x = torch.cat([x.expand(-1, text.shape[1], -1), text], dim=-1)
        for block in self.blocks:
            x = block(x + mapping, reference)
        out: Tensor = self.to_out(x.mean(dim=1, keepdim=True).transpose(1, 2))
        return out.transpose(1, 2)


def karras_sigmas(
    steps: int, *, least: float = 1e-4, most: float = 3.0, rho: float = 9.0
) -> list[float]:
    """``steps`` noise levels from ``most`` to ``least``, dense at the end."""
    low, high = least ** (1 / rho), most ** (1 / rho)
    return [(high + index / (steps - 1) * (low - high)) ** rho for index in range(steps)]


def sample(
    network: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    *,
    sigma_data: float,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    """A sample, from ``noise`` ``(batch, 1, channels)``.

    :param network: what takes the (scaled) noise at a time from a (scaled) sample.
    :param sigma_data: the spread of what it was trained on.
    """

    def denoised(x: Tensor, sigma: float) -> Tensor:
        total = math.sqrt(sigma**2 + sigma_data**2)
        time = torch.full((len(x),), 0.25 * math.log(sigma), device=x.device, dtype=x.dtype)
        predicted = network(x / total, time)
        return (sigma_data / total) ** 2 * x + sigma * sigma_data / total * predicted

    sigmas = karras_sigmas(steps)
    x = sigmas[0] * noise
    for sigma, after in pairwise(sigmas):
        up = math.sqrt(after**2 * (sigma**2 - after**2) / sigma**2)
        down = math.sqrt(after**2 - up**2)
        middle = (sigma + down) / 2
        slope = (x - denoised(x, sigma)) / sigma
        halfway = x + slope * (middle - sigma)
        slope = (halfway - denoised(halfway, middle)) / middle
        fresh = torch.randn(x.shape, generator=generator).to(x)
        x = x + slope * (down - sigma) + fresh * up
    return x
