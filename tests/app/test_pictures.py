"""Pictures along the slots: the right sound at every frame rate, and faces that fail, by rule."""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import numpy as np
import pytest
from fakes.face import FakeFace
from numpy.typing import NDArray

from maestra.adapters.face.streaming import Moment
from maestra.app.messages import Drawn, FaceDegraded, Failed, Switched
from maestra.app.workers.pictures import Pictures
from maestra.app.workers.spoken import Reply
from maestra.ports.audio import FRAME_RATE, PLAYOUT_RATE_HZ, SLICE_SAMPLES
from maestra.ports.errors import FaceError, FaceOutOfMemory
from maestra.ports.face import Frame

pytestmark = pytest.mark.anyio

SLOT = 1 / FRAME_RATE


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Face(FakeFace):
    """Draws for ``took`` seconds of the clock."""

    def __init__(self, clock: Clock, frame_rate: int = FRAME_RATE) -> None:
        self.frame_rate = frame_rate
        super().__init__(look_back=0.0, look_ahead=0.0)
        self._clock = clock
        self.took = 0.0
        self.errors: list[Exception] = []
        self.begun = threading.Event()

    def draw(self, moments: Sequence[Moment]) -> Sequence[NDArray[np.uint8]]:
        self.begun.set()
        if self.errors:
            raise self.errors.pop(0)
        pictures = super().draw(moments)
        assert isinstance(self._clock, Clock)
        self._clock.now += self.took
        return pictures


class Odd(Face):
    """From the moment it is ``odd``, its pictures are none: whatever stands in for them."""

    def __init__(self, clock: Clock, instead: object) -> None:
        super().__init__(clock)
        self.instead = instead
        self.odd = False

    def frames(self) -> Iterator[Frame]:
        for frame in super().frames():
            if self.odd and self.instead == "the end":
                return
            yield self.instead if self.odd else frame  # type: ignore[misc]


class Stage:
    """Asks for one slot's picture after the other, as the speaker does. Waits for each, however
    busy the machine is, unless a face hangs."""

    def __init__(self, pictures: Pictures, clock: Clock, reports: list[object]) -> None:
        self.pictures, self.clock, self.reports = pictures, clock, reports
        self.slot = 0

    async def show(
        self, slots: int, reply: Reply | None = None, first: int = 0
    ) -> list[bytes | None]:
        shown = []
        for index in range(first, first + slots):
            before = self.clock.now
            in_store = 0 if self._one_hangs else 250
            shown.append(await self.pictures.picture(self.slot, reply, index, in_store=in_store))
            self.slot += 1
            self.clock.now = max(self.clock.now, before + SLOT)
        return shown

    @property
    def _one_hangs(self) -> bool:
        choices = self.pictures._line.choices
        return any(getattr(choice.built, "hangs", False) for choice in choices)

    @property
    def steps(self) -> list[str]:
        """What became of the faces."""
        return [
            report.level if isinstance(report, FaceDegraded) else report.after
            for report in self.reports
            if isinstance(report, FaceDegraded | Switched)
        ]


@asynccontextmanager
async def stage(
    *builders: Callable[[], Face], clock: Clock, patience: float = 5.0
) -> AsyncIterator[Stage]:
    reports: list[object] = []
    pictures = Pictures(
        [(f"face {n}", build) for n, build in enumerate(builders)],
        report=reports.append,
        timeout=patience,
        clock=clock,
    )
    async with anyio.create_task_group() as tasks:
        await pictures.load(tasks)
        yield Stage(pictures, clock, reports)
        tasks.cancel_scope.cancel()


def said(slices: int) -> Reply:
    """A reply of so many slices; every sample is different."""
    reply = Reply(epoch=1)
    reply.append(np.arange(1, slices * SLICE_SAMPLES + 1).astype(np.float32), 10)
    return reply


def number(picture: bytes | None) -> int | None:
    return picture[0] if picture is not None else None


