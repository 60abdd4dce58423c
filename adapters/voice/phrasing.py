"""What voices that make a sentence at a time share: where they breathe, and how loud they are."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import anyio.to_thread
from attrs import define, field

from maestra.ports.errors import VoiceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CutOff", "finished", "in_pieces", "pieces"]

_PAUSE_BETWEEN_SENTENCES = 0.22
_PAUSE_BETWEEN_PIECES = 0.06
_FIRST_PIECE_WORDS = 9
_FIRST_PIECE_CHARACTERS = 60
"""Some four seconds, of which a fast voice on one core has made the sound in 0.3 s."""

_SHORTEST_PART = 25
"""Characters on either side of a conjunction: less would sound chopped."""

_BREATH = re.compile(r"(?<=[,:;])\s+(?=\S)")
_CONJUNCTION = re.compile(
    r" (?=(?:but|because|although|(?:and|so) (?:I|you|it|they|we|then)|so that) )"
)
"""Before what begins a clause of its own. "The left and the right hand" stays whole."""
_TARGET_RMS = 0.085
"""About -21 dBFS over a clause: as loud as speech in meetings is."""


def pieces(clause: str) -> list[str]:
    """Cut ``clause`` where a speaker would breathe: between sentences, and its first sentence at a
    comma, a colon or before a conjunction if it is long, so that the first sound need not wait for
    the whole of it.

    >>> pieces("Lovely. In the last twenty seconds you sped up, from 96 to 108 beats per minute.")
    ['Lovely.', 'In the last twenty seconds you sped up, from 96 to 108 beats per minute.']
    """
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", clause.strip()) if part]
    if not sentences:
        return []
    first, *rest = sentences
    if len(first.split()) > _FIRST_PIECE_WORDS:
        head, *tail = _BREATH.split(first, maxsplit=1)
        if tail and len(head.split()) >= 3:
            return [*_at_a_conjunction(head), *tail, *rest]
    return [*_at_a_conjunction(first), *rest]


def _at_a_conjunction(piece: str) -> list[str]:
    """``piece`` in two if it is long and has a place for it; the comma keeps the voice up."""
    if len(piece) > _FIRST_PIECE_CHARACTERS:
        for found in _CONJUNCTION.finditer(piece):
            head, tail = piece[: found.start()], piece[found.end() :]
            if min(len(head), len(tail)) >= _SHORTEST_PART:
                return [head.rstrip(",") + ",", tail]
    return [piece]


@define(eq=False)
class CutOff:
    """Whether nobody waits for a piece any more. Asked in the thread that makes it."""

    is_set: bool = field(default=False, init=False)
    _acts: list[Callable[[], object]] = field(factory=list, init=False)

    def then(self, act: Callable[[], object]) -> None:
        """Call ``act``, which may be called twice, once it is cut off."""
        self._acts.append(act)
        if self.is_set:
            act()

    def set(self) -> None:
        self.is_set = True
        for act in tuple(self._acts):
            act()


async def in_pieces(
    clause: str, speak: Callable[[str, CutOff], NDArray[np.float32]], *, voice: str
) -> AsyncIterator[NDArray[np.float32]]:
    """The sound of ``clause``, each piece of which ``speak`` makes in a thread.

    Closing it does not wait for the thread: ``speak`` may look at what it is given and stop.

    :param voice: what it is called where something goes wrong.
    :raises VoiceError: ``speak`` failed, or made no sound at all.
    """
    spoken = False
    for piece in pieces(clause):
        cut_off = CutOff()
        try:
            sound = await anyio.to_thread.run_sync(speak, piece, cut_off, abandon_on_cancel=True)
        except Exception as error:
            raise VoiceError(f"{voice} failed on a clause: {error}") from error
        finally:
            cut_off.set()
        if len(sound):
            spoken = True
            yield sound
    if not spoken:
        raise VoiceError(f"{voice} made no sound of a clause")


def finished(sound: NDArray[np.float32], rate_hz: int, piece: str) -> NDArray[np.float32]:
    """The ``sound`` of ``piece`` without the silence before it, with a breath's after it (longer at
    the end of a sentence or a colon), at an even loudness."""
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
    goes_on = not piece.rstrip().endswith((".", "!", "?", ":", ";"))
    pause = _PAUSE_BETWEEN_PIECES if goes_on else _PAUSE_BETWEEN_SENTENCES
    return np.concatenate([sound * gain, np.zeros(int(pause * rate_hz), np.float32)]).astype(
        np.float32
    )
