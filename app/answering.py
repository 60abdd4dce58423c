"""Answers: which brain is asked, what of its answer may be spoken, and who goes on if it fails.

The brains stand in their order; the first that is well is asked. Every clause is checked before it
is passed on: it can be spoken, it is English, it tells nothing of the brain's instructions, and it
states no figure that was not measured. A clause that does not pass is asked for once more, if that
is what it takes and the brain can, and else the coach says something in its place. A brain that
fails, or is silent for too long, is replaced in mid-answer: the next one is told what was said and
goes on from there, and what was passed on is never taken back.

Brains run on the session's event loop. One that blocks it stops the whole session; the adapter has
to keep long work in a thread or a process of its own.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
from attrs import define, evolve, field, frozen

from maestra.core import log
from maestra.core.brief import leaks, system_prompt
from maestra.core.clauses import ClauseSplitter
from maestra.core.conversation.history import Turn
from maestra.core.figures import stated_figures, unmeasured_figures
from maestra.core.performance.figure import Figure, NamedFigure
from maestra.core.speakable import is_english, speakable
from maestra.ports.brain import (
    Brain,
    BrainRequest,
    Forgets,
    Hears,
    Instructs,
    Prepares,
    Remembers,
    Revises,
    SpokenClause,
)
from maestra.ports.errors import BackendRefused, BrainError, PortError
from maestra.ports.lifetime import Checks, Lives

from .breaker import Breaker

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["COACH", "Answering", "Attempt", "Clause", "fact_record"]

COACH = "coach"
"""The brain that replaces a clause which may not be spoken."""

_MOST_SENTENCES = 3
"""A teacher's answer is two or three sentences; what goes on beyond this is cut."""

_MOST_OF_THE_COACH = 8
"""Its answers are made by rule, and as long as they have to be."""

_MOST_REFUSED = 2
"""So many clauses of an answer may be refused before somebody else goes on."""

_HAND_OVER = 1.2
"""Seconds that all the brains after one that failed have together until the next clause: with the
voice's time the next word is heard within two seconds."""

_REVISING = 1.0
"""Seconds for saying a clause again."""

_CHECKING = 5.0
"""Seconds in which a key and a model must be accepted."""

_CLOSING = 0.045
"""Seconds a brain has to let go of an answer that is not wanted any more."""

_CHARACTERS_PER_SECOND = 20
"""At most as fast is an answer heard: while it is, the next clause may take its time."""

_SENTENCE_END = re.compile(r"[.!?]+[\"')\]]*(?=\s|$)")
_OVERRUN = 1.5
"""A sentence that does not end may be this much longer than the limit."""

_ALIKE = 0.6
"""Clauses that share this much of their words say the same."""


@frozen(kw_only=True, eq=False)
class Clause:
    """A clause that may be spoken, and who wrote it. ``sound`` is there if that brain has spoken it
    itself: mono float32 at ``sample_rate_hz``. ``figures`` are those it states."""

    text: str
    brain: str
    sound: Samples | None = None
    sample_rate_hz: int = 0
    figures: tuple[log.Stated, ...] = ()


def fact_record(figure: Figure) -> log.Fact:
    """``figure`` as the event log has it."""
    return log.Fact(
        value=figure.value,
        unit=figure.unit,
        confidence=figure.confidence,
        start=figure.start,
        end=figure.end,
    )


@frozen(kw_only=True)
class Attempt:
    """How fast a brain was: seconds from asking it to its first and to its last clause."""

    brain: str
    ttft: float
    duration: float
    clauses: int


@define
class _Answer:
    """What has been passed on of one answer."""

    max_words: int
    put: Callable[[Clause], None]
    clauses: list[str] = field(factory=list)
    audible_until: float = 0.0

    @property
    def text(self) -> str:
        return " ".join(self.clauses)

    def add(self, clause: Clause) -> None:
        self.clauses.append(clause.text)
        spoken = len(clause.text) / _CHARACTERS_PER_SECOND
        self.audible_until = max(self.audible_until, anyio.current_time()) + spoken
        self.put(clause)

    def is_full(self, most_sentences: int) -> bool:
        """It is long enough, and at the end of a sentence (or will not come to one)."""
        text = self.text
        words = len(text.split())
        if words >= _OVERRUN * self.max_words:
            return True
        sentences = len(_SENTENCE_END.findall(text))
        ended = bool(re.search(rf"{_SENTENCE_END.pattern}$", text))
        return ended and (words >= self.max_words or sentences >= most_sentences)


class _Unfit(BrainError):
    """It works, but what it says cannot be used."""


