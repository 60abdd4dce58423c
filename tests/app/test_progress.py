"""What a person sees while a lesson runs."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import pytest

from maestra.app.cli.progress import Progress, plain_line, show
from maestra.app.event_log import EventLog, Subscription
from maestra.core import log
from maestra.core.conversation.commands import QuestionKind
from maestra.core.hearing import FloorLabel

LESSON: tuple[log.Record, ...] = (
    log.Floor(t=1.0, label=FloorLabel.PLAYING, since=0.8),
    log.TakeStarted(t=1.2, take=1, start=0.8),
    log.Note(t=2.0, onset=1.0, offset=1.5, midi=69, loudness_db=-20.0, confidence=0.9),
    log.TakeEnded(t=5.0, take=1, start=0.8, end=4.0, notes=1),
    log.Transcript(
        t=6.0, utterance=1, text="Teacher, [bold]comment", start=5.0, end=5.9, final=True
    ),
    log.Wake(t=6.0, phrase="teacher, comment", score=96.0, text="x", start=5.0, end=5.9),
    log.State(t=6.0, before="passive_listening", after="responding", cause="wake_phrase_heard"),
    log.Question(t=6.0, epoch=1, kind=QuestionKind.WAKE, text=""),
    log.ReplyText(t=6.1, epoch=1, text="Well played.", brain="coach"),
    log.ReplyText(t=6.2, epoch=1, text="Now slower.", brain="coach"),
    log.ReplyStarted(t=6.6, epoch=1, latency=log.Latency(total=0.62)),
    log.Slice(t=7.0, fps=25.0, held=0, underruns=0, late=0, queued=0.4),
    log.ReplyStopped(t=9.0, epoch=1, cause="music", heard_text="Well", silence_at=9.04),
    log.ReplyText(t=19.0, epoch=2, text="Again?", brain="coach"),
    log.SessionEnded(t=20.0, cause="finished"),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def _events() -> AsyncIterator[log.Record]:
    for record in LESSON:
        yield record


def test_the_last_facts_are_there_before_anybody_asks() -> None:
    progress = Progress()
    for take in range(1, 5):
        end = 10.0 * take
        progress.take(log.TakeEnded(t=end + 1, take=take, start=end - 4.5, end=end, notes=9))
    assert progress.facts == [f"take {take}: 4.5 s, 9 notes" for take in (4, 3, 2)]

    remark = log.Remark(kind="tempo", take=4, start=35.5, end=40.0, text="It sped up.", facts={})
    progress.take(
        log.Summary(t=50.0, epoch=1, duration=0.01, takes=4, notes=36, observations=(remark,))
    )
    assert progress.facts == ["It sped up."]


def test_progress_holds_what_is_shown() -> None:
    progress = Progress()
    for record in LESSON[:12]:
        progress.take(record)

    assert progress.state == "responding"
    assert progress.floor == "playing"
    assert progress.reply == "Well played. Now slower."
    assert (progress.takes, progress.notes) == (1, 1)
    assert progress.latency == 0.62
    assert progress.fps == 25.0

    for record in LESSON[12:]:
        progress.take(record)

    assert progress.reply == "Again?", "a new reply does not go on from the last one"
    assert progress.state == "ended"


@pytest.mark.anyio
async def test_elsewhere_than_in_a_terminal_there_are_plain_lines(anyio_backend: str) -> None:
    out = io.StringIO()

    await show(_events(), to=out)

    assert out.getvalue().splitlines() == [
        "     5.00  take 1: 3.2 s, 1 notes",
        "     6.00  heard: Teacher, [bold]comment",
        "     6.00  woken by 'teacher, comment' (96)",
        "     6.00  passive_listening -> responding (wake_phrase_heard)",
        "     6.10  says: Well played.",
        "     6.20  says: Now slower.",
        "     6.60  begins to speak 0.62 s after the end of the question",
        "     9.00  stops speaking (music)",
        "    19.00  says: Again?",
        "    20.00  ended (finished)",
    ]


def _from_a_log() -> Subscription:
    """What a listener gets who comes when the session has long begun."""
    with EventLog() as event_log:
        event_log.append(
            log.SessionStarted(
                t=0.0, version="0", ingest="a.wav", persona="teacher_mary_v1", pace="fast"
            )
        )
        for text in ("piper-tts: it is GPL", "madmom: not for money"):
            event_log.append(log.Warned(t=0.0, source="licence", text=text))
        event_log.append(log.Warned(t=1.0, source="ingest", text="the input is late"))
        return event_log.subscribe(replay=True)


@pytest.mark.anyio
async def test_how_it_began_and_what_licences_ask_is_shown(anyio_backend: str) -> None:
    out = io.StringIO()

    await show(_from_a_log(), to=out)

    assert out.getvalue().splitlines() == [
        "     0.00  teacher_mary_v1 listens to a.wav",
        "     0.00  licence: piper-tts: it is GPL",
        "     0.00  licence: madmom: not for money",
        "     1.00  warning: the input is late",
    ]


@pytest.mark.anyio
async def test_a_terminal_shows_every_licence_above_the_panel(
    anyio_backend: str,
) -> None:
    pytest.importorskip("rich")

    out = Terminal()

    await show(_from_a_log(), to=out)

    assert "licence: piper-tts: it is GPL" in out.getvalue()
    assert "licence: madmom: not for money" in out.getvalue()
    assert "the input is late" in out.getvalue()


@pytest.mark.anyio
async def test_a_terminal_gets_a_panel_and_words_are_not_markup(anyio_backend: str) -> None:
    pytest.importorskip("rich")

    out = Terminal()

    await show(_events(), to=out)

    assert "Teacher, [bold]comment" in out.getvalue()
    assert "answered in 0.62 s" in out.getvalue()
    assert "25 fps" in out.getvalue()


def test_what_failed_is_told() -> None:
    failed = log.AdapterFailed(
        t=1.0, port="brain", adapter="oracle", error="BrainError", text="it hung"
    )

    assert plain_line(failed) == "     1.00  brain: oracle failed: it hung"

    progress = Progress()
    gone = log.AdapterFailed(
        t=1.0, port="publish", adapter="", error="StreamError", text="rtmp://x refuses it."
    )
    assert plain_line(gone) == "     1.00  publish: rtmp://x refuses it."
    progress.take(gone)
    assert progress.trouble == "rtmp://x refuses it."
    back = log.ConnectionRestored(t=9.0, port="publish", after=8.04)
    assert plain_line(back) == "     9.00  the output is back after 8.0 s"
    progress.take(back)
    assert progress.trouble == "the output is back"
