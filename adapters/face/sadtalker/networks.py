"""SadTalker's networks together, and the published files that they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import field, frozen

from maestra.ports.errors import ModelMissing

from ...weights import load_weights, read_weights
from ..liveportrait.appearance import AppearanceWidths
from ..liveportrait.generator import GeneratorWidths
from ..liveportrait.warping import WarpingWidths
from .audio import ExpressionNetwork, PoseNetwork
from .render import RenderNetwork
from .semantics import FaceModelNetwork, KeypointNetwork, MappingNetwork

__all__ = ["MAPPING", "PUBLISHED", "Networks", "Sizes", "build", "load"]

MAPPING = "mapping_00229-model.pth.tar"
_CONVERTED = "mapping_00229-model.safetensors"

_OPTIONAL = ("num_batches_tracked",)


@frozen(kw_only=True)
class Sizes:
    """How large the networks are, and the ``picture`` that they draw: the published sizes."""

    picture: int = 256
    hearing: int = 32
    mapping: int = 1024
    face_model: int = 64
    keypoints: Sequence[int] = (32, 64, 128, 256, 512, 1024)
    keypoint_depth: int = 16
    appearance: AppearanceWidths = field(factory=AppearanceWidths)
    warping: WarpingWidths = field(factory=lambda: WarpingWidths(keypoints=15, mask_floor=1e-3))
    generator: GeneratorWidths = field(factory=lambda: GeneratorWidths(enlarge=False))


PUBLISHED = Sizes()


@frozen(kw_only=True, eq=False)
class Networks:
    """The networks, each under the name that its weights have in the published file (but for
    ``mapping``, which has a file of its own)."""

    audio2exp: ExpressionNetwork
    audio2pose: PoseNetwork
    mapping: MappingNetwork
    kp_extractor: KeypointNetwork
    generator: RenderNetwork
    face_3drecon: FaceModelNetwork


def build(sizes: Sizes = PUBLISHED) -> Networks:
    """The networks with weights that mean nothing yet."""
    return Networks(
        audio2exp=ExpressionNetwork(sizes.hearing),
        audio2pose=PoseNetwork(sizes.hearing),
        mapping=MappingNetwork(width=sizes.mapping),
        kp_extractor=KeypointNetwork(sizes.keypoints, sizes.keypoint_depth),
        generator=RenderNetwork(sizes.appearance, sizes.warping, sizes.generator),
        face_3drecon=FaceModelNetwork(sizes.face_model),
    )


def load(folder: Path, *, large: bool = False, sizes: Sizes = PUBLISHED) -> Networks:
    """The networks with the published weights in ``folder``, on the CPU.

    :param large: those for pictures 512 pixels wide.
    :raises ModelMissing: a file is absent, or its weights are not those of these networks; the
        first key that is missing or misshapen is named.
    """
    name = f"SadTalker_V0.0.2_{512 if large else 256}.safetensors"
    mapping = folder / _CONVERTED
    if not mapping.is_file():
        mapping = folder / MAPPING
    for file in (folder / name, mapping):
        if not file.is_file():
            raise ModelMissing(f"sadtalker: there is no {file.name} in {folder}.")
    networks = build(sizes)
    state = read_weights(folder / name)
    for network, prefix, unused in (
        (networks.audio2exp, "audio2exp.", ()),
        (networks.audio2pose, "audio2pose.", PoseNetwork.UNUSED),
        (networks.kp_extractor, "kp_extractor.", ()),
        (networks.generator, "generator.", ()),
        (networks.face_3drecon, "face_3drecon.", ()),
    ):
        load_weights(
            network,
            state,
            name=f"SadTalker ({name})",
            prefix=prefix,
            optional=_OPTIONAL,
            ignored=unused,
        )
    load_weights(
        networks.mapping,
        read_weights(mapping, entry="mapping"),
        name=f"SadTalker ({mapping.name})",
        optional=_OPTIONAL,
    )
    return networks
