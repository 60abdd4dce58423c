"""The speaker pairs sound with pictures, and goes on when a voice or a face does not."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import numpy as np
import pytest
from attrs import define, field
from fakes.face import FakeFace
from fakes.voice import SECONDS_PER_CHARACTER, AligningVoice, FakeVoice, LivingVoice
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from maestra.adapters.face.streaming import Moment
from maestra.app.messages import (
    APOLOGY,
    ONE_MOMENT,
    Cancel,
    EndOfReply,
    Failed,
    Pause,
    Pictured,
    Primed,
    ReplyLost,
    Resume,
    Rewind,
    Say,
    Slice,
    SlotTaken,
    Spoken,
    Start,
    Switched,
)
from maestra.app.workers.memory import give_back
from maestra.app.workers.speaker import Speaker
from maestra.app.workers.spoken import Reply, Voices
from maestra.ports.audio import PLAYOUT_RATE_HZ, SLICE_SAMPLES
from maestra.ports.errors import BackendRefused, FaceError, VoiceError
from maestra.ports.face import Face
from maestra.ports.voice import Voice

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


_Backend = TypeVar("_Backend")


def _itself(backend: _Backend) -> _Backend:
    return backend


@define
class Output:
    """A playout that takes a slice per slot as soon as it is there."""

    slices: list[Slice] = field(factory=list)
    reports: list[object] = field(factory=list)

    def of(self, kind: type) -> list[object]:
        return [report for report in self.reports if isinstance(report, kind)]

    @property
    def speech(self) -> list[Slice]:
        return [one for one in self.slices if one.epoch]


VOICE_TIMEOUT = 0.2
UNHURRIED = 2 * VOICE_TIMEOUT
"""A voice's time-out where something is to come between it and a later one."""


@asynccontextmanager
async def speaking(
    *voices: Voice,
    faces: tuple[Face, ...] = (),
    greedy: bool = True,
    voice_timeout: float = VOICE_TIMEOUT,
    face_timeout: float = 5.0,
) -> AsyncIterator[tuple[Speaker, Output]]:
    output = Output()

    def put(one: Slice) -> None:
        output.slices.append(one)
        if greedy:
            speaker.handle(SlotTaken(slot=one.slot))

    speaker = Speaker(
        voices=[(f"voice {i}", partial(_itself, one)) for i, one in enumerate(voices)],
        faces=[
            (f"face {i}", partial(_itself, one)) for i, one in enumerate(faces or (FakeFace(),))
        ],
        report=output.reports.append,
        put=put,
        voice_timeout=voice_timeout,
        face_timeout=face_timeout,
    )
    async with anyio.create_task_group() as tasks:
        await speaker.load(tasks)
        tasks.start_soon(speaker.run)
        await until(lambda: output.slices)
        yield speaker, output
        tasks.cancel_scope.cancel()


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110 (the speaker tells its output, nobody else)
            await anyio.sleep(0.002)


def say(speaker: Speaker, epoch: int, *clauses: str) -> None:
    position = 0
    for clause in clauses:
        speaker.handle(Say(epoch=epoch, clause=clause, position=position))
        position += len(clause) + 1
    speaker.handle(EndOfReply(epoch=epoch))


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000])
async def test_a_reply_is_cut_into_slices_that_carry_all_its_sound(rate_hz: int) -> None:
    async with speaking(FakeVoice(sample_rate_hz=rate_hz)) as (speaker, output):
        say(speaker, 1, "Good.", "Again.")
        await until(lambda: output.of(Primed))
        assert not output.speech, "nothing is played before it is started"

        speaker.handle(Start(epoch=1))
        await until(lambda: output.speech and output.speech[-1].last)

    sound = b"".join(one.sound or b"" for one in output.speech)
    samples = np.frombuffer(sound, np.int16)
    spoken = round(len("Good.Again.") * SECONDS_PER_CHARACTER * PLAYOUT_RATE_HZ)
    assert abs(np.count_nonzero(samples) - spoken) <= 48
    assert len(samples) % SLICE_SAMPLES == 0
    slots = [one.slot for one in output.speech]
    assert slots == list(range(slots[0], slots[0] + len(slots)))
    assert all(one.picture is not None for one in output.speech)
    heard = [one.heard_to for one in output.speech]
    assert heard == sorted(heard)
    assert heard[-1] == len("Good. Again.")


