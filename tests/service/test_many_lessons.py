"""Many real lessons at once, and one after another."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("faster_whisper")
pytest.importorskip("piper")
pytest.importorskip("torch")
pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from maestra.app.experiments.many_lessons.cycles import come_and_go
from maestra.app.experiments.many_lessons.together import hold

pytestmark = [pytest.mark.slow, pytest.mark.models, pytest.mark.realtime]


@pytest.mark.timeout(600)
def test_of_eight_that_start_at_once_those_that_fit_keep_24_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    overview, held = hold(8, 60, tmp_path)

    assert overview["limited_by"] == "measured"
    admitted = [one for one in held if one.admitted]
    assert len(admitted) == min(8, overview["most"])
    assert {one.refused for one in held if not one.admitted} <= {"full"}
    for one in admitted:
        assert one.seconds > 50 and one.told > 50
        assert one.slow_by_stamp == 0 and one.slow_as_told == 0, one
        assert one.ended == {"cause": "stopped", "text": ""}


@pytest.mark.timeout(600)
def test_one_is_killed_and_the_others_keep_every_frame(tmp_path: Path) -> None:
    _, held = hold(
        2, 40, tmp_path, settings=("service.measure=false", "service.max_sessions=2"), kill=True
    )

    killed, unharmed = held
    assert killed.ended == {
        "cause": "crashed",
        "text": "The session's process was ended by SIGKILL.",
    }
    assert unharmed.seconds > 30 and unharmed.told > 30
    assert unharmed.slow_by_stamp == 0 and unharmed.least_fps >= 25, unharmed
    assert unharmed.ended == {"cause": "stopped", "text": ""}


@pytest.mark.timeout(600)
def test_lessons_that_come_and_go_leave_nothing(tmp_path: Path) -> None:
    found, left = come_and_go(5, tmp_path)

    assert len(found) == 5
    assert {one.processes for one in found} == {6}
    assert {one.children for one in found} == {0}
    assert not left, left
