"""``maestra demo``, which is what ``make run`` runs: the whole of it, as anybody would see it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from fakes.leftovers import leaving_nothing

from maestra.app.demo import LESSON
from maestra.core import log

from .event_logs import records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.models]


def test_the_demo_leaves_a_film_its_log_and_all_latencies(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("faster_whisper", "piper", "torch"):
        pytest.importorskip(package)
    out = tmp_path / "out"
    with leaving_nothing(monkeypatch, tmp_path_factory.mktemp("temporary")):
        done = subprocess.run(
            [sys.executable, "-m", "maestra.app.cli", "demo", "--out", out],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=220,
            check=False,
        )

    assert 0 == done.returncode, done.stdout
    found = records(out / "lesson.events.jsonl")
    assert isinstance(found[-1], log.SessionEnded)
    assert "finished" == found[-1].cause
    rows = json.loads((out / "lesson.latencies.json").read_text(encoding="utf-8"))
    asked = json.loads(LESSON.with_suffix(".json").read_text(encoding="utf-8"))["events"]
    assert [e["end"] for e in asked if e["role"] in ("wake", "follow_up")] == [
        row["at"] for row in rows if row["kind"] != "barge_in"
    ]
    assert 2 == sum(row["kind"] == "barge_in" for row in rows)
    assert all(row["seconds"] is not None for row in rows), rows
    table = (out / "lesson.latencies.txt").read_text(encoding="utf-8")
    assert table in done.stdout
    assert "none" not in table
    _check_film(out / "lesson.mp4", found[-1].t)


def _check_film(path: Path, duration: float) -> None:
    """It is as long as the lesson, something is heard, and what is seen moves."""
    with av.open(str(path)) as film:
        pictures = [f.to_ndarray(format="gray")[::8, ::8].copy() for f in film.decode(video=0)]
    with av.open(str(path)) as film:
        (stream,) = film.streams.audio
        sound = np.concatenate([f.to_ndarray().mean(axis=0) for f in film.decode(stream)])
        seconds = len(sound) / stream.rate
    assert abs(len(pictures) - 25 * duration) <= 13
    assert abs(seconds - duration) <= 0.5
    assert len({picture.tobytes() for picture in pictures}) > len(pictures) / 4
    spoken = np.mean(np.abs(sound) > 0.01)
    assert 0.02 < spoken < 0.8, "she answers, and for the most time listens"