async def test_idle_pictures_run_only_a_little_ahead() -> None:
    async with speaking(FakeVoice(), greedy=False) as (speaker, output):
        await until(lambda: len(output.slices) >= 3)
        await anyio.sleep(0.05)
        assert [0, 1, 2] == [one.slot for one in output.slices]

        speaker.handle(SlotTaken(slot=0))
        await until(lambda: len(output.slices) == 4)


async def test_a_reply_does_not_wait_for_the_idle_pictures_in_the_queue() -> None:
    async with speaking(FakeVoice(), greedy=False) as (speaker, output):
        await until(lambda: len(output.slices) == 3)
        say(speaker, 1, "Good.")
        await until(lambda: output.of(Primed))
        speaker.handle(Start(epoch=1))
        await until(lambda: output.speech)

        assert 0 == output.speech[0].slot
        (first,) = output.of(Pictured)
        assert 0 <= first.face_duration < 5  # type: ignore[attr-defined]


async def test_what_is_cancelled_is_neither_spoken_nor_shown() -> None:
    voice = FakeVoice(delay=0.05)
    async with speaking(voice) as (speaker, output):
        say(speaker, 1, "One.", "Two.", "Three.")
        await anyio.sleep(0.01)
        speaker.handle(Cancel(epoch=1))
        speaker.handle(Start(epoch=1))
        await anyio.sleep(0.2)

        assert not output.speech
        assert "Three." not in voice.spoke


async def test_after_a_flush_the_slots_that_were_not_shown_are_drawn_again() -> None:
    async with speaking(FakeVoice(), greedy=False) as (speaker, output):
        await until(lambda: len(output.slices) == 3)
        say(speaker, 1, "A rather long sentence.")
        await until(lambda: output.of(Primed))
        speaker.handle(Start(epoch=1))
        await until(lambda: len(output.speech) >= 5)
        speaker.handle(Cancel(epoch=1))
        speaker.handle(Rewind(slot=3))
        await until(lambda: any(one.slot == 3 and not one.epoch for one in output.slices))


async def test_pausing_shows_idle_pictures_and_resuming_goes_on() -> None:
    async with speaking(FakeVoice()) as (speaker, output):
        say(speaker, 1, "Quite a long sentence, and it goes on and on.")
        await until(lambda: output.of(Primed))
        speaker.handle(Start(epoch=1))
        await until(lambda: len(output.speech) >= 3)
        speaker.handle(Pause(epoch=1))
        begun = len(output.slices)
        await until(lambda: sum(not one.epoch for one in output.slices[begun:]) >= 3)
        spoken = len(output.speech)
        await anyio.sleep(0.03)
        assert spoken == len(output.speech)

        speaker.handle(Resume(epoch=1))
        await until(lambda: output.speech[-1].last)
    samples = np.frombuffer(b"".join(one.sound or b"" for one in output.speech), np.int16)
    clause = "Quite a long sentence, and it goes on and on."
    assert abs(np.count_nonzero(samples) - len(clause) * 0.05 * PLAYOUT_RATE_HZ) <= 48


@pytest.mark.parametrize(
    "broken",
    [FakeVoice(error=VoiceError("no")), FakeVoice(hangs=True), FakeVoice(mute=True)],
    ids=["raises", "hangs", "mute"],
)
async def test_a_voice_that_fails_is_replaced_by_the_next(broken: FakeVoice) -> None:
    works = FakeVoice()
    healthy = FakeVoice()
    async with speaking(healthy, works) as (speaker, output):
        healthy.error, healthy.hangs, healthy.mute = broken.error, broken.hangs, broken.mute
        say(speaker, 1, "Good.")
        await until(lambda: output.of(Primed))

        assert ["Good."] == works.spoke
        assert output.of(Failed) and output.of(Switched)


