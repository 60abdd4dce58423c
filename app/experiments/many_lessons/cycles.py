"""Lessons that come and go: what do they leave behind?"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
from attrs import asdict, define, field, frozen

from .serving import Lesson, Served, families, free_port, served, student, viewer

__all__ = ["Cycle", "Left", "come_and_go", "compare", "report"]

_SETTLED = 100
"""So many sessions that have ended are remembered: until then the service grows by right."""
_ENOUGH = 120
"""Cycles that there must be for what the service grows by to be told."""
_SEVERAL = 10
"""Cycles of which the least is taken for what the service holds."""
_GROWTH = 5_000_000
"""Bytes that it may grow by."""


@frozen(kw_only=True)
class Cycle:
    """After a lesson has ended: how long its loading and its stop took (s), how many processes it
    had had, and what the service then holds (``uss``: bytes that are its alone)."""

    number: int
    loading: float
    stopping: float
    processes: int
    descriptors: int
    threads: int
    uss: int
    children: int


@define(kw_only=True)
class Left:
    """What is left when all have gone, which should be nothing: of the service's descriptors and
    threads those more than after the first lessons, and of its memory the bytes more than when it
    first remembered as many lessons as it ever does (None: there were too few to tell)."""

    processes: list[str] = field(factory=list)
    ports: list[int] = field(factory=list)
    files: list[str] = field(factory=list)
    shared: list[str] = field(factory=list)
    descriptors: int = 0
    threads: int = 0
    memory: int | None = None
    failed: list[str] = field(factory=list)

    def __bool__(self) -> bool:
        more = self.descriptors > 0 or self.threads > 0 or (self.memory or 0) > _GROWTH
        return bool(
            more or self.processes or self.ports or self.files or self.shared or self.failed
        )


def come_and_go(
    cycles: int,
    folder: Path,
    *,
    taught: float = 1.0,
    settings: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> tuple[list[Cycle], Left]:
    """Start a lesson, have somebody play into it and watch for ``taught`` seconds, stop it; so many
    times. Each cycle is a line of ``cycles.jsonl`` in ``folder``. Ctrl-C ends it, with what has
    been found by then."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    shared = _shared()
    found: list[Cycle] = []
    left = Left()
    groups: set[int] = set()
    ports: list[int] = []
    with ExitStack() as stack:
        lines = stack.enter_context((folder / "cycles.jsonl").open("w", buffering=1))
        service = stack.enter_context(
            served(
                folder,
                ("service.starts_per_minute=10000", *settings),
                temporary=temporary,
            )
        )
        for number in range(cycles):
            lesson = Lesson(number=number, ingest=free_port(), publish=free_port())
            ports += [lesson.ingest, lesson.publish]
            try:
                cycle = _cycle(service, lesson, folder, taught, groups)
            except KeyboardInterrupt:
                say(f"ended early, in cycle {number}")
                break
            except (TimeoutError, RuntimeError, OSError) as error:
                left.failed.append(f"cycle {number}: {error}")
                say(left.failed[-1])
                continue
            found.append(cycle)
            lines.write(json.dumps(asdict(cycle)) + "\n")
            if number % 10 == 9:
                say(f"{number + 1} of {cycles}: {cycle}")
        compare(found, left)
        left.processes = _alive(groups)
    left.files = sorted(str(one.relative_to(temporary)) for one in temporary.rglob("*"))
    left.shared = sorted(_shared() - shared)
    left.ports = [port for port in ports if not _is_free(port)]
    return found, left


def compare(found: Sequence[Cycle], left: Left) -> None:
    """Note in ``left`` what the service holds more after the last lesson than before."""
    if not found:
        return
    # The first ones load what stays; and the least of several is looked at, for a connection that
    # the look itself has just closed may still be there, on the other side.
    first = found[2 : 2 + _SEVERAL] or found
    last = found[-min(_SEVERAL, max(1, len(found) // 2)) :]
    left.descriptors = min(one.descriptors for one in last) - min(one.descriptors for one in first)
    left.threads = min(one.threads for one in last) - min(one.threads for one in first)
    if len(found) >= _ENOUGH:
        settled = found[_SETTLED : _SETTLED + _SEVERAL]
        left.memory = min(one.uss for one in last) - min(one.uss for one in settled)


def _cycle(service: Served, lesson: Lesson, folder: Path, taught: float, groups: set[int]) -> Cycle:
    with viewer(
        f"rtmp://localhost:{lesson.publish}/live/teacher",
        folder / "viewer.mp4",
        folder / "viewer.jsonl",
    ):
        begun = time.monotonic()
        service.start(lesson)
        if not lesson.id:
            raise RuntimeError(f"refused: {lesson.refused}")
        now = service.await_state(lesson.id, "running", "ended")
        if now["state"] == "ended":
            raise RuntimeError(f"it did not begin: {now['ended']}")
        loading = time.monotonic() - begun
        taken = families(service.process.pid)
        groups |= set(taken)
        with student(f"rtmp://localhost:{lesson.ingest}/live/student"):
            time.sleep(taught)
        begun = time.monotonic()
        ended = service.stop(lesson.id)
        stopping = time.monotonic() - begun
        if ended.status != 200 or ended.body["ended"]["cause"] != "stopped":
            raise RuntimeError(f"it was not stopped: {ended.body}")
    process = psutil.Process(service.process.pid)
    return Cycle(
        number=lesson.number,
        loading=round(loading, 2),
        stopping=round(stopping, 2),
        processes=sum(map(len, taken.values())),
        descriptors=process.num_fds(),
        threads=process.num_threads(),
        uss=process.memory_full_info().uss,
        children=len(process.children(recursive=True)),
    )


def _alive(groups: set[int]) -> list[str]:
    """The processes of these groups that are still there."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) in groups and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid}: {' '.join(process.cmdline())}")
    return found


def _shared() -> set[str]:
    """What lies in shared memory."""
    with suppress(OSError):
        return set(os.listdir("/dev/shm"))
    return set()


def _is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def report(found: Sequence[Cycle], left: Left) -> dict[str, Any]:
    """The figures, to be written down."""
    loading = sorted(one.loading for one in found) or [0.0]
    stopping = sorted(one.stopping for one in found) or [0.0]
    return {
        "cycles": len(found),
        "loading_p50": loading[len(loading) // 2],
        "loading_worst": loading[-1],
        "stopping_p50": stopping[len(stopping) // 2],
        "stopping_worst": stopping[-1],
        "left": asdict(left),
    }
