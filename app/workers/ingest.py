"""The ingest worker: from an input, however it behaves, to sound that never stops.

In real time sample *n* of the session is heard *n*/44100 s after the anchor, whatever the input
does. A file is played at that pace. A live input's sound is laid where it arrives; what is missing
is bridged with silence, and what comes too late, or in too large a burst, is dropped and reported,
so that the ear is never behind by more than ``bridge_after``. Faster than real time (files only)
the pipe's own back-pressure is the pace.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import TYPE_CHECKING

import numpy as np
from attrs import define, field, frozen

from maestra.core.media_time import from_samples
from maestra.core.stream_url import StreamUrl
from maestra.ports.audio import EAR_RATE_HZ, AudioChunk
from maestra.ports.errors import MaestraError, StreamClosed, StreamError, StreamRefused
from maestra.ports.streams import Ingest

from ..messages import (
    Begin,
    EndOfStream,
    Failed,
    Feed,
    Hello,
    InputLost,
    Microphone,
    Restored,
    Stop,
)
from .backoff import BackOff

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["IngestSettings", "Timeline", "ingest", "run"]

CHUNK = EAR_RATE_HZ // 50
"""Samples of a chunk: 20 ms."""

_AHEAD = round(0.06 * EAR_RATE_HZ)
"""How far (samples) a live input may run ahead of the clock: senders send in small bunches."""

_BURST = round(0.01 * EAR_RATE_HZ)
"""Pieces that come closer together than this (samples) have waited for us together."""

_WORTH_SAYING = 0.1
"""Less than this (s) of sound left out is how clocks differ, and not worth a report."""

_PERSISTENT = 0.5
"""Seconds after which an input that is always late is simply further away than it was."""

_GONE = 1.0
"""An input that was late for this long (s) was gone, and it is worth saying that it is back."""

_HELD = 5.0
"""Seconds of sound that may wait between the reader and the clock."""


@frozen(kw_only=True)
class IngestSettings:
    """``fast`` reads a file as fast as it is taken. ``end_on_close`` ends the input when a live
    publisher goes; else it may come back. ``ca_file`` is what its server is judged by. Times in
    seconds."""

    url: StreamUrl
    fast: bool = False
    end_on_close: bool = False
    bridge_after: float = 0.15
    reconnect_min: float = 0.5
    reconnect_max: float = 10.0
    ca_file: str = ""


@define
class Timeline:
    """Lays what comes in onto the session's samples. Pure: ``now`` is always an argument.

    ``now`` and all positions count samples since the session began.
    """

    bridge_after: int
    next: int = 0
    _base: int | None = None
    _read: int = 0
    _late_since: int | None = None
    _first: list[Samples] = field(factory=list)
    _first_at: int = 0
    dropped: int = 0

    def connected(self) -> None:
        """A new connection: where its sound belongs is seen when it comes."""
        self._base = None
        self._read = 0
        self._late_since = None
        self._first.clear()

    def arrive(self, samples: Samples, now: int) -> Samples:
        """What of ``samples``, the next of this connection, is to be heard, from ``next`` on."""
        if self._base is None:
            return self._arrive_first(samples, now)
        return self._lay(samples, now)

    def _arrive_first(self, samples: Samples, now: int) -> Samples:
        """Wait for the end of the burst a connection begins with: its last sample is now."""
        if not self._first or now - self._first_at < _BURST:
            self._first.append(samples)
            self._first_at = now
            return np.zeros(0, np.float32)
        burst = np.concatenate(self._first)
        self._first.clear()
        self._base = self._first_at - len(burst)
        # What is older than what has been bridged already was never ours to hear.
        old = min(len(burst), max(0, self.next - self._base))
        self._read = old
        return np.concatenate([self._lay(burst[old:], self._first_at), self._lay(samples, now)])

    def _lay(self, samples: Samples, now: int) -> Samples:
        assert self._base is not None
        begin = self._base + self._read
        self._read += len(samples)
        ahead = max(0, begin + len(samples) - now - _AHEAD)
        if ahead:
            # A burst, or a sender whose clock is fast: this much of it is for no time at all.
            cut = min(ahead, len(samples))
            self._base -= ahead
            begin += cut - ahead
            samples = samples[cut:]
            self.dropped += cut
        late = self.next - begin
        if late <= 0:
            self._late_since = None
            gap = np.zeros(-late, np.float32)
            return self._give(np.concatenate([gap, samples]) if len(gap) else samples)
        if late <= self.bridge_after or self._is_persistent(now):
            # A little late is a sender whose clock is slow, or a network that got slower.
            self._base += late
            self._late_since = None
            return self._give(samples)
        if self._late_since is None:
            self._late_since = now
        kept = samples[late:]
        self.dropped += len(samples) - len(kept)
        return self._give(kept)

    def _is_persistent(self, now: int) -> bool:
        return self._late_since is not None and now - self._late_since > _PERSISTENT * EAR_RATE_HZ

    def missing(self, now: int) -> int:
        """How many samples of silence are due by ``now``, in whole chunks."""
        overdue = now - self.bridge_after - self.next
        return -(-overdue // CHUNK) * CHUNK if overdue > 0 else 0

    def bridge(self, count: int) -> Samples:
        """``count`` samples of silence, from ``next`` on."""
        return self._give(np.zeros(count, np.float32))

    def _give(self, samples: Samples) -> Samples:
        self.next += len(samples)
        return samples


class _Chunks:
    """Cuts what is heard into chunks of 20 ms, each wholly bridged or wholly not."""

    def __init__(self, send: Callable[[object], None]) -> None:
        self._send = send
        self._rest = np.zeros(0, np.float32)
        self._start = 0
        self._bridged = False

    def put(self, samples: Samples, *, bridged: bool = False) -> None:
        if bridged != self._bridged:
            self.flush()
            self._bridged = bridged
        self._rest = np.concatenate([self._rest, samples]) if len(self._rest) else samples
        while len(self._rest) >= CHUNK:
            self._emit(CHUNK)

    def flush(self) -> None:
        if len(self._rest):
            self._emit(len(self._rest))

    def _emit(self, count: int) -> None:
        chunk = AudioChunk(start=self._start, rate_hz=EAR_RATE_HZ, samples=self._rest[:count])
        self._rest = self._rest[count:]
        self._start += count
        self._send(Feed(chunk=chunk, bridged=self._bridged))


class _Ended(Exception):
    """The session told us to stop."""


def ingest(
    control: Connection,
    settings: IngestSettings,
    open_ingest: Callable[[], Ingest],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Serve one session; see the module.

    :param open_ingest: makes a new connection to the input.
    """
    if settings.url.is_file:
        _ingest_file(control, settings, open_ingest, clock)
    else:
        control.send(Hello(worker="ingest"))
        if (anchor := _await_begin(control)) is not None:
            _Live(control, settings, open_ingest, clock, anchor).run()


