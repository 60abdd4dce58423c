"""The same lesson with other backends: nothing but the configuration differs. Each service is a
local server that speaks its protocol, asked by the vendor's own SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define, evolve

pytest.importorskip("openai")
pytest.importorskip("deepgram")
pytest.importorskip("elevenlabs")

from servers import deepgram as deepgram_server
from servers import elevenlabs as elevenlabs_server
from servers import openai_chat

from maestra.app import composition
from maestra.app.config import Config, load, presets
from maestra.app.demo import LESSON
from maestra.app.session import Session, open_session
from maestra.core import log

from .event_logs import records

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(300),
    pytest.mark.models,
    pytest.mark.slow,
]

OPENAI_KEY = "sk-that-nobody-may-see"
ANSWER = openai_chat.Play(
    pieces=(
        "You kept going, ",
        "and that is what counts. ",
        "You played at 417 beats a minute. ",
        "Now play it **slowly** \U0001f389, hands apart.",
    )
)


@define
class Cloud:
    """The three services, and the shipped preset with nothing changed but where they are."""

    ears: deepgram_server.TranscriptServer
    chat: openai_chat.ChatServer
    voice: elevenlabs_server.VoiceServer

    def die(self) -> None:
        self.ears.die()
        self.chat.script = [openai_chat.Play(status=503)]
        self.voice.die()

    @property
    def config(self) -> Config:
        made = load(presets()["cloud-chain"].path, environ={}).config

        def there(section: Any, name: str, **options: object) -> Any:
            mine: Mapping[str, object] = section.options.get(name, {})
            return evolve(section, options={**section.options, name: {**mine, **options}})

        return evolve(
            made,
            # It shares two cores with who transcribes for it.
            senses=there(made.senses, "deepgram", base_url=self.ears.url, timeout=10.0),
            brain=there(made.brain, "openai", base_url=self.chat.base_url),
            voice=there(made.voice, "elevenlabs", base_url=self.voice.base_url),
        )


@asynccontextmanager
async def cloud() -> AsyncIterator[Cloud]:
    """What Deepgram hears here, Whisper does: so the words are the lesson's own."""
    whisper = composition.recogniser(Config())
    with deepgram_server.transcript_server() as ears:
        ears.ear = lambda sound: whisper.transcribe(sound).text
        async with openai_chat.serving(ANSWER) as chat, elevenlabs_server.voice_server() as voice:
            chat.models = ("gpt-4o-mini",)
            yield Cloud(ears, chat, voice)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPGRAM_API_KEY", deepgram_server.KEY)
    monkeypatch.setenv("OPENAI_API_KEY", OPENAI_KEY)
    monkeypatch.setenv("ELEVENLABS_API_KEY", elevenlabs_server.KEY)


async def hold(there: Cloud, events: Path, *, die_after: int | None = None) -> list[Any]:
    """The lesson's records.

    :param die_after: after so many answers all services are gone.
    """

    async def die(session: Session) -> None:
        stopped = 0
        async for record in session.events():
            stopped += isinstance(record, log.ReplyStopped)
            if stopped == die_after:
                there.die()
                return

    async with (
        anyio.create_task_group() as watch,
        open_session(there.config, ingest=str(LESSON), pace="fast", events_path=events) as session,
    ):
        watch.start_soon(die, session)
        await session.wait()
    return written(events)


def written(events: Path) -> list[Any]:
    """A log that is in order and holds no key."""
    text = events.read_text(encoding="utf-8")
    secrets = (OPENAI_KEY, deepgram_server.KEY, elevenlabs_server.KEY)
    assert not any(secret in text for secret in secrets)
    return records(events)


def of(found: list[Any], kind: type[Any]) -> list[Any]:
    return [record for record in found if isinstance(record, kind)]


async def test_a_lesson_with_every_part_in_the_cloud(tmp_path: Path) -> None:
    async with cloud() as there:
        found = await hold(there, tmp_path / "events.jsonl")

        assert not of(found, log.AdapterFailed)
        assert not of(found, log.AdapterSwitched)
        assert 1 == len(there.ears.asked), "one connection for the lesson"
        assert ["nova-2"] == there.ears.asked[0]["model"]
        heard = sum(there.ears.samples) / 16_000
        assert 3 < heard < 30, "nothing of the music goes out, of 88 s"
        assert {"gpt-4o-mini"} == {asked.body["model"] for asked in there.chat.requests}
        assert there.voice.texts

    (started,) = of(found, log.SessionStarted)
    named = {"asr": "deepgram", "brain": "openai", "voice": "elevenlabs"}
    assert named.items() <= started.backends.items()
    assert 2 == len(of(found, log.Wake))
    kinds = [record.kind.value for record in of(found, log.Question)]
    assert ["wake", "follow_up"] == kinds[:2]
    causes = [record.cause for record in of(found, log.ReplyStopped)]
    assert "finished" == causes[0]
    assert "music" == causes[-1]

    answers = of(found, log.ReplyText)
    said = " ".join(answer.text for answer in answers)
    assert "417" not in said, "a figure that nobody measured"
    assert "slowly, hands apart" in said, "without its markup and its emoji"
    assert {"openai", "coach"} >= {answer.brain for answer in answers} >= {"openai"}
    for one in of(found, log.Answered):
        assert "openai" == one.brain
        assert 0 < one.ttft <= one.duration
    assert of(found, log.Answered)
    for clause in of(found, log.Spoken):
        assert "elevenlabs" == clause.voice
        assert 0 < clause.ttfb
        assert 0 < clause.rtf
    assert of(found, log.Spoken)
    assert of(found, log.ReplyStarted)[0].latency.hearing is not None


async def test_services_that_are_gone_in_mid_lesson_cost_no_answer(tmp_path: Path) -> None:
    async with cloud() as there:
        found = await hold(there, tmp_path / "events.jsonl", die_after=1)

    assert {
        ("senses.asr", "deepgram", "faster-whisper"),
        ("brain", "openai", "coach"),
        ("voice", "elevenlabs", "piper"),
    } <= {(one.port, one.before, one.after) for one in of(found, log.AdapterSwitched)}
    assert 2 == len(of(found, log.Wake)), "the second is heard by whoever stands in"
    assert {"openai", "coach"} == {one.brain for one in of(found, log.Answered)}
    assert {"elevenlabs", "piper"} == {one.voice for one in of(found, log.Spoken)}
    assert 3 <= len(of(found, log.ReplyStarted))
    assert "failed" not in [one.cause for one in of(found, log.ReplyStopped)]
