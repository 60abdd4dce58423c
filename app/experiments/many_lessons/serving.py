"""A service in a process of its own, with students who play and viewers who watch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psutil
from attrs import define, frozen

from ...demo import LESSON
from ..sampling import Periodic
from ..serving import TOKEN, serving

__all__ = [
    "Answer",
    "Lesson",
    "Sampler",
    "Served",
    "Taken",
    "families",
    "free_port",
    "served",
    "student",
    "viewer",
]

_STREAMS: Final = [sys.executable, "-m", "maestra.app.demo.streams"]
_PATIENCE: Final = 120.0


@frozen(kw_only=True)
class Answer:
    """``body`` is what the service's JSON says."""

    status: int
    headers: Mapping[str, str]
    body: Any


@define(kw_only=True)
class Lesson:
    """A lesson that was asked for: its ports on loopback and, if it was admitted, its id."""

    number: int
    ingest: int
    publish: int
    id: str = ""
    refused: str = ""


@define(kw_only=True)
class Served:
    """``maestra serve`` at ``address``; its log as it grows in ``log``."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def call(self, method: str, path: str, body: object = None) -> Answer:
        """Ask the service; an error is an answer, too."""
        request = urllib.request.Request(
            f"{self.address}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
                return Answer(
                    status=answer.status, headers=dict(answer.headers), body=_json(answer.read())
                )
        except urllib.error.HTTPError as error:
            with error:
                return Answer(
                    status=error.code, headers=dict(error.headers), body=_json(error.read())
                )

    def start(self, lesson: Lesson) -> Answer:
        """Ask for ``lesson``, and note in it what became of that."""
        answer = self.call(
            "POST",
            "/session/start",
            {
                "rtmp_ingest_url": f"rtmp://localhost:{lesson.ingest}/live/student?listen=1",
                "rtmp_publish_url": f"rtmp://localhost:{lesson.publish}/live/teacher",
            },
        )
        if answer.status == 201:
            lesson.id = str(answer.body["session_id"])
        else:
            lesson.refused = str(answer.body.get("cause") or answer.body.get("type"))
        return answer

    def status(self, session: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/session/{session}").body
        return found

    def await_state(self, session: str, *states: str, within: float = _PATIENCE) -> dict[str, Any]:
        """The session's status, once it is in one of ``states``.

        :raises TimeoutError: it is not, in time.
        """
        deadline = time.monotonic() + within
        while (now := self.status(session))["state"] not in states:
            if time.monotonic() > deadline:
                raise TimeoutError(f"session {session} is {now['state']} after {within:.0f} s")
            time.sleep(0.2)
        return now

    def stop(self, session: str) -> Answer:
        return self.call("POST", "/session/stop", {"session_id": session})

    def events(self, session: str) -> list[dict[str, Any]]:
        """All that a session that is over has told."""
        request = urllib.request.Request(
            f"{self.address}/session/{session}/events",
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
            lines = answer.read().decode().splitlines()
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def _json(content: bytes) -> Any:
    try:
        return json.loads(content) if content else {}
    except ValueError:
        return content.decode(errors="replace")


@contextmanager
def served(
    folder: Path, settings: Sequence[str], *, temporary: Path | None = None
) -> Iterator[Served]:
    """``maestra serve`` with these settings (``service.max_sessions=2``).

    :param temporary: where it and its lessons keep temporary files.
    :raises RuntimeError: it did not begin.
    """
    environment = {"TMPDIR": str(temporary)} if temporary else {}
    with serving(folder, *settings, environment=environment) as one:
        yield Served(address=one.address, process=one.process, log=one.log)


@contextmanager
def student(url: str, log: Path | None = None) -> Iterator[None]:
    """Somebody who plays the demo lesson into ``url``, again and again."""
    stop = threading.Event()
    playing: list[subprocess.Popen[bytes]] = []

    def play() -> None:
        while not stop.is_set():
            playing[:] = [_machine("publish", str(LESSON), url, log)]
            playing[0].wait()
            stop.wait(0.5)

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        for process in playing:
            process.kill()
        thread.join(5)


@contextmanager
def viewer(url: str, out: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Somebody who waits at ``url`` for the teacher, and keeps what comes."""
    process = _machine("record", f"{url}?listen=1", str(out), log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _machine(what: str, source: str, target: str, log: Path | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*_STREAMS, what, source, target, *(["--log", str(log)] if log else [])],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def free_port() -> int:
    """A loopback port that nobody uses just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


# --- what is taken of the machine ---------------------------------------------


@frozen(kw_only=True)
class Taken:
    """What a lesson's processes had taken at ``at`` (s, monotonic): processor seconds by process,
    bytes resident, and with shared pages counted in part (``pss``; 0: not looked at)."""

    at: float
    cpu: Mapping[str, float]
    rss: int
    pss: int
    processes: int


def families(service: int) -> dict[int, list[psutil.Process]]:
    """The lessons' processes by the process that leads them."""
    found: dict[int, list[psutil.Process]] = {}
    with suppress(psutil.Error):
        for leader in psutil.Process(service).children():
            with suppress(psutil.Error, ProcessLookupError):
                if os.getpgid(leader.pid) == leader.pid:
                    found[leader.pid] = [leader, *leader.children(recursive=True)]
    return found


class Sampler(Periodic):
    """Looks at the lessons of a service every ``every`` seconds while it is entered."""

    def __init__(self, service: int, every: float = 1.0, shared_every: int = 10) -> None:
        super().__init__(self._take, every=every)
        self.samples: dict[int, list[Taken]] = {}
        self._service = service
        self._shared_every = shared_every
        self._names: dict[int, str] = {}

    def _take(self, count: int) -> None:
        for leader, family in families(self._service).items():
            taken = self._taken(family, shared=count % self._shared_every == 0)
            self.samples.setdefault(leader, []).append(taken)

    def _taken(self, family: Sequence[psutil.Process], *, shared: bool) -> Taken:
        cpu: dict[str, float] = {}
        rss = pss = 0
        for process in family:
            with suppress(psutil.Error):
                name = self._name(process)
                times = process.cpu_times()
                cpu[name] = cpu.get(name, 0.0) + times.user + times.system
                rss += process.memory_info().rss
                if shared:
                    pss += getattr(process.memory_full_info(), "pss", 0)
        return Taken(at=time.monotonic(), cpu=cpu, rss=rss, pss=pss, processes=len(family))

    def _name(self, process: psutil.Process) -> str:
        if process.pid not in self._names:
            words = process.cmdline()
            name = "session"
            if "maestra.app.workers" in words:
                name = words[words.index("maestra.app.workers") + 1]
            self._names[process.pid] = name
        return self._names[process.pid]
