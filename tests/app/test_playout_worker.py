"""One slice every 40 ms, whatever the speaker, the viewer and the machine do."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe
from multiprocessing.reduction import send_handle
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from attrs import define, evolve, field
from fakes import streams
from fakes.publish import FakePublish

from maestra.adapters.streams.publish import PyavPublish
from maestra.app.config import Config
from maestra.app.messages import (
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
    Shown,
    Silent,
    Slice,
    SliceStatistics,
    SlotTaken,
    SpeakerAnew,
    Started,
    Stop,
    Watch,
)
from maestra.app.workers.playout import PlayoutSettings, playout
from maestra.core.stream_url import StreamUrl
from maestra.ports.errors import StreamRefused
from maestra.ports.streams import Publish

SIZE = 64
URL = StreamUrl.parse("rtmp://127.0.0.1/live/teacher")
M = TypeVar("M")


def config() -> Config:
    default = Config()
    return evolve(
        default,
        face=evolve(default.face, size=SIZE),
        stream=evolve(default.stream, reconnect_min=0.1, reconnect_max=0.4),
    )


def picture(shade: int) -> bytes:
    """Grey, in I420."""
    return bytes([shade]) * (SIZE * SIZE) + bytes([128]) * (SIZE * SIZE // 2)


def sound(number: int) -> bytes:
    return np.full(1920, 1000 + number, np.int16).tobytes()


def level(number: int) -> float:
    """What the output gets of ``sound``."""
    return (1000 + number) / 32768


def speech(slot: int, number: int, *, epoch: int = 1, last: bool = False) -> Slice:
    return Slice(
        slot=slot,
        epoch=epoch,
        sound=sound(number),
        picture=picture(100 + number),
        heard_to=number + 1,
        last=last,
    )


def idle(slot: int, shade: int = 7) -> Slice:
    return Slice(slot=slot, epoch=0, sound=None, picture=picture(shade))


@define
class Rig:
    """A playout in a thread, with both its pipes."""

    session: Connection
    speaker: Connection
    thread: threading.Thread
    anchor: float = 0.0
    said: list[object] = field(factory=list)
    asked: list[object] = field(factory=list)

    def begin(self, ahead: float = 0.1) -> None:
        """Slot 0 is due in ``ahead`` s: more of it where slices are to be there by then."""
        assert isinstance(self.session.recv(), Hello)
        self.anchor = time.monotonic() + ahead
        self.session.send(Begin(anchor=self.anchor))

    @property
    def now(self) -> int:
        """The slot that is due."""
        return max(0, int((time.monotonic() - self.anchor) * 25))

    def listen(self, until: float) -> None:
        """Hear both pipes until slot ``until`` (may be a fraction) is due."""
        deadline = self.anchor + until / 25
        self._hear()
        while time.monotonic() < deadline:
            self._hear(min(0.005, max(0.0, deadline - time.monotonic())))

    def _hear(self, wait: float = 0.0) -> None:
        while self.session.poll(wait):
            self.said.append(self.session.recv())
            wait = 0.0
        while self.speaker.poll():
            self.asked.append(self.speaker.recv())

    def await_said(self, kind: type[M], *, times: int = 1) -> M:
        """The last of its ``kind``, once there are ``times`` of them."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            self._hear(0.01)
            if len(found := self.heard(kind)) >= times:
                return found[-1]
        raise TimeoutError(kind.__name__)

    def heard(self, kind: type[M]) -> list[M]:
        return [message for message in [*self.said, *self.asked] if isinstance(message, kind)]


@contextlib.contextmanager
def rig(
    open_publish: Callable[[], Publish] | None, *, url: StreamUrl | None = URL, fast: bool = False
) -> Iterator[Rig]:
    session, control = Pipe(duplex=True)
    speaker, slices = Pipe(duplex=True)
    settings = PlayoutSettings(config=config(), url=url, fast=fast)
    thread = threading.Thread(
        target=playout, args=(control, slices, settings, open_publish), daemon=True
    )
    thread.start()
    try:
        yield Rig(session=session, speaker=speaker, thread=thread)
    finally:
        with contextlib.suppress(OSError):
            session.send(Stop())
        thread.join(10)
        alive = thread.is_alive()
        for end in (session, speaker):  # its threads may still read the others
            end.close()
        assert not alive


