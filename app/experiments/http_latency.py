"""How soon the service answers while a lesson runs, and whether the lesson notices.

``python -m maestra.app.experiments.http_latency``

The demo lesson is held by ``maestra serve``, over RTMP on this machine, once while nobody asks
anything and once while somebody calls all the time: its status, a change of settings, the metrics,
and its events (from the request to the first event, on a connection of its own). What the calls
take is measured by the caller, and the lesson's latencies at its viewer. It takes four minutes. It
fails where calls take too long or cost the lesson pictures, unless others kept the machine busy.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import define, field

from ..demo import LESSON
from ..demo.latencies import Measured, load_recording, measure, published_at
from .bench.figures import quantiles
from .bench.machine import look
from .serving import TOKEN, serving

__all__ = ["Run", "judge", "main"]

_KINDS: Final = ("status", "config", "metrics", "events")
_STREAMS: Final = (sys.executable, "-m", "maestra.app.demo.streams")
_LOADING: Final = 90.0
_STEADY: Final = 24.0
_ANSWERED: Final = 0.020
_APPLIED: Final = 0.100
"""Seconds that a call, and a setting until it is in force, may take (p95)."""
_PARTS: Final = ("hearing", "turn", "voice", "playout", "total")
_KEPT: Final = 5.0
"""Seconds a connection may be idle; the service keeps it twice as long."""


@define
class _Caller:
    """One who calls the service."""

    host: str
    port: int
    _line: http.client.HTTPConnection | None = None
    _used_at: float = 0.0

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer to one call, on a connection that is kept.

        :raises RuntimeError: the answer is no success.
        """
        if self._line is None or time.monotonic() - self._used_at > _KEPT:
            self._line = http.client.HTTPConnection(self.host, self.port, timeout=60)
            self._line.connect()
            self._line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        self._line.request(method, path, body=data, headers=headers)
        answer = self._line.getresponse()
        content = answer.read()
        self._used_at = time.monotonic()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content.decode()[:300]}")
        return json.loads(content) if content[:1] in b"{[" else content

    def events(self, session: str) -> Iterator[dict[str, Any]]:
        """The session's events as they come, on a connection of their own."""
        line = http.client.HTTPConnection(self.host, self.port, timeout=60)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        try:
            line.request("GET", f"/session/{session}/events", headers=headers)
            answer = line.getresponse()
            while text := answer.readline():
                if text.startswith(b"data: "):
                    yield json.loads(text[6:])
        finally:
            line.close()


@define
class Run:
    """One lesson. ``load`` is the machine's before it, ``calls`` are seconds by kind, ``applied``
    those until a setting was in force; ``slices`` are the records of the output, ``replies`` where
    their time went by the log."""

    load: float
    calls: dict[str, list[float]] = field(factory=dict)
    applied: list[float] = field(factory=list)
    slices: list[Mapping[str, Any]] = field(factory=list)
    measured: list[Measured] = field(factory=list)
    replies: list[Mapping[str, float | None]] = field(factory=list)


def _hold(folder: Path, *, calls: int) -> Run:
    """Hold the lesson, with so many ``calls`` of each kind spread over it."""
    run = Run(load=os.getloadavg()[0])
    events = json.loads(LESSON.with_suffix(".json").read_text(encoding="utf-8"))
    student, teacher = (f"rtmp://127.0.0.1:{_free_port()}/live/{who}" for who in "st")
    folder.mkdir()
    film, seen, sent = (folder / name for name in ("film.mp4", "viewer.jsonl", "student.jsonl"))
    asked: list[float] = []
    with serving(folder) as served:
        address = urlsplit(served.address)
        assert address.hostname is not None and address.port is not None
        service = _Caller(address.hostname, address.port)
        viewer = _stream("record", f"{teacher}?listen=1", str(film), seen)
        try:
            session = service.call(
                "POST",
                "/session/start",
                {
                    "rtmp_ingest_url": f"{student.replace('127.0.0.1', 'localhost')}?listen=1",
                    "rtmp_publish_url": teacher.replace("127.0.0.1", "localhost"),
                },
            )["session_id"]
            records: list[dict[str, Any]] = []
            reader = threading.Thread(target=lambda: records.extend(service.events(session)))
            reader.start()
            service.call("POST", "/session/config", {})  # is answered when it has begun
            player = _stream("publish", str(LESSON), student, sent)
            try:
                _await_input(service, session)
                if calls:
                    asked = _call(service, session, calls, events["duration"] - 6.0, run)
                player.wait(events["duration"] + 30)
            finally:
                _end(player)
            service.call("POST", "/session/stop", {})
            reader.join(30)
            viewer.wait(15)
        finally:
            _end(viewer)
    changed = [each["wall"] for each in records if each["type"] == "config_changed"]
    run.applied = [at - begun for begun, at in zip(asked, changed, strict=True)]
    begun = next(each["t"] for each in records if each["type"] == "floor")
    run.slices = [each for each in records if each["type"] == "slice" and each["t"] > begun]
    run.replies = [each["latency"] for each in records if each["type"] == "reply_started"]
    run.measured = list(measure(events["events"], load_recording(film, seen), published_at(sent)))
    return run


