"""The engine: a portrait and the networks on a device; rows of controls in, pictures out.

What the pictures have in common is made once, from the portrait: its appearance, its keypoints, how
open its eyes and mouth are, and where in the picture the crop lies. Per picture there is a row of
controls (``performing``) and then nothing but work on the device until the bytes come back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from attrs import define, fields
from numpy.typing import NDArray
from torch.nn import functional as F

from ..colour import yuv420
from ..device import Device, Recorded, Residence, fetched, in_stream, no_room, weights_of
from ..tracing import stage
from .features import Features
from .geometry import CROP_SIDE, Crop, placed_mask
from .keypoints import Motion, retarget_eyes, retarget_lips, rotation, stitched
from .networks import Networks
from .performing import CONTROLS, EXPRESSION, EYES, LIPS

if TYPE_CHECKING:
    from torch import Tensor

    from maestra.ports.audio import Picture

__all__ = ["Engine"]


@define(kw_only=True, eq=False)
class _References:
    """What every picture of a portrait is drawn from, float32 on the device, each a batch of one.

    ``volume`` is its appearance, ``keypoints`` (1, 21, 3) are where its face is, the rest but the
    last three what they are made of (``keypoints.Motion``); ``eyes`` (1, 2) and ``lips`` (1, 1) the
    ratios. ``picture`` (1, 3, h, w) in 0 … 255 is what is drawn into, where ``mask`` (1, 1, h, w)
    says, with what ``grid`` (1, h, w, 2) says of the crop.
    """

    volume: Tensor
    keypoints: Tensor
    kp: Tensor
    exp: Tensor
    angles: Tensor
    scale: Tensor
    t: Tensor
    eyes: Tensor
    lips: Tensor
    picture: Tensor
    mask: Tensor
    grid: Tensor


_NAMES = tuple(attribute.name for attribute in fields(_References))


def _as_input(picture: Picture) -> Tensor:
    """``(side, side, 3)`` to ``(1, 3, side, side)`` in 0 … 1."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].float() / 255


def _grid(crop: Crop, size: int) -> NDArray[np.float32]:
    """``(size, size, 2)``: where in the crop each pixel lies, -1 … 1 from edge to edge."""
    y, x = np.mgrid[:size, :size]
    at = np.stack([x, y, np.ones_like(x)], axis=-1) @ crop.matrix().astype(np.float64).T
    made: NDArray[np.float32] = ((2 * at[..., :2] + 1) / CROP_SIDE - 1).astype(np.float32)
    return made


def _references(networks: Networks, picture: Picture, features: Features, size: int) -> _References:
    """On the CPU, by networks on the CPU.

    :raises FaceError: the face is too small.
    """
    import cv2

    crop = features.crop()
    seen = cv2.resize(
        crop.cut(picture), (networks.side, networks.side), interpolation=cv2.INTER_AREA
    )
    shown = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    placed = crop.scaled(size / len(picture))
    with torch.inference_mode():
        tensor = _as_input(seen)
        volume = networks.appearance_feature_extractor(tensor)
        motion = Motion.read(networks.motion_extractor(tensor))
    return _References(
        volume=volume,
        keypoints=motion.keypoints(),
        kp=motion.kp,
        exp=motion.exp,
        angles=motion.angles,
        scale=motion.scale,
        t=motion.t,
        eyes=torch.tensor([features.eyes], dtype=torch.float32),
        lips=torch.tensor([[features.lips]], dtype=torch.float32),
        picture=_as_input(shown) * 255,
        mask=torch.from_numpy(placed_mask(placed, (size, size)))[None, None],
        grid=torch.from_numpy(_grid(placed, size))[None],
    )


