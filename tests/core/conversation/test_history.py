"""Chat history: the last turns, only what was heard."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from maestra.core.conversation.history import ChatHistory, Turn

TURNS = st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=8)


@given(TURNS, st.integers(0, 3))
def test_it_keeps_the_last_turns_that_were_heard(turns: list[tuple[str, str]], limit: int) -> None:
    history = ChatHistory(limit=limit)
    for question, heard in turns:
        history = history.after(question, heard)

    expected = [
        Turn(question=question, heard=heard.strip()) for question, heard in turns if heard.strip()
    ]
    assert list(history) == (expected[-limit:] if limit else [])


def test_a_smaller_limit_drops_the_oldest() -> None:
    history = ChatHistory().after("one", "1").after("two", "2")

    assert [turn.question for turn in history.limited_to(1)] == ["two"]
    assert len(history) == 2, "the history itself never changes"
    assert history.cleared() == ChatHistory()


def test_no_more_than_three() -> None:
    with pytest.raises(ValueError, match="limit"):
        ChatHistory(limit=4)
    with pytest.raises(ValueError, match="more than the limit"):
        ChatHistory((Turn(question="", heard="x"),) * 2, limit=1)
