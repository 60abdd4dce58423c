"""The music worker: notes, onsets, beats and level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from attrs import frozen

from maestra.core.media_time import from_samples
from maestra.core.performance.notes import MusicEvent
from maestra.ports.errors import MaestraError

from ..messages import EndOfStream, Failed, Feed, Hello, MusicHeard, Progress, Stop
from ..spells import OnceASpell

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
    name = settings.config.senses.music
    control.send(Hello(worker="music", detail=name))

    def tell(error: Exception) -> None:
        text = str(error) or type(error).__name__
        control.send(Failed(worker="senses", adapter=name, kind=type(error).__name__, text=text))

    spells = OnceASpell(tell)

    def heard(listen: Callable[[], Sequence[MusicEvent]]) -> None:
        for event in spells.call(listen):
            control.send(MusicHeard(event=event))

    while not isinstance(message := control.recv(), Stop):
        match message:
            case Feed(chunk=chunk, floor=floor):
                heard(partial(analyser.push, chunk, floor))
                control.send(Progress(worker="music", up_to=from_samples(chunk.end, chunk.rate_hz)))
            case EndOfStream():
                heard(analyser.flush)
                control.send(EndOfStream())
            case _:
                pass
