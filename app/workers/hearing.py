"""The hearing worker: floor, voice activity, words, and when a turn is over."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import anyio
from attrs import frozen

from maestra.core.media_time import from_samples
from maestra.ports.errors import MaestraError

from ..messages import Configure, EndOfStream, Failed, Feed, Heard, Hello, Progress, Stop

if TYPE_CHECKING:
    from ..config import Config
    from ..hearing import Hearing

__all__ = ["HearingSettings", "run"]


@frozen(kw_only=True)
class HearingSettings:
    """``fast`` makes the result independent of how fast this machine is. ``anew``: the lesson has
    begun, so a key that is not accepted any more costs a recogniser, and not the lesson; and
    ``utterances`` were heard before."""

    config: Config
    fast: bool
    anew: bool = False
    utterances: int = 0


def run(control: Connection, settings: HearingSettings) -> None:
    """Listen until the session says stop or goes."""
    from .. import composition

    try:
        hearing = composition.hearing(
            settings.config, fast=settings.fast, utterances=settings.utterances
        )
    except MaestraError as error:
        _fail(control, error)
        return
    try:
        if not settings.anew:
            anyio.run(hearing.check)
        control.send(Hello(worker="hearing", detail=settings.config.senses.asr[0]))
        _listen(control, hearing)
    except MaestraError as error:
        _fail(control, error)
    finally:
        hearing.close()


def _fail(control: Connection, error: MaestraError) -> None:
    control.send(Failed(worker="senses", kind=type(error).__name__, text=str(error), fatal=True))


def _listen(control: Connection, hearing: Hearing) -> None:
    while not isinstance(message := control.recv(), Stop):
        match message:
            case Feed(chunk=chunk):
                for event in hearing.push(chunk):
                    control.send(Heard(event=event))
                control.send(
                    Progress(worker="hearing", up_to=from_samples(chunk.end, chunk.rate_hz))
                )
            case EndOfStream():
                for event in hearing.flush():
                    control.send(Heard(event=event))
                control.send(EndOfStream())
            case Configure(values=values):
                hearing.configure(values)
            case _:
                pass
        for report in hearing.reports():
            control.send(report)
        for failure in hearing.failures():
            text = str(failure) or type(failure).__name__
            control.send(
                Failed(worker="senses", adapter="hearing", kind=type(failure).__name__, text=text)
            )