@pytest.mark.parametrize("what", ["voice", "face"])
async def test_a_foreign_error_costs_one_backend_and_not_the_lesson(what: str) -> None:
    voice, face = FakeVoice(), FakeFace()
    async with speaking(voice, FakeVoice(), faces=(face, FakeFace())) as (speaker, output):
        (voice if what == "voice" else face).error = ZeroDivisionError("oops")
        say(speaker, 1, "Good.")
        await until(lambda: output.of(Primed))
        speaker.handle(Start(epoch=1))
        await until(lambda: output.speech and output.speech[-1].last)
        await until(lambda: output.of(Switched))

    assert any("oops" in str(report) for report in output.of(Failed))


class SlowFace(FakeFace):
    """Takes 120 ms for a picture: three slots."""

    def draw(self, moments: Sequence[Moment]) -> Sequence[NDArray[np.uint8]]:
        time.sleep(0.12)
        return super().draw(moments)


async def test_sound_does_not_wait_for_a_slow_picture() -> None:
    async with speaking(FakeVoice(), faces=(SlowFace(),), greedy=False) as (speaker, output):
        say(speaker, 1, "A sentence of about two seconds, or so.")
        await until(lambda: output.of(Primed))
        speaker.handle(Start(epoch=1))
        begun = time.monotonic()
        slot = -1
        while not (output.speech and output.speech[-1].last):
            # An output that takes a slot every 40 ms, whatever is there.
            await anyio.sleep(max(0.0, begun + (slot + 2) * 0.04 - time.monotonic()))
            slot += 1
            speaker.handle(SlotTaken(slot=slot))
        took = time.monotonic() - begun

    assert took < len(output.speech) * 0.04 + 1.5
    shown = [one for one in output.speech if one.picture is not None]
    assert len(output.speech) / 10 < len(shown) < len(output.speech) / 2, "fewer pictures"


async def test_a_hanging_face_is_left_for_the_next() -> None:
    hung, works = FakeFace(), FakeFace()
    async with speaking(FakeVoice(), faces=(hung, works), face_timeout=0.3) as (speaker, output):
        hung.hangs = True
        say(speaker, 1, "Good.")
        await until(lambda: output.of(Primed))
        speaker.handle(Start(epoch=1))
        await until(lambda: output.speech and output.speech[-1].last)
        await until(lambda: output.of(Switched))
        await until(lambda: works.asked)
        hung.release.set()


async def test_a_face_that_fell_is_tried_again_after_a_reply_and_not_while_it_is_spoken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with speaking(FakeVoice()) as (speaker, output):
        spoken: list[bool] = []

        async def restore() -> None:
            spoken.append(bool(output.speech) and output.speech[-1].last)

        monkeypatch.setattr(speaker._pictures, "restore", restore)
        say(speaker, 1, "Good.")
        await until(lambda: output.of(Primed))
        speaker.handle(Start(epoch=1))
        await until(lambda: spoken)

        assert [True] == spoken


@define
class Slow(FakeVoice):
    """The first two clauses are what is known by heart. Of the others the first takes ``pause``
    seconds, or fails with ``trouble``."""

    trouble: Exception | None = None
    pause: float = 2 * VOICE_TIMEOUT
    late: int = 3
    asked: int = 0

    async def synthesise(self, clause: str) -> AsyncIterator[NDArray[np.float32]]:
        self.asked += 1
        if self.asked == self.late:
            if self.trouble is not None:
                raise self.trouble
            await anyio.sleep(self.pause)
        async for sound in super().synthesise(clause):
            yield sound


