"""For pytest: what lives by the clock is held again if it failed while the machine stood still.

A machine with other work gives a process no processor for a while now and then, and all that was to
happen meanwhile happens late: that is no fault of what is tested. On a machine that kept time a
failure is one, and stays one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import pytest
from _pytest.runner import runtestprotocol
from attrs import define

__all__ = ["AGAIN", "STOOD_STILL", "Stillness", "watched"]

STOOD_STILL = 0.05
"""Seconds for which a process may get no processor, and its tests still keep time."""

AGAIN = 2
"""How often a test is held again at most."""

_TICK = 0.01
_NAME = "held again"
_TIMEOUT = pytest.StashKey[object]()


@define
class Stillness:
    """``longest`` is how long (s) the process stood still at most."""

    longest: float = 0.0


@contextmanager
def watched() -> Iterator[Stillness]:
    """Measures meanwhile by how much short waits come too late, less what this process computed in
    that time: it held itself up."""
    found, over = Stillness(), threading.Event()

    def watch() -> None:
        before, computed, ended = time.monotonic(), time.process_time(), False
        while not ended:
            ended = over.wait(_TICK)
            now, then = time.monotonic(), time.process_time()
            found.longest = max(found.longest, now - before - _TICK - (then - computed))
            before, computed = now, then

    thread = threading.Thread(target=watch, name="stillness", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Hold a test that is marked ``realtime``, again if need be; only its last outcome counts."""
    if item.get_closest_marker("realtime") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for left in reversed(range(AGAIN + 1)):
        with watched() as found:
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failed = [report for report in reports if report.failed]
        if not failed or not left or found.longest < STOOD_STILL:
            break
        where = failed[0].longreprtext.splitlines()[-1:]
        said = f"{found.longest:.2f} s; {''.join(where)}"
        item.user_properties.append((_NAME, said))
        _set_timer_anew(item)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: object) -> None:
    """Remember how long a test may take."""
    item.stash[_TIMEOUT] = settings


def _set_timer_anew(item: pytest.Item) -> None:
    """A failure has stopped the test's timer, for the sake of debuggers."""
    if (settings := item.stash.get(_TIMEOUT, None)) is not None:
        item.config.hook.pytest_timeout_set_timer(item=item, settings=settings)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell which tests were held again, and why: workers' tests, too."""
    told: dict[str, list[str]] = {}
    for report in chain.from_iterable(terminalreporter.stats.values()):
        properties = getattr(report, "user_properties", ())
        if said := [text for name, text in properties if name == _NAME]:
            told[report.nodeid] = said
    if told:
        tests = "1 test" if len(told) == 1 else f"{len(told)} tests"
        terminalreporter.section(f"held again: {tests}, for the machine stood still")
        for test, said in told.items():
            for text in said:
                terminalreporter.line(f"{test}: {text}")
