"""The networks that listen: from sound to a face's expression, and to its head's pose.

Keys and shapes are the published checkpoint's. A *mel window* is ``(80, 16)``: 80 bands by 16
frames of ``mel``, which are about 0.2 s around a picture. Everything runs in evaluation mode.

Source: W. Zhang et al., *SadTalker* (2023), release 0.0.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["BLOCK", "STYLES", "ExpressionNetwork", "PoseNetwork"]

BLOCK = 32
"""How many pictures' poses are made at once."""

STYLES = 46
"""How many manners of moving the head the pose network has learnt."""

_POSE = 6
_NOISE = 64


class _Convolution(nn.Module):
    """Convolution and batch norm; with ``residual`` the input is added before the ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int | tuple[int, int] = 1,
        padding: int = 1,
        *,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.BatchNorm2d(outputs)
        )
        self._residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_block(x)
        return torch.relu(y + x if self._residual else y)

    def fold(self) -> None:
        """Put the norm into the convolution."""
        self.conv_block = nn.Sequential(fuse_conv_bn_eval(*self.conv_block))


def _again(channels: int) -> _Convolution:
    return _Convolution(channels, channels, residual=True)


def _audio_encoder(width: int) -> nn.Sequential:
    """``(windows, 1, 80, 16)`` → ``(windows, 16 width, 1, 1)``, as in Wav2Lip."""
    return nn.Sequential(
        _Convolution(1, width),
        _again(width),
        _again(width),
        _Convolution(width, 2 * width, stride=(3, 1)),
        _again(2 * width),
        _again(2 * width),
        _Convolution(2 * width, 4 * width, stride=3),
        _again(4 * width),
        _again(4 * width),
        _Convolution(4 * width, 8 * width, stride=(3, 2)),
        _again(8 * width),
        _Convolution(8 * width, 16 * width, padding=0),
        _Convolution(16 * width, 16 * width, kernel=1, padding=0),
    )


class ExpressionNetwork(nn.Module):
    """What the mouth does: mel windows → expression coefficients of the 3-D face model.

    :param width: of the first layer; 32 is the published one.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.audio_encoder = _audio_encoder(width)
        self.mapping1 = nn.Linear(16 * width + 64 + 1, 64)

    def forward(self, windows: Tensor, reference: Tensor, blink: Tensor) -> Tensor:
        """The expressions, ``(n, 64)``.

        :param windows: ``(n, 80, 16)``.
        :param reference: the portrait's own expression, ``(64,)``.
        :param blink: how far the eyes are closed, 0 … 1, ``(n,)``.
        """
        heard = self.audio_encoder(windows[:, None])[:, :, 0, 0]
        known = reference.expand(len(windows), -1)
        expression: Tensor = self.mapping1(torch.cat([heard, known, blink[:, None]], dim=1))
        return expression

    def of_blink(self) -> Tensor:
        """What closing the eyes adds to an expression, ``(64,)``: the last layer is linear."""
        column: Tensor = self.mapping1.weight[:, -1]
        return column


class _ResidualConvolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 3, stride, 1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1),
        )
        self.conv_skip = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_block(x) + self.conv_skip(x)
        return y


class _Upsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(channels, channels, (2, 1), (2, 1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.upsample(x)
        return y


class _ResUNet(nn.Module):
    """A U-net over (time, pose); only time is halved on the way down."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.input_skip = nn.Sequential(nn.Conv2d(1, width, 3, padding=1))
        self.residual_conv_1 = _ResidualConvolution(width, 2 * width, (2, 1))
        self.residual_conv_2 = _ResidualConvolution(2 * width, 4 * width, (2, 1))
        self.bridge = _ResidualConvolution(4 * width, 8 * width, (2, 1))
        self.upsample_1 = _Upsample(8 * width)
        self.up_residual_conv1 = _ResidualConvolution(12 * width, 4 * width)
        self.upsample_2 = _Upsample(4 * width)
        self.up_residual_conv2 = _ResidualConvolution(6 * width, 2 * width)
        self.upsample_3 = _Upsample(2 * width)
        self.up_residual_conv3 = _ResidualConvolution(3 * width, width)
        self.output_layer = nn.Sequential(nn.Conv2d(width, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        first = self.input_layer(x) + self.input_skip(x)
        second = self.residual_conv_1(first)
        third = self.residual_conv_2(second)
        y = self.upsample_1(self.bridge(third))
        y = self.upsample_2(self.up_residual_conv1(torch.cat([y, third], dim=1)))
        y = self.upsample_3(self.up_residual_conv2(torch.cat([y, second], dim=1)))
        y = self.output_layer(self.up_residual_conv3(torch.cat([y, first], dim=1)))
        return y


class _PoseDecoder(nn.Module):
    """The half of the variational autoencoder that makes poses."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.classbias = nn.Parameter(torch.zeros(STYLES, _NOISE))
        self.linear_audio = nn.Linear(16 * width, _POSE)
        self.MLP = nn.Sequential()
        self.MLP.add_module("L0", nn.Linear(_POSE + _NOISE + BLOCK * _POSE, 128))
        self.MLP.add_module("A0", nn.ReLU())
        self.MLP.add_module("L1", nn.Linear(128, BLOCK * _POSE))
        self.MLP.add_module("sigmoid", nn.Sigmoid())
        self.resunet = _ResUNet(width)
        self.pose_linear = nn.Linear(_POSE, _POSE)

    def forward(self, heard: Tensor, reference: Tensor, noise: Tensor, style: int) -> Tensor:
        known = torch.cat(
            [reference, noise + self.classbias[style], self.linear_audio(heard).reshape(-1)]
        )
        drawn = self.MLP(known[None]).reshape(1, 1, BLOCK, _POSE)
        poses: Tensor = self.pose_linear(self.resunet(drawn)[0, 0])
        return poses


class _Listener(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.audio_encoder = _audio_encoder(width)


class _Generator(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.decoder = _PoseDecoder(width)


class PoseNetwork(nn.Module):
    """What the head does: a block of ``BLOCK`` mel windows and a portion of noise → as many poses.

    Of the published tensors it leaves out ``UNUSED``, which only the training needs.

    :param width: of the first layers; 32 is the published one.
    """

    UNUSED = ("netG.encoder.", "netD_motion.")

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.audio_encoder = _Listener(width)
        self.netG = _Generator(width)

    def forward(self, windows: Tensor, reference: Tensor, noise: Tensor, style: int) -> Tensor:
        """The changes of pose against ``reference``, ``(BLOCK, 6)``.

        :param windows: ``(BLOCK, 80, 16)``.
        :param reference: the portrait's own pose: three angles in radians, three lengths; ``(6,)``.
        :param noise: normally distributed, ``(64,)``.
        :param style: 0 … ``STYLES`` - 1.
        """
        heard = self.audio_encoder.audio_encoder(windows[:, None])[:, :, 0, 0]
        poses: Tensor = self.netG.decoder(heard, reference, noise, style)
        return poses
