"""What every brain promises (``ports.brain.Brain``), kept by the fake and by the real ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fakes.brain import FakeBrain

from maestra.app import composition
from maestra.app.config import Config
from maestra.core.conversation.commands import QuestionKind
from maestra.core.conversation.history import Turn
from maestra.core.figures import unmeasured_figures
from maestra.core.performance.accumulator import PerformanceAccumulator
from maestra.core.performance.notes import PerformedNote
from maestra.core.performance.observations import observe
from maestra.core.performance.summary import PerformanceSummary
from maestra.core.persona import Persona
from maestra.ports.brain import Brain, BrainRequest

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _coach() -> Brain:
    ((_, brain),) = composition.brains(Config())
    return brain


@pytest.fixture(params=[FakeBrain, _coach], ids=["fake", "coach"])
def brain(request: pytest.FixtureRequest) -> Brain:
    build: Callable[[], Brain] = request.param
    return build()


def played(*, notes: int) -> PerformanceSummary:
    """A steady scale, a note every half second."""
    accumulator = PerformanceAccumulator()
    for number in range(notes):
        accumulator.add(PerformedNote(onset=1 + number * 0.5, duration=0.45, midi=60 + number % 12))
    return accumulator.summary()


def request(question: str = "", *, notes: int = 24, history: tuple[Turn, ...] = ()) -> BrainRequest:
    summary = played(notes=notes)
    return BrainRequest(
        epoch=1,
        kind=QuestionKind.FOLLOW_UP if history else QuestionKind.WAKE,
        question=question,
        summary=summary,
        observations=observe(summary),
        history=history,
        persona=Persona(id="somebody", name="Somebody", portrait="none.png"),
    )


async def answered(brain: Brain, asked: BrainRequest) -> list[str]:
    return [clause async for clause in brain.reply(asked)]


@pytest.mark.parametrize("notes", [0, 2, 24, 200])
@pytest.mark.parametrize("question", ["", "How fast was it?", "What is the capital of France?"])
async def test_it_says_something_short_that_can_be_spoken(
    brain: Brain, question: str, notes: int
) -> None:
    asked = request(question, notes=notes)
    clauses = await answered(brain, asked)

    assert 1 <= len(clauses) <= 4
    for clause in clauses:
        assert clause.strip() == clause != ""
        assert not set(clause) & set("*#_<>[]{}()\n"), "markup cannot be spoken"
        assert not unmeasured_figures(clause, tuple(asked.summary.figures()))


async def test_a_follow_up_takes_its_history(brain: Brain) -> None:
    first = await answered(brain, request())
    turn = Turn(question="", heard=" ".join(first))

    assert await answered(brain, request("How do I fix that?", history=(turn,)))


async def test_it_can_be_cut_off_and_asked_again(brain: Brain) -> None:
    clauses = brain.reply(request())
    await anext(clauses)
    await clauses.aclose()  # type: ignore[attr-defined]

    assert await answered(brain, request())
