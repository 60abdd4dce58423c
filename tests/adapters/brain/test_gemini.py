"""Gemini Live against a local server of its own protocol, driven by Google's own SDK."""

from __future__ import annotations

import asyncio
import base64
import gc
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("google.genai")

from contracts.quiet import quickest
from google.genai.types import LiveServerContent
from servers.gemini_live import (
    RATE_HZ,
    Answer,
    GeminiServer,
    Greeting,
    certificate,
    serving,
    spoken,
)

from maestra.adapters.brain.gemini import connection
from maestra.adapters.brain.gemini.alignment import Alignment
from maestra.adapters.brain.gemini.brain import GeminiLive
from maestra.adapters.brain.gemini.settings import GeminiLiveSettings
from maestra.app import composition
from maestra.app.config import BrainConfig, Config, ConfigError
from maestra.core.brief import leaks
from maestra.core.conversation.commands import QuestionKind
from maestra.core.conversation.history import Turn
from maestra.core.performance.accumulator import PerformanceAccumulator
from maestra.core.performance.notes import PerformedNote
from maestra.core.performance.observations import observe
from maestra.core.persona import Persona
from maestra.ports.brain import Brain, BrainRequest, Forgets, Hears, Instructs, SpokenClause
from maestra.ports.errors import BackendRefused, BrainError
from maestra.ports.lifetime import Checks, Lives
from maestra.ports.voice import AlignedSound

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30)]

KEY = "key-that-nobody-may-see"
PERSONA = Persona(id="somebody", name="Somebody", portrait="none.png")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def trusted(pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))


def asked(
    question: str = "How was that?",
    *,
    history: tuple[Turn, ...] = (),
    said: str = "",
    student: NDArray[np.float32] | None = None,
) -> BrainRequest:
    performance = PerformanceAccumulator()
    for number in range(24):
        performance.add(PerformedNote(onset=1 + number * 0.5, duration=0.45, midi=60 + number % 12))
    summary = performance.summary()
    if student is None:
        student = np.linspace(-0.5, 0.5, 16_000, dtype=np.float32)
    return BrainRequest(
        epoch=1,
        kind=QuestionKind.FOLLOW_UP if history else QuestionKind.WAKE,
        question=question,
        summary=summary,
        observations=observe(summary),
        history=history,
        persona=PERSONA,
        said=said,
        student=student,
    )


@asynccontextmanager
async def connected(
    server: GeminiServer, pem: Path, **settings: Any
) -> AsyncGenerator[GeminiLive, None]:
    """A brain whose connection to ``server`` stands (or was refused)."""
    chosen: dict[str, Any] = {
        "patience": 2.0, "first_timeout": 2.0, "stall_timeout": 1.0, "backoff": 0.02, "settle": 0.3
    } | settings  # fmt: skip
    async with serving(server, pem):
        brain = GeminiLive(
            GeminiLiveSettings(base_url=server.url, **chosen), key=KEY, persona=PERSONA
        )
        living = asyncio.create_task(brain.live())
        try:
            if server.greetings[0].status == 101:
                await server.until("setup")
            yield brain
        finally:
            living.cancel()
            with suppress(asyncio.CancelledError):
                await living


async def answered(brain: Brain, request: BrainRequest) -> list[str | SpokenClause]:
    return [clause async for clause in brain.reply(request)]


def words(clauses: list[str | SpokenClause]) -> str:
    return " ".join(each if isinstance(each, str) else each.text for each in clauses)


