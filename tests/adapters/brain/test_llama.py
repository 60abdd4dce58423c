"""The llama brain: its child process, and (slow) a real model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from attrs import evolve
from contracts.quiet import quickest
from fakes import llama_child
from fakes.lifetime import living

from maestra.adapters.brain.coach import Coach
from maestra.adapters.brain.llama import LlamaBrain, LlamaSettings
from maestra.adapters.brain.llama.child import memory_needed
from maestra.app import models
from maestra.app.answering import Answering, Clause
from maestra.core import log
from maestra.core.brief import leaks, system_prompt
from maestra.core.conversation.commands import QuestionKind
from maestra.core.figures import unmeasured_figures
from maestra.core.performance.summary import PerformanceSummary
from maestra.core.persona import Persona
from maestra.core.speakable import speakable
from maestra.ports.brain import BrainRequest, Prepares, Revises
from maestra.ports.errors import BrainError, ModelMissing
from maestra.ports.lifetime import Lives

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


REQUEST = BrainRequest(
    epoch=1,
    kind=QuestionKind.WAKE,
    question="How was it?",
    summary=PerformanceSummary(),
    observations=(),
    history=(),
    persona=Persona(id="mary", name="Mary", portrait="none.png", prompt="You are Mary."),
)


def asks(question: str) -> BrainRequest:
    return evolve(REQUEST, question=question)


async def answer(asked: LlamaBrain, question: str = "How was it?") -> list[str]:
    return [clause async for clause in asked.reply(asks(question))]


def build(**settings: object) -> LlamaBrain:
    name = str(settings.pop("model", "tiny.gguf"))
    command = [sys.executable, str(Path(llama_child.__file__))]
    made = LlamaSettings(**settings)  # type: ignore[arg-type]
    return LlamaBrain(made, Path(name), command=command)


@asynccontextmanager
async def brain(**settings: object) -> AsyncGenerator[LlamaBrain]:
    asked = build(**settings)
    async with living(asked):
        with anyio.fail_after(20):
            await asked.loaded()
        yield asked


async def test_it_answers_clause_by_clause() -> None:
    async with brain() as asked:
        assert await answer(asked) == ["Lovely tone.", "Now play it slowly."]
        assert await asked.revise(REQUEST, [], "It was 92.", ["92"]) == "Lovely tone."


async def test_a_child_that_dies_costs_one_answer() -> None:
    async with brain() as asked:
        came = []
        begun = time.monotonic()
        with pytest.raises(BrainError, match=r"signal 9 \(out of memory\)"):
            async for clause in asked.reply(asks("Please die")):
                came.append(clause)
        assert time.monotonic() - begun < 1.9, "and not the 2 s that it has for its end"
        assert came == ["Lovely tone."]

        with pytest.raises(BrainError, match="signal 9"):
            await answer(asked)
        with anyio.fail_after(20):
            await asked.loaded()
        assert await answer(asked)


async def test_an_answer_nobody_wants_any_more_ends_between_two_tokens() -> None:
    async with brain(max_tokens=1000) as asked:

        async def once() -> float:
            clauses = asked.reply(asks("a long one"))
            assert isinstance(clauses, AsyncGenerator)
            await anext(clauses)
            begun = time.monotonic()
            await clauses.aclose()
            return time.monotonic() - begun

        await quickest(once, 0.05)
        begun = time.monotonic()
        assert await answer(asked)
        assert time.monotonic() - begun < 4, "the model was free again, and not after 5 s"


async def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maestra.adapters.brain.llama.brain._HUNG", 0.2)
    async with brain() as asked:
        with anyio.move_on_after(0.2):
            await answer(asked, "hang")
        with anyio.fail_after(20):
            while True:
                try:
                    await asked.loaded()
                    assert await answer(asked)
                except BrainError:
                    await anyio.sleep(0.05)
                else:
                    break


_PARENT = """
import signal, sys
from pathlib import Path
import anyio
from maestra.adapters.brain.llama import LlamaBrain, LlamaSettings

