"""One lesson by way of a server, with its connections dropped at random."""

from __future__ import annotations

import contextlib
import math
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import psutil
from attrs import asdict, define, field, frozen

from maestra.app.demo import LESSON

from ..serving import serving
from .coordinator import Coordinator
from .server import RtmpServer

__all__ = ["Fault", "Held", "Memory", "hold", "plan"]

Kind = Literal["student leaves", "student stalls", "teacher is dropped", "server is killed"]

_KINDS: dict[Kind, tuple[float, float, float]] = {
    # how often, and for how long (s): the shortest and the longest, spread by ratio
    "student leaves": (0.35, 0.3, 15.0),
    "student stalls": (0.15, 0.2, 12.0),
    "teacher is dropped": (0.30, 0.0, 0.0),
    "server is killed": (0.20, 0.5, 12.0),
}
_TICK = 0.2
_READY = 120.0
_SAMPLE = 20.0
_LOOK = 5.0
_AGAIN = 0.5
"""Seconds after which a student's or viewer's machine that lost its connection tries again."""


@frozen(kw_only=True)
class Fault:
    """At ``at`` s of the lesson ``kind`` happens, for ``duration`` s."""

    at: float
    kind: Kind
    duration: float


@frozen(kw_only=True)
class Memory:
    """What each process of the service takes (bytes) at ``at`` s, by what it does: shared pages
    divided among those who share them (``pss``, which others on the machine change, too), and its
    own alone (``uss``)."""

    at: float
    pss: dict[str, int]
    uss: dict[str, int]


def plan(seconds: float, every: float, seed: int) -> Iterator[Fault]:
    """Faults ``every`` s on average, none in the last 15 s; the next begins when one is over."""
    rng = random.Random(seed)
    at = min(20.0, every)
    while at < seconds - 15.0:
        kind = rng.choices(list(_KINDS), [share for share, _, _ in _KINDS.values()])[0]
        _, shortest, longest = _KINDS[kind]
        lasts = math.exp(rng.uniform(math.log(shortest), math.log(longest))) if longest else 0.0
        yield Fault(at=at, kind=kind, duration=lasts)
        at += lasts + every * rng.uniform(0.5, 1.5)


@define
class Held:
    """What was seen. Times are seconds since the lesson began, which was at ``began`` on the
    monotonic clock; sizes are bytes."""

    folder: Path
    began: float = 0.0
    seconds: float = 0.0
    faults: list[Fault] = field(factory=list)
    memory: list[Memory] = field(factory=list)
    status: list[dict[str, Any]] = field(factory=list)
    """``at`` and what the service says of the session."""
    load: list[float] = field(factory=list)
    recordings: int = 0
    ended: dict[str, Any] | None = None
    lost_events: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "faults": [asdict(one) for one in self.faults],
            "memory": [asdict(one) for one in self.memory],
            "load": self.load,
        }


