"""From coefficients of the 3-D face model to keypoints, and from a portrait to both.

Keys and shapes are the published checkpoint's. A *row* is a picture's coefficients: expression 64,
angles 3, translation 3 (and, where the whole picture is drawn, how the crop lies in it 3). The
mapping network reads 27 rows: the picture's own and 13 on either side.

Coordinates of keypoints: x right, y down, z inwards, about -1 … 1 over the crop.

Sources: W. Zhang et al., *SadTalker* (2023); T.-C. Wang et al., *One-Shot Free-View Neural
Talking-Head Synthesis* (2021); Y. Deng et al., *Accurate 3D Face Reconstruction* (2019).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.nn import functional

from ..liveportrait.layers import ConvNorm

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "BINS",
    "KEYPOINTS",
    "REACH",
    "FaceModelNetwork",
    "HeadPose",
    "KeypointNetwork",
    "MappingNetwork",
    "degrees",
    "keypoints",
    "rotation",
    "row_of",
]

REACH = 13
"""Rows on either side of a picture's own that the mapping network reads."""

BINS = 66
"""Of 3 degrees each, from -99 on, in which an angle is told."""

KEYPOINTS = 15

_PI = 3.14  # as it was trained


@frozen(kw_only=True, eq=False)
class HeadPose:
    """What the mapping network says of ``n`` pictures: ``yaw``, ``pitch``, ``roll`` in 66 bins
    ``(n, 66)``, ``t`` ``(n, 3)``, ``exp`` ``(n, 45)``."""

    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    t: Tensor
    exp: Tensor


class MappingNetwork(nn.Module):
    """Rows → head pose and expression in terms of keypoints.

    :param row: coefficients a row: 70, or 73 with the crop's place.
    :param width: 1024 is the published one.
    """

    def __init__(self, row: int = 70, width: int = 1024) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(row, width, 7))
        for number in range(3):
            layer = nn.Sequential(nn.LeakyReLU(0.1), nn.Conv1d(width, width, 3, dilation=3))
            setattr(self, f"encoder{number}", layer)
        self.fc_roll = nn.Linear(width, BINS)
        self.fc_pitch = nn.Linear(width, BINS)
        self.fc_yaw = nn.Linear(width, BINS)
        self.fc_t = nn.Linear(width, 3)
        self.fc_exp = nn.Linear(width, 3 * KEYPOINTS)

    def forward(self, rows: Tensor) -> HeadPose:
        """:param rows: ``(n, row, 27)``."""
        y = self.first(rows)
        for layer in (self.encoder0, self.encoder1, self.encoder2):
            y = layer(y) + y[:, :, 3:-3]
        y = y.mean(dim=2)
        return HeadPose(
            yaw=self.fc_yaw(y),
            pitch=self.fc_pitch(y),
            roll=self.fc_roll(y),
            t=self.fc_t(y),
            exp=self.fc_exp(y),
        )


def degrees(bins: Tensor) -> Tensor:
    """The expected angle, ``(n,)``, of ``(n, 66)`` unnormalised log probabilities."""
    numbers = torch.arange(BINS, dtype=bins.dtype, device=bins.device)
    return (torch.softmax(bins, dim=1) * numbers).sum(dim=1) * 3 - 99


def rotation(pose: HeadPose) -> Tensor:
    """``(n, 3, 3)``, for column vectors: roll first, then yaw, then pitch."""
    yaw, pitch, roll = (degrees(bins) / 180 * _PI for bins in (pose.yaw, pose.pitch, pose.roll))
    one, nought = torch.ones_like(yaw), torch.zeros_like(yaw)

    def matrix(*values: Tensor) -> Tensor:
        return torch.stack(values, dim=1).reshape(-1, 3, 3)

    about_x = matrix(
        *(one, nought, nought),
        *(nought, pitch.cos(), -pitch.sin()),
        *(nought, pitch.sin(), pitch.cos()),
    )
    about_y = matrix(
        *(yaw.cos(), nought, yaw.sin()),
        *(nought, one, nought),
        *(-yaw.sin(), nought, yaw.cos()),
    )
    about_z = matrix(
        *(roll.cos(), -roll.sin(), nought),
        *(roll.sin(), roll.cos(), nought),
        *(nought, nought, one),
    )
    return about_x @ about_y @ about_z


def keypoints(canonical: Tensor, pose: HeadPose) -> Tensor:
    """The ``canonical`` keypoints ``(1, 15, 3)`` in ``pose``: ``(n, 15, 3)``. The face moves up and
    down and doesn't move otherwise: of the translation only y is kept."""
    turned = canonical @ rotation(pose).transpose(1, 2)
    lift = pose.t * torch.tensor([0, 1, 0], dtype=pose.t.dtype, device=pose.t.device)
    return turned + lift[:, None] + pose.exp.reshape(-1, KEYPOINTS, 3)


