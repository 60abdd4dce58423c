"""A face parser: which pixel belongs to which part of a face. Optional.

The network is BiSeNet with 19 classes. The weights that are about were trained on pictures that
may not be used commercially, which is why ``blending.mesh_mask`` is what a face gets by default.

Source: C. Yu et al., *BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation*
(2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maestra.ports.audio import Picture

    Labels = NDArray[np.integer]
    Mask = NDArray[np.uint8]

__all__ = ["FaceParser", "mask_of", "parse"]

_CLASSES = 19
_SKIN, _NOSE, _MOUTH, _UPPER_LIP, _LOWER_LIP, _NECK = 1, 10, 11, 12, 13, 14
_SIDE = 512


class _ConvBNReLU(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.bn(self.conv(x)))


class _Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
            if stride > 1
            else nn.Identity()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.downsample(x) + self.bn2(self.conv2(y)))


class _Trunk(nn.Module):
    """ResNet-18 without its head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(_Block(64, 64, 1), _Block(64, 64, 1))
        self.layer2 = nn.Sequential(_Block(64, 128, 2), _Block(128, 128, 1))
        self.layer3 = nn.Sequential(_Block(128, 256, 2), _Block(256, 256, 1))
        self.layer4 = nn.Sequential(_Block(256, 512, 2), _Block(512, 512, 1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """At an eighth, a 16th and a 32nd of the picture's size."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer1(functional.max_pool2d(x, 3, 2, 1))
        eighth = self.layer2(x)
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class _Attention(nn.Module):
    """Channels weighed by what the whole picture has of them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = _ConvBNReLU(inputs, outputs)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return x * torch.sigmoid(self.bn_atten(self.conv_atten(_mean(x))))


class _Context(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resnet = _Trunk()
        self.arm16 = _Attention(256, 128)
        self.arm32 = _Attention(512, 128)
        self.conv_head32 = _ConvBNReLU(128, 128)
        self.conv_head16 = _ConvBNReLU(128, 128)
        self.conv_avg = _ConvBNReLU(512, 128, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        eighth, sixteenth, smallest = self.resnet(x)
        deep = self.arm32(smallest) + self.conv_avg(_mean(smallest))
        deep = self.conv_head32(functional.interpolate(deep, size=sixteenth.shape[-2:]))
        middle = self.arm16(sixteenth) + deep
        middle = self.conv_head16(functional.interpolate(middle, size=eighth.shape[-2:]))
        return eighth, middle, deep


class _Fusion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convblk = _ConvBNReLU(256, 256, 1)
        self.conv1 = nn.Conv2d(256, 64, 1, bias=False)
        self.conv2 = nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, fine: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        x = self.convblk(torch.cat([fine, context], dim=1))
        return x * torch.sigmoid(self.conv2(functional.relu(self.conv1(_mean(x))))) + x


class _Head(nn.Module):
    def __init__(self, inputs: int, middle: int) -> None:
        super().__init__()
        self.conv = _ConvBNReLU(inputs, middle)
        self.conv_out = nn.Conv2d(middle, _CLASSES, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv_out(self.conv(x))


class FaceParser(nn.Module):
    """``(n, 3, h, w)``, normalised as for ImageNet → scores ``(n, 19, h, w)`` and, for training,
    those of the two coarser heads."""

    def __init__(self) -> None:
        super().__init__()
        self.cp = _Context()
        self.ffm = _Fusion()
        self.conv_out = _Head(256, 256)
        self.conv_out16 = _Head(128, 64)
        self.conv_out32 = _Head(128, 64)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        size = x.shape[-2:]
        fine, eighth, sixteenth = self.cp(x)
        fused = self.ffm(fine, eighth)
        return tuple(
            functional.interpolate(scores, size=size, mode="bilinear", align_corners=True)
            for scores in (
                self.conv_out(fused),
                self.conv_out16(eighth),
                self.conv_out32(sixteenth),
            )
        )


def _mean(x: torch.Tensor) -> torch.Tensor:
    return x.mean(dim=(2, 3), keepdim=True)


def parse(parser: FaceParser, square: Picture) -> Mask:
    """The mask of the skin around the mouth in ``square`` (RGB), in its size."""
    from PIL import Image

    side = square.shape[0]
    small = Image.fromarray(square).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    x = torch.from_numpy(np.asarray(small, np.float32).transpose(2, 0, 1) / 255)[None]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        scores = parser((x - mean[:, None, None]) / std[:, None, None])[0][0]
    mask = Image.fromarray(mask_of(scores.argmax(dim=0).numpy()))
    return np.asarray(mask.resize((side, side)), np.uint8)


def mask_of(
    labels: Labels, mode: Literal["raw", "neck", "jaw"] = "jaw", *, cheek: int = 90
) -> Mask:
    """What of a parsed face, ``(512, 512)`` classes, is painted anew.

    :param mode: ``raw``, skin and mouth; ``neck``, the neck too; ``jaw``, the skin carried on below
        the chin, where a jaw falls, and drawn in at the cheeks.
    :param cheek: how wide the cheeks are, from the middle outwards without it.
    """
    mouth = np.isin(labels, (_MOUTH, _UPPER_LIP, _LOWER_LIP))
    skin = labels == _SKIN
    if mode == "raw":
        return _bytes(skin | mouth)
    if mode == "neck":
        return _bytes(skin | mouth | (labels == _NECK))
    fallen = cv2.dilate(_bytes(skin), _cone())
    slim = cv2.erode(fallen, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (35, 3)), iterations=2)
    middle = _SIDE // 2
    columns = np.arange(_SIDE)
    cheeks = (columns <= middle - cheek) | (columns >= middle + cheek)
    drawn = np.where(cheeks, slim, fallen) > 0
    return _bytes((drawn & (labels != _NOSE)) | mouth)


def _cone() -> Mask:
    """What skin is carried on by: upwards from a point, so that only its lower edge moves."""
    cone = np.zeros((33, 33), np.uint8)
    for row in range(10, 33):
        half = min(row - 10, 10)
        cone[row, 16 - half : 17 + half] = 1
    return cone


def _bytes(mask: NDArray[np.bool_]) -> Mask:
    return mask.astype(np.uint8) * np.uint8(255)
