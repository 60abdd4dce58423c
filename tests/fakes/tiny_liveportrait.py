"""LivePortrait's networks, too small for a likeness and small enough for a test, by recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from golden import recipe

if TYPE_CHECKING:
    from maestra.adapters.face.liveportrait.face import LivePortrait
    from maestra.adapters.face.liveportrait.networks import Architecture, Networks

__all__ = ["OVERRIDES", "architecture", "filled", "tiny", "tiny_liveportrait"]

OVERRIDES = {
    "motion_extractor": {
        "detector.fc_scale.weight": {"gain": 0.1},
        "detector.fc_scale.bias": {"gain": 1.0, "offset": 1.4},
        "detector.fc_t.weight": {"gain": 0.05},
        "detector.fc_exp.weight": {"gain": 0.1},
        "detector.fc_kp.weight": {"gain": 0.15},
        "detector.fc_kp.bias": {"gain": 2.0},
    },
    "warping_module": {"dense_motion_network.mask.weight": {"gain": 16.0}},
    **{
        name: {f"mlp.{last}.weight": {"gain": 0.1}, f"mlp.{last}.bias": {"gain": 0.2}}
        for name, last in (("stitching", 6), ("lip", 6), ("eye", 10))
    },
}
"""What keeps keypoints where keypoints of faces are."""


def architecture() -> Architecture:
    """All the layers there are, none of them wide."""
    from maestra.adapters.face.liveportrait.appearance import AppearanceWidths
    from maestra.adapters.face.liveportrait.generator import GeneratorWidths
    from maestra.adapters.face.liveportrait.motion import MotionWidths
    from maestra.adapters.face.liveportrait.networks import Architecture
    from maestra.adapters.face.liveportrait.warping import WarpingWidths

    return Architecture(
        side=64,
        appearance=AppearanceWidths(plane=(4, 4, 8), volume=4, depth=2, blocks=1),
        motion=MotionWidths(channels=(8, 8, 8, 16), blocks=(1, 1, 1, 1)),
        warping=WarpingWidths(
            volume=4, depth=2, compressed=1, hourglass=(4, 8, 8), output=8, kernel=3
        ),
        generator=GeneratorWidths(features=8, middle=8, blocks=1, up=(8, 4), hidden=4),
    )


def filled(networks: Networks) -> Networks:
    """``networks`` with the recipe's weights, of the family ``tiny``."""
    for name, network in networks.by_name().items():
        recipe.fill(network, "tiny", name, overrides=OVERRIDES.get(name))
    return networks


def tiny() -> Networks:
    """A new set of them."""
    from maestra.adapters.face.liveportrait.networks import Networks

    return filled(Networks.unfilled(architecture()))


def tiny_liveportrait(
    persona: str = "teacher_mary_v1", *, size: int = 64, **settings: Any
) -> LivePortrait:
    """The whole face with the tiny networks, of a shipped persona."""
    from maestra.adapters.face.liveportrait import LivePortraitSettings
    from maestra.adapters.face.liveportrait.face import LivePortrait
    from maestra.app import personas

    who = personas.load(persona)
    return LivePortrait(
        personas.portrait_path(who),
        personas.mesh_path(who),
        who.manner,
        seed=1,
        settings=LivePortraitSettings(device="cpu", **settings),
        networks=tiny(),
        size=size,
    )