def outputs(*fakes: FakePublish) -> Callable[[], Publish]:
    waiting = iter(fakes)
    return lambda: next(waiting)


def test_a_reply_is_played_whole_in_step_and_on_time() -> None:
    output = FakePublish()
    with rig(outputs(output)) as one:
        one.begin(ahead=0.4)
        for slot in range(3):
            one.speaker.send(idle(slot, shade=slot))
        for number in range(10):
            one.speaker.send(speech(5 + number, number, last=number == 9))
        one.listen(27)
        one.await_said(SliceStatistics)
    assert [job.slot for job in output.written] == list(range(len(output.written)))
    assert [job.shade for job in output.written[:5]] == [0, 1, 2, None, None]
    for number, job in enumerate(output.written[5:15]):
        assert job.level == pytest.approx(level(number))
        assert job.shade == 100 + number
    assert all(job.level == 0 for job in [*output.written[:5], *output.written[15:]])
    assert output.closed.is_set()
    late = [job.at - one.anchor - job.slot / 25 for job in output.written]
    assert min(late) >= 0 and float(np.median(late)) < 0.01
    assert one.heard(Started) == [Started(epoch=1, slot=5)]
    assert one.heard(PlayedOut) == [PlayedOut(epoch=1, slot=15, heard_to=10)]
    assert [taken.slot for taken in one.heard(SlotTaken)][:25] == list(range(25))
    statistics = one.heard(SliceStatistics)[0]
    assert (statistics.slot, statistics.fps, statistics.underruns) == (24, 25.0, 0)
    assert statistics.held == 25 - 13


def test_pause_resume_and_flush() -> None:
    output = FakePublish()
    with rig(outputs(output)) as one:
        one.begin(ahead=0.4)
        for number in range(30):
            one.speaker.send(speech(0, number))
        one.listen(4.5)
        one.session.send(Pause(epoch=1))
        silent = one.await_said(Silent)
        one.listen(9.5)
        one.session.send(Resume(epoch=1))
        one.listen(14.5)
        one.session.send(Flush(epoch=1))
        one.listen(20)
        flushed = one.await_said(Silent, times=2)
        rewind = one.await_said(Rewind)
    heard = [job.level for job in output.written if job.level]
    assert heard == pytest.approx([level(number) for number in range(len(heard))])
    levels = {job.slot: job.level for job in output.written}
    assert silent.epoch == 1 and silent.heard_to == silent.slot  # one character a slice
    assert levels[silent.slot] == 0 and levels[silent.slot - 1] > 0
    assert flushed.heard_to == len(heard)
    assert rewind.slot == flushed.slot
    assert all(level == 0 for slot, level in levels.items() if slot >= flushed.slot)


@pytest.mark.parametrize("known", [1, 0], ids=["the session knows of it", "it does not"])
def test_a_speaker_that_died_is_followed_by_another(known: int) -> None:
    output = FakePublish()
    with rig(outputs(output)) as one:
        one.begin()
        for number in range(6):
            one.speaker.send(speech(2, number))
        one.listen(5)
        one.speaker.close()
        one.speaker, theirs = Pipe(duplex=True)
        one.session.send(SpeakerAnew(epoch=known))
        with theirs:
            send_handle(one.session, theirs.fileno(), None)
        played = one.await_said(PlayedOut)
        one.listen(12)
        for number in range(6, 10):
            one.speaker.send(speech(13, number, epoch=2, last=number == 9))
        one.listen(20)
        one.await_said(PlayedOut, times=2)
    assert (1, 6) == (played.epoch, played.heard_to)
    heard = [job.level for job in output.written if job.level]
    assert heard == pytest.approx([level(number) for number in range(10)])
    assert [1, 2] == [each.epoch for each in one.heard(PlayedOut)]
    assert one.asked, "and it is told which slots are taken"


