"""The playout worker: one slice every 40 ms, whatever else happens.

Three threads, so that the one that keeps time waits for nobody: a reader takes slices from the
speaker, a writer encodes and publishes, and the main one paces. Slot *n* is taken from the queue at
*n*/25 s after the anchor. An output that breaks is opened again while the slots go on; one that is
slow loses its oldest slices, with a report.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import TYPE_CHECKING

import numpy as np
from attrs import define, field, frozen

from maestra.core.playout import PlayoutQueue, Taken
from maestra.core.stream_url import StreamUrl
from maestra.ports.audio import FRAME_RATE, SLICE_SAMPLES
from maestra.ports.errors import StreamError, StreamRefused
from maestra.ports.streams import Publish

from ..colour import i420_shape
from ..messages import (
    Advance,
    Advanced,
    Begin,
    BrowsersCame,
    Failed,
    Flush,
    Hello,
    Pause,
    PlayedOut,
    Restored,
    Resume,
    Rewind,
    Silent,
    Slice,
    SliceStatistics,
    SlotTaken,
    SpeakerAnew,
    Started,
    Stop,
)
from .backoff import BackOff
from .tap import Tap

if TYPE_CHECKING:
    from maestra.ports.audio import Picture, Samples

    from ..config import Config

__all__ = ["PlayoutSettings", "playout", "run"]

_SLOT = 1 / FRAME_RATE

_BACKLOG = 12
"""Slices that may wait for the writer: half a second of a busy machine or network."""

_LATE = 0.02
"""A slot is late when it is taken this long (s) after its time: half of it is gone."""

_ASLEEP = 1.0
"""Further behind than this (s) the machine was asleep: the slots in between are skipped."""

_WELL = 2.0
"""Seconds that a connection must take before the next break begins with the shortest wait again."""

_RESTORED = FRAME_RATE
"""Slices that a new connection must take to be one: it is made in the background meanwhile, and
fewer may wait for it."""

_STARVED = 30.0
"""On a virtual clock, how long (s) to wait for a reply's next slice before going on without."""

_NO_PICTURE = 2.0
"""On a virtual clock, how long (s) to wait for an idle picture: more than a face is given."""

_FINISHING = 2.5
"""Seconds the writer has to finish what waits when the session ends."""


@frozen(kw_only=True)
class PlayoutSettings:
    """``url`` ``None`` publishes nothing: then the speaker makes no pictures, and slots are only
    counted."""

    config: Config
    url: StreamUrl | None
    fast: bool = False


@frozen(kw_only=True, eq=False)
class _Job:
    slot: int
    sound: bytes | None
    picture: bytes | None


