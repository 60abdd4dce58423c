"""The event log's keeper."""

from __future__ import annotations

import errno
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import IO

import anyio
import pytest

from maestra.app.event_log import EventLog, EventLogError, Subscription
from maestra.core import log

STARTED = log.SessionStarted(
    t=0.0, version="0", ingest="lesson.flac", persona="teacher_mary_v1", pace="fast"
)
ENDED = log.SessionEnded(t=9.0, cause="finished")


def _beat(t: float) -> log.Record:
    return log.Beat(t=t, at=t)


def _clock(step: float = 1.0) -> Callable[[], float]:
    ticks = itertools.count()
    return lambda: next(ticks) * step


def _records(path: Path) -> list[log.Record]:
    return [log.decode(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_lines_are_there_as_soon_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "events.jsonl"

    with EventLog(path, wall=_clock()) as event_log:
        event_log.append(STARTED)
        assert [record.type for record in _records(path)] == ["session_started"]
        event_log.append(ENDED)

    assert [record.wall for record in _records(path)] == [0.0, 1.0]
    assert log.check_log(path.read_text(encoding="utf-8").splitlines()) == ()


def test_a_file_that_cannot_be_opened_is_said_before_the_session_begins(tmp_path: Path) -> None:
    with pytest.raises(EventLogError, match="cannot be written: Is a directory"):
        EventLog(tmp_path)


def test_nothing_is_written_without_a_path() -> None:
    with EventLog() as event_log:
        event_log.append(STARTED)


class _Disk:
    """A file on a disk that has room for ``room`` bytes more."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self.file = file
        self.room = room

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self.file.write(data[: self.room])
        self.room -= written
        return written

    def __getattr__(self, name: str) -> object:
        return getattr(self.file, name)


def test_a_full_disk_costs_records_but_not_the_session(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    event_log = EventLog(path, wall=_clock())
    listener = event_log.subscribe()
    event_log.append(STARTED)
    disk = _Disk(event_log._file, room=10)  # type: ignore[arg-type]
    event_log._file = disk  # type: ignore[assignment]

    for t in range(1, 5):
        event_log.append(_beat(t))
    disk.room = 10**6
    event_log.append(_beat(5))  # too soon to try again
    event_log.append(_beat(6))
    event_log.append(_beat(7))
    event_log.append(ENDED)
    event_log.close()

    text = path.read_text(encoding="utf-8")
    assert log.check_log(text.splitlines()) == ()
    assert [record.type for record in _records(path)] == [
        "session_started",
        "warning",
        "beat",
        "beat",
        "session_ended",
    ]
    warning = _records(path)[1]
    assert isinstance(warning, log.Warned)
    assert "5 records were lost" in warning.text
    heard = [record for record in listener._waiting if isinstance(record, log.Warned)]
    assert len(heard) == 1, "the listeners are warned once"
    assert "No space left" in heard[0].text


def test_the_last_record_is_always_tried(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    event_log = EventLog(path, wall=_clock(step=0.1))
    event_log.append(STARTED)
    disk = _Disk(event_log._file, room=0)  # type: ignore[arg-type]
    event_log._file = disk  # type: ignore[assignment]
    event_log.append(_beat(1))
    disk.room = 10**6

    event_log.append(ENDED)
    event_log.close()

    assert [r.type for r in _records(path)] == ["session_started", "warning", "session_ended"]


def test_a_record_that_json_cannot_hold_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path, wall=_clock()) as event_log:
        event_log.append(STARTED)
        event_log.append(log.Beat(t=1.0, at=float("nan")))
        event_log.append(ENDED)

    assert [r.type for r in _records(path)] == ["session_started", "warning", "session_ended"]
    assert json.loads(path.read_text().splitlines()[1])["text"].startswith("a record of type beat")


@pytest.mark.parametrize(
    ("record", "t"),
    [
        (log.Beat(t=7.0, at=float("nan")), 7.0),
        (log.Beat(t=float("nan"), at=1.0), 6.0),
        (log.Beat(t=float("inf"), at=1.0), 6.0),
    ],
)
def test_what_stands_for_such_a_record_is_at_its_time(
    record: log.Record, t: float, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path, wall=_clock()) as event_log:
        event_log.append(STARTED)
        event_log.append(_beat(6.0))
        event_log.append(record)
        event_log.append(ENDED)

    assert [(r.type, r.t) for r in _records(path)][2:] == [("warning", t), ("session_ended", 9.0)]


def test_a_record_without_a_time_after_a_gap_is_no_end_of_the_log(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    event_log = EventLog(path, wall=_clock(step=10.0))
    event_log.append(STARTED)
    disk = _Disk(event_log._file, room=0)  # type: ignore[arg-type]
    event_log._file = disk  # type: ignore[assignment]
    event_log.append(_beat(6.0))
    disk.room = 10**6

    event_log.append(log.Beat(t=float("nan"), at=1.0))
    event_log.append(ENDED)
    event_log.close()

    assert [(r.type, r.t) for r in _records(path)] == [
        ("session_started", 0.0),
        ("warning", 6.0),
        ("warning", 6.0),
        ("session_ended", 9.0),
    ]
    assert log.check_log(path.read_text(encoding="utf-8").splitlines()) == ()


async def _types(subscription: Subscription) -> list[str]:
    return [record.type async for record in subscription]


@pytest.mark.anyio
@pytest.mark.parametrize("replay", [False, True])
async def test_a_closed_log_has_nothing_more_to_come(anyio_backend: str, replay: bool) -> None:
    event_log = EventLog(wall=_clock())
    event_log.append(STARTED)
    event_log.append(ENDED)
    event_log.close()

    with anyio.fail_after(5):
        heard = await _types(event_log.subscribe(replay=replay))

    assert heard == (["session_started", "session_ended"] if replay else [])


@pytest.mark.anyio
async def test_a_listener_that_comes_late_hears_how_it_began_and_nothing_twice(
    anyio_backend: str,
) -> None:
    event_log = EventLog(wall=_clock())
    event_log.append(STARTED)
    event_log.append(log.Warned(t=0.0, source="licence", text="x"))

    late = event_log.subscribe(replay=True)
    event_log.append(_beat(1.0))
    later = event_log.subscribe(replay=True)
    event_log.append(ENDED)
    event_log.close()

    everything = ["session_started", "warning", "beat", "session_ended"]
    assert await _types(late) == everything
    assert await _types(later) == everything
    assert (late.lost, later.lost) == (0, 0)


@pytest.mark.anyio
async def test_what_is_not_kept_for_a_replay_is_counted_as_lost(anyio_backend: str) -> None:
    event_log = EventLog(wall=_clock())
    for t in range(500):
        event_log.append(_beat(float(t)))

    subscription = event_log.subscribe(replay=True)
    event_log.append(_beat(500.0))
    event_log.close()

    times = [record.t async for record in subscription]
    assert times == [*map(float, range(200)), 500.0]
    assert subscription.lost == 300


@pytest.mark.anyio
async def test_a_listener_hears_everything_from_now_on(anyio_backend: str) -> None:
    event_log = EventLog(wall=_clock())
    event_log.append(STARTED)
    heard: list[str] = []

    async def listen() -> None:
        heard.extend([record.type async for record in subscription])

    subscription = event_log.subscribe()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await anyio.lowlevel.checkpoint()
        event_log.append(_beat(1.0))
        await anyio.lowlevel.checkpoint()
        event_log.append(ENDED)
        event_log.close()

    assert heard == ["beat", "session_ended"]


@pytest.mark.anyio
async def test_a_listener_that_sleeps_loses_the_oldest(anyio_backend: str) -> None:
    event_log = EventLog(wall=_clock())
    subscription = event_log.subscribe(limit=2)
    for t in range(5):
        event_log.append(_beat(t))
    event_log.close()

    assert [record.t async for record in subscription] == [3.0, 4.0]
    assert subscription.lost == 3
