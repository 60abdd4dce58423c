"""What the playout tells of each second, on a virtual clock."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from multiprocessing.connection import Pipe

from maestra.app.config import Config
from maestra.app.messages import Advance, Begin, Slice, SliceStatistics, Stop
from maestra.app.workers.playout import PlayoutSettings, playout

SOUND = bytes(2 * 1920)


def spoken(picture: bytes | None, *, repeats: bool = False) -> Slice:
    return Slice(slot=0, epoch=1, sound=SOUND, picture=picture, repeats=repeats)


def told_of(second: Sequence[Slice]) -> SliceStatistics:
    """What is told of 25 slices of a reply."""
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
        for end in (session, control, speaker, slices):
            end.close()


FRESH, HELD, REPEATED = spoken(b"p"), spoken(None), spoken(None, repeats=True)


def test_a_picture_that_shall_be_shown_again_is_not_held() -> None:
    told = told_of([FRESH, *[FRESH, REPEATED] * 10, *[HELD] * 4])

    assert (25.0, 4) == (told.fps, told.held)
