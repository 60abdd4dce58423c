"""The face renderer of face-vid2vid, with 15 keypoints: LivePortrait's ancestor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from ..liveportrait.appearance import AppearanceExtractor, AppearanceWidths
from ..liveportrait.generator import GeneratorWidths, SpadeGenerator
from ..liveportrait.warping import Warped, WarpingModule, WarpingWidths

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["RenderNetwork"]


class RenderNetwork(nn.Module):
    """A person's appearance and two sets of keypoints → a picture.

    The same three networks as LivePortrait's, in one module: its keys are the published ones.
    """

    def __init__(
        self,
        appearance: AppearanceWidths | None = None,
        warping: WarpingWidths | None = None,
        generator: GeneratorWidths | None = None,
    ) -> None:
        super().__init__()
        seen = AppearanceExtractor(appearance)
        moved = WarpingModule(warping or WarpingWidths(keypoints=15, mask_floor=1e-3))
        self.first, self.down_blocks = seen.first, seen.down_blocks
        self.second, self.resblocks_3d = seen.second, seen.resblocks_3d
        self.dense_motion_network = moved.dense_motion_network
        self.third, self.fourth = moved.third, moved.fourth
        self.decoder = SpadeGenerator(generator or GeneratorWidths(enlarge=False))
        # In a tuple torch doesn't see them: their parts are registered above.
        self._parts = (seen, moved)

    def appearance(self, picture: Tensor) -> Tensor:
        """Of ``(1, 3, 256, 256)`` RGB in 0 … 1: ``(1, 32, 16, 64, 64)``, once per portrait."""
        volume: Tensor = self._parts[0](picture)
        return volume

    def warp(self, appearance: Tensor, driving: Tensor, source: Tensor) -> Warped:
        """``appearance`` moved from the keypoints ``source`` to ``driving``, ``(n, 15, 3)``."""
        warped: Warped = self._parts[1](appearance, driving, source)
        return warped

    def forward(self, appearance: Tensor, driving: Tensor, source: Tensor) -> Tensor:
        """``(n, 3, 256, 256)`` RGB in 0 … 1."""
        picture: Tensor = self.decoder(self.warp(appearance, driving, source).features)
        return picture
