"""The pulse: the most likely row of beats through the beat networks' activations.

Conventions
-----------
100 frames per second, counted from the beginning of the passage. A beat is given ``SETTLED``
frames after it, when what followed has confirmed it; it is not taken back.

Source: Krebs, Böck and Widmer, "An Efficient State Space Model for Joint Tempo and Meter
Tracking", 2015, as madmom has it; here it is run again every second over the last of the music.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .arrays import Rows
from .madmom_models import import_madmom
from .onsets import Attack

__all__ = ["SETTLED", "BeatTracker"]

_FPS = 100
_SLOWEST_BPM = 45.0
_FASTEST_BPM = 160.0
_EVERY = 100
_WINDOW = 1200
SETTLED = 80
_LEAST = 300
"""Frames of music before there is a pulse at all."""
_SNAP = 7.0
"""A beat this near to an onset is at that onset."""
_FEWEST_ONSETS = 4
_NEAR = 500
"""So many notes begin within so many frames of a beat, or there is no pulse to follow."""


class BeatTracker:
    """Gives beats while activations come in."""

    def __init__(self) -> None:
        processor: Any = import_madmom("features.beats").DBNBeatTrackingProcessor
        self._decoder = processor(fps=_FPS, min_bpm=_SLOWEST_BPM, max_bpm=_FASTEST_BPM)
        self.reset()

    def reset(self) -> None:
        self._decoded = 0
        self._given = 0.0
        self._period = 0.0

    def __call__(
        self,
        activation: Rows,
        attacks: Sequence[Attack],
        sounded: Sequence[float],
        *,
        final: bool = False,
    ) -> list[tuple[float, float]]:
        """The beats that have become certain: (frame, confidence), in order.

        :param activation: all that is kept, the newest last.
        :param attacks: the onsets of as long a time, whatever made them.
        :param sounded: the frames at which notes or chords are known to have begun.
        """
        end = activation.end
        if end < _LEAST or not (final or end - self._decoded >= _EVERY):
            return []
        self._decoded = end
        first = max(activation.start, end - _WINDOW)
        settled = end if final else end - SETTLED
        window = activation.get(first, end).astype(np.float64)
        beats = first + np.asarray(self._decoder.process_offline(window)) * _FPS
        given: list[tuple[float, float]] = []
        for beat in beats.tolist():
            if beat >= settled:
                break
            if sum(abs(at - beat) < _NEAR for at in sounded) < _FEWEST_ONSETS:
                continue
            near = [one.at for one in attacks if abs(one.at - beat) <= _SNAP]
            at = min(near, key=lambda at: abs(at - beat)) if near else beat
            if self._given and at - self._given < max(0.6 * self._period, 20):
                continue
            if self._given:
                self._period = at - self._given
            self._given = at
            level = activation.get(round(beat) - 2, round(beat) + 3)
            given.append((at, float(np.clip(level.max(), 0, 1))))
        return given
