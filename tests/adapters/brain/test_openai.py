"""The OpenAI brain, by its own SDK, against a local server that can misbehave."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from attrs import evolve
from contracts.quiet import quickest
from fakes.lifetime import living
from servers.openai_chat import ChatServer, Play, serving

from maestra.adapters.brain.openai import OpenAIBrain, OpenAISettings
from maestra.app import models
from maestra.core.brief import system_prompt
from maestra.core.conversation.commands import QuestionKind
from maestra.core.conversation.history import Turn
from maestra.core.performance.summary import PerformanceSummary
from maestra.core.persona import Persona
from maestra.ports.brain import BrainRequest, Prepares, Revises
from maestra.ports.errors import BackendRefused, BrainError, MaestraError, ModelMissing
from maestra.ports.lifetime import Lives

pytest.importorskip("openai")
pytestmark = pytest.mark.anyio

KEY = "sk-not-a-real-key"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


REQUEST = BrainRequest(
    epoch=1,
    kind=QuestionKind.WAKE,
    question="How was it?",
    summary=PerformanceSummary(),
    observations=(),
    history=(Turn(question="And before?", heard="It was steady."),),
    persona=Persona(id="mary", name="Mary", portrait="none.png", prompt="You are Mary."),
)


@asynccontextmanager
async def brain(server: ChatServer, **settings: object) -> AsyncGenerator[OpenAIBrain]:
    """A brain that lives, as it does in a session."""
    made = OpenAISettings(base_url=server.base_url, **settings)  # type: ignore[arg-type]
    asked = OpenAIBrain(made, key=KEY)
    async with living(asked):
        yield asked


async def answer(asked: OpenAIBrain, request: BrainRequest = REQUEST) -> list[str]:
    return [clause async for clause in asked.reply(request)]


async def answered(server: ChatServer, **settings: object) -> list[str]:
    async with brain(server, **settings) as asked:
        return await answer(asked)


async def failure(*plays: Play, **settings: object) -> tuple[str, ChatServer]:
    async with serving(*plays) as server:
        with pytest.raises(BrainError) as raised:
            await answered(server, **settings)
        assert KEY not in str(raised.value)
        return str(raised.value), server


async def test_clauses_come_while_the_rest_is_written() -> None:
    play = Play(pieces=("Good. ", "Now", " slo", "wly, at 1", ".5."), between=0.1)
    async with serving(play) as server, brain(server) as asked:
        came = [(clause, server.sent) async for clause in asked.reply(REQUEST)]

    assert [clause for clause, _ in came] == ["Good.", "Now slowly, at 1.5."]
    assert came[0][1] < len(play.pieces), "the first did not wait for the last"


async def test_the_prompt_has_its_constant_part_first_and_the_question_last() -> None:
    async with serving() as server:
        await answered(server, model="llama-3.1-8b", max_tokens=99)

    (asked,) = server.requests
    roles = [message["role"] for message in asked.body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert asked.body["messages"][0]["content"].startswith(system_prompt(REQUEST.persona))
    assert '"How was it?"' in asked.body["messages"][-1]["content"]
    assert asked.body["model"] == "llama-3.1-8b"
    assert asked.body["max_tokens"] == 99
    assert asked.body["stream"] is True
    assert asked.headers["authorization"] == f"Bearer {KEY}"


async def test_a_server_of_ones_own_needs_no_key_and_openai_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with serving() as server:
        keyless = OpenAIBrain(OpenAISettings(base_url=server.base_url))
        async with living(keyless):
            assert await answer(keyless)

    with pytest.raises(MaestraError, match="OPENAI_API_KEY"):
        OpenAIBrain(OpenAISettings())


@pytest.mark.parametrize(
    ("play", "says"),
    [
        (Play(status=401, error={"message": f"Incorrect key {KEY}"}), "check OPENAI_API_KEY"),
        (Play(status=404, error={"message": "no such model"}), "no model 'gpt-4o-mini'"),
        (Play(status=429, error={"code": "insufficient_quota"}), "quota"),
        (Play(status=429, headers={"Retry-After": "30"}), "too many requests"),
        (Play(status=500), "fault of its own"),
        (Play(status=400, error={"message": f"too long {KEY}"}), "too long"),
        (Play(pieces=("Go",), malformed=True), "no chat completion"),
        (Play(pieces=("Go",), error_event="overloaded"), "overloaded"),
        (Play(pieces=()), "an empty answer"),
        (Play(pieces=(" ", "\n")), "empty answer"),
        (Play(pieces=("Half a wo",), finish=None), "broke off"),
        (Play(pieces=("Half a wo",), drop=True), "connection"),
        (Play(pieces=(), finish="content_filter"), "content filter"),
    ],
    ids=lambda value: value if isinstance(value, str) else "play",
)
async def test_whatever_goes_wrong_is_a_brain_error_in_one_sentence(play: Play, says: str) -> None:
    text, _ = await failure(play, retries=0)

    assert says in text
    assert "\n" not in text


async def test_a_drop_in_mid_word_comes_after_the_clauses_that_were_whole() -> None:
    play = Play(pieces=("Lovely tone. ", "Now pl"), drop=True)
    async with serving(play) as server, brain(server) as asked:
        came = []
        with pytest.raises(BrainError):
            async for clause in asked.reply(REQUEST):
                came.append(clause)

    assert came == ["Lovely tone."]
    assert len(server.requests) == 1, "half an answer is not asked for again"


async def test_what_was_cut_at_the_limit_ends_with_a_whole_clause() -> None:
    async with serving(Play(pieces=("Lovely. ", "Now play it sl"), finish="length")) as server:
        assert await answered(server) == ["Lovely."]


@pytest.mark.parametrize(
    "first", [Play(status=503), Play(status=429, headers={"Retry-After": "0"})]
)
async def test_what_may_pass_is_tried_again(first: Play) -> None:
    async with serving(first, Play()) as server:
        assert await answered(server)

    assert len(server.requests) == 2


async def test_a_long_retry_after_leaves_the_turn_to_the_next_brain() -> None:
    begun = time.monotonic()
    _, server = await failure(Play(status=429, headers={"Retry-After": "2"}), retries=5)

    assert len(server.requests) == 1
    assert time.monotonic() - begun < 1.9, "it was not waited for"


async def test_retries_end_when_they_would_be_late() -> None:
    begun = time.monotonic()
    _, server = await failure(Play(status=500), retries=10, patience=3.0)

    assert 2 <= len(server.requests) <= 6
    assert time.monotonic() - begun < 4.5, "the next would have been after 4.65 s"


@pytest.mark.parametrize(
    "play",
    [Play(before_first=30), Play(pieces=("Good. ", "Now "), silence=True)],
    ids=["at first", "in the middle"],
)
async def test_silence_ends(play: Play) -> None:
    text, _ = await failure(play, patience=0.3, stall=0.3)

    assert "in time" in text


async def test_nobody_there() -> None:
    async with serving() as server:
        pass
    with pytest.raises(BrainError, match="connection"):
        await answered(server, retries=0)


async def test_closing_the_answer_hangs_up_within_50_ms() -> None:
    play = Play(pieces=("Good. ", "Now ", *(["la "] * 500)), between=0.02)
    async with serving(play) as server, brain(server) as asked:

        async def once() -> float:
            server.hung_up.clear()
            clauses = asked.reply(REQUEST)
            assert isinstance(clauses, AsyncGenerator)
            await anext(clauses)
            begun = time.monotonic()
            await clauses.aclose()
            with anyio.fail_after(20):
                await server.hung_up.wait()  # set only where there is more to be told
            return time.monotonic() - begun

        await quickest(once, 0.05)
        server.script = [Play()]
        assert await answer(asked)


async def test_cancelling_the_task_hangs_up_too() -> None:
    async with serving(Play(before_first=90)) as server, brain(server, patience=60.0) as asked:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer, asked)
            with anyio.fail_after(20):
                while not server.requests:  # noqa: ASYNC110 (of this the server does not tell)
                    await anyio.sleep(0.01)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(20):
            await server.hung_up.wait()


async def test_a_clause_is_asked_for_again() -> None:
    play = Play(pieces=("Your tempo was ", "steady. ", "Really."))
    async with serving(play) as server, brain(server) as asked:
        again = await asked.revise(REQUEST, ["Good."], "It was 92.", ["92"])

    assert again == "Your tempo was steady."
    *_, said, refused = server.requests[0].body["messages"]
    assert said == {"role": "assistant", "content": "Good. It was 92."}
    assert "do not hold: 92" in refused["content"]


async def test_prepared_facts_are_read_before_the_question() -> None:
    async with serving() as server, brain(server, prefill=True) as asked:
        asked.prepare(evolve(REQUEST, question=""))
        with anyio.fail_after(20):
            await server.asked.wait()
        await anyio.wait_all_tasks_blocked()
        await answer(asked)

    first, second = server.requests
    assert first.body["max_tokens"] == 1
    assert second.body["messages"][:-1] == first.body["messages"][:-1]


async def test_a_question_does_not_wait_for_what_is_only_prepared() -> None:
    async with serving(Play(pieces=(), silence=True), Play()) as server:
        async with brain(server, prefill=True) as asked:
            asked.prepare(evolve(REQUEST, question=""))
            with anyio.fail_after(20):
                await server.asked.wait()
            await anyio.wait_all_tasks_blocked()
            assert await answer(asked)
            with anyio.fail_after(20):
                await server.hung_up.wait()
            asked.prepare(evolve(REQUEST, question=""))
            with anyio.fail_after(20):
                while len(server.requests) < 3:  # noqa: ASYNC110 (the server does not tell)
                    await anyio.sleep(0.01)


async def test_nothing_of_the_student_leaves_before_somebody_asks() -> None:
    async with serving() as server, brain(server) as asked:
        asked.prepare(REQUEST)
        with anyio.fail_after(20):
            await server.asked.wait()
        await anyio.wait_all_tasks_blocked()
        assert await answer(asked)

    assert [other.path for other in server.others] == ["/v1/models"]
    assert not server.others[0].body
    assert server.connections == 1, "the question found the connection open"


def test_what_it_can_do_besides() -> None:
    asked = OpenAIBrain(OpenAISettings(), key=KEY)

    assert isinstance(asked, Revises)
    assert isinstance(asked, Prepares)
    assert isinstance(asked, Lives)


async def test_a_key_and_a_model_are_checked_before_the_lesson() -> None:
    async with serving() as server, brain(server, model="llama-3.1-8b") as asked:
        await asked.check()  # a server that lists none has to be taken at its word

        server.models = ("llama-3.1-8b", "qwen-7b")
        await asked.check()

        server.models = ("llama-3.1-8b:latest",)
        await asked.check()  # as Ollama lists it

        server.models = ("llama-3.2-1b", "qwen-7b")
        with pytest.raises(BackendRefused, match=r"brain.options.openai.model: it has llama-3.2"):
            await asked.check()

        server.owner = "llamacpp"
        await asked.check()

        server.refuses = True
        with pytest.raises(BackendRefused, match="OPENAI_API_KEY") as refused:
            await asked.check()
        assert KEY not in str(refused.value)
    with pytest.raises(BrainError):
        await asked.check()


@pytest.mark.slow
@pytest.mark.models
async def test_a_real_server_of_llama_cpp(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    pytest.importorskip("uvicorn")
    pytest.importorskip("sse_starlette")
    try:
        model = models.locate("smollm2-135m")
    except ModelMissing as error:
        pytest.skip(str(error))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [sys.executable, "-c", _PLAIN_SERVER, "--model", str(model), "--port", str(port)]
    log = tmp_path / "server.log"
    with log.open("wb") as file:
        process = await anyio.open_process(command, stdout=file, stderr=file)
    try:
        settings = OpenAISettings(
            base_url=f"http://127.0.0.1:{port}/v1",
            patience=60.0,
            stall=20.0,
            max_tokens=40,
        )
        asked = OpenAIBrain(settings)
        async with living(asked):
            with anyio.fail_after(90):
                while True:
                    try:
                        first = await answer(asked)
                    except BrainError:
                        assert process.returncode is None, log.read_text()
                        await anyio.sleep(1)
                    else:
                        break
            assert first
            assert await asked.revise(REQUEST, [], "It was 92.", ["92"])
    finally:
        process.kill()
        await process.aclose()


_PLAIN_SERVER = """
from llama_cpp import llama_cpp as library
defaults = library.llama_model_default_params
def plain():
    made = defaults()
    made.use_extra_bufts = False  # some virtual machines claim AMX and fault at its first use
    return made
library.llama_model_default_params = plain
from llama_cpp.server.__main__ import main
main()
"""
