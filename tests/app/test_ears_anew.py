"""An ear that is started anew: what sounds meanwhile, and what it is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np
import pytest
from attrs import define, field

from maestra.app import composition, session
from maestra.app.config import Config
from maestra.app.event_log import EventLog
from maestra.app.messages import Configure, Feed, Heard, Progress
from maestra.app.session import Session
from maestra.app.workers.hearing import HearingSettings
from maestra.core.hearing import FloorChanged, FloorLabel, Transcript
from maestra.core.media_time import MediaTime, from_seconds
from maestra.core.stream_url import StreamUrl
from maestra.ports.audio import EAR_RATE_HZ, AudioChunk

pytestmark = pytest.mark.anyio
CHUNK = 882


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@define(eq=False)
class Worker:
    """Is told, and says nothing."""

    name: str
    settings: object = None
    told: list[object] = field(factory=list)

    def __enter__(self) -> Self:
        return self

    def listen(self) -> None:
        pass

    def join(self) -> None:
        pass

    def send(self, message: object) -> None:
        self.told.append(message)


class Lesson:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, event_log: EventLog) -> None:
        monkeypatch.setattr(session, "Worker", Worker)
        config = Config()
        self.session = Session(
            config,
            ingest=StreamUrl.parse("lesson.wav"),
            publish=None,
            persona=composition.persona(config.persona),
            pace="realtime",
            event_log=event_log,
            end_on_close=False,
            kept=None,
        )
        self.music = Worker("music")
        self.session._workers = {"hearing": Worker("hearing"), "music": self.music}  # type: ignore[dict-item]
        self.session._settings = {"hearing": HearingSettings(config=config, fast=False)}
        self.heard_to = 0

    @property
    def ear(self) -> Worker:
        worker: Worker = self.session._workers["hearing"]  # type: ignore[assignment]
        return worker

    def says(self, message: object) -> None:
        self.session._dispatch("hearing", message)

    def floor(self, label: FloorLabel, since: float) -> None:
        changed = FloorChanged(at=from_seconds(since), label=label, since=from_seconds(since))
        self.says(Heard(event=changed))

    def plays(self, seconds: float) -> None:
        """So much more sound comes, and nobody has heard it yet."""
        for _ in range(round(seconds * EAR_RATE_HZ / CHUNK)):
            samples = np.zeros(CHUNK, np.float32)
            self.session._feed(
                Feed(chunk=AudioChunk(start=self.heard_to, rate_hz=EAR_RATE_HZ, samples=samples))
            )
            self.heard_to += CHUNK

    async def loses_its_ear(self, floor: FloorLabel) -> None:
        """After two seconds of ``floor``; the next says nothing for nine."""
        self.floor(floor, 0.0)
        self.plays(2.0)
        self.says(Progress(worker="hearing", up_to=from_seconds(2.0)))
        assert await self.session._start_anew("hearing")
        self.plays(9.0)

    @property
    def analysed(self) -> list[FloorLabel]:
        """With which floor the music analysis got each chunk."""
        return [message.floor for message in self.music.told if isinstance(message, Feed)]


@pytest.fixture
def lesson(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lesson]:
    with EventLog() as event_log:
        yield Lesson(monkeypatch, event_log)


async def test_music_that_is_played_while_an_ear_loads_is_music(lesson: Lesson) -> None:
    await lesson.loses_its_ear(FloorLabel.PLAYING)
    assert len(lesson.analysed) > 150 and {*lesson.analysed} == {FloorLabel.PLAYING}

    # The new ear has heard it all, and says that nobody has played since the fifth second.
    lesson.floor(FloorLabel.PLAYING, 2.0)
    lesson.floor(FloorLabel.SILENCE, 5.0)
    lesson.says(Progress(worker="hearing", up_to=from_seconds(11.0)))
    assert FloorLabel.SILENCE is lesson.analysed[-1]


async def test_who_spoke_when_the_ear_died_may_play_by_now(lesson: Lesson) -> None:
    await lesson.loses_its_ear(FloorLabel.SPEECH)
    assert FloorLabel.SILENCE is lesson.analysed[-1], "and is not taken to speak on"


async def test_an_ear_that_comes_anew_is_told_what_has_changed(lesson: Lesson) -> None:
    said = Transcript(
        at=MediaTime(0), utterance=7, text="", start=MediaTime(0), end=MediaTime(0), final=True
    )
    before = lesson.ear
    await lesson.session.update_config({"conversation.wake_phrases": ["maestra"]})
    await lesson.session.update_config({"conversation.strictness": "low"})
    lesson.says(Heard(event=said))
    assert await lesson.session._start_anew("hearing")

    assert lesson.ear is not before
    assert isinstance(lesson.ear.settings, HearingSettings)
    assert (7, True) == (lesson.ear.settings.utterances, lesson.ear.settings.anew)
    (told,) = [message for message in lesson.ear.told if isinstance(message, Configure)]
    assert {
        "conversation.wake_phrases": ["maestra"],
        "conversation.strictness": "low",
    } == told.values