@define(eq=False)
class _Writer:
    """Publishes in a thread of its own, and opens the output again when it breaks."""

    open_publish: Callable[[], Publish]
    size: int
    backoff: BackOff
    report: Callable[[str, str, bool], None]
    restored: Callable[[float], None]
    """Is told that the output is back, and for how long (s) it was gone."""
    patient: bool
    """Whether a full queue makes ``put`` wait; else the oldest job is dropped."""

    _jobs: deque[_Job] = field(factory=deque)
    _changed: threading.Condition = field(factory=threading.Condition)
    _closing: bool = False
    _refused: bool = False
    _publish: Publish | None = None
    _opened_at: float = 0.0
    _gone_at: float | None = None
    _taken: int = 0
    _retry_at: float = 0.0
    _reported: str = ""
    _picture: Picture | None = None
    _shown: bool = False
    _thread: threading.Thread | None = None
    _was_full: bool = False
    dropped: int = 0

    def open(self) -> None:
        """Open the output for the first time.

        :raises StreamRefused: it can never be written.
        :raises StreamError: it cannot now.
        """
        self._publish = self.open_publish()
        self._opened_at = time.monotonic()
        self._taken = 0

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def put(self, job: _Job) -> None:
        with self._changed:
            if self._refused:
                return
            if self.patient:
                self._changed.wait_for(lambda: len(self._jobs) < _BACKLOG or self._refused)
            full = len(self._jobs) >= _BACKLOG
            if full:
                lost = self._jobs.popleft()
                self.dropped += 1
                if lost.picture is not None and self._jobs[0].picture is None:
                    # What is dropped is a slice, not the look of all those that hold its picture.
                    held = self._jobs.popleft()
                    job_again = _Job(slot=held.slot, sound=held.sound, picture=lost.picture)
                    self._jobs.appendleft(job_again)
            self._jobs.append(job)
            self._changed.notify_all()
        if full and not self._was_full and self._gone_at is None:  # or why is known already
            self._gone()
            self.report("StreamError", "The output is too slow; its oldest slices are lost.", False)
        self._was_full = full

    def close(self) -> None:
        """Finish what waits, and the output."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_FINISHING)

    def _next(self) -> _Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closing)
            job = self._jobs.popleft() if self._jobs else None
            self._changed.notify_all()
            return job

    def _run(self) -> None:
        while (job := self._next()) is not None:
            fresh = self._seen(job)
            if not self._refused and self._ensure_open():
                self._write(job, fresh)
        if self._publish is not None:
            self._publish.close()

    def _seen(self, job: _Job) -> Picture | None:
        """The picture of ``job`` if it is a new one; remembered for a new connection."""
        if job.picture is None:
            return None
        flat = np.frombuffer(job.picture, np.uint8)
        self._picture = flat.reshape(i420_shape(self.size, self.size))
        return self._picture

    def _ensure_open(self) -> bool:
        if self._publish is not None:
            return True
        if time.monotonic() < self._retry_at:
            return False
        try:
            self.open()
        except StreamError as error:
            self._failed(error)
        return self._publish is not None

    def _write(self, job: _Job, fresh: Picture | None) -> None:
        assert self._publish is not None
        picture = fresh if fresh is not None or self._shown else self._picture
        try:
            self._publish.write(_samples(job.sound), picture, job.slot)
            self._shown = True
            self._went_well()
        except StreamError as error:
            self._publish.close()
            self._publish = None
            self._failed(error)
        except Exception as error:  # or the thread would die and nobody would know
            self._publish = None
            self._failed(StreamError(f"{type(error).__name__}: {error}"))

    def _went_well(self) -> None:
        self._taken += 1
        with self._changed:
            if self._gone_at is None or self._taken < _RESTORED:
                return
            gone, self._gone_at = self._gone_at, None
        self._reported = ""  # whatever comes now is told, or it would be taken to be well
        back = max(self._opened_at, time.monotonic() - self._taken * _SLOT)
        self.restored(max(0.0, back - gone))

    def _gone(self) -> None:
        with self._changed:
            self._taken = 0
            if self._gone_at is None:
                self._gone_at = time.monotonic()

    def _failed(self, error: StreamError) -> None:
        now = time.monotonic()
        self._shown = False
        if self._taken * _SLOT > _WELL:
            self.backoff.reset()
            self._reported = ""
        self._gone()
        self._retry_at = now + self.backoff.next()
        refused = isinstance(error, StreamRefused)
        if refused:
            with self._changed:
                self._refused = True
                self._jobs.clear()
                self._changed.notify_all()
        if str(error) != self._reported:
            self._reported = str(error)
            self.report(type(error).__name__, str(error), refused)


def _samples(sound: bytes | None) -> Samples:
    if sound is None:
        return np.zeros(SLICE_SAMPLES, np.float32)
    return np.frombuffer(sound, np.int16).astype(np.float32) / np.float32(32768)


class _Control:
    """The pipe to the session; unlike the pipe itself, more than one thread may send."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self.poll = connection.poll
        self.recv = connection.recv

    def recv_connection(self) -> Connection:
        """The end of a pipe that follows a message."""
        return Connection(recv_handle(self._connection))

    def send(self, message: object) -> None:
        with self._sending:
            self._connection.send(message)


class _Stopped(Exception):
    """The session told us to stop, or has gone."""