async def test_the_only_voice_is_waited_for_longer() -> None:
    voice = Slow()
    async with speaking(voice) as (speaker, output):
        say(speaker, 1, "Good.")
        await until(lambda: output.of(Spoken))

    assert not output.of(Failed) and not output.of(ReplyLost)
    assert [APOLOGY, ONE_MOMENT, "Good."] == voice.spoke
    assert 3 == voice.asked


def seconds_of(clause: str) -> float:
    return len(clause) * SECONDS_PER_CHARACTER


def sounding(slices: Sequence[Slice]) -> float:
    """How many seconds of them aren't silent."""
    samples = np.frombuffer(b"".join(one.sound or b"" for one in slices), np.int16)
    return float(np.count_nonzero(samples)) / PLAYOUT_RATE_HZ


async def answered(speaker: Speaker, output: Output) -> float:
    """Play reply 1 as soon as that is possible, to its end; returns when it began to sound, from
    now on (s)."""
    asked_at = anyio.current_time()
    await until(lambda: output.of(Primed))
    speaker.handle(Start(epoch=1))
    await until(lambda: output.speech)
    began = anyio.current_time() - asked_at
    await until(lambda: output.speech[-1].last)
    return began


async def test_whom_the_only_voice_lets_wait_is_asked_for_a_moment() -> None:
    voice = Slow(pause=2.2 * UNHURRIED)
    async with speaking(voice, voice_timeout=UNHURRIED) as (speaker, output):
        say(speaker, 1, "Good.", "Again.")
        began = await answered(speaker, output)

    assert UNHURRIED <= began < 2.1 * UNHURRIED, "before the voice has made a sound"
    expected = seconds_of(ONE_MOMENT) + seconds_of("Good.Again.")
    assert abs(sounding(output.speech) - expected) < 0.01
    heard = [one.heard_to for one in output.speech]
    moment = int(seconds_of(ONE_MOMENT) / 0.04)
    assert not any(heard[:moment]), "it is none of the answer's words"
    assert heard == sorted(heard) and heard[-1] == len("Good. Again.")
    first, _ = output.of(Spoken)
    assert first.ttfb >= 2.2 * UNHURRIED  # type: ignore[attr-defined]
    assert abs(first.duration - seconds_of("Good.")) < 0.01  # type: ignore[attr-defined]
    assert not output.of(Failed) and not output.of(ReplyLost)


async def test_whom_the_only_voice_forsakes_is_asked_for_a_moment_and_then_for_pardon() -> None:
    voice = FakeVoice()
    async with speaking(voice, voice_timeout=UNHURRIED) as (speaker, output):
        voice.hangs = True
        say(speaker, 1, "Good.")
        began = await answered(speaker, output)

    assert began < 2.6 * UNHURRIED, "before the voice is given up"
    assert 1 == len(output.of(Failed)) == len(output.of(ReplyLost)) == voice.hanging
    assert abs(sounding(output.speech) - seconds_of(ONE_MOMENT + APOLOGY)) < 0.01
    assert not any(one.heard_to for one in output.speech)


async def test_a_moment_is_asked_for_in_mid_reply_once_what_was_spoken_is_over() -> None:
    voice = Slow(late=4, pause=2.2 * UNHURRIED)
    async with speaking(voice, voice_timeout=UNHURRIED) as (speaker, output):
        say(speaker, 1, "Good.", "Again.", "And on.")
        await answered(speaker, output)

    expected = seconds_of(ONE_MOMENT) + seconds_of("Good.Again.And on.")
    assert abs(sounding(output.speech) - expected) < 0.01
    heard = [one.heard_to for one in output.speech]
    assert heard == sorted(heard) and heard[-1] == len("Good. Again. And on.")
    moment = int(seconds_of(ONE_MOMENT) / 0.04)
    assert heard.count(len("Good.")) >= moment - 1
    assert not output.of(Failed)


