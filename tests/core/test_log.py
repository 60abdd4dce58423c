"""The event log's schema."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestra.core import log
from maestra.core.conversation.commands import QuestionKind
from maestra.core.hearing import FloorLabel

LESSONS = Path(__file__).parents[1] / "data/lessons"

EXAMPLES: tuple[log.Record, ...] = (
    log.SessionStarted(
        t=0.0,
        version="0.1.0",
        ingest="lesson.flac",
        persona="teacher_mary_v1",
        pace="fast",
        backends={"brain": "coach"},
    ),
    log.Floor(t=0.0, label=FloorLabel.SILENCE, since=0.0),
    log.SpeechStarted(t=1.0, since=0.9),
    log.SpeechStopped(t=2.0, since=1.9),
    log.Transcript(t=2.0, utterance=1, text="Teacher,", start=0.9, end=1.9, final=False),
    log.Wake(t=2.0, phrase="teacher, comment", score=100.0, text="x", start=0.9, end=1.9),
    log.Note(t=2.0, onset=1.0, offset=1.5, midi=69, loudness_db=-20.0, confidence=0.9),
    log.Note(
        t=2.0,
        onset=1.0,
        offset=1.5,
        midi=69,
        f0_hz=441.0,
        deviation_cents=3.9,
        loudness_db=-20.0,
        confidence=0.9,
    ),
    log.Beat(t=2.0, at=1.5),
    log.TakeStarted(t=3.0, take=1, start=2.5),
    log.TakeEnded(t=9.0, take=1, start=2.5, end=7.0, notes=12),
    log.State(t=9.0, before="passive_listening", after="responding", cause="wake_phrase_heard"),
    log.Timer(t=9.0, timer=1, action="started", deadline=19.0),
    log.Question(t=9.0, epoch=1, kind=QuestionKind.WAKE, text=""),
    log.Summary(
        t=9.0,
        epoch=1,
        duration=0.004,
        takes=1,
        notes=12,
        observations=(
            log.Remark(
                kind="rushing",
                take=1,
                start=2.5,
                end=7.0,
                text="The tempo rose.",
                facts={"tempo_end_bpm": log.Fact(value=108.0, unit="bpm", confidence=0.9)},
            ),
        ),
    ),
    log.ReplyText(t=9.1, epoch=1, text="Well played.", brain="coach"),
    log.ReplyText(
        t=9.1,
        epoch=1,
        text="You ended at 108.",
        brain="coach",
        figures=(
            log.Stated(
                said="108",
                at=13,
                name="tempo_end",
                take=1,
                fact=log.Fact(value=108.2, unit="bpm", confidence=0.9, start=5.0, end=7.0),
            ),
        ),
    ),
    log.Answered(t=9.2, epoch=1, brain="coach", ttft=0.01, duration=0.02, clauses=3),
    log.Spoken(t=9.5, epoch=1, voice="piper", ttfb=0.15, rtf=0.2, duration=1.9),
    log.ReplyStarted(t=9.6, epoch=1, latency=log.Latency(brain=0.01, total=0.6)),
    log.Slice(t=10.0, fps=25.0, held=0, underruns=0, late=0, queued=0.4),
    log.Slice(t=11.0, fps=25.0, held=0, underruns=0, late=0, queued=0.4, av_offset=-0.004),
    log.Resumed(t=11.5, epoch=1, cause="speech", silent=0.45),
    log.ReplyStopped(t=12.0, epoch=1, cause="speech", heard_text="Well", silence_at=12.04),
    log.AdapterFailed(t=12.0, port="brain", adapter="x", error="BrainError", text="it hung"),
    log.ConnectionRestored(t=12.0, port="publish", after=1.5),
    log.AdapterSwitched(t=12.0, port="brain", before="x", after="coach"),
    log.FaceDegraded(t=12.0, face="puppet", level="fewer", cause="it is slow"),
    log.ConfigChanged(t=12.0, values={"conversation.window": 5.0}),
    log.ContextReset(t=12.0, turns=1, performance=False),
    log.Warned(t=12.0, source="ingest", text="the input is late"),
    log.SessionEnded(t=13.0, cause="finished"),
)


def test_every_type_has_an_example() -> None:
    assert {example.type for example in EXAMPLES} == set(log.RECORD_TYPES)


def test_a_record_survives_its_line() -> None:
    for record in EXAMPLES:
        line = json.dumps(log.encode(record))

        assert log.decode(line) == record
        assert log.problems(line) == (), line


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_rounding_is_stable(t: float) -> None:
    once = log.encode(log.Beat(t=t, at=t))

    assert log.encode(log.decode(once)) == once
    assert "-0.0," not in json.dumps(once)


def test_what_was_not_measured_is_null_and_not_zero() -> None:
    assert _example("slice")["av_offset"] is None
    assert _example("reply_started")["latency"]["face"] is None


def _example(kind: str) -> dict[str, Any]:
    return log.encode(next(example for example in EXAMPLES if example.type == kind))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "not JSON"),
        ("[]", "not an object"),
        ('{"t": NaN}', "not JSON"),
        ('{"type": "spell"}', "'spell' is unknown"),
        ({**_example("beat"), "at": "soon"}, "at: 'soon' is not number"),
        ({**_example("beat"), "at": True}, "at: True is not number"),
        ({**_example("beat"), "at": math.inf}, "at: inf is not number"),
        ({**_example("beat"), "pulse": 1}, "pulse: not a field of beat"),
        ({**_example("note"), "midi": 60.5}, "midi: 60.5 is not integer"),
        ({**_example("floor"), "label": "noise"}, "label: 'noise' is not silence | speech"),
        ({**_example("reply_stopped"), "cause": "boredom"}, "cause: 'boredom' is not finished"),
        ({**_example("reply_started"), "latency": {}}, "latency.total: missing"),
        ({**_example("summary"), "observations": [{}]}, "observations[0].kind: missing"),
        ({k: v for k, v in _example("beat").items() if k != "wall"}, "wall: missing"),
        ({k: v for k, v in _example("state").items() if k != "from"}, "from: missing"),
    ],
)
def test_a_wrong_line_is_told_why(line: str | dict[str, Any], complaint: str) -> None:
    assert any(complaint in problem for problem in log.problems(line)), log.problems(line)


def test_a_reader_passes_over_what_a_later_version_adds() -> None:
    assert log.decode({**_example("beat"), "strength": 3}) == log.Beat(t=2.0, at=1.5)


def test_decoding_a_wrong_line_raises() -> None:
    with pytest.raises(log.LogError, match="at: missing"):
        log.decode({"t": 0.0, "wall": 0.0, "type": "beat"})


# --- a whole log --------------------------------------------------------------


def _lines(*records: log.Record) -> list[str]:
    return [
        json.dumps(log.encode(attrs.evolve(record, wall=float(number))))
        for number, record in enumerate(records)
    ]


def test_a_good_log_is_good() -> None:
    assert log.check_log(_lines(*EXAMPLES)) == ()


def _reply(epoch: int) -> log.Record:
    return log.ReplyStarted(t=0.0, epoch=epoch, latency=log.Latency(total=0.5))


_FIRST, _LAST = EXAMPLES[0], EXAMPLES[-1]
_STOPPED = log.ReplyStopped(t=0.0, epoch=1, cause="finished", heard_text="", silence_at=0.0)
_GIVEN_UP = attrs.evolve(_STOPPED, cause="failed")


def _state(before: str, after: str) -> log.Record:
    return log.State(t=0.0, before=before, after=after, cause="x")


@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        ((), "the log is empty"),
        ((_LAST,), "the first record is not session_started"),
        ((_FIRST,), "the last record is not session_ended"),
        ((_FIRST, _reply(1), _reply(2), _LAST), "reply 2 while 1 is heard"),
        ((_FIRST, _reply(1), _STOPPED, _reply(1), _LAST), "reply 1 after reply 1"),
        ((_FIRST, _reply(1), _LAST), "reply 1 never stopped"),
        ((_FIRST, _reply(2), _GIVEN_UP, _LAST), "reply 1 stopped, 2 is heard"),
        ((_FIRST, _reply(1), _STOPPED, _STOPPED, _LAST), "reply 1 stopped after 1 had"),
        ((_FIRST, _GIVEN_UP, _GIVEN_UP, _LAST), "reply 1 stopped after 1 had"),
        ((_FIRST, _STOPPED, _LAST), "reply 1 finished and never started"),
        ((_FIRST, _state("a", "b"), _state("a", "c"), _LAST), "left a while in b"),
    ],
)
def test_a_bad_log_is_told_why(records: tuple[log.Record, ...], complaint: str) -> None:
    assert any(complaint in problem for problem in log.check_log(_lines(*records)))


def test_a_reply_that_was_never_heard_may_be_given_up() -> None:
    talk = (_state("a", "b"), _GIVEN_UP, _state("b", "c"), _reply(2))

    stopped = attrs.evolve(_STOPPED, epoch=2)
    assert log.check_log(_lines(_FIRST, *talk, stopped, _LAST)) == ()


def test_the_log_of_a_real_lesson_is_good() -> None:
    lines = (LESSONS / "demo.events.jsonl").read_text(encoding="utf-8").splitlines()

    assert log.check_log(lines) == ()


def test_wall_never_goes_back() -> None:
    lines = [
        json.dumps(log.encode(attrs.evolve(r, wall=-float(n)))) for n, r in enumerate(EXAMPLES)
    ]

    assert any("wall went back" in problem for problem in log.check_log(lines))
