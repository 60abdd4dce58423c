"""The layers that the networks share, and what of them can be folded together once and for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ChannelNorm", "ConvNorm", "SpectralConv2d", "convolution", "fuse", "normalised"]

_CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
_NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def convolution(dimensions: int, inputs: int, outputs: int, kernel: int) -> nn.Module:
    """A convolution that keeps the size, with bias."""
    return _CONVOLUTIONS[dimensions](inputs, outputs, kernel, padding=kernel // 2)


def normalised(dimensions: int, channels: int) -> nn.Module:
    """A batch norm."""
    return _NORMS[dimensions](channels)


class ConvNorm(nn.Module):
    """Convolution (kernel 3), batch norm, rectifier; then an average pool, if one is asked for.

    :param pool: the pool's kernel and stride.
    :param slope: the rectifier's slope below 0.
    """

    def __init__(
        self,
        dimensions: int,
        inputs: int,
        outputs: int,
        *,
        pool: tuple[int, ...] | None = None,
        slope: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv = convolution(dimensions, inputs, outputs, 3)
        self.norm = normalised(dimensions, outputs)
        self._pool = pool
        self._average = F.avg_pool2d if dimensions == 2 else F.avg_pool3d
        self._slope = slope

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.norm(self.conv(x)), self._slope)
        return x if self._pool is None else self._average(x, self._pool)

    def fold(self) -> None:
        """Put the norm into the convolution."""
        self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()


class SpectralConv2d(nn.Module):
    """A convolution whose weight is divided by its spectral norm, as torch used to store it.

    In evaluation the norm is ``u · (W v)`` with the two vectors as they were stored, near but not
    at the largest singular value: the published weights go with exactly that number.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__()
        plain = nn.Conv2d(inputs, outputs, kernel, bias=bias)
        self.weight_orig = plain.weight
        self.bias = plain.bias
        self.register_buffer("weight_u", torch.zeros(outputs))
        self.register_buffer("weight_v", torch.zeros(inputs * kernel * kernel))
        self._padding = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        weight = self._normalised() if hasattr(self, "weight_orig") else self.weight
        return F.conv2d(x, weight, self.bias, padding=self._padding)

    def _normalised(self) -> Tensor:
        weight = self.weight_orig
        return weight / torch.dot(self.weight_u, weight.flatten(1) @ self.weight_v)

    def fold(self) -> None:
        """Divide once."""
        weight = self._normalised().detach()
        del self.weight_orig, self.weight_u, self.weight_v
        self.weight = nn.Parameter(weight, requires_grad=False)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of every pixel of a ``(batch, channels, height, width)``."""

    def __init__(self, channels: int, *, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self._eps = eps

    def forward(self, x: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1)
        last = F.layer_norm(last, last.shape[-1:], self.weight, self.bias, self._eps)
        return last.permute(0, 3, 1, 2)


def fuse(network: nn.Module) -> None:
    """Fold what can be folded in ``network``, in place: it computes the same, in less time.

    Its state no longer has the published keys then: load first.
    """
    with torch.no_grad():
        for module in list(network.modules()):
            if hasattr(module, "fold"):
                module.fold()