async def test_no_moment_is_asked_for_while_what_was_spoken_lasts() -> None:
    voice = Slow(late=4)
    async with speaking(voice, greedy=False) as (speaker, output):
        say(speaker, 1, "A sentence of two seconds, which are more.", "Again.")
        await until(lambda: output.of(Primed))
        speaker.handle(Start(epoch=1))
        await until(lambda: len(output.of(Spoken)) == 2)

        def played() -> bool:
            speaker.handle(SlotTaken(slot=output.slices[-1].slot))
            return output.speech[-1].last

        await until(played)

    expected = seconds_of("A sentence of two seconds, which are more.Again.")
    assert abs(sounding(output.speech) - expected) < 0.01


async def test_a_moment_that_nobody_has_begun_to_hear_is_not_asked_for() -> None:
    """An answer is prepared while the question is still being asked."""
    async with speaking(Slow()) as (speaker, output):
        say(speaker, 1, "Good.", "Again.")
        await until(lambda: len(output.of(Spoken)) == 2)
        await answered(speaker, output)

    assert abs(sounding(output.speech) - seconds_of("Good.Again.")) < 0.01
    assert output.speech[-1].heard_to == len("Good. Again.")


async def test_no_moment_is_asked_for_where_another_voice_is_there() -> None:
    async with speaking(Slow(pause=60.0), FakeVoice()) as (speaker, output):
        say(speaker, 1, "Good.")
        await answered(speaker, output)

    assert output.of(Switched)
    assert abs(sounding(output.speech) - seconds_of("Good.")) < 0.01


def test_what_is_put_into_a_reply_is_none_of_its_words_and_can_be_taken_back() -> None:
    three = np.full(3 * SLICE_SAMPLES, 0.5, np.float32)
    reply = Reply(epoch=1)
    reply.append(three, 12)
    reply.put_in(three)
    assert reply.asked_for_a_moment and reply.answered == len(three)
    reply.take_back()
    assert not reply.asked_for_a_moment and reply.answered == len(reply.sound) == len(three)

    reply.started = True
    reply.put_in(three)
    reply.take_back()
    reply.append(three, 24)

    assert [4, 8, 12, 12, 12, 12, 16, 20, 24] == [reply.heard_to(n) for n in range(9)]


async def test_a_reply_that_is_cancelled_asks_for_no_moment() -> None:
    voice = FakeVoice()
    async with speaking(voice) as (speaker, output):
        voice.hangs = True
        say(speaker, 1, "Good.")
        await until(lambda: voice.hanging)
        speaker.handle(Cancel(epoch=1))
        await anyio.sleep(1.5 * VOICE_TIMEOUT)

    assert not output.of(Primed) and not output.speech


async def test_a_voice_that_is_not_the_last_is_not_waited_for_longer() -> None:
    slow, works = Slow(), FakeVoice()
    async with speaking(slow, works) as (speaker, output):
        say(speaker, 1, "Good.")
        await until(lambda: output.of(Primed))

    assert 1 == len(output.of(Failed)) == len(output.of(Switched))
    assert ["Good."] == works.spoke


async def test_the_only_voice_is_asked_again_if_it_fails_at_once_and_not_built_again() -> None:
    voice = Slow(trouble=VoiceError("the connection broke"))
    async with speaking(voice) as (speaker, output):
        say(speaker, 1, "Good.")
        await until(lambda: output.of(Primed))

    assert 1 == len(output.of(Failed))
    assert not output.of(ReplyLost) and not output.of(Switched)
    assert [APOLOGY, ONE_MOMENT, "Good."] == voice.spoke


async def test_the_only_voice_that_hangs_is_given_up() -> None:
    voice = FakeVoice()
    async with speaking(voice) as (speaker, output):
        voice.hangs = True
        say(speaker, 1, "Good.")
        await until(lambda: output.of(ReplyLost))

    assert 1 == len(output.of(Failed)) == voice.hanging


