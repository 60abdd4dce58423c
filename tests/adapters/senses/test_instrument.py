"""When an instrument is named, and when it is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from maestra.adapters.senses.instrument import InstrumentEar
from maestra.core.hearing import Instrument

# Classes of YAMNet, and the scores they get: next to none is -8.
PIANO, GUITAR, VIOLIN, FLUTE = 148, 135, 186, 191


def scores(**heard: float) -> NDArray[np.float32]:
    """``violin=0.8`` and the like, as logits of the 521 classes."""
    made = np.full(521, -8.0, np.float32)
    for name, probability in heard.items():
        place = {"piano": PIANO, "guitar": GUITAR, "violin": VIOLIN, "flute": FLUTE}[name]
        made[place] = np.log(probability / (1 - probability))
    return made


def hear(ear: InstrumentEar, looks: int, **heard: float) -> list[tuple[int, Instrument]]:
    """What is said, and at which look."""
    said = [(number, ear.hear(scores(**heard))) for number in range(1, looks + 1)]
    return [(number, instrument) for number, instrument in said if instrument is not None]


def rest(ear: InstrumentEar, seconds: float) -> None:
    for _ in range(round(20 * seconds)):
        ear.rest()


def test_it_is_named_after_two_seconds_and_again_every_five() -> None:
    said = hear(InstrumentEar(), 260, violin=0.8)
    assert [(40, Instrument.VIOLIN), (140, Instrument.VIOLIN), (240, Instrument.VIOLIN)] == said


@pytest.mark.parametrize(
    "heard",
    [
        {"violin": 0.3},
        {"violin": 0.8, "flute": 0.4},
        {"piano": 0.05},
        {"piano": 0.13, "guitar": 0.22},
        {},
    ],
    ids=["too faint", "two alike", "a faint piano", "piano or guitar", "nothing"],
)
def test_what_is_not_sure_is_not_named(heard: dict[str, float]) -> None:
    assert [] == hear(InstrumentEar(), 300, **heard)


def test_a_piano_needs_less() -> None:
    assert Instrument.PIANO in dict(hear(InstrumentEar(), 40, piano=0.08)).values()


def test_it_is_named_on_where_it_is_less_clear() -> None:
    ear = InstrumentEar()
    hear(ear, 100, violin=0.8)
    assert {Instrument.VIOLIN} == {each for _, each in hear(ear, 400, violin=0.4, flute=0.2)}
    assert [] == hear(InstrumentEar(), 400, violin=0.4, flute=0.2)


def test_another_is_named_as_soon_as_it_is_sure() -> None:
    ear = InstrumentEar()
    hear(ear, 100, violin=0.8)
    said = hear(ear, 200, flute=0.8)
    named = [instrument for _, instrument in said]
    changed = said[named.index(Instrument.FLUTE)][0]
    assert 100 < changed < 160 and Instrument.VIOLIN not in named[named.index(Instrument.FLUTE) :]


@pytest.mark.parametrize("seconds", [1.0, 2.0, 10.0])
def test_after_a_pause_what_was_heard_before_counts_no_more(seconds: float) -> None:
    """Somebody else may play."""
    ear = InstrumentEar()
    hear(ear, 400, violin=0.8)
    rest(ear, seconds)
    assert [(40, Instrument.PIANO)] == hear(ear, 60, piano=0.15)


def test_between_two_notes_nothing_is_forgotten() -> None:
    ear = InstrumentEar()
    hear(ear, 30, violin=0.8)
    rest(ear, 0.6)
    assert [(10, Instrument.VIOLIN)] == hear(ear, 30, violin=0.8)
