"""StyleTTS2 without its weights: its networks, small, and a recording to speak like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.io import wavfile

from maestra.adapters.voice.styletts2.networks import Networks, Sizes

__all__ = ["TINY", "filled", "hummed"]

TINY = Sizes(
    features=32,
    style=8,
    depth=1,
    style_channels=4,
    bert=16,
    bert_layers=1,
    bert_heads=2,
    bert_inner=16,
    bert_embedding=8,
    positions=32,
    heads=2,
    head=4,
    decoder_width=32,
    decoder_residual=8,
    decoder_channels=32,
)


def filled(sizes: Sizes = TINY) -> Networks:
    """Networks whose weights are a fixed function of their names."""
    networks = Networks(sizes)
    for key, tensor in networks.state_dict().items():
        if tensor.dtype.is_floating_point:
            drawn = np.random.default_rng(list(key.encode())).standard_normal(tensor.shape)
            middle = 1.0 if "alpha" in key else 0.0
            tensor.copy_(torch.from_numpy(middle + 0.1 * drawn))
    networks.eval()
    networks.requires_grad_(False)
    return networks


def hummed(folder: Path) -> Path:
    """A recording of three seconds, new in ``folder``."""
    path = folder / "voice.wav"
    time = np.arange(3 * 16_000) / 16_000
    sound = 0.3 * np.sin(2 * np.pi * 150 * time) * (1 + 0.5 * np.sin(2 * np.pi * 3 * time))
    wavfile.write(path, 16_000, (sound * 20_000).astype(np.int16))
    return path
