"""What the brains that chat with a language model have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from attrs import frozen

from maestra.core import brief
from maestra.core.clauses import ClauseSplitter
from maestra.ports.brain import BrainRequest
from maestra.ports.errors import BrainError

__all__ = ["ChatBrain", "Piece", "chat_for"]


@frozen
class Piece:
    """The next piece of an answer. ``cut`` says that the model was stopped at its limit."""

    text: str = ""
    cut: bool = False


def chat_for(request: BrainRequest) -> list[brief.Message]:
    """The chat that asks for an answer to ``request``."""
    return brief.messages(
        persona=request.persona,
        summary=request.summary,
        observations=request.observations,
        history=request.history,
        question=request.question,
        kind=request.kind,
        said=request.said,
    )


class ChatBrain(ABC):
    """A brain that has a model write on after a chat. Implements ``Brain`` and ``Revises``."""

    @abstractmethod
    def _pieces(self, chat: Sequence[brief.Message]) -> AsyncGenerator[Piece]:
        """What the model writes, as it comes.

        :raises BrainError: it could not be asked, or broke off.
        """

    async def reply(self, request: BrainRequest) -> AsyncIterator[str]:
        """Answer, each clause as soon as it is written."""
        async with aclosing(_spoken(self._pieces(chat_for(request)))) as clauses:
            async for clause in clauses:
                yield clause

    async def revise(
        self, request: BrainRequest, said: Sequence[str], refused: str, unmeasured: Sequence[str]
    ) -> str:
        """Say a clause again; see ``maestra.ports.brain.Revises``."""
        chat = _chat_for_revision(request, said, refused, unmeasured)
        return await _one_sentence(self._pieces(chat))


def _chat_for_revision(
    request: BrainRequest, said: Sequence[str], refused: str, unmeasured: Sequence[str]
) -> list[brief.Message]:
    """The chat that asks for the clause ``refused`` again."""
    return [
        *chat_for(request),
        {"role": "assistant", "content": " ".join([*said, refused])},
        {"role": "user", "content": brief.revision_text(refused, unmeasured)},
    ]


async def _spoken(pieces: AsyncGenerator[Piece]) -> AsyncGenerator[str]:
    """The clauses of an answer that comes in ``pieces``.

    What an answer that was cut off ends with is left out, unless it is all there is.

    :raises BrainError: nothing was said.
    """
    splitter = ClauseSplitter()
    spoke = cut = False
    async with aclosing(pieces):
        async for piece in pieces:
            cut = cut or piece.cut
            for clause in splitter.push(piece.text):
                yield clause
                spoke = True
    for clause in splitter.flush():
        if not (cut and spoke):
            yield clause
            spoke = True
    if not spoke:
        raise BrainError("the model gave an empty answer")


async def _one_sentence(pieces: AsyncGenerator[Piece]) -> str:
    """The first sentence of what comes in ``pieces``.

    :raises BrainError: nothing was said.
    """
    clauses = []
    async with aclosing(_spoken(pieces)) as coming:
        async for clause in coming:
            clauses.append(clause)
            if clause.rstrip("\"'").endswith((".", "!", "?")):
                break
    return " ".join(clauses)
