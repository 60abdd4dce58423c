"""When a turn is over."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from maestra.core.endpointing import EndpointingPolicy, EndpointingSettings
from maestra.core.wake import WakePhraseMatcher

SETTINGS = EndpointingSettings(complete=0.2, usual=0.45, unfinished=0.9, longest_utterance=30.0)
POLICY = EndpointingPolicy(SETTINGS, wake=WakePhraseMatcher())


@pytest.mark.parametrize(
    "text",
    [
        "Was my tempo steady?",
        "was my tempo steady",
        "Why does it sound so choppy?",
        "What should I work on?",
        "Okay, so how can I fix that?",
        "Teacher, comment.",
        "so teacher comment please",
        "Teacher, comment on my rhythm.",
        "Thank you.",
        "Which note?",
    ],
)
def test_what_is_complete_is_answered_soon(text: str) -> None:
    assert POLICY.required_silence(text) == 0.2


@pytest.mark.parametrize(
    "text",
    [
        "I played it again",
        "It sounded better at home.",
        "was my tempo",
        "",
        "Left hand alone first.",
    ],
)
def test_what_may_be_complete_waits_a_little(text: str) -> None:
    assert POLICY.required_silence(text) == 0.45


@pytest.mark.parametrize(
    "text",
    [
        "I stopped because.",
        "and then um",
        "So I was thinking,",
        "How was",
        "Teacher, comment on my",
        "Teacher, comment on...",
        "Can you give me an exercise for",
        "I'm not sure if",
        "The second note and",
    ],
)
def test_what_hangs_in_the_air_is_waited_for(text: str) -> None:
    assert POLICY.required_silence(text) == 0.9


def test_without_wake_phrases_a_call_is_a_sentence_like_others() -> None:
    assert EndpointingPolicy(SETTINGS).required_silence("Teacher, comment.") == 0.45


@given(
    st.text(max_size=40) | st.sampled_from(["Why does it hurt?", "because", "fine then"]),
    st.floats(0, 2),
    st.floats(0, 40),
)
def test_it_is_over_when_silence_or_patience_says_so(
    text: str, silence: float, duration: float
) -> None:
    over = POLICY.is_over(text, silence, duration)

    assert over == (duration >= 30 or silence >= POLICY.required_silence(text))
    assert not over or POLICY.is_over(text, silence + 0.1, duration)


@pytest.mark.parametrize("wrong", [{"usual": -0.1}, {"longest_utterance": 0.0}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EndpointingSettings(**wrong)


@pytest.mark.parametrize("text", ["Stop.", "Wait, stop.", "way stop", "Hold on!", "No, no, no."])
def test_who_only_takes_the_floor_is_about_to_say_why(text: str) -> None:
    assert POLICY.required_silence(text) == 0.9


def test_taking_the_floor_with_a_question_is_a_question() -> None:
    assert POLICY.required_silence("Wait, why was that?") == 0.2
