"""The reference page of the conversation, made from the chart: a diagram and the table.

``python -m maestra.core.conversation.docs`` prints it.
"""

# ruff: noqa: E501 (Markdown has one sentence per line)

from __future__ import annotations

import inspect
from collections.abc import Iterator

from attrs import frozen
from statemachine.transition import Transition

from .chart import ConversationChart

__all__ = ["Row", "page", "rows"]

_INTRODUCTION = """\
<!-- Made by `python -m maestra.core.conversation.docs`; a test compares it. Do not edit. -->

# The conversation

A conversation is in one of four states until it has ended.
The session runtime tells it what happened, stamped with media time, and carries out the commands it answers, in their order; it never waits and never reads a clock.

"""

_LAWS = """\

## What the table does not say

- An event without a row in a state is illegal there: `IllegalEvent` is raised and nothing changes.
- What is out of date is ignored in every state, `ended` included: `reply_ready`, `reply_failed` and `reply_finished` of a reply that is no longer the current one, and `window_expired` of a timer that no longer runs.
- Replies and apologies are numbered from 1, and the numbers strictly increase. At most one is alive.
- An apology plays by itself while the follow-up window is already open, so it has a number in `active_listening`. When it ends, the window starts again in full.
- While the timer is held it cannot expire. If what was heard held no words, the rest of the window goes on, two seconds at the least.
- The chat history holds the last three turns, each with the part of the answer that was heard, and none for an answer that was not heard at all. It outlives music: only an expired window or a reset clears it.
- Only `context_reset` that asks for it forgets the performance.
"""


@frozen(kw_only=True)
class Row:
    """A row of the table. ``condition`` and ``done`` are in words, empty if there are none."""

    source: str
    event: str
    condition: str
    target: str
    done: str


def _said_of(function: object) -> str:
    words = inspect.getdoc(function)
    assert words is not None, f"{function} must say what it means"
    return words


def _in_words(expression: str) -> str:
    """A guard such as ``is_current and not paused``, in the words of the guards' docstrings."""
    words = []
    for name in expression.split(" and "):
        guard = getattr(ConversationChart, name.removeprefix("not "))
        if_true, if_false = _said_of(guard).split(" / ")
        words.append(if_false if name.startswith("not ") else if_true)
    return " and ".join(words)


def _row_of(transition: Transition) -> Row:
    # The library adds its naming-convention callbacks ("on_transition", …) to each list.
    actions = [
        str(spec.func) for spec in transition.on if not str(spec.func).startswith(("on_", "after_"))
    ]
    assert transition.event is not None
    assert transition.target is not None
    return Row(
        source=transition.source.id,
        event=str(transition.event),
        condition=" and ".join(_in_words(str(spec.func)) for spec in transition.cond),
        target=transition.target.id,
        done="; ".join(_said_of(getattr(ConversationChart, name)) for name in actions),
    )


def rows() -> Iterator[Row]:
    """Every row of the chart, state by state."""
    for state in ConversationChart.states:
        for transition in state.transitions:
            yield _row_of(transition)


def _diagram() -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {next(s.id for s in ConversationChart.states if s.initial)}"
    arrows: dict[tuple[str, str], list[str]] = {}
    for row in rows():
        events = arrows.setdefault((row.source, row.target), [])
        if row.event not in events:
            events.append(row.event)
    for (source, target), events in arrows.items():
        yield f"    {source} --> {target} : {'<br/>'.join(events)}"
    for state in ConversationChart.final_states:
        yield f"    {state.id} --> [*]"
    yield "```"


def _table() -> Iterator[str]:
    yield "| from | event | if | to | what is done |"
    yield "| --- | --- | --- | --- | --- |"
    for row in rows():
        target = "(stays)" if row.target == row.source else row.target
        yield f"| {row.source} | {row.event} | {row.condition} | {target} | {row.done or 'nothing'} |"


def page() -> str:
    """The page in Markdown."""
    return "\n".join([_INTRODUCTION + "\n".join(_diagram()), "", *_table(), _LAWS])


if __name__ == "__main__":
    print(page(), end="")
