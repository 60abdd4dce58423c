"""What is an interruption, and what is nothing."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from maestra.core.interruption import InterruptionPolicy, Verdict

POLICY = InterruptionPolicy()


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "wait",
        "Stop.",
        "stop please",
        "No",
        "No, no, that was on purpose.",
        "way stop",
        "Stop, I have a question.",
        "Okay, I got it, let me try again.",
        "Yeah but",
        "Teacher, comment",
        "why",
        "3",
    ],
)
def test_words_interrupt_at_once(text: str, ended: bool) -> None:
    assert POLICY.judge(text, 0.3, ended) is Verdict.BARGE_IN


@pytest.mark.parametrize(
    "text", ["mm-hm", "Mm-hmm.", "uh-huh", "Yeah.", "Okay, right.", "I see.", "Got it", "", "..."]
)
def test_assent_and_noise_are_nothing_once_they_end(text: str) -> None:
    assert POLICY.judge(text, 0.5, False) is Verdict.WAITING
    assert POLICY.judge(text, 0.5, True) is Verdict.NOTHING


@pytest.mark.parametrize("text", ["[COUGH]", "(laughs)", "*sighs*", "you", "Thank you."])
def test_what_a_recogniser_writes_for_a_cough_is_nothing(text: str) -> None:
    assert POLICY.judge(text, 0.3, True) is Verdict.NOTHING


def test_thanks_that_were_really_said_interrupt() -> None:
    assert POLICY.judge("Thank you.", 0.6, True) is Verdict.BARGE_IN


def test_a_voice_that_goes_on_without_words_interrupts() -> None:
    assert POLICY.judge("", 1.1, False) is Verdict.WAITING
    assert POLICY.judge("", 1.2, False) is Verdict.BARGE_IN
    assert POLICY.judge("yeah", 1.9, False) is Verdict.WAITING
    assert POLICY.judge("yeah", 2.0, False) is Verdict.BARGE_IN


@given(st.text(max_size=30), st.floats(0, 5))
def test_what_has_ended_is_decided(text: str, duration: float) -> None:
    assert POLICY.judge(text, duration, True) is not Verdict.WAITING


def test_backchannel() -> None:
    assert POLICY.is_backchannel("Yeah, okay.")
    assert not POLICY.is_backchannel("Yeah, why?")
    assert not POLICY.is_backchannel("")
