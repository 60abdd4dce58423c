"""What is judged of the service's calls while a lesson runs."""

from __future__ import annotations

import pytest

pytest.importorskip("psutil")

from maestra.app.experiments.http_latency import Run, judge


def run(*, call: float = 0.005, applied: float = 0.01, fps: float = 25.0, load: float = 1.0) -> Run:
    """A hundred calls, of which ten took ``call`` seconds and the others a millisecond."""
    return Run(
        load=load,
        calls={"status": [0.001] * 40 + [call] * 5, "config": [0.001] * 50 + [call] * 5},
        applied=[0.001] * 90 + [applied] * 10,
        slices=[{"fps": 25.0}, {"fps": fps}, {"fps": 25.0}],
    )


def test_what_is_as_it_should_be_is_passed_in_silence() -> None:
    assert judge(run(), 2) == (0, [])
    assert judge(run(load=9.0), 2) == (0, [])


@pytest.mark.parametrize(
    ("called", "sentence"),
    [
        (run(call=0.021), "calls took 21.0 ms (p95), more than 20"),
        (run(applied=0.11), "a setting was in force after 110.0 ms (p95), more than 100"),
        (run(fps=23.0), "1 seconds of the called lesson had fewer than 24 pictures"),
    ],
)
def test_what_is_not_is_told_and_fails(called: Run, sentence: str) -> None:
    assert judge(called, 2) == (1, [sentence])


def test_on_a_busy_machine_it_is_told_and_does_not_count() -> None:
    code, told = judge(run(call=0.05, load=2.1), 2)

    assert code == 0 and told[0].startswith("calls took 50.0 ms")
    assert told[1:] == [
        "that does not count, because the machine was busy before the lesson: a load of 2.1 on 2"
        " cores"
    ]