async def main():
    brain = LlamaBrain(LlamaSettings(), Path("tiny.gguf"), command=sys.argv[1:])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(brain.live)
        with anyio.open_signal_receiver(signal.SIGINT) as signals:
            await brain.loaded()
            child = brain._child._process
            print(child.pid, flush=True)
            await anext(signals)
            await anyio.sleep(0.3)  # in which it would die of it
            print(child.returncode, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.mark.parametrize("leads", [True, False])
def test_the_child_belongs_to_the_group_that_its_session_leads(leads: bool) -> None:
    """A service kills it with its session; a terminal's Ctrl-C does not reach it, or not harm."""
    command = [sys.executable, "-c", _PARENT, sys.executable, str(Path(llama_child.__file__))]
    apart = {"start_new_session": True} if leads else {"process_group": 0}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **apart) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            assert (os.getpgid(child) == parent.pid) is leads
            os.killpg(parent.pid, signal.SIGINT)
            assert parent.stdout.readline() == "None\n"
        finally:
            os.killpg(parent.pid, signal.SIGKILL)
        # Killed, or left by whom it listened to.
        assert _is_gone(child)


def _is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return True
        if stat.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False


async def test_what_is_prepared_is_read_beforehand() -> None:
    async with brain() as asked:
        asked.prepare(asks(""))
        await anyio.wait_all_tasks_blocked()
        # What is not read yet when somebody asks is left out, and has to be told again.
        with anyio.fail_after(20):
            while await answer(asked, "what do you know") == ["I read 0."]:
                asked.prepare(asks(""))
                await anyio.sleep(0.1)

        assert await answer(asked, "what do you know") == ["I read 1."]


async def test_a_prompt_that_is_too_long_costs_one_answer() -> None:
    async with brain() as asked:
        with pytest.raises(BrainError, match="9000 tokens"):
            await answer(asked, "much too long")
        assert await answer(asked)


async def test_an_answer_is_cut_at_its_limit() -> None:
    async with brain(max_tokens=16) as asked:
        assert await answer(asked, "a long one") == ["Lovely tone."]


async def test_a_model_that_cannot_be_loaded_is_not_tried_again() -> None:
    asked = build(model="missing.gguf")
    async with living(asked):
        with anyio.fail_after(20), pytest.raises(BrainError, match="no GGUF file"):
            await asked.loaded()
        with pytest.raises(BrainError, match="no GGUF file"):
            await answer(asked)


def test_llama_31_8b_in_four_bits_fits_into_the_default_ceiling() -> None:
    metadata = {
        "general.architecture": "llama",
        "llama.block_count": "32",
        "llama.embedding_length": "4096",
        "llama.attention.head_count": "32",
        "llama.attention.head_count_kv": "8",
    }
    default = LlamaSettings()
    q4_k_m, q5_k_m = 4_920_739_232, 5_732_992_416
    ceiling = default.memory_gb * 2**30

    assert memory_needed(q4_k_m, metadata, default.context) < ceiling
    assert memory_needed(q5_k_m, metadata, default.context) > ceiling
    a_token = memory_needed(0, metadata, 1001) - memory_needed(0, metadata, 1000)
    assert a_token == pytest.approx(128 * 1024)


async def test_before_it_is_loaded_the_next_brain_has_its_turn() -> None:
    with pytest.raises(BrainError, match="not loaded yet"):
        await answer(build())


def test_what_it_can_do_besides() -> None:
    asked = build()

    assert isinstance(asked, Revises)
    assert isinstance(asked, Prepares)
    assert isinstance(asked, Lives)


# --- a real model ---------------------------------------------------------------------------------


def _smollm() -> Path:
    pytest.importorskip("llama_cpp")
    try:
        return models.locate("smollm2-135m")
    except ModelMissing as error:
        pytest.skip(str(error))


@asynccontextmanager
async def smollm(**settings: object) -> AsyncGenerator[LlamaBrain]:
    made = LlamaSettings(temperature=0.0, **settings)  # type: ignore[arg-type]
    asked = LlamaBrain(made, _smollm())
    async with living(asked):
        with anyio.fail_after(60):
            await asked.loaded()
        yield asked


