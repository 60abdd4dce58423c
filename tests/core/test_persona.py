"""A persona says who the teacher is, and nothing impossible."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from maestra.core.persona import Manner, Persona

MARY = Persona(
    id="teacher_mary_v1", name="Mary", portrait="mary.svg", voices={"piper": "en_US-joe-medium"}
)


def test_it_names_a_voice_for_each_backend() -> None:
    assert MARY.voices.get("piper") == "en_US-joe-medium"
    assert MARY.voices.get("other") is None
    assert dict(MARY.voices) == {"piper": "en_US-joe-medium"}
    assert MARY.voices == {"piper": "en_US-joe-medium"}


def test_it_cannot_change() -> None:
    voices = {"piper": "a"}
    persona = evolve(MARY, voices=voices)
    voices["piper"] = "b"

    assert persona.voices["piper"] == "a"
    with pytest.raises(TypeError):
        persona.voices["piper"] = "c"  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        persona.name = "Maria"  # type: ignore[misc]


def test_it_goes_to_other_processes_and_into_sets() -> None:
    copy = pickle.loads(pickle.dumps(MARY))

    assert copy == MARY
    assert len({copy, MARY}) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "Teacher Mary"},
        {"id": "../mary"},
        {"id": ""},
        {"name": " "},
        {"portrait": ""},
        {"voices": {"piper": ""}},
        {"voices": {"": "joe"}},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        evolve(MARY, **wrong)


@pytest.mark.parametrize(
    "wrong", [{"warmth": 0.0}, {"speech_rate": -1.0}, {"liveliness": 3.5}, {"pitch_hz": 5.0}]
)
def test_a_manner_is_in_reason(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Manner(**wrong)