async def test_without_any_voice_the_reply_is_lost_and_the_apology_is_known_by_heart() -> None:
    voice = FakeVoice()
    async with speaking(voice) as (speaker, output):
        voice.error = VoiceError("gone")
        say(speaker, 1, "Good.")
        await until(lambda: output.of(ReplyLost))

        say(speaker, 2, APOLOGY)
        speaker.handle(Start(epoch=2))
        await until(lambda: output.speech and output.speech[-1].last)

        voice.error = None
        say(speaker, 3, "Good again.")
        await until(lambda: any(p.epoch == 3 for p in output.of(Primed)))  # type: ignore[attr-defined]


async def test_the_voice_goes_on_without_a_face() -> None:
    async with speaking(FakeVoice(), faces=(FakeFace(error=FaceError("no")),)) as (speaker, output):
        say(speaker, 1, "Good.")
        await until(lambda: output.of(Primed))
        speaker.handle(Start(epoch=1))
        await until(lambda: output.speech and output.speech[-1].last)

        assert all(one.picture is None and one.sound for one in output.speech)
        assert output.of(Failed)


async def test_what_the_brain_has_spoken_itself_needs_no_voice() -> None:
    voice = FakeVoice()
    async with speaking(voice) as (speaker, output):
        voice.error = VoiceError("gone")
        sound = np.full(16_000, 0.5, np.float32)
        clause = "A second of sound."
        speaker.handle(Say(epoch=1, clause=clause, position=0, sound=sound, sample_rate_hz=16_000))
        speaker.handle(EndOfReply(epoch=1))
        await until(lambda: output.of(Primed))
        speaker.handle(Start(epoch=1))
        await until(lambda: output.speech and output.speech[-1].last)

    samples = np.frombuffer(b"".join(one.sound or b"" for one in output.speech), np.int16)
    assert abs(np.count_nonzero(samples) - PLAYOUT_RATE_HZ) <= 48
    assert len(clause) == output.speech[-1].heard_to
    assert not output.of(Spoken) and not output.of(Failed)


async def test_what_was_heard_is_exact_where_the_voice_knows_its_characters() -> None:
    async with speaking(AligningVoice()) as (speaker, output):
        say(speaker, 1, "Ab cde", "fg")
        await until(lambda: output.of(Primed))
        speaker.handle(Start(epoch=1))
        await until(lambda: output.speech and output.speech[-1].last)

    spoken = "Abcdefg"
    for number, one in enumerate(output.speech[:-1]):
        whole = int((number + 1) * 0.04 / SECONDS_PER_CHARACTER + 1e-6)
        heard = "Ab cde fg"[: one.heard_to].replace(" ", "")
        assert heard == spoken[: len(heard)] and len(heard) in (whole, whole + 1)
    assert len("Ab cde fg") == output.speech[-1].heard_to


async def test_a_voice_lives_as_long_as_the_speaker() -> None:
    voice = LivingVoice()
    async with speaking(voice) as (speaker, output):
        say(speaker, 1, "Good.")
        await until(lambda: output.of(Primed))
        assert not voice.ended

    assert voice.ended


async def test_a_reply_that_is_cancelled_cuts_its_voice_off() -> None:
    voice = FakeVoice()
    async with speaking(voice, voice_timeout=5.0) as (speaker, _):
        voice.hangs = True
        say(speaker, 1, "One.")
        await until(lambda: voice.hanging)
        begun = anyio.current_time()
        speaker.handle(Cancel(epoch=1))
        await until(lambda: voice.cut_off)

        assert anyio.current_time() - begun < 0.05
        assert [APOLOGY, ONE_MOMENT] == voice.spoke


