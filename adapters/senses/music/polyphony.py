"""Several notes at once: whether there are, and which, by madmom's piano network.

Conventions
-----------
50 frames per second (*pitch frames*), counted from the beginning of the passage. The network
gives, for each of the 88 keys, whether it sounds and whether it was just struck, 0 to 1.

Source: Kelz, Böck and Widmer, 2019 (see ``madmom_models``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from attrs import frozen

from .arrays import Floats, Rows
from .madmom_models import load_network
from .spectra import FilterBank, magnitudes

__all__ = ["CONTEXT", "Key", "PianoNotes", "TextureJudge", "keys_played"]

_LOWEST_KEY = 21
_KEYS = 88
CONTEXT = 5
"""Pitch frames that the network sees on either side of its own."""
_HOP = 882
_SIZE = 4096


class PianoNotes:
    """The network. It is costly, and asked only where several notes may sound at once."""

    def __init__(self, path: Path) -> None:
        self._network = load_network(path)
        self._bank = FilterBank(
            _SIZE, "LogarithmicFilterbank", num_bands=24, fmin=30, fmax=10_000, norm_filters=True
        )

    def __call__(self, sound: Rows, first: int, last: int) -> tuple[Floats, Floats]:
        """Which keys sound, and which are struck: each (frames, 88)."""
        spectra = magnitudes(sound, first - CONTEXT, last + CONTEXT, _SIZE, hop=_HOP)
        output = self._network(np.log10(self._bank(spectra) + 1))
        result = np.asarray(output, dtype=np.float32).reshape(last - first, _KEYS, -1)
        return result[:, :, 0], result[:, :, 1]


_SOUNDS = 0.5
_STRUCK = 0.5
_ENDS = 0.3
_STRUCK_AGAIN = 6
"""Frames after which a key that sounds can be struck again."""
_SHORTEST = 3


@frozen(kw_only=True)
class Key:
    """The key of ``midi`` was struck at frame ``first``; ``last`` is ``None`` while it sounds."""

    first: int
    last: int | None
    midi: int
    confidence: float


def keys_played(sounding: Rows, struck: Rows) -> list[Key]:
    """The keys struck in what is kept, by key and time."""
    start, sound, strike = sounding.start, sounding.get(0, sounding.end), struck.get(0, struck.end)
    found: list[Key] = []
    likely = np.flatnonzero((strike > _STRUCK).any(axis=0))
    for key in likely.tolist():
        strikes, sounds = strike[:, key], sound[:, key]
        first: int | None = None
        for n in range(len(strikes)):
            around = strikes[max(n - 2, 0) : n + 3]
            is_strike = strikes[n] > _STRUCK and strikes[n] == around.max()
            if first is not None:
                again = is_strike and n - first >= _STRUCK_AGAIN
                if again or (n - first >= 2 and sounds[n] < _ENDS):
                    found.append(_key(start, first, n, key, strikes, sounds))
                    first = None
            if first is None and is_strike and sounds[n : n + 4].max() > _SOUNDS:
                first = n
        if first is not None:
            found.append(_key(start, first, None, key, strikes, sounds))
    return [key for key in found if key.last is None or key.last - key.first >= _SHORTEST]


def _key(
    start: int, first: int, last: int | None, key: int, strikes: Floats, sounds: Floats
) -> Key:
    return Key(
        first=start + first,
        last=None if last is None else start + last,
        midi=_LOWEST_KEY + key,
        confidence=float(strikes[first] * sounds[first : first + 4].max()),
    )


_PARTIALS = frozenset({12, 19, 24, 28, 31, 34, 36, 38, 40})
"""Semitones from a note to its partials, which the network tends to hear as notes."""


def together(sounding: Floats) -> Floats:
    """For each frame, how many keys sound that are not each other's partials: (frames,)"""
    counts = np.zeros(len(sounding), dtype=np.float32)
    for n, row in enumerate(sounding > _SOUNDS):
        kept: list[int] = []
        for key in np.flatnonzero(row).tolist():
            if all(key - lower not in _PARTIALS for lower in kept):
                kept.append(key)
        counts[n] = len(kept)
    return counts


class TextureJudge:
    """Says whether one line sounds, or several; and does not change its mind lightly.

    What one pitch explains of the sound, times how sure CREPE is of it, is high for one line and
    low for a band. In between lie two-part playing and a single line in an echoing room; there the
    piano network says whether two keys, not each other's partials, sound together for long. Noise
    and speech have no pitch either, or none that stays: they are not several lines.

    Everything is the median over the last few seconds of the frames in which something sounds:
    ``confidence`` is CREPE's, ``share`` what one pitch explains, ``lasting`` how like a spectrum is
    to that of 0.1 s before.
    """

    _PITCHED = 0.3
    _LASTING_SOUND = 0.6
    _CLEAR = 0.78
    _UNCLEAR = 0.5
    _CLEAR_SHARE = 0.88
    _SEVERAL = 0.82
    _EASE = 0.12
    """How much less it takes to go on hearing several lines."""
    _LASTING = 4
    """Frames on either side for which two keys must sound together."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.several = False

    def _is_tonal(self, confidence: float, lasting: float) -> bool:
        return confidence > self._PITCHED and lasting > self._LASTING_SOUND

    def in_doubt(self, confidence: float, share: float, lasting: float) -> bool:
        """Whether the piano network should be asked."""
        unclear = confidence * share < self._CLEAR or share < self._CLEAR_SHARE
        return self._is_tonal(confidence, lasting) and (self.several or unclear)

    def judge(
        self, confidence: float, share: float, lasting: float, sounding: Floats | None
    ) -> bool:
        """Whether several lines sound.

        :param sounding: (frames, 88), if the piano network was asked.
        """
        ease = self._EASE if self.several else 0.0
        several = confidence * share < self._UNCLEAR + ease
        if sounding is not None and len(sounding):
            counts = together(sounding)
            width = 2 * self._LASTING + 1
            padded = np.pad(counts, self._LASTING, mode="edge")
            least = np.lib.stride_tricks.sliding_window_view(padded, width).min(axis=1)
            heard = counts > 0
            chords = float(np.mean(least[heard] >= 2)) if heard.any() else 0.0
            several |= 2 * (1 - share) + chords > self._SEVERAL - ease
        self.several = several and self._is_tonal(confidence, lasting)
        return self.several