class _Playout:
    def __init__(
        self,
        control: _Control,
        slices: Connection,
        settings: PlayoutSettings,
        writer: _Writer | None,
    ) -> None:
        self._control = control
        self._slices = slices
        self._settings = settings
        self._writer = writer
        self._tap = Tap()
        self._queue: PlayoutQueue[Slice] = PlayoutQueue(punctual=not settings.fast)
        self._arrived = threading.Condition()
        self._spoken: Slice | None = None  # the last of speech that came
        self._late = 0
        self._lost = 0
        self._repeated = 0  # slots that show the last picture again, and shall
        self._behind: int | None = None  # slots since the one whose picture is shown
        self._furthest: int | None = None  # the most of that under sound, in this second

    # --- reading --------------------------------------------------------------

    def _start_reading(self) -> None:
        reader = threading.Thread(
            target=self.read, args=(self._slices,), name="reader", daemon=True
        )
        reader.start()

    def read(self, slices: Connection) -> None:
        """Take slices in, while there is room for them; the body of the reader thread."""
        while True:
            try:
                item = slices.recv()
            except (EOFError, OSError):
                return  # the speaker has gone: pictures are held from now on
            if isinstance(item, Slice):
                with self._arrived:
                    self._arrived.wait_for(lambda: self._queue.has_room)
                    self._queue.offer(item)
                    self._spoken = item if item.epoch else self._spoken
                    self._arrived.notify_all()

    # --- pacing ---------------------------------------------------------------

    def run(self) -> None:
        """Play until told to stop."""
        self._start_reading()
        try:
            anchor = self._await_begin()
            while True:
                if self._settings.fast:
                    self._handle(self._control.recv())
                else:
                    self._pace(anchor)
        except (EOFError, OSError, _Stopped):
            pass

    def _await_begin(self) -> float:
        while True:
            message = self._control.recv()
            if isinstance(message, Begin):
                return message.anchor
            self._handle(message)

    def _pace(self, anchor: float) -> None:
        deadline = anchor + self._queue.slot * _SLOT
        while (wait := deadline - time.monotonic()) > 0:
            if self._control.poll(wait):
                self._handle(self._control.recv())
        while self._control.poll(0):
            self._handle(self._control.recv())
        behind = time.monotonic() - deadline
        if behind > _ASLEEP:
            with self._arrived:
                self._queue.skip(self._queue.slot + int(behind / _SLOT))
        elif behind > _LATE:
            self._late += 1
        self._take()

    def _take(self) -> None:
        with self._arrived:
            slot = self._queue.slot
            taken = self._queue.take(slot)
            self._arrived.notify_all()
        if self._writer is not None:
            self._writer.put(_Job(slot=slot, sound=taken.sound, picture=taken.picture))
        self._tap.put(slot, taken.sound, taken.picture)
        self._look(taken)
        self._tell(taken)
        if (slot + 1) % FRAME_RATE == 0:
            self._tell_statistics(slot)

    def _look(self, taken: Taken[Slice]) -> None:
        """How old is the picture that is shown with this sound?"""
        repeats = taken.slice is not None and taken.slice.repeats
        self._repeated += repeats
        if taken.picture is not None or repeats:
            self._behind = 0
        elif self._behind is not None:
            self._behind += 1
        if taken.sound is not None and self._behind is not None:
            self._furthest = max(self._furthest or 0, self._behind)

    def _tell(self, taken: Taken[Slice]) -> None:
        self._tell_speaker(SlotTaken(slot=taken.slot))
        if taken.started:
            self._control.send(Started(epoch=taken.epoch, slot=taken.slot))
        if taken.finished:
            heard_to = self._queue.heard_to(taken.epoch)
            self._control.send(PlayedOut(epoch=taken.epoch, slot=taken.slot + 1, heard_to=heard_to))

    def _tell_speaker(self, message: object) -> None:
        try:
            self._slices.send(message)
        except OSError:
            pass  # the speaker has gone; the session knows

    def _tell_statistics(self, slot: int) -> None:
        with self._arrived:
            counts = self._queue.statistics()
        lost = 0
        if self._writer is not None:
            lost, self._lost = self._writer.dropped - self._lost, self._writer.dropped
        late, self._late = self._late, 0
        repeated, self._repeated = self._repeated, 0
        furthest, self._furthest = self._furthest, None
        written = counts.slots - counts.skipped - lost
        self._control.send(
            SliceStatistics(
                slot=slot,
                # Slots that were skipped count as time, too.
                fps=FRAME_RATE * max(0, written) / max(1, counts.slots),
                held=counts.held - repeated,
                underruns=counts.underruns,
                late=late,
                queued=counts.queued,
                av_offset=furthest / FRAME_RATE if furthest is not None else None,
            )
        )

    # --- what the session says --------------------------------------------------

    def _handle(self, message: object) -> None:
        match message:
            case Pause(epoch=epoch):
                with self._arrived:
                    self._queue.pause(epoch)
                self._tell_silent(epoch)
            case Resume(epoch=epoch):
                with self._arrived:
                    self._queue.resume(epoch)
            case Flush(epoch=epoch):
                with self._arrived:
                    flushed = min(epoch, self._queue.current or self._queue.heard[0] or epoch)
                    self._queue.flush(epoch)
                    self._arrived.notify_all()
                self._tell_silent(flushed)
                self._tell_speaker(Rewind(slot=self._queue.slot))
            case SpeakerAnew(epoch=epoch):
                self._slices = self._control.recv_connection()
                self._end(epoch)
                self._start_reading()
            case BrowsersCame():
                self._tap.attach(self._control.recv_connection())
            case Advance(slot=slot, epoch=epoch):
                self._advance(slot, epoch)
            case Stop():
                raise _Stopped
            case _:
                pass

    def _end(self, epoch: int) -> None:
        """What there is of reply ``epoch``, or of the one that is being played, is played, and then
        it is over: no more will come."""
        with self._arrived:
            epoch = epoch or self._queue.current
            if epoch:
                spoken = self._spoken
                heard_to = self._queue.heard_to(epoch)
                if spoken is not None and spoken.epoch == epoch:
                    heard_to = spoken.heard_to
                end = Slice(
                    slot=self._queue.slot,
                    epoch=epoch,
                    sound=None,
                    picture=None,
                    heard_to=heard_to,
                    last=True,
                )
                self._queue.offer(end)

    def _tell_silent(self, epoch: int) -> None:
        self._control.send(
            Silent(epoch=epoch, slot=self._queue.slot, heard_to=self._queue.heard_to(epoch))
        )

    # --- on a virtual clock -----------------------------------------------------

    def _advance(self, slot: int, epoch: int) -> None:
        while self._queue.slot < slot:
            self._await_slice(epoch)
            self._take()
        self._control.send(Advanced(slot=self._queue.slot))

    def _await_slice(self, epoch: int) -> None:
        """Wait until what belongs into the next slot is there."""
        begun = time.monotonic()
        while True:
            with self._arrived:
                speech = epoch > 0 and self._queue.is_waited_for(epoch)
                there = self._queue.queued > 0 if speech else self._queue.covered
                if there or not (speech or self._writer is not None):
                    return
                self._arrived.wait(0.05)
            waited = time.monotonic() - begun
            if waited > (_STARVED if speech else _NO_PICTURE):
                if speech:
                    text = f"The next slice of reply {epoch} did not come for {_STARVED:g} s."
                    self._control.send(Failed(worker="playout", kind="TimeoutError", text=text))
                return
            while self._control.poll(0):
                self._handle(self._control.recv())


