"""What the playout tells of each second and of its output; no clock matters."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from multiprocessing.connection import Pipe

import pytest
from attrs import evolve
from fakes.publish import FakePublish

from maestra.app import composition
from maestra.app.config import Config
from maestra.app.event_log import EventLog
from maestra.app.messages import Advance, Begin, Slice, SliceStatistics, Stop
from maestra.app.session import Session
from maestra.app.workers.backoff import BackOff
from maestra.app.workers.playout import _RESTORED, PlayoutSettings, _Job, _Writer, playout
from maestra.core import log
from maestra.core.stream_url import StreamUrl
from maestra.ports.errors import StreamError

SOUND = bytes(2 * 1920)


def spoken(picture: bytes | None, *, repeats: bool = False) -> Slice:
    return Slice(slot=0, epoch=1, sound=SOUND, picture=picture, repeats=repeats)


def told_of(second: Sequence[Slice]) -> SliceStatistics:
    """What is told of 25 slices of a reply.

    The playout's own ends are not closed here: its reader may be about to read one, and would read
    whatever has that end's number by then.
    """
    session, control = Pipe(duplex=True)
    speaker, slices = Pipe(duplex=True)
    settings = PlayoutSettings(config=Config(), url=None, fast=True)
    thread = threading.Thread(target=playout, args=(control, slices, settings, None), daemon=True)
    thread.start()
    session.send(Begin(anchor=0.0))
    for item in second:
        speaker.send(item)
    session.send(Advance(slot=25, epoch=1))
    try:
        while True:
            assert session.poll(10)
            if isinstance(message := session.recv(), SliceStatistics):
                return message
    finally:
        session.send(Stop())
        thread.join(10)
        for end in (session, speaker):
            end.close()


FRESH, HELD, REPEATED = spoken(b"p"), spoken(None), spoken(None, repeats=True)


def test_a_picture_that_shall_be_shown_again_is_not_held() -> None:
    told = told_of([FRESH, *[FRESH, REPEATED] * 10, *[HELD] * 4])

    assert (25.0, 4) == (told.fps, told.held)


@pytest.mark.parametrize(
    ("second", "offset"),
    [
        ([FRESH] * 25, 0.0),
        ([FRESH, REPEATED] * 12 + [FRESH], 0.0),
        ([FRESH, HELD] * 12 + [FRESH], 0.04),
        ([FRESH, HELD, HELD, HELD, FRESH, HELD] + [FRESH] * 19, 0.12),
        ([HELD] * 24 + [FRESH], 0.0),
        ([HELD] * 25, None),
        ([FRESH, *[evolve(HELD, sound=None)] * 24], 0.0),
        ([evolve(FRESH, sound=None)] * 25, None),
    ],
    ids=[
        *("every picture", "fewer by itself", "every second", "three missing"),
        *("none before", "none at all", "silence", "nothing said"),
    ],
)
def test_sound_is_ahead_of_a_picture_that_is_shown_again(
    second: Sequence[Slice], offset: float | None
) -> None:
    assert offset == told_of(second).av_offset


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_session_records_what_it_is_told() -> None:
    config = Config()
    with EventLog() as event_log:
        session = Session(
            config,
            ingest=StreamUrl.parse("lesson.wav"),
            publish=None,
            persona=composition.persona(config.persona),
            pace="fast",
            event_log=event_log,
            end_on_close=False,
            kept=None,
        )
        told = told_of([FRESH, HELD, HELD, *[FRESH] * 22])
        session._dispatch("playout", told)
        events = event_log.subscribe(replay=True)
    (record,) = [record async for record in events]

    assert isinstance(record, log.Slice)
    assert (25.0, 2, 0.08) == (record.fps, record.held, record.av_offset)


def test_an_output_that_is_back_and_breaks_again_in_the_same_way_is_told_of_again() -> None:
    told: list[object] = []
    output = FakePublish()
    writer = _Writer(
        open_publish=lambda: output,
        size=64,
        backoff=BackOff(0.1, 0.4),
        report=lambda kind, text, fatal: told.append(text),
        restored=lambda after: told.append("restored"),
        patient=False,
    )
    writer._failed(StreamError("it is gone"))
    writer._failed(StreamError("it is gone"))  # once is enough
    writer.open()
    for slot in range(_RESTORED):
        writer._write(_Job(slot=slot, sound=None, picture=None), None)
    writer._failed(StreamError("it is gone"))

    assert ["it is gone", "restored", "it is gone"] == told
