"""The voice: from a clause to sound."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from .audio import Samples

__all__ = ["AlignedSound", "SpokenCharacter", "Voice"]


@frozen(kw_only=True)
class SpokenCharacter:
    """When a character of the clause sounds: seconds from the beginning of the clause's sound."""

    character: str
    start: float
    end: float


@frozen(kw_only=True, eq=False)
class AlignedSound:
    """Sound of a voice that knows which characters it speaks when.

    ``characters`` are the next ones of the clause, in order. Those of an earlier piece are not
    said again.
    """

    samples: Samples
    characters: tuple[SpokenCharacter, ...]


class Voice(Protocol):
    @property
    def sample_rate_hz(self) -> int: ...

    def synthesise(self, clause: str) -> AsyncIterator[Samples | AlignedSound]:
        """Speak ``clause``: mono float32 at ``sample_rate_hz``, as soon as there is any.

        Closing the iterator cancels it within 50 ms.

        :raises VoiceError: it failed, or made no sound.
        """
        ...
