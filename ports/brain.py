"""The brain: from the facts and a question to an answer, clause by clause."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from attrs import frozen

from maestra.core.conversation.commands import QuestionKind
from maestra.core.conversation.history import Turn
from maestra.core.performance.observations import Observation
from maestra.core.performance.summary import PerformanceSummary
from maestra.core.persona import Persona

__all__ = ["Brain", "BrainRequest"]


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