class Engine:
    """Draws one portrait, ``size`` pixels square.

    :param picture: square RGB, of any size.
    :param features: where its face is, in its pixels.
    :param unload_after: leave the device after so many seconds without speech; ``None`` stays.
    :param replaced: whether there are idle pictures that need nothing of it.
    """

    def __init__(
        self,
        networks: Networks,
        picture: Picture,
        features: Features,
        *,
        size: int,
        device: Device,
        unload_after: float | None = None,
        replaced: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        networks.fuse()
        self._references = _references(networks, picture, features, size)
        self._networks = networks
        self._size = size
        self._on = device
        networks.drawing(device.device, device.precision)
        for name in _NAMES:
            tensor = getattr(self._references, name).to(device.device)
            setattr(self._references, name, tensor)
        device.settle()
        self._drawn = device.compile(self._pictures)
        self._stream = device.stream()
        self._render = Recorded(
            self._planes,
            lambda size: (torch.zeros(size, CONTROLS, device=device.device),),
            on=device,
            stream=self._stream,
        )
        self._residence = Residence(
            self._places,
            device.device,
            unload_after=unload_after,
            leaving=self._render.forget,
            replaced=replaced,
            clock=clock,
        )

    @property
    def eyes_open(self) -> float:
        """How open the portrait's eyes are, in terms of their width."""
        return float(self._references.eyes.mean())

    # --- from controls to pictures ------------------------------------------------

    def draw(self, rows: NDArray[np.float32], *, hurried: bool = True) -> list[Picture]:
        """A picture of every row of ``(count, CONTROLS)``; none where idle pictures are replaced.

        :param hurried: somebody waits for these, which are of speech; what would make later ones
            faster has to wait.
        :raises FaceOutOfMemory: there is no room for so many.
        """
        count = len(rows)
        size = self._on.size_for(count)
        filled = np.concatenate([rows, np.repeat(rows[-1:], size - count, axis=0)])
        full = no_room(
            f"The GPU has no room to draw {count} pictures at once.", self._render.forget
        )
        at = self._residence.at_work() if hurried else self._residence.at_rest()
        with full, at as came_back:
            if came_back is None:
                return []
            with torch.inference_mode(), in_stream(self._stream):
                if not (hurried or came_back):
                    self._render.record_one()
                planes = self._render(torch.from_numpy(filled))
                with stage("copy"):
                    pictures = fetched(planes[:count], self._stream)
        # What is drawn on the CPU may be where it will be drawn again.
        return [*(pictures.copy() if self._stream is None else pictures)]

    def driven(self, rows: Tensor) -> Tensor:
        """The keypoints, ``(count, 21, 3)``, that ``rows`` of controls ask for."""
        with stage("motion"):
            placed = self._placed(rows)
        with stage("stitch"):
            source = self._references.keypoints.expand(len(rows), -1, -1)
            return stitched(self._networks.stitching, source, placed)

    def _placed(self, rows: Tensor) -> Tensor:
        """Likewise, before they are stitched to the portrait's shoulders."""
        of = self._references
        count = len(rows)
        angles = of.angles + rows[:, :3]
        turn = rotation(*angles.split(1, dim=1))
        exp = of.exp + rows[:, EXPRESSION:].unflatten(1, (-1, 3))
        scale = of.scale * (1 + rows[:, 5:6])
        placed = scale.unsqueeze(-1) * (of.kp @ turn + exp)
        placed = placed + F.pad(of.t[:, :2] + rows[:, 3:5], (0, 1)).unsqueeze(1)

        source = of.keypoints.expand(count, -1, -1)
        eyes, lips = of.eyes.expand(count, -1), of.lips.expand(count, -1)
        wanted = rows[:, EYES : EYES + 1]
        own = eyes.mean(dim=1, keepdim=True)
        # The eyes' offsets are against the portrait's own look, so that nothing is asked of them
        # between blinks. The lips' are not: a portrait that laughs is to shut its mouth.
        placed = placed + retarget_lips(self._networks.lip, source, lips, rows[:, LIPS : LIPS + 1])
        placed = placed + retarget_eyes(self._networks.eye, source, eyes, wanted)
        return placed - retarget_eyes(self._networks.eye, source, eyes, own)

    def _planes(self, rows: Tensor) -> Tensor:
        """``(count, CONTROLS)`` to ``(count, size * 3 // 2, size)`` uint8, I420."""
        pictures = self._drawn(rows)
        with stage("colour"):
            return yuv420(pictures)

    def _pictures(self, rows: Tensor) -> Tensor:
        """``(count, CONTROLS)`` to ``(count, size, size, 3)`` uint8."""
        of = self._references
        count = len(rows)
        driven = self.driven(rows)
        with stage("warp"):
            warped = self._networks.warping_module(
                of.volume.expand(count, -1, -1, -1, -1),
                driven,
                of.keypoints.expand(count, -1, -1),
            )
        with stage("generate"):
            drawn = self._networks.spade_generator(warped.features).float() * 255
        with stage("paste"):
            laid = F.grid_sample(drawn, of.grid.expand(count, -1, -1, -1), align_corners=False)
            whole = of.picture + of.mask * (laid - of.picture)
            return whole.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def warm(self) -> None:
        """Do once what makes the first pictures slow: compile, allocate, record."""
        if self._on.starts_cold:
            for size in self._on.sizes:
                self.draw(np.zeros((size, CONTROLS), np.float32), hurried=False)

    # --- leaving the device and coming back -----------------------------------------

    def _places(self) -> Iterator[tuple[Any, str]]:
        for name in _NAMES:
            yield self._references, name
        yield from weights_of(*self._networks.by_name().values())

    @property
    def resident(self) -> bool:
        """Whether it is on the device, and not put away in host memory."""
        return self._residence.resident

    def unload(self) -> None:
        """Put everything away into host memory, from which it comes back with the next picture."""
        self._residence.unload()
