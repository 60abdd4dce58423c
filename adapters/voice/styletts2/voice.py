"""The voice: a clause in, sound out, in the manner of a reference."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from attrs import define
from torch import Tensor

from maestra.ports.errors import BackendRefused, VoiceError

from ..phrasing import CutOff, finished, in_pieces
from .diffusion import sample
from .mel import RATE_HZ, mel_spectrogram, trimmed
from .networks import Networks, read_networks
from .prosody import alignment
from .settings import StyleTTS2Settings
from .text import phoneme_numbers, spaced

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["StyleTTS2"]

_CLICK: Final = 50
"""Samples: the decoder ends with a click."""

_SHORTEST_REFERENCE: Final = 1.0
"""Seconds: the style encoder's windows need as much."""


class _CutOffError(Exception):
    """Nobody waits for this piece any more."""


@define(eq=False)
class _Manner:
    """How it goes on: the noise to come, and the style of the piece before."""

    generator: torch.Generator
    before: Tensor | None = None

    def copied(self) -> _Manner:
        generator = torch.Generator()
        generator.set_state(self.generator.get_state())
        return _Manner(generator, self.before)


class StyleTTS2:
    """A StyleTTS2 voice.

    :param weights: the folder with the checkpoint.
    :param reference: a recording of the voice to speak with.
    :param pace: how fast it speaks, 1 is the model's own.
    :param networks: with their weights; absent, they are read from ``weights``.
    :raises ModelMissing: the weights are absent or don't fit.
    :raises BackendRefused: the reference cannot be used, or there is no such device.
    :raises VoiceError: something is not installed.
    """

    sample_rate_hz = RATE_HZ

    def __init__(
        self,
        settings: StyleTTS2Settings,
        *,
        weights: Path,
        reference: Path,
        pace: float = 1.0,
        networks: Networks | None = None,
    ) -> None:
        try:
            from piper.phonemize_espeak import EspeakPhonemizer
        except ImportError as error:
            raise VoiceError(
                "StyleTTS2 needs espeak-ng: install maestra[local,styletts2]"
            ) from error
        self._settings = settings
        self._pace = pace
        self._device = _device(settings.device)
        self._networks = (networks or read_networks(weights)).to(self._device)
        self._precision = (
            getattr(torch, settings.precision) if self._device.type == "cuda" else torch.float32
        )
        self._phonemizer = EspeakPhonemizer()
        self._manner = _Manner(torch.Generator().manual_seed(settings.seed))
        self._reference = self._style_of(reference)

    def synthesise(self, clause: str) -> AsyncIterator[NDArray[np.float32]]:
        """Speak ``clause``, a piece at a time; see ``maestra.ports.voice.Voice``."""
        return in_pieces(clause, self._speak, voice="StyleTTS2")

    def _style_of(self, reference: Path) -> Tensor:
        """Timbre and prosody of a recording, ``(1, 256)``."""
        samples = trimmed(torch.from_numpy(_read(reference)))
        if len(samples) < _SHORTEST_REFERENCE * RATE_HZ:
            raise BackendRefused(
                f"the reference {reference.name} has less than {_SHORTEST_REFERENCE:g} s of sound"
            )
        mel = mel_spectrogram(samples)[None, None].to(self._device)
        networks = self._networks
        with torch.inference_mode():
            return torch.cat([networks.style_encoder(mel), networks.predictor_encoder(mel)], dim=1)

    def _speak(self, piece: str, cut_off: CutOff) -> NDArray[np.float32]:
        ipa = " ".join("".join(part) for part in self._phonemizer.phonemize("en-us", piece))
        numbers = phoneme_numbers(spaced(ipa))
        longest = self._networks.sizes.positions
        # The thread of a piece that was cut off may still run: it must not share what goes on.
        manner = self._manner.copied()
        with torch.inference_mode():
            parts = [
                self._spoken([0, *numbers[begin : begin + longest - 1]], manner, cut_off)
                for begin in range(1, len(numbers), longest - 1)
            ]
        if not cut_off.is_set:
            self._manner = manner
        if not parts:
            return np.zeros(0, np.float32)
        return finished(np.concatenate(parts), RATE_HZ, piece)

    def _spoken(self, numbers: list[int], manner: _Manner, cut_off: CutOff) -> NDArray[np.float32]:
        networks, half = self._networks, self._networks.sizes.style

        def go_on() -> None:
            if cut_off.is_set:
                raise _CutOffError

        phonemes = torch.tensor([numbers], device=self._device)
        said = networks.text_encoder(phonemes)
        meant = networks.bert(phonemes).last_hidden_state
        go_on()
        style = self._sampled(meant, manner)
        timbre = torch.lerp(self._reference[:, :half], style[:, :half], self._settings.alpha)
        prosody = torch.lerp(self._reference[:, half:], style[:, half:], self._settings.beta)
        go_on()
        text = networks.bert_encoder(meant).transpose(1, 2)
        frames, encoded = networks.predictor.durations(text, prosody)
        paced = (frames[0] / self._pace).round().clamp(min=1).long()
        when = alignment(paced).to(encoded)
        f0, energy = networks.predictor.curves(_late(encoded @ when), prosody)
        go_on()
        with torch.autocast(
            self._device.type, self._precision, enabled=self._precision is not torch.float32
        ):
            wave = networks.decoder(_late(said @ when), f0, energy, timbre, manner.generator)
        go_on()
        sound: NDArray[np.float32] = wave.float().flatten().cpu().numpy()[:-_CLICK]
        return sound

    def _sampled(self, meant: Tensor, manner: _Manner) -> Tensor:
        """A style for what is meant, ``(1, 256)``, that goes on from that of the piece before."""
        networks, settings = self._networks, self._settings
        noise = torch.randn((1, 1, 2 * networks.sizes.style), generator=manner.generator)
        style = sample(
            lambda x, time: networks.diffusion(x, time, meant, self._reference, settings.emphasis),
            noise.to(meant),
            sigma_data=networks.sizes.sigma_data,
            steps=settings.steps,
            generator=manner.generator,
        ).squeeze(1)
        if manner.before is not None:
            style = torch.lerp(style, manner.before, settings.carry)
        manner.before = style
        return style


def _late(features: Tensor) -> Tensor:
    """A frame later: so this decoder was trained."""
    return torch.cat([features[..., :1], features[..., :-1]], dim=-1)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BackendRefused(f"voice.options.styletts2.device: there is no {name!r}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BackendRefused("StyleTTS2 finds no CUDA device here: set its device to cpu")
    return device


def _read(reference: Path) -> NDArray[np.float32]:
    """Mono at 24 kHz, in [-1, 1]."""
    import soxr
    from scipy.io import wavfile

    try:
        rate, samples = wavfile.read(reference)
    except (OSError, ValueError) as error:
        raise BackendRefused(f"the reference {reference} cannot be read: {error}") from error
    if samples.dtype.kind == "u":  # of 8 bits, the only ones without a sign
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples / np.iinfo(samples.dtype).max
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    sound: NDArray[np.float32] = soxr.resample(samples.astype(np.float32), rate, RATE_HZ)
    if not len(sound) or not np.isfinite(sound).all() or np.abs(sound).max() < 1e-3:
        raise BackendRefused(f"the reference {reference.name} has no sound in it")
    return sound