class Answering:
    """All the brains of a session.

    :param brains: names and brains in their order of turn. The last one is asked whatever happened
        to it before; one called ``coach`` also says what another may not.
    :param timeout: seconds without a clause after which a brain has failed.
    :param max_words: where an answer is cut, at the next end of a sentence.
    :param record: takes the event log's records.
    :param t: the session's media time in seconds, for them.
    """

    def __init__(
        self,
        brains: Sequence[tuple[str, Brain]],
        *,
        timeout: float,
        max_words: int,
        record: Callable[[log.Record], None],
        t: Callable[[], float],
    ) -> None:
        self._brains = tuple(brains)
        self._coach = dict(brains).get(COACH)
        self._timeout = timeout
        self._max_words = max_words
        self._record = record
        self._t = t
        self._breakers: Mapping[str, Breaker] = {name: Breaker() for name, _ in brains}
        self._serving = self._brains[0][0]

    # --- beside the answers ---------------------------------------------------

    @property
    def hears_seconds(self) -> float:
        """How much of the student's sound any of them wants with a question."""
        return max(
            (brain.hears_seconds for _, brain in self._brains if isinstance(brain, Hears)),
            default=0.0,
        )

    def heard(self, text: str) -> None:
        """A reply has stopped; ``text`` is what was heard of it."""
        for name, brain in self._brains:
            if isinstance(brain, Remembers):
                self._guarded(name, lambda brain=brain: brain.heard(text))  # type: ignore[misc]

    def forget(self) -> None:
        """The context was reset: what they keep of the conversation is to go."""
        for name, brain in self._brains:
            if isinstance(brain, Forgets):
                self._guarded(name, brain.forget)

    def prepare(self, request: BrainRequest) -> None:
        """``request`` is what would be asked now."""
        for name, brain in self._brains:
            if isinstance(brain, Prepares):
                self._guarded(name, lambda brain=brain: brain.prepare(request))  # type: ignore[misc]

    def _guarded(self, name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # a brain of somebody else's may raise anything
            self._failed(name, error)

    async def check(self) -> None:
        """Ask those whose key and model others have to accept whether they are.

        :raises BackendRefused: one is not.
        """
        refused: BackendRefused | None = None

        async def ask(name: str, brain: Checks) -> None:
            nonlocal refused
            try:
                await self._check(name, brain)
            except BackendRefused as error:
                refused = error
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for name, brain in self._brains:
                if isinstance(brain, Checks):
                    tasks.start_soon(ask, name, brain)
        if refused is not None:
            raise refused

    async def _check(self, name: str, brain: Checks) -> None:
        try:
            with anyio.fail_after(_CHECKING):
                await brain.check()
        except BackendRefused:
            raise
        except Exception as error:  # it may be there when it is asked
            self._warn("brain", f"{name} cannot be reached: {str(error) or type(error).__name__}")

    async def live(self) -> None:
        """Run what some brains own for the whole session, until cancelled."""
        async with anyio.create_task_group() as tasks:
            for name, brain in self._brains:
                if isinstance(brain, Lives):
                    tasks.start_soon(self._live, name, brain)

    async def _live(self, name: str, brain: Lives) -> None:
        try:
            await brain.live()
        except Exception as error:  # the others, and the lesson, go on without it
            self._failed(name, error)

    # --- an answer ------------------------------------------------------------

    async def answer(
        self, request: BrainRequest, put: Callable[[Clause], None]
    ) -> tuple[Attempt, ...]:
        """Have ``request`` answered, and call ``put`` with each clause that may be spoken.

        :returns: how fast those were who contributed.
        :raises BrainError: nobody could say anything.
        """
        answer = _Answer(max_words=self._max_words, put=put)
        attempts: list[Attempt] = []
        hand_over: float | None = None
        last = len(self._brains) - 1
        for place, (name, brain) in enumerate(self._brains):
            breaker = self._breakers[name]
            if place < last and not breaker.admits(anyio.current_time()):
                continue
            begun, before = anyio.current_time(), len(answer.clauses)
            if hand_over is not None and place == last:
                hand_over = max(hand_over, begun + self._timeout)
            attempt = _Timing(begun)
            try:
                await self._ask(name, brain, request, answer, hand_over, attempt)
            except PortError as error:
                self._failed(name, error)
                if isinstance(error, _Unfit):
                    breaker.abandoned()
                else:
                    breaker.failed(anyio.current_time())
                if hand_over is None or attempt.first is not None:
                    hand_over = max(anyio.current_time(), answer.audible_until) + _HAND_OVER
            except BaseException:
                breaker.abandoned()
                raise
            else:
                breaker.succeeded()
                hand_over = None
            if attempt.first is not None:
                attempts.append(
                    Attempt(
                        brain=name,
                        ttft=attempt.first - begun,
                        duration=anyio.current_time() - begun,
                        clauses=len(answer.clauses) - before,
                    )
                )
            if hand_over is None or answer.is_full(_MOST_SENTENCES):
                break
            if self._serving == name and place < last:
                self._switch(self._next(place))
        if not answer.clauses:
            raise BrainError("no brain had anything to say")
        return tuple(attempts)

    def _next(self, place: int) -> str:
        """Who is asked after the one at ``place``: an open breaker is passed over."""
        now = anyio.current_time()
        for name, _ in self._brains[place + 1 : -1]:
            if not self._breakers[name].is_open(now):
                return name
        return self._brains[-1][0]

    async def _ask(
        self,
        name: str,
        brain: Brain,
        request: BrainRequest,
        answer: _Answer,
        hand_over: float | None,
        timing: _Timing,
    ) -> None:
        """Have ``brain`` say the rest of ``answer``.

        :param hand_over: until when its first clause must be there, if it stands in for another.
        :raises BrainError: it failed, took too long, or said nothing that can be used.
        """
        request = evolve(request, said=answer.text)
        if not isinstance(brain, Hears):
            history = self._as_understood(request.history)
            request = evolve(request, student=None, history=history)
        figures = tuple(request.summary.figures())
        most = _MOST_OF_THE_COACH if name == COACH else _MOST_SENTENCES
        refused = 0
        deadline = anyio.current_time() + self._timeout if hand_over is None else hand_over
        clauses: AsyncIterator[str | SpokenClause] | None = None
        try:
            while True:
                try:
                    clauses = clauses or brain.reply(request)
                    await anyio.lowlevel.checkpoint()  # a brain that never waits can be cancelled
                    with anyio.fail_after(max(0.0, deadline - anyio.current_time())):
                        given = await anext(clauses)
                    if anyio.current_time() > deadline:
                        raise TimeoutError
                except StopAsyncIteration:
                    break
                except TimeoutError as error:
                    raise BrainError(f"no clause for {self._timeout:g} s") from error
                except PortError:
                    raise
                except Exception as error:  # a brain of somebody else's may raise anything
                    raise BrainError(f"{type(error).__name__}: {error}") from error
                for part in _parts(given):
                    if not speakable(part.text if isinstance(part, SpokenClause) else part):
                        continue
                    spoken = await self._checked(name, brain, request, part, answer, figures)
                    if spoken is None or spoken.brain != name:
                        refused += 1
                    if spoken is not None:
                        stated = _stated(spoken.text, request)
                        answer.add(evolve(spoken, figures=stated))
                        if spoken.brain == name:
                            timing.passed_on()
                            self._serves(name)
                        now = anyio.current_time()
                        deadline = max(now, answer.audible_until) + self._timeout
                        if answer.is_full(most):
                            return
                    if refused > _MOST_REFUSED or (refused and name == COACH):
                        raise _Unfit("says too much that may not be spoken")
        finally:
            if isinstance(clauses, AsyncGenerator):
                with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSING):
                    await clauses.aclose()
        if timing.first is None and not (name == COACH and answer.clauses):
            # What the coach said in its place is no answer yet: somebody has to go on.
            raise (_Unfit if refused else BrainError)("said nothing that could be spoken")

    def _as_understood(self, history: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """``history``, with the questions as a brain that hears read them: its ear is better."""
        for _, brain in self._brains:
            if isinstance(brain, Hears):
                history = tuple(
                    evolve(turn, question=brain.understood(turn.question)) for turn in history
                )
        return history

    # --- a clause -------------------------------------------------------------

    async def _checked(
        self,
        name: str,
        brain: Brain,
        request: BrainRequest,
        given: str | SpokenClause,
        answer: _Answer,
        figures: tuple[Figure, ...],
    ) -> Clause | None:
        """``given``, of which something can be spoken, as it may be; or what is said in its place,
        if there is anything."""
        text = speakable(given.text if isinstance(given, SpokenClause) else given)
        if (fault := _fault(text, brain, request, figures)) is None:
            if isinstance(given, SpokenClause):
                return Clause(
                    text=text,
                    brain=name,
                    sound=given.sound,
                    sample_rate_hz=given.sample_rate_hz,
                )
            return Clause(text=text, brain=name)
        self._refused(name, text, fault)
        if fault.figures and isinstance(brain, Revises):
            revised = await self._revised(name, brain, request, answer, text, fault.figures)
            if revised and _fault(revised, brain, request, figures) is None:
                return Clause(text=revised, brain=name)
        if name == COACH or self._coach is None:
            return None
        instead = await self._coachs_own(self._coach, request, answer, text, figures)
        return Clause(text=instead, brain=COACH) if instead else None

    async def _revised(
        self,
        name: str,
        brain: Revises,
        request: BrainRequest,
        answer: _Answer,
        refused: str,
        unmeasured: Sequence[str],
    ) -> str:
        """What ``brain`` says instead of ``refused``; empty if it cannot."""
        try:
            with anyio.fail_after(min(_REVISING, self._timeout)):
                revised = await brain.revise(request, tuple(answer.clauses), refused, unmeasured)
        except Exception as error:  # also a brain of somebody else's; the coach has a clause ready
            text = f"{name} did not say it again: {str(error) or type(error).__name__}"
            self._warn("revise", text)
            return ""
        first = _sentences(revised)[:1]
        return speakable(first[0]) if first else ""

    async def _coachs_own(
        self,
        coach: Brain,
        request: BrainRequest,
        answer: _Answer,
        refused: str,
        figures: tuple[Figure, ...],
    ) -> str:
        """What the coach would say where ``refused`` stood: what is most like it and was not said
        yet; empty if there is nothing."""
        own: list[str] = []
        asked = evolve(request, said=answer.text, student=None)
        try:
            with anyio.fail_after(_HAND_OVER):
                own = [each async for each in coach.reply(asked) if isinstance(each, str)]
        except Exception as error:  # whoever is called coach
            self._failed(COACH, error)
        fresh = [
            clause
            for clause in own
            if not any(_alike(clause, said) >= _ALIKE for said in answer.clauses)
            and not unmeasured_figures(clause, figures)
        ]
        return max(fresh, key=lambda clause: _alike(clause, refused), default="")

    # --- the log --------------------------------------------------------------

    def _serves(self, name: str) -> None:
        if name != self._serving:
            self._switch(name)

    def _switch(self, name: str) -> None:
        before, self._serving = self._serving, name
        self._record(log.AdapterSwitched(t=self._t(), port="brain", before=before, after=name))

    def _failed(self, name: str, error: Exception) -> None:
        kind = BrainError if isinstance(error, _Unfit) else type(error)
        self._record(
            log.AdapterFailed(
                t=self._t(),
                port="brain",
                adapter=name,
                error=kind.__name__,
                text=str(error) or kind.__name__,
            )
        )

    def _refused(self, name: str, text: str, fault: _Fault) -> None:
        self._warn(fault.kind, f"{name} {fault.text}: {text}")

    def _warn(self, source: str, text: str) -> None:
        self._record(log.Warned(t=self._t(), source=source, text=text))


@define
class _Timing:
    """When a brain's clauses were passed on."""

    begun: float
    first: float | None = None

    def passed_on(self) -> None:
        if self.first is None:
            self.first = anyio.current_time()


@frozen
class _Fault:
    """Why a clause may not be spoken, and the figures in it that were not measured."""

    kind: str
    text: str
    figures: tuple[str, ...] = ()


def _fault(
    text: str, brain: object, request: BrainRequest, figures: tuple[Figure, ...]
) -> _Fault | None:
    """Why ``text`` of ``brain`` may not be spoken; ``None`` if it may."""
    if not is_english(text):
        return _Fault("language", "said something that is not English")
    told = system_prompt(request.persona)
    if isinstance(brain, Instructs):
        told += f"\n{brain.instructions}"
    if leaks(text, told):
        return _Fault("leak", "told of its instructions")
    if wrong := unmeasured_figures(text, figures):
        return _Fault("figures", f"stated what was not measured ({', '.join(wrong)})", wrong)
    return None


def _stated(text: str, request: BrainRequest) -> tuple[log.Stated, ...]:
    """The figures that ``text`` states, with what was measured."""
    ranks: dict[Figure, int] = {}
    for observation in request.observations:
        for figure in observation.facts.values():
            ranks.setdefault(figure, len(ranks))

    def relevance(named: NamedFigure) -> tuple[int, float]:
        return ranks.get(named.figure, len(ranks)), -named.figure.end

    measured = sorted(request.summary.named_figures(), key=relevance)
    return tuple(
        log.Stated(
            said=text[one.start : one.end],
            at=one.start,
            name=one.measured.name,
            detail=one.measured.detail,
            take=one.measured.take,
            fact=fact_record(one.measured.figure),
        )
        for one in stated_figures(text, measured)
    )


def _parts(given: str | SpokenClause) -> Iterable[str | SpokenClause]:
    """A clause is not more than a sentence, whatever the brain takes for one."""
    return (given,) if isinstance(given, SpokenClause) else _sentences(given)


def _sentences(text: str) -> list[str]:
    splitter = ClauseSplitter()
    return [*splitter.push(text), *splitter.flush()]


def _alike(one: str, other: str) -> float:
    """How much of the shorter one's words are in the other, 0 to 1; small words aside."""
    first, second = _content(one), _content(other)
    least = min(len(first), len(second))
    return len(first & second) / least if least else 0.0


def _content(text: str) -> set[str]:
    return {
        word for word in re.findall(r"[a-z0-9']+", text.lower()) if len(word) > 3 or word.isdigit()
    }
