"""What lives by the clock is held again if it failed while the machine stood still, only then."""

from __future__ import annotations

import ctypes
import time

import pytest
from fakes import stood_still

pytest_plugins = ["pytester"]

TRIES = """
import ctypes
import time

import pytest

tries = []

def stand_still(seconds):
    ctypes.PyDLL(None).usleep(round(seconds * 1e6))  # which keeps every thread of ours waiting

{mark}
def test_it():
    tries.append(1)
    print(f"This is try {{len(tries)}}.")
    {body}
"""

REALTIME = "@pytest.mark.realtime"
STANDS_STILL = "stand_still(0.1)"


def held(pytester: pytest.Pytester, *how: str, body: str, mark: str = REALTIME) -> pytest.RunResult:
    """What comes of a test."""
    pytester.makeini("[pytest]\nmarkers = realtime")
    pytester.makepyfile(TRIES.format(mark=mark, body=body))
    return pytester.runpytest("-p", "fakes.stood_still", *how)


@pytest.mark.parametrize("how", [[], ["-n", "1"]], ids=["here", "in a worker"])
def test_a_failure_on_a_machine_that_stood_still_is_none(
    how: list[str], pytester: pytest.Pytester
) -> None:
    result = held(pytester, *how, body=f"{STANDS_STILL}; assert len(tries) == 3")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*held again: 1 test, for the machine stood still*",
            "*::test_it: * s; *: AssertionError",
            "*::test_it: * s; *: AssertionError",
        ]
    )


def test_a_failure_that_stays_is_one(pytester: pytest.Pytester) -> None:
    result = held(pytester, body=f"{STANDS_STILL}; assert not tries")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["This is try 3.", "*held again: 1 test*"])


def test_a_failure_on_a_machine_that_kept_time_is_one(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stood_still, "STOOD_STILL", 5.0)  # this machine has other work
    result = held(pytester, body=f"{STANDS_STILL}; assert len(tries) == 3")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["This is try 1."])
    result.stdout.no_fnmatch_line("*held again*")


def test_what_does_not_live_by_the_clock_is_held_once(pytester: pytest.Pytester) -> None:
    result = held(pytester, body=f"{STANDS_STILL}; assert len(tries) == 3", mark="")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["This is try 1."])


def test_every_try_has_the_whole_time(pytester: pytest.Pytester) -> None:
    """And no more: one that hangs has failed."""
    body = f"{STANDS_STILL}; assert len(tries) > 1; time.sleep(20)"
    result = held(pytester, "--timeout=0.5", body=body)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Timeout*"])


def test_what_was_measured_is_how_long_nothing_ran() -> None:
    with stood_still.watched() as found:
        ctypes.PyDLL(None).usleep(100_000)
    assert 0.08 < found.longest < 5


def test_who_computes_all_the_time_holds_itself_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "process_time", time.monotonic)
    with stood_still.watched() as found:
        ctypes.PyDLL(None).usleep(100_000)
    assert found.longest < 0.001
