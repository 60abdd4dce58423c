"""From keypoints to what the portrait's square shows: drawn, enlarged and laid into the portrait
where the networks are, so that nothing but its bytes comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from attrs import define, fields
from torch.nn import functional

from ..colour import yuv420
from ..device import Device, Recorded, channels_last, fetched, weights_of
from ..liveportrait.layers import fuse
from ..tracing import stage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from maestra.ports.audio import Picture

    from .render import RenderNetwork

__all__ = ["Renderer"]


@define(kw_only=True, eq=False)
class _References:
    """What every picture of a portrait is drawn from, float32 on the device.

    ``appearance`` is what the renderer makes of it, ``source`` ``(1, 15, 3)`` its keypoints. What
    is drawn is laid over ``old`` ``(1, 3, side, side)``, 0 … 255, as far as ``mask``
    ``(side, side)`` says.
    """

    appearance: Tensor
    source: Tensor
    old: Tensor
    mask: Tensor


_NAMES = tuple(attribute.name for attribute in fields(_References))


class Renderer:
    """Draws the square of one portrait in which the face is.

    :param network: with its weights; it is fused and taken to the device.
    :param crop: what it is shown of the portrait, RGB, 0 … 1, ``(1, 3, n, n)``.
    :param source: the portrait's keypoints, ``(1, 15, 3)``.
    :param old: the square as it is, ``(side, side, 3)``.
    :param mask: how far what is drawn is seen, 0 … 1, ``(side, side, 1)``.
    """

    def __init__(
        self,
        network: RenderNetwork,
        crop: Tensor,
        source: Tensor,
        old: Picture,
        mask: NDArray[np.float32],
        *,
        on: Device,
        stream: torch.cuda.Stream | None = None,
    ) -> None:
        device, precision = on.device, on.precision
        fuse(network)
        network.to(device, precision)
        channels_last(network)
        self._network = network
        self._on = on
        with torch.inference_mode():
            appearance = network.appearance(crop.to(device, precision)).float()
        self._references = _References(
            appearance=appearance,
            source=source.to(device),
            old=torch.from_numpy(old.copy()).permute(2, 0, 1)[None].float().to(device),
            mask=torch.from_numpy(mask[:, :, 0].astype(np.float32)).to(device),
        )
        self._drawn = on.compile(self._faces)
        self._render = Recorded(
            self._planes,
            lambda size: (self._references.source.repeat(size, 1, 1),),
            on=on,
            stream=stream,
        )
        self._stream = stream
        on.settle()

    def places(self) -> Iterator[tuple[Any, str]]:
        """See ``maestra.adapters.face.device.Places``."""
        for name in _NAMES:
            yield self._references, name
        yield from weights_of(self._network)

    def draw(self, driving: NDArray[np.float32], *, hurried: bool = True) -> Picture:
        """The square with the face in each pose of ``(n, 15, 3)`` keypoints, ``(n, side * 3 // 2,
        side)`` I420, which may change with the next call.

        :param hurried: somebody waits for these; what would make later ones faster has to wait.
        """
        count = len(driving)
        size = self._on.size_for(count)
        filled = np.concatenate([driving, np.repeat(driving[-1:], size - count, axis=0)])
        if not hurried:
            self._render.record_one()
        planes = self._render(torch.from_numpy(filled))
        with stage("copy"):
            return fetched(planes[:count], self._stream)

    def warm(self) -> None:
        """Draw once whatever has a shape of its own, which is slow the first time."""
        source = self._references.source.cpu().numpy()
        for size in self._on.sizes:
            self.draw(np.repeat(source, size, axis=0), hurried=False)

    def forget(self) -> None:
        """See ``Recorded``."""
        self._render.forget()

    def _planes(self, driving: Tensor) -> Tensor:
        """``(n, side * 3 // 2, side)`` uint8, I420."""
        with stage("generator"):
            drawn = self._drawn(driving)
        with stage("colour"):
            return yuv420(drawn)

    def _faces(self, driving: Tensor) -> Tensor:
        of, count = self._references, len(driving)
        drawn = self._network(
            of.appearance.expand(count, -1, -1, -1, -1), driving, of.source.expand(count, -1, -1)
        )
        side = of.mask.shape[0]
        laid = functional.interpolate(
            drawn.float(), (side, side), mode="bicubic", antialias=side < drawn.shape[-1]
        )
        whole = of.old + of.mask * (laid.clamp(0, 1) * 255 - of.old)
        return whole.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