def _stream(*arguments: object) -> subprocess.Popen[bytes]:
    *what, log = map(str, arguments)
    return subprocess.Popen(
        [*_STREAMS, *what, "--log", log],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


def _await_input(service: _Caller, session: str) -> None:
    deadline = time.monotonic() + _LOADING
    while not service.call("GET", f"/session/{session}")["ingest"]["ok"]:
        if time.monotonic() > deadline:
            raise RuntimeError("the student is not heard")
        time.sleep(0.2)


def _call(service: _Caller, session: str, count: int, within: float, run: Run) -> list[float]:
    """Make ``count`` calls of each kind, spread over ``within`` seconds, and note in ``run`` what
    they took; when (s, monotonic) each change of a setting was asked for."""

    def first_event() -> None:
        next(service.events(session))

    kinds: Mapping[str, Callable[[], object]] = {
        "status": lambda: service.call("GET", f"/session/{session}"),
        "config": lambda: service.call("POST", "/session/config", {"window": 10}),
        "metrics": lambda: service.call("GET", "/metrics"),
        "events": first_event,
    }
    assert tuple(kinds) == _KINDS
    run.calls = {kind: [] for kind in kinds}
    changes: list[float] = []
    begun = time.monotonic()
    for number in range(count * len(kinds)):
        due = begun + within * number / (count * len(kinds))
        time.sleep(max(0.0, due - time.monotonic()))
        kind = _KINDS[number % len(kinds)]
        asked = time.monotonic()
        kinds[kind]()
        run.calls[kind].append(time.monotonic() - asked)
        if kind == "config":
            changes.append(asked)
    return changes


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- the report ---------------------------------------------------------------


def _calls_table(run: Run) -> Iterator[str]:
    yield "| call | p50 | p95 | worst | n |"
    yield "| --- | --- | --- | --- | --- |"
    every = [seconds for kind in run.calls.values() for seconds in kind]
    rows = {**run.calls, "all": every, "config, until it is in force": run.applied}
    for kind, took in rows.items():
        found = (f"{1000 * seconds:.1f} ms" for seconds in quantiles(took).values())
        yield f"| {kind} | {' | '.join(found)} | {len(took)} |"


def _lesson_table(runs: Mapping[str, Run]) -> Iterator[str]:
    yield f"| the lesson | {' | '.join(runs)} |"
    yield f"| --- |{' --- |' * len(runs)}"
    rows: dict[str, list[str]] = {
        "load before": [f"{run.load:.1f}" for run in runs.values()],
        "seconds with 24 pictures": [],
        "fewest in a second": [],
        "slices late": [],
        "slices of replies missing": [],
    }
    for run in runs.values():
        rates = [each["fps"] for each in run.slices]
        steady = sum(rate >= _STEADY for rate in rates)
        rows["seconds with 24 pictures"].append(f"{steady} of {len(rates)}")
        rows["fewest in a second"].append(f"{min(rates):.0f}")
        rows["slices late"].append(str(sum(each["late"] for each in run.slices)))
        rows["slices of replies missing"].append(str(sum(each["underruns"] for each in run.slices)))
        for one in run.measured:
            took = "none" if one.seconds is None else f"{one.seconds:.2f} s"
            rows.setdefault(f"{one.kind}, at {one.at:.0f} s", []).append(took)
        for number, parts in enumerate(run.replies, 1):
            told = (f"{parts[part]:.2f}" for part in _PARTS if parts[part] is not None)
            rows.setdefault(f"reply {number} by the log: {', '.join(_PARTS)}", []).append(
                " ".join(told)
            )
    for name, cells in rows.items():
        yield f"| {name} | {' | '.join(cells)} |"


def judge(called: Run, cores: int) -> tuple[int, list[str]]:
    """The exit code, and what is to be said: 1 if the calls took too long or cost the lesson
    pictures, on a machine whose ``cores`` were not all taken before the lesson began."""
    told = []
    every = quantiles([seconds for kind in called.calls.values() for seconds in kind])["p95"]
    if every > _ANSWERED:
        told.append(f"calls took {1000 * every:.1f} ms (p95), more than {1000 * _ANSWERED:.0f}")
    applied = quantiles(called.applied)["p95"]
    if applied > _APPLIED:
        told.append(
            f"a setting was in force after {1000 * applied:.1f} ms (p95),"
            f" more than {1000 * _APPLIED:.0f}"
        )
    if slow := sum(each["fps"] < _STEADY for each in called.slices):
        told.append(f"{slow} seconds of the called lesson had fewer than {_STEADY:.0f} pictures")
    if not told or called.load <= cores:
        return (1 if told else 0), told
    busy = f"the machine was busy before the lesson: a load of {called.load:.1f} on {cores} cores"
    return 0, [*told, f"that does not count, because {busy}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Hold both lessons and print what was found as tables. 1 if it is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m maestra.app.experiments.http_latency")
    parser.add_argument("--calls", type=int, default=300, help="of each kind (default: 300)")
    parser.add_argument(
        "--only-called", action="store_true", help="leave out the lesson without calls"
    )
    parsed = parser.parse_args(arguments)
    machine = look()
    print(machine, "\n", flush=True)
    runs: dict[str, Run] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="maestra-") as folder:
            if not parsed.only_called:
                runs["nobody calls"] = _hold(Path(folder) / "alone", calls=0)
            called = runs["somebody calls"] = _hold(Path(folder) / "called", calls=parsed.calls)
    except KeyboardInterrupt:
        print("ended early: there is nothing to tell", file=sys.stderr)
        return 130
    code, told = judge(called, machine.cores)
    print("\n".join([*_calls_table(called), "", *_lesson_table(runs), "", *told]))
    return code


if __name__ == "__main__":
    sys.exit(main())
