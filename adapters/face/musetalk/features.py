"""Speech as MuseTalk hears it: Whisper's hidden states around each picture.

Conventions
-----------

Sound enters at 16 kHz. Whisper's encoder makes 50 *states* a second of it, each of as many layers
as the encoder has and one more (five): the embedded spectrum, what each layer but the last makes of
it, and the normalised output. A picture's *prompt* is ten states, ``2i - 4`` to ``2i + 5`` for
picture ``i`` of 25 a second, state by state and layer by layer: ``(50, width)``, with sinusoids
added that tell one row from another.

Streaming
---------

The published code encodes a whole file in pieces of 30 seconds. Here every picture has a window of
its own, which ends a little after the last of its ten states, so that a picture depends on the
sound around it and not on how that sound arrived. A window is shorter than 30 seconds; what keeps
its states close to the whole file's is that they stand at the same places, counted from where the
speech began (docs/how-to/musetalk.md has the figures).

At both ends ``MARGIN`` of sound more is taken, so that no spectrum looks beyond what there is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from maestra.ports.audio import FRAME_RATE, PLAYOUT_RATE_HZ, SLICE_SAMPLES, SPEECH_RATE_HZ

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "AHEAD",
    "BACK",
    "MARGIN",
    "STATES_A_SECOND",
    "Hearing",
    "prompt_table",
    "sinusoids",
]

STATES_A_SECOND = 50
_A_PICTURE = STATES_A_SECOND // FRAME_RATE
_STATES = 10
_BEFORE = 4

_HOP = 160
_FFT = 400
_BANDS = 80
_PIECE = 30 * SPEECH_RATE_HZ
_DECIMATION = PLAYOUT_RATE_HZ // SPEECH_RATE_HZ

BACK = 4.0
"""Seconds of a window before its picture's 40 ms."""

AHEAD = 0.2
"""Seconds of a window after them; the last state that a prompt takes ends 80 ms after them."""

MARGIN = 0.02
"""Seconds of sound beyond both ends of a window, for its outermost spectra and the resampling."""


def prompt_table(samples: int, frame_rate: float) -> NDArray[np.int32]:
    """Which states the prompts of a file take, ``(pictures, 10)``; -1 stands for zeros.

    As published, a fractional ``frame_rate`` is cut down to an integer, and a prompt is centred on
    its picture only where that divides 50.

    :param samples: how long the file is, at 16 kHz.
    """
    rate = int(frame_rate)
    step = STATES_A_SECOND / rate
    states = math.floor(samples / SPEECH_RATE_HZ * STATES_A_SECOND)
    pictures = math.floor(samples / SPEECH_RATE_HZ * rate)
    first = np.floor(np.arange(pictures) * step).astype(np.int32) - 2 * math.ceil(step)
    table: NDArray[np.int32] = first[:, None] + np.arange(_STATES, dtype=np.int32)
    return np.where((table >= 0) & (table < states), table, np.int32(-1))


def sinusoids(rows: int, width: int) -> torch.Tensor:
    """What is added to a prompt's rows: sines in even columns and cosines in odd ones."""
    place = torch.arange(rows, dtype=torch.float32)[:, None]
    pace = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000) / width))
    table = torch.zeros(rows, width)
    table[:, 0::2] = torch.sin(place * pace)
    table[:, 1::2] = torch.cos(place * pace)
    return table