def pitch_hz(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """The frequencies in ``sound``, one for each loud 50 ms."""
    frame = RATE_HZ // 20
    frames = sound[: len(sound) // frame * frame].reshape(-1, frame)
    loud = frames[np.sqrt((frames**2).mean(axis=1)) > 0.15]
    peaks = np.abs(np.fft.rfft(loud, 4 * frame)).argmax(axis=1)
    found: NDArray[np.float32] = (peaks * RATE_HZ / (4 * frame)).astype(np.float32)
    return found


# --- the turn is ours -----------------------------------------------------------------------------


async def test_nothing_is_heard_of_the_student_until_a_question(pem: Path) -> None:
    server = GeminiServer()
    student = np.linspace(-1.0, 1.0, 40_000, dtype=np.float32)
    async with connected(server, pem, hears_seconds=12.5) as brain:
        assert isinstance(brain, Hears) and 12.5 == brain.hears_seconds
        assert isinstance(brain, Lives)
        await asyncio.sleep(0.1)
        assert ["opened", "setup"] == [each.what for each in server.arrived]

        clauses = await answered(brain, asked(student=student))

    assert "You kept a steady beat. Now play it slowly, hands apart." == words(clauses)
    turn = [each.what for each in server.arrived if each.what not in ("opened", "setup", "closed")]
    assert ["content", "start", *["audio"] * (len(turn) - 3), "end"] == turn
    audio = [each.body for each in server.all("audio")]
    assert {"audio/pcm;rate=16000"} == {part["mime_type"] for part in audio}
    arrived = b"".join(base64.urlsafe_b64decode(part["data"]) for part in audio)
    np.testing.assert_allclose(np.frombuffer(arrived, "<i2") / 32767, student, atol=1e-4)
    (text,) = [turn["parts"][0]["text"] for turn in server.all("content")[0].body["turns"]]
    assert '"tempo_bpm":[120.0,"bpm"' in text and '"How was that?"' in text

    setup = server.all("setup")[0].body
    assert setup["realtimeInputConfig"]["automatic_activity_detection"] == {"disabled": True}
    assert {"sliding_window", "trigger_tokens"} == set(setup["contextWindowCompression"])
    assert {} == setup["sessionResumption"] == setup["inputAudioTranscription"]
    assert {} == setup["outputAudioTranscription"]
    assert "last 3 exchanges" in str(setup["systemInstruction"])


# --- clauses --------------------------------------------------------------------------------------

SENTENCES = (
    "You kept a steady beat, all the way through the piece.",
    "The high notes were a little sharp.",
    "Play the scale slowly, with a drone, and listen.",
    "Then try it again.",
)


@pytest.mark.parametrize("lag", [0, 3])
async def test_a_clause_comes_with_its_own_sound_and_no_other(pem: Path, lag: int) -> None:
    server = GeminiServer(script=[Answer(sentences=SENTENCES, lag=lag)])
    async with connected(server, pem) as brain:
        clauses = await answered(brain, asked())

    assert " ".join(SENTENCES) == words(clauses)
    assert len(clauses) == len(SENTENCES)
    for number, clause in enumerate(clauses):
        assert isinstance(clause, SpokenClause) and RATE_HZ == clause.sample_rate_hz
        np.testing.assert_allclose(pitch_hz(clause.sound), 300 + 100 * number, atol=8)


def test_where_no_pause_is_found_clauses_go_together() -> None:
    def hum(seconds: float) -> NDArray[np.float32]:
        t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
        return np.sin(440 * t).astype(np.float32)

    aligned = Alignment(RATE_HZ)
    assert [] == aligned.text("That was good work. Now once more ")
    assert [] == aligned.sound(hum(6.0))
    aligned.text("please.")
    (both,), unsung = aligned.finish()
    assert "That was good work. Now once more please." == both.text and "" == unsung


SAID = (
    "The tempo slows down in the last four bars, and the left hand gets heavy.",
    "Play those bars alone, three times, with the metronome.",
    "That was at 96 beats a minute.",
    "Count aloud while you play, and keep your shoulders down.",
    "Good question.",
    "Then put them together, very slowly.",
)


@pytest.mark.slow
@pytest.mark.models
async def test_a_real_voice_is_cut_where_its_sentences_end() -> None:
    pytest.importorskip("piper")
    soxr = pytest.importorskip("soxr")
    ((_, build), *_) = composition.voices(Config(), composition.persona("teacher_mary_v1"))
    voice = build()
    parts = []
    for sentence in SAID:
        spoken_parts = [
            part.samples if isinstance(part, AlignedSound) else part
            async for part in voice.synthesise(sentence)
        ]
        sound = soxr.resample(np.concatenate(spoken_parts), voice.sample_rate_hz, RATE_HZ)
        parts.append(np.concatenate([sound, np.zeros(RATE_HZ // 5)]).astype(np.float32))
    whole, text = np.concatenate(parts), " ".join(SAID)
    aligned = Alignment(RATE_HZ)
    clauses: list[SpokenClause] = []
    for at in range(0, len(whole), RATE_HZ // 4):
        clauses += aligned.sound(whole[at : at + RATE_HZ // 4])
        told = [round(len(text) * place / len(whole)) for place in (at, at + RATE_HZ // 4)]
        clauses += aligned.text(text[told[0] : told[1]])
    clauses += aligned.finish()[0]

    assert list(SAID) == [clause.text for clause in clauses]
    ends = np.cumsum([len(part) for part in parts])[:-1] / RATE_HZ
    cuts = np.cumsum([len(clause.sound) for clause in clauses])[:-1] / RATE_HZ
    assert (cuts <= ends).all() and (cuts >= ends - 0.5).all(), "in the pause after each"


def test_sound_that_nobody_transcribed_is_not_played() -> None:
    aligned = Alignment(RATE_HZ)
    first, second = spoken("That was good.", 0), spoken("You played at ninety-two, my dear.", 3)
    aligned.sound(np.concatenate([first, second]))
    aligned.text("That was good.")
    (clause,), _ = aligned.finish()
    assert "That was good." == clause.text
    np.testing.assert_allclose(pitch_hz(clause.sound), 300, atol=8)


async def test_the_last_clause_does_not_wait_for_the_servers_playing(pem: Path) -> None:
    server = GeminiServer(script=[Answer(lingers=5.0), Answer(sentences=("Yes, it was.",))])
    async with connected(server, pem) as brain:
        begun = time.monotonic()
        assert words(await answered(brain, asked())).endswith("hands apart.")
        assert time.monotonic() - begun < 1.5
        assert "Yes, it was." == words(await answered(brain, asked("Was it good?")))


async def test_words_without_sound_are_given_to_be_spoken(pem: Path) -> None:
    async with connected(GeminiServer(script=[Answer(sounds=False)]), pem) as brain:
        clauses = await answered(brain, asked())
    assert all(isinstance(clause, str) for clause in clauses) and clauses


# --- cancelling -----------------------------------------------------------------------------------

LONG = ("You kept a steady beat.", *["And this goes on and on for ever."] * 12)


@pytest.mark.parametrize("acknowledges", [True, False])
async def test_an_answer_that_is_cut_off_stops_there_too(pem: Path, acknowledges: bool) -> None:
    server = GeminiServer(
        script=[
            Answer(sentences=LONG, between=0.02),
            Answer(sentences=LONG, between=0.02, before_first=0.4),
        ],
        acknowledges=acknowledges,
    )
    async with connected(server, pem) as brain:

        async def once() -> float:
            server.stopped.clear()
            clauses = brain.reply(asked())
            first = await anext(clauses)
            assert isinstance(first, SpokenClause) and "You kept a steady beat." == first.text
            begun = time.monotonic()
            await clauses.aclose()  # type: ignore[attr-defined]
            closed = time.monotonic()
            async with asyncio.timeout(20):  # it is told to stop before anything else is asked
                await server.stopped.wait()
            return max(closed, server.interruptions[-1]) - begun

        await quickest(once, 0.05)
        server.script = [Answer(sentences=("Slower, then.",), before_first=0.4)]
        turn = Turn(question="How was that?", heard="You kept a")
        again = await answered(brain, asked("And now?", history=(turn,)))

    assert "Slower, then." == words(again)
    (clause,) = again
    assert isinstance(clause, SpokenClause)
    np.testing.assert_allclose(pitch_hz(clause.sound), 300, atol=8)
    told = str(server.all("content")[-1].body)
    assert 'heard only: "You kept a"' in told


async def test_a_question_that_is_cut_off_while_it_is_sent(pem: Path) -> None:
    """The student's words are still on the way when more of them come."""
    server = GeminiServer()
    async with connected(server, pem) as brain:
        making = asyncio.create_task(
            answered(brain, asked("How", student=np.zeros(16_000 * 60, np.float32)))
        )
        await server.until("start")
        making.cancel()
        with suppress(asyncio.CancelledError):
            await making
        assert "hands apart." in words(await answered(brain, asked("How was that?")))
    turns = "".join({"start": "(", "end": ")"}.get(each.what, "") for each in server.arrived)
    assert turns in ("()()", "()"), "each activity that began has ended"


# --- living through a lesson ----------------------------------------------------------------------


def changed(server: GeminiServer) -> list[str]:
    """Openings and closings, with the number of the socket."""
    return [f"{each.what} {each.socket}" for each in server.all("opened", "closed")]


async def test_go_away_is_followed_when_nobody_is_answered(pem: Path) -> None:
    server = GeminiServer()
    async with connected(server, pem) as brain:
        first = words(await answered(brain, asked()))
        await server.go_away("50s")
        await server.until("setup", 2)
        turn = Turn(question="How was that?", heard=first)
        await answered(brain, asked("And then?", history=(turn,)))

    assert ["opened 1", "closed 1", "opened 2"] == changed(server)[:3]
    assert 1 == server.sessions, "resumed, not begun anew"
    assert server.all("setup")[1].body["sessionResumption"]["handle"].startswith("handle-1-")
    assert 1 == len(server.all("content")[-1].body["turns"]), "the history is not told again"


async def test_go_away_has_a_clock_of_its_own(pem: Path) -> None:
    """Nothing arrives any more, an answer is due, and the time runs out."""
    server = GeminiServer(script=[Answer(stop_after=13, silence=True), Answer()])
    async with connected(server, pem, stall_timeout=3.0) as brain:
        clauses = brain.reply(asked())
        first = await anext(clauses)
        begun = time.monotonic()
        await server.go_away("0.4s")
        rest = [clause async for clause in clauses]
        assert 0.15 < time.monotonic() - begun < 1.5
    assert "opened 2" in changed(server)
    assert isinstance(first, SpokenClause)
    assert first.text in str(server.all("content")[-1].body), "it goes on from what was said"
    assert rest


@pytest.mark.parametrize(
    ("stop", "resumes"),
    [
        (Answer(stop_after=13, drop=True), True),
        (Answer(stop_after=13, close=(1011, "Internal error encountered.")), True),
        (Answer(stop_after=13, close=(1000, "")), True),
        (Answer(stop_after=13, close=(1007, "Request contains an invalid argument.")), False),
        (Answer(stop_after=13, close=(1008, "Requested entity was not found.")), False),
        (Answer(stop_after=13, malformed=True), True),
    ],
    ids=["drop", "1011", "1000", "1007", "1008", "malformed"],
)
async def test_a_connection_lost_in_mid_word_is_made_again(
    pem: Path, stop: Answer, resumes: bool
) -> None:
    server = GeminiServer(script=[Answer(), stop, Answer(sentences=("Hands apart, I said.",))])
    history = (Turn(question="How was that?", heard="You kept a steady beat."),)
    async with connected(server, pem) as brain:
        await answered(brain, asked())
        clauses = await answered(brain, asked("What now?", history=history))

    assert "You kept a steady beat. Hands apart, I said." == words(clauses)
    assert ["opened 1", "closed 1", "opened 2"] == changed(server)[:3]
    handle = server.all("setup")[1].body["sessionResumption"].get("handle")
    told = server.all("content")[-1].body["turns"]
    assert resumes == (handle is not None)
    assert resumes == (1 == len(told)), "told again only where the session is a new one"
    assert "You kept a steady beat." in told[-1]["parts"][0]["text"]
    assert "closed" == server.all("opened", "closed")[-1].what


async def test_a_handle_that_is_no_longer_known_is_forgotten(pem: Path) -> None:
    server = GeminiServer()
    async with connected(server, pem) as brain:
        await answered(brain, asked())
        server.resumes = False
        await server.hang_up(1001, "bye")
        await server.until("setup", 3)
        turn = Turn(question="How was that?", heard="You kept a steady beat.")
        await answered(brain, asked("And?", history=(turn,)))
    assert 2 == server.sessions
    roles = [turn["role"] for turn in server.all("content")[-1].body["turns"]]
    assert ["user", "model", "user"] == roles
    seeded = server.all("content")[-1].body["turns"][0]["parts"][0]["text"]
    assert "how was that" in seeded, "as the service itself heard it"


async def test_after_a_reset_nothing_is_resumed_and_nothing_told(pem: Path) -> None:
    server = GeminiServer()
    async with connected(server, pem) as brain:
        assert isinstance(brain, Forgets)
        await answered(brain, asked("Is my name Anna?"))
        brain.forget()
        await server.until("setup", 2)
        setup = server.all("setup")[-1].body
        assert not setup.get("sessionResumption", {}).get("handle")
        await answered(brain, asked("And?"))
    assert 2 == server.sessions
    told = str([turn["parts"] for turn in server.all("content")[-1].body["turns"]])
    assert "Anna" not in told
    assert "how was that" not in told, "nor what the service itself had heard"
    order = changed(server)
    assert order.index("closed 1") < order.index("opened 2")


async def test_an_hour_of_lesson(pem: Path) -> None:
    """GoAway every ten minutes, a drop, a fault and a cut-off answer; thirty questions."""
    events: dict[int, Answer] = {
        7: Answer(stop_after=5, drop=True),
        13: Answer(stop_after=8, close=(1011, "Deadline expired before operation could complete.")),
        22: Answer(stop_after=0, close=(1008, "Operation is not implemented, or supported.")),
    }
    script: list[Answer] = []
    for number in range(30):
        script += [events[number]] if number in events else []
        script.append(Answer(sentences=(f"Answer {number} is this one.", "Go on playing.")))
    server = GeminiServer(script=[*script, Answer(sentences=("Too many.",))])
    history: tuple[Turn, ...] = ()
    heard = []
    async with connected(server, pem) as brain:
        for number in range(30):
            if number % 5 == 4:
                sockets = len(server.all("setup"))
                await server.go_away("60s")
                await server.until("setup", sockets + 1)
            if number % 3 == 0:
                history = ()
            question = f"Question {number}?"
            text = words(await answered(brain, asked(question, history=history)))
            heard.append(text)
            history = (*history, Turn(question=question, heard=text))[-3:]

    assert all(f"Answer {number} is this one." in text for number, text in enumerate(heard))
    assert len(server.all("setup")) >= 1 + 6 + 3
    order = changed(server)
    for socket in range(1, len(server.all("setup"))):
        assert order.index(f"closed {socket}") < order.index(f"opened {socket + 1}")
    assert 2 == server.sessions, "only the 1008 cost the session"


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("greeting", "expected", "error"),
    [
        (
            Greeting(close=(1007, "API key not valid. Please pass a valid API key.")),
            "GEMINI_API_KEY",
            BackendRefused,
        ),
        (Greeting(close=(1011, "You exceeded your current quota.")), "quota", BrainError),
        (
            Greeting(close=(1008, "models/x is not found for API version v1beta")),
            "options.gemini-live.model",
            BackendRefused,
        ),
        (Greeting(status=403, body=f"no entry for {KEY}"), "GEMINI_API_KEY", BackendRefused),
        (Greeting(status=429, headers={"Retry-After": "9"}), "quota", BrainError),
    ],
    ids=["key", "quota", "model", "403", "429"],
)
async def test_what_cannot_be_mended_is_said_before_the_lesson_and_in_it(
    pem: Path, greeting: Greeting, expected: str, error: type[Exception]
) -> None:
    async with connected(GeminiServer(greetings=[greeting]), pem) as brain:
        assert isinstance(brain, Checks)
        with pytest.raises(error, match=expected) as before:
            await brain.check()
        begun = time.monotonic()
        with pytest.raises(BrainError, match=expected) as during:
            await answered(brain, asked())
    assert time.monotonic() - begun < 1.5
    assert KEY not in str(before.value) + str(during.value)


def test_an_answer_that_nobody_takes_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_MOST_WAITING", 2)
    turn = connection.Turn()
    for _ in range(9):
        turn.put(LiveServerContent())

    assert turn.next() and turn.next()
    with pytest.raises(connection.Lost, match="faster than it is listened to"):
        turn.next()


async def test_what_it_is_told_besides_is_known_as_what_may_not_be_said(pem: Path) -> None:
    async with connected(GeminiServer(), pem) as brain:
        assert isinstance(brain, Instructs)
        lines = brain.instructions.splitlines()[1:]
        assert [line for line in lines if leaks(line, brain.instructions)] == lines
        assert brain.instructions in str(brain._config().system_instruction)


async def test_a_good_key_and_model_pass_the_check(pem: Path) -> None:
    async with connected(GeminiServer(), pem) as brain:
        await brain.check()


async def test_a_rate_limit_passes(pem: Path) -> None:
    refused = Greeting(status=429, headers={"Retry-After": "0"})
    server = GeminiServer(greetings=[refused, Greeting()])
    async with connected(server, pem) as brain:
        await server.until("setup")
        assert await answered(brain, asked())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(before_first=9.0), "in time"),
        (Answer(stop_after=13, silence=True), "in time"),
        (Answer(stop_after=13, interrupted=True), "stopped in mid-answer"),
        (Answer(sentences=()), "empty"),
        (Answer(transcribed=False), "empty"),
    ],
    ids=["slow", "silence", "interrupted", "empty", "untranscribed"],
)
async def test_an_answer_that_does_not_come_is_an_error(
    pem: Path, answer: Answer, expected: str
) -> None:
    server = GeminiServer(script=[answer, Answer()])
    async with connected(server, pem, first_timeout=1.0, stall_timeout=1.0) as brain:
        with pytest.raises(BrainError, match=expected):
            await answered(brain, asked())
        assert await answered(brain, asked("And now?")), "the next question is answered"


async def test_a_server_that_comes_back_is_found(pem: Path) -> None:
    server = GeminiServer()
    async with serving(server, pem):
        url, port = server.url, server.port
    brain = GeminiLive(
        GeminiLiveSettings(base_url=url, patience=0.5, backoff=0.05), key=KEY, persona=PERSONA
    )
    living = asyncio.create_task(brain.live())
    with pytest.raises(BrainError, match=r"not connected|broke"):
        await answered(brain, asked())
    async with serving(server, pem, port=port):
        await server.until("setup")
        assert await answered(brain, asked())
        living.cancel()
        with suppress(asyncio.CancelledError):
            await living


async def test_a_handshake_that_hangs_can_be_left(pem: Path) -> None:
    server = GeminiServer(greetings=[Greeting(silent=True)])
    async with connected(server, pem, connect_timeout=0.2):
        await server.until("setup", 2)
    gc.collect()  # a socket that was left open would warn now


def test_without_a_key_it_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(
        brain=BrainConfig(backend="gemini-live", options={"gemini-live": {"voice": "Kore"}})
    )
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    ((name, brain), _) = composition.brains(config)
    assert "gemini-live" == name and isinstance(brain, GeminiLive)

    monkeypatch.delenv("GEMINI_API_KEY")
    with pytest.raises(ConfigError, match="GEMINI_API_KEY"):
        composition.brains(config)
