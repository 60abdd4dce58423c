"""Pictures for the speaker's slots: the faces in their order, led along the output's slots.

The sound never waits for a picture. One that is late is left out, and shown when it comes; a face
that is too slow degrades by rule (``degrading``) and comes back by itself. A face that fails is
asked again, or built anew if it hangs or has no memory left. At the second failure the next face
takes over. The one that fell is built anew beside it after a while, and takes its place back once
it has drawn a picture.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence

import anyio
import anyio.to_thread
import numpy as np
from anyio.abc import TaskGroup
from attrs import define, evolve, field

from maestra.ports.audio import FRAME_RATE, PLAYOUT_RATE_HZ, SLICE_SAMPLES
from maestra.ports.errors import FaceError, FaceOutOfMemory, MaestraError
from maestra.ports.face import Face, Frame

from ..breaker import Breaker
from ..colour import Colour, i420_shape
from ..messages import Drawn, FaceDegraded
from .degrading import STILL_AFTER, Degrading, Level
from .line import Choice, Line
from .spoken import Reply, padded

__all__ = ["Pictures"]

_FORGIVEN_AFTER = 30.0
"""Seconds after which a failure no longer counts, and a face that fell is tried again."""

_FIRST_PICTURE = 30.0
"""Seconds to wait for the first picture before the lesson begins without one."""

_KNOWN_AHEAD = 2 * PLAYOUT_RATE_HZ
"""How much speech beyond its look-ahead a face is pushed: more than is ever drawn at once."""


@define(eq=False)
class _Led:
    """A face and where in its pictures and in the reply it is."""

    face: Face
    slot: int = -1
    due: int = -1
    ready: int = 0
    anchor: tuple[Reply, int] | None = None
    pushed: int = 0
    warm: bool = False
    colour: Colour = field(factory=Colour)
    _frames: Iterator[Frame] | None = field(default=None, init=False)

    def number(self, slot: int) -> int:
        """Which of its pictures is shown in ``slot``."""
        return slot * self.face.frame_rate // FRAME_RATE

    def lead(self, slot: int, reply: Reply | None, index: int) -> None:
        """Have it draw the picture of ``slot`` next, of slice ``index`` of ``reply``, or idle."""
        number, face = self.number(slot), self.face
        first = slot - index  # the slot of the reply's first slice
        anchor = (reply, first) if reply is not None else None
        if anchor is None and self.anchor is not None:
            first = self.anchor[1]
        # The sample of the reply that this picture begins with; below 0 where it begins earlier.
        begin = number * PLAYOUT_RATE_HZ // face.frame_rate - first * SLICE_SAMPLES
        passed_over = -(-face.frame_rate // FRAME_RATE) - 1
        within_reach = 0 <= number - self.due <= max(self.ready, passed_over)
        goes_on = anchor == self.anchor or (anchor is None and self.pushed <= begin)
        if not within_reach or not goes_on:
            face.clear(number)
            self.due, self.ready, self.pushed = number, 0, begin
        self.slot = slot
        self.anchor = anchor
        if reply is None:
            return
        end = reply.slices * SLICE_SAMPLES if reply.complete else len(reply.sound)
        to = min(end, begin + _KNOWN_AHEAD + round(face.look_ahead * PLAYOUT_RATE_HZ))
        if to > self.pushed:
            part = reply.sound[max(self.pushed, 0) : to]
            if self.pushed < 0:
                part = np.concatenate([np.zeros(-self.pushed, np.float32), part])
            last = reply.complete and to == end
            face.push(padded(part, to - self.pushed), last=last)
            self.pushed = to

    def draw(self, number: int) -> Frame:
        """Its next picture from ``number`` on; in a thread."""
        try:
            return self._next(number)
        except BaseException:
            self._frames, self.slot, self.due, self.anchor = None, -1, -1, None
            raise

    def _next(self, number: int) -> Frame:
        if self._frames is None:
            self._frames = self.face.frames()
        while True:
            if (frame := next(self._frames, None)) is None:
                raise FaceError("drew no picture")
            self.due, self.ready, self.warm = frame.number + 1, frame.ready, True
            if frame.number >= number:
                break
        width, height = self.face.width, self.face.height
        shapes = (height, width, 3), i420_shape(width, height)
        if frame.picture.shape not in shapes or frame.picture.dtype != np.uint8:
            raise FaceError(f"drew {frame.picture.dtype} {frame.picture.shape}")
        return evolve(frame, picture=self.colour.i420(frame.picture))


class Pictures:
    """Draws the picture of one slot after another.

    :param faces: names and builders in their configured order; none where nobody will see them.
    :param report: sends a message to the session.
    :param timeout: seconds a face has for a picture.
    :param virtual: on a virtual clock every picture is waited for.
    """

    def __init__(
        self,
        faces: Sequence[tuple[str, Callable[[], Face]]],
        *,
        report: Callable[[object], None],
        timeout: float,
        virtual: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        choices = [
            Choice(name, build, Breaker(tolerance=2, cool_down=_FORGIVEN_AFTER))
            for name, build in faces
        ]
        self._line = Line("face", choices, report, clock)
        self._report = report
        self._timeout = timeout
        self._virtual = virtual
        self._clock = clock
        self._tasks: TaskGroup | None = None
        self._led: _Led | None = None
        self._degrading = Degrading()
        self._failed_at = -_FORGIVEN_AFTER
        self._restoring = False
        self._drawing = False
        self._drawing_speech = False
        self._drawn = anyio.Event()
        self._last_at = clock()  # when a picture came last, or the one in making was begun
        self._fresh: bytes | None = None
        self._forgotten = False
        self._idle: bytes | None = None
        self._mouth_in_use = False
        self._took = self._lasted = 0.0  # of the speech that was drawn and not yet told of

    @property
    def wanted(self) -> bool:
        """Whether anybody will see them."""
        return bool(self._line.choices)

    @property
    def name(self) -> str:
        """The face that serves."""
        return self._line.name

    @property
    def look_ahead(self) -> int:
        """How many samples of speech beyond a picture's own its face wants to know."""
        return round(self._led.face.look_ahead * PLAYOUT_RATE_HZ) if self._led is not None else 0

    async def load(self, tasks: TaskGroup) -> None:
        """Build the first face that can be built, and wait a while for its first picture.

        :param tasks: what draws runs in there.
        :raises FaceError: none can be built.
        """
        self._tasks = tasks
        if not self.wanted:
            return
        await self._take_next(self._line.choices)
        if self._led is None:
            if isinstance(self._line.last_error, MaestraError):
                raise self._line.last_error
            text = "no face can be built; maestra doctor says what is missing"
            raise FaceError(text) from self._line.last_error
        self._drawing = True
        tasks.start_soon(self._draw, self._led, 0, None, 0)
        with anyio.move_on_after(_FIRST_PICTURE):
            await self._drawn.wait()
        if self._fresh is None:
            await self._show_something()

    async def _show_something(self) -> None:
        """Have the last of the faces, which needs least, draw the picture that is held until there
        is another: nobody is to look at nothing."""
        last = self._line.choices[-1]
        if last is self._line.serving or (face := await self._line.build(last)) is None:
            return
        try:
            frame = await anyio.to_thread.run_sync(_Led(face).draw, 0)
        except Exception as error:
            self._line.failed(last, error)
            return
        if self._fresh is None:
            self._fresh = self._idle = frame.picture.tobytes()

    def forget(self) -> None:
        """What is being drawn of speech will not be shown: it was cut off."""
        self._forgotten = self._drawing and self._drawing_speech
        if self._mouth_in_use:
            self._fresh = None

    async def picture(
        self, slot: int, reply: Reply | None = None, index: int = 0, *, in_store: int = 0
    ) -> bytes | None:
        """The picture for ``slot``, of slice ``index`` of ``reply`` or idle; or none, which holds
        the last one.

        :param in_store: how many slots of the output's queue it may take.
        """
        led = self._led
        if led is not None and self._tasks is not None and self._is_worth_drawing(led, slot):
            self._drawing, self._drawing_speech = True, reply is not None
            self._last_at = self._clock()
            self._tasks.start_soon(self._draw, led, slot, reply, index)
        patience = (0.5 + max(0, in_store)) / FRAME_RATE
        if self._virtual:
            patience = 2 * (self._timeout + (led.face.warm_up if led is not None else 0))
        with anyio.move_on_after(patience):
            while self._drawing:
                await self._drawn.wait()
        if not self.wanted:
            return None
        fresh, self._fresh = self._fresh, None
        if fresh is not None:
            return fresh
        if self._drawing or led is None:
            now = self._clock()
            self._tell(self._degrading.waits(now, now - self._last_at))
        if self._degrading.level is Level.STILL and self._mouth_in_use:
            self._mouth_in_use = False
            return self._idle
        return None

    def repeats(self, slot: int) -> bool:
        """Whether ``slot``, which has no picture of its own, shows what it should: the last one
        covers it, of a face with fewer pictures a second than there are slots."""
        led = self._led
        return (
            led is not None and not self._drawing and led.slot < slot and led.number(slot) < led.due
        )

    def _is_worth_drawing(self, led: _Led, slot: int) -> bool:
        """Whether ``slot`` gets a picture of its own, and the face has time for it."""
        if self._drawing:
            return False
        if self._degrading.level is Level.FEWER and slot % 2 and not self._virtual:
            return False
        # A face with fewer pictures than there are slots may have drawn this one.
        return slot <= led.slot or led.number(slot) >= led.due

    async def _draw(self, led: _Led, slot: int, reply: Reply | None, index: int) -> None:
        speech, begun, warm = self._drawing_speech, self._clock(), led.warm
        timeout = self._timeout + (0.0 if warm else led.face.warm_up)
        try:
            led.lead(slot, reply, index)
            with anyio.fail_after(timeout):
                frame = await anyio.to_thread.run_sync(
                    led.draw, led.number(slot), abandon_on_cancel=True
                )
            took = self._clock() - begun
            if speech and warm and not self._virtual:
                self._count(took, 1 / min(FRAME_RATE, led.face.frame_rate))
            self._came(frame, took, speech=speech)
        except TimeoutError:
            await self._fell(led, FaceError(f"no picture for {timeout:g} s"), hung=True)
        except Exception as error:  # whatever a face raises, the voice goes on
            await self._fell(led, error)
        finally:
            self._drawing = self._forgotten = False
            drawn, self._drawn = self._drawn, anyio.Event()
            drawn.set()

    def _came(self, frame: Frame, took: float, *, speech: bool) -> None:
        now = self._clock()
        self._last_at = now
        if now - self._failed_at > _FORGIVEN_AFTER and self._line.serving is not None:
            self._line.serving.breaker.succeeded()
        if not self._virtual:
            self._tell(self._degrading.came(now, took))
        if self._forgotten or (self._degrading.level is Level.STILL and took > STILL_AFTER):
            return
        self._fresh = frame.picture.tobytes()
        self._mouth_in_use = speech
        if not speech:
            self._idle = self._fresh

    def _count(self, took: float, lasts: float) -> None:
        self._took += took
        self._lasted += lasts
        if self._lasted >= 1.0:
            self._report(Drawn(took=self._took, lasted=self._lasted))
            self._took = self._lasted = 0.0

    def _tell(self, cause: str, *, level: str = "") -> None:
        if cause:
            level = level or self._degrading.level.value
            self._report(FaceDegraded(face=self.name, level=level, cause=cause))

    # --- failing ----------------------------------------------------------------

    async def _fell(self, led: _Led, error: Exception, *, hung: bool = False) -> None:
        """The face failed: have it try again, build it anew, or go on with the next one."""
        serving = self._line.serving
        if serving is None or led is not self._led:
            return
        if isinstance(error, FaceOutOfMemory) and error.shrunk:
            self._tell(str(error), level="smaller")
            return
        again = self._clock() - self._failed_at > _FORGIVEN_AFTER
        self._failed_at = self._clock()
        self._line.failed(serving, error)
        if again and not hung and not isinstance(error, FaceOutOfMemory):
            self._tell("it failed, and is asked again", level="again")
            return
        # What it holds of the device's memory must be free before anything is built.
        self._led = serving.built = None
        del led
        gc.collect()
        choices = self._line.choices
        if again:
            self._tell("it hung" if hung else "it had no memory left", level="anew")
            if (built := await self._line.build(serving)) is not None:
                self._lead(built)
                return
        await self._take_next(choices[choices.index(serving) + 1 :])

    async def _take_next(self, choices: Sequence[Choice[Face]]) -> None:
        """Have the first of ``choices`` serve that can be built; nobody if none can."""
        for choice in choices:
            if (built := await self._line.build(choice)) is not None:
                self._line.serve(choice)
                self._failed_at = self._clock() - _FORGIVEN_AFTER
                self._lead(built)
                return
        self._led = None
        self._line.serve(None)

    def _lead(self, face: Face) -> None:
        self._led = _Led(face)
        self._last_at = self._clock()

    async def restore(self) -> None:
        """A face before the one that serves may be well again: build it beside that, have it draw a
        picture, and let it serve. After a reply is the time for it."""
        choices = self._line.choices
        serving = self._line.serving
        before = choices[: choices.index(serving)] if serving is not None else choices
        if self._restoring:
            return
        self._restoring = True
        try:
            for choice in before:
                if choice.breaker.admits(self._clock()) and await self._try(choice):
                    return
        finally:
            self._restoring = False

    async def _try(self, choice: Choice[Face]) -> bool:
        """Build ``choice`` anew; whether it serves now."""
        settled = False
        try:
            if (face := await self._line.build(choice)) is None:
                settled = True
                return False
            led = _Led(face)
            try:
                led.lead(0, None, 0)
                with anyio.fail_after(self._timeout + face.warm_up):
                    await anyio.to_thread.run_sync(led.draw, 0, abandon_on_cancel=True)
            except Exception as error:
                settled, choice.built = True, None
                self._line.failed(choice, error)
                return False
            settled = True
            choice.breaker.succeeded()
            self._line.serve(choice)
            self._led, self._degrading = led, Degrading()
            self._failed_at = self._clock() - _FORGIVEN_AFTER
            return True
        finally:
            if not settled:
                choice.breaker.abandoned()
