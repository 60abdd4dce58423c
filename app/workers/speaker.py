"""The speaker: voice and face, from clauses to A/V slices.

Laws. A slice is made whole: a picture and exactly the 40 ms of sound it belongs to. Sound never
waits for a picture: a picture that is not there in time is left out, and the playout holds the last
one. The output's queue is short for idle pictures, so that a reply begins within two of them, and
longer for speech, so that a slow picture is caught up with.

Every picture has an index, its output slot. When a reply begins, or the queue is flushed, the slots
whose pictures were not shown are drawn again; the face steps back to them without a jump.

``spoken`` has the voices and what they have spoken of a reply, ``pictures`` the faces.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread
import numpy as np
from anyio.abc import TaskGroup
from attrs import frozen

from maestra.core.persona import Persona
from maestra.ports.audio import PLAYOUT_RATE_HZ
from maestra.ports.errors import MaestraError
from maestra.ports.face import Face
from maestra.ports.voice import Voice

from ..messages import (
    Cancel,
    EndOfReply,
    Failed,
    Hello,
    Pause,
    Pictured,
    Primed,
    ReplyLost,
    Resume,
    Rewind,
    Say,
    Slice,
    SlotTaken,
    Start,
    Stop,
)
from .memory import give_back
from .pictures import Pictures
from .spoken import Reply, Voices

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

    from ..config import Config

__all__ = ["Speaker", "SpeakerSettings", "run"]

_IDLE_LEAD = 3
"""Idle slices ahead of the output: what a beginning reply may have to wait for."""

_SPEECH_LEAD = 8
"""Speech slices ahead of the output: what a slow picture may take before it is left out."""

_IN_HAND = 2
"""Speech slices ahead of the output below which no picture waits for speech that follows it."""


@frozen(kw_only=True)
class SpeakerSettings:
    """``pictures`` is false where nobody will see them: then no face is built. ``anew``: the lesson
    has begun, so a key that is not accepted any more costs a voice, and not the lesson."""

    config: Config
    persona: Persona
    pictures: bool
    fast: bool = False
    anew: bool = False


class Speaker:
    """Turns ``Say`` into slices.

    :param voices: names and builders in their configured order; likewise ``faces``, of which there
        are none where nobody will see them.
    :param report: sends a message to the session.
    :param put: sends a slice to the playout.
    :param voice_timeout: seconds a voice has for each piece of sound; ``face_timeout`` likewise a
        face for a picture.
    :param served: the names of the voices that somebody else serves.
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
        served: Collection[str] = (),
        virtual: bool = False,
    ) -> None:
        self._voices = Voices(voices, report=report, timeout=voice_timeout, served=served)
        self._pictures = Pictures(faces, report=report, timeout=face_timeout, virtual=virtual)
        self._report = report
        self._put = put
        self._replies: dict[int, Reply] = {}
        self._speaking: dict[int, anyio.CancelScope] = {}
        self._cancelled = 0
        self._playing: Reply | None = None
        self._unseen_since: float | None = None
        self._paused = False
        self._next_slice = 0
        self._next_slot = 0
        self._taken = -1
        self._changed = anyio.Event()
        self._tasks: TaskGroup | None = None

    async def load(self, tasks: TaskGroup) -> str:
        """Build the first voice and face that can be built, and prepare what is known by heart.

        :param tasks: what they do meanwhile and from now on runs in there.
        :returns: their names.
        :raises BackendRefused: a voice's key, or what it is to speak with, is not accepted.
        :raises VoiceError: no voice can be built.
        :raises FaceError: faces were asked for, and none can be built.
        """
        self._tasks = tasks
        await self._voices.load(tasks)
        await self._pictures.load(tasks)
        return ", ".join(name for name in (self._voices.name, self._pictures.name) if name)

    async def run(self) -> None:
        """Make slices until cancelled; what is loaded."""
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
                if not self._replies[epoch].ask(message):
                    text = "an answer is too long to be spoken to its end"
                    self._report(
                        Failed(
                            worker="voice",
                            adapter=self._voices.name,
                            kind="VoiceError",
                            text=text,
                        )
                    )
            case EndOfReply(epoch=epoch) if epoch in self._replies:
                self._replies[epoch].written = True
            case Start(epoch=epoch) if epoch in self._replies:
                self._playing = self._replies[epoch]
                self._playing.started = True
                self._unseen_since = time.monotonic()
                self._paused = False
                self._next_slice = 0
                # The idle pictures that wait in the output's queue are not worth waiting for.
                self._next_slot = self._taken + 1
            case Cancel(epoch=epoch):
                self._cancelled = max(self._cancelled, epoch)
                for number in [number for number in self._replies if number <= epoch]:
                    del self._replies[number]
                    self._speaking.pop(number).cancel()
                    self._tidy()
                if self._playing is not None and self._playing.epoch <= epoch:
                    self._playing = None
                    self._pictures.forget()
            case Pause():
                self._paused = True
                self._next_slot = self._taken + 1
                self._pictures.forget()
            case Resume():
                self._paused = False
            case SlotTaken(slot=slot):
                self._taken = max(self._taken, slot)
            case Rewind(slot=slot):
                self._taken = max(self._taken, slot - 1)
                self._next_slot = slot
                self._pictures.forget()
            case _:
                return
        self._wake()

    def _tidy(self) -> None:
        """A reply has ended: what its voice had needs no place any more."""
        if self._tasks is not None:
            self._tasks.start_soon(anyio.to_thread.run_sync, give_back)

    def _wake(self) -> None:
        """Let everybody who waits look again."""
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    # --- voice ----------------------------------------------------------------

    def _begin(self, epoch: int) -> None:
        assert self._tasks is not None
        reply = Reply(epoch=epoch, begun_at=time.monotonic())
        self._replies[epoch] = reply
        self._speaking[epoch] = anyio.CancelScope()
        self._tasks.start_soon(self._speak, reply)

    async def _speak(self, reply: Reply) -> None:
        """Speak the clauses of one reply, in order, as they come."""

        def told() -> None:
            self._prime(reply)
            self._wake()

        with self._speaking[reply.epoch]:
            while reply.to_speak or not reply.written:
                if not reply.to_speak:
                    await self._changed.wait()
                elif not await self._voices.speak(reply, reply.to_speak.popleft(), told=told):
                    self._report(ReplyLost(epoch=reply.epoch, text="no voice can speak it"))
                    if reply.asked_for_a_moment:
                        self._voices.apologise(reply)
                    reply.complete = True
                    self._wake()
                    return
            reply.complete = True
            told()

    def _prime(self, reply: Reply) -> None:
        """The reply can begin once its first picture's look-ahead is known. A voice that is slow to
        speak that far is waited for no longer than the look-ahead lasts."""
        if reply.primed or not reply.slices or reply.epoch <= self._cancelled:
            return
        look_ahead = self._pictures.look_ahead
        now = time.monotonic()
        if not reply.first_at:
            reply.first_at = now
        waited = (now - reply.first_at) * PLAYOUT_RATE_HZ
        if reply.knows(0, look_ahead) or waited >= look_ahead:
            reply.primed = True
            self._report(Primed(epoch=reply.epoch, voice_duration=now - reply.begun_at))

    # --- slices ---------------------------------------------------------------

    async def _make_room(self) -> None:
        """Wait until the output's queue wants a slice that can be made."""
        while True:
            changed = self._changed
            ahead = self._next_slot - self._taken
            if self._playing is not None and not self._paused:
                reply, number = self._playing, self._next_slice
                if not self._pictures.wanted:
                    ripe = number < reply.slices
                else:
                    ripe = ahead <= _IN_HAND or reply.knows(number, self._pictures.look_ahead)
                if ripe and ahead <= _SPEECH_LEAD:
                    return
            elif ahead <= _IDLE_LEAD and self._pictures.wanted:
                return
            await changed.wait()

    async def _make_slice(self) -> None:
        self._next_slot = max(self._next_slot, self._taken + 1)
        reply, slot = self._playing, self._next_slot
        in_store = slot - self._taken - 1
        if reply is not None and not self._paused and self._next_slice < reply.slices:
            number = self._next_slice
            # With speech a slot more is kept in hand.
            picture = await self._pictures.picture(slot, reply, number, in_store=in_store - 1)
            if self._playing is not reply or self._next_slot != slot or self._paused:
                return  # cancelled, paused or rewound while it was drawn
            if picture is not None:
                self._tell_first_picture(reply.epoch)
            last = reply.complete and number + 1 == reply.slices
            self._put(
                Slice(
                    slot=slot,
                    epoch=reply.epoch,
                    sound=_int16(reply.cut(number)),
                    picture=picture,
                    heard_to=reply.heard_to(number),
                    last=last,
                    repeats=picture is None and self._pictures.repeats(slot),
                )
            )
            self._next_slice += 1
            reply.sliced = self._next_slice
            if last:
                self._playing = None
                self._replies.pop(reply.epoch, None)
                self._speaking.pop(reply.epoch, None)
                if self._tasks is not None:  # not before: the voice needs the machine more
                    self._tasks.start_soon(self._pictures.restore)
                self._tidy()
        else:
            picture = await self._pictures.picture(slot, in_store=in_store)
            if self._next_slot != slot:
                return
            repeats = picture is None and self._pictures.repeats(slot)
            self._put(Slice(slot=slot, epoch=0, sound=None, picture=picture, repeats=repeats))
        self._next_slot = slot + 1

    def _tell_first_picture(self, epoch: int) -> None:
        since, self._unseen_since = self._unseen_since, None
        if since is not None:
            self._report(Pictured(epoch=epoch, face_duration=time.monotonic() - since))


def _int16(sound: Samples) -> bytes:
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
        served=() if settings.anew else composition.served("voice"),
        virtual=settings.fast,
    )

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
        try:
            detail = await speaker.load(tasks)
        except MaestraError as error:
            control.send(
                Failed(worker="speaker", kind=type(error).__name__, text=str(error), fatal=True)
            )
            tasks.cancel_scope.cancel()
            return
        control.send(Hello(worker="speaker", detail=detail))
        tasks.start_soon(listen, control)
        tasks.start_soon(listen, slices)
        await speaker.run()


def run(control: Connection, slices: Connection, settings: SpeakerSettings) -> None:
    """Be the speaker, until the session says stop or goes."""
    anyio.run(_serve, control, slices, settings)