def playout(
    control: Connection,
    slices: Connection,
    settings: PlayoutSettings,
    open_publish: Callable[[], Publish] | None,
) -> None:
    """Serve one session; see the module.

    :param open_publish: makes a new connection to the output; ``None`` publishes nothing.
    """

    session = _Control(control)

    def report(kind: str, text: str, fatal: bool) -> None:
        try:
            session.send(Failed(worker="publish", kind=kind, text=text, fatal=fatal))
        except OSError:
            pass  # the session has gone; the pacing thread sees that, too

    def restored(after: float) -> None:
        try:
            session.send(Restored(worker="publish", after=after))
        except OSError:
            pass

    writer = None
    if open_publish is not None and settings.url is not None:
        stream = settings.config.stream
        writer = _Writer(
            open_publish=open_publish,
            size=settings.config.face.size,
            backoff=BackOff(stream.reconnect_min, stream.reconnect_max),
            report=report,
            restored=restored,
            patient=settings.fast,
        )
        if settings.url.is_file:
            try:
                writer.open()  # so that a bad path is refused before the lesson begins
            except StreamError as error:
                report(type(error).__name__, str(error), True)
                return
        writer.start()
    session.send(Hello(worker="playout"))
    try:
        _Playout(session, slices, settings, writer).run()
    finally:
        if writer is not None:
            writer.close()


def run(control: Connection, slices: Connection, settings: PlayoutSettings) -> None:
    """Play out until the session says stop or goes."""
    from .. import composition

    url = settings.url
    if url is not None and (complaint := composition.encoder_complaint(settings.config)):
        control.send(Failed(worker="publish", adapter="nvenc", kind="StreamError", text=complaint))
    playout(
        control,
        slices,
        settings,
        (lambda: composition.publish(settings.config, url)) if url is not None else None,
    )
