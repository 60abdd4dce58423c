"""However the input behaves, the session's sound follows the wall clock and never stops."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

import numpy as np
import pytest
from attrs import define, field
from fakes import streams
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from maestra.adapters.streams.ingest import PyavIngest
from maestra.app.messages import (
    Begin,
    EndOfStream,
    Failed,
    Feed,
    Hello,
    InputLost,
    Restored,
    Stop,
)
from maestra.app.workers import Worker
from maestra.app.workers.ingest import CHUNK, IngestSettings, Timeline, ingest
from maestra.core.media_time import from_samples
from maestra.core.stream_url import StreamUrl
from maestra.ports.errors import StreamClosed, StreamError, StreamRefused
from maestra.ports.streams import Ingest

RATE = 44_100
LIVE = StreamUrl.parse("rtmp://127.0.0.1/live/student")
PIECE = np.full(CHUNK, 0.25, np.float32)


# --- the timeline ----------------------------------------------------------------


def timeline() -> Timeline:
    return Timeline(bridge_after=round(0.15 * RATE))


def test_what_comes_steadily_is_heard_where_it_comes() -> None:
    line = timeline()
    line.connected()
    now = CHUNK
    assert len(line.arrive(PIECE, now)) == 0  # is it the first of a burst?
    for number in range(2, 50):
        now += CHUNK
        line.arrive(PIECE, now)
        assert line.next == number * CHUNK == now
        assert line.missing(now) == 0
    assert line.dropped == 0


def test_the_end_of_the_burst_a_connection_begins_with_is_now() -> None:
    line = timeline()
    now = RATE
    line.bridge(line.missing(now))
    before = line.next
    line.connected()
    for _ in range(25):
        assert len(line.arrive(PIECE, now)) == 0
    heard = line.arrive(PIECE, now + CHUNK)
    assert len(heard) == now + CHUNK - before
    assert line.next == now + CHUNK
    assert line.dropped == 0


def test_a_stall_is_bridged_and_the_burst_after_it_is_dropped() -> None:
    line = timeline()
    line.connected()
    now = CHUNK
    for _ in range(10):
        line.arrive(PIECE, now)
        now += CHUNK
    now += RATE  # one second of nothing
    line.bridge(line.missing(now))
    assert now - RATE * 0.15 <= line.next <= now
    kept = sum(len(line.arrive(PIECE, now)) for _ in range(50))
    assert kept + line.dropped == 50 * CHUNK
    assert kept <= 0.35 * RATE
    assert line.next <= now + 0.07 * RATE


def test_an_input_that_moved_away_is_followed() -> None:
    line = timeline()
    line.connected()
    now = CHUNK
    line.arrive(PIECE, now)
    lag = round(0.4 * RATE)  # from now on everything comes this much later
    heard = 0
    for _ in range(100):
        now += CHUNK
        line.bridge(line.missing(now + lag))
        heard += len(line.arrive(PIECE, now + lag))
    assert heard > 60 * CHUNK


@settings(max_examples=50, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 40_000), st.integers(0, 6), st.integers(1, 9_000)), max_size=60
    ),
    again=st.sets(st.integers(0, 60)),
)
def test_the_timeline_keeps_to_the_clock_whatever_comes(
    steps: Sequence[tuple[int, int, int]], again: set[int]
) -> None:
    line = timeline()
    line.connected()
    now = longest = 0
    for number, (wait, pieces, length) in enumerate(steps):
        now += wait
        longest = max(longest, length)
        if number in again:
            line.connected()
        for _ in range(pieces):
            before = line.next
            given_ = line.arrive(np.ones(length, np.float32), now)
            assert line.next == before + len(given_)
        line.bridge(line.missing(now))
        # Never behind by more than the bridge, nor ahead by more than a sender's small bunch
        # and one piece that was laid down right after a bridge.
        assert now - 0.15 * RATE <= line.next
        assert line.next <= now + 0.06 * RATE + longest + CHUNK


# --- the worker --------------------------------------------------------------------


@define
class Scripted:
    """Sound by a script: a number is a wait (s), an array is sound, an error is raised."""

    script: Sequence[float | NDArray[np.float32] | Exception]
    closed: threading.Event = field(factory=threading.Event)

    def chunks(self) -> Iterator[NDArray[np.float32]]:
        due = time.monotonic()
        for step in self.script:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, np.ndarray):
                yield step
            else:
                due += step
                self.closed.wait(max(0.0, due - time.monotonic()))
            if self.closed.is_set():
                return

    def close(self) -> None:
        self.closed.set()


@contextlib.contextmanager
def worker(
    lesson: IngestSettings, open_ingest: Callable[[], Ingest]
) -> Iterator[tuple[Connection, threading.Thread]]:
    ours, theirs = Pipe(duplex=True)
    thread = threading.Thread(target=ingest, args=(theirs, lesson, open_ingest), daemon=True)
    thread.start()
    try:
        yield ours, thread
    finally:
        with contextlib.suppress(OSError):
            ours.send(Stop())
        while thread.is_alive() and ours.poll(0.05):
            ours.recv()
        thread.join(2)
        assert not thread.is_alive()
        ours.close()


def collect(ours: Connection, seconds: float, *, until: type = EndOfStream) -> list[object]:
    """What is said within ``seconds``, or up to the end of the input or the first ``until``."""
    messages = []
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0 and ours.poll(left):
        messages.append(ours.recv())
        if isinstance(messages[-1], EndOfStream | until):
            break
    return messages


def feeds(messages: Sequence[object]) -> list[Feed]:
    """The sound, which must be without a gap."""
    found = [message for message in messages if isinstance(message, Feed)]
    expected = 0
    for feed in found:
        assert feed.chunk.start == expected
        assert feed.chunk.rate_hz == RATE
        expected = feed.chunk.end
    return found


def live(
    *scripts: Sequence[float | NDArray[np.float32] | Exception],
) -> Callable[[], Ingest]:
    """Connections that follow one script each; after the last there is only silence."""
    waiting = iter(scripts)
    return lambda: Scripted(next(waiting, [60.0]))


def steady(seconds: float) -> list[float | NDArray[np.float32] | Exception]:
    return [step for _ in range(round(seconds * 50)) for step in (0.02, PIECE)]


def test_a_file_as_fast_as_it_is_taken(tmp_path: Path) -> None:
    url = StreamUrl.parse(str(streams.write_tone(tmp_path / "tone.wav", seconds=3)))
    with worker(IngestSettings(url=url, fast=True), lambda: PyavIngest(url)) as (ours, _):
        assert isinstance(ours.recv(), Hello)
        ours.send(Begin(anchor=0.0))
        messages = collect(ours, 5)
    sound = np.concatenate([feed.chunk.samples for feed in feeds(messages)])
    assert isinstance(messages[-1], EndOfStream)
    assert len(sound) == pytest.approx(3 * RATE, abs=2)
    assert streams.pitch_of(sound) == pytest.approx(440, abs=0.2)


def test_a_file_in_real_time(tmp_path: Path) -> None:
    url = StreamUrl.parse(str(streams.write_tone(tmp_path / "tone.wav", seconds=0.6)))
    with worker(IngestSettings(url=url), lambda: PyavIngest(url)) as (ours, _):
        ours.recv()
        anchor = time.monotonic()
        ours.send(Begin(anchor=anchor))
        delays = []
        while not isinstance(message := ours.recv(), EndOfStream):
            assert isinstance(message, Feed)
            delays.append(time.monotonic() - anchor - message.chunk.end / RATE)
            assert len(message.chunk.samples) == CHUNK or message.chunk.end > 0.59 * RATE
    assert min(delays) >= 0 and max(delays) < 0.2


def test_a_bad_file_is_refused_before_the_lesson(tmp_path: Path) -> None:
    url = StreamUrl.parse(str(tmp_path / "none.wav"))
    with worker(IngestSettings(url=url), lambda: PyavIngest(url)) as (ours, _):
        message = ours.recv()
        assert isinstance(message, Failed)
        assert (message.worker, message.kind, message.fatal) == ("ingest", "StreamRefused", True)
        assert "There is no file" in message.text


def test_a_file_that_turns_out_to_be_damaged_is_heard_and_reported() -> None:
    url = StreamUrl.parse("lesson.wav")
    script = [PIECE] * 10 + [StreamError("lesson.wav is cut short.")]
    with worker(IngestSettings(url=url, fast=True), lambda: Scripted(script)) as (ours, _):
        ours.recv()
        ours.send(Begin(anchor=0.0))
        messages = collect(ours, 5)
    assert sum(len(feed.chunk.samples) for feed in feeds(messages)) == 10 * CHUNK
    failed = [message for message in messages if isinstance(message, Failed)]
    assert [message.fatal for message in failed] == [False]
    assert isinstance(messages[-1], EndOfStream)


def test_a_late_input_is_bridged_with_silence() -> None:
    script = [*steady(0.4), 0.6, *steady(0.4), 60.0]
    with worker(IngestSettings(url=LIVE), live(script)) as (ours, _):
        ours.recv()
        anchor = time.monotonic()
        ours.send(Begin(anchor=anchor))
        messages = collect(ours, 1.3)
        elapsed = time.monotonic() - anchor
    found = feeds(messages)
    end = found[-1].chunk.end / RATE
    assert elapsed - 0.25 < end <= elapsed + 0.1
    lost = [message for message in messages if isinstance(message, InputLost)]
    assert lost and lost[0].text.startswith("rtmp://127.0.0.1/live/*** is late")
    assert from_samples(round(0.3 * RATE), RATE) < lost[0].at < from_samples(RATE, RATE)
    real = [feed for feed in found if feed.chunk.samples.any()]
    assert not any(feed.bridged for feed in real)
    bridged = sum(len(feed.chunk.samples) for feed in found if feed.bridged) / RATE
    assert 0.3 < bridged < 0.9
    assert not any(isinstance(message, Restored) for message in messages)  # it was not gone


def test_a_broken_input_is_tried_again_ever_more_slowly() -> None:
    opened: list[float] = []
    refuse = StreamError("the server refuses the connection.")
    open_next = live([refuse], [refuse], [refuse], [refuse], [*steady(1.0), 60.0])

    def open_ingest() -> Ingest:
        opened.append(time.monotonic())
        return open_next()

    lesson = IngestSettings(url=LIVE, reconnect_min=0.1, reconnect_max=0.2)
    with worker(lesson, open_ingest) as (ours, _):
        ours.recv()
        ours.send(Begin(anchor=time.monotonic()))
        messages = collect(ours, 5.0, until=Restored) + collect(ours, 0.2)
    waits = np.diff(opened)
    shortest = [0.1, 0.2, 0.2, 0.2]
    assert len(waits) == len(shortest)
    assert all(wait >= short - 0.01 for wait, short in zip(waits, shortest, strict=True))
    assert min(waits[2:]) < 0.35, "and no more slowly than that"
    assert any(feed.chunk.samples.any() for feed in feeds(messages))
    failed = [message for message in messages if isinstance(message, Failed)]
    assert [message.text for message in failed] == [str(refuse)]  # once, not every time
    assert not failed[0].fatal
    (restored,) = (message for message in messages if isinstance(message, Restored))
    assert restored.worker == "ingest"
    assert restored.after == pytest.approx(opened[-1] - opened[0], abs=0.3)


def test_a_server_that_was_waited_for_is_asked_again_soon() -> None:
    """Nobody sends anything yet: the student may begin at any time."""
    opened: list[float] = []
    mute = StreamError("the server has not answered.")
    waiting: list[float | NDArray[np.float32] | Exception] = [0.3, mute]
    open_next = live(*[waiting] * 5, [60.0])

    def open_ingest() -> Ingest:
        opened.append(time.monotonic())
        return open_next()

    lesson = IngestSettings(url=LIVE, reconnect_min=0.05, reconnect_max=0.3)
    with worker(lesson, open_ingest) as (ours, _):
        ours.recv()
        ours.send(Begin(anchor=time.monotonic()))
        deadline = time.monotonic() + 10
        while len(opened) < 6:
            assert time.monotonic() < deadline
            collect(ours, 0.05)
    waits = np.diff(opened)
    assert min(waits) > 0.34 and float(np.median(waits)) < 0.45


@pytest.mark.parametrize("where", ["opening", "reading"])
def test_a_reader_that_fails_in_a_way_nobody_thought_of_is_tried_again(where: str) -> None:
    """FFmpeg's bindings raise what they like, and a thread that ends leaves only silence."""
    bad = IndexError(f"no stream in {LIVE.address}")
    sources = iter([Scripted([*steady(0.1), bad]), Scripted([*steady(0.6), 60.0])])
    opened: list[Scripted] = []

    def open_ingest() -> Ingest:
        if where == "opening" and not opened:
            opened.append(next(sources))
            raise bad
        opened.append(next(sources))
        return opened[-1]

    lesson = IngestSettings(url=LIVE, reconnect_min=0.1)
    with worker(lesson, open_ingest) as (ours, _):
        ours.recv()
        ours.send(Begin(anchor=time.monotonic()))
        messages = collect(ours, 1.0)
    failed = [message for message in messages if isinstance(message, Failed)]
    assert [(message.kind, message.fatal) for message in failed] == [("StreamError", False)]
    shown = "rtmp://127.0.0.1/live/***"
    assert failed[0].text == f"{shown} failed: IndexError: no stream in {shown}."
    heard = sum(feed.chunk.samples.any() for feed in feeds(messages))
    assert heard >= 16
    assert opened[0].closed.is_set() == (where == "reading")


