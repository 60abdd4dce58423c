"""What the brains that chat with a language model have in common."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from attrs import frozen

from maestra.core import brief
from maestra.core.clauses import ClauseSplitter
from maestra.ports.brain import BrainRequest
from maestra.ports.errors import BrainError

__all__ = ["Piece", "chat_for", "chat_for_revision", "one_sentence", "spoken"]


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


def chat_for_revision(
    request: BrainRequest, said: Sequence[str], refused: str, unmeasured: Sequence[str]
) -> list[brief.Message]:
    """The chat that asks for the clause ``refused`` again."""
    return [
        *chat_for(request),
        {"role": "assistant", "content": " ".join([*said, refused])},
        {"role": "user", "content": brief.revision_text(refused, unmeasured)},
    ]


async def spoken(pieces: AsyncGenerator[Piece]) -> AsyncGenerator[str]:
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


async def one_sentence(pieces: AsyncGenerator[Piece]) -> str:
    """The first sentence of what comes in ``pieces``.

    :raises BrainError: nothing was said.
    """
    clauses = []
    async with aclosing(spoken(pieces)) as coming:
        async for clause in coming:
            clauses.append(clause)
            if clause.rstrip("\"'").endswith((".", "!", "?")):
                break
    return " ".join(clauses)
