"""Turns: what a lesson's event log says of them, as spans."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from fakes.turn import ANCHOR, begun, record, wake_turn

from maestra.app.turns import Span, Turns


def turns_of(records: Iterable[Mapping[str, Any]], *, words: bool = False) -> list[Span]:
    turns = Turns(words=words)
    return [turn for each in records for turn in turns.take(each)]


def stages(turn: Span) -> dict[str, tuple[float, float]]:
    return {
        one.name: (round(one.start - ANCHOR, 3), round(one.end - ANCHOR, 3)) for one in turn.stages
    }


def test_every_stage_lies_where_it_was() -> None:
    (turn,) = turns_of([begun(), *wake_turn()])

    assert (8.0, 12.0) == (turn.start - ANCHOR, turn.end - ANCHOR)
    assert {
        "speech": (8.0, 9.0),
        "summary": (8.3, 8.31),  # prepared while the student still speaks
        "brain": (8.31, 8.36),
        "voice": (8.5, 8.9),
        "transcript": (9.0, 9.2),
        "endpointing": (9.2, 9.3),
        "playout": (9.55, 9.6),
        "face": (9.55, 9.58),
        "speaking": (9.6, 12.0),
        "paused": (10.5, 10.8),
        "barge-in": (11.7, 12.0),
    } == stages(turn)
    assert [one.start for one in turn.stages] == sorted(one.start for one in turn.stages)
    (brain,) = [one for one in turn.stages if one.name == "brain"]
    (mark,) = brain.marks
    assert ("first clause", 8.33) == (mark.name, round(mark.at - ANCHOR, 3))
    assert {
        "maestra.persona": "mary",
        "maestra.backend.brain": "coach",
        "maestra.backend.voice": "piper",
        "maestra.epoch": 1,
        "maestra.turn.kind": "wake",
        "maestra.turn.cause": "speech",
        "maestra.wake.score": 97.0,
        "maestra.takes": 1,
        "maestra.notes": 40,
        "maestra.latency.total": 0.6,
    }.items() <= turn.attributes.items()
    assert ["adapter_failed"] == [mark.name for mark in turn.marks]


def test_media_time_is_laid_where_records_say_it_was_at_the_earliest() -> None:
    late = record("floor", 5.0, label="silence", since=4.0)
    late["wall"] += 0.5  # the machine was busy when it was logged
    ahead = record("slice", 7.0, fps=25.0)
    ahead["wall"] -= 0.3  # a second of output may be told of before it is over
    loading = record("adapter_failed", 0.0, port="voice", adapter="x", error="E", text="")
    loading["wall"] -= 10.0
    (turn,) = turns_of([begun(), loading, late, ahead, *wake_turn()])

    assert ((8.0, 9.0), (9.6, 12.0)) == (stages(turn)["speech"], stages(turn)["speaking"])


def test_words_are_told_only_where_they_were_asked_for() -> None:
    lesson = [begun(), *wake_turn()]
    (without,), (with_words,) = turns_of(lesson), turns_of(lesson, words=True)

    assert not {"SAID", "ANSWER.", "ANS"} & set(map(str, _values(without)))
    assert {
        "maestra.words.question": "SAID",
        "maestra.words.answer": "ANSWER.",
        "maestra.words.heard": "ANS",
    }.items() <= with_words.attributes.items()


def _values(span: Span) -> list[object]:
    marks = [value for mark in span.marks for value in mark.attributes.values()]
    return [*span.attributes.values(), *marks, *(v for one in span.stages for v in _values(one))]


def test_a_question_that_goes_on_and_one_that_is_dropped_are_turns_too() -> None:
    def cut(cause: str, after: str) -> dict[str, Any]:
        return record("state", 9.5, **{"from": "responding", "to": after, "cause": cause})

    asked = wake_turn()[:4]
    continued = record("question", 9.5, epoch=2, kind="wake", text="")
    music = cut("music_started", "passive_listening")
    ended = record("session_ended", 9.6, cause="stopped", text="")

    first, second = turns_of([begun(), *asked, continued, music])
    assert ("continued", "music_started") == (
        first.attributes["maestra.turn.cause"],
        second.attributes["maestra.turn.cause"],
    )
    assert ["session_ended"] == [
        one.attributes["maestra.turn.cause"] for one in turns_of([begun(), *asked, ended])
    ]
    # A brain that fails is not the end: an apology, or what is told of it, follows.
    assert not turns_of([begun(), *asked, cut("reply_failed", "active_listening")])
    failed = record("reply_stopped", 9.6, epoch=1, cause="failed", heard_text="", silence_at=9.6)
    (turn,) = turns_of([begun(), *asked, failed])
    assert turn.failed


def test_brains_that_go_on_for_each_other_stand_in_a_row() -> None:
    lesson = wake_turn()
    place = next(n for n, each in enumerate(lesson) if each["type"] == "answered")
    second = {**lesson[place], "brain": "other", "duration": 0.5}
    (turn,) = turns_of([begun(), *lesson[: place + 1], second, *lesson[place + 1 :]])

    assert [(8.31, 8.36), (8.36, 8.86)] == [
        (round(one.start - ANCHOR, 3), round(one.end - ANCHOR, 3))
        for one in turn.stages
        if one.name == "brain"
    ]


def test_a_hurried_lesson_is_laid_out_in_its_own_time() -> None:
    wall = iter(range(100))
    lesson = [{**each, "wall": 50.0 + next(wall) / 100} for each in wake_turn()]
    (turn,) = turns_of([begun(pace="fast", wall=50.0), *lesson])

    assert (58.0, 62.0) == (turn.start, turn.end)


def test_a_record_of_another_version_hurts_nobody() -> None:
    odd = {"type": "invented", "t": 1.0, "wall": ANCHOR + 1.0}
    lesson = [json.loads(json.dumps(each)) for each in [begun(), odd, *wake_turn(), odd]]

    assert 1 == len(turns_of(lesson))
