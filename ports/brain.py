"""The brain: from the facts and a question to an answer, clause by clause."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from attrs import frozen

from maestra.core.conversation.commands import QuestionKind
from maestra.core.conversation.history import Turn
from maestra.core.performance.observations import Observation
from maestra.core.performance.summary import PerformanceSummary
from maestra.core.persona import Persona

if TYPE_CHECKING:
    from .audio import Samples

__all__ = [
    "Brain",
    "BrainRequest",
    "Forgets",
    "Hears",
    "Instructs",
    "Prepares",
    "Remembers",
    "Revises",
    "SpokenClause",
]


@frozen(kw_only=True)
class BrainRequest:
    """What is to be answered, and from what.

    ``said`` is what of this same answer has been said already by a brain that then failed: go on
    from there. ``student`` is the sound of the student's side up to the end of the question, mono
    at ``SPEECH_RATE_HZ``, for a brain that hears (``Hears``); no other brain gets it.
    """

    epoch: int
    kind: QuestionKind
    question: str
    summary: PerformanceSummary
    observations: tuple[Observation, ...]
    history: tuple[Turn, ...]
    persona: Persona
    said: str = ""
    student: Samples | None = None


@frozen(kw_only=True, eq=False)
class SpokenClause:
    """A clause that the brain has spoken itself.

    ``text`` is what the sound says; ``sound`` is mono float32 at ``sample_rate_hz``.
    """

    text: str
    sound: Samples
    sample_rate_hz: int


class Brain(Protocol):
    """Runs on the session's event loop, and must not block it: long work belongs in a thread or a
    process of its own.
    """

    def reply(self, request: BrainRequest) -> AsyncIterator[str | SpokenClause]:
        """Answer, one clause (a sentence, or a part of one that can be spoken) at a time.

        Closing the iterator cancels the answer, and whatever it costs elsewhere, within 50 ms.

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


@runtime_checkable
class Forgets(Protocol):
    """A brain that keeps something of the conversation, here or elsewhere."""

    def forget(self) -> None:
        """The context was reset: another student may sit there. Nothing that was said, asked or
        heard until now may show in an answer. Must not take long, nor raise.
        """
        ...


@runtime_checkable
class Revises(Protocol):
    """A brain that can be asked to say a clause again."""

    async def revise(
        self, request: BrainRequest, said: Sequence[str], refused: str, unmeasured: Sequence[str]
    ) -> str:
        """Say ``refused`` again without the figures ``unmeasured``, which nobody has measured.

        Called while the iterator of ``reply`` stands at that clause, still open.

        :param said: the clauses of this answer that came before it.
        :raises BrainError: it failed, or said nothing.
        """
        ...


@runtime_checkable
class Prepares(Protocol):
    """A brain that answers sooner if it knows beforehand what it may be asked about."""

    def prepare(self, request: BrainRequest) -> None:
        """``request`` (without a question) is what it would be asked for now. Called from time to
        time while nobody asks; the latest one counts. Must not take long, nor raise, nor cost money
        that its user has not agreed to by an option.
        """
        ...


@runtime_checkable
class Hears(Protocol):
    """A brain that listens to the student itself."""

    @property
    def hears_seconds(self) -> float:
        """How much of the student's sound it wants with a question."""
        ...

    def understood(self, question: str) -> str:
        """The student's words where our ear read ``question``: by its own transcription, if it has
        one; else ``question``. Must not take long, nor raise.
        """
        ...


@runtime_checkable
class Instructs(Protocol):
    """A brain that tells its model more than ``core.brief`` does."""

    @property
    def instructions(self) -> str:
        """All that: none of it may be heard in an answer."""
        ...
