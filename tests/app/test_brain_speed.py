"""What measures how soon a brain answers."""

from __future__ import annotations

import pytest

from maestra.app.experiments.brain_speed import main


def test_the_coach_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["-n", "8", "--unprepared"])

    told = capsys.readouterr().out
    assert "answers: 8, failed: 0" in told
    assert "closing in mid-answer (s): p50 0.0" in told
    assert "(n = 4)" in told


@pytest.mark.parametrize(
    ("assignments", "code", "says"),
    [
        (["brain.backend=nobody"], 2, "no backend is called 'nobody'"),
        (["brain.backend=openai"], 2, "OPENAI_API_KEY"),
        (
            ["brain.backend=openai", "brain.options.openai.base_url=http://127.0.0.1:9/v1"],
            3,
            "connection to http://127.0.0.1:9/v1 failed",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(
    assignments: list[str],
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if code == 3:
        pytest.importorskip("openai")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    given = [part for each in assignments for part in ("--set", each)]

    assert code == main(["--wait", "0.1", *given])
    told = capsys.readouterr().err
    assert says in told
    assert 1 == len(told.splitlines())
