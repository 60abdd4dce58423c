"""What has been spoken of a reply, and the voices that speak it."""

from __future__ import annotations

import bisect
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING

import anyio
import numpy as np
import soxr
from anyio.abc import TaskGroup
from attrs import define, field

from maestra.ports.audio import PLAYOUT_RATE_HZ, SLICE_SAMPLES
from maestra.ports.errors import BackendRefused, MaestraError, PortError, VoiceError
from maestra.ports.lifetime import Checks, Lives
from maestra.ports.voice import AlignedSound, SpokenCharacter, Voice

from ..breaker import Breaker
from ..messages import APOLOGY, ONE_MOMENT, Say, Spoken
from .line import Choice, Line

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["Reply", "Voices", "padded"]

_LOADING_PATIENCE = 15.0
"""Seconds a voice may take for its first words ever."""

_BEYOND = 0.8
"""Of its time-out, how much a voice may take beyond the end of what is being heard: with what the
next voice takes for its first sound, and the pause between two sentences, that is two seconds."""

_NOBODY_ELSE = 2.7
"""Of its time-out, how much a voice may take after which there is nobody: four seconds, by default.
It is slow because the machine is busy, and to begin again would throw away what it has done. They
are asked for a moment once the time-out itself is over."""

_LATE = 0.4
"""Of its time-out, how much a voice may take for its first sound before the next is built: that
takes a second, and who waits for it would hear nothing meanwhile."""

_CHECKING = 5.0
"""Seconds in which a key, a voice and a model must be accepted."""

_CHARACTERS_PER_SECOND = 14
"""How fast speech is, until the lengths of a clause's pieces are known."""

_ROOM = 4 * PLAYOUT_RATE_HZ
"""Samples that a reply has room for at first."""

_LONGEST_TO_SPEAK = 300.0
"""Seconds, about, of an answer's text that may wait for a voice; what is beyond is left out, and
said to be. A brain's answer is cut long before (``brain.max_words``)."""

_NEARBY = 8
"""How many characters a voice may leave out of what it says it speaks."""


@define(eq=False)
class Reply:
    """What has been spoken of one reply: its sound, and where in its text each piece ends."""

    epoch: int
    to_speak: deque[Say] = field(factory=deque)
    written: bool = False
    complete: bool = False
    begun_at: float = 0.0
    first_at: float = 0.0
    primed: bool = False
    started: bool = False
    """It is being heard, or was."""
    sliced: int = 0
    voice: int = 0
    """The first of the voices that may speak the rest of it: it does not change back half-way."""

    _room: Samples = field(factory=lambda: np.zeros(_ROOM, np.float32))
    _spoken: int = 0
    _beside: int = 0
    _ends: list[int] = field(factory=list)
    _positions: list[int] = field(factory=list)

    def ask(self, say: Say) -> bool:
        """Have ``say`` spoken after what waits already; false if that is too much."""
        waiting = sum(len(one.clause) for one in self.to_speak) / _CHARACTERS_PER_SECOND
        if waiting > _LONGEST_TO_SPEAK:
            return False
        self.to_speak.append(say)
        return True

    def append(self, sound: Samples, position: int | None) -> None:
        """Add 48 kHz ``sound``, at whose end ``position`` characters of the reply are spoken, if
        that is known."""
        end = self._spoken + len(sound)
        if end > len(self._room):
            # Twice as much each time: a piece costs the same at the end of a long reply.
            self._room = padded(self.sound, max(end, 2 * len(self._room)))
        self._room[self._spoken : end] = sound
        self._spoken = end
        if position is not None:
            self.mark(end, position)

    def put_in(self, sound: Samples) -> None:
        """Add 48 kHz ``sound`` that says nothing of the reply's text."""
        self.append(sound, self._positions[-1] if self._positions else 0)
        self._beside += len(sound)

    def take_back(self) -> None:
        """What was put in isn't needed any more, unless it is being heard. Nothing was added after
        it."""
        if self._beside and not self.started:
            self._spoken, self._beside = self._spoken - self._beside, 0
            kept = bisect.bisect_right(self._ends, self._spoken)
            del self._ends[kept:], self._positions[kept:]

    @property
    def asked_for_a_moment(self) -> bool:
        """Whether anything was put in."""
        return self._beside > 0

    @property
    def answered(self) -> int:
        """Samples that say its text."""
        return self._spoken - self._beside

    @property
    def sound(self) -> Samples:
        """All that has been spoken."""
        return self._room[: self._spoken]

    def mark(self, sample: int, position: int) -> None:
        """At ``sample``, no earlier than the one marked before, ``position`` characters are
        spoken."""
        if self._ends and sample <= self._ends[-1]:
            self._positions[-1] = max(position, self._positions[-1])
            return
        self._ends.append(sample)
        self._positions.append(max(position, self._positions[-1] if self._positions else 0))

    def settle(self, begun: int, first: int, last: int) -> None:
        """Characters ``first`` to ``last`` are spoken, from sample ``begun`` on: now that their
        pieces' lengths are known, share them out."""
        for index in range(bisect.bisect_right(self._ends, begun), len(self._ends)):
            share = (self._ends[index] - begun) / (self._ends[-1] - begun)
            self._positions[index] = first + round(share * (last - first))

    @property
    def slices(self) -> int:
        """How many slices can be cut: whole ones, and once all is spoken a last one, padded with
        silence (or all silence: it also says that the reply is over)."""
        return len(self.sound) // SLICE_SAMPLES + self.complete

    def cut(self, number: int) -> Samples:
        """The 40 ms of slice ``number``, padded with silence at the very end."""
        part = self.sound[number * SLICE_SAMPLES : (number + 1) * SLICE_SAMPLES]
        return padded(part, SLICE_SAMPLES)

    @property
    def in_hand(self) -> float:
        """Seconds that are spoken and not yet cut."""
        return max(0, len(self.sound) - self.sliced * SLICE_SAMPLES) / PLAYOUT_RATE_HZ

    def knows(self, number: int, look_ahead: int) -> bool:
        """Whether slice ``number`` and so many samples after it have been spoken."""
        return self.complete or len(self.sound) >= (number + 1) * SLICE_SAMPLES + look_ahead

    def heard_to(self, number: int) -> int:
        """How many characters of the reply are spoken when slice ``number`` ends."""
        sample = (number + 1) * SLICE_SAMPLES
        index = bisect.bisect_left(self._ends, sample)
        if index == len(self._ends):
            return self._positions[-1] if self._positions else 0
        before_end, before = (
            (self._ends[index - 1], self._positions[index - 1]) if index else (0, 0)
        )
        share = (sample - before_end) / (self._ends[index] - before_end)
        return before + int(share * (self._positions[index] - before))


