"""Wake phrases, as recognisers write them.

The spellings marked with a voice are what faster-whisper ``tiny.en`` made of synthetic voices that
said "Teacher, comment" (clear, slowed, hastened, or under white noise 15 dB down).
"""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from maestra.core.wake import Strictness, WakePhraseMatcher

CLEAR = {
    "Teacher, comment.": "",
    "teacher comment": "",
    "TEACHER COMMENT!": "",
    "Teacher. Comment.": "",
    "teachercomment": "",
    "teacher common": "",
    "T-Cher, comment please": "",
    "Teacher, comment on my tempo": "on my tempo",
    "so, teacher comment": "",
    "Hey, teacher comment.": "",
    "Okay teacher, comment on that last bit, please.": "on that last bit, please.",
    "The teacher comment": "",
    "Teacher, um, comment on that": "on that",
    "Teacher, please comment": "",
    "Teacher, komment": "",
    "Titcher comment": "",
    "Teacher. Comment. Was my tempo steady?": "Was my tempo steady?",
    "teacher comment was my tempo steady": "was my tempo steady",
    "Was that better this time teacher comment": "",
    "No! Teacher, comment.": "",
    "I don't know if that was right. Teacher, comment on my rhythm": "on my rhythm",
    "Teacher, comment? Teacher, comment on my rhythm.": "on my rhythm.",
    # heard of a male voice
    "Teach our comment, please.": "",
    "Make teacher comment.": "",
    "Take Teacher Comment": "",
    "teacher. Comment please.": "",
    # heard of a female voice
    "Stay Teacher, Comment.": "",
    "Hi, Teeter. Comment.": "",
    "teach or comment.": "",
    "Teach a comment please.": "",
    "teach a comment on my rhythm.": "on my rhythm.",
    "I teach a comment.": "",
    # heard of a Japanese speaker's English
    "Hey, teach a comment.": "",
    "Hey, teach or comment.": "",
}
"""These wake at any strictness; with the question that follows."""

BLURRED = (
    "teacher come in.",
    "Okay, teacher, come in.",
    "teacher coming please",
    "feature comment on my rhythm",
    "Hey, feature a comment.",
    "T. Shirt comment",
    "Teacher, comma",
)
"""These wake at medium, but not at high."""

ORDINARY = (
    "the teacher commented on it yesterday",
    "No comment on that, it was awful.",
    "My teacher's comment was good",
    "My teacher's comments were about the left hand",
    "my teacher comments on everything",
    "Teacher commented",
    "Let me comment out this bar with a pencil.",
    "The preacher commented on the weather.",
    "the creature commented on the weather.",
    "Tea, sure, come and get it.",
    "the shore come and get it",
    "Please sure, come and get it!",
    "Be sure to come and get it.",
    "Please throw a common gun at it.",
    "Teacher, come in, the door is open",
    "teacher, come and see this",
    "Teacher, come on, that was good!",
    "Is the teacher coming?",
    "I have a new teacher coming tomorrow",
    "the teacher came in late",
    "did the teacher comment on it",
    "When the teacher comments I get nervous",
    "Don't let the teacher comment",
    "no teacher comment please",
    "My other teacher commented that I rush",
    "teacher comment was really helpful",
    "I read the teacher comment box",
    "the teacher common room",
    "I teach common chords",
    "Is it in common time?",
    "That's a common mistake, my teacher says",
    "Teacher, can you hear me?",
    "Please join me in the comments section below.",
    "a cheddar block",
    "You better talk",
    "Each comment took ages",
    "I couldn't reach a common pace",
    "Can we take it a bit slower?",
    "Should I repeat the first section?",
    "And so my fellow Americans, ask not what your country can do for you",
    "Thank you.",
    "",
    "...",
)
"""These never wake, at medium or high."""


@pytest.mark.parametrize("strictness", Strictness)
@pytest.mark.parametrize(("text", "question"), CLEAR.items())
def test_a_clear_call_wakes(text: str, question: str, strictness: Strictness) -> None:
    match = WakePhraseMatcher(strictness=strictness).match(text)

    assert match is not None
    assert match.question == question
    assert match.score >= strictness.threshold


@pytest.mark.parametrize("text", BLURRED)
def test_a_blurred_call_wakes_whoever_is_not_strict(text: str) -> None:
    assert WakePhraseMatcher(strictness="low").match(text)
    assert WakePhraseMatcher(strictness="medium").match(text)
    assert not WakePhraseMatcher(strictness="high").match(text)


@pytest.mark.parametrize("strictness", [Strictness.MEDIUM, Strictness.HIGH])
@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_talk_does_not_wake(text: str, strictness: Strictness) -> None:
    assert WakePhraseMatcher(strictness=strictness).match(text) is None


@pytest.mark.parametrize("text", ["the teacher commented on it yesterday", "Teacher commented"])
def test_another_form_of_the_word_does_not_wake_even_at_low(text: str) -> None:
    assert WakePhraseMatcher(strictness="low").match(text) is None


def test_a_match_says_where_it_is() -> None:
    match = WakePhraseMatcher(["Teacher, comment"]).match("Well, T-Cher, comment on it")

    assert match is not None
    assert (match.phrase, match.start, match.end) == ("Teacher, comment", 1, 4)
    assert 92 <= match.score < 100


SINGLE = ("comment", "suggestion", "feedback")


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Comment.", ""),
        ("Comment please", ""),
        ("teacher comment", ""),
        ("Any feedback?", ""),
        ("feed back please", ""),
        ("Can I have a suggestion?", ""),
        ("So, comment on my tempo", "on my tempo"),
        ("Give me feedback on my rhythm", "on my rhythm"),
        ("Can you comment on that?", "on that?"),
    ],
)
def test_single_words_wake(text: str, question: str) -> None:
    match = WakePhraseMatcher(SINGLE, "high").match(text)

    assert match is not None
    assert match.question == question


@pytest.mark.parametrize(
    "text",
    [
        "commented",
        "She commented on it",
        "comments",
        "in common time",
        "command",
        "congestion",
        "No comment on that, it was awful.",
        "Let me comment out this bar",
        "my teacher's comment was good",
        "her suggestion was to slow down",
        "I'd like to comment",
        "I don't want feedback",
        "I got good feedback yesterday",
    ],
)
def test_single_words_do_not_wake_when_they_are_only_spoken_of(text: str) -> None:
    assert WakePhraseMatcher(SINGLE, "medium").match(text) is None


@given(st.text(max_size=80))
def test_any_text_is_survived_and_a_question_is_its_end(text: str) -> None:
    match = WakePhraseMatcher(strictness="low").match(text)

    if match is not None:
        assert 75 <= match.score <= 100
        assert text.rstrip().endswith(match.question)


@given(
    st.lists(st.sampled_from(["hello", "lesson", "maestra", "piano", "look", "help"]), min_size=1),
    st.sampled_from(["", "how was my tempo?", "now"]),
)
def test_any_phrase_wakes_when_said_as_written(words: list[str], question: str) -> None:
    phrase = " ".join(words[:4])

    match = WakePhraseMatcher([phrase], "high").match(f"{phrase.title()}, {question}")

    assert match is not None
    assert match.score == 100


@pytest.mark.parametrize("phrases", [[], [""], ["teacher comment", "!?"]])
def test_a_phrase_needs_words(phrases: list[str]) -> None:
    with pytest.raises(ValueError, match="wake phrase"):
        WakePhraseMatcher(phrases)


def test_strictness_is_one_of_three() -> None:
    with pytest.raises(ValueError, match="strict"):
        WakePhraseMatcher(strictness="strict")
