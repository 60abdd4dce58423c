"""Deepgram, by its own SDK, against a server that speaks its protocol."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("deepgram")

from servers.deepgram import KEY, WORDS, TranscriptServer, transcript_server

from maestra.adapters.senses import deepgram
from maestra.adapters.senses.deepgram import Deepgram
from maestra.adapters.senses.settings import DeepgramSettings
from maestra.ports.errors import BackendRefused, SensesError

BLOCK = 160
TERMS = DeepgramSettings().terms


@pytest.fixture
def server() -> Iterator[TranscriptServer]:
    with transcript_server() as running:
        yield running


@contextmanager
def listening(
    server: TranscriptServer, *, key: str = KEY, model: str = "nova-2", patience: float = 2.0
) -> Iterator[Deepgram]:
    settings = DeepgramSettings(base_url=server.url, timeout=patience, model=model)
    asked = len(server.asked)
    ear = Deepgram(settings, key=key, phrases=["Teacher, please comment"])
    try:
        if server.refuse is None and key == KEY and server.serves:
            until(lambda: len(server.asked) > asked)
        yield ear
    finally:
        ear.close()


def voice(words: int) -> NDArray[np.float32]:
    return np.full(words * 4000, 0.1, np.float32)


def told(ear: Deepgram, samples: NDArray[np.float32]) -> None:
    for begin in range(0, len(samples), BLOCK):
        ear.hear(samples[begin : begin + BLOCK])


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        threading.Event().wait(0.005)


def test_words_come_while_they_are_spoken(server: TranscriptServer) -> None:
    with listening(server) as ear:
        ear.begin(voice(1))
        told(ear, voice(2))
        until(lambda: ear.so_far().text == "teacher comment please")
        recognition = ear.transcribe(voice(3))

    assert "teacher comment please" == recognition.text
    assert recognition.confidence == pytest.approx(0.9)


def test_one_utterance_says_nothing_of_the_next(server: TranscriptServer) -> None:
    with listening(server) as ear:
        ear.begin(voice(4))
        assert " ".join(WORDS[:4]) == ear.transcribe(voice(4)).text
        ear.begin(voice(1))
        told(ear, voice(1))
        assert " ".join(WORDS[:2]) == ear.transcribe(voice(2)).text


def test_who_goes_on_after_a_pause_is_heard_whole(server: TranscriptServer) -> None:
    pause = np.zeros(3200, np.float32)
    with listening(server) as ear:
        ear.begin(voice(2))
        told(ear, pause)
        until(lambda: ear.so_far().ended)
        assert "teacher comment" == ear.transcribe(voice(2)).text
        told(ear, voice(1))
        until(lambda: not ear.so_far().ended)
        assert "teacher comment teacher" == ear.transcribe(voice(3)).text


def test_silence_after_the_last_words_need_not_be_answered(server: TranscriptServer) -> None:
    breath = np.random.default_rng(1).uniform(-0.002, 0.002, 6400).astype(np.float32)
    with listening(server) as ear:
        ear.begin(voice(2))
        told(ear, np.zeros(3200, np.float32))
        until(lambda: ear.so_far().ended)
        server.mute = True
        told(ear, breath)
        begun = time.monotonic()
        assert "teacher comment" == ear.transcribe(np.zeros(0, np.float32)).text
        assert 0.2 < time.monotonic() - begun < 1.9


def test_words_without_a_result_are_waited_for(server: TranscriptServer) -> None:
    with listening(server, patience=0.4) as ear:
        ear.begin(voice(2))
        told(ear, np.zeros(3200, np.float32))
        until(lambda: ear.so_far().ended)
        server.mute = True
        told(ear, voice(1))
        with pytest.raises(SensesError, match="last words"):
            ear.transcribe(np.zeros(0, np.float32))


def test_without_a_stream_the_sound_itself_is_sent(server: TranscriptServer) -> None:
    with listening(server) as ear:
        for words in (1, 4, 3):
            assert " ".join(WORDS[:words]) == ear.transcribe(voice(words)).text
    assert [8 * 4000] == server.samples


def test_what_is_asked_for(server: TranscriptServer) -> None:
    with listening(server) as ear:
        ear.transcribe(voice(1))
    with listening(server, model="nova-3") as ear:
        ear.transcribe(voice(1))

    first, second = server.asked
    assert ["nova-2"] == first["model"]
    assert ["linear16"] == first["encoding"]
    assert ["16000"] == first["sample_rate"]
    assert ["true"] == first["mip_opt_out"] == first["interim_results"]
    words = {word for word in first["keywords"] if word.removesuffix(":2") not in TERMS}
    assert {"teacher:2", "comment:2"} == words
    assert {"teacher please comment", *TERMS} == set(second["keyterm"])
    assert 2 == server.goodbyes


def test_silence_keeps_the_connection(
    server: TranscriptServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deepgram, "_KEEP_ALIVE", 0.05)
    with listening(server) as ear:
        assert server.kept_alive.wait(5)
        assert "teacher" == ear.transcribe(voice(1)).text
    assert 1 == len(server.asked)
    assert [4000] == server.samples, "nothing is sent while nobody speaks"


@pytest.mark.parametrize("close", [None, (1000, ""), (1008, "DATA-0000"), (1011, "NET-0001")])
def test_what_was_not_covered_is_sent_again(
    server: TranscriptServer, close: tuple[int, str] | None
) -> None:
    server.drop_after, server.close = 6000, close
    with listening(server) as ear:
        ear.begin(voice(1))
        told(ear, voice(3))
        until(lambda: len(server.asked) == 2)
        assert " ".join(WORDS[:4]) == ear.transcribe(voice(4)).text


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "DEEPGRAM_API_KEY"),
        (402, "credit is used up"),
        (429, "too often"),
        (400, r"senses\.options\.deepgram"),
        (500, "HTTP 500"),
    ],
)
def test_a_refusal_says_what_to_do(server: TranscriptServer, status: int, says: str) -> None:
    server.refuse = status
    with listening(server) as ear, pytest.raises(SensesError, match=says):
        ear.transcribe(voice(1))


def test_who_hangs_up_says_why(server: TranscriptServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepgram, "_SHORTEST_WAIT", 30.0)  # the next connection is well
    server.drop_after, server.close, server.mute = 1, (1011, "NET-0001"), True
    with listening(server, patience=0.1) as ear:
        ear.begin(voice(1))
        until(lambda: ear._trouble is not None)
        assert "1011 NET-0001" in str(ear._trouble)


def test_it_is_left_alone_for_as_long_as_it_asks(
    server: TranscriptServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deepgram, "_SHORTEST_WAIT", 0.02)
    server.refuse, server.retry_after = 429, "30"
    with listening(server) as ear:
        with pytest.raises(SensesError, match="too often"):
            ear.transcribe(voice(1))
        server.refuse = None
        time.sleep(0.2)
        assert not server.asked


def test_a_service_that_hangs_up_at_once_is_asked_more_and_more_rarely(
    server: TranscriptServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deepgram, "_SHORTEST_WAIT", 0.02)
    server.hang_up = True
    times: list[float] = []
    asks = Deepgram._asked

    def noted(ear: Deepgram) -> dict[str, object]:
        times.append(time.monotonic())
        return asks(ear)

    monkeypatch.setattr(Deepgram, "_asked", noted)
    with listening(server):
        until(lambda: len(times) >= 5)
    assert times[4] - times[0] > 0.25, "0.02, 0.04, 0.08 and 0.16 s between them"


def test_late_words_are_waited_for(server: TranscriptServer) -> None:
    server.late = 0.2
    with listening(server) as ear:
        assert "teacher" == ear.transcribe(voice(1)).text


def test_what_is_written_down_is_not_kept(
    server: TranscriptServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deepgram, "_LONGEST_KEPT", 20_000)
    with listening(server) as ear:
        ear.begin(np.zeros(0, np.float32))
        for number in range(1, 4):
            told(ear, voice(2))
            told(ear, np.zeros(3200, np.float32))
            until(lambda number=number: len(ear._finals) == number)  # type: ignore[misc]
        with ear._changed:  # what is covered goes after the words of it have come
            assert sum(map(len, ear._sound)) < 12_000


def test_an_utterance_of_which_nothing_is_written_down_has_failed(
    server: TranscriptServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deepgram, "_LONGEST_KEPT", 8000)
    server.mute = True
    with listening(server) as ear:
        ear.begin(voice(1))
        told(ear, voice(2))
        with pytest.raises(SensesError, match=r"written down nothing for 0\.5 s"):
            ear.transcribe(voice(3))
        server.mute = False
        ear.begin(voice(1))
        assert "teacher" in ear.transcribe(voice(1)).text


def test_an_utterance_of_which_nothing_can_be_sent_has_failed(
    server: TranscriptServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deepgram, "_LONGEST_WAITING", 8000)
    monkeypatch.setattr(Deepgram, "_send_all", lambda *_: None)
    with listening(server) as ear:
        until(lambda: ear._socket is not None)
        ear.begin(voice(1))
        told(ear, voice(2))
        with pytest.raises(SensesError, match=r"taken nothing for 0\.5 s"):
            ear.transcribe(voice(3))
        assert ear._outgoing.qsize() < 60


def test_nothing_waits_to_be_sent_where_there_is_no_connection() -> None:
    with listening(TranscriptServer(url="ws://127.0.0.1:9", serves=False)) as ear:
        ear.begin(voice(1))
        told(ear, voice(2))
        assert ear._outgoing.empty()


def test_a_wrong_key_is_not_told(server: TranscriptServer) -> None:
    with listening(server, key="very-secret") as ear, pytest.raises(SensesError) as raised:
        ear.transcribe(voice(1))
    assert "DEEPGRAM_API_KEY" in str(raised.value)
    assert "very-secret" not in str(raised.value)


def test_a_service_that_says_nothing(server: TranscriptServer) -> None:
    server.mute = True
    with (
        listening(server, patience=0.1) as ear,
        pytest.raises(SensesError, match=r"last words for 0\.1 s"),
    ):
        until(lambda: len(server.asked) == 1)
        ear.transcribe(voice(1))


def test_the_services_own_word(server: TranscriptServer) -> None:
    server.error = "no such thing"
    with listening(server) as ear, pytest.raises(SensesError, match="refuses: no such thing"):
        ear.transcribe(voice(1))


def test_what_is_no_message_is_passed_over(
    server: TranscriptServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.malformed = True
    with listening(server) as ear:
        assert "teacher" == ear.transcribe(voice(1)).text
    assert "Skipping" in caplog.text


def test_a_service_that_is_not_there() -> None:
    with listening(TranscriptServer(url="ws://127.0.0.1:9", serves=False), patience=0.2) as ear:
        until(lambda: ear._trouble is not None)
        with pytest.raises(SensesError, match="broke"):
            ear.transcribe(voice(1))


def test_who_is_closed_while_it_connects_has_gone_soon(
    server: TranscriptServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connects, closes = threading.Event(), threading.Event()
    connected = Deepgram._connected

    def late(ear: Deepgram, socket: object) -> None:
        connects.set()
        assert closes.wait(20)
        connected(ear, socket)

    monkeypatch.setattr(Deepgram, "_connected", late)
    ear = Deepgram(DeepgramSettings(base_url=server.url), key=KEY)
    assert connects.wait(20)
    closing = threading.Thread(target=ear.close)
    closing.start()
    until(lambda: not ear._outgoing.empty())
    closes.set()
    closing.join()
    assert not ear._owner.is_alive()


@pytest.mark.parametrize(("status", "says"), [(401, "DEEPGRAM_API_KEY"), (400, "its model first")])
def test_what_will_never_work_is_said_before_the_lesson(
    server: TranscriptServer, status: int, says: str
) -> None:
    with listening(server) as ear:
        anyio.run(ear.check)
    assert [0] == server.samples, "no sound is sent for it"
    server.refuse = status
    with listening(server) as ear, pytest.raises(BackendRefused, match=says):
        anyio.run(ear.check)


def test_a_full_service_may_recover(server: TranscriptServer) -> None:
    server.refuse = 429
    with listening(server) as ear, pytest.raises(SensesError, match="too often"):
        anyio.run(ear.check)
