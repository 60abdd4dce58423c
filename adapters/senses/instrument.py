"""Which instrument plays, by YAMNet's scores, averaged over seconds of playing.

YAMNet was trained on clips of films, and is sparing with some names: a clean violin scores 0.5 to
0.9, a clean piano 0.04 to 0.2, while no other instrument makes it say "piano" as often. So each
name has its own least score, and must be well ahead of all others. Where that is not so, nothing is
said: a wrong name is worse than none.

Classes: https://github.com/tensorflow/models/blob/master/research/audioset/yamnet/yamnet_class_map.csv.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from attrs import frozen

from maestra.core.hearing import Instrument

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["InstrumentEar"]


@frozen
class _Sound:
    """YAMNet's ``classes`` that are one instrument, and the mean score that makes it known."""

    classes: tuple[int, ...]
    least: float = 0.4


_SOUNDS: Final = {
    Instrument.GUITAR: _Sound((135, 136, 138, 139, 140, 141), least=0.1),
    Instrument.BASS_GUITAR: _Sound((137,)),
    Instrument.BANJO: _Sound((142,)),
    Instrument.MANDOLIN: _Sound((144,)),
    Instrument.UKULELE: _Sound((146,)),
    Instrument.PIANO: _Sound((147, 148, 149), least=0.06),
    Instrument.ORGAN: _Sound((150, 151, 152)),
    Instrument.HARPSICHORD: _Sound((155,)),
    Instrument.DRUMS: _Sound((156, 157, 159, 160, 163)),
    Instrument.MALLETS: _Sound((174, 175, 176, 177)),
    Instrument.HORN: _Sound((181,)),
    Instrument.TRUMPET: _Sound((182,)),
    Instrument.TROMBONE: _Sound((183,)),
    Instrument.VIOLIN: _Sound((186,)),
    Instrument.CELLO: _Sound((188,)),
    Instrument.DOUBLE_BASS: _Sound((189,)),
    Instrument.FLUTE: _Sound((191,)),
    Instrument.SAXOPHONE: _Sound((192,)),
    Instrument.CLARINET: _Sound((193,)),
    Instrument.HARP: _Sound((194,)),
    Instrument.HARMONICA: _Sound((203,)),
    Instrument.ACCORDION: _Sound((204,)),
    Instrument.VOICE: _Sound((*range(24, 33), 249, 250), least=0.08),
}

_INSTRUMENTS: Final = tuple(_SOUNDS)

_AHEAD: Final = 2.5
"""How many times the score of the next likely instrument it must have."""

_STILL: Final = 0.6
"""The share of both that will do for the one that was named last."""

_LEAST: Final = np.array([sound.least for sound in _SOUNDS.values()])

_FEWEST: Final = 40
"""Scores (two seconds) before anything is said ..."""

_MOST: Final = 100
"""... and by which the mean goes on."""

_AGAIN: Final = 100
"""What is still heard is said again after so many scores: it may have been forgotten."""

_PAUSE: Final = 15
"""After so many looks (0.75 s) without music somebody else may play: what was heard before does not
count. (The floor still says "playing" for half a second after the sound.)"""


class InstrumentEar:
    """Hears YAMNet's scores, twenty times a second."""

    def __init__(self) -> None:
        self._mean = np.zeros(len(_SOUNDS))
        self._count = 0
        self._due = _FEWEST
        self._told: Instrument | None = None
        self._rest = 0

    @property
    def heard_for(self) -> int:
        """How many looks back what is known was heard."""
        return min(self._count, _MOST)

    def rest(self) -> None:
        """There was no music, or not only music."""
        self._rest += 1
        if self._rest == _PAUSE:
            self._count, self._due, self._told = 0, _FEWEST, None

    def hear(self, scores: NDArray[np.float32]) -> Instrument | None:
        """Take in YAMNet's scores (logits) for a second of nothing but music.

        :returns: what plays, when that is known, has changed, or has not been said for a while.
        """
        self._rest = 0
        best = np.array([scores[list(sound.classes)].max() for sound in _SOUNDS.values()])
        probabilities = 1.0 / (1.0 + np.exp(-np.clip(best, -30.0, 30.0)))
        self._count += 1
        self._mean += (probabilities - self._mean) / self.heard_for
        known = self._known
        if known is None or (self._count < self._due and self._told in (None, known)):
            return None
        self._told, self._due = known, self._count + _AGAIN
        return known

    @property
    def _known(self) -> Instrument | None:
        *_, second, first = (int(place) for place in np.argsort(self._mean))
        needed = max(_LEAST[first], _AHEAD * self._mean[second])
        if _INSTRUMENTS[first] is self._told:
            needed *= _STILL
        return _INSTRUMENTS[first] if self._mean[first] >= needed else None
