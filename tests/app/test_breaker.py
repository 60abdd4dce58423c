"""The circuit breaker."""

from __future__ import annotations

from maestra.app.breaker import Breaker, BreakerState


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(tolerance=2, cool_down=10)
    for _ in range(3):
        breaker.failed(1.0)
        assert breaker.admits(1.0)
        breaker.succeeded()

    breaker.failed(2.0)
    breaker.failed(3.0)

    assert not breaker.admits(12.9)
    assert breaker.state is BreakerState.OPEN


def test_after_the_cool_down_one_may_try_and_success_closes_it() -> None:
    breaker = Breaker(tolerance=1, cool_down=10)
    breaker.failed(0.0)

    assert breaker.admits(10.0)
    assert breaker.state is BreakerState.HALF_OPEN
    assert not breaker.admits(10.1), "one trial at a time"
    breaker.succeeded()

    assert breaker.admits(10.2)
    assert breaker.admits(10.3)


def test_a_failed_trial_doubles_the_rest_up_to_the_longest() -> None:
    breaker = Breaker(tolerance=1, cool_down=10, longest=25)
    breaker.failed(0.0)
    now, rests = 0.0, []
    for _ in range(3):
        begun = now
        while not breaker.admits(now):
            now += 1
        rests.append(now - begun)
        breaker.failed(now)

    assert [10, 20, 25] == rests

    while not breaker.admits(now):
        now += 1
    breaker.succeeded()
    breaker.failed(now)
    assert breaker.admits(now + 10), "once it was well it begins anew"


def test_a_trial_that_is_cut_off_may_be_followed_at_once() -> None:
    breaker = Breaker(tolerance=1, cool_down=10)
    breaker.failed(0.0)
    assert breaker.admits(10.0)

    breaker.abandoned()

    assert breaker.admits(10.0)
    breaker.succeeded()
    breaker.abandoned()
    assert breaker.admits(10.0)