@pytest.mark.parametrize("rate", [20, 25, 30, 50])
async def test_at_any_frame_rate_a_slot_shows_the_picture_of_its_sound(rate: int) -> None:
    clock = Clock()
    face = Face(clock, rate)
    async with stage(lambda: face, clock=clock) as scene:
        await scene.show(3)
        reply = said(20)
        shown, repeats = [], []
        for index in range(20):
            shown += await scene.show(1, reply, index)
            repeats.append(shown[-1] is None and scene.pictures.repeats(scene.slot - 1))
        reply.complete = True
        await scene.show(1, reply, 20)
        await scene.show(2)

        expected = [slot * rate // FRAME_RATE for slot in range(3, 23)]
        once = [
            each if each != before else None
            for before, each in zip([2 * rate // FRAME_RATE, *expected], expected, strict=False)
        ]
        assert once == [number(picture) for picture in shown]
        assert [each is None for each in once] == repeats
        sound = np.pad(reply.sound, SLICE_SAMPLES * 4)
        for moment in face.asked:
            # Where this picture's time lies in the reply, which began with slot 3.
            begin = moment.number * PLAYOUT_RATE_HZ // rate + SLICE_SAMPLES
            if moment.speaking:
                assert np.array_equal(sound[begin:][: PLAYOUT_RATE_HZ // rate], moment.sound)
        assert not face.asked[-1].speaking


async def test_a_face_at_half_speed_draws_every_second_slot_and_comes_back() -> None:
    clock = Clock()
    face = Face(clock)
    async with stage(lambda: face, clock=clock) as scene:
        face.took = 2 * SLOT
        reply = said(200)
        await scene.show(30, reply)
        face.asked.clear()
        shown = await scene.show(20, reply, 30)

        assert [1, 1, 1] == [sum(p is not None for p in shown[n : n + 2]) for n in (0, 6, 18)]
        assert list(range(30, 50, 2)) == [moment.number for moment in face.asked]
        for moment in face.asked:
            assert np.array_equal(reply.cut(moment.number), moment.sound), "and the right sound"
        assert ["fewer"] == scene.steps
        assert shown[-1] is None and not scene.pictures.repeats(scene.slot - 1)

        face.took = 0.2 * SLOT
        assert None not in (await scene.show(80, reply, 50))[-40:]
        assert ["fewer", "full"] == scene.steps


async def test_how_long_speech_takes_to_draw_is_told_once_a_second() -> None:
    clock = Clock()
    face = Face(clock)
    async with stage(lambda: face, clock=clock) as scene:
        face.took = 0.9 * SLOT
        await scene.show(30)  # nobody speaks
        face.took = 0.4 * SLOT
        await scene.show(60, said(60))

    drawn = [report for report in scene.reports if isinstance(report, Drawn)]
    assert [round(each.lasted, 6) for each in drawn] == [1.0, 1.0]
    assert [round(each.took / each.lasted, 6) for each in drawn] == [0.4, 0.4]


async def test_a_hanging_face_is_held_then_still_and_comes_back_by_itself() -> None:
    clock = Clock()
    face = Face(clock)
    async with stage(lambda: face, clock=clock) as scene:
        await scene.show(4)
        reply = said(200)
        await scene.show(4, reply)
        face.hangs = True
        shown = await scene.show(30, reply, 4)

        assert ["held", "still"] == scene.steps
        pictures = [picture for picture in shown if picture is not None]
        assert [0] == [picture[1] for picture in pictures], "one idle picture: the mouth is shut"

        face.hangs = False
        face.release.set()
        shown = await scene.show(40, reply, 34)
        assert ["held", "still", "fewer", "full"] == scene.steps
        last = shown[-1]
        assert last is not None
        assert (scene.slot - 1, 1) == (last[0], last[1]), "in step with the sound"
        assert not [report for report in scene.reports if isinstance(report, Failed)]


async def test_what_failed_is_asked_again_then_left_and_tried_again_later() -> None:
    clock = Clock()
    first, second = Face(clock), Face(clock)
    async with stage(lambda: first, lambda: second, clock=clock) as scene:
        await scene.show(2)
        first.errors = [FaceError("once")]
        await scene.show(4)
        assert ["again"] == scene.steps
        assert first.asked[-1].number == 5

        first.errors = [FaceError("twice"), FaceError("and at the trial")]
        await scene.show(4)
        assert ["again", "face 1"] == scene.steps
        assert second.asked[-1].number == 9

        await scene.pictures.restore()
        assert ["again", "face 1"] == scene.steps, "too early"
        clock.now += 31
        await scene.pictures.restore()
        assert ["again", "face 1"] == scene.steps, "it is no better"
        clock.now += 31
        await scene.pictures.restore()
        assert ["again", "face 1"] == scene.steps, "left alone for twice as long"
        clock.now += 31
        await scene.pictures.restore()
        assert ["again", "face 1", "face 0"] == scene.steps
        await scene.show(2)
        assert first.asked[-1].number == 11


_FLOATS: NDArray[Any] = np.zeros((2, 4, 3))


@pytest.mark.parametrize(
    ("instead", "told"),
    [
        ("the end", "drew no picture"),
        (None, "drew no picture"),
        (Frame(number=999, picture=np.zeros((3, 3, 3), np.uint8)), r"drew uint8 \(3, 3, 3\)"),
        (Frame(number=999, picture=_FLOATS), r"drew float64 \(2, 4, 3\)"),
        (Frame(number=999, picture=None), "NoneType"),  # type: ignore[arg-type]
        (7, "'int' object has no attribute 'number'"),
    ],
    ids=["the end", "none", "shape", "floats", "no array", "no frame"],
)
async def test_what_is_no_picture_is_a_failure_like_any_other(instead: object, told: str) -> None:
    clock = Clock()
    first, second = Odd(clock, instead), Face(clock)
    async with stage(lambda: first, lambda: second, clock=clock) as scene:
        await scene.show(2)
        first.odd = True
        shown = await scene.show(8)

        assert ["again", "face 1"] == scene.steps
        assert [None, None, 9] == list(map(number, [*shown[:2], shown[-1]]))
        failed = [report for report in scene.reports if isinstance(report, Failed)]
        assert 2 == len(failed)
        for report in failed:
            assert re.search(told, report.text)


async def test_without_memory_it_shrinks_or_is_built_anew_once_and_then_the_next_serves() -> None:
    clock = Clock()
    built: list[Face] = []

    def build() -> Face:
        built.append(Face(clock))
        return built[-1]

    puppet = Face(clock)
    async with stage(build, lambda: puppet, clock=clock) as scene:
        built[0].errors = [FaceOutOfMemory("4 at once", shrunk=True)] * 2
        await scene.show(6)
        assert ["smaller", "smaller"] == scene.steps
        assert 1 == len(built)

        built[0].errors = [FaceOutOfMemory("full")]
        await scene.show(6)
        assert ["smaller", "smaller", "anew"] == scene.steps
        assert 2 == len(built)

        built[1].errors = [FaceOutOfMemory("still full")]
        await scene.show(6)
        assert ["smaller", "smaller", "anew", "face 1"] == scene.steps
        assert puppet.asked[-1].number == 17


async def test_a_face_that_hangs_for_good_is_built_anew_and_then_left() -> None:
    clock = Clock()
    built: list[Face] = []

    def build() -> Face:
        built.append(Face(clock))
        built[-1].hangs = len(built) > 1
        return built[-1]

    puppet = Face(clock)
    async with stage(build, lambda: puppet, clock=clock, patience=0.1) as scene:
        built[0].hangs = True
        reply = said(400)
        for index in range(400):
            await scene.show(1, reply, index)
            if puppet.asked:
                break
        assert [step for step in scene.steps if step.startswith(("anew", "face"))] == [
            "anew",
            "face 1",
        ]
        assert 2 == len(built)
        for face in built:
            face.release.set()


async def test_the_first_picture_may_take_as_long_as_the_face_says() -> None:
    clock = Clock()
    face = Face(clock)
    face.warm_up, face.hangs = 30.0, True

    async def let_go() -> None:
        await anyio.to_thread.run_sync(face.begun.wait)
        await anyio.sleep(0.1)  # longer than a picture may take
        face.hangs = False
        face.release.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(let_go)
        async with stage(lambda: face, clock=clock, patience=0.05) as scene:
            shown = await scene.show(2)
            assert not scene.reports
            assert [0, 1] == list(map(number, shown))


async def test_while_the_first_picture_is_awaited_the_last_face_shows_something() -> None:
    clock = Clock()
    hung, least = Face(clock), Face(clock)
    hung.hangs = True
    async with stage(lambda: hung, lambda: least, clock=clock, patience=0.05) as scene:
        assert hung.asked
        assert [0] == [number(picture) for picture in await scene.show(1)]
        hung.release.set()


async def test_a_picture_of_speech_that_was_cut_off_is_not_shown() -> None:
    clock = Clock()
    face = Face(clock)
    async with stage(lambda: face, clock=clock) as scene:
        await scene.show(2)
        face.hangs = True
        assert [None] == await scene.show(1, said(9))
        scene.pictures.forget()
        face.hangs = False
        face.release.set()
        with anyio.fail_after(5):
            while (picture := (await scene.show(1))[0]) is None:
                pass

        assert not picture[1]


async def test_nobody_asks_for_pictures_where_there_are_no_faces() -> None:
    async with stage(clock=Clock()) as scene:
        assert not scene.pictures.wanted
        assert [None, None] == await scene.show(2)


async def test_a_face_that_cannot_be_built_is_passed_over() -> None:
    clock = Clock()
    works = Face(clock)

    def broken() -> Face:
        raise FaceError("no weights")

    async with stage(broken, lambda: works, clock=clock) as scene:
        assert [0] == list(map(number, await scene.show(1)))
        assert "no weights" in str(scene.reports)
    async with anyio.create_task_group() as tasks:
        pictures = Pictures([("broken", broken)], report=lambda _: None, timeout=1.0)
        with pytest.raises(FaceError, match="no weights"):
            await pictures.load(tasks)
