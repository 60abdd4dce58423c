"""From keypoints to what the portrait's square shows: drawn, enlarged and laid into the portrait
where the networks are, so that nothing but its bytes comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from attrs import define, fields
from torch.nn import functional

from ..colour import yuv420
from ..device import HostCopies, channels_last, weights_of
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

    :param network: with its weights; it is fused and taken to ``device``.
    :param crop: what it is shown of the portrait, RGB, 0 … 1, ``(1, 3, n, n)``.
    :param source: the portrait's keypoints, ``(1, 15, 3)``.
    :param old: the square as it is, ``(side, side, 3)``.
    :param mask: how far what is drawn is seen, 0 … 1, ``(side, side, 1)``.
    :param compiled: compile what is done for every picture. Batches are filled up to a power of two
        then, for every shape is compiled anew.
    """

    def __init__(
        self,
        network: RenderNetwork,
        crop: Tensor,
        source: Tensor,
        old: Picture,
        mask: NDArray[np.float32],
        *,
        device: torch.device,
        precision: torch.dtype = torch.float32,
        compiled: bool = False,
        stream: torch.cuda.Stream | None = None,
    ) -> None:
        fuse(network)
        network.to(device, precision)
        channels_last(network)
        self._network = network
        self._compiled = compiled
        with torch.inference_mode():
            appearance = network.appearance(crop.to(device, precision)).float()
        self._references = _References(
            appearance=appearance,
            source=source.to(device),
            old=torch.from_numpy(old.copy()).permute(2, 0, 1)[None].float().to(device),
            mask=torch.from_numpy(mask[:, :, 0].astype(np.float32)).to(device),
        )
        self._render: Callable[[Tensor], Tensor] = (
            torch.compile(self._faces, dynamic=False) if compiled else self._faces
        )
        self._device = device
        self._copies = HostCopies(stream)

    def places(self) -> Iterator[tuple[Any, str]]:
        """See ``maestra.adapters.face.device.Places``."""
        for name in _NAMES:
            yield self._references, name
        yield from weights_of(self._network)

    def draw(self, driving: NDArray[np.float32]) -> Picture:
        """The square with the face in each pose of ``(n, 15, 3)`` keypoints, ``(n, side * 3 // 2,
        side)`` I420, which may change with the next call."""
        count = len(driving)
        size = 1 << (count - 1).bit_length() if self._compiled else count
        filled = np.concatenate([driving, np.repeat(driving[-1:], size - count, axis=0)])
        with stage("generator"):
            drawn = self._render(torch.from_numpy(filled).to(self._device))
        with stage("colour"):
            planes = yuv420(drawn[:count])
        with stage("copy"):
            return self._copies.fetch(planes)

    def warm(self, most_at_once: int) -> None:
        """Draw once whatever has a shape of its own, which is slow the first time."""
        source = self._references.source.cpu().numpy()
        for power in range((most_at_once - 1).bit_length() + 1):
            self.draw(np.repeat(source, min(1 << power, most_at_once), axis=0))

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
