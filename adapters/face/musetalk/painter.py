"""The picture networks at work: pictures to latents, once, and latents and prompts to pictures.

On a GPU it has two streams of its own, and a batch is cut into parts: while the U-Net works on one
in the first stream, the autoencoder decodes the one before in the second, where the faces are laid
into the picture, too, and what is drawn before that is copied back. Parts are filled up to a power
of two, so that what is compiled and recorded sees few shapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..colour import yuv420
from ..device import Device, Recorded, in_stream
from ..tracing import stage
from .blending import CROP
from .networks import LATENT_SCALE, Networks

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from maestra.ports.audio import Picture

    from .blending import Laying

__all__ = ["PART", "Painter", "latents"]

PART = 8
"""Pictures that the U-Net works on at once, at most."""

_STATES = 50


def latents(networks: Networks, crops: Picture) -> NDArray[np.float32]:
    """What the U-Net is given of face crops, ``(n, 256, 256, 3)`` RGB → ``(n, 8, 32, 32)``: the
    crop without its lower half, then all of it."""
    weight = next(networks.vae.parameters())
    full = torch.from_numpy(np.ascontiguousarray(crops)).to(weight.device)
    full = full.permute(0, 3, 1, 2).float() / 255
    masked = full.clone()
    masked[:, :, full.shape[2] // 2 :] = 0
    with torch.inference_mode():
        # The middle of the distribution and not a draw from it, for the same crop every time.
        halves = [
            networks.vae.encode((2 * half - 1).to(weight.dtype)).latent_dist.mode()
            for half in (masked, full)
        ]
    found: NDArray[np.float32] = (torch.cat(halves, dim=1).float() * LATENT_SCALE).cpu().numpy()
    return found


class Painter:
    """The U-Net and the autoencoder of ``networks``, which are on the device ``on`` already.

    :param laying: lays what they paint into the picture.
    """

    def __init__(self, networks: Networks, laying: Laying, on: Device) -> None:
        self._on = on
        self._laying = laying
        self._unet = on.compile(networks.unet)
        self._decode = on.compile(networks.vae.decode)
        self._now = torch.zeros(1, dtype=torch.long, device=on.device)
        self._width = networks.encoder.conv1.out_channels
        self.stream, self._decoding = on.stream(), on.stream()
        self._telling = Recorded(self._told, self._example, on=on, stream=self.stream)
        self._showing = Recorded(self._shown, self._example_told, on=on, stream=self._decoding)
        on.settle()

    def paint(
        self,
        latents: Tensor,
        prompts: Tensor,
        under: Tensor,
        shares: Tensor,
    ) -> Picture:
        """The faces of ``latents`` saying ``prompts``, laid into ``under``: I420,
        ``(n, height * 3 // 2, width)``. To be called in ``stream``. What is given may be on the
        device or not.

        :param under: what the part shows that they change, ``(n, height, width, 3)``.
        :param shares: 0 … 1, how much is seen of each face.
        """
        count = len(prompts)
        parts = []
        with torch.inference_mode():
            for begin in range(0, count, PART):
                part = slice(begin, min(begin + PART, count))
                parts.append(
                    self._paint_part(*(each[part] for each in (latents, prompts, under, shares)))
                )
        if self._decoding is not None:
            self._decoding.synchronize()
        painted: Picture = np.concatenate([pixels.numpy() for pixels in parts])
        return painted

    def warm(self) -> None:
        """Paint once whatever has a shape of its own, which is slow the first time."""
        with torch.inference_mode():
            for size in self._on.sizes:
                self.record_one()
                given, prompts = self._example(size)
                _, under, shares = self._example_told(size)
                self.paint(given, prompts, under, shares)

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to be recorded."""
        return self._telling.complete and self._showing.complete

    def record_one(self) -> None:
        """See ``Recorded``. To be called in ``stream``."""
        with torch.inference_mode():
            self._telling.record_one()
            with in_stream(self._decoding):
                self._showing.record_one()

    def forget(self) -> None:
        """See ``Recorded``."""
        self._telling.forget()
        self._showing.forget()

    def faces(self, told: Tensor) -> Tensor:
        """What the autoencoder makes of what the U-Net said, ``(n, 256, 256, 3)`` bytes."""
        picture = self._decode(told / LATENT_SCALE, return_dict=False)[0].float()
        levels = ((picture / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        return levels.permute(0, 2, 3, 1).contiguous()

    def _paint_part(
        self, latents: Tensor, prompts: Tensor, under: Tensor, shares: Tensor
    ) -> Tensor:
        count = len(prompts)
        size = self._on.size_for(count)
        latents, prompts, under, shares = (
            torch.cat([x, x[-1:].expand(size - count, *x.shape[1:])])
            for x in (latents, prompts, under, shares)
        )
        told = self._telling(latents, prompts)
        if self._decoding is None:
            return self._showing(told, under, shares)[:count].clone()
        # The next part's is made in its place while this one is decoded.
        told = told.clone()
        self._decoding.wait_stream(torch.cuda.current_stream(self._on.device))
        with torch.cuda.stream(self._decoding):
            for each in (told, under, shares):
                if each.is_cuda:
                    each.record_stream(self._decoding)
            planes = self._showing(told, under, shares)[:count]
            with stage("copy"):
                host = torch.empty(planes.shape, dtype=torch.uint8, pin_memory=True)
                return host.copy_(planes, non_blocking=True)

    def _told(self, latents: Tensor, prompts: Tensor) -> Tensor:
        given = latents.to(self._on.precision).contiguous(memory_format=torch.channels_last)
        with stage("unet"):
            told: Tensor = self._unet(
                given, self._now, encoder_hidden_states=prompts, return_dict=False
            )[0]
            return told

    def _shown(self, told: Tensor, under: Tensor, shares: Tensor) -> Tensor:
        with stage("vae"):
            faces = self.faces(told)
        with stage("blend"):
            laid = self._laying(under, faces, shares)
        with stage("colour"):
            return yuv420(laid)

    def _example(self, size: int) -> tuple[Tensor, ...]:
        given = torch.zeros(size, 8, CROP // 8, CROP // 8, device=self._on.device)
        prompts = torch.zeros(size, _STATES, self._width, device=self._on.device)
        return given, prompts.to(self._on.precision)

    def _example_told(self, size: int) -> tuple[Tensor, ...]:
        left, top, right, bottom = self._laying.part
        told = torch.zeros(size, 4, CROP // 8, CROP // 8, device=self._on.device)
        under = torch.zeros(
            size, bottom - top, right - left, 3, dtype=torch.uint8, device=self._on.device
        )
        return told.to(self._on.precision), under, torch.zeros(size, device=self._on.device)
