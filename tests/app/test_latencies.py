"""Latencies are measured from the streams alone."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from maestra.app.demo import LESSON
from maestra.app.demo.latencies import (
    Measured,
    Recording,
    audible_spans,
    load_recording,
    measure,
    published_at,
    table,
)

RATE_HZ = 48_000


def _teacher(*spans: tuple[float, float], duration: float = 60.0) -> Recording:
    """A recording in which the teacher speaks in ``spans``; it arrives 0.1 s after it was made, and
    its time stamps begin at 5 s."""
    samples = np.zeros(round(duration * RATE_HZ), np.float32)
    for start, end in spans:
        samples[round(start * RATE_HZ) : round(end * RATE_HZ)] = 0.1
    pts = [5.0 + n * 1024 / RATE_HZ for n in range(len(samples) // 1024)]
    return Recording(
        samples=samples,
        rate_hz=RATE_HZ,
        start=5.0,
        pts=pts,
        arrived=[1000.0 + (time - 5.0) + 0.1 for time in pts],
    )


def _event(role: str, start: float, end: float) -> dict[str, object]:
    return {"role": role, "start": start, "end": end, "text": role}


def test_pauses_between_sentences_do_not_end_what_is_said() -> None:
    recording = _teacher((1.0, 2.0), (2.5, 3.0), (4.0, 5.0))

    assert audible_spans(recording.samples, RATE_HZ) == [
        pytest.approx((1.0, 3.0), abs=0.011),
        pytest.approx((4.0, 5.0), abs=0.011),
    ]


def test_each_latency_is_what_a_viewer_would_find() -> None:
    recording = _teacher((10.6, 15.0), (20.5, 22.3), (30.0, 31.0))
    lesson = [
        _event("music", 1.0, 8.0),
        _event("wake", 9.0, 10.0),
        _event("follow_up", 19.0, 20.0),
        _event("barge_in", 22.0, 23.0),
        _event("wake", 40.0, 41.0),
        _event("barge_in_music", 45.0, 50.0),
    ]

    measured = list(measure(lesson, recording, published=1000.0))

    assert [one.kind for one in measured] == ["wake", "turn_taking", "barge_in", "wake", "barge_in"]
    tolerance = 1024 / RATE_HZ + 0.011
    assert measured[0].seconds == pytest.approx(0.7, abs=tolerance)
    assert measured[1].seconds == pytest.approx(0.6, abs=tolerance)
    assert measured[2].seconds == pytest.approx(0.4, abs=tolerance)
    assert measured[3].seconds is None, "no answer"
    assert measured[4].seconds is None, "nobody to interrupt"


def test_the_table_marks_what_is_too_slow() -> None:
    rows = table(
        [
            Measured(kind="wake", at=10.0, text="quick", seconds=1.9),
            Measured(kind="wake", at=10.0, text="slow", seconds=2.1),
            Measured(kind="barge_in", at=10.0, text="deaf", seconds=None),
        ]
    ).splitlines()[1:]

    assert [row.endswith("!") for row in rows] == [False, True, True]


def test_the_lesson_is_there_and_was_made() -> None:
    truth = json.loads(Path(LESSON).with_suffix(".json").read_text(encoding="utf-8"))
    roles = [event["role"] for event in truth["events"]]

    assert LESSON.stat().st_size < 1_500_000
    assert roles.count("wake") == 2
    assert {"follow_up", "barge_in", "barge_in_music"} < set(roles)
    assert all("recording" not in event["source"] for event in truth["events"])
    assert [e["start"] for e in truth["events"]] == sorted(e["start"] for e in truth["events"])


@pytest.mark.slow
def test_the_path_from_the_student_to_the_viewer_is_measured_to_a_frame(tmp_path: Path) -> None:
    """Student and viewer joined without a teacher between them: what is heard is what was sent."""
    samples = np.zeros(4 * RATE_HZ)
    samples[RATE_HZ : 3 * RATE_HZ] = 0.3 * np.sin(
        2 * np.pi * 440 / RATE_HZ * np.arange(2 * RATE_HZ)
    )
    with wave.open(str(tmp_path / "sent.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"rtmp://127.0.0.1:{probe.getsockname()[1]}/live/test"
    streams = [sys.executable, "-m", "maestra.app.demo.streams"]
    kept, seen, sent = (str(tmp_path / name) for name in ("kept.mp4", "seen.jsonl", "sent.jsonl"))

    with subprocess.Popen([*streams, "record", f"{url}?listen=1", kept, "--log", seen]) as viewer:
        subprocess.run(
            [*streams, "publish", str(tmp_path / "sent.wav"), url, "--log", sent],
            check=True,
            timeout=30,
        )
        assert viewer.wait(timeout=20) == 0

    recording = load_recording(Path(kept), Path(seen))
    ((start, end),) = audible_spans(recording.samples, recording.rate_hz)
    published = published_at(Path(sent))
    assert recording.heard_at(start) - published == pytest.approx(1.05, abs=0.1)
    assert recording.heard_at(end) - published == pytest.approx(3.05, abs=0.1)
