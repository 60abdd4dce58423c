"""How soon a brain answers.

``python -m maestra.app.experiments.brain_speed --set brain.backend=llama``

A made performance is asked about again and again, each time after some more of it was played, as in
a lesson: so the facts are new to the brain, and the rules are not. With ``--unprepared`` it is not
told of them beforehand.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import anyio
from attrs import define, field

from maestra.core.conversation.commands import QuestionKind
from maestra.core.performance.accumulator import PerformanceAccumulator
from maestra.core.performance.notes import PerformedNote
from maestra.core.performance.observations import observe
from maestra.ports.brain import Brain, BrainRequest, Prepares
from maestra.ports.errors import BrainError, MaestraError, leaves
from maestra.ports.lifetime import Lives

from .. import composition, config
from ..cli import exit_code

__all__ = ["main"]

_QUESTIONS = (
    "How was the tempo?",
    "What should I practise first?",
    "Was the rhythm even?",
    "What was good about it?",
)
_PERSONA = "teacher_mary_v1"


@define
class _Figures:
    """Seconds, of each answer."""

    first: list[float] = field(factory=list)
    whole: list[float] = field(factory=list)
    words: list[float] = field(factory=list)
    closing: list[float] = field(factory=list)
    failed: list[str] = field(factory=list)

    def lines(self) -> list[str]:
        made = [f"answers: {len(self.first)}, failed: {len(self.failed)}"]
        for name, values in (
            ("first clause (s)", self.first),
            ("whole answer (s)", self.whole),
            ("words a second after the first clause", self.words),
            ("closing in mid-answer (s)", self.closing),
        ):
            if len(values) > 1:
                cuts = statistics.quantiles(values, n=20, method="inclusive")
                made.append(
                    f"{name}: p50 {statistics.median(values):.3f}, p95 {cuts[-1]:.3f}"
                    f" (n = {len(values)})"
                )
        return made + sorted(set(self.failed))


def _requests() -> Sequence[BrainRequest]:
    """An endless lesson, each request after four seconds more of it."""
    accumulator = PerformanceAccumulator()
    persona = composition.persona(_PERSONA)
    onset = 0.0
    made = []
    for epoch in range(200):
        for number in range(8):
            onset += 0.5 - 0.0004 * epoch + (0.03 if number == 5 else 0.0)
            accumulator.add(
                PerformedNote(onset=onset, duration=0.4, midi=60 + number % 7, loudness_db=-20.0)
            )
        summary = accumulator.summary()
        made.append(
            BrainRequest(
                epoch=epoch,
                kind=QuestionKind.WAKE,
                question=_QUESTIONS[epoch % len(_QUESTIONS)],
                summary=summary,
                observations=observe(summary),
                history=(),
                persona=persona,
            )
        )
    return made


async def _ask(brain: Brain, request: BrainRequest, figures: _Figures, *, close: bool) -> None:
    clock = anyio.current_time
    begun = clock()
    first: float | None = None
    words = 0
    clauses = brain.reply(request)
    assert isinstance(clauses, AsyncGenerator)
    try:
        async for clause in clauses:
            if first is None:
                first = clock() - begun
                figures.first.append(first)
            else:
                words += len(str(getattr(clause, "text", clause)).split())
            if close:
                closing = clock()
                await clauses.aclose()
                figures.closing.append(clock() - closing)
                return
    except BrainError as error:
        figures.failed.append(str(error))
        return
    whole = clock() - begun
    figures.whole.append(whole)
    if first is not None and words:
        figures.words.append(words / (whole - first))


async def _measure(settings: config.Config, count: int, prepared: float, wait: float) -> _Figures:
    (_, brain), *_ = composition.brains(settings)
    figures = _Figures()
    async with anyio.create_task_group() as tasks:
        if isinstance(brain, Lives):
            tasks.start_soon(brain.live)
        lesson = iter(_requests())
        await _until_it_answers(brain, next(lesson), wait)
        for number, request in enumerate(itertools.islice(lesson, count)):
            if prepared and isinstance(brain, Prepares):
                brain.prepare(request)
                await anyio.sleep(prepared)
            await _ask(brain, request, figures, close=number % 2 == 1)
        tasks.cancel_scope.cancel()
    return figures


async def _until_it_answers(brain: Brain, request: BrainRequest, within: float) -> None:
    """Ask until there is an answer.

    :raises BrainError: there was none ``within`` so many seconds.
    """
    told = "it gives no answer"
    with anyio.move_on_after(within):
        while True:
            tried = _Figures()
            await _ask(brain, request, tried, close=False)
            if not tried.failed:
                return
            told = tried.failed[-1]
            await anyio.sleep(0.5)
    raise BrainError(told)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure how soon a brain answers.")
    parser.add_argument("--config", metavar="FILE", help="a configuration file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("-n", type=int, default=40, help="how many answers")
    parser.add_argument(
        "--prepared", type=float, default=5.0, metavar="SECONDS", help="told so long before"
    )
    parser.add_argument("--unprepared", action="store_true", help="not told beforehand")
    parser.add_argument(
        "--wait", type=float, default=120.0, metavar="SECONDS", help="for its first answer"
    )
    given = parser.parse_args(arguments)
    file = Path(given.config) if given.config else None
    prepared = 0.0 if given.unprepared else given.prepared
    try:
        settings = config.load(file, assignments=given.set).config
        print(*anyio.run(_measure, settings, given.n, prepared, given.wait).lines(), sep="\n")
    except (MaestraError, ExceptionGroup) as error:
        ours = [leaf for leaf in leaves(error) if isinstance(leaf, MaestraError)]
        if not ours:
            raise
        print(f"brain_speed: {ours[0]}", file=sys.stderr)
        return exit_code(ours[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
