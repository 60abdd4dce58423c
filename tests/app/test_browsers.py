"""A lesson's browsers: what is shown to them costs the playout nothing, and whatever becomes of
them, or of the worker that answers them, the lesson goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe
from typing import Any

import anyio
import psutil
import pytest
from attrs import define, evolve, field

pytest.importorskip("aiortc")

from fakes.browsers import FakePeers, FakeSliceEncoder, Tone, browser

from maestra.adapters.streams.webrtc import gather_on
from maestra.app import browsers as session_side
from maestra.app.browsers import Browsers
from maestra.app.config import Config
from maestra.app.messages import (
    Answered,
    BrowsersCame,
    Failed,
    HangUp,
    Hello,
    Microphone,
    Offer,
    Shown,
    Stop,
    Watch,
)
from maestra.app.session import SessionFailed, open_session
from maestra.app.workers.browsers import browsers
from maestra.app.workers.tap import Tap
from maestra.ports.errors import PeerRefused, StreamError
from maestra.ports.streams import PeerEvents, SliceEncoder

SIZE = 64
SPEAKS, WATCHES = "v=0\r\na=sendonly\r\n", "v=0\r\na=recvonly\r\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def soon(condition: Callable[[], object], within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def picture(shade: int) -> bytes:
    return bytes([shade]) * (SIZE * SIZE * 3 // 2)


# --- the playout's window ---------------------------------------------------------


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Connection]]:
    ours, theirs = Pipe()
    with ours:  # the tap's threads may still read the other
        yield ours, theirs


def watched_tap(ours: Connection, theirs: Connection) -> Tap:
    tap = Tap()
    tap.attach(theirs)
    ours.send(Watch(on=True))
    soon(lambda: tap._watched)
    return tap


def test_what_is_played_is_shown_while_somebody_watches(
    ends: tuple[Connection, Connection],
) -> None:
    ours, theirs = ends
    tap = Tap()
    tap.put(0, None, picture(7))  # nobody is there
    tap.attach(theirs)
    tap.put(1, None, None)  # nobody watches
    ours.send(Watch(on=True))
    soon(lambda: tap._watched)
    for slot, sound, shown in [(2, None, None), (3, b"x", None), (4, None, picture(9))]:
        tap.put(slot, sound, shown)
    got = [ours.recv() for _ in range(3)]
    ours.send(Watch(on=False))
    soon(lambda: not tap._watched)
    tap.put(5, None, None)

    assert not ours.poll(0.05)
    assert [2, 3, 4] == [one.slot for one in got]
    assert [None, b"x", None] == [one.sound for one in got]
    # Whoever comes late gets the picture that is held; after that, only new ones.
    assert [picture(7), None, picture(9)] == [one.picture for one in got]


def test_one_who_does_not_look_holds_nothing_up(ends: tuple[Connection, Connection]) -> None:
    ours, theirs = ends
    tap = watched_tap(ours, theirs)
    large = bytes(400_000)
    took = []
    for slot in range(50):
        begun = time.perf_counter()
        tap.put(slot, None, large + bytes([slot]))
        took.append(time.perf_counter() - begun)
    assert len(tap._slots) <= 4
    assert sorted(took)[25] < 0.01  # the machine has other work
    got = [ours.recv().slot for _ in range(4)]
    assert got == sorted(got)


def test_whoever_has_gone_is_forgotten_and_the_next_one_sees(
    ends: tuple[Connection, Connection],
) -> None:
    ours, theirs = ends
    tap = watched_tap(ours, theirs)
    ours.close()
    soon(lambda: tap._pipe is None)
    tap.put(0, None, picture(1))
    again, other = Pipe()
    with again:  # the tap's threads may still read the other
        tap.attach(other)
        again.send(Watch(on=True))
        soon(lambda: tap._watched)
        tap.put(1, None, None)
        assert again.recv().picture == picture(1)
    soon(lambda: not [one for one in threading.enumerate() if one.name == "tap"])


# --- the worker --------------------------------------------------------------------


@define
class Rig:
    """The worker in a thread, with its three pipes."""

    session: Connection
    playout: Connection
    ingest: Connection
    thread: threading.Thread
    peers: list[FakePeers] = field(factory=list)

    def ask(self, message: object) -> Answered:
        self.session.send(message)
        answer = self.session.recv()
        assert isinstance(answer, Answered)
        return answer

    def tell(self, tell: Callable[[PeerEvents], None]) -> None:
        """As though a browser had done something."""
        tell(self.peers[0].events)


@contextlib.contextmanager
def rig(open_encoder: Callable[[], SliceEncoder] = FakeSliceEncoder) -> Iterator[Rig]:
    control, slices, microphone = pairs = [Pipe() for _ in range(3)]
    peers: list[FakePeers] = []

    def open_peers(events: PeerEvents) -> FakePeers:
        peers.append(FakePeers(most_viewers=2, events=events))
        return peers[0]

    def work() -> None:
        browsers(
            control[1],
            slices[1],
            microphone[1],
            SIZE,
            open_peers=open_peers,
            open_encoder=open_encoder,
            pack=lambda at, sound: at.to_bytes(8, "little") + sound,
        )

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    one = Rig(control[0], slices[0], microphone[0], thread, peers)
    assert isinstance(one.session.recv(), Hello)
    try:
        yield one
    finally:
        with contextlib.suppress(OSError):
            one.session.send(Stop())
        thread.join(5)
        for ours, _ in pairs:  # its threads may still read the others
            ours.close()
        assert not thread.is_alive()


def test_offers_are_answered_or_refused_by_their_numbers() -> None:
    with rig() as one:
        heard = one.ask(Offer(number=1, way="whip", sdp=SPEAKS))
        assert (heard.number, heard.refused) == (1, "") and heard.peer and heard.sdp
        taken = one.ask(Offer(number=2, way="whip", sdp=SPEAKS))
        assert (taken.number, taken.refused) == (2, "taken") and taken.text
        assert one.ask(Offer(number=3, way="whep", sdp="x")).refused == "malformed"
        gone = one.ask(HangUp(number=4, peer=heard.peer))
        assert (gone.number, gone.refused) == (4, "")
        assert one.ask(HangUp(number=5, peer=heard.peer)).refused == "unknown"
    assert one.peers[0].closed


def test_a_microphone_is_carried_to_the_ingest() -> None:
    with rig() as one:
        one.ask(Offer(number=1, way="whip", sdp=SPEAKS))
        assert one.ingest.recv_bytes() == bytes(8)  # whoever was heard before has gone
        one.tell(lambda events: events.heard(960, b"ab"))
        assert one.ingest.recv_bytes() == (960).to_bytes(8, "little") + b"ab"


def test_an_ingest_that_does_not_take_it_holds_nobody_up() -> None:
    with rig() as one:
        begun = time.perf_counter()
        for at in range(1000):
            one.tell(lambda events, at=at: events.heard(at, bytes(1920)))  # type: ignore[misc]
        assert time.perf_counter() - begun < 5
        assert one.ask(Offer(number=1, way="whep", sdp=WATCHES)).peer


def test_what_is_played_is_encoded_once_and_shown() -> None:
    with rig() as one:
        one.ask(Offer(number=1, way="whep", sdp=WATCHES))
        assert one.playout.recv() == Watch(on=True)
        for slot in range(5):
            fresh = picture(slot) if slot == 0 else None
            one.playout.send(Shown(slot=slot, sound=None, picture=fresh))
        soon(lambda: len(one.peers[0].shown) == 5)
        shown = one.peers[0].shown
        assert [encoded.slot for encoded in shown] == list(range(5))
        assert shown[0].key and shown[0].picture == picture(0)
        # Many may ask at once; a picture to begin with is large, and comes twice a second at most.
        for _ in range(10):
            one.tell(lambda events: events.key_wanted())
        for slot in range(5, 10):
            one.playout.send(Shown(slot=slot, sound=None, picture=None))
        soon(lambda: len(one.peers[0].shown) == 10)
        assert sum(encoded.key for encoded in shown[1:]) <= 1


class _Broken:
    def encode(self, *_: object, **__: object) -> Any:
        raise StreamError("There is no encoder.")


def test_without_an_encoder_nobody_watches_but_one_is_heard() -> None:
    with rig(_Broken) as one:
        one.ask(Offer(number=1, way="whep", sdp=WATCHES))
        one.playout.send(Shown(slot=0, sound=None, picture=picture(0)))
        failed = one.session.recv()
        assert isinstance(failed, Failed) and failed.text == "There is no encoder."
        refused = one.ask(Offer(number=2, way="whep", sdp=WATCHES))
        assert (refused.refused, refused.text) == ("failed", "There is no encoder.")
        assert one.ask(Offer(number=3, way="whip", sdp=SPEAKS)).peer


def test_it_leaves_with_the_session() -> None:
    with rig() as one:
        one.session.close()
        one.thread.join(5)
        assert not one.thread.is_alive()


def test_it_outlives_a_playout_and_an_ingest_that_have_gone() -> None:
    with rig() as one:
        one.playout.close()
        one.ingest.close()
        one.tell(lambda events: events.heard(0, b"ab"))
        assert one.ask(Offer(number=1, way="whep", sdp=WATCHES)).peer
        assert one.ask(Offer(number=2, way="whip", sdp=SPEAKS)).peer


# --- the session --------------------------------------------------------------------


class _Neighbour:
    """A worker that is only handed ends of pipes."""

    def __init__(self) -> None:
        self.handed: list[tuple[object, Connection]] = []

    def hand(self, message: object, end: Connection) -> None:
        self.handed.append((message, end))


@pytest.fixture
def config() -> Config:
    default = Config()
    return evolve(default, face=evolve(default.face, size=SIZE))


@pytest.mark.anyio
async def test_a_worker_that_is_killed_is_started_anew_and_the_lesson_hears_on(
    config: Config,
) -> None:
    gather_on(lambda: ["127.0.0.1"])
    playout, ingest = _Neighbour(), _Neighbour()
    workers: dict[str, Any] = {"playout": playout, "ingest": ingest}
    reports: list[Failed] = []
    ours = Browsers(config, workers, reports.append)
    ours.open_microphone()
    (message, microphone), *_ = ingest.handed
    assert message == Microphone()

    async def heard() -> None:
        """A browser comes, and its sound arrives."""
        async with browser(microphone=Tone()) as one:
            answer = await ours.connect("whip", await one.offer(), tasks)
            await one.take(answer)
            with anyio.fail_after(10):
                while len(await anyio.to_thread.run_sync(microphone.recv_bytes)) < 100:
                    pass

    async with anyio.create_task_group() as tasks:
        await heard()
        first = workers["browsers"]
        os.kill(first.pid, signal.SIGKILL)
        with anyio.fail_after(5):
            while not reports:  # noqa: ASYNC110 (a list does not tell)
                await anyio.sleep(0.01)
        assert reports[0].kind == "WorkerDied"
        await heard()
        second = workers["browsers"]
        assert second is not first
        assert [type(told) for told, _ in playout.handed] == [BrowsersCame] * 2
        ours.close()
        second.stop()
        await anyio.to_thread.run_sync(second.join)
        tasks.cancel_scope.cancel()
    assert not [one for one in threading.enumerate() if "browsers" in one.name]
    for pid in (first.pid, second.pid):
        assert not psutil.pid_exists(pid)
    microphone.close()
    for _, end in playout.handed:
        end.close()


class _Silent:
    """Stands in for ``Worker``: it takes its time with every answer, or cannot be started."""

    made: list[_Silent] = []  # noqa: RUF012 - emptied by each test

    def __init__(self, name: str, settings: object, *, pipes: tuple[Connection, ...]) -> None:
        self.pipes = pipes
        self.sent: list[Any] = []
        self.answers: list[Answered] = []
        self.news = anyio.Event()
        _Silent.made.append(self)

    def __enter__(self) -> _Silent:
        for end in self.pipes:
            end.close()
        return self

    def listen(self) -> None:
        pass

    def send(self, message: object) -> None:
        self.sent.append(message)

    def say(self, *answers: Answered) -> None:
        self.answers.extend(answers)
        self.news.set()

    async def receive(self) -> list[Answered]:
        await self.news.wait()
        self.news = anyio.Event()
        found, self.answers = self.answers, []
        return found

    def stop(self) -> None:
        pass

    def join(self) -> None:
        pass


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[_Silent]]:
    monkeypatch.setattr(session_side, "Worker", _Silent)
    monkeypatch.setattr(session_side, "_ANSWERS_WITHIN", 0.2)
    _Silent.made.clear()
    yield _Silent.made
    _Silent.made.clear()


@pytest.mark.anyio
async def test_an_answer_that_comes_too_late_keeps_no_place(
    config: Config, silent: list[_Silent]
) -> None:
    playout = _Neighbour()
    ours = Browsers(config, {"playout": playout}, lambda _: None)  # type: ignore[dict-item]
    async with anyio.create_task_group() as tasks:
        with pytest.raises(PeerRefused) as caught:
            await ours.connect("whep", WATCHES, tasks)
        assert caught.value.reason == "failed"
        (worker,) = silent
        assert [type(one) for one in worker.sent] == [Offer]
        worker.say(Answered(number=worker.sent[0].number, peer="late", sdp="v=0"))
        with anyio.fail_after(2):
            while len(worker.sent) < 2:  # noqa: ASYNC110 (a list does not tell)
                await anyio.sleep(0.01)
        assert isinstance(worker.sent[1], HangUp) and worker.sent[1].peer == "late"
        ours.close()
        worker.say()  # it has gone
    for _, end in playout.handed:
        end.close()


@pytest.mark.anyio
async def test_a_session_without_a_place_for_a_microphone_says_so(
    config: Config, silent: list[_Silent]
) -> None:
    ours = Browsers(config, {}, lambda _: None)
    async with anyio.create_task_group() as tasks:
        with pytest.raises(PeerRefused) as caught:
            await ours.connect("whip", SPEAKS, tasks)
    assert caught.value.reason == "elsewhere" and "whip:" in str(caught.value)
    assert not silent
    with pytest.raises(PeerRefused) as caught:
        await ours.disconnect("anybody")
    assert caught.value.reason == "unknown"


@pytest.mark.anyio
async def test_a_worker_that_cannot_be_started_is_an_answer(
    config: Config, silent: list[_Silent], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: _Silent) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(_Silent, "__enter__", refuse)
    ours = Browsers(config, {}, lambda _: None)
    async with anyio.create_task_group() as tasks:
        with pytest.raises(PeerRefused) as caught:
            await ours.connect("whep", WATCHES, tasks)
    assert caught.value.reason == "failed" and "memory" in str(caught.value)
    assert all(end.closed for end in silent[0].pipes)


@pytest.mark.anyio
async def test_what_is_an_input_is_no_output() -> None:
    for ingest, publish in (("whep:", None), ("lesson.wav", "whip:")):
        with pytest.raises(SessionFailed, match="whip: is an input and whep: an output"):
            async with open_session(ingest=ingest, publish=publish):
                pass


@pytest.mark.anyio
async def test_where_it_is_not_installed_that_is_the_answer(
    config: Config, silent: list[_Silent], monkeypatch: pytest.MonkeyPatch
) -> None:
    complaint = "Install maestra[browser]."
    monkeypatch.setattr("maestra.app.composition.browsers_complaint", lambda: complaint)
    ours = Browsers(config, {}, lambda _: None)
    async with anyio.create_task_group() as tasks:
        with pytest.raises(PeerRefused) as caught:
            await ours.connect("whep", WATCHES, tasks)
    assert caught.value.reason == "missing" and not silent
