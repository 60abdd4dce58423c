"""From pitch frame by frame to steps of steady pitch: the most likely path through CREPE's frames.

Conventions
-----------
50 frames per second. A state is a pitch, a third of a semitone apart, or silence. Costs are
negative logarithms of likelihoods.

A singer's vibrato or a frame an octave off costs little for a short time, while going to another
pitch and back costs a fixed price twice; so the path stays on the note. Near an onset the price is
lower.

Source: the note model of Mauch et al., "Computer-aided Melody Note Transcription Using the Tony
Software", 2015, cut down to steady pitches and silence.
"""

from __future__ import annotations

import itertools

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

__all__ = ["PitchPath", "Step"]

_LOWEST = 23.0
_HIGHEST = 108.0
_PER_SEMITONE = 3
_PITCHES = np.arange(_LOWEST, _HIGHEST, 1 / _PER_SEMITONE)
_SILENCE = len(_PITCHES)

_SPREAD = 0.4
"""How far (semitones) a frame's pitch lies from its note's."""
_STRAY = 0.003
"""Likelihood, relative to the best, of a frame whose pitch is anywhere else."""
_UNVOICED = 0.05
"""Likelihood of a frame that CREPE is unsure of, within a note."""
_NEW_PITCH = 7.0
_SILENCE_TO_PITCH = 4.0
_PITCH_TO_SILENCE = 4.0
_AT_ONSET = 0.4
"""What the prices are multiplied by near an onset."""
_UNSURE = 0.2
_SURE = 0.7
"""CREPE's confidence below which there is surely no pitch, and above which there surely is."""


@frozen(kw_only=True)
class Step:
    """Frames ``first`` up to, not including, ``last`` have about the pitch ``midi``."""

    first: int
    last: int
    midi: float


class PitchPath:
    """The path, while frames come in."""

    def __init__(self) -> None:
        self.start = 0
        self._cost = np.full(_SILENCE + 1, 50.0)
        self._cost[_SILENCE] = 0.0
        self._from: list[NDArray[np.int16]] = []

    @property
    def end(self) -> int:
        return self.start + len(self._from)

    def push(self, midi: float, confidence: float, *, audible: bool, onset: bool) -> None:
        """One more frame."""
        voiced = (confidence - _UNSURE) / (_SURE - _UNSURE) if audible else 0.0
        voiced = min(max(voiced, 0.02), 0.98)
        near = np.exp(-0.5 * np.square((_PITCHES - midi) / _SPREAD)) + _STRAY
        here = np.empty(_SILENCE + 1)
        here[:_SILENCE] = -np.log(voiced * near + (1 - voiced) * _UNVOICED)
        here[_SILENCE] = -np.log(1 - voiced)

        ease = _AT_ONSET if onset else 1.0
        cost = self._cost
        best = int(cost[:_SILENCE].argmin())
        moved = cost[best] + _NEW_PITCH * ease
        begun = cost[_SILENCE] + _SILENCE_TO_PITCH * ease
        entered, source = (moved, best) if moved <= begun else (begun, _SILENCE)
        stays = cost[:_SILENCE] <= entered
        came = np.arange(_SILENCE + 1, dtype=np.int16)
        came[:_SILENCE][~stays] = source
        ended = cost[best] + _PITCH_TO_SILENCE
        if ended < cost[_SILENCE]:
            came[_SILENCE] = best
        after = np.append(np.where(stays, cost[:_SILENCE], entered), min(cost[_SILENCE], ended))
        after += here
        self._cost = after - after.min()
        self._from.append(came)

    def steps(self) -> list[Step]:
        """The steps of the best path so far through the frames still kept; silence is left out."""
        state = int(self._cost.argmin())
        states = np.empty(len(self._from), dtype=np.int64)
        for n in range(len(self._from) - 1, -1, -1):
            states[n] = state
            state = int(self._from[n][state])
        found: list[Step] = []
        edges = [0, *(np.flatnonzero(np.diff(states)) + 1).tolist(), len(states)]
        for first, last in itertools.pairwise(edges):
            if first < last and states[first] != _SILENCE:
                found.append(
                    Step(
                        first=self.start + first,
                        last=self.start + last,
                        midi=float(_PITCHES[states[first]]),
                    )
                )
        return found

    def drop(self, before: int) -> None:
        """Forget the frames before number ``before``."""
        gone = min(max(before - self.start, 0), len(self._from))
        del self._from[:gone]
        self.start += gone