def padded(part: Samples, length: int) -> Samples:
    """``part`` with silence after it, ``length`` samples long."""
    if len(part) >= length:
        return part
    whole = np.zeros(length, np.float32)
    whole[: len(part)] = part
    return whole


@define
class _Alignment:
    """Where in a clause the characters are that a voice says it speaks."""

    clause: str
    spoken: int = 0

    def follow(self, characters: Sequence[SpokenCharacter]) -> Iterator[tuple[float, int]]:
        """When (s) each of the next ``characters`` ends, and how many of the clause are spoken
        then. One that is not in the clause counts for nothing."""
        for each in characters:
            found = self.clause.find(each.character, self.spoken, self.spoken + _NEARBY)
            if found >= 0 and each.character:
                self.spoken = found + len(each.character)
                yield each.end, self.spoken


class Voices:
    """Speaks clauses with the first voice that can.

    A voice that failed twice in a row is passed over for a while (``breaker``); if that leaves
    nobody, all are asked. Within a reply the voice does not change back.

    :param voices: names and builders in their configured order.
    :param report: sends a message to the session.
    :param timeout: seconds a voice has for each piece of sound.
    :param served: the names of those that somebody else serves: they are built at once, and their
        keys checked.
    """

    def __init__(
        self,
        voices: Sequence[tuple[str, Callable[[], Voice]]],
        *,
        report: Callable[[object], None],
        timeout: float,
        served: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        choices = [Choice(name, build, Breaker()) for name, build in voices]
        self._line = Line("voice", choices, report, clock)
        self._report = report
        self._timeout = timeout
        self._served = served
        self._clock = clock
        self._tasks: TaskGroup | None = None
        self._building = anyio.Lock()
        self._by_heart: dict[str, Samples] = {}

    @property
    def name(self) -> str:
        """The voice that serves."""
        return self._line.name

    async def load(self, tasks: TaskGroup) -> None:
        """Build the first voice that works, and have it prepare what is known by heart.

        :param tasks: what a voice owns for the whole session lives in there.
        :raises BackendRefused: a key, a voice or a model is not accepted.
        :raises VoiceError: none can be built, or none that can speaks.
        """
        self._tasks = tasks
        for choice in self._line.choices:
            if choice.name in self._served:
                await self._check(choice)
        for clause in (APOLOGY, ONE_MOMENT):
            reply = Reply(epoch=0)
            say = Say(epoch=0, clause=clause, position=0)
            if not await self.speak(reply, say, told=lambda: None):
                if isinstance(self._line.last_error, MaestraError):
                    raise self._line.last_error
                text = "no voice can be built; maestra doctor says what is missing"
                raise VoiceError(text) from self._line.last_error
            self._by_heart[clause] = reply.sound

    def apologise(self, reply: Reply) -> None:
        """No voice can speak ``reply``, for which they were asked to wait: say so within it."""
        if (known := self._by_heart.get(APOLOGY)) is not None:
            reply.put_in(known)

    async def _check(self, choice: Choice[Voice]) -> None:
        voice = await self._built(choice)
        if not isinstance(voice, Checks):
            return
        try:
            with anyio.fail_after(_CHECKING):
                await voice.check()
        except BackendRefused:
            raise
        except Exception as error:  # it may be there when it is asked
            self._line.failed(choice, error)

    async def speak(self, reply: Reply, say: Say, *, told: Callable[[], None]) -> bool:
        """Speak one clause of ``reply``; false if no voice can.

        :param told: called whenever there is more sound.
        """
        end = say.position + len(say.clause)
        known = self._known(say)
        if known is not None:
            begun = len(reply.sound)
            reply.append(known, end)
            reply.settle(begun, say.position, end)
            told()
            return True
        asked_at = self._clock()
        for index, choice, alone in self._turns(reply.voice):
            answered = reply.answered
            try:
                voice = await self._built(choice)
                if voice is None:
                    continue
                waited = self._clock() - asked_at
                with (
                    self._next_at_hand(index, reply),
                    self._moment_asked(reply, told, alone=alone, waited=waited),
                ):
                    await self._speak_with(choice, voice, reply, say, told, alone=alone)
            except Exception as error:  # a voice of somebody else's may give anything
                self._line.failed(choice, error)
                if reply.answered == answered:
                    continue
                # Half a clause was spoken: go on with the next.
            except BaseException:
                choice.breaker.abandoned()
                raise
            else:
                choice.breaker.succeeded()
            reply.voice = index
            return True
        return False

    def _known(self, say: Say) -> Samples | None:
        """Its sound, if the brain has spoken it or it is known by heart."""
        if say.sound is not None and len(say.sound) and say.sample_rate_hz > 0:
            sound = np.asarray(say.sound, np.float32)
            resampled: Samples = soxr.resample(sound, say.sample_rate_hz, PLAYOUT_RATE_HZ)
            return resampled
        return self._by_heart.get(say.clause)

    def _turns(self, first: int) -> Iterator[tuple[int, Choice[Voice], bool]]:
        """Whom to ask, one after the other, and whether there is nobody after it. That one is asked
        again if it failed at once: to build it again would take longer."""
        choices = [*enumerate(self._line.choices)][first:]
        well = [turn for turn in choices if not turn[1].breaker.is_open(self._clock())]
        for number, (index, choice) in enumerate(asked := well or choices, 1):
            if well and not choice.breaker.admits(self._clock()):
                continue
            alone, begun = number == len(asked), self._clock()
            yield index, choice, alone
            if alone and choice.built is not None and self._clock() - begun < self._timeout:
                yield index, choice, alone

    @contextmanager
    def _next_at_hand(self, index: int, reply: Reply) -> Iterator[None]:
        """While the voice at ``index`` is late with its sound, build the one after it."""
        following = next((c for c in self._line.choices[index + 1 :] if c.built is None), None)
        if following is None or self._tasks is None or not reply.epoch:
            yield
            return
        begun, soon = len(reply.sound), anyio.CancelScope()

        async def build() -> None:
            with soon:
                await anyio.sleep(_LATE * self._timeout)
            if not soon.cancelled_caught and len(reply.sound) == begun:
                await self._built(following)

        self._tasks.start_soon(build)
        try:
            yield
        finally:
            soon.cancel()

    @contextmanager
    def _moment_asked(
        self, reply: Reply, told: Callable[[], None], *, alone: bool, waited: float
    ) -> Iterator[None]:
        """While a voice after which there is nobody lets them wait in silence, ask for a moment,
        once in a reply.

        :param waited: how long (s) they have been waiting for this clause.
        """
        known = self._by_heart.get(ONE_MOMENT)
        if not alone or known is None or self._tasks is None or not reply.epoch:
            yield
            return
        answered, soon = reply.answered, anyio.CancelScope()

        async def ask() -> None:
            patience = max(self._timeout - waited, _LATE * self._timeout)
            with soon:
                waiting = patience + (reply.in_hand if reply.primed else 0.0)
                while waiting:
                    await anyio.sleep(waiting)
                    paused = reply.primed and reply.slices > reply.sliced  # nobody waits yet
                    waiting = patience + reply.in_hand if paused else 0.0
                if reply.answered == answered and not reply.asked_for_a_moment:
                    reply.put_in(known)
                    told()

        self._tasks.start_soon(ask)
        try:
            yield
        finally:
            soon.cancel()

    async def _built(self, choice: Choice[Voice]) -> Voice | None:
        async with self._building:
            fresh = choice.built is None
            voice = await self._line.build(choice)
            if fresh and isinstance(voice, Lives) and self._tasks is not None:
                self._tasks.start_soon(self._keep_alive, choice, voice)
            return voice

    async def _keep_alive(self, choice: Choice[Voice], voice: Lives) -> None:
        try:
            await voice.live()
        except Exception as error:  # it never raises, but it may be somebody else's
            self._line.failed(choice, error)

    async def _speak_with(
        self,
        choice: Choice[Voice],
        voice: Voice,
        reply: Reply,
        say: Say,
        told: Callable[[], None],
        *,
        alone: bool,
    ) -> None:
        asked_at, begun, answered = self._clock(), len(reply.sound), reply.answered
        end = say.position + len(say.clause)
        ttfb, aligned = 0.0, False
        alignment = _Alignment(say.clause)
        rate = voice.sample_rate_hz
        to_playout = soxr.ResampleStream(rate, PLAYOUT_RATE_HZ, 1, "float32")

        def patience() -> float:
            if not reply.epoch:  # before the lesson everything loads at once, and nobody listens
                return max(self._timeout, _LOADING_PATIENCE)
            share = _NOBODY_ELSE if alone else _BEYOND if reply.primed else 1.0
            return share * self._timeout + (reply.in_hand if reply.primed else 0.0)

        async with aclosing(self._pieces(voice, say.clause, patience)) as pieces:
            async for sound in pieces:
                if not ttfb:
                    ttfb = self._clock() - asked_at
                if reply.answered == answered:
                    reply.take_back()
                    begun = len(reply.sound)
                samples = sound
                if isinstance(sound, AlignedSound):
                    samples = sound.samples
                    for seconds, spoken in alignment.follow(sound.characters):
                        aligned = True
                        reply.mark(begun + round(seconds * PLAYOUT_RATE_HZ), say.position + spoken)
                resampled = to_playout.resample_chunk(np.ascontiguousarray(samples, np.float32))
                said = (len(reply.sound) - begun + len(resampled)) / PLAYOUT_RATE_HZ
                guess = min(end, say.position + int(said * _CHARACTERS_PER_SECOND))
                self._serve(choice)
                reply.append(resampled, None if aligned else guess)
                told()
        rest = to_playout.resample_chunk(np.zeros(0, np.float32), last=True)
        if reply.answered == answered and not len(rest):
            raise VoiceError(f"made no sound of {say.clause!r}")
        reply.append(rest, end)
        if not aligned:
            reply.settle(begun, say.position, end)
        told()
        took, duration = self._clock() - asked_at, (len(reply.sound) - begun) / PLAYOUT_RATE_HZ
        if reply.epoch:
            self._report(
                Spoken(
                    epoch=reply.epoch, voice=choice.name, ttfb=ttfb, took=took, duration=duration
                )
            )

    def _serve(self, choice: Choice[Voice]) -> None:
        if self._line.serving is not choice:
            self._line.serve(choice)

    async def _pieces(
        self, voice: Voice, clause: str, patience: Callable[[], float]
    ) -> AsyncGenerator[Samples | AlignedSound]:
        """What ``voice`` makes of ``clause``; foreign errors and silence become ``VoiceError``."""
        try:
            sounds = voice.synthesise(clause)
        except Exception as error:
            raise VoiceError(f"{type(error).__name__}: {error}") from error
        try:
            while True:
                within = patience()
                try:
                    with anyio.fail_after(within):
                        sound = await anext(sounds)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    raise VoiceError(f"no sound for {within:.1f} s") from error
                except PortError:
                    raise
                except Exception as error:  # a voice of somebody else's may raise anything
                    raise VoiceError(f"{type(error).__name__}: {error}") from error
                yield sound
        finally:
            if isinstance(sounds, AsyncGenerator):
                await sounds.aclose()
