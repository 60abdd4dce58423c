"""How likely an onset or a beat is at each instant: madmom's networks, run while sound comes in.

Conventions
-----------
100 frames per second, frame ``n`` at sample ``441 n`` of the passage. Activations are 0 to 1.
The convolutional onset network looks 7 frames ahead; the recurrent ones only back.

Sources: see ``madmom_models``; the settings of the front ends are those the networks were
trained with (``madmom.features.onsets``, ``.beats``, ``.notes``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import Floats, Rows
from .madmom_models import load_network
from .spectra import FilterBank, magnitudes, with_rises

__all__ = ["BeatActivation", "OnsetActivation", "OnsetOpinion"]

_CONTEXT = 7
"""Frames that the convolutional network sees on either side of its own."""

_EPSILON = float(np.finfo(np.float64).eps)


class OnsetActivation:
    """The convolutional onset network: accurate, and right about *when*."""

    def __init__(self, path: Path) -> None:
        self._network = load_network(path)
        self._banks = [
            (
                size,
                FilterBank(
                    size,
                    "MelFilterbank",
                    num_bands=80,
                    fmin=27.5,
                    fmax=16_000,
                    norm_filters=True,
                    unique_filters=False,
                ),
            )
            for size in (2048, 1024, 4096)
        ]
        self.reset()

    def reset(self) -> None:
        self._bands: list[Floats] = []
        self._next = 0

    def __call__(self, sound: Rows, last: int) -> Floats:
        """The activations that frames up to ``last`` make known: as many as they, less the context.

        :returns: (new frames,)
        """
        spectra = np.dstack(
            [
                np.log(bank(magnitudes(sound, self._next, last, size)) + _EPSILON)
                for size, bank in self._banks
            ]
        )
        self._next = last
        if not self._bands:
            spectra = np.concatenate((np.repeat(spectra[:1], _CONTEXT, axis=0), spectra))
        seen = np.concatenate((*self._bands, spectra))
        self._bands = [seen[-2 * _CONTEXT :]]
        if len(seen) <= 2 * _CONTEXT:
            return np.zeros(0, dtype=np.float32)
        return np.atleast_1d(self._network(seen)).astype(np.float32)


class _Recurrent:
    """An ensemble of recurrent networks over past frames; each remembers what it has heard."""

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        sizes: Sequence[int],
        bands: int,
        gain: float,
        lag: Sequence[int],
    ) -> None:
        self._networks: list[Any] = [load_network(path) for path in paths]
        self._gain = gain
        self._banks = [
            (
                size,
                frames,
                FilterBank(
                    size,
                    "LogarithmicFilterbank",
                    num_bands=bands,
                    fmin=30,
                    fmax=17_000,
                    norm_filters=True,
                ),
            )
            for size, frames in zip(sizes, lag, strict=True)
        ]
        self.reset()

    def reset(self) -> None:
        self._next = 0
        self._before: list[Floats | None] = [None] * len(self._banks)
        for network in self._networks:
            network.reset()

    def __call__(self, sound: Rows, last: int) -> Floats:
        """The activations of the frames from the last call up to ``last``: (new frames,)"""
        features = []
        for which, (size, lag, bank) in enumerate(self._banks):
            spectra = magnitudes(sound, self._next, last, size, past=True)
            bands = np.log10(self._gain * bank(spectra) + 1)
            before = self._before[which]
            if before is None:
                before = np.repeat(bands[:1], lag, axis=0)
            seen = np.concatenate((before, bands))
            self._before[which] = seen[-lag:]
            features.append(with_rises(seen, lag))
        self._next = last
        stacked = np.hstack(features)
        total = sum(network.process(stacked, reset=False) for network in self._networks)
        return np.atleast_1d(total / len(self._networks)).astype(np.float32)


class OnsetOpinion(_Recurrent):
    """The recurrent onset networks: later than the convolutional one, but they miss less."""

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__(paths, sizes=(512, 1024, 2048), bands=6, gain=5, lag=(1, 1, 2))


class BeatActivation(_Recurrent):
    """The recurrent beat networks."""

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__(paths, sizes=(2048,), bands=12, gain=1, lag=(1,))
