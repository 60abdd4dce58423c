"""G, the SPADE generator: from warped features to a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import nn
from torch.nn import functional as F

from .layers import SpectralConv2d, convolution

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["GeneratorWidths", "SpadeGenerator"]

_SLOPE = 0.2


@frozen(kw_only=True)
class GeneratorWidths:
    """How large G is: the published sizes.

    With ``enlarge`` a last step doubles the picture's sides by a pixel shuffle: 512 from features
    of 64. face-vid2vid, its ancestor, has none.
    """

    features: int = 256
    middle: int = 512
    blocks: int = 6
    up: tuple[int, int] = (256, 64)
    hidden: int = 128
    enlarge: bool = True


class _Spade(nn.Module):
    """An instance norm whose gain and offset come, pixel by pixel, from the features."""

    def __init__(self, channels: int, features: int, hidden: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(convolution(2, features, hidden, 3), nn.ReLU())
        self.mlp_gamma = convolution(2, hidden, channels, 3)
        self.mlp_beta = convolution(2, hidden, channels, 3)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        shared = self.mlp_shared(F.interpolate(features, size=x.shape[2:], mode="nearest"))
        if hasattr(self, "mlp_both"):
            gain, offset = self.mlp_both(shared).chunk(2, dim=1)
        else:
            gain, offset = 1 + self.mlp_gamma(shared), self.mlp_beta(shared)
        return F.instance_norm(x) * gain + offset

    def fold(self) -> None:
        """Make one convolution of the two, with the gain's 1 in its bias."""
        gamma, beta = self.mlp_gamma, self.mlp_beta
        both = convolution(2, gamma.in_channels, 2 * gamma.out_channels, 3)
        both.weight = nn.Parameter(torch.cat((gamma.weight, beta.weight)), requires_grad=False)
        both.bias = nn.Parameter(torch.cat((gamma.bias + 1, beta.bias)), requires_grad=False)
        del self.mlp_gamma, self.mlp_beta
        self.mlp_both = both


class _Block(nn.Module):
    """Norm, rectifier, convolution, twice; and what went in, fitted if the widths differ."""

    def __init__(self, inputs: int, outputs: int, sizes: GeneratorWidths) -> None:
        super().__init__()
        between = min(inputs, outputs)
        self.conv_0 = SpectralConv2d(inputs, between, 3)
        self.conv_1 = SpectralConv2d(between, outputs, 3)
        self.norm_0 = _Spade(inputs, sizes.features, sizes.hidden)
        self.norm_1 = _Spade(between, sizes.features, sizes.hidden)
        self._fitted = inputs != outputs
        if self._fitted:
            self.conv_s = SpectralConv2d(inputs, outputs, 1, bias=False)
            self.norm_s = _Spade(inputs, sizes.features, sizes.hidden)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        y = self.conv_0(F.leaky_relu(self.norm_0(x, features), _SLOPE))
        y = self.conv_1(F.leaky_relu(self.norm_1(y, features), _SLOPE))
        return y + (self.conv_s(self.norm_s(x, features)) if self._fitted else x)


class SpadeGenerator(nn.Module):
    """``(batch, 256, h, w)`` features to ``(batch, 3, 8 h, 8 w)`` RGB in 0 … 1."""

    def __init__(self, widths: GeneratorWidths | None = None) -> None:
        super().__init__()
        sizes = widths or GeneratorWidths()
        self.fc = convolution(2, sizes.features, sizes.middle, 3)
        self._middle = [f"G_middle_{i}" for i in range(sizes.blocks)]
        for name in self._middle:
            self.add_module(name, _Block(sizes.middle, sizes.middle, sizes))
        self.up_0 = _Block(sizes.middle, sizes.up[0], sizes)
        self.up_1 = _Block(sizes.up[0], sizes.up[1], sizes)
        self.conv_img = (
            nn.Sequential(convolution(2, sizes.up[1], 12, 3), nn.PixelShuffle(2))
            if sizes.enlarge
            else convolution(2, sizes.up[1], 3, 3)
        )

    def forward(self, features: Tensor) -> Tensor:
        x = self.fc(features)
        for name in self._middle:
            x = getattr(self, name)(x, features)
        for block in (self.up_0, self.up_1):
            x = block(F.interpolate(x, scale_factor=2.0, mode="nearest"), features)
        return torch.sigmoid(self.conv_img(F.leaky_relu(x, _SLOPE)))