async def test_memory_is_given_back_when_a_reply_has_ended_and_when_it_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = 0

    def give_back() -> None:
        nonlocal given
        given += 1

    monkeypatch.setattr("maestra.app.workers.speaker.give_back", give_back)
    async with speaking(FakeVoice()) as (speaker, output):
        say(speaker, 1, "Good.")
        speaker.handle(Start(epoch=1))
        await until(lambda: output.slices and output.speech and output.speech[-1].last)
        await until(lambda: given == 1)

        say(speaker, 2, "Good.")
        await until(lambda: len(output.of(Primed)) == 2)
        speaker.handle(Cancel(epoch=2))
        await until(lambda: given == 2)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_free_goes_back_to_the_system() -> None:
    def held() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    pieces = [bytes([1]) * 60_000 for _ in range(1000)]
    pieces = pieces[::100]  # ten that are kept, between what is free
    before = held()
    give_back()
    assert before - held() > 30e6


async def test_what_a_clause_cost_is_told() -> None:
    async with speaking(FakeVoice(delay=0.02)) as (speaker, output):
        say(speaker, 1, "Good.")
        await until(lambda: output.of(Spoken))

    (spoken,) = output.of(Spoken)
    assert isinstance(spoken, Spoken)
    assert (1, "voice 0") == (spoken.epoch, spoken.voice)
    assert 0.02 <= spoken.ttfb <= spoken.took < 1
    assert abs(spoken.duration - len("Good.") * SECONDS_PER_CHARACTER) < 0.001


class Halting(FakeVoice):
    """After 80 ms of sound it waits to be let ``on``."""

    def __init__(self) -> None:
        super().__init__()
        self.on, self.halted = anyio.Event(), anyio.Event()

    async def synthesise(self, clause: str) -> AsyncIterator[NDArray[np.float32]]:
        async for sound in super().synthesise(clause):
            yield sound[:1920]
            if clause not in (APOLOGY, ONE_MOMENT):
                self.halted.set()
                await self.on.wait()
            yield sound[1920:]


async def test_a_reply_begins_when_the_look_ahead_of_its_first_picture_is_known() -> None:
    voice, face = Halting(), FakeFace(look_ahead=0.4)
    async with speaking(voice, faces=(face,)) as (speaker, output):
        say(speaker, 1, "A sentence.")
        await voice.halted.wait()
        assert not output.of(Primed)
        voice.on.set()
        await until(lambda: output.of(Primed))
        speaker.handle(Start(epoch=1))
        await until(lambda: output.speech and output.speech[-1].last)

    first = next(moment for moment in face.asked if moment.speaking)
    assert first.sound[round(0.2 * PLAYOUT_RATE_HZ) :].all(), "all of it, as far as it looks"


async def test_a_voice_that_failed_is_passed_over_and_tried_again_later() -> None:
    now = 0.0
    first, second = FakeVoice(), FakeVoice()
    reports: list[object] = []
    voices = Voices(
        [("first", lambda: first), ("second", lambda: second)],
        report=reports.append,
        timeout=1.0,
        clock=lambda: now,
    )

    async def who_speaks(epoch: int, *clauses: str) -> list[str]:
        before = len(first.spoke), len(second.spoke)
        reply = Reply(epoch=epoch)
        for clause in clauses:
            assert await voices.speak(
                reply, Say(epoch=epoch, clause=clause, position=0), told=lambda: None
            )
        return [*(["first"] * (len(first.spoke) - before[0])), *second.spoke[before[1] :]]

    async with anyio.create_task_group() as tasks:
        await voices.load(tasks)
        first.error = VoiceError("no")
        assert ["One.", "Two."] == await who_speaks(1, "One.", "Two."), "it does not change back"
        assert 1 == len([report for report in reports if isinstance(report, Failed)])
        await who_speaks(2, "Three.")
        failures = len([report for report in reports if isinstance(report, Failed)])
        first.error = None
        assert ["Four."] == await who_speaks(3, "Four."), "twice in a row: it is left alone"
        assert 2 == failures
        now = 20.0
        assert ["first"] == await who_speaks(4, "Five.")
    switched = [report for report in reports if isinstance(report, Switched)]
    assert ["second", "first"] == [report.after for report in switched]


