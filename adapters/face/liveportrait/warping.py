"""W, the warping module: moves the appearance to where the driving keypoints are.

Keypoints, grids and samples are float32 whatever the precision of the convolutions: half a number
is too coarse for a coordinate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from attrs import frozen
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .layers import ConvNorm, convolution, normalised
from .motion import KEYPOINTS

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Warped", "WarpingModule", "WarpingWidths", "identity_grid", "sample"]

_VARIANCE = 0.01
"""Of a keypoint's heat, in the grid's units."""

_FLAT = (1, 2, 2)
"""The hourglass halves height and width, and leaves the depth alone."""


@frozen(kw_only=True)
class WarpingWidths:
    """How large W is: the published sizes.

    ``kernel`` is that of the last two convolutions, which look far around.

    ``keypoints`` is 21 here and 15 in face-vid2vid, its ancestor, which also takes mask values
    below ``mask_floor`` as none.
    """

    keypoints: int = KEYPOINTS
    volume: int = 32
    depth: int = 16
    compressed: int = 4
    hourglass: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)
    output: int = 256
    kernel: int = 7
    mask_floor: float = 0.0


class Warped(NamedTuple):
    """``features`` ``(batch, 256, height, width)`` for the generator; ``occlusion``
    ``(batch, 1, height, width)``, which they were multiplied by; ``deformation`` ``(batch, depth,
    height, width, 3)``, where in the source each point of the volume was taken from."""

    features: Tensor
    occlusion: Tensor
    deformation: Tensor


def identity_grid(size: tuple[int, int, int], device: torch.device) -> Tensor:
    """``(depth, height, width, 3)``: x, y, z of every point, from corner to corner -1 … 1.

    It is sampled as if -1 and 1 were the edges of the corners' cells and not their middles, so it
    does not give an exact copy. The weights were trained with that.
    """
    axes = [2 * torch.arange(n, device=device, dtype=torch.float32) / (n - 1) - 1 for n in size]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack((x, y, z), dim=-1)


def sample(volume: Tensor, grid: Tensor) -> Tensor:
    """``volume`` at the places in ``grid``, linearly, with zeros around it; both float32."""
    return F.grid_sample(volume, grid, align_corners=False)


class _UpBlock(ConvNorm):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(3, inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        scale = tuple(float(n) for n in _FLAT)
        return super().forward(F.interpolate(x, scale_factor=scale, mode="nearest"))


class _Encoder(nn.Module):
    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        into = (inputs, *widths[1:-1])
        self.down_blocks = nn.ModuleList(
            ConvNorm(3, i, o, pool=_FLAT) for i, o in zip(into, widths[1:], strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        seen = [x]
        for block in self.down_blocks:
            seen.append(block(seen[-1]))
        return seen


class _Decoder(nn.Module):
    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        outputs = widths[-2::-1]
        # Each block but the first takes what the one before it made, and as much from the encoder.
        into = (widths[-1], *(2 * width for width in outputs[:-1]))
        self.up_blocks = nn.ModuleList(_UpBlock(i, o) for i, o in zip(into, outputs, strict=True))
        self.out_channels = outputs[-1] + inputs
        self.conv = convolution(3, self.out_channels, self.out_channels, 3)
        self.norm = normalised(3, self.out_channels)

    def forward(self, seen: list[Tensor]) -> Tensor:
        x = seen.pop()
        for block in self.up_blocks:
            x = torch.cat((block(x), seen.pop()), dim=1)
        return F.relu(self.norm(self.conv(x)))

    def fold(self) -> None:
        """Put the norm into the convolution."""
        self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()


class _Hourglass(nn.Module):
    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder = _Encoder(inputs, widths)
        self.decoder = _Decoder(inputs, widths)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


class _DenseMotion(nn.Module):
    """From sparse keypoints to a deformation of the whole volume, and what it leaves uncovered."""

    def __init__(self, sizes: WarpingWidths) -> None:
        super().__init__()
        motions = sizes.keypoints + 1
        self.compress = convolution(3, sizes.volume, sizes.compressed, 1)
        self.norm = normalised(3, sizes.compressed)
        self.hourglass = _Hourglass(motions * (1 + sizes.compressed), sizes.hourglass)
        channels = self.hourglass.decoder.out_channels
        self.mask = convolution(3, channels, motions, sizes.kernel)
        self.occlusion = convolution(2, channels * sizes.depth, 1, sizes.kernel)
        self._mask_floor = sizes.mask_floor

    def forward(
        self, volume: Tensor, kp_driving: Tensor, kp_source: Tensor
    ) -> tuple[Tensor, Tensor]:
        size = volume.shape[2:]
        identity = identity_grid(tuple(size), volume.device)
        # Motion 0 is the background, which stays; motion k moves keypoint k back to its source.
        shift = F.pad(kp_source - kp_driving, (0, 0, 1, 0))
        precision = self.mask.weight.dtype
        compressed = F.relu(self.norm(self.compress(volume.to(precision)))).float()
        moved = self._moved(compressed, identity + shift[:, :, None, None, None])
        heat = _heat(identity, kp_driving) - _heat(identity, kp_source)
        heat = F.pad(heat, (0, 0, 0, 0, 0, 0, 1, 0)).unsqueeze(2)
        seen = self.hourglass(torch.cat((heat, moved), dim=2).flatten(1, 2).to(precision))

        mask = torch.softmax(self.mask(seen).float(), dim=1)
        if self._mask_floor:
            mask = mask * (mask >= self._mask_floor)
        # The sum over the motions of mask times (identity + shift), without making them all.
        deformation = identity * mask.sum(dim=1).unsqueeze(-1)
        deformation = deformation + torch.einsum("bkdhw,bkc->bdhwc", mask, shift)
        occlusion = torch.sigmoid(self.occlusion(seen.flatten(1, 2)))
        return deformation, occlusion

    @staticmethod
    def _moved(compressed: Tensor, grids: Tensor) -> Tensor:
        """``(batch, motions, channels, depth, height, width)``: ``compressed`` by every motion."""
        batch, motions = grids.shape[:2]
        repeated = compressed.unsqueeze(1).expand(-1, motions, -1, -1, -1, -1).flatten(0, 1)
        return sample(repeated, grids.flatten(0, 1)).unflatten(0, (batch, motions))

    def fold(self) -> None:
        """Put the norm into the first convolution."""
        self.compress, self.norm = fuse_conv_bn_eval(self.compress, self.norm), nn.Identity()


def _heat(grid: Tensor, keypoints: Tensor) -> Tensor:
    """``(batch, keypoints, depth, height, width)``: 1 at a keypoint, falling off around it."""
    apart = grid - keypoints[:, :, None, None, None]
    return torch.exp(-0.5 * apart.square().sum(dim=-1) / _VARIANCE)


class WarpingModule(nn.Module):
    """Appearance and the keypoints of driving and source, ``(batch, 21, 3)``, to ``Warped``.

    What goes in is float32; the module itself may be of less.
    """

    def __init__(self, widths: WarpingWidths | None = None) -> None:
        super().__init__()
        sizes = widths or WarpingWidths()
        self.dense_motion_network = _DenseMotion(sizes)
        self.third = ConvNorm(2, sizes.volume * sizes.depth, sizes.output, slope=0.01)
        self.fourth = convolution(2, sizes.output, sizes.output, 1)

    def forward(self, volume: Tensor, kp_driving: Tensor, kp_source: Tensor) -> Warped:
        deformation, occlusion = self.dense_motion_network(volume, kp_driving, kp_source)
        moved = sample(volume, deformation).flatten(1, 2).to(self.fourth.weight.dtype)
        features = self.fourth(self.third(moved)) * occlusion
        return Warped(features, occlusion, deformation)
