"""What every brain promises (``ports.brain.Brain``), kept by the fake and by the real ones."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import anyio
import numpy as np
import pytest
from contracts.quiet import cancels, how_soon_quiet, quickest
from fakes.brain import FakeBrain

from maestra.adapters.brain.llama import LlamaBrain, LlamaSettings
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
from maestra.ports.brain import Brain, BrainRequest, SpokenClause
from maestra.ports.lifetime import Lives

pytestmark = pytest.mark.anyio

PERSONA = Persona(id="somebody", name="Somebody", portrait="none.png")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def _fake(_folder: Path) -> AsyncIterator[Brain]:
    yield FakeBrain()


@asynccontextmanager
async def _coach(_folder: Path) -> AsyncIterator[Brain]:
    ((_, brain),) = composition.brains(Config())
    yield brain


@asynccontextmanager
async def _gemini_live(folder: Path) -> AsyncIterator[Brain]:
    """Against the local server of its protocol."""
    from servers import gemini_live

    from maestra.adapters.brain.gemini.brain import GeminiLive
    from maestra.adapters.brain.gemini.settings import GeminiLiveSettings

    pem = gemini_live.certificate(folder)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(pem))
        async with gemini_live.serving(gemini_live.GeminiServer(), pem) as server:
            yield GeminiLive(GeminiLiveSettings(base_url=server.url), key="key", persona=PERSONA)


@asynccontextmanager
async def _openai(_folder: Path) -> AsyncIterator[Brain]:
    """Against the local server of its protocol."""
    from servers import openai_chat

    from maestra.adapters.brain.openai import OpenAIBrain, OpenAISettings

    async with openai_chat.serving() as server:
        yield OpenAIBrain(OpenAISettings(base_url=server.base_url))


@asynccontextmanager
async def _llama(_folder: Path) -> AsyncIterator[Brain]:
    """With a child that has no model."""
    from fakes import llama_child

    command = (sys.executable, str(Path(llama_child.__file__)))
    yield LlamaBrain(LlamaSettings(), Path("tiny.gguf"), command=command)


BUILDS: dict[str, Callable[[Path], AbstractAsyncContextManager[Brain]]] = {
    "fake": _fake,
    "coach": _coach,
    "gemini-live": _gemini_live,
    "openai": _openai,
    "llama": _llama,
}
NEEDS = {"gemini-live": "google.genai", "openai": "openai"}
"""The package of an extra that a brain cannot do without."""


def _is_installed(package: str) -> bool:
    with suppress(ModuleNotFoundError):
        return find_spec(package) is not None
    return False


@pytest.fixture(params=BUILDS)
async def brain(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Brain, None]:
    """A brain, and what it owns for the session running beside it."""
    if (package := NEEDS.get(request.param)) and not _is_installed(package):
        pytest.skip(f"{package} is not installed")
    async with BUILDS[request.param](tmp_path) as built:
        if not isinstance(built, Lives):
            yield built
            return
        living = asyncio.create_task(built.live())
        if isinstance(built, LlamaBrain):
            await built.loaded()
        yield built
        living.cancel()
        with suppress(asyncio.CancelledError):
            await living


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """What the brain that is asked is called."""
    return str(request.node.callspec.params["brain"])


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
        persona=PERSONA,
        student=np.zeros(8_000, np.float32),
    )


async def answered(brain: Brain, asked: BrainRequest) -> list[str]:
    return [
        clause.text if isinstance(clause, SpokenClause) else clause
        async for clause in brain.reply(asked)
    ]


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


async def test_it_can_be_cut_off_and_asked_again(brain: Brain, name: str) -> None:
    async def once() -> float:
        clauses = brain.reply(request())
        await anext(clauses)
        begun = anyio.current_time()
        await clauses.aclose()  # type: ignore[attr-defined]
        return anyio.current_time() - begun

    await quickest(once, 0.05)
    assert cancels("brain", name)

    assert await answered(brain, request())


@pytest.mark.slow
async def test_how_soon_it_is_quiet(brain: Brain) -> None:
    """Prints what the reference states (``pytest -m slow -rP -k quiet tests/contracts``)."""
    assert await how_soon_quiet(type(brain).__name__, lambda: brain.reply(request())) < 0.05
