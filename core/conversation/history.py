"""Chat history: what was said and heard in this conversation."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve, field, frozen, validators

__all__ = ["MAX_TURNS", "ChatHistory", "Turn"]

MAX_TURNS = 3
"""More would only lead a language model away from the performance it is asked about."""


@frozen(kw_only=True)
class Turn:
    """A question and the part of its answer that was heard."""

    question: str
    heard: str


@frozen
class ChatHistory:
    """The last turns, oldest first. It never changes: what adds to it returns another one.

    An answer of which nothing was heard leaves no turn: to the student it was never given.
    """

    turns: tuple[Turn, ...] = ()
    limit: int = field(
        default=MAX_TURNS,
        kw_only=True,
        validator=[validators.ge(0), validators.le(MAX_TURNS)],
    )

    def __attrs_post_init__(self) -> None:
        if len(self.turns) > self.limit:
            raise ValueError(f"{len(self.turns)} turns are more than the limit of {self.limit}")

    def __len__(self) -> int:
        return len(self.turns)

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)

    def after(self, question: str, heard: str) -> ChatHistory:
        """The history once ``heard`` was heard in answer to ``question``."""
        if not heard.strip():
            return self
        return self._with((*self.turns, Turn(question=question, heard=heard.strip())))

    def limited_to(self, limit: int) -> ChatHistory:
        """The history with another limit; the oldest turns beyond it are gone."""
        return evolve(self, limit=limit, turns=self._last(self.turns, limit))

    def cleared(self) -> ChatHistory:
        return self._with(())

    def _with(self, turns: tuple[Turn, ...]) -> ChatHistory:
        return evolve(self, turns=self._last(turns, self.limit))

    @staticmethod
    def _last(turns: tuple[Turn, ...], limit: int) -> tuple[Turn, ...]:
        return turns[max(0, len(turns) - limit) :]
