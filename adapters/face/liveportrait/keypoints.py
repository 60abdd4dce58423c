"""The keypoints: 21 points of a face in space, how they turn, and how others drive them.

Points are row vectors ``(batch, 21, 3)``, x to the right, y down, z away from the viewer, about
-1 … 1 over the crop. Everything here is float32 on whatever device its arguments are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import torch
from attrs import evolve, frozen
from torch.nn import functional as F

from .motion import BINS, RawMotion

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Motion",
    "absolute",
    "degrees",
    "expression_friendly",
    "motion_multiplier",
    "relative",
    "retarget_eyes",
    "retarget_lips",
    "rotation",
    "stitched",
]


class _Network(Protocol):
    def __call__(self, x: Tensor, /) -> Tensor: ...


_DRIVEN_WHOLE = [1, 2, 6, *range(11, 21)]
_DRIVEN_Y = [3, 4, 9]
_DRIVEN_Z = [5, 8, 9]
"""What of an expression is a person's mood and not the person: points, and axes of points."""


def degrees(logits: Tensor) -> Tensor:
    """``(batch, 66)`` logits of bins of 3 degrees to ``(batch, 1)`` degrees."""
    bins = torch.arange(BINS, device=logits.device, dtype=torch.float32)
    expected = (torch.softmax(logits.float(), dim=1) * bins).sum(dim=1, keepdim=True)
    return expected * 3 - 97.5


def rotation(pitch: Tensor, yaw: Tensor, roll: Tensor) -> Tensor:
    """``(batch, 3, 3)``, to be multiplied from the right; the angles are ``(batch, 1)`` degrees.

    Pitch lowers the nose, yaw turns it to the picture's left, roll turns clockwise.
    """
    x, y, z = (angle[:, 0] / 180 * math.pi for angle in (pitch, yaw, roll))
    one, nil = torch.ones_like(x), torch.zeros_like(x)

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, dim=1).unflatten(1, (3, 3))

    about_x = matrix(one, nil, nil, nil, x.cos(), -x.sin(), nil, x.sin(), x.cos())
    about_y = matrix(y.cos(), nil, y.sin(), nil, one, nil, -y.sin(), nil, y.cos())
    about_z = matrix(z.cos(), -z.sin(), nil, z.sin(), z.cos(), nil, nil, nil, one)
    return (about_z @ about_y @ about_x).transpose(1, 2)


@frozen(kw_only=True, eq=False)
class Motion:
    """A face's canonical keypoints ``kp`` and what has become of them: ``exp`` offsets
    ``(batch, 21, 3)``, turned by ``turn`` ``(batch, 3, 3)``, ``scale`` ``(batch, 1)`` and ``t``
    ``(batch, 3)``, of which only x and y count. ``angles`` are the degrees that ``turn`` is of,
    ``(batch, 3)``: pitch, yaw, roll.
    """

    kp: Tensor
    exp: Tensor
    turn: Tensor
    angles: Tensor
    scale: Tensor
    t: Tensor

    @classmethod
    def read(cls, raw: RawMotion) -> Motion:
        """What the motion extractor said, in float32."""
        angles = [degrees(logits) for logits in (raw.pitch, raw.yaw, raw.roll)]
        return cls(
            kp=raw.kp.float().unflatten(1, (-1, 3)),
            exp=raw.exp.float().unflatten(1, (-1, 3)),
            turn=rotation(*angles),
            angles=torch.cat(angles, dim=1),
            scale=raw.scale.float(),
            t=raw.t.float(),
        )

    def keypoints(self) -> Tensor:
        """Where the keypoints are."""
        placed = self.scale.unsqueeze(-1) * (self.kp @ self.turn + self.exp)
        return placed + F.pad(self.t[:, :2], (0, 1)).unsqueeze(1)


def relative(source: Motion, driving: Motion, first: Motion) -> Motion:
    """``source`` moved as ``driving`` has moved since ``first``."""
    return evolve(
        source,
        turn=driving.turn @ first.turn.transpose(1, 2) @ source.turn,
        exp=source.exp + (driving.exp - first.exp),
        scale=source.scale * (driving.scale / first.scale),
        t=source.t + (driving.t - first.t),
    )


def absolute(source: Motion, driving: Motion) -> Motion:
    """``source`` turned, placed and with the mood of ``driving``."""
    exp = source.exp.expand_as(driving.exp).clone()
    exp[:, _DRIVEN_WHOLE] = driving.exp[:, _DRIVEN_WHOLE]
    exp[:, _DRIVEN_Y, 1] = driving.exp[:, _DRIVEN_Y, 1]
    exp[:, _DRIVEN_Z, 2] = driving.exp[:, _DRIVEN_Z, 2]
    return evolve(source, turn=driving.turn, exp=exp, t=driving.t)


def motion_multiplier(source: Tensor, first: Tensor) -> float:
    """How much larger the source's face is than the first driving one: roots of hulls' volumes."""
    from scipy.spatial import ConvexHull

    volumes = [ConvexHull(points[0].cpu().numpy()).volume for points in (source, first)]
    return math.sqrt(volumes[0]) / math.sqrt(volumes[1])


def expression_friendly(driven: Tensor, source: Tensor, first: Tensor) -> Tensor:
    """``driven`` keypoints, their movement since ``first`` fitted to the source's size."""
    return (driven - first) * motion_multiplier(source, first) + source


def stitched(network: _Network, source: Tensor, driven: Tensor) -> Tensor:
    """``driven`` keypoints, corrected so that the shoulders stay where they are in the source."""
    source = source.expand_as(driven)
    correction = network(torch.cat((source.flatten(1), driven.flatten(1)), dim=1))
    offsets = correction[:, :-2].unflatten(1, (-1, 3))
    shift = F.pad(correction[:, -2:], (0, 1))
    return driven + offsets + shift.unsqueeze(1)


def retarget_eyes(network: _Network, source: Tensor, ratios: Tensor, wanted: Tensor) -> Tensor:
    """Offsets ``(batch, 21, 3)`` that open or close the eyes.

    :param source: the source's keypoints, ``(batch, 21, 3)``.
    :param ratios: how open its left and right eyes are, ``(batch, 2)``.
    :param wanted: how open they are to be, ``(batch, 1)``.
    """
    return network(torch.cat((source.flatten(1), ratios, wanted), dim=1)).unflatten(1, (-1, 3))


def retarget_lips(network: _Network, source: Tensor, ratio: Tensor, wanted: Tensor) -> Tensor:
    """Offsets ``(batch, 21, 3)`` that open or close the mouth; ratios as for the eyes."""
    return network(torch.cat((source.flatten(1), ratio, wanted), dim=1)).unflatten(1, (-1, 3))