def test_browsers_are_shown_each_slot_in_its_time_and_may_go_at_any_time() -> None:
    with rig(None, url=None) as one:
        one.begin()
        for number in range(5):
            one.speaker.send(speech(8, number, last=number == 4))
        ours, theirs = Pipe(duplex=True)
        one.session.send(BrowsersCame())
        with theirs:
            send_handle(one.session, theirs.fileno(), None)
        with ours:
            ours.send(Watch(on=True))
            shown: list[tuple[Shown, float]] = []
            while not shown or shown[-1][0].slot < 14:
                assert ours.poll(5)
                shown.append((ours.recv(), time.monotonic()))
        one.listen(25)
        statistics = one.await_said(SliceStatistics)
    # Some may be missing: a browser that does not look in time is not waited for.
    slots = [slot.slot for slot, _ in shown]
    assert slots == sorted(set(slots)) and len(slots) > 5
    heard = [slot for slot, _ in shown if slot.sound is not None]
    assert len(heard) > 2
    assert [slot.sound for slot in heard] == [sound(slot.slot - 8) for slot in heard]
    assert [slot.picture for slot in heard[1:]] == [picture(92 + slot.slot) for slot in heard[1:]]
    late = [at - one.anchor - slot.slot / 25 for slot, at in shown]
    assert min(late) >= 0 and float(np.median(late)) < 0.04
    assert statistics.fps == 25.0


def test_an_output_that_breaks_is_opened_again_while_the_slots_go_on() -> None:
    first, second = FakePublish(fail_at=10), FakePublish(fail_at=15)
    third = FakePublish()
    with rig(outputs(first, second, third)) as one:
        one.begin()
        one.speaker.send(idle(0, shade=42))
        one.listen(80)
        taken = [message.slot for message in one.heard(SlotTaken)]
    assert taken == list(range(len(taken))) and len(taken) >= 70
    assert first.closed.is_set() and second.closed.is_set()
    slots = [job.slot for fake in (first, second, third) for job in fake.written]
    assert slots == sorted(set(slots))
    assert second.written[0].slot - first.written[-1].slot <= 12  # 0.1 s, or a bit more
    assert second.written[0].shade == third.written[0].shade == 42  # a new one is shown the last
    failed = one.heard(Failed)
    assert {(one.worker, one.fatal) for one in failed} == {("publish", False)}
    (restored,) = one.heard(Restored)  # the second connection was too short to be one
    gone = (third.written[0].slot - first.written[-1].slot) / 25
    assert restored.after == pytest.approx(gone, abs=0.15)


def test_an_output_that_hangs_stops_nothing_and_loses_the_oldest() -> None:
    output = FakePublish(hang_at=5, hang_for=1.0)
    with rig(outputs(output)) as one:
        one.begin()
        for number in range(40):
            one.speaker.send(speech(0, number))
        one.listen(80)
        assert len(one.heard(SlotTaken)) >= 70
        statistics = one.heard(SliceStatistics)[0]
    slots = [job.slot for job in output.written]
    assert slots == sorted(set(slots))
    assert len(set(range(slots[-1])) - set(slots)) >= 5
    # Picture and sound left together, or not at all.
    numbers = [job.shade - 100 for job in output.written if job.shade is not None]
    assert numbers == sorted(set(numbers))
    assert all(
        job.level == pytest.approx(level(job.shade - 100))
        for job in output.written
        if job.shade is not None
    )
    assert statistics.fps < 25 and statistics.late < 10  # but for those of a busy machine
    (failed,) = one.heard(Failed)
    assert "too slow" in failed.text and not failed.fatal
    assert ["publish"] == [message.worker for message in one.heard(Restored)]


def test_a_file_that_cannot_be_written_is_refused_before_the_lesson() -> None:
    def refuse() -> Publish:
        raise StreamRefused("There is no folder here.")

    with rig(refuse, url=StreamUrl.parse("none/lesson.mp4")) as one:
        assert one.session.recv() == Failed(
            worker="publish", kind="StreamRefused", text="There is no folder here.", fatal=True
        )


def test_a_full_disk_is_fatal_and_not_tried_again() -> None:
    output = FakePublish(fail_at=3, error=StreamRefused("the disk is full."))
    with rig(outputs(output), url=StreamUrl.parse("lesson.mp4")) as one:
        one.begin()
        one.listen(20)
        assert [message.fatal for message in one.heard(Failed)] == [True]
        assert len(one.heard(SlotTaken)) >= 10


def test_without_an_output_slots_are_counted() -> None:
    with rig(None, url=None) as one:
        one.begin(ahead=0.4)
        one.speaker.send(speech(0, 0, last=True))
        one.listen(15)
        assert one.heard(PlayedOut) == [PlayedOut(epoch=1, slot=1, heard_to=1)]
        assert len(one.heard(SlotTaken)) >= 4


