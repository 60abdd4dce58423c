"""The network that reads a head's pose and expression from a picture, which no face here asks.

SadTalker's renderer was trained with it: it says in which pose the person in a picture is, in the
terms in which the mapping network says it of coefficients. The published program makes its films
without it, and the files that are distributed today leave it out; it is in the older, split
checkpoint alone. It is here so that whoever has that file can measure with it whether a drawn head
has the pose that was asked for.

Source: T.-C. Wang et al., *One-Shot Free-View Neural Talking-Head Synthesis* (2021).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

from ...weights import load_weights, read_weights
from .semantics import BINS, KEYPOINTS, HeadPose

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SPLIT", "PoseEstimator", "load_estimator"]

SPLIT = "facevid2vid_00189-model.pth.tar"
"""The older checkpoint's file with the renderer, in which the estimator has an entry."""

_ENTRY = "he_estimator"


class _Bottleneck(nn.Module):
    """:param stride: where it isn't 1, the shortcut is a convolution too."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        inner = channels // 4
        self.conv1, self.norm1 = nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv3, self.norm3 = nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels)
        self._narrows = stride != 1
        if self._narrows:
            self.skip = nn.Conv2d(channels, channels, 1, stride)
            self.norm4 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        y = functional.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        return functional.relu(y + (self.norm4(self.skip(x)) if self._narrows else x))


class PoseEstimator(nn.Module):
    """A picture of a face → its head pose, and its expression in terms of keypoints.

    :param width: of the first layer; 64 is the published one.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, width, 7, 2, padding=3), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.block1 = self._row("b1", 4 * width, 3)
        self.conv3, self.norm3 = nn.Conv2d(4 * width, 8 * width, 1), nn.BatchNorm2d(8 * width)
        self.block2 = _Bottleneck(8 * width, 2)
        self.block3 = self._row("b3", 8 * width, 3)
        self.conv4, self.norm4 = nn.Conv2d(8 * width, 16 * width, 1), nn.BatchNorm2d(16 * width)
        self.block4 = _Bottleneck(16 * width, 2)
        self.block5 = self._row("b5", 16 * width, 5)
        self.conv5, self.norm5 = nn.Conv2d(16 * width, 32 * width, 1), nn.BatchNorm2d(32 * width)
        self.block6 = _Bottleneck(32 * width, 2)
        self.block7 = self._row("b7", 32 * width, 2)
        self.fc_roll = nn.Linear(32 * width, BINS)
        self.fc_pitch = nn.Linear(32 * width, BINS)
        self.fc_yaw = nn.Linear(32 * width, BINS)
        self.fc_t = nn.Linear(32 * width, 3)
        self.fc_exp = nn.Linear(32 * width, 3 * KEYPOINTS)

    @staticmethod
    def _row(name: str, channels: int, count: int) -> nn.Sequential:
        blocks = nn.Sequential()
        for number in range(count):
            blocks.add_module(f"{name}_{number}", _Bottleneck(channels, 1))
        return blocks

    def forward(self, picture: Tensor) -> HeadPose:
        """:param picture: RGB, 0 … 1, ``(n, 3, 256, 256)``."""
        y = functional.relu(self.norm1(self.conv1(picture)))
        y = functional.max_pool2d(y, 3, 2, padding=1)
        y = self.block1(functional.relu(self.norm2(self.conv2(y))))
        y = self.block3(self.block2(functional.relu(self.norm3(self.conv3(y)))))
        y = self.block5(self.block4(functional.relu(self.norm4(self.conv4(y)))))
        y = self.block7(self.block6(functional.relu(self.norm5(self.conv5(y)))))
        y = y.mean(dim=(2, 3))
        return HeadPose(
            # The two heads are named the wrong way round in the checkpoint.
            yaw=self.fc_roll(y),
            pitch=self.fc_pitch(y),
            roll=self.fc_yaw(y),
            t=self.fc_t(y),
            exp=self.fc_exp(y),
        )


def load_estimator(folder: Path, *, width: int = 64) -> PoseEstimator:
    """The estimator with the published weights from the split checkpoint in ``folder``.

    :raises ModelMissing: the file is absent, or its weights are not those of this network; the
        first key that is missing or misshapen is named.
    """
    network = PoseEstimator(width)
    load_weights(
        network,
        read_weights(folder / SPLIT, entry=_ENTRY),
        name=f"SadTalker ({SPLIT})",
        optional=("num_batches_tracked",),
    )
    return network
