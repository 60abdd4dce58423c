"""The demo: a recorded lesson goes in as a live stream, and the teacher comes out as one.

Student, teacher and viewer are processes of their own and meet over RTMP on this machine, as they
would over a network.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import Process

from maestra.ports.errors import StreamError

from ..cli.lesson import sit_in
from ..config import Config

__all__ = ["LESSON", "play"]

LESSON = Path(__file__).with_name("data") / "lesson.flac"
"""The recorded lesson. ``lesson.json`` beside it says what is in it and when."""

_GOODBYE = 10.0
"""Seconds that the viewer has to finish its file."""


def play(config: Config, *, out: Path) -> int:
    """Hold the demo lesson; leave ``lesson.mp4``, ``lesson.events.jsonl`` and
    ``lesson.latencies.txt`` (and ``.json``) in the folder ``out``. The exit code.

    :raises MaestraError: it could not be held.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StreamError(f"{out} cannot be made: {error.strerror}") from error
    with tempfile.TemporaryDirectory(prefix="maestra-") as folder:
        logs = Path(folder)
        finished = anyio.run(_hold, config, out, logs)
        if not finished:
            print(f"Ended early. What there is, is in {out}.")
            return 0
        _report(out, logs)
    return 0


async def _hold(config: Config, out: Path, logs: Path) -> bool:
    """Hold the lesson; false if a signal ended it."""
    lesson = f"rtmp://127.0.0.1:{_free_port()}/live/student"
    teacher = f"rtmp://127.0.0.1:{_free_port()}/live/teacher"
    recorded = str(out / "lesson.mp4")
    ready = anyio.Event()

    async def student() -> None:
        await ready.wait()
        log = logs / "student.jsonl"
        async with _machine("publish", str(LESSON), lesson, log) as process:
            await process.wait()
            # One that was heard and then broke off did so because the lesson was over.
            if process.returncode and not log.exists():
                raise StreamError("the student's stream did not reach the teacher")

    async with (
        _machine("record", f"{teacher}?listen=1", recorded, logs / "viewer.jsonl") as viewer,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(student)
        finished = await sit_in(
            config,
            ingest=f"{lesson}?listen=1",
            publish=teacher,
            events=out / "lesson.events.jsonl",
            end_on_close=True,
            ready=ready,
        )
        with anyio.move_on_after(_GOODBYE):
            await viewer.wait()
        tasks.cancel_scope.cancel()
    if finished and viewer.returncode:
        raise StreamError(f"the viewer could not keep what it saw in {recorded}")
    return finished


@asynccontextmanager
async def _machine(what: str, source: str, target: str, log: Path) -> AsyncIterator[Process]:
    """The student's or the viewer's machine: a process that is ended when it is left."""
    process = await anyio.open_process(
        [sys.executable, "-m", f"{__name__}.streams", what, source, target, "--log", str(log)],
        stdin=subprocess.DEVNULL,
        stdout=None,
        stderr=subprocess.DEVNULL,  # what went wrong shows in the exit status
        start_new_session=True,  # a terminal's Ctrl-C is for the lesson
    )
    try:
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.terminate()
                with anyio.move_on_after(_GOODBYE):
                    await process.wait()
            if process.returncode is None:
                process.kill()
            await process.aclose()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _report(out: Path, logs: Path) -> None:
    from .latencies import as_json, load_recording, measure, published_at, table

    events = json.loads(LESSON.with_suffix(".json").read_text(encoding="utf-8"))["events"]
    recording = load_recording(out / "lesson.mp4", logs / "viewer.jsonl")
    measured = list(measure(events, recording, published_at(logs / "student.jsonl")))
    (out / "lesson.latencies.txt").write_text(table(measured), encoding="utf-8")
    (out / "lesson.latencies.json").write_text(as_json(measured), encoding="utf-8")
    print(f"\n{table(measured)}")
    for name in ("lesson.mp4", "lesson.events.jsonl", "lesson.latencies.txt"):
        print(out / name)
