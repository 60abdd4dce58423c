"""Many lessons at once: who is admitted, and whether they keep their frames."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from ...service.measuring import phase_at
from .serving import Lesson, Sampler, Served, Taken, families, free_port, served, student, viewer

__all__ = ["Held", "at_once", "hold", "steady_seconds"]

_STEADY_FPS = 24
_LOADED_WITHIN = 150.0
_MEASURED_WITHIN = 200.0


@frozen(kw_only=True)
class Held:
    """How one lesson fared. Seconds with fewer than 24 frames, of how many: by the time stamps of
    what a viewer got, by when it came, and by the lesson's own records."""

    number: int
    admitted: bool
    refused: str
    seconds: int
    slow_by_stamp: int
    slow_by_arrival: int
    told: int
    slow_as_told: int
    least_fps: float
    held_frames: int
    underruns: int
    answers: Sequence[float]
    cpu: Mapping[str, float]
    cpu_by_phase: Mapping[str, tuple[float, float, float, int]]
    pss: int
    rss: int
    ended: Mapping[str, Any] | None
    complaints: Sequence[str]


@define
class _Run:
    service: Served
    folder: Path
    lessons: list[Lesson]
    leaders: dict[int, int] = field(factory=dict)
    begun: dict[int, float] = field(factory=dict)


def hold(
    count: int,
    seconds: float,
    folder: Path,
    *,
    settings: Sequence[str] = (),
    kill: bool = False,
    late: bool = False,
) -> tuple[Mapping[str, Any], list[Held]]:
    """Ask for ``count`` lessons at once, once the machine has been measured, and teach those that
    are admitted for ``seconds``, all of them at the same time.

    :returns: what the service says of how many may run, and how each fared.
    :param kill: half-way, kill the process of the first with SIGKILL.
    :param late: half-way, ask for one more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        service = stack.enter_context(
            served(folder, ("service.measure=true", "service.starts_per_minute=1000", *settings))
        )
        lessons = [
            Lesson(number=number, ingest=free_port(), publish=free_port())
            for number in range(count + late)
        ]
        run = _Run(service, folder, lessons)
        for lesson in lessons:
            url = f"rtmp://127.0.0.1:{lesson.publish}/live/teacher"
            out = folder / f"{lesson.number}.mp4"
            stack.enter_context(viewer(url, out, folder / f"{lesson.number}.jsonl"))
        overview = _await_measured(service)
        at_once(service, lessons[:count])
        admitted = [lesson for lesson in lessons if lesson.id]
        if not admitted:
            raise RuntimeError(f"no lesson was admitted: {lessons[0].refused}")
        sampler = stack.enter_context(Sampler(service.process.pid))
        for lesson in admitted:
            service.await_state(lesson.id, "running", "ended", within=_LOADED_WITHIN)
            run.leaders[lesson.number] = _leader(service, lesson)
            stack.enter_context(student(f"rtmp://127.0.0.1:{lesson.ingest}/live/student"))
        begun = time.monotonic()
        time.sleep(seconds / 2)
        if kill:
            os.kill(run.leaders[0], signal.SIGKILL)
        if late:
            service.start(lessons[-1])
        time.sleep(seconds / 2)
        end = time.monotonic()
        for lesson in lessons:
            if lesson.id:
                service.stop(lesson.id)
        return overview, [_held(run, lesson, sampler, begun, end) for lesson in lessons]


def _await_measured(service: Served) -> Mapping[str, Any]:
    deadline = time.monotonic() + _MEASURED_WITHIN
    while (overview := service.call("GET", "/sessions").body)["limited_by"] == "measuring":
        if time.monotonic() > deadline:
            raise TimeoutError("the machine is still being measured")
        time.sleep(0.5)
    found: Mapping[str, Any] = overview
    return found


def at_once(service: Served, lessons: Sequence[Lesson]) -> None:
    """Ask for all of them, none waiting for another's answer."""
    asking = [threading.Thread(target=service.start, args=(lesson,)) for lesson in lessons]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()


def _leader(service: Served, lesson: Lesson) -> int:
    """The process that leads the lesson's: the one whose input listens where it was told to."""
    for leader, family in families(service.process.pid).items():
        for process in family:
            for connection in process.net_connections("tcp"):
                if connection.laddr and connection.laddr.port == lesson.ingest:
                    return leader
    return 0