@pytest.mark.parametrize("end_on_close", [True, False])
def test_a_publisher_that_goes(end_on_close: bool) -> None:
    script = [*steady(0.2), StreamClosed("it has ended.")]
    lesson = IngestSettings(url=LIVE, end_on_close=end_on_close, reconnect_min=0.1)
    with worker(lesson, live(script, [*steady(0.2), 60.0])) as (ours, _):
        ours.recv()
        ours.send(Begin(anchor=time.monotonic()))
        messages = collect(ours, 0.9)
    found = feeds(messages)
    assert isinstance(messages[-1], EndOfStream) == end_on_close
    heard = sum(feed.chunk.samples.any() for feed in found)
    assert heard >= (8 if end_on_close else 16)


def test_an_input_that_may_not_be_opened_is_fatal() -> None:
    with worker(IngestSettings(url=LIVE), live([StreamRefused("not allowed.")])) as (ours, _):
        ours.recv()
        ours.send(Begin(anchor=time.monotonic()))
        messages = collect(ours, 5.0, until=Failed) + collect(ours, 0.2)
    failed = [message for message in messages if isinstance(message, Failed)]
    assert [message.fatal for message in failed] == [True]


def test_a_student_whose_machine_restarts_in_mid_lesson(tmp_path: Path) -> None:
    tone = streams.write_tone(tmp_path / "tone.wav", seconds=20)
    address = f"rtmp://127.0.0.1:{streams.free_port()}/live/student"
    url = StreamUrl.parse(f"{address}?listen=1")
    lesson = IngestSettings(url=url, reconnect_min=0.2)
    with worker(lesson, lambda: PyavIngest(url)) as (ours, _):
        ours.recv()
        anchor = time.monotonic()
        ours.send(Begin(anchor=anchor))
        messages: list[object] = []
        for _ in range(2):
            with streams.publisher(tone, address):
                deadline = time.monotonic() + 10
                heard = 0
                while heard < RATE // 3:
                    assert time.monotonic() < deadline
                    message = ours.recv()
                    messages.append(message)
                    if isinstance(message, Feed) and message.chunk.samples.any():
                        heard += len(message.chunk.samples)
        elapsed = time.monotonic() - anchor
        found = feeds(messages)
    assert abs(found[-1].chunk.end / RATE - elapsed) < 0.4
    assert any(isinstance(message, InputLost) for message in messages)


def test_waiting_for_a_publisher_can_be_ended_at_once_and_frees_the_port() -> None:
    port = streams.free_port()
    url = StreamUrl.parse(f"rtmp://127.0.0.1:{port}/live/student?listen=1")
    with Worker("ingest", IngestSettings(url=url)) as process:
        process.send(Begin(anchor=time.monotonic() + 60))  # no silence is due: nobody reads here
        streams.await_listener(port)
        begun = time.monotonic()
        process.stop()
        process.join(grace=5)
        assert time.monotonic() - begun < 2
    socket.create_server(("127.0.0.1", port)).close()
