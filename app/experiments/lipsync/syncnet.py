"""SyncNet: how far the lips are from the sound, by two networks that learnt to agree.

25 pictures a second, 224 × 224 BGR in 0 … 255; sound as MFCC, 100 columns a second. A *window* is
five pictures, and the 20 columns that belong to them.

Source: J. S. Chung, A. Zisserman, *Out of Time* (2016), and its published evaluation. LSE-D and
LSE-C: K. R. Prajwal et al., *A Lip Sync Expert Is All You Need* (2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from ... import composition
from .mfcc import mfcc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["SIDE", "VSHIFT", "Score", "SyncNet", "score"]

SIDE = 224
VSHIFT = 15
"""Pictures either way that the sound is shifted by, as published."""

_PICTURES, _COLUMNS = 5, 20
_COLUMNS_PER_PICTURE = 4
_SAMPLES_PER_PICTURE = 640


@frozen(kw_only=True, eq=False)
class Score:
    """``lse_d`` (lower is better), ``lse_c`` (higher is better); ``offset`` in pictures, above 0
    where the sound comes first. ``distances`` ``(windows, 2 vshift + 1)``; ``mean`` of them over
    the windows; ``confidence`` of each window, smoothed by a median of nine."""

    lse_d: float
    lse_c: float
    offset: int
    distances: Floats
    mean: Floats
    confidence: Floats


def score(lips: Floats, sounds: Floats, vshift: int = VSHIFT) -> Score:
    """The score of embeddings ``(windows, size)`` of lips and of sounds."""
    padded = np.pad(sounds, ((vshift, vshift), (0, 0)))
    near = np.lib.stride_tricks.sliding_window_view(padded, 2 * vshift + 1, axis=0)
    # The published distance adds a millionth to every difference.
    apart = lips[:, :, None] - near + np.float32(1e-6)
    distances = np.sqrt(np.sum(np.square(apart, dtype=np.float64), axis=1))
    mean = distances.mean(axis=0)
    best = int(mean.argmin())
    middle = float(np.sort(mean)[vshift])
    framewise = middle - distances[:, best]
    return Score(
        lse_d=float(mean[best]),
        lse_c=middle - float(mean[best]),
        offset=vshift - best,
        distances=distances.astype(np.float32),
        mean=mean.astype(np.float32),
        confidence=_median_of_nine(framewise).astype(np.float32),
    )


def _median_of_nine(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zeros stand beyond the ends."""
    found: NDArray[np.float64] = np.median(
        np.lib.stride_tricks.sliding_window_view(np.pad(values, 4), 9), axis=1
    )
    return found


def build() -> Any:
    """The two networks with weights that mean nothing yet; their keys are the published ones."""
    from torch import nn

    def layer(dimensions: int, inputs: int, outputs: int, kernel: Any, **how: Any) -> list[Any]:
        convolution, norm = (
            (nn.Conv2d, nn.BatchNorm2d) if dimensions == 2 else (nn.Conv3d, nn.BatchNorm3d)
        )
        return [convolution(inputs, outputs, kernel, **how), norm(outputs), nn.ReLU()]

    def embedding() -> Any:
        return nn.Sequential(
            nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024)
        )

    sound = nn.Sequential(
        *layer(2, 1, 64, 3, padding=1),
        nn.MaxPool2d(1),
        *layer(2, 64, 192, 3, padding=1),
        nn.MaxPool2d(3, (1, 2)),
        *layer(2, 192, 384, 3, padding=1),
        *layer(2, 384, 256, 3, padding=1),
        *layer(2, 256, 256, 3, padding=1),
        nn.MaxPool2d(3, 2),
        *layer(2, 256, 512, (5, 4)),
    )
    flat, keep = (1, 3, 3), (0, 1, 1)
    lips = nn.Sequential(
        *layer(3, 3, 96, (5, 7, 7), stride=(1, 2, 2)),
        nn.MaxPool3d(flat, (1, 2, 2)),
        *layer(3, 96, 256, (1, 5, 5), stride=(1, 2, 2), padding=keep),
        nn.MaxPool3d(flat, (1, 2, 2), keep),
        *layer(3, 256, 256, flat, padding=keep),
        *layer(3, 256, 256, flat, padding=keep),
        *layer(3, 256, 256, flat, padding=keep),
        nn.MaxPool3d(flat, (1, 2, 2)),
        *layer(3, 256, 512, (1, 6, 6)),
    )
    return nn.ModuleDict(
        {"netcnnaud": sound, "netfcaud": embedding(), "netcnnlip": lips, "netfclip": embedding()}
    ).eval()


class SyncNet:
    """The networks with their weights, and the published way to ask them.

    :param networks: what ``build`` makes.
    """

    def __init__(self, networks: Any) -> None:
        self._networks = networks

    @classmethod
    def load(cls, path: Path) -> SyncNet:
        """With the published weights, ``syncnet_v2.model``.

        :raises ModelMissing: they are absent, or not those of these networks.
        """
        networks = build()
        composition.fill(networks, path, name="SyncNet", optional=("num_batches_tracked",))
        return cls(networks)

    def lip_features(self, windows: Floats) -> Floats:
        """``(n, 3, 5, 224, 224)`` → ``(n, 512)``."""
        return self._ask(windows, "netcnnlip")

    def lips(self, windows: Floats) -> Floats:
        """The embeddings of ``(n, 3, 5, 224, 224)``, ``(n, 1024)``."""
        return self._ask(windows, "netcnnlip", "netfclip")

    def sounds(self, windows: Floats) -> Floats:
        """The embeddings of ``(n, 1, 13, 20)``, ``(n, 1024)``."""
        return self._ask(windows, "netcnnaud", "netfcaud")

    def _ask(self, windows: Floats, *names: str) -> Floats:
        import torch

        with torch.inference_mode():
            found = torch.from_numpy(windows)
            for name in names:
                found = self._networks[name](found).flatten(1)
        embedded: Floats = found.numpy()
        return embedded

    def embed(
        self, pictures: Sequence[NDArray[np.uint8]], sound: NDArray[np.int16], *, at_once: int = 10
    ) -> tuple[Floats, Floats]:
        """The embeddings of every window of lips and of sound.

        :param pictures: ``(224, 224, 3)`` BGR, 25 a second.
        :param sound: mono, 16 kHz, from the first picture on.
        """
        count = min(len(pictures), len(sound) // _SAMPLES_PER_PICTURE) - _PICTURES
        if count < 1:
            raise ValueError(f"SyncNet wants more than {_PICTURES} pictures with their sound.")
        heard = mfcc(sound).astype(np.float32)
        lips, sounds = [], []
        for begin in range(0, count, at_once):
            numbers = range(begin, min(begin + at_once, count))
            seen = np.stack([np.stack(pictures[n : n + _PICTURES]) for n in numbers])
            lips.append(self.lips(seen.transpose(0, 4, 1, 2, 3).astype(np.float32)))
            columns = [heard[:, _COLUMNS_PER_PICTURE * n :][:, :_COLUMNS] for n in numbers]
            sounds.append(self.sounds(np.stack(columns)[:, None]))
        return np.concatenate(lips), np.concatenate(sounds)

    def score(
        self, pictures: Sequence[NDArray[np.uint8]], sound: NDArray[np.int16], vshift: int = VSHIFT
    ) -> Score:
        """See ``embed`` and ``Score``."""
        return score(*self.embed(pictures, sound), vshift)