def _await_begin(control: Connection) -> float | None:
    while True:
        match control.recv():
            case Begin(anchor=anchor):
                return anchor
            case Stop():
                return None
            case _:
                pass


def _stopped(control: Connection, timeout: float = 0.0) -> bool:
    while control.poll(timeout):
        if isinstance(control.recv(), Stop):
            return True
        timeout = 0.0
    return False


# --- files ---------------------------------------------------------------------


def _ingest_file(
    control: Connection,
    settings: IngestSettings,
    open_ingest: Callable[[], Ingest],
    clock: Callable[[], float],
) -> None:
    source = open_ingest()
    pieces = source.chunks()
    try:
        first = next(pieces, None)  # so that a bad file is refused before the lesson begins
    except StreamError as error:
        control.send(_failed(error, fatal=True))
        return
    control.send(Hello(worker="ingest"))
    if (anchor := _await_begin(control)) is None:
        return
    sent = 0

    def send(message: object) -> None:
        nonlocal sent
        assert isinstance(message, Feed)
        sent = message.chunk.end
        if not settings.fast:
            # A chunk can be known only once its last sample has sounded.
            if _stopped(control, max(0.0, anchor + sent / EAR_RATE_HZ - clock())):
                raise _Ended
        elif sent % (50 * CHUNK) == 0 and _stopped(control):
            raise _Ended
        control.send(message)

    chunks = _Chunks(send)
    try:
        if first is not None:
            chunks.put(first)
        for piece in pieces:
            chunks.put(piece)
    except StreamError as error:  # what could be heard of it was heard
        control.send(_failed(error))
    except _Ended:
        return
    finally:
        source.close()
    try:
        chunks.flush()
    except _Ended:
        return
    control.send(EndOfStream())
    while not _stopped(control, 1.0):
        pass


def _failed(error: MaestraError, *, fatal: bool = False) -> Failed:
    return Failed(worker="ingest", kind=type(error).__name__, text=str(error), fatal=fatal)


# --- live inputs ---------------------------------------------------------------


class _Connected:
    """The reader has a new connection."""