def test_the_session_goes_and_the_output_is_finished() -> None:
    output = FakePublish()
    with rig(outputs(output)) as one:
        one.begin(ahead=0.0)
        one.listen(5)
        one.session.close()
        one.thread.join(5)
        assert output.closed.is_set()


def test_the_speaker_goes_and_the_output_goes_on() -> None:
    output = FakePublish()
    with rig(outputs(output)) as one:
        one.begin()
        one.speaker.send(idle(0))
        one.listen(3)
        one.speaker.close()
        time.sleep(0.7)
    assert len(output.written) >= 8


def test_a_machine_that_slept_skips_what_is_past() -> None:
    output = FakePublish()
    with rig(outputs(output)) as one:
        one.speaker.send(speech(0, 0, last=True))
        time.sleep(0.1)
        one.begin(ahead=-4.0)  # Begin came four seconds too late
        one.listen(115)
    assert output.written[0].slot == pytest.approx(100, abs=12)
    assert sum(job.level > 0 for job in output.written) == 1


def test_on_a_virtual_clock_slices_are_waited_for() -> None:
    output = FakePublish()
    with rig(outputs(output), fast=True) as one:
        one.begin()
        begun = time.monotonic()
        for slot in range(5):
            one.speaker.send(idle(slot, shade=slot))
        one.session.send(Advance(slot=5))
        assert one.await_said(Advanced) == Advanced(slot=5)
        assert time.monotonic() - begun < 1

        def speak_slowly() -> None:
            for number in range(4):
                time.sleep(0.05)
                one.speaker.send(speech(40, number, last=number == 3))

        speaker = threading.Thread(target=speak_slowly)
        speaker.start()
        one.speaker.send(idle(9, shade=9))
        one.session.send(Advance(slot=10, epoch=1))
        while one.await_said(Advanced).slot != 10:
            pass
        speaker.join()
        assert one.heard(Started) == [Started(epoch=1, slot=5)]
        assert one.heard(PlayedOut) == [PlayedOut(epoch=1, slot=9, heard_to=4)]
    levels = [job.level for job in output.written]
    assert levels[:5] == [0] * 5 and levels[9:] == [0]
    assert levels[5:9] == pytest.approx([level(number) for number in range(4)])
    assert output.written[9].shade == 9


def test_a_paused_reply_is_not_waited_for_on_a_virtual_clock() -> None:
    with rig(None, url=None, fast=True) as one:
        one.begin()
        one.session.send(Pause(epoch=1))
        one.session.send(Advance(slot=50, epoch=1))
        assert one.await_said(Advanced) == Advanced(slot=50)


def test_a_viewer_whose_machine_restarts(tmp_path: Path) -> None:
    port = streams.free_port()
    url = StreamUrl.parse(f"rtmp://127.0.0.1:{port}/live/teacher")
    paths = [tmp_path / "one.mp4", tmp_path / "two.mp4"]

    def output() -> Publish:
        return PyavPublish(url, width=SIZE, height=SIZE, timeout=1.0)

    def feed(one: Rig, count: int) -> None:
        first = one.now + 3
        for slot in range(first, first + count):
            one.listen(slot - 2)
            beat = slot % 25 == streams.BEAT
            click = np.zeros(1920, np.int16)
            click[:480] = 20_000 * np.sin(2 * np.pi * 1000 * np.arange(480) / 48_000)
            one.speaker.send(
                Slice(
                    slot=slot,
                    epoch=1,
                    sound=click.tobytes() if beat else None,
                    picture=picture(255 if beat else 0),
                )
            )

    with rig(output, url=url) as one:
        with streams.recorder(f"{url.address}?listen=1", paths[0], tmp_path / "1") as viewer:
            streams.await_listener(port)
            one.begin()
            feed(one, 45)
            viewer.kill()
        with streams.recorder(f"{url.address}?listen=1", paths[1], tmp_path / "2") as viewer:
            streams.await_listener(port)
            feed(one, 50)
            assert len(one.heard(SlotTaken)) >= 90
            one.session.send(Stop())
            viewer.wait(5)
        assert [message.fatal for message in one.heard(Failed)][:1] == [False]
    before, after = (streams.recorded(path) for path in paths)
    assert before.monotonic and after.monotonic
    for recording in (before, after):
        assert recording.offsets
        assert recording.offsets == pytest.approx([0.0] * len(recording.offsets), abs=0.01)
    assert after.keyframes