@pytest.mark.slow
@pytest.mark.models
async def test_a_real_model_answers_and_stops_at_once() -> None:
    async with smollm() as asked:
        first = [clause async for clause in asked.reply(REQUEST)]
        assert first
        assert all(clause.strip() == clause != "" for clause in first)

        clauses = asked.reply(REQUEST)
        assert isinstance(clauses, AsyncGenerator)
        assert await anext(clauses) == first[0], "the cache has not changed what it says"
        begun = time.monotonic()
        await clauses.aclose()
        assert time.monotonic() - begun < 0.05

        again = [clause async for clause in asked.reply(REQUEST)]
        assert again == first


@pytest.mark.slow
@pytest.mark.models
async def test_with_a_real_model_prepared_facts_need_not_be_read_again() -> None:
    async def first_clause(asked: LlamaBrain, question: str) -> float:
        begun = time.monotonic()
        clauses = asked.reply(asks(question))
        assert isinstance(clauses, AsyncGenerator)
        await anext(clauses)
        await clauses.aclose()
        return time.monotonic() - begun

    async with smollm() as asked:
        cold = await first_clause(asked, "How was the tempo?")
    async with smollm() as asked:
        asked.prepare(asks(""))
        await anyio.sleep(cold + 1)
        warm = await first_clause(asked, "How was the tempo?")

    assert warm < cold / 2


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"memory_gb": 0.1}, "memory_gb is 0.1"),
        ({"gpu_layers": -1}, "built without a GPU"),
    ],
)
async def test_what_cannot_be_had_is_said(settings: dict[str, object], says: str) -> None:
    asked = LlamaBrain(LlamaSettings(**settings), _smollm())  # type: ignore[arg-type]
    if "gpu_layers" in settings:
        import llama_cpp

        if llama_cpp.llama_supports_gpu_offload():
            pytest.skip("there is a GPU")
    async with living(asked):
        with anyio.fail_after(60), pytest.raises(BrainError, match=says):
            await asked.loaded()


@pytest.mark.slow
async def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    file = tmp_path / "notes.gguf"
    file.write_bytes(b"GGUF, it says" * 100)
    asked = LlamaBrain(LlamaSettings(), file)
    async with living(asked):
        with anyio.fail_after(60), pytest.raises(BrainError, match=r"notes\.gguf is no GGUF file"):
            await asked.loaded()


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.timeout(300)
async def test_what_so_small_a_model_makes_up_is_not_spoken() -> None:
    """Through what every brain's answer passes; the coach speaks in the place of it."""
    prompt = system_prompt(REQUEST.persona)
    figures = tuple(REQUEST.summary.figures())
    records: list[log.Record] = []
    async with smollm() as asked:
        answering = Answering(
            [("llama", asked), ("coach", Coach())],
            timeout=60.0,
            max_words=60,
            record=records.append,
            t=lambda: 0.0,
        )
        for question in ("How was the tempo?", "How many notes did I play, and how fast?"):
            clauses: list[Clause] = []
            await answering.answer(asks(question), clauses.append)
            said = [clause.text for clause in clauses]
            print(question, said)

            assert said
            assert len(" ".join(said).split()) <= 90
            assert not [text for text in said if unmeasured_figures(text, figures)]
            assert not [text for text in said if leaks(text, prompt)]
            assert said == [speakable(text) for text in said]
    print([record.text for record in records if isinstance(record, log.Warned)])


def test_orders_do_not_pile_up_before_a_child_that_is_busy() -> None:
    def order(number: int, question: str) -> dict[str, object]:
        messages = [{"role": "user", "content": question}]
        asked = {"id": number, "messages": messages, "max_tokens": 9, "temperature": 0.0}
        return {"do": "answer", **asked}

    orders = [{"model": "tiny.gguf"}, order(0, "hang"), *(order(n, "Hm?") for n in range(1, 20))]
    with subprocess.Popen(
        (sys.executable, llama_child.__file__), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(b"".join(json.dumps(each).encode() + b"\n" for each in orders))
        child.stdin.flush()
        lines = [json.loads(child.stdout.readline()) for _ in range(3)]
        child.kill()

    assert {"ready": True} == lines[0]
    assert ["too many answers are waited for"] * 2 == [line["error"] for line in lines[1:]]