class _Live:
    """A reader thread that waits for the input, and a loop that keeps time."""

    def __init__(
        self,
        control: Connection,
        settings: IngestSettings,
        open_ingest: Callable[[], Ingest],
        clock: Callable[[], float],
        anchor: float,
    ) -> None:
        self._control = control
        self._settings = settings
        self._open = open_ingest
        self._clock = clock
        self._anchor = anchor
        self._timeline = Timeline(bridge_after=round(settings.bridge_after * EAR_RATE_HZ))
        self._chunks = _Chunks(control.send)
        self._arrivals: queue.Queue[tuple[float, Samples | _Connected | StreamError]] = queue.Queue(
            maxsize=round(_HELD * 50)
        )
        self._stopping = threading.Event()
        self._source: Ingest | None = None
        self._has_sound = False
        self._lost = True
        self._lost_at: float | None = None
        self._broken = False
        self._reported = ""

    def run(self) -> None:
        # A daemon: FFmpeg may be waiting for a publisher, and is not to be waited for.
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        try:
            while not _stopped(self._control):
                if self._step():
                    self._chunks.flush()
                    self._control.send(EndOfStream())
                    while not _stopped(self._control, 1.0):
                        pass
                    return
        finally:
            self._stopping.set()
            if self._source is not None:
                self._source.close()

    # --- reading --------------------------------------------------------------

    def _read(self) -> None:
        backoff = BackOff(self._settings.reconnect_min, self._settings.reconnect_max)
        while not self._stopping.is_set():
            begun = self._clock()
            error = self._read_once(backoff)
            self._arrivals.put((self._clock(), error))
            if self._is_last(error):
                return
            # Who waits for a publisher must be there when it comes back.
            awaited = self._settings.url.listen or self._settings.url.is_browser
            wait = backoff.shortest if awaited else backoff.next()
            # A server that was waited for has been let alone for that long already.
            self._stopping.wait(max(backoff.shortest, wait - (self._clock() - begun)))

    def _read_once(self, backoff: BackOff) -> StreamError:
        """Read one connection to its end; why it ended."""
        try:
            self._source = self._open()
            heard = False
            for piece in self._source.chunks():
                if not heard:
                    heard = True
                    backoff.reset()
                    self._arrivals.put((self._clock(), _Connected()))
                self._arrivals.put((self._clock(), piece))
        except StreamError as error:
            return error
        except Exception as error:  # nobody else would notice that this thread has ended
            url = self._settings.url
            text = str(error).replace(url.address, str(url))  # it may hold a password
            return StreamError(f"{url} failed: {type(error).__name__}: {text}.")
        finally:
            if self._source is not None:
                self._source.close()
        return StreamClosed(f"{self._settings.url} has ended.")

    def _is_last(self, error: StreamError) -> bool:
        if isinstance(error, StreamClosed):
            return self._settings.end_on_close
        return isinstance(error, StreamRefused)

    # --- keeping time ---------------------------------------------------------

    def _now(self, at: float | None = None) -> int:
        moment = self._clock() if at is None else at
        return int((moment - self._anchor) * EAR_RATE_HZ)

    def _step(self) -> bool:
        """Take one arrival or let 10 ms pass, then bridge; true if the input is over."""
        try:
            at, arrival = self._arrivals.get(timeout=0.01)
        except queue.Empty:
            self._bridge()
            return False
        match arrival:
            case _Connected():
                self._timeline.connected()
                self._has_sound = True
                self._reported = ""
            case StreamError():
                self._has_sound = False
                return self._broke(arrival)
            case samples:
                before = self._timeline.dropped
                heard = self._timeline.arrive(samples, self._now(at))
                self._chunks.put(heard)
                if len(heard) and self._timeline.dropped == before:
                    self._report_dropped()
                    self._found()
        if self._arrivals.empty():
            self._bridge()
        return False

    def _bridge(self) -> None:
        missing = self._timeline.missing(self._now())
        if not missing:
            return
        if not self._lost:
            self._lost = True
            self._note_lost()
            self._control.send(
                InputLost(
                    at=from_samples(self._timeline.next, EAR_RATE_HZ),
                    text=f"{self._settings.url} is late; silence takes its place"
                    if self._has_sound
                    else f"{self._settings.url} is gone; silence takes its place",
                )
            )
        self._chunks.put(self._timeline.bridge(missing), bridged=True)

    def _note_lost(self) -> None:
        if self._lost_at is None:
            self._lost_at = self._clock()

    def _found(self) -> None:
        """There is sound."""
        self._lost = False
        if self._lost_at is None:
            return
        gone, self._lost_at = self._clock() - self._lost_at, None
        if self._broken or gone > _GONE:
            self._broken = False
            self._control.send(Restored(worker="ingest", after=gone))

    def _report_dropped(self) -> None:
        if self._timeline.dropped < _WORTH_SAYING * EAR_RATE_HZ:
            return
        seconds, self._timeline.dropped = self._timeline.dropped / EAR_RATE_HZ, 0
        self._control.send(
            InputLost(
                at=from_samples(self._timeline.next, EAR_RATE_HZ),
                text=f"{self._settings.url} came {seconds:.2f} s too late; that much is left out",
            )
        )

    def _broke(self, error: StreamError) -> bool:
        """The connection is over; true if the input is, too."""
        if isinstance(error, StreamClosed) and self._settings.end_on_close:
            return True
        self._broken = True
        self._note_lost()
        if str(error) != self._reported:
            self._reported = str(error)
            self._control.send(_failed(error, fatal=isinstance(error, StreamRefused)))
        return False


def run(control: Connection, settings: IngestSettings) -> None:
    """Bring the sound in, until the session says stop or goes."""
    from .. import composition

    microphone = None
    if settings.url.is_browser:
        assert isinstance(control.recv(), Microphone)
        microphone = Connection(recv_handle(control))
    ingest(control, settings, lambda: composition.ingest(settings, microphone))
