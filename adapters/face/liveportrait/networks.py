"""The networks together: from a folder of published files to what can draw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import torch
from attrs import field, frozen

from maestra.ports.errors import ModelMissing

from ...weights import load_weights, read_weights
from ..device import channels_last
from .appearance import AppearanceExtractor, AppearanceWidths
from .generator import GeneratorWidths, SpadeGenerator
from .layers import fuse
from .motion import MotionExtractor, MotionWidths
from .retargeting import eye_network, lip_network, stitching_network
from .warping import WarpingModule, WarpingWidths

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

__all__ = ["Architecture", "Networks", "read_networks"]

_PLACES = ("", "base_models", "retargeting_models")
_RETARGETING = "stitching_retargeting_module"


@frozen(kw_only=True)
class Architecture:
    """How large the networks are: the published sizes.

    ``side`` is that of the square pictures that they see; they draw twice that.
    """

    side: int = 256
    appearance: AppearanceWidths = field(factory=AppearanceWidths)
    motion: MotionWidths = field(factory=MotionWidths)
    warping: WarpingWidths = field(factory=WarpingWidths)
    generator: GeneratorWidths = field(factory=GeneratorWidths)


@frozen(kw_only=True, eq=False)
class Networks:
    """F, M, W, G and the three of S, in evaluation, on the CPU, in float32.

    Their names here are those of the published files.
    """

    appearance_feature_extractor: Module
    motion_extractor: Module
    warping_module: Module
    spade_generator: Module
    stitching: Module
    lip: Module
    eye: Module
    side: int = 256

    @classmethod
    def unfilled(cls, sizes: Architecture | None = None) -> Networks:
        """With whatever weights PyTorch begins with."""
        sizes = sizes or Architecture()
        return cls(
            appearance_feature_extractor=AppearanceExtractor(sizes.appearance),
            motion_extractor=MotionExtractor(sizes.motion),
            warping_module=WarpingModule(sizes.warping),
            spade_generator=SpadeGenerator(sizes.generator),
            stitching=stitching_network(),
            lip=lip_network(),
            eye=eye_network(),
            side=sizes.side,
        )

    def by_name(self) -> Mapping[str, Module]:
        """The networks by their names."""
        return {
            attribute.name: getattr(self, attribute.name)
            for attribute in attrs.fields(Networks)
            if attribute.name != "side"
        }

    def fuse(self) -> None:
        """Fold norms into what they follow, in place. The same function, faster."""
        for network in self.by_name().values():
            fuse(network)

    def drawing(self, device: torch.device, precision: torch.dtype) -> None:
        """Move everything to ``device``, and W and G, which work on every picture, to
        ``precision`` and to the memory layout that convolutions like best there."""
        for network in self.by_name().values():
            network.to(device)
        for network in (self.warping_module, self.spade_generator):
            network.to(precision)
            channels_last(network)


def read_networks(folder: Path, sizes: Architecture | None = None) -> Networks:
    """The networks with the published weights in ``folder``.

    Each file may lie in the folder itself, or in its ``base_models`` and ``retargeting_models``,
    as ``.safetensors`` or as ``.pth``; the first is preferred.

    :raises ModelMissing: a file is absent, can't be read without running code, or doesn't fit.
    """
    with torch.device("meta"):
        networks = Networks.unfilled(sizes)
    base = networks.by_name()
    for name in (
        "appearance_feature_extractor",
        "motion_extractor",
        "warping_module",
        "spade_generator",
    ):
        load_weights(base[name], read_weights(_file(folder, name)), name=name)
    small = _file(folder, _RETARGETING)
    for name, entry in (
        ("stitching", "retarget_shoulder"),
        ("lip", "retarget_mouth"),
        ("eye", "retarget_eye"),
    ):
        state: Mapping[str, Tensor] = read_weights(small, entry=entry)
        load_weights(base[name], state, name=f"{_RETARGETING}, {entry}", prefix="module.")
    return networks


def _file(folder: Path, stem: str) -> Path:
    for suffix in (".safetensors", ".pth"):
        for place in _PLACES:
            path = folder / place / (stem + suffix)
            if path.is_file():
                return path
    raise ModelMissing(
        f"LivePortrait's weights are to be in {folder}, and {stem}.safetensors or {stem}.pth is "
        "not: name their folder in face.options.liveportrait.weights."
    )
