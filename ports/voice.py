"""The voice: from a clause to sound."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .audio import Samples

__all__ = ["Voice"]


class Voice(Protocol):
    @property
    def sample_rate_hz(self) -> int: ...

    def synthesise(self, clause: str) -> AsyncIterator[Samples]:
        """Speak ``clause``: mono float32 at ``sample_rate_hz``, as soon as there is any.

        Closing the iterator cancels it.

        :raises VoiceError: it failed, or made no sound.
        """
        ...