class _Machine:
    """A program on somebody's machine, which is started again whenever it has ended."""

    def __init__(self, command: Callable[[int], Sequence[str]], output: Path) -> None:
        self._command = command
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self._again_at = 0.0
        self.on = False
        self.starts = 0

    def mind(self) -> None:
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            self._process = None
            self._again_at = now + _AGAIN
        if self.on and self._process is None and now >= self._again_at:
            with self._output.open("ab") as output:
                self._process = subprocess.Popen(
                    self._command(self.starts),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self.starts += 1

    def send(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def end(self, *, patience: float = 0.0) -> None:
        self.on = False
        if self._process is None:
            return
        if patience:
            self.send(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        self._process.kill()
        self._process.wait()
        self._process = None


class _Soak:
    def __init__(
        self,
        held: Held,
        server: RtmpServer,
        coordinator: Coordinator,
        seed: int,
        say: Callable[[str], None],
    ) -> None:
        self._held = held
        self._server = server
        self._coordinator = coordinator
        self._say = say
        self._session = ""
        self._undo: tuple[float, Callable[[], None]] | None = None
        rng = random.Random(seed)
        student, teacher = server.url("lesson", "student"), server.url("avatar", "teacher")
        source = ["-re", "-stream_loop", "-1"]
        self._student = _Machine(
            lambda _: [
                *("ffmpeg", "-nostdin", "-v", "error", *source, "-ss", f"{rng.uniform(0, 60):.1f}"),
                *("-i", str(LESSON), "-c:a", "aac", "-ar", "44100", "-f", "flv", student),
            ],
            held.folder / "student.txt",
        )
        self._viewer = _Machine(
            lambda count: [
                *(sys.executable, "-m", "maestra.app.demo.streams", "record", teacher),
                *(str(held.folder / f"viewer-{count:04}.mp4"),),
                *("--log", str(held.folder / f"viewer-{count:04}.jsonl")),
            ],
            held.folder / "viewer.txt",
        )

    def run(self, seconds: float, faults: Iterator[Fault], stop: threading.Event) -> None:
        try:
            self._begin()
            self._hold(seconds, faults, stop)
        finally:
            self._student.end()
            with contextlib.suppress(OSError):
                self._coordinator.call("/session/stop", {})
                self._look()
            self._viewer.end(patience=5.0)
            self._held.recordings = self._viewer.starts

    def _begin(self) -> None:
        self._viewer.on = True
        self._viewer.mind()
        started = self._coordinator.call(
            "/session/start",
            {
                "rtmp_ingest_url": self._server.url("lesson", "student"),
                "rtmp_publish_url": self._server.url("avatar", "teacher"),
                "persona_id": "teacher_mary_v1",
            },
        )
        self._session = started["session_id"]
        self._coordinator.follow(self._session)
        deadline = time.monotonic() + _READY
        while (now := self._status())["state"] == "starting":
            if time.monotonic() > deadline:
                raise RuntimeError("the session does not begin; see service.log")
            time.sleep(_TICK)
        if now["state"] != "running":
            raise RuntimeError(f"the session did not begin: {now['ended']}")
        self._student.on = True

    def _hold(self, seconds: float, faults: Iterator[Fault], stop: threading.Event) -> None:
        held = self._held
        held.began = time.monotonic()
        upcoming = next(faults, None)
        sample_at = look_at = said_at = 0.0
        while (at := time.monotonic() - held.began) < seconds and not stop.wait(_TICK):
            held.seconds = at
            if self._undo is not None and at >= self._undo[0]:
                undo, self._undo = self._undo[1], None
                undo()
            if upcoming is not None and at >= upcoming.at and self._undo is None:
                self._do(upcoming)
                upcoming = next(faults, None)
            self._student.mind()
            self._viewer.mind()
            if at >= look_at:
                look_at = at + _LOOK
                if self._look()["state"] != "running":
                    return
            if at >= sample_at:
                sample_at = at + _SAMPLE
                held.memory.append(_memory(round(at, 1), self._coordinator.process.pid))
                held.load.append(psutil.getloadavg()[0])
            if at >= said_at:
                said_at = at + 60.0
                self._progress(at, seconds)

    def _do(self, fault: Fault) -> None:
        self._held.faults.append(fault)
        undo: Callable[[], None] | None = None
        match fault.kind:
            case "student leaves":
                self._student.end()
                undo = self._student_comes
            case "student stalls":
                self._student.send(signal.SIGSTOP)
                undo = self._student_goes_on
            case "teacher is dropped":
                self._server.drop("avatar", "teacher")
            case "server is killed":
                self._server.kill()
                undo = self._server.start
        if undo is not None:
            self._undo = (fault.at + fault.duration, undo)

    def _student_comes(self) -> None:
        self._student.on = True

    def _student_goes_on(self) -> None:
        self._student.send(signal.SIGCONT)

    def _status(self) -> dict[str, Any]:
        return self._coordinator.call(f"/session/{self._session}")

    def _look(self) -> dict[str, Any]:
        held = self._held
        status = self._status()
        held.status.append({"at": round(time.monotonic() - held.began, 1), **status})
        held.ended = status["ended"]
        held.lost_events = self._coordinator.lost_events
        return status

    def _progress(self, at: float, seconds: float) -> None:
        held = self._held
        status = held.status[-1]
        size = sum(held.memory[-1].pss.values()) / 1e6
        ill = [
            f"; {side}: {status[side]['text']}"
            for side in ("ingest", "publish")
            if not status[side]["ok"]
        ]
        self._say(
            f"{at / 60:5.1f} of {seconds / 60:.0f} min: {len(held.faults)} faults,"
            f" {status['takes']} takes, {status['notes']} notes, {size:.0f} MB,"
            f" {status['fps'] or 0:.0f} fps, load {held.load[-1]:.1f}{''.join(ill)}"
        )


def _memory(at: float, pid: int) -> Memory:
    pss: dict[str, int] = {}
    uss: dict[str, int] = {}
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if "maestra.app.workers" in words:
                    name = words[words.index("maestra.app.workers") + 1]
                else:
                    name = "service" if process == root else "session"
                full = process.memory_full_info()
                pss[name] = pss.get(name, 0) + int(getattr(full, "pss", 0) or full.rss)
                uss[name] = uss.get(name, 0) + int(full.uss)
    return Memory(at=at, pss=pss, uss=uss)


def hold(
    folder: Path,
    *,
    seconds: float,
    every: float,
    seed: int,
    configuration: Path,
    stop: threading.Event,
    say: Callable[[str], None] = print,
    held: Held | None = None,
) -> Held:
    """Hold a lesson for ``seconds`` with a fault ``every`` s, until ``stop`` is set.

    :raises RuntimeError: the server, the service or the session does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("viewer-*"), folder / "events.jsonl"):
        old.unlink(missing_ok=True)
    held = held or Held(folder=folder)
    server = RtmpServer(folder / "nginx", [configuration])
    server.start()
    try:
        with serving(folder, "service.drain=0", end=signal.SIGTERM) as served:
            soak = _Soak(held, server, Coordinator(folder, served), seed, say)
            soak.run(seconds, plan(seconds, every, seed), stop)
    finally:
        server.kill()
    return held
