"""The speaker: voice and face, from clauses to A/V slices.

Laws. A slice is made whole: a picture and exactly the 40 ms of sound it belongs to. Sound never
waits for a picture: a picture that is not there in time is left out, and the playout holds the last
one. The output's queue is short for idle pictures, so that a reply begins within two of them, and
longer for speech, so that a slow picture is caught up with.

Every picture has an index, its output slot. When a reply begins, or the queue is flushed, the slots
whose pictures were not shown are drawn again; the face steps back to them without a jump.
"""

from __future__ import annotations

import bisect
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import numpy as np
import soxr
from anyio.abc import TaskGroup
from attrs import define, field, frozen

from maestra.core.persona import Persona
from maestra.ports.audio import FRAME_RATE, PLAYOUT_RATE_HZ, SLICE_SAMPLES
from maestra.ports.errors import FaceError, MaestraError, PortError, VoiceError
from maestra.ports.face import Face, Frame
from maestra.ports.voice import AlignedSound, Voice

from ..messages import (
    APOLOGY,
    Cancel,
    EndOfReply,
    Failed,
    Hello,
    Pause,
    Primed,
    ReplyLost,
    Resume,
    Rewind,
    Say,
    Slice,
    SlotTaken,
    Start,
    Stop,
    Switched,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..config import Config

__all__ = ["Reply", "Speaker", "SpeakerSettings", "run"]

_IDLE_LEAD = 3
"""Idle slices ahead of the output: what a beginning reply may have to wait for."""

_SPEECH_LEAD = 8
"""Speech slices ahead of the output: what a slow picture may take before it is left out."""

_PATIENCE = 3
"""How many times longer a voice may take while the clause before is being heard."""

_FORGIVEN_AFTER = 30.0
"""Seconds after which a face that failed is tried again."""

_CHARACTERS_PER_SECOND = 14
"""How fast speech is, until the lengths of a clause's pieces are known."""


@frozen(kw_only=True)
class SpeakerSettings:
    """``pictures`` is false where nobody will see them: then no face is built."""

    config: Config
    persona: Persona
    pictures: bool
    fast: bool = False


@define(eq=False)
class Reply:
    """What has been spoken of one reply: its sound, and where in its text each piece ends."""

    epoch: int
    sound: NDArray[np.float32] = field(factory=lambda: np.zeros(0, np.float32))
    to_speak: deque[Say] = field(factory=deque)
    written: bool = False
    complete: bool = False
    begun_at: float = 0.0
    primed: bool = False
    _ends: list[int] = field(factory=list)
    _positions: list[int] = field(factory=list)

    def append(self, sound: NDArray[np.float32], position: int) -> None:
        """Add 48 kHz ``sound``, at whose end ``position`` characters of the reply are spoken."""
        self.sound = np.concatenate([self.sound, sound])
        self._ends.append(len(self.sound))
        self._positions.append(position)

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

    def cut(self, number: int) -> NDArray[np.float32]:
        """The 40 ms of slice ``number``, padded with silence at the very end."""
        part = self.sound[number * SLICE_SAMPLES : (number + 1) * SLICE_SAMPLES]
        return part if len(part) == SLICE_SAMPLES else _padded(part, SLICE_SAMPLES)

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


def _padded(part: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    whole = np.zeros(length, np.float32)
    whole[: len(part)] = part
    return whole


_Backend = TypeVar("_Backend")


class _Line(Generic[_Backend]):
    """The backends of one port in their configured order, the first that works in front."""

    def __init__(
        self,
        kind: str,
        choices: Sequence[tuple[str, Callable[[], _Backend]]],
        report: Callable[[object], None],
    ) -> None:
        self._kind = kind
        self._choices = tuple(choices)
        self._next = 0
        self._report = report
        self.name = ""
        self.current: _Backend | None = None
        self.last_error: Exception | None = None

    @property
    def has_fallen(self) -> bool:
        """A later one than the first serves."""
        return self.name != self._choices[0][0]

    @property
    def is_last(self) -> bool:
        """There is none after the one that serves."""
        return self._next >= len(self._choices)

    def rewind(self) -> None:
        """Have the first serve again next time, if there are several."""
        if len(self._choices) > 1:
            self._next, self.current = 0, None

    def restart(self) -> bool:
        """Begin again from the front; false if nothing can be built."""
        self._next = 0
        return self.advance()

    def advance(self) -> bool:
        """Build the next one that can be built; false if there is none left, and then the line
        begins again from the front: what failed once may work for the next reply."""
        before = self.name
        self.current = None
        while self._next < len(self._choices):
            name, build = self._choices[self._next]
            self._next += 1
            try:
                self.current = build()
            except Exception as error:  # what others build may raise anything
                self.failed(name, error)
                self.last_error = error
                continue
            self.name = name
            if before:
                self._report(Switched(worker=self._kind, before=before, after=name))
            return True
        self._next = 0
        return False

    def failed(self, name: str, error: Exception) -> None:
        text = str(error) or type(error).__name__
        self._report(Failed(worker=self._kind, adapter=name, kind=type(error).__name__, text=text))


class Speaker:
    """Turns ``Say`` into slices.

    :param voices: names and builders in their configured order; likewise ``faces``, of which there
        are none where nobody will see them.
    :param report: sends a message to the session.
    :param put: sends a slice to the playout.
    :param voice_timeout: seconds a voice has for each piece of sound; ``face_timeout`` likewise a
        face for a picture.
    :param virtual: on a virtual clock every picture is waited for.
    """

    def __init__(
        self,
        *,
        voices: Sequence[tuple[str, Callable[[], Voice]]],
        faces: Sequence[tuple[str, Callable[[], Face]]],
        report: Callable[[object], None],
        put: Callable[[Slice], None],
        voice_timeout: float = 2.0,
        face_timeout: float = 2.0,
        virtual: bool = False,
    ) -> None:
        self._voices = _Line("voice", voices, report)
        self._faces = _Line("face", faces, report)
        self._pictures = bool(faces)
        self._report = report
        self._put = put
        self._voice_timeout = voice_timeout
        self._face_timeout = face_timeout
        self._apology = np.zeros(0, np.float32)
        self._replies: dict[int, Reply] = {}
        self._cancelled = 0
        self._playing: Reply | None = None
        self._paused = False
        self._next_slice = 0
        self._next_slot = 0
        self._taken = -1
        self._changed = anyio.Event()
        self._tasks: TaskGroup | None = None
        self._advancing = anyio.Lock()
        self._drawing = False
        self._drawn = anyio.Event()
        self._fresh: bytes | None = None
        self._frames: Iterator[Frame] | None = None
        self._due = -1
        self._said: tuple[Reply, int] | None = None
        self._pushed = 0
        self._fallen_at = 0.0
        self._virtual = virtual

    async def load(self) -> str:
        """Build the first voice and face that can be built, and prepare the apology.

        :returns: their names.
        :raises VoiceError: no voice can be built.
        :raises FaceError: faces were asked for, and none can be built.
        """
        if not await anyio.to_thread.run_sync(self._voices.advance):
            _refuse("voice", VoiceError, self._voices.last_error)
        if self._pictures and not await anyio.to_thread.run_sync(self._faces.advance):
            _refuse("face", FaceError, self._faces.last_error)
        self._apology = np.concatenate([part async for part in self._spoken(APOLOGY)])
        return ", ".join(name for name in (self._voices.name, self._faces.name) if name)

    async def run(self) -> None:
        """Make slices until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            while True:
                await anyio.lowlevel.checkpoint()  # without a face nothing below may wait
                await self._make_room()
                await self._make_slice()

    # --- told by the session and the playout ----------------------------------

    def handle(self, message: object) -> None:
        """Obey one message; call it from the event loop."""
        match message:
            case Say(epoch=epoch) if epoch > self._cancelled:
                if epoch not in self._replies:
                    self._begin(epoch)
                self._replies[epoch].to_speak.append(message)
            case EndOfReply(epoch=epoch) if epoch in self._replies:
                self._replies[epoch].written = True
            case Start(epoch=epoch) if epoch in self._replies:
                self._playing = self._replies[epoch]
                self._paused = False
                self._next_slice = 0
                # The idle pictures that wait in the output's queue are not worth waiting for.
                self._next_slot = self._taken + 1
            case Cancel(epoch=epoch):
                self._cancelled = max(self._cancelled, epoch)
                for number in [number for number in self._replies if number <= epoch]:
                    del self._replies[number]
                if self._playing is not None and self._playing.epoch <= epoch:
                    self._playing = None
            case Pause():
                self._paused = True
                self._next_slot = self._taken + 1
            case Resume():
                self._paused = False
            case SlotTaken(slot=slot):
                self._taken = max(self._taken, slot)
            case Rewind(slot=slot):
                self._taken = max(self._taken, slot - 1)
                self._next_slot = slot
            case _:
                return
        self._wake()

    def _wake(self) -> None:
        """Let everybody who waits look again."""
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    # --- voice ----------------------------------------------------------------

    def _begin(self, epoch: int) -> None:
        assert self._tasks is not None
        reply = Reply(epoch=epoch, begun_at=time.monotonic())
        self._replies[epoch] = reply
        self._tasks.start_soon(self._speak, reply)
        self._tasks.start_soon(self._restore_face)

    async def _speak(self, reply: Reply) -> None:
        """Speak the clauses of one reply, in order, as they come."""
        while reply.to_speak or not reply.written:
            if reply.epoch <= self._cancelled:
                return
            if not reply.to_speak:
                await self._changed.wait()
            elif not await self._speak_clause(reply, reply.to_speak.popleft()):
                return
        reply.complete = True
        self._prime(reply)
        self._wake()

    async def _speak_clause(self, reply: Reply, say: Say) -> bool:
        """Speak one clause with the first voice that can; false if none can."""
        end = say.position + len(say.clause)
        tried_again = False
        while True:
            voice = None if say.clause == APOLOGY else await self._voice()
            if voice is None and say.clause != APOLOGY:
                break
            begun = len(reply.sound)
            try:
                async for sound in self._spoken(say.clause, patient=reply.primed):
                    if reply.epoch <= self._cancelled:
                        return False
                    said = (len(reply.sound) - begun + len(sound)) / PLAYOUT_RATE_HZ
                    reply.append(sound, min(end, say.position + int(said * _CHARACTERS_PER_SECOND)))
                    self._prime(reply)
                    self._wake()
                if len(reply.sound) == begun:
                    raise VoiceError(f"made no sound of {say.clause!r}")
                reply.settle(begun, say.position, end)
                return True
            except VoiceError as error:
                self._voices.failed(self._voices.name, error)
            if len(reply.sound) > begun:
                return True  # half a clause was spoken: go on with the next
            if self._voices.is_last:
                # To build it again would take longer than to ask it again: most likely the machine
                # was busy for a moment.
                if tried_again:
                    self._voices.rewind()
                    break
                tried_again = True
            else:
                await self._next_voice(voice)
        self._report(ReplyLost(epoch=reply.epoch, text="no voice can speak it"))
        reply.complete = True
        self._wake()
        return False

    async def _voice(self) -> Voice | None:
        """The voice that serves; built anew from the front of the line if there is none."""
        if self._voices.current is None:
            await self._next_voice(None)
        return self._voices.current

    async def _next_voice(self, failed: Voice | None) -> None:
        """Go on to the next voice, unless another clause has already done so."""
        async with self._advancing:
            if self._voices.current is failed:
                await anyio.to_thread.run_sync(self._voices.advance)

    async def _spoken(
        self, clause: str, *, patient: bool = False
    ) -> AsyncIterator[NDArray[np.float32]]:
        """``clause`` as 48 kHz sound, piece by piece.

        :param patient: there is sound to be heard while it is made.
        :raises VoiceError: the voice failed, or took too long.
        """
        if clause == APOLOGY and len(self._apology):
            yield self._apology
            return
        voice = self._voices.current
        if voice is None:
            raise VoiceError("no voice is left")
        timeout = self._voice_timeout * (_PATIENCE if patient else 1)
        sounds = None
        while True:
            try:
                sounds = sounds or voice.synthesise(clause)
                with anyio.fail_after(timeout):
                    sound = await anext(sounds)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise VoiceError(f"no sound for {timeout:g} s") from error
            except PortError:
                raise
            except Exception as error:  # a voice of somebody else's may raise anything
                raise VoiceError(f"{type(error).__name__}: {error}") from error
            if isinstance(sound, AlignedSound):
                sound = sound.samples
            yield soxr.resample(sound, voice.sample_rate_hz, PLAYOUT_RATE_HZ)

    def _prime(self, reply: Reply) -> None:
        if not reply.primed and reply.slices and reply.epoch > self._cancelled:
            reply.primed = True
            self._report(
                Primed(
                    epoch=reply.epoch,
                    voice_duration=time.monotonic() - reply.begun_at,
                )
            )

    # --- face and slices ------------------------------------------------------

    @property
    def _speaking(self) -> bool:
        return self._playing is not None and not self._paused

    async def _make_room(self) -> None:
        """Wait until the output's queue wants a slice that can be made."""
        while True:
            changed = self._changed
            lead = _SPEECH_LEAD if self._speaking else _IDLE_LEAD
            room = self._next_slot - self._taken <= lead
            if self._speaking:
                assert self._playing is not None
                if room and (self._pictures or self._next_slice < self._playing.slices):
                    return
            elif room and self._pictures:
                return
            await changed.wait()

    async def _make_slice(self) -> None:
        self._next_slot = max(self._next_slot, self._taken + 1)
        reply, slot = self._playing, self._next_slot
        if reply is not None and not self._paused and self._next_slice < reply.slices:
            number = self._next_slice
            picture = await self._picture(slot, reply, number)
            if self._playing is not reply or self._next_slot != slot or self._paused:
                return  # cancelled, paused or rewound while it was drawn
            last = reply.complete and number + 1 == reply.slices
            self._put(
                Slice(
                    slot=slot,
                    epoch=reply.epoch,
                    sound=_int16(reply.cut(number)),
                    picture=picture,
                    heard_to=reply.heard_to(number),
                    last=last,
                )
            )
            self._next_slice += 1
            if last:
                self._playing = None
                self._replies.pop(reply.epoch, None)
        else:
            picture = await self._picture(slot)
            if self._next_slot != slot:
                return
            self._put(Slice(slot=slot, epoch=0, sound=None, picture=picture))
        self._next_slot = slot + 1

    async def _picture(
        self, slot: int, reply: Reply | None = None, number: int = 0
    ) -> bytes | None:
        """The picture for ``slot``, or none, which holds the last one: if no face can draw, or if
        it takes longer than the sound can wait. One that is late is shown when it comes."""
        if self._tasks is not None and self._faces.current is not None and not self._drawing:
            self._drawing = True
            self._lead_face(self._faces.current, slot, reply, number)
            self._tasks.start_soon(self._draw, self._faces.current)
            with anyio.move_on_after(self._patience(slot, speaking=reply is not None)):
                while self._drawing:
                    await self._drawn.wait()
        picture, self._fresh = self._fresh, None
        return picture

    def _lead_face(self, face: Face, slot: int, reply: Reply | None, number: int) -> None:
        """Have ``face`` draw the picture of ``slot`` next, of slice ``number`` of ``reply``."""
        said = (reply, slot - number) if reply is not None else None
        if self._due != slot or self._said != said:
            face.clear(slot)
            self._due, self._said, self._pushed = slot, said, number * SLICE_SAMPLES
        if reply is not None:
            end = reply.slices * SLICE_SAMPLES
            if reply.complete and end > self._pushed:
                tail = reply.sound[self._pushed :]
                face.push(_padded(tail, end - self._pushed), last=True)
            elif not reply.complete:
                end = len(reply.sound)
                face.push(reply.sound[self._pushed : end])
            self._pushed = max(end, self._pushed)

    def _patience(self, slot: int, *, speaking: bool) -> float:
        """How long a picture may take: half a slot, and what the output's queue has in store. With
        speech it keeps a slot more in hand."""
        if self._virtual:
            return self._face_timeout * 2
        in_store = slot - self._taken - (2 if speaking else 1)
        return (0.5 + max(0, in_store)) / FRAME_RATE

    async def _draw(self, face: Face) -> None:
        if self._frames is None:
            self._frames = face.frames()
        try:
            with anyio.fail_after(self._face_timeout):
                frame = await anyio.to_thread.run_sync(next, self._frames, abandon_on_cancel=True)
            picture = frame.picture
            if picture.shape != (face.height, face.width, 3) or picture.dtype != np.uint8:
                raise FaceError(f"drew {picture.dtype} {picture.shape}")
            self._due = frame.number + 1
            self._fresh = picture.tobytes()
        except Exception as error:  # whatever a face raises, the voice goes on
            self._faces.failed(self._faces.name, error)
            await anyio.to_thread.run_sync(self._faces.advance)
            self._fallen_at = time.monotonic()
            self._frames, self._due, self._said = None, -1, None
        finally:
            self._drawing = False
            drawn, self._drawn = self._drawn, anyio.Event()
            drawn.set()

    async def _restore_face(self) -> None:
        """What failed half a minute ago may work now: between two replies is the time to see."""
        if (
            self._pictures
            and self._faces.has_fallen
            and time.monotonic() - self._fallen_at > _FORGIVEN_AFTER
        ):
            self._fallen_at = time.monotonic()
            await anyio.to_thread.run_sync(self._faces.restart)
            self._frames, self._due, self._said = None, -1, None


def _refuse(kind: str, error: type[PortError], cause: Exception | None) -> None:
    """Say why nothing serves: a missing model stays one."""
    if isinstance(cause, MaestraError):
        raise cause
    raise error(f"no {kind} can be built; maestra doctor says what is missing") from cause


def _int16(sound: NDArray[np.float32]) -> bytes:
    return (np.clip(sound, -1.0, 1.0) * 32767.0).astype(np.int16).tobytes()


async def _serve(control: Connection, slices: Connection, settings: SpeakerSettings) -> None:
    from .. import composition

    speaker = Speaker(
        voices=composition.voices(settings.config, settings.persona),
        faces=composition.faces(settings.config, settings.persona) if settings.pictures else (),
        report=control.send,
        put=slices.send,
        # On a virtual clock nobody waits, and the machine may be as busy as it likes.
        voice_timeout=settings.config.voice.timeout * (10 if settings.fast else 1),
        face_timeout=settings.config.face.timeout * (10 if settings.fast else 1),
        virtual=settings.fast,
    )
    try:
        detail = await speaker.load()
    except MaestraError as error:
        control.send(
            Failed(worker="speaker", kind=type(error).__name__, text=str(error), fatal=True)
        )
        return
    control.send(Hello(worker="speaker", detail=detail))

    async def listen(connection: Connection) -> None:
        while True:
            try:
                message = await anyio.to_thread.run_sync(connection.recv, abandon_on_cancel=True)
            except (EOFError, OSError):
                tasks.cancel_scope.cancel()
                return
            if isinstance(message, Stop):
                tasks.cancel_scope.cancel()
                return
            speaker.handle(message)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen, control)
        tasks.start_soon(listen, slices)
        await speaker.run()


def run(control: Connection, slices: Connection, settings: SpeakerSettings) -> None:
    """Be the speaker, until the session says stop or goes."""
    anyio.run(_serve, control, slices, settings)
