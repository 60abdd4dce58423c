"""ElevenLabs' voice against a server that speaks its protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

pytest.importorskip("elevenlabs")

from contracts.quiet import quickest
from servers.elevenlabs import KEY, SAMPLES_PER_CHARACTER, Play, VoiceServer, voice_server

from maestra.adapters.voice import elevenlabs
from maestra.adapters.voice.elevenlabs import ElevenLabs, ElevenLabsSettings
from maestra.ports.errors import BackendRefused, VoiceError
from maestra.ports.voice import AlignedSound

pytestmark = pytest.mark.anyio

CLAUSE = "You held the tempo."


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def living(
    server: VoiceServer, *, key: str = KEY, pace: float = 1.0, patience: float = 1.5
) -> AsyncIterator[ElevenLabs]:
    settings = ElevenLabsSettings(base_url=server.base_url, connect_timeout=patience)
    voice = ElevenLabs(settings, voice="mary", key=key, pace=pace)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(voice.live)
        try:
            yield voice
        finally:
            tasks.cancel_scope.cancel()


async def spoken(voice: ElevenLabs, clause: str = CLAUSE) -> list[AlignedSound]:
    return [sound async for sound in voice.synthesise(clause)]


async def failure(voice: ElevenLabs) -> str:
    try:
        await spoken(voice)
    except VoiceError as error:
        return str(error)
    raise AssertionError("it did not fail")


async def in_trouble(voice: ElevenLabs) -> None:
    """Wait until it has no connection, and knows why."""
    with anyio.fail_after(20):
        while voice._trouble is None:  # noqa: ASYNC110 (it does not tell)
            await anyio.sleep(0.01)


async def test_every_character_is_timed_from_the_clauses_beginning() -> None:
    async with voice_server() as server, living(server) as voice:
        sounds = await spoken(voice)

    characters = [one for sound in sounds for one in sound.characters]
    assert CLAUSE == "".join(one.character for one in characters)
    for number, one in enumerate(characters):
        assert one.start == pytest.approx(0.06 * number)
        assert one.end == pytest.approx(0.06 * (number + 1))
    assert SAMPLES_PER_CHARACTER * (len(CLAUSE) + 1) == sum(len(one.samples) for one in sounds)


async def test_what_is_asked_for() -> None:
    async with voice_server() as server, living(server, pace=2.0) as voice:
        await spoken(voice)
        await spoken(voice, "Again.")

    (path,) = server.paths
    address = urlsplit(path)
    assert "/v1/text-to-speech/mary/multi-stream-input" == address.path
    asked = {name: value for name, (value,) in parse_qs(address.query).items()}
    assert ("eleven_turbo_v2_5", "pcm_24000") == (asked["model_id"], asked["output_format"])
    begin, text, end, *_ = server.messages
    assert {"stability": 0.5, "similarity_boost": 0.75, "speed": 1.2} == begin["voice_settings"]
    assert f"{CLAUSE} " == text["text"]
    assert text["flush"]
    assert end["close_context"]
    assert 2 == len({message["context_id"] for message in server.messages})


async def test_the_first_sound_does_not_wait_for_the_last() -> None:
    async with voice_server(Play(held=True)) as server, living(server) as voice:
        sounds = voice.synthesise(CLAUSE)
        with anyio.fail_after(20):
            await anext(sounds)
        server.go.set()
        assert [one async for one in sounds]


async def test_one_that_was_cut_off_does_not_speak_into_the_next() -> None:
    async with voice_server(Play(held=True)) as server, living(server) as voice:

        async def once() -> float:
            first = voice.synthesise("The first one is cut off here.")
            await anext(first)
            begun = anyio.current_time()
            await first.aclose()  # type: ignore[attr-defined]
            return anyio.current_time() - begun

        await quickest(once, 0.05)

        server.plays = [Play()]
        server.go.set()
        sounds = await spoken(voice)
        assert CLAUSE == "".join(one.character for each in sounds for one in each.characters)


async def test_never_more_contexts_than_are_allowed() -> None:
    async with voice_server(Play(held=True)) as server, living(server) as voice:
        await voice.synthesise("warm").aclose()  # type: ignore[attr-defined]
        async with anyio.create_task_group() as tasks:
            for _ in range(9):
                tasks.start_soon(spoken, voice)
            await anyio.wait_all_tasks_blocked()
            server.go.set()

    assert 9 == len(server.texts)
    assert server.most_contexts <= 5


@pytest.mark.parametrize(
    ("play", "says"),
    [
        (Play(refuse="quota_exceeded: 0 credits left"), "quota is used up"),
        (Play(refuse="voice_not_found"), "no voice 'mary'"),
        (Play(refuse="model_not_found"), "no model 'eleven_turbo_v2_5'"),
        (Play(refuse="something else"), "refuses: refused something else"),
        (Play(drop_after=1), "broke"),
        (Play(drop_after=1, close=(1000, "")), "closed the connection"),
        (Play(drop_after=1, close=(1008, "quota exceeded")), "quota is used up"),
        (Play(drop_after=1, close=(1011, "out of order")), "refuses: out of order"),
        (Play(malformed=True), "no message"),
        (Play(mute=True), "made no sound"),
    ],
)
async def test_a_failure_says_what_to_do(play: Play, says: str) -> None:
    async with voice_server(play) as server, living(server) as voice:
        assert says in await failure(voice)


async def test_a_connection_that_broke_is_made_anew() -> None:
    async with voice_server(Play(drop_after=1), Play()) as server, living(server) as voice:
        await failure(voice)
        assert await spoken(voice)
        assert 2 == len(server.paths)


async def test_silence_keeps_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elevenlabs, "_KEEP_ALIVE", 0.05)
    async with voice_server() as server, living(server) as voice:
        with anyio.fail_after(20):
            while len(server.messages) < 6:  # noqa: ASYNC110 (the server does not tell)
                await anyio.sleep(0.01)
        assert await spoken(voice)
        assert 1 == len(server.paths)
        assert [f"{CLAUSE} "] == server.texts, "nothing is spoken that would have to be paid"


async def test_a_connection_that_was_closed_in_silence_is_made_anew_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(elevenlabs, "_PROVEN", 0.01)
    monkeypatch.setattr(elevenlabs, "_SHORTEST_WAIT", 30.0)
    async with voice_server() as server:
        server.patience = 0.02
        async with living(server):
            with anyio.fail_after(20):
                while len(server.paths) < 6:  # noqa: ASYNC110 (the server does not tell)
                    await anyio.sleep(0.01)


async def test_a_service_that_hangs_up_at_once_is_asked_more_and_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(elevenlabs, "_SHORTEST_WAIT", 0.05)
    async with voice_server(Play(refuse="something else")) as server, living(server) as voice:
        await failure(voice)
        begun = anyio.current_time()
        with anyio.fail_after(20):
            while len(server.paths) < 5:
                await failure(voice)
    assert anyio.current_time() - begun > 0.6, "0.05, 0.1, 0.2 and 0.4 s between them"


async def test_a_wrong_key_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elevenlabs, "_SHORTEST_WAIT", 30.0)  # while it tries, it knows of nothing
    async with voice_server() as server, living(server, key="very-secret", patience=0.2) as voice:
        await in_trouble(voice)
        told = await failure(voice)
    assert "ELEVENLABS_API_KEY" in told
    assert "very-secret" not in told


@pytest.mark.parametrize(("status", "says"), [(429, "too often"), (503, "HTTP 503")])
async def test_a_service_that_does_not_let_one_in(
    status: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elevenlabs, "_SHORTEST_WAIT", 30.0)
    async with voice_server() as server:
        server.refuse_status = status
        async with living(server, patience=0.2) as voice:
            await in_trouble(voice)
            assert says in await failure(voice)


async def test_it_is_left_alone_for_as_long_as_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elevenlabs, "_SHORTEST_WAIT", 0.02)
    async with voice_server() as server:
        server.refuse_status, server.retry_after = 429, "30"
        async with living(server, patience=0.2) as voice:
            await in_trouble(voice)
            assert "too often" in await failure(voice)
            server.refuse_status = None
            await anyio.sleep(0.2)
            assert 1 == len(server.paths)


async def test_a_slow_first_sound_is_waited_for() -> None:
    async with voice_server(Play(before_first=0.2)) as server, living(server) as voice:
        begun = anyio.current_time()
        assert await spoken(voice)
        assert 0.2 <= anyio.current_time() - begun < 2


async def test_a_service_that_is_not_there() -> None:
    async with living(VoiceServer(base_url="http://127.0.0.1:9"), patience=0.2) as voice:
        assert "no connection to ElevenLabs" in await failure(voice)


@pytest.mark.parametrize(
    ("refuses", "says"),
    [
        ({"refuse_status": 401}, "ELEVENLABS_API_KEY"),
        ({"refuse_all": "Invalid API key"}, "ELEVENLABS_API_KEY"),
        ({"refuse_all": "A voice with voice_id mary does not exist."}, "no voice 'mary'"),
        ({"refuse_all": "Unknown model"}, "no model 'eleven_turbo_v2_5'"),
    ],
)
async def test_what_will_never_work_is_said_before_the_lesson(
    refuses: dict[str, object], says: str
) -> None:
    async with voice_server() as server:
        for name, value in refuses.items():
            setattr(server, name, value)
        with pytest.raises(BackendRefused, match=says):
            await ElevenLabs(
                ElevenLabsSettings(base_url=server.base_url), voice="mary", key=KEY
            ).check()


async def test_a_good_key_passes_the_check_and_a_full_service_may_recover() -> None:
    async with voice_server() as server:
        voice = ElevenLabs(ElevenLabsSettings(base_url=server.base_url), voice="mary", key=KEY)
        await voice.check()
        assert not server.texts, "nothing is spoken that would have to be paid"
        server.refuse_status = 429
        with pytest.raises(VoiceError, match="too often"):
            await voice.check()


@pytest.mark.parametrize(
    ("bound", "value", "says"),
    [
        ("_LONGEST_CLAUSE", 0.5, "for more than 0.5 s"),
        ("_MOST_WAITING", 1, "faster than it is taken"),
        ("_LARGEST", 1000, "broke"),
    ],
)
async def test_what_comes_is_bounded(
    monkeypatch: pytest.MonkeyPatch, bound: str, value: float, says: str
) -> None:
    monkeypatch.setattr(elevenlabs, bound, value)
    async with voice_server(Play(per_message=2)) as server, living(server) as voice:
        sounds = voice.synthesise("a" * 60)
        with pytest.raises(VoiceError, match=says):
            while True:
                await anext(sounds)
                await anyio.sleep(0.2)


async def test_contexts_that_the_service_never_ends_end_with_the_connection() -> None:
    async with voice_server(*[Play(silent=True)] * 5, Play()) as server:
        async with living(server, patience=0.5) as voice:
            for count in range(1, 6):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(spoken, voice)
                    with anyio.fail_after(20):
                        while len(server.texts) < count:  # noqa: ASYNC110 (the server does not tell)
                            await anyio.sleep(0.01)
                    tasks.cancel_scope.cancel()
            assert "made anew" in await failure(voice)
            with anyio.fail_after(20):
                while len(server.sockets) < 2:  # noqa: ASYNC110 (the server does not tell)
                    await anyio.sleep(0.01)
            assert await spoken(voice)
