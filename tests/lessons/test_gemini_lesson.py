"""A whole lesson with Gemini Live: real ears, real session, a local server of its protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("google.genai")

from servers.gemini_live import Answer, GeminiServer, certificate, serving

from maestra.app.config import BrainConfig, Config
from maestra.app.demo import LESSON
from maestra.app.session import open_session
from maestra.core import log

from .event_logs import records

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(180),
    pytest.mark.models,
    pytest.mark.slow,
]


async def test_a_whole_lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("faster_whisper", "piper", "torch"):
        pytest.importorskip(package)
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    monkeypatch.setenv("GEMINI_API_KEY", "key-that-nobody-may-see")
    good = Answer(
        sentences=(
            "You kept going, and that is what counts.",
            "Now play the first line slowly, with the left hand alone.",
            "Listen to each note as it ends.",
        ),
        before_first=0.2,
        between=0.02,
    )
    bad = Answer(sentences=("You played at 417 beats a minute.", "Try it again, slowly."))
    server = GeminiServer(script=[good, good, bad, good])
    events = tmp_path / "events.jsonl"
    async with serving(server, pem):
        config = Config(
            brain=BrainConfig(
                backend="gemini-live",
                timeout=5.0,
                options={"gemini-live": {"base_url": server.url}},
            )
        )
        async with open_session(
            ingest=str(LESSON),
            publish=str(tmp_path / "teacher.mp4"),
            pace="fast",
            events_path=events,
            config=config,
        ) as session:
            await session.wait()

    assert "key-that-nobody-may-see" not in events.read_text(encoding="utf-8")
    found = records(events)
    replies = [r for r in found if isinstance(r, log.ReplyText)]
    assert {"gemini-live"} == {reply.brain for reply in replies[:2]}
    assert replies[0].text.startswith("You kept going")
    assert "417" not in " ".join(reply.text for reply in replies)
    assert not any(isinstance(r, log.AdapterFailed) for r in found)
    stopped = [r for r in found if isinstance(r, log.ReplyStopped)]
    assert {"finished", "speech", "music"} <= {r.cause for r in stopped}
    heard = sum(len(each.body["data"]) for each in server.all("audio")) * 3 / 4 / 32_000
    assert 0 < heard <= 15.1 * len(server.all("start"))
    first = server.arrived.index(server.all("start")[0])
    before = [each.what for each in server.arrived[:first]]
    assert ["opened", "setup", "closed", "opened", "setup", "content"] == before, "check, then live"
