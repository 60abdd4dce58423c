"""Media time on a virtual clock."""

from __future__ import annotations

import pytest

from maestra.app.conductor import Conductor
from maestra.app.config import Config
from maestra.app.virtual import VirtualTime
from maestra.core.media_time import MediaTime, from_seconds


class Nobody:
    """A stage on which nothing happens."""

    def __getattr__(self, name: str) -> object:
        return lambda *arguments, **named: None


@pytest.fixture
def conductor() -> Conductor:
    return Conductor(Config(), Nobody())  # type: ignore[arg-type]


def at(seconds: float) -> MediaTime:
    return from_seconds(seconds)


def test_what_waits_is_done_in_the_order_of_time_and_then_of_coming(conductor: Conductor) -> None:
    virtual, told = VirtualTime(conductor), list[str]()
    for second, what in ((2.0, "late"), (1.0, "early"), (1.0, "then"), (3.0, "not yet")):
        virtual.when(at(second), lambda what=what: told.append(what))  # type: ignore[misc]

    conductor.now = at(2.0)
    virtual.do_due(until=lambda: len(told) == 2)
    assert ["early", "then"] == told, "until an answer has to be written"

    virtual.do_due(until=lambda: False)
    assert ["early", "then", "late"] == told
    assert at(3.0) == virtual.next_at


def test_time_goes_no_further_than_the_senses_and_than_what_waits(conductor: Conductor) -> None:
    virtual = VirtualTime(conductor)
    assert virtual.next_step(None, speaks=False) is None
    assert virtual.next_step(at(0.0), speaks=False) is None, "the senses are no further"
    assert at(5.0) == virtual.next_step(at(5.0), speaks=False)
    assert at(0.2) == virtual.next_step(at(5.0), speaks=True), "an answer may be interrupted"

    virtual.when(at(1.0), lambda: None)
    assert at(1.0) == virtual.next_step(at(5.0), speaks=False)

    conductor.now = at(1.0)
    assert at(1.0) == virtual.next_step(at(1.0), speaks=False), "something is due"
