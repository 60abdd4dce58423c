"""The music worker: notes, onsets, beats and level."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from attrs import frozen

from maestra.core.media_time import from_samples
from maestra.ports.errors import MaestraError

from ..messages import EndOfStream, Failed, Feed, Hello, MusicHeard, Progress, Stop

if TYPE_CHECKING:
    from ..config import Config

__all__ = ["MusicSettings", "run"]


@frozen(kw_only=True)
class MusicSettings:
    config: Config


def run(control: Connection, settings: MusicSettings) -> None:
    """Listen until the session says stop or goes."""
    from .. import composition

    try:
        analyser = composition.music(settings.config)
    except MaestraError as error:
        control.send(
            Failed(worker="senses", kind=type(error).__name__, text=str(error), fatal=True)
        )
        return
    control.send(Hello(worker="music", detail=settings.config.senses.music))
    while not isinstance(message := control.recv(), Stop):
        match message:
            case Feed(chunk=chunk, floor=floor):
                for event in analyser.push(chunk, floor):
                    control.send(MusicHeard(event=event))
                control.send(Progress(worker="music", up_to=from_samples(chunk.end, chunk.rate_hz)))
            case EndOfStream():
                for event in analyser.flush():
                    control.send(MusicHeard(event=event))
                control.send(EndOfStream())
            case _:
                pass
