"""Words that sound alike."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from maestra.core.sound_alike import sound_likeness, sounds_of, spelling_likeness

WORDS = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=12)


def likeness(one: str, other: str) -> float:
    return sound_likeness(sounds_of(one), sounds_of(other))


@pytest.mark.parametrize(
    ("word", "sounds"),
    [
        ("teacher", "tiCR"),
        ("feature", "fiCR"),
        ("comment", "koment"),
        ("phone", "fon"),
        ("the", "T@"),
        ("t", "ti"),
        ("knock", "nok"),
        ("question", "kwesC@n"),
    ],
)
def test_spelling_is_read_aloud(word: str, sounds: str) -> None:
    assert sounds_of(word) == sounds


@pytest.mark.parametrize(
    ("word", "near", "far"),
    [
        ("teacher", "teecher", "preacher"),
        ("teacher", "titcher", "teach"),
        ("comment", "common", "moment"),
        ("comment", "kament", "cement"),
        ("maestra", "maystra", "orchestra"),
    ],
)
def test_what_sounds_alike_is_nearer_than_what_looks_alike(word: str, near: str, far: str) -> None:
    assert likeness(word, near) > likeness(word, far)


@given(WORDS, WORDS)
def test_likeness_is_a_share_and_a_word_is_like_itself(one: str, other: str) -> None:
    assert 0.0 <= likeness(one, other) <= 1.0
    assert likeness(one, one) == 1.0
    assert likeness(one, other) == pytest.approx(likeness(other, one))


@given(WORDS, WORDS)
def test_spelling_likeness_is_one_only_for_the_same_spelling(one: str, other: str) -> None:
    assert 0.0 <= spelling_likeness(one, other) <= 1.0
    assert (spelling_likeness(one, other) == 1.0) == (one == other)
