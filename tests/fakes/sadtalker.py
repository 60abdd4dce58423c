"""SadTalker with networks so small that a test can wait for them, in the published files' form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from golden import recipe
from safetensors.torch import save_file

from maestra.adapters.face.liveportrait.appearance import AppearanceWidths
from maestra.adapters.face.liveportrait.generator import GeneratorWidths
from maestra.adapters.face.liveportrait.warping import WarpingWidths
from maestra.adapters.face.sadtalker import SadTalkerSettings, mel
from maestra.adapters.face.sadtalker.audio import ExpressionNetwork
from maestra.adapters.face.sadtalker.face import SadTalker
from maestra.adapters.face.sadtalker.networks import MAPPING, Networks, Sizes, build
from maestra.app import personas

__all__ = ["PERSONA", "TINY", "tiny_sadtalker", "write_weights"]

PERSONA = Path(personas.__file__).parent / "teacher_mary_v1"

_NAMES = ("audio2exp", "audio2pose", "kp_extractor", "generator", "face_3drecon", "mapping")

TINY = Sizes(
    picture=32,
    hearing=4,
    mapping=32,
    face_model=4,
    keypoints=(4, 4, 8),
    keypoint_depth=2,
    appearance=AppearanceWidths(plane=(4, 4, 8), volume=4, depth=4, blocks=1),
    warping=WarpingWidths(
        keypoints=15,
        volume=4,
        depth=4,
        compressed=2,
        hourglass=(4, 8, 8),
        output=8,
        kernel=3,
        mask_floor=1e-3,
    ),
    generator=GeneratorWidths(features=8, middle=8, blocks=1, up=(8, 4), hidden=4, enlarge=False),
)

# Training only; the loader has to pass over it.
_UNUSED = {"audio2pose.netD_motion.seq.3.bias": torch.zeros(1)}


def tiny_sadtalker(folder: Path, *, device: str = "cpu", **options: Any) -> SadTalker:
    """The shipped persona's face; its weights are written to ``folder`` unless they are there."""
    if not (folder / MAPPING).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(folder)
    return SadTalker(
        PERSONA / "portrait.png",
        PERSONA / "mesh.json",
        SadTalkerSettings(weights=str(folder), device=device, **options),
        sizes=TINY,
    )


def write_weights(folder: Path) -> Networks:
    """Write weights by the recipe for networks of ``TINY`` sizes; the networks that hold them."""
    networks = build(TINY)
    state = dict(_UNUSED)
    recipes: dict[str, dict[str, Any]] = {
        "kp_extractor": {"constants": ["down.weight"]},
        "audio2pose": {"overrides": {"netG.decoder.pose_linear.weight": {"gain": 0.1}}},
        "generator": {"overrides": {"dense_motion_network.mask.weight": {"gain": 4.0}}},
        "mapping": {"overrides": {"fc_exp.weight": {"gain": 0.3}, "fc_yaw.weight": {"gain": 8.0}}},
    }
    for name in _NAMES:
        recipe.fill(getattr(networks, name), "sadtalker", name, **recipes.get(name, {}))
    _speak_about_rest(networks.audio2exp)
    for name in _NAMES[:-1]:
        tensors = getattr(networks, name).state_dict()
        state |= {f"{name}.{key}": tensor.contiguous() for key, tensor in tensors.items()}
    save_file(state, folder / "SadTalker_V0.0.2_256.safetensors")
    torch.save({"mapping": networks.mapping.state_dict()}, folder / MAPPING)
    return networks


def _speak_about_rest(network: ExpressionNetwork) -> None:
    """Have expressions lie about the portrait's own, as training does, and not far to one side."""
    time = np.arange(32_000) / 16_000
    voice = np.sin(2 * np.pi * 200 * time) + 0.7 * np.sin(2 * np.pi * 800 * time)
    sound = mel.mel(0.2 * voice * np.sin(np.pi * 3 * time) ** 2)
    windows = sound[mel.windows(50, len(sound))].transpose(0, 2, 1).astype(np.float32)
    with torch.no_grad():
        mean = network.audio_encoder(torch.from_numpy(windows)[:, None]).mean(dim=(0, 2, 3))
        weight = network.mapping1.weight
        heard = len(mean)
        weight[:, :heard] *= 0.3
        weight[:, heard : heard + 64] = torch.eye(64)
        network.mapping1.bias.copy_(-weight[:, :heard] @ mean)
