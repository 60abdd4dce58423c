"""The picture networks at work: pictures to latents, once, and latents and prompts to pictures.

On a GPU it has two streams of its own, and a batch is cut into parts: while the U-Net works on one
in the first stream, the autoencoder decodes the one before in the second and the pictures before
that are copied back. Batches are filled up to a power of two, so that compiled networks see few
shapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from maestra.ports.errors import FaceOutOfMemory

from ..tracing import stage
from .networks import LATENT_SCALE, Networks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maestra.ports.audio import Picture

__all__ = ["Painter", "no_room"]

_PART = 8
"""Pictures that the U-Net works on at once."""


@contextmanager
def no_room() -> Iterator[None]:
    """Say in the port's words that a GPU's memory is full.

    :raises FaceOutOfMemory: it is.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise FaceOutOfMemory(
            "There is no room on the GPU for so many pictures at once."
        ) from error


class Painter:
    """The U-Net and the autoencoder of ``networks``, which stay where they are.

    :param compiled: let the networks that run for every picture be compiled at their first call
        of each shape.
    """

    def __init__(self, networks: Networks, *, compiled: bool = False) -> None:
        weight = next(networks.unet.parameters())
        self._device, self._dtype = weight.device, weight.dtype
        self._vae = networks.vae
        self._unet: Any = networks.unet
        self._decode: Any = networks.vae.decode
        if compiled:
            self._unet = torch.compile(self._unet, dynamic=False)
            self._decode = torch.compile(self._decode, dynamic=False)
        self._now = torch.zeros(1, dtype=torch.long, device=self._device)
        self._drawing = self._decoding = None
        if self._device.type == "cuda":
            self._drawing, self._decoding = (torch.cuda.Stream(self._device) for _ in range(2))
            # What was put there so far was put there in another stream.
            self._drawing.wait_stream(torch.cuda.current_stream(self._device))

    def latents(self, crops: Picture) -> NDArray[np.float32]:
        """What the U-Net is given of face crops, ``(n, 256, 256, 3)`` RGB → ``(n, 8, 32, 32)``: the
        crop without its lower half, then all of it."""
        full = torch.from_numpy(np.ascontiguousarray(crops)).to(self._device)
        full = full.permute(0, 3, 1, 2).float() / 255
        masked = full.clone()
        masked[:, :, full.shape[2] // 2 :] = 0
        with torch.inference_mode():
            # The middle of the distribution and not a draw from it, for the same crop every time.
            halves = [
                self._vae.encode((2 * half - 1).to(self._dtype)).latent_dist.mode()
                for half in (masked, full)
            ]
        found: NDArray[np.float32] = (torch.cat(halves, dim=1).float() * LATENT_SCALE).cpu().numpy()
        return found

    def on_stream(self) -> AbstractContextManager[object]:
        """The stream to ``paint`` in, and to make the prompts in: beside what others do there."""
        return nullcontext() if self._drawing is None else torch.cuda.stream(self._drawing)

    def paint(self, latents: NDArray[np.float32], prompts: torch.Tensor) -> Picture:
        """The faces of ``latents`` saying ``prompts``, ``(n, 256, 256, 3)`` RGB."""
        count = len(prompts)
        given = torch.from_numpy(np.ascontiguousarray(latents)).to(self._device, self._dtype)
        parts = []
        with torch.inference_mode():
            for begin in range(0, count, _PART):
                part = slice(begin, min(begin + _PART, count))
                parts.append(self._paint_part(given[part], prompts[part]))
        if self._decoding is not None:
            self._decoding.synchronize()
        painted: Picture = np.concatenate([pixels.numpy() for pixels in parts])
        return painted

    def _paint_part(self, latents: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        count = len(prompts)
        filled = 1 << (count - 1).bit_length()
        latents, prompts = (
            torch.cat([x, x[-1:].expand(filled - count, *x.shape[1:])]) for x in (latents, prompts)
        )
        latents = latents.contiguous(memory_format=torch.channels_last)
        with stage("unet"):
            told = self._unet(latents, self._now, encoder_hidden_states=prompts, return_dict=False)[
                0
            ]
        if self._decoding is None:
            with stage("vae"):
                return self._pixels(told)[:count]
        self._decoding.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._decoding):
            told.record_stream(self._decoding)
            with stage("vae"):
                pixels = self._pixels(told)[:count]
            with stage("copy"):
                host = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=True)
                return host.copy_(pixels, non_blocking=True)

    def _pixels(self, told: torch.Tensor) -> torch.Tensor:
        picture = self._decode(told / LATENT_SCALE, return_dict=False)[0].float()
        levels = ((picture / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
        return levels.permute(0, 2, 3, 1).contiguous()
