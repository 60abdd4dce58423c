"""MuseTalk, as small as its networks can be made. Its weights are made up: it paints no mouth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from golden.recipe import weights

if TYPE_CHECKING:
    from maestra.adapters.face.musetalk.face import MuseTalk

__all__ = ["tiny_musetalk", "tiny_sizes", "tiny_state", "write_tiny_weights"]


def tiny_sizes() -> Any:
    """The published architecture, a few channels wide."""
    from maestra.adapters.face.musetalk.networks import PUBLISHED, Sizes

    return Sizes(
        encoder={
            **PUBLISHED.encoder,
            "d_model": 24,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
        },
        vae={
            **PUBLISHED.vae,
            "block_out_channels": (4, 4, 4, 4),
            "layers_per_block": 1,
            "norm_num_groups": 2,
        },
        unet={
            **PUBLISHED.unet,
            "block_out_channels": (8, 8, 8, 8),
            "layers_per_block": 1,
            "norm_num_groups": 2,
            "attention_head_dim": 2,
            "cross_attention_dim": 24,
        },
    )


def tiny_state(part: str, network: Any) -> dict[str, Any]:
    """Weights for ``network`` by the recipe of the goldens."""
    import torch

    shapes = {
        key: (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for key, tensor in network.state_dict().items()
    }
    made = weights("tiny", part, shapes)
    return {key: torch.from_numpy(np.asarray(value)) for key, value in made.items()}


def write_tiny_weights(folder: Path) -> Mapping[str, Path]:
    """A folder of weights as published, for networks of ``tiny_sizes``."""
    from safetensors.torch import save_file

    from maestra.adapters.face.musetalk.networks import Networks

    networks = Networks.unfilled(tiny_sizes())
    files = {
        "unet": folder / "musetalkV15" / "unet.safetensors",
        "vae": folder / "sd-vae" / "diffusion_pytorch_model.safetensors",
        "encoder": folder / "whisper" / "model.safetensors",
    }
    for part, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tiny_state(part, getattr(networks, part)), path)
    return files


def tiny_musetalk(folder: Path, *, seed: int = 5, **changes: Any) -> MuseTalk:
    """A face built of weights that are written to ``folder``, on the CPU, a second of idling.

    On one thread: networks as small as these only wait for more.
    """
    import torch

    from maestra.adapters.face.musetalk import MuseTalkSettings
    from maestra.adapters.face.musetalk.face import MuseTalk
    from maestra.app import composition, personas
    from maestra.app.config import Config

    torch.set_num_threads(1)
    if not (folder / "musetalkV15").is_dir():
        write_tiny_weights(folder)
    who = composition.persona(Config().persona)
    options = {"weights": str(folder), "device": "cpu", "batch": 4, "idle_seconds": 1.0, **changes}
    return MuseTalk(
        personas.portrait_path(who),
        personas.mesh_path(who),
        MuseTalkSettings(**options),
        manner=who.manner,
        seed=seed,
        cache=folder / "cache",
        sizes=tiny_sizes(),
    )
