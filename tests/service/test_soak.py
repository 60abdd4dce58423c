"""Two minutes of the soak: a real session, a real server, and connections that drop at random."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("faster_whisper")
pytest.importorskip("piper")
pytest.importorskip("torch")
pytest.importorskip("litestar")
pytest.importorskip("matplotlib")

import psutil
from fakes.bot import DEPLOY, rtmp_server

from maestra.app.experiments.soak import findings
from maestra.app.experiments.soak.lesson import Held, Memory, plan

pytestmark = [pytest.mark.models, pytest.mark.timeout(400)]

_SOAK = [sys.executable, "-m", "maestra.app.experiments.soak"]


def soak(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    with rtmp_server(folder / "probe"):
        pass  # skips where there is none
    nginx = ("--nginx", str(DEPLOY / "nginx.conf"), "--out", str(folder / "soak"))
    return subprocess.Popen([*_SOAK, *arguments, *nginx], stdout=subprocess.PIPE, text=True)


def outcome(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "soak" / "soak.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.slow
def test_two_minutes(tmp_path: Path) -> None:
    process = soak(tmp_path, "--minutes", "2", "--every", "12", "--seed", "3")
    said, _ = process.communicate(timeout=350)
    told = outcome(tmp_path)
    found = told["found"]
    assert process.returncode == 0 and not told["complaints"], said[-3000:]
    assert found["minutes"] > 1.9 and len(found["faults"]) >= 3
    assert found["output"]["went_back"] == 0 and found["output"]["packets"] > 5000
    assert found["kept"]["takes"] >= 1 and found["events"]["fps"]["seconds"] > 100
    assert found["events"]["restored"]["ingest"]["n"] >= 1
    assert found["events"]["restored"]["publish"]["n"] >= 1
    assert (tmp_path / "soak" / "memory.png").stat().st_size > 5000


@pytest.mark.slow
def test_ctrl_c_ends_it_with_what_there_is(tmp_path: Path) -> None:
    process = soak(tmp_path, "--minutes", "5", "--seed", "3")
    assert process.stdout is not None
    while "of 5 min" not in process.stdout.readline():
        assert process.poll() is None
    below = psutil.Process(process.pid).children(recursive=True)
    time.sleep(10)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert outcome(tmp_path)["found"]["session"]["cause"] == "stopped"
    _, left = psutil.wait_procs(below, timeout=5)
    assert not left


def test_the_plan_follows_from_the_seed_and_leaves_room() -> None:
    faults = list(plan(3600, 30, 1))

    assert faults == list(plan(3600, 30, 1)) != list(plan(3600, 30, 2))
    assert 80 < len(faults) < 130 and len({one.kind for one in faults}) == 4
    for one, after in itertools.pairwise(faults):
        assert after.at - one.at - one.duration >= 15.0
    assert faults[-1].at < 3585


def test_what_is_not_well_is_found(tmp_path: Path) -> None:
    packets: list[dict[str, Any]] = [
        {"t": 100.0 + slot / 25, "pts": slot / 25, "kind": "video", "size": 1}
        for slot in range(100)
    ]
    moved = [{**one, "t": one["t"] + 60, "pts": one["pts"] + 57.0} for one in packets[:80]]
    packets[50]["pts"] = 0.5
    for number, kept in enumerate((packets, moved)):
        lines = "".join(json.dumps(one) + "\n" for one in kept)
        (tmp_path / f"viewer-{number:04}.jsonl").write_text(lines + '{"t": 1')
    events = [
        {"t": 1.0, "type": "state", "from": "passive_listening", "to": "responding", "cause": "x"},
        {"t": 2.0, "type": "state", "from": "passive_listening", "to": "speaking", "cause": "x"},
    ]
    text = "".join(json.dumps(one) + "\n" for one in events)
    (tmp_path / "events.jsonl").write_text(text)
    status = [{"at": 1.0, "takes": 2, "notes": 9}, {"at": 6.0, "takes": 1, "notes": 9}]
    held = Held(folder=tmp_path, seconds=60.0, status=status, ended={"cause": "crashed"})

    told = findings.complaints(findings.find(held))
    assert [
        "time stamps went back 1 times: ['viewer-0000.jsonl: video 1.960 -> 0.500']",
        "the output's clock was off by up to 3.0 s",
        "takes or notes were lost: ['takes 2 -> 1 at 6 s']",
    ] == told[:3]
    assert "passive_listening -> speaking" in told[3] and "crashed" in told[4] and len(told) == 5


def test_a_quiet_run_is_well(tmp_path: Path) -> None:
    line = '{{"t": {}, "pts": {}, "kind": "video", "size": 1}}\n'
    lines = "".join(line.format(7 + slot / 25, slot / 25) for slot in range(100))
    (tmp_path / "viewer-0000.jsonl").write_text(lines)
    status = [{"at": 1.0, "takes": 1, "notes": 9}]
    held = Held(folder=tmp_path, seconds=60.0, status=status, ended={"cause": "stopped"})

    assert not findings.complaints(findings.find(held))


@pytest.mark.parametrize(("minutes", "per_hour", "grew"), [(40, 60, 1), (40, 40, 0), (25, 60, 0)])
def test_memory_that_grows_is_told(
    tmp_path: Path, minutes: int, per_hour: float, grew: int
) -> None:
    """Its own, of all processes together, and not in a run that is too short to tell."""
    memory = [
        Memory(
            at=at,
            pss={"session": 10**9},
            uss={
                "session": 5 * 10**8,
                "hearing": round(10**8 + at / 3600 * per_hour * 10**6),
                "speaker": (3 if at % 300 == 0 else 2) * 10**8,  # as she speaks
            },
        )
        for at in map(float, range(20, 60 * minutes, 20))
    ]
    held = Held(folder=tmp_path, seconds=60.0 * minutes, memory=memory)

    told = findings.complaints(findings.find(held))
    assert told.count(f"the memory grew by {per_hour:.1f} MB an hour, more than 50") == grew
    assert sum("memory" in one for one in told) == grew
