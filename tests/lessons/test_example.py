"""The example of a coordinator runs as it is, on the demo lesson."""

from __future__ import annotations

import functools
import runpy
from pathlib import Path

import pytest

import maestra
from maestra.app.demo import LESSON
from maestra.core import log

from .event_logs import records

EXAMPLE = Path(__file__).parents[2] / "examples" / "coordinator.py"

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(180),
    pytest.mark.models,
    pytest.mark.slow,
]


async def test_the_coordinator_tells_a_lesson_and_resets_between_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("faster_whisper", "piper", "torch"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    fast = functools.partial(maestra.open_session, pace="fast")
    monkeypatch.setattr(maestra, "open_session", fast)
    example = runpy.run_path(str(EXAMPLE))

    await example["hold"](str(LESSON), "teacher.mp4")

    found = records(tmp_path / "lesson.events.jsonl")
    (reset,) = [r for r in found if isinstance(r, log.ContextReset)]
    assert reset.turns, "of what was said of the first piece"
    assert not reset.performance
    told = capsys.readouterr()
    assert not told.err
    for what in (
        "called: ",
        "caption: ",
        "the teacher stopped (finished) after: ",
        "the teacher stopped (music) after: ",
        "take 1 is over: ",
        f"a new piece: {reset.turns} turns are forgotten",
        "take 3 is over: ",
        "status at the end: ",
    ):
        assert what in told.out, told.out
    assert (tmp_path / "teacher.mp4").stat().st_size