def steady_seconds(log: Path, begin: float, end: float) -> tuple[int, int, int]:
    """Of the whole seconds that a viewer's log has between ``begin`` and ``end`` (s, monotonic):
    how many there are, and how many had fewer than 24 pictures, by their time stamps and by when
    they came."""
    pictures = [
        packet
        for packet in (json.loads(line) for line in log.read_text(encoding="utf-8").splitlines())
        if packet["kind"] == "video" and begin <= packet["t"] <= end
    ]
    if not pictures:
        return 0, 0, 0
    by_stamp = _per_second([packet["pts"] for packet in pictures])
    by_arrival = _per_second([packet["t"] for packet in pictures])
    return (
        len(by_stamp),
        sum(count < _STEADY_FPS for count in by_stamp),
        sum(count < _STEADY_FPS for count in by_arrival),
    )


def _per_second(times: Sequence[float]) -> list[int]:
    """How many of ``times`` lie in each whole second from the first on."""
    first = min(times)
    counts = [0] * int(max(times) - first)
    for at in times:
        if (second := int(at - first)) < len(counts):
            counts[second] += 1
    return counts


def _held(run: _Run, lesson: Lesson, sampler: Sampler, begin: float, end: float) -> Held:
    events: list[dict[str, Any]] = []
    ended: Mapping[str, Any] | None = None
    if lesson.id:
        ended = run.service.await_state(lesson.id, "ended")["ended"]
        events = [
            event
            for event in run.service.events(lesson.id)
            if begin <= float(event.get("wall") or 0) <= end
        ]
    log = run.folder / f"{lesson.number}.jsonl"
    seconds = steady_seconds(log, begin, end) if lesson.id and log.exists() else (0, 0, 0)
    slices = [event for event in events if event["type"] == "slice"]
    samples = [
        one
        for one in sampler.samples.get(run.leaders.get(lesson.number, 0), ())
        if begin <= one.at <= end
    ]
    return Held(
        number=lesson.number,
        admitted=bool(lesson.id),
        refused=lesson.refused,
        seconds=seconds[0],
        slow_by_stamp=seconds[1],
        slow_by_arrival=seconds[2],
        told=len(slices),
        slow_as_told=sum(one["fps"] < _STEADY_FPS for one in slices),
        least_fps=min((one["fps"] for one in slices), default=0.0),
        held_frames=sum(one["held"] for one in slices),
        underruns=sum(one["underruns"] for one in slices),
        answers=[
            round(event["latency"]["total"], 2)
            for event in events
            if event["type"] == "reply_started" and event["latency"].get("total") is not None
        ],
        cpu=_mean_cpu(samples),
        cpu_by_phase=_by_phase(samples, events),
        pss=max((one.pss for one in samples), default=0),
        rss=max((one.rss for one in samples), default=0),
        ended=ended,
        complaints=[
            f"{event['type']}: {event.get('text') or event.get('to') or event.get('cause')}"
            for event in events
            if event["type"] in ("warning", "adapter_failed", "adapter_switched", "face_degraded")
        ],
    )


def _mean_cpu(samples: Sequence[Taken]) -> dict[str, float]:
    """Processors taken by each process, on average."""
    if len(samples) < 2:
        return {}
    first, last = samples[0], samples[-1]
    return {
        name: round((last.cpu.get(name, 0.0) - first.cpu.get(name, 0.0)) / (last.at - first.at), 3)
        for name in last.cpu
    }


def _by_phase(
    samples: Sequence[Taken], events: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[float, float, float, int]]:
    """Processors taken, by what happens: mean, 95th centile and most of the seconds, and how many
    there were."""
    found: dict[str, list[float]] = {}
    for before, after in itertools.pairwise(samples):
        phase = phase_at(events, (before.at + after.at) / 2)
        taken = sum(after.cpu.values()) - sum(before.cpu.values())
        found.setdefault(phase, []).append(taken / (after.at - before.at))
    return {
        phase: (
            round(sum(values) / len(values), 3),
            round(sorted(values)[int(0.95 * (len(values) - 1))], 3),
            round(max(values), 3),
            len(values),
        )
        for phase, values in found.items()
    }
