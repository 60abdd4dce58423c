"""A lesson over RTMP, held by the command line as a user would, and recorded by a viewer."""

from __future__ import annotations

import json
import math
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from attrs import frozen

from maestra.core.log import check_log

from .machine import Sample, Watch

__all__ = ["Held", "events_of", "fast", "hold", "troubles"]

_STREAMS = [sys.executable, "-m", "maestra.app.demo.streams"]
_MAESTRA = [sys.executable, "-m", "maestra.app.cli", "lesson"]
_PATIENCE = 90.0
"""Seconds beyond its duration that a lesson may take, with loading and goodbyes."""

_AFTERWARDS = 3.0
"""Seconds the lesson goes on after the student has left."""


@frozen(kw_only=True)
class Held:
    """A lesson that was held: the viewer's file and log, the student's log, the event log, what
    the processes took, how long the command lived (s), and its exit code."""

    folder: Path
    seconds: float
    exit_code: int
    samples: Sequence[Sample]

    @property
    def video(self) -> Path:
        return self.folder / "teacher.mp4"

    @property
    def seen(self) -> Path:
        return self.folder / "viewer.jsonl"

    @property
    def sent(self) -> Path:
        return self.folder / "student.jsonl"

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"


def hold(
    lesson: Path, duration: float, folder: Path, *, say: Callable[[str], None] = print
) -> Held:
    """Play ``lesson`` live into the command and record what it publishes; files in ``folder``.

    :raises RuntimeError: the student's stream was not taken, or the command ended early.
    """
    folder.mkdir(parents=True, exist_ok=True)
    student, teacher = (f"rtmp://127.0.0.1:{_free_port()}/live/{who}" for who in "st")
    for name in ("teacher.mp4", "viewer.jsonl", "student.jsonl", "events.jsonl"):
        (folder / name).unlink(missing_ok=True)
    processes: list[subprocess.Popen[bytes]] = []

    def start(command: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C is for the bench
        )
        processes.append(process)
        return process

    begun = time.monotonic()
    with (folder / "output.txt").open("wb") as output:
        try:
            viewer = start(
                [
                    *(*_STREAMS, "record", f"{teacher}?listen=1", str(folder / "teacher.mp4")),
                    *("--log", str(folder / "viewer.jsonl")),
                ],
                output,
            )
            maestra = start(
                [
                    *(*_MAESTRA, f"{student}?listen=1", "--publish", teacher),
                    *("--events", str(folder / "events.jsonl")),
                ],
                output,
            )
            with Watch(maestra.pid) as watch:
                _await(folder / "events.jsonl", maestra)
                student_log = ["--log", str(folder / "student.jsonl")]
                player = start([*_STREAMS, "publish", str(lesson), student, *student_log], output)
                _wait(player, duration, say)
                time.sleep(_AFTERWARDS)
                maestra.send_signal(signal.SIGINT)
                maestra.wait(30)
            seconds = time.monotonic() - begun
            viewer.wait(15)
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                    process.wait()
    if player.returncode:
        raise RuntimeError("the student's stream was not taken to its end; see output.txt")
    return Held(
        folder=folder,
        seconds=seconds,
        exit_code=maestra.returncode,
        samples=watch.samples,
    )


def _await(events: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not (events.exists() and events.stat().st_size):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the lesson did not begin; see output.txt")
        time.sleep(0.1)


def _wait(process: subprocess.Popen[bytes], duration: float, say: Callable[[str], None]) -> None:
    begun = said = time.monotonic()
    while process.poll() is None:
        now = time.monotonic()
        if now - begun > duration + _PATIENCE:
            raise RuntimeError("the student's stream does not come to its end")
        if now - said > 30:
            said = now
            say(f"  {now - begun:.0f} of {duration:.0f} s")
        time.sleep(0.2)


def fast(
    lesson: Path,
    folder: Path,
    *,
    publish: Path | None = None,
    every: float = 1.0,
    limit: float = 3600.0,
    say: Callable[[str], None] = print,
) -> Held:
    """Hold ``lesson`` as fast as the machine can.

    :param publish: write the teacher's picture and voice here; absent, no picture is made.
    :raises RuntimeError: it failed, or took longer than ``limit`` s.
    """
    folder.mkdir(parents=True, exist_ok=True)
    events = folder / "events.jsonl"
    events.unlink(missing_ok=True)
    command = [*_MAESTRA, str(lesson), "--pace", "fast", "--events", str(events)]
    if publish is not None:
        publish.unlink(missing_ok=True)
        command += ["--publish", str(publish)]
    begun = said = time.monotonic()
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            with Watch(process.pid, every) as watch:
                while process.poll() is None:
                    now = time.monotonic()
                    if now - begun > limit:
                        raise RuntimeError(f"the lesson is not over after {limit:.0f} s")
                    if now - said > 30:
                        said = now
                        say(f"  {now - begun:.0f} s, {_reached(events):.0f} s into the lesson")
                    time.sleep(0.1)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    seconds = time.monotonic() - begun
    if process.returncode:
        raise RuntimeError(f"the lesson ended with exit code {process.returncode}; see output.txt")
    return Held(folder=folder, seconds=seconds, exit_code=process.returncode, samples=watch.samples)


def _reached(events: Path) -> float:
    """The media time (s) of the log's last whole line."""
    try:
        with events.open("rb") as file:
            file.seek(max(0, events.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
        return float(json.loads(lines[-2])["t"])
    except (OSError, IndexError, ValueError, KeyError):
        return 0.0


def events_of(held: Held) -> list[dict[str, Any]]:
    """The event log's records."""
    text = held.events.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


_TELLING = {"warning": "text", "adapter_failed": "text", "adapter_switched": "to"}


def troubles(held: Held, until: float = math.inf) -> list[str]:
    """What the exit code and the event log say that should not be, from the lesson's first second
    (before that it speaks of licences) to ``until`` (s; then the student leaves)."""
    found = [] if held.exit_code == 0 else [f"exit code {held.exit_code}"]
    found += [f"event log: {line}" for line in check_log(_lines(held.events))[:10]]
    told: dict[str, tuple[int, float]] = {}
    for record in events_of(held):
        if record["type"] in _TELLING and 0.5 < record["t"] < until:
            text = f"{record['type']}: {record[_TELLING[record['type']]]}"
            count, first = told.get(text, (0, record["t"]))
            told[text] = (count + 1, first)
    found += [
        f"{text} (at {first:.1f} s{f', {count} times' if count > 1 else ''})"
        for text, (count, first) in told.items()
    ]
    return found


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
