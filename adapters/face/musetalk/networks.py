"""The three networks of MuseTalk 1.5 and their published weights.

A speech encoder (Whisper tiny's), an autoencoder of pictures (Stable Diffusion's, fine-tuned) and
a U-Net that, in one step and without noise, paints the lower half of a face by the speech around
it. All three are built from the libraries that they were published for, so that nothing but their
sizes is written here.

A folder of weights holds, under the names that they were published by or flat, as ``.safetensors``
or in PyTorch's own format::

    musetalkV15/unet.pth
    sd-vae/diffusion_pytorch_model.safetensors      (or sd-vae-ft-mse/)
    whisper/model.safetensors                       (or pytorch_model.bin; or whisper-tiny/)

Sources: Y. Zhang et al., *MuseTalk: Real-Time High-Fidelity Video Dubbing via Spatio-Temporal
Sampling* (2024); R. Rombach et al., *High-Resolution Image Synthesis with Latent Diffusion Models*
(2022); A. Radford et al., *Robust Speech Recognition via Large-Scale Weak Supervision* (2022).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from attrs import frozen

from maestra.ports.errors import FaceError, ModelMissing

from ...libraries import spare_torchaudio
from ...weights import load_weights, read_weights

__all__ = [
    "PUBLISHED",
    "Networks",
    "Sizes",
    "find_weights",
    "fingerprint",
    "load_networks",
    "modern_names",
]

LATENT_SCALE = 0.18215
"""By what the autoencoder's latents are multiplied to have about unit variance."""


@frozen(kw_only=True, eq=False)
class Sizes:
    """The arguments of the networks' constructors; see ``PUBLISHED``."""

    encoder: Mapping[str, Any]
    vae: Mapping[str, Any]
    unet: Mapping[str, Any]


PUBLISHED = Sizes(
    encoder=MappingProxyType(
        {
            "vocab_size": 51865,
            "num_mel_bins": 80,
            "encoder_layers": 4,
            "encoder_attention_heads": 6,
            "decoder_layers": 4,
            "decoder_attention_heads": 6,
            "encoder_ffn_dim": 1536,
            "decoder_ffn_dim": 1536,
            "d_model": 384,
            "activation_function": "gelu",
            "max_source_positions": 1500,
            "max_target_positions": 448,
            "scale_embedding": False,
            "dropout": 0.0,
        }
    ),
    vae=MappingProxyType(
        {
            "in_channels": 3,
            "out_channels": 3,
            "latent_channels": 4,
            "block_out_channels": (128, 256, 512, 512),
            "down_block_types": ("DownEncoderBlock2D",) * 4,
            "up_block_types": ("UpDecoderBlock2D",) * 4,
            "layers_per_block": 2,
            "norm_num_groups": 32,
            "act_fn": "silu",
            "sample_size": 256,
            "scaling_factor": LATENT_SCALE,
        }
    ),
    unet=MappingProxyType(
        {
            "sample_size": 64,
            "in_channels": 8,
            "out_channels": 4,
            "center_input_sample": False,
            "flip_sin_to_cos": True,
            "freq_shift": 0,
            "block_out_channels": (320, 640, 1280, 1280),
            "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
            "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
            "layers_per_block": 2,
            "attention_head_dim": 8,  # of heads, whatever the name says
            "cross_attention_dim": 384,
            "downsample_padding": 1,
            "mid_block_scale_factor": 1,
            "norm_num_groups": 32,
            "norm_eps": 1e-5,
            "act_fn": "silu",
        }
    ),
)
"""MuseTalk 1.5, ``sd-vae-ft-mse`` and ``whisper-tiny``: 850, 84 and 8 million parameters."""


@frozen(kw_only=True, eq=False)
class Networks:
    """The networks, ready to run: evaluation, no gradients."""

    encoder: Any
    vae: Any
    unet: Any

    @classmethod
    def unfilled(cls, sizes: Sizes) -> Networks:
        """Networks without memory, on the ``meta`` device; what is loaded becomes their weights.

        :raises FaceError: a library is missing.
        """
        spare_torchaudio()
        try:
            from diffusers import AutoencoderKL, UNet2DConditionModel
            from transformers import WhisperConfig
            from transformers.models.whisper.modeling_whisper import WhisperEncoder
        except ImportError as error:
            raise FaceError(
                f"The face musetalk needs {error.name}: install maestra[musetalk]."
            ) from error
        with torch.device("meta"):
            return cls(
                encoder=WhisperEncoder(WhisperConfig(**sizes.encoder)),
                vae=AutoencoderKL(**sizes.vae),
                unet=UNet2DConditionModel(**sizes.unet),
            )

    def load(
        self,
        *,
        encoder: Mapping[str, torch.Tensor],
        vae: Mapping[str, torch.Tensor],
        unet: Mapping[str, torch.Tensor],
    ) -> None:
        """Take the weights over, by their published names.

        :raises ModelMissing: a key is missing, unexpected or of another shape; it is named.
        """
        # Of a whole Whisper only the encoder is wanted.
        prefix = next(
            (head for head in ("model.encoder.", "encoder.") if f"{head}conv1.weight" in encoder),
            "",
        )
        load_weights(self.encoder, encoder, name="MuseTalk's speech encoder", prefix=prefix)
        load_weights(self.vae, modern_names(vae), name="MuseTalk's autoencoder")
        load_weights(self.unet, unet, name="MuseTalk's U-Net")

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move to ``device``; the picture networks are laid out with their channels last."""
        move = torch.nn.Module.to  # the libraries' own warn of parts to be kept, of which are none
        move(self.encoder, device, dtype)
        for network in (self.vae, self.unet):
            move(network, device, dtype, memory_format=torch.channels_last)


_OLD_ATTENTION = re.compile(r"(\.attentions\.\d+)\.(query|key|value|proj_attn)\.")
_NEW_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def modern_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """An autoencoder's weights under the attention's names of today, ``to_q`` for ``query``."""
    return {
        _OLD_ATTENTION.sub(lambda found: f"{found[1]}.{_NEW_NAMES[found[2]]}.", key): value
        for key, value in state.items()
    }


_FOLDERS = {
    "unet": ("musetalkV15", "musetalk", "."),
    "vae": ("sd-vae", "sd-vae-ft-mse", "."),
    "encoder": ("whisper", "whisper-tiny", "."),
}
_NAMES = {
    "unet": ("unet.safetensors", "unet.pth"),
    "vae": (
        "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model.bin",
        "vae.safetensors",
    ),
    "encoder": ("model.safetensors", "pytorch_model.bin", "encoder.safetensors"),
}


def find_weights(folder: Path) -> Mapping[str, Path]:
    """The files of the ``unet``, the ``vae`` and the ``encoder`` in ``folder``.

    :raises ModelMissing: one is not there.
    """
    found = {}
    for part, folders in _FOLDERS.items():
        places = [folder / inner / name for inner in folders for name in _NAMES[part]]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise ModelMissing(
                f"The folder {folder} has no weights for MuseTalk's {part}: "
                f"{folders[0]}/{_NAMES[part][0]} or {folders[0]}/{_NAMES[part][1]} belongs there."
            )
        found[part] = path
    return found


def load_networks(files: Mapping[str, Path], sizes: Sizes = PUBLISHED) -> Networks:
    """The networks with the weights of ``files`` (see ``find_weights``), on the CPU in float32.

    :raises ModelMissing: a file is damaged, or a key is missing, unexpected or misshapen.
    :raises FaceError: a library is missing.
    """
    networks = Networks.unfilled(sizes)
    networks.load(**{part: read_weights(path) for part, path in files.items()})
    return networks


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
