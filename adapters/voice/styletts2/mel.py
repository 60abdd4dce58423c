"""What a style is read from: a reference's mel spectrogram, as the encoders have learned it."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

__all__ = ["RATE_HZ", "mel_spectrogram", "trimmed"]

RATE_HZ = 24_000
_FFT, _WINDOW, _HOP, _BANDS = 2048, 1200, 300, 80
_BANDS_TO_HZ = 8000.0
"""The bands were laid for sound of 16 kHz, and used as they are for 24 kHz: so the voice was
trained."""
_MEAN, _SPREAD = -4.0, 4.0


def mel_spectrogram(samples: Tensor) -> Tensor:
    """Mono ``samples`` at 24 kHz to ``(80, frames)``, a frame every 12.5 ms."""
    spectrum = torch.stft(
        samples,
        _FFT,
        hop_length=_HOP,
        win_length=_WINDOW,
        window=torch.hann_window(_WINDOW, device=samples.device),
        return_complex=True,
    )
    power = spectrum.abs().square()
    mel = _bands().to(samples) @ power
    return (torch.log(1e-5 + mel) - _MEAN) / _SPREAD


@cache
def _bands() -> Tensor:
    """Triangles on the HTK mel scale, without area normalisation, ``(80, bins)``. The bins are
    taken to reach to 8 kHz."""

    def mel(hertz: float) -> float:
        return 2595.0 * math.log10(1.0 + hertz / 700.0)

    bins = torch.linspace(0, _BANDS_TO_HZ, _FFT // 2 + 1)
    marks = torch.linspace(0.0, mel(_BANDS_TO_HZ), _BANDS + 2)
    hertz = 700.0 * (10.0 ** (marks / 2595.0) - 1.0)
    width = hertz.diff()
    distance = hertz[None, :] - bins[:, None]
    rising = -distance[:, :-2] / width[:-1]
    falling = distance[:, 2:] / width[1:]
    return torch.minimum(rising, falling).clamp(min=0).T


def trimmed(samples: Tensor, *, below_db: float = 30.0) -> Tensor:
    """``samples`` without what is more than ``below_db`` under the loudest frame at either end."""
    frame, hop = 2048, 512
    padded = torch.nn.functional.pad(samples, (frame // 2, frame // 2))
    level = padded.unfold(0, frame, hop).square().mean(dim=1).clamp(min=1e-10)
    loud = torch.nonzero(10 * torch.log10(level / level.max()) > -below_db).flatten()
    first, last = int(loud[0]), int(loud[-1]) + 1
    return samples[first * hop : min(len(samples), last * hop)]
