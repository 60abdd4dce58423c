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
    ("name", "says"),
    [("nobody", "no backend is called 'nobody'"), ("openai", "OPENAI_API_KEY")],
)
def test_what_is_wrong_is_one_sentence(
    name: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    assert 2 == main(["--set", f"brain.backend={name}"])
    told = capsys.readouterr().err
    assert says in told
    assert 1 == len(told.splitlines())
