"""A voice that hangs, breaks or says nothing in mid-answer, in a whole lesson: what is heard."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.distribution import bring

from maestra.app.config import Config, VoiceConfig
from maestra.app.session import open_session
from maestra.core import log

from .event_logs import records
from .test_whole_lessons import excerpt, longest_pause

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.models,
]

_VOICE = '''
import os
import anyio
from maestra.app import composition
from maestra.app.config import Config
from maestra.ports.errors import VoiceError

class Failing:
    """Piper, but for the second clause and those after it."""

    def __init__(self, who):
        (_, build), *_ = composition.voices(Config(), who)
        self._piper = build()
        self._clauses = 0
        self.sample_rate_hz = self._piper.sample_rate_hz

    async def synthesise(self, clause):
        self._clauses += 1
        # The first two are what is known by heart, which is spoken before the lesson.
        if self._clauses > 3:
            match os.environ["FAILING_VOICE"]:
                case "hangs":
                    await anyio.sleep_forever()
                case "breaks":
                    raise VoiceError("The voice has gone.")
                case "says nothing":
                    return
        async for sound in self._piper.synthesise(clause):
            yield sound

def build(config, who):
    return Failing(who)
'''


@pytest.mark.parametrize("what", ["hangs", "breaks", "says nothing"])
async def test_the_next_voice_is_heard_within_two_seconds(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("faster_whisper", "piper", "torch"):
        pytest.importorskip(package)
    bring(tmp_path / "packages", monkeypatch, port="voice", source=_VOICE)
    monkeypatch.setenv("FAILING_VOICE", what)

    events, video = tmp_path / "events.jsonl", tmp_path / "teacher.mp4"
    async with open_session(
        config=Config(voice=VoiceConfig(backend=("failing", "piper"))),
        ingest=str(excerpt(tmp_path / "lesson.wav", 25.0, 48.0)),
        publish=str(video),
        events_path=events,
    ) as session:
        await session.wait()

    found = records(events)
    switched = [r for r in found if isinstance(r, log.AdapterSwitched) and r.port == "voice"]
    assert [("failing", "piper")] == [(r.before, r.after) for r in switched]
    stopped = next(r for r in found if isinstance(r, log.ReplyStopped))
    said = " ".join(r.text for r in found if isinstance(r, log.ReplyText))
    assert ("finished", said) == (stopped.cause, stopped.heard_text)
    pause = longest_pause(video)
    print(f"{what}: the longest pause within the answer is {pause:.2f} s")
    assert pause < 2.0