def _mel_bands() -> torch.Tensor:
    """Slaney's mel bands of equal area up to 8 kHz, ``(bands, bins)``."""
    # Linear up to 1 kHz, which is mel 15, and 27 mel to a factor of 6.4 above.
    top = 15 + 27 * math.log(SPEECH_RATE_HZ / 2 / 1000) / math.log(6.4)
    mel = np.linspace(0, top, _BANDS + 2)
    edges = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * math.log(6.4) / 27))
    bins = np.linspace(0, SPEECH_RATE_HZ / 2, _FFT // 2 + 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise, fall = (bins - low) / (middle - low), (high - bins) / (high - middle)
    bands = np.clip(np.minimum(rise, fall), 0, None) * 2 / (high - low)
    return torch.from_numpy(bands.astype(np.float32))


def _low_pass() -> torch.Tensor:
    """A filter for a third of the sample rate, ``(1, 1, taps)``: what is above 8.8 kHz goes."""
    half = 60
    n = np.arange(-half, half + 1)
    cutoff = 7800 / (PLAYOUT_RATE_HZ / 2)
    taps = cutoff * np.sinc(cutoff * n) * np.kaiser(2 * half + 1, 8.0)
    return torch.from_numpy((taps / taps.sum()).astype(np.float32))[None, None]


class Hearing:
    """Prompts by ``encoder``, a ``transformers`` Whisper encoder, on its own device.

    The spectrum is computed in float32 whatever the encoder's type is.

    :param back: seconds of a window before its picture, a whole number of pictures.
    :param ahead: seconds of it after the picture's 40 ms.
    """

    def __init__(self, encoder: Any, *, back: float = BACK, ahead: float = AHEAD) -> None:
        weight = encoder.conv1.weight
        self._encoder = encoder
        self._device, self._dtype = weight.device, weight.dtype
        self._bands = _mel_bands().to(self._device)
        self._hann = torch.hann_window(_FFT, device=self._device)
        self._low_pass = _low_pass().to(self._device)
        self.width: int = encoder.conv1.out_channels
        self.layers: int = len(encoder.layers) + 1
        self._sinusoids = sinusoids(_STATES * self.layers, self.width).to(self._device)
        self.look_back = back + MARGIN
        self.look_ahead = ahead + MARGIN
        self._back = round(back * FRAME_RATE)
        self._states = round((back + 1 / FRAME_RATE + ahead) * STATES_A_SECOND)
        self._places = encoder.embed_positions.num_embeddings
        if self._states < _A_PICTURE * self._back - _BEFORE + _STATES:
            raise ValueError("a window of speech has to hold the ten states of its picture")

    def prompts(self, windows: torch.Tensor, spoken: Sequence[int]) -> torch.Tensor:
        """The prompt of the picture in each of ``windows``.

        :param windows: ``(n, samples)`` at 48 kHz, from ``look_back`` before the picture's 40 ms to
            ``look_ahead`` after them.
        :param spoken: how many pictures of this speech came before each.
        :return: ``(n, 50, width)``, sinusoids added, of the encoder's type.
        """
        # As long as the speech is shorter than the window, the window begins with it, and silence
        # is behind what is known: so it is in a file that is just as long.
        shifts = [max(0, self._back - before) * SLICE_SAMPLES for before in spoken]
        shifted = torch.stack(
            [
                functional.pad(window[shift:], (0, shift))
                for window, shift in zip(windows.to(self._device), shifts, strict=True)
            ]
        )
        sound = self._decimated(shifted)
        skip = round(MARGIN * SPEECH_RATE_HZ) - _FFT // 2
        length = (2 * self._states - 1) * _HOP + _FFT
        mel = self._log_mel(sound[:, skip : skip + length])

        begins = torch.tensor([_A_PICTURE * max(0, before - self._back) for before in spoken])
        states = self.states(mel, begins.clamp(max=self._places - self._states))
        # What would lie before the speech is zeros.
        padded = functional.pad(states, (0, 0, 0, 0, _BEFORE, 0))
        first = _A_PICTURE * torch.tensor([min(before, self._back) for before in spoken])
        rows = (first[:, None] + torch.arange(_STATES)).to(self._device)
        picked = padded[torch.arange(len(rows), device=self._device)[:, None], rows]
        return self.placed(picked.flatten(1, 2))

    def _decimated(self, sound: torch.Tensor) -> torch.Tensor:
        """``sound``, ``(n, samples)``, low-passed and every third sample of it. The three phases
        are channels, which is three times as fast as a convolution with a stride."""
        taps = self._low_pass.shape[-1]
        filled = -taps % _DECIMATION
        kernel = functional.pad(self._low_pass, (0, filled)).view(1, -1, _DECIMATION).mT
        count = -(-sound.shape[-1] // _DECIMATION)
        length = count * _DECIMATION + taps + filled - _DECIMATION
        padded = functional.pad(sound, (taps // 2, length - sound.shape[-1] - taps // 2))
        phases = padded.unflatten(-1, (-1, _DECIMATION)).mT.contiguous()
        return functional.conv1d(phases, kernel)[:, 0]

    def placed(self, prompts: torch.Tensor) -> torch.Tensor:
        """``prompts`` with the sinusoids added."""
        return (prompts.float() + self._sinusoids).to(self._dtype)

    def states(self, mel: torch.Tensor, begins: torch.Tensor | None = None) -> torch.Tensor:
        """The encoder's states of ``mel``, all layers: ``(n, bands, 2 m)`` → ``(n, m, 5, width)``.

        ``mel`` may be shorter than 30 seconds: the sequence just ends earlier.

        :param begins: the place of each sequence's first state within 30 seconds (absent, 0).
        """
        encoder = self._encoder
        x = functional.gelu(encoder.conv1(mel.to(self._dtype)))
        x = functional.gelu(encoder.conv2(x)).transpose(1, 2)
        places = torch.arange(x.shape[1])[None]
        if begins is not None:
            places = begins[:, None] + places
        x = x + encoder.embed_positions(places.to(self._device))
        layers = [x]
        for layer in encoder.layers:
            x = layer(x, None)
            layers.append(x)
        layers[-1] = encoder.layer_norm(x)
        return torch.stack(layers, dim=2)

    def of_file(self, sound: torch.Tensor) -> torch.Tensor:
        """The prompts of a whole file at 25 pictures a second, as the published code makes them:
        in pieces of 30 seconds, with zeros around the file. What streaming is measured against.

        :param sound: ``(samples,)`` at 16 kHz.
        :return: ``(pictures, 50, width)``, without sinusoids.
        """
        pieces = [
            self.states(self.mel_of_piece(piece))[0]
            for piece in sound.to(self._device).split(_PIECE)
        ]
        states = functional.pad(torch.cat(pieces), (0, 0, 0, 0, 0, 1))  # the last row is for -1
        states[-1] = 0
        return states[torch.from_numpy(prompt_table(len(sound), FRAME_RATE)).long()].flatten(1, 2)

    def mel_of_piece(self, piece: torch.Tensor) -> torch.Tensor:
        """The log-mel of ``piece``, filled up to 30 seconds, ``(1, bands, 3000)``."""
        full = functional.pad(piece, (0, _PIECE - len(piece)))[None, None]
        edges = functional.pad(full, (_FFT // 2, _FFT // 2), mode="reflect")[0]
        return self._log_mel(edges)[..., : _PIECE // _HOP]

    def _log_mel(self, sound: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(
            sound, _FFT, _HOP, window=self._hann, center=False, return_complex=True
        )
        power = self._bands @ spectrum.abs().square()
        log = power.clamp(min=1e-10).log10()
        floor = log.amax(dim=(1, 2), keepdim=True) - 8
        return (torch.maximum(log, floor) + 4) / 4