def test_an_answer_that_nobody_could_listen_to_is_not_kept() -> None:
    reply = Reply(epoch=1)
    asked = [reply.ask(Say(epoch=1, clause="a" * 1400, position=0)) for _ in range(5)]

    assert [True] * 4 + [False] == asked
    assert 4 == len(reply.to_speak)


def test_a_pieces_cost_does_not_grow_with_the_reply() -> None:
    reply, rooms = Reply(epoch=1), list[object]()
    for number in range(1000):
        reply.append(np.full(1920, number / 1000, np.float32), None)
        if not rooms or rooms[-1] is not reply.sound.base:
            rooms.append(reply.sound.base)

    assert np.array_equal(np.repeat(np.arange(1000, dtype=np.float32) / 1000, 1920), reply.sound)
    assert len(rooms) < 8


@given(
    lengths=st.lists(st.integers(1, 9_000), min_size=1, max_size=6),
    characters=st.integers(1, 80),
)
def test_no_character_counts_as_heard_before_its_sound(lengths: list[int], characters: int) -> None:
    reply = Reply(epoch=1)
    for number, length in enumerate(lengths, start=1):
        reply.append(np.ones(length, np.float32), number * characters)
    reply.complete = True

    for number in range(reply.slices):
        end = min((number + 1) * SLICE_SAMPLES, sum(lengths))
        pieces = sum(1 for i in range(len(lengths)) if sum(lengths[: i + 1]) <= end)
        assert pieces * characters <= reply.heard_to(number) <= (pieces + 1) * characters
    assert reply.heard_to(reply.slices - 1) == len(lengths) * characters


class CheckedVoice(FakeVoice):
    """A voice that somebody else serves."""

    refusal: Exception | None = None

    async def check(self) -> None:
        if self.refusal is not None:
            raise self.refusal


async def test_a_served_voice_is_checked_wherever_it_stands_in_the_order() -> None:
    first, served = FakeVoice(), CheckedVoice()
    reports: list[object] = []

    async def load(*names: str) -> None:
        voices = Voices(
            [("first", lambda: first), ("served", lambda: served)],
            report=reports.append,
            timeout=1.0,
            served=names,
        )
        async with anyio.create_task_group() as tasks:
            await voices.load(tasks)

    await load("served")
    assert not reports
    served.refusal = VoiceError("no route")
    await load("served")
    (failed,) = reports
    assert isinstance(failed, Failed)
    assert ("served", "no route") == (failed.adapter, failed.text)
    served.refusal = BackendRefused("KEY is not accepted")
    with pytest.raises(ExceptionGroup) as refused:
        await load("served")
    assert ["KEY is not accepted"] == [str(one) for one in refused.value.exceptions]
    await load()


async def test_the_next_voice_is_at_hand_when_one_hangs_and_is_not_built_for_one_that_is_well() -> (
    None
):
    built: list[str] = []

    def build(name: str, voice: FakeVoice) -> FakeVoice:
        built.append(name)
        return voice

    class Hanging(FakeVoice):
        clauses = 0

        async def synthesise(self, clause: str) -> AsyncIterator[NDArray[np.float32]]:
            self.clauses += 1
            if self.clauses > 4:  # two are known by heart
                await anyio.sleep(0.35)
                assert ["first", "next"] == built, "it is built while one waits"
                await anyio.sleep_forever()
            async for sound in super().synthesise(clause):
                yield sound

    voices = Voices(
        [
            ("first", lambda: build("first", Hanging())),
            ("next", lambda: build("next", FakeVoice())),
        ],
        report=lambda _: None,
        timeout=0.5,
    )
    async with anyio.create_task_group() as tasks:
        await voices.load(tasks)
        reply = Reply(epoch=1)
        for number in range(2):
            say = Say(epoch=1, clause="Good.", position=6 * number)
            assert await voices.speak(reply, say, told=lambda: None)
        assert ["first"] == built
        assert await voices.speak(
            reply, Say(epoch=1, clause="Better.", position=12), told=lambda: None
        )
        assert 1 == reply.voice
        tasks.cancel_scope.cancel()
