"""The brain: from the facts and a question to an answer, clause by clause."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from attrs import frozen

from maestra.core.conversation.commands import QuestionKind
from maestra.core.conversation.history import Turn
from maestra.core.performance.observations import Observation
from maestra.core.performance.summary import PerformanceSummary
from maestra.core.persona import Persona

__all__ = ["Brain", "BrainRequest", "Remembers"]


@frozen(kw_only=True)
class BrainRequest:
    epoch: int
    kind: QuestionKind
    question: str
    summary: PerformanceSummary
    observations: tuple[Observation, ...]
    history: tuple[Turn, ...]
    persona: Persona


class Brain(Protocol):
    def reply(self, request: BrainRequest) -> AsyncIterator[str]:
        """Answer, one clause (a sentence, or a part of one that can be spoken) at a time.

        Closing the iterator cancels the answer.

        :raises BrainError: it failed, or said nothing.
        """
        ...


@runtime_checkable
class Remembers(Protocol):
    """A brain that may also want to know what of its answers was heard.

    Answers are prepared before it is sure that they will be given, and most are dropped unheard; a
    brain that won't repeat itself must count only those that were not.
    """

    def heard(self, text: str) -> None:
        """A reply has stopped, and ``text`` is the part of it that was heard: whole words from its
        beginning, perhaps all of them, perhaps none. Called once for each reply that was begun,
        whoever wrote it, before the next request. Must not take long, nor raise.
        """
        ...
