"""F, the appearance feature extractor: what a person looks like, as a volume that can be warped."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from attrs import frozen
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .layers import ConvNorm, convolution, normalised

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["AppearanceExtractor", "AppearanceWidths"]


@frozen(kw_only=True)
class AppearanceWidths:
    """How large F is: the published sizes."""

    plane: tuple[int, int, int] = (64, 128, 256)
    volume: int = 32
    depth: int = 16
    blocks: int = 6


class _Residual(nn.Module):
    """Norm, rectifier, convolution, twice; and what went in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = normalised(3, channels)
        self.conv1 = convolution(3, channels, channels, 3)
        self.norm2 = normalised(3, channels)
        self.conv2 = convolution(3, channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return self.conv2(F.relu(self.norm2(y))) + x

    def fold(self) -> None:
        """Put the second norm into the first convolution."""
        self.conv1, self.norm2 = fuse_conv_bn_eval(self.conv1, self.norm2), nn.Identity()


class AppearanceExtractor(nn.Module):
    """``(batch, 3, 256, 256)`` RGB in 0 … 1 to ``(batch, 32, 16, 64, 64)``."""

    def __init__(self, widths: AppearanceWidths | None = None) -> None:
        super().__init__()
        sizes = widths or AppearanceWidths()
        first, second, third = sizes.plane
        self.first = ConvNorm(2, 3, first)
        self.down_blocks = nn.Sequential(
            ConvNorm(2, first, second, pool=(2, 2)), ConvNorm(2, second, third, pool=(2, 2))
        )
        self.second = convolution(2, third, sizes.volume * sizes.depth, 1)
        self.resblocks_3d = nn.Sequential(
            OrderedDict((f"3dr{i}", _Residual(sizes.volume)) for i in range(sizes.blocks))
        )
        self._volume = (sizes.volume, sizes.depth)

    def forward(self, picture: Tensor) -> Tensor:
        flat = self.second(self.down_blocks(self.first(picture)))
        return self.resblocks_3d(flat.unflatten(1, self._volume))
