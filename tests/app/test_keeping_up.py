"""A slow sense is spared sound; only one that says nothing at all is called hung."""

from __future__ import annotations

import pytest

from maestra.app.keeping_up import HUNG_AFTER, LOADING, KeepingUp
from maestra.core.media_time import MediaTime, from_seconds


class Hearer:
    """A live input of 0.1 s chunks, and a worker that needs ``cost`` seconds for each."""

    def __init__(self, cost: float) -> None:
        self.keeping_up = KeepingUp()
        self.cost = cost
        self.waiting: list[MediaTime] = []
        self.free_at = 0.0
        self.heard: list[float] = []
        self.farthest = 0.0

    def live(self, seconds: float, since: float = 0.0) -> bool:
        """Whether it was ever called hung."""
        for tenth in range(round(since * 10), round((since + seconds) * 10)):
            now = (tenth + 1) / 10
            while self.waiting and self.free_at <= now:
                done = self.waiting.pop(0)
                self.heard.append(done / from_seconds(1.0))
                self.keeping_up.said(self.free_at, done)
                self.farthest = max(self.farthest, self.free_at - self.heard[-1])
                self.free_at += self.cost if self.waiting else 0.0
            if not self.keeping_up.spare():
                if not self.waiting:
                    self.free_at = now + self.cost
                end = from_seconds(now)
                self.waiting.append(end)
                self.keeping_up.sent(from_seconds(now - 0.1), end, now)
            if self.keeping_up.hangs(now):
                return True
        return False


def test_who_keeps_up_hears_all() -> None:
    hearer = Hearer(cost=0.05)
    assert not hearer.live(60)
    assert len(hearer.heard) > 595


@pytest.mark.parametrize("cost", [0.15, 1.0, 9.0])
def test_who_is_slow_hears_whole_stretches_and_is_never_hung(cost: float) -> None:
    """An hour at two thirds, a tenth, a ninetieth of the speed."""
    hearer = Hearer(cost=cost)
    assert not hearer.live(3600)
    assert len(hearer.heard) >= 0.95 * 3600 / cost / 1.1
    steps = [round((b - a) * 10) for a, b in zip(hearer.heard, hearer.heard[1:], strict=False)]
    assert sum(step == 1 for step in steps) > 0.9 * len(steps)
    assert hearer.farthest < 101 * cost + 10


def test_who_says_nothing_hangs_and_another_may_take_its_time_to_load() -> None:
    hearer = Hearer(cost=0.05)
    assert not hearer.live(10)
    hearer.cost = 1e9
    assert not hearer.live(HUNG_AFTER - 1, since=10)
    assert hearer.live(3, since=10 + HUNG_AFTER - 1)
    keeping_up = hearer.keeping_up
    keeping_up.started_anew(100.0)
    assert not keeping_up.hangs(100.0 + LOADING - 1)
    assert keeping_up.hangs(100.0 + LOADING + 1)
    keeping_up.said(100.0 + LOADING, from_seconds(12.0))
    assert not keeping_up.hangs(100.0 + LOADING + HUNG_AFTER - 1)


def test_who_owes_nothing_may_be_silent_for_ever() -> None:
    keeping_up = KeepingUp()
    assert not keeping_up.hangs(1e6)
    keeping_up.sent(from_seconds(0.9), from_seconds(1.0), 1e6)
    assert not keeping_up.hangs(1e6 + 1)
    assert keeping_up.hangs(1e6 + HUNG_AFTER + 1)


def test_a_burst_is_not_held_against_who_gets_it() -> None:
    """An input that stood still hands over ten seconds of silence at once."""
    keeping_up = KeepingUp()
    keeping_up.sent(from_seconds(0.0), from_seconds(30.0), 5.0)
    assert not keeping_up.hangs(5.1)
    keeping_up.excuse(40.0)
    assert not keeping_up.hangs(5.1 + 40.0)
