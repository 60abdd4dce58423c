"""What voices that make a sentence at a time share: where they breathe, and how loud they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["finished", "pieces"]

_PAUSE_BETWEEN_SENTENCES = 0.22
_PAUSE_BETWEEN_PIECES = 0.06
_FIRST_PIECE_WORDS = 9
_TARGET_RMS = 0.085
"""About -21 dBFS over a clause: as loud as speech in meetings is."""


def pieces(clause: str) -> list[str]:
    """Cut ``clause`` where a speaker would breathe: between sentences, and its first sentence at a
    comma if it is long, so that the first sound need not wait for the whole of it.

    >>> pieces("Lovely. In the last twenty seconds you sped up, from 96 to 108 beats per minute.")
    ['Lovely.', 'In the last twenty seconds you sped up, from 96 to 108 beats per minute.']
    """
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", clause.strip()) if part]
    if not sentences:
        return []
    first, *rest = sentences
    if len(first.split()) > _FIRST_PIECE_WORDS:
        head, comma, tail = first.partition(", ")
        if comma and len(head.split()) >= 3 and tail:
            return [head + ",", tail, *rest]
    return [first, *rest]


def finished(sound: NDArray[np.float32], rate_hz: int, piece: str) -> NDArray[np.float32]:
    """The ``sound`` of ``piece`` without the silence before it, with a breath's after it (longer at
    the end of a sentence), at an even loudness."""
    import numpy as np

    loud = np.flatnonzero(np.abs(sound) > 0.01)
    if not len(loud):
        return np.zeros(0, np.float32)
    # 8 ms before the first loud sample: the attack of a soft consonant.
    begin = max(0, int(loud[0]) - rate_hz * 8 // 1000)
    end = min(len(sound), int(loud[-1]) + rate_hz * 40 // 1000)
    sound = sound[begin:end]
    rms = float(np.sqrt(np.mean(np.square(sound))))
    gain = min(_TARGET_RMS / max(rms, 1e-4), 0.95 / max(float(np.abs(sound).max()), 1e-4))
    ends_sentence = piece.rstrip().endswith((".", "!", "?"))
    pause = _PAUSE_BETWEEN_SENTENCES if ends_sentence else _PAUSE_BETWEEN_PIECES
    return np.concatenate([sound * gain, np.zeros(int(pause * rate_hz), np.float32)]).astype(
        np.float32
    )
