"""OpenAI's voice, by its own SDK, against a server that speaks its protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import numpy as np
import pytest
from contracts.quiet import quickest
from numpy.typing import NDArray

pytest.importorskip("openai")

from servers.openai_speech import KEY, Answer, SpeechServer, speech_server, tone

from maestra.adapters.voice import openai_speech
from maestra.adapters.voice.openai_speech import OpenAISpeech, OpenAISpeechSettings
from maestra.ports.errors import BackendRefused, VoiceError

pytestmark = pytest.mark.anyio

CLAUSE = "You held the tempo."


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def server() -> AsyncIterator[SpeechServer]:
    async with speech_server() as running:
        yield running


@asynccontextmanager
async def living(
    base_url: str,
    *,
    key: str = KEY,
    pace: float = 1.0,
    patience: float = 5.0,
    model: str = "gpt-4o-mini-tts",
) -> AsyncIterator[OpenAISpeech]:
    settings = OpenAISpeechSettings(base_url=base_url, timeout=patience, model=model)
    voice = OpenAISpeech(settings, voice="coral", key=key, pace=pace)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(voice.live)
        await anyio.lowlevel.checkpoint()
        try:
            yield voice
        finally:
            tasks.cancel_scope.cancel()


async def spoken(server: SpeechServer, **settings: Any) -> NDArray[np.float32]:
    try:
        async with living(server.base_url, **settings) as voice:
            return np.concatenate([sound async for sound in voice.synthesise(CLAUSE)])
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


async def test_the_first_clause_finds_the_connection_open_and_so_do_the_others(
    server: SpeechServer,
) -> None:
    async with living(server.base_url) as voice:
        with anyio.fail_after(20):
            await server.listed.wait()
        await anyio.wait_all_tasks_blocked()
        for _ in range(2):
            assert [sound async for sound in voice.synthesise(CLAUSE)]
        assert 1 == server.connections


@pytest.mark.parametrize(("kept", "connections"), [(None, 1), (0.01, 3)])
async def test_a_connection_that_nobody_uses_is_not_left_to_be_closed(
    server: SpeechServer,
    monkeypatch: pytest.MonkeyPatch,
    kept: float | None,
    connections: int,
) -> None:
    assert openai_speech._KEPT > 2 * openai_speech._PING_AFTER
    monkeypatch.setattr(openai_speech, "_PING_AFTER", 0.05)
    monkeypatch.setattr(openai_speech, "_KEPT", kept or openai_speech._KEPT)
    async with living(server.base_url):
        for _ in range(3):
            server.listed.clear()
            with anyio.fail_after(20):
                await server.listed.wait()
        assert connections == server.connections


@pytest.mark.parametrize("piece", [4096, 1001, 97])
async def test_every_sample_arrives_however_it_is_cut(server: SpeechServer, piece: int) -> None:
    server.answers.append(Answer(piece=piece))
    sound = await spoken(server)

    assert np.array_equal(sound, np.frombuffer(tone(CLAUSE), "<i2") / np.float32(32768))


async def test_what_is_asked_for(server: SpeechServer) -> None:
    await spoken(server, pace=1.1)

    (asked,) = server.asked
    assert "warm" in str(asked.pop("instructions"))
    assert {
        "model": "gpt-4o-mini-tts",
        "voice": "coral",
        "input": CLAUSE,
        "response_format": "pcm",
        "speed": 1.1,
    } == asked


async def test_the_older_models_get_no_instructions(server: SpeechServer) -> None:
    await spoken(server, model="tts-1-hd")

    assert {"model", "voice", "input", "response_format"} == set(server.asked[0])


async def test_closing_it_closes_the_request(server: SpeechServer) -> None:
    async with living(server.base_url) as voice:

        async def once() -> float:
            server.answers.append(Answer(piece=960))
            server.gone.clear()
            sounds = voice.synthesise("a" * 3000)
            await anext(sounds)
            begun = anyio.current_time()
            await sounds.aclose()  # type: ignore[attr-defined]
            took = anyio.current_time() - begun
            with anyio.fail_after(20):
                await server.gone.wait()
            return took

        await quickest(once, 0.05)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(status=404, code="model_not_found"), "no model 'gpt-4o-mini-tts'"),
        (Answer(status=400, code="invalid_value"), "with the voice 'coral'"),
        (Answer(status=429, code="insufficient_quota"), "quota is used up"),
        (Answer(status=429, headers={"retry-after": "20"}), "asked too often"),
        (Answer(content_type="application/json", body=b"{}"), "application/json instead"),
        (Answer(body=b""), "made no sound"),
        (Answer(drop_after=4096), "broke"),
    ],
)
async def test_a_failure_says_what_to_do(server: SpeechServer, answer: Answer, says: str) -> None:
    server.answers.append(answer)

    with pytest.raises(VoiceError, match=says):
        await spoken(server)
    assert 1 == len(server.asked)


async def test_a_wrong_key_is_told_by_its_variable(server: SpeechServer) -> None:
    with pytest.raises(VoiceError, match="OPENAI_API_KEY") as raised:
        await spoken(server, key="sk-very-secret")
    assert "sk-very-secret" not in str(raised.value)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=500),
        Answer(status=503),
        Answer(status=429, headers={"retry-after": "0.1"}),
    ],
)
async def test_a_short_trouble_is_got_over(server: SpeechServer, answer: Answer) -> None:
    server.answers.append(answer)

    assert len(await spoken(server))
    assert 2 == len(server.asked)


async def test_a_longer_trouble_is_not(server: SpeechServer) -> None:
    server.answers.extend([Answer(status=500)] * 2)

    with pytest.raises(VoiceError, match="HTTP 500"):
        await spoken(server)


async def test_a_server_that_says_nothing(server: SpeechServer) -> None:
    server.answers.append(Answer(silent=True))

    with pytest.raises(VoiceError, match=r"nothing for 0\.2 s"):
        await spoken(server, patience=0.2)


async def test_a_server_that_is_not_there() -> None:
    with pytest.raises(VoiceError, match="broke"):
        await spoken(SpeechServer(base_url="http://127.0.0.1:9/v1"))


async def test_what_will_never_work_is_said_before_the_lesson(
    server: SpeechServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check(base_url: str | None, model: str = "gpt-4o-mini-tts", key: str = KEY) -> None:
        settings = OpenAISpeechSettings(base_url=base_url, model=model)
        voice = OpenAISpeech(settings, voice="coral", key=key)
        try:
            await voice.check()
        finally:
            await voice._client.close()

    with pytest.raises(BackendRefused, match="OPENAI_API_KEY") as refused:
        await check(server.base_url, key="sk-wrong")
    assert "sk-wrong" not in str(refused.value)
    await check(server.base_url, model="a-server's-own")
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    with pytest.raises(BackendRefused, match=r"voice\.options\.openai\.model"):
        await check(None, model="tts-9")
    await check(None)
    for says_no in ((401, "Missing scopes: api.model.read"), (403, "no"), (404, "no models here")):
        server.says_no = says_no
        await check(server.base_url)
    server.says_no = (500, "a fault")
    with pytest.raises(VoiceError, match="HTTP 500"):
        await check(server.base_url)