class _Up(ConvNorm):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(3, inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.interpolate(x, scale_factor=(1.0, 2.0, 2.0)))


class _Quarter(nn.Module):
    """Blurred, and every fourth pixel kept. The kernel is part of the checkpoint."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.exp(-((torch.arange(13, dtype=torch.float32) - 6) ** 2) / (2 * 1.5**2))
        kernel = line[:, None] * line
        self.register_buffer("weight", (kernel / kernel.sum()).expand(3, 1, 13, 13).contiguous())

    def forward(self, picture: Tensor) -> Tensor:
        return functional.conv2d(picture, self.weight, stride=4, padding=6, groups=3)


class _KeypointPredictor(nn.Module):
    def __init__(self, widths: Sequence[int], depth: int) -> None:
        super().__init__()
        self.down_blocks = nn.Sequential()
        self.up_blocks = nn.Sequential()
        for number, (inputs, outputs) in enumerate(pairwise((3, *widths[1:]))):
            self.down_blocks.add_module(f"down{number}", ConvNorm(2, inputs, outputs, pool=(2, 2)))
        for number, (inputs, outputs) in enumerate(pairwise(reversed(widths))):
            self.up_blocks.add_module(f"up{number}", _Up(inputs, outputs))
        self.conv = nn.Conv2d(widths[-1], widths[-1] * depth, 1)
        self._volume = (widths[-1], depth)

    def forward(self, x: Tensor) -> Tensor:
        deep: Tensor = self.up_blocks(self.conv(self.down_blocks(x)).unflatten(1, self._volume))
        return deep


class KeypointNetwork(nn.Module):
    """A portrait's crop → its canonical keypoints: as if it looked straight ahead, unmoved.

    ``widths`` and ``depth`` are the published sizes.
    """

    def __init__(
        self, widths: Sequence[int] = (32, 64, 128, 256, 512, 1024), depth: int = 16
    ) -> None:
        super().__init__()
        self.down = _Quarter()
        self.predictor = _KeypointPredictor(widths, depth)
        self.kp = nn.Conv3d(widths[0], KEYPOINTS, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        """:param picture: RGB, 0 … 1, ``(1, 3, 256, 256)``.
        :return: ``(1, 15, 3)``.
        """
        likely = self.kp(self.predictor(self.down(picture)))
        _, _, depth, height, width = likely.shape
        weights = torch.softmax(likely.flatten(2) / 0.1, dim=2).reshape(likely.shape)
        axes = [
            torch.linspace(-1, 1, n, dtype=likely.dtype, device=likely.device)
            for n in (depth, height, width)
        ]
        z, y, x = torch.meshgrid(*axes, indexing="ij")
        return torch.stack([(weights * axis).sum(dim=(2, 3, 4)) for axis in (x, y, z)], dim=2)


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
            if inputs != outputs or stride != 1
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class _ResNet50(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = self._layer(width, width, 3, 1)
        self.layer2 = self._layer(4 * width, 2 * width, 4, 2)
        self.layer3 = self._layer(8 * width, 4 * width, 6, 2)
        self.layer4 = self._layer(16 * width, 8 * width, 3, 2)

    @staticmethod
    def _layer(inputs: int, width: int, count: int, stride: int) -> nn.Sequential:
        blocks = [_Bottleneck(inputs, width, stride)]
        blocks += [_Bottleneck(4 * width, width, 1) for _ in range(count - 1)]
        return nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        y = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        return y.mean(dim=(2, 3), keepdim=True)


class FaceModelNetwork(nn.Module):
    """A picture of a face → the 257 coefficients of the 3-D face model: identity 80, expression 64,
    texture 80, angles 3, light 27, translation 3.

    :param width: of its first layer; 64 is the published one.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.backbone = _ResNet50(width)
        sizes = (80, 64, 80, 3, 27, 2, 1)
        self.final_layers = nn.ModuleList(nn.Conv2d(32 * width, size, 1) for size in sizes)

    def forward(self, picture: Tensor) -> Tensor:
        """:param picture: RGB, 0 … 1, ``(1, 3, 224, 224)``, aligned.
        :return: ``(1, 257)``.
        """
        seen = self.backbone(picture)
        return torch.cat([layer(seen) for layer in self.final_layers], dim=1).flatten(1)


def row_of(coefficients: Tensor) -> Tensor:
    """The row ``(70,)`` of the ``(1, 257)`` coefficients of a picture."""
    of = coefficients[0]
    return torch.cat([of[80:144], of[224:227], of[254:257]])
