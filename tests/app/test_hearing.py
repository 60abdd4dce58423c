"""The ear, with senses that follow a script: when words come, and when a turn is over."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import numpy as np
import pytest
from fakes import sounds
from fakes.senses import FakeFloor, FakeRecogniser, FakeStreamingRecogniser, FakeVad
from numpy.typing import NDArray

from maestra.app import models
from maestra.app.hearing import Hearing, HearingTimings, Resampler
from maestra.core.endpointing import EndpointingPolicy, EndpointingSettings
from maestra.core.hearing import (
    FloorChanged,
    FloorLabel,
    HearingEvent,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    UtteranceEnded,
)
from maestra.core.media_time import MediaTime, to_seconds
from maestra.core.wake import WakePhraseMatcher
from maestra.ports.audio import EAR_RATE_HZ, AudioChunk
from maestra.ports.errors import SensesError
from maestra.ports.senses import Recognition

SPEECH, PLAYING, BOTH = FloorLabel.SPEECH, FloorLabel.PLAYING, FloorLabel.BOTH
QUESTION = "How can I fix that?"


def ear(
    *,
    voices: Sequence[tuple[float, float]],
    recogniser: FakeRecogniser,
    floor: Sequence[tuple[float, FloorLabel]] = ((0.0, SPEECH),),
    fast: bool = True,
    longest: float = 30.0,
) -> Hearing:
    return Hearing(
        floor=FakeFloor(floor),
        vad=FakeVad(voices),
        recogniser=recogniser,
        endpointing=EndpointingPolicy(
            EndpointingSettings(longest_utterance=longest), wake=WakePhraseMatcher()
        ),
        fast=fast,
    )


def chunks(
    sound: NDArray[np.float32], sizes: Sequence[int] = (882,), start: int = 0
) -> Iterator[AudioChunk]:
    at = 0
    for size in itertools.cycle(sizes):
        if at >= len(sound):
            return
        yield AudioChunk(start=start + at, rate_hz=EAR_RATE_HZ, samples=sound[at : at + size])
        at += size


def hear(hearing: Hearing, seconds: float, sizes: Sequence[int] = (882,)) -> list[HearingEvent]:
    events: list[HearingEvent] = []
    for chunk in chunks(sounds.silence(seconds, EAR_RATE_HZ), sizes):
        events += hearing.push(chunk)
    return events + hearing.flush()


def ended(events: Sequence[HearingEvent]) -> list[UtteranceEnded]:
    return [event for event in events if isinstance(event, UtteranceEnded)]


def seconds(at: MediaTime) -> float:
    return round(to_seconds(at), 2)


def test_an_utterance_from_its_first_sound_to_its_end() -> None:
    recogniser = FakeRecogniser(lambda length: QUESTION if length > 1.5 else "How can")
    events = hear(ear(voices=[(1.0, 2.5)], recogniser=recogniser), 5.0)

    kinds = [type(event) for event in events]
    assert kinds[:2] == [FloorChanged, SpeechStarted]
    assert kinds[-2:] == [Transcript, UtteranceEnded]
    assert kinds.count(SpeechStopped) == 1
    started, stopped = events[1], events[kinds.index(SpeechStopped)]
    assert isinstance(started, SpeechStarted) and isinstance(stopped, SpeechStopped)
    assert (seconds(started.since), seconds(stopped.since)) == (1.0, 2.5)

    transcripts = [event for event in events if isinstance(event, Transcript)]
    assert [t.final for t in transcripts] == [False] * (len(transcripts) - 1) + [True]
    assert len([t for t in transcripts if seconds(t.at) < 2.5]) == 2  # from 1.6 and 2.1
    assert transcripts[-1].text == QUESTION

    (end,) = ended(events)
    assert (end.text, seconds(end.start), seconds(end.end)) == (QUESTION, 1.0, 2.5)
    # 0.1 s of silence to notice, and the transcript; a whole question needs no more
    assert 2.7 <= seconds(end.at) <= 2.8
    # what led up to the first sound is heard too
    assert recogniser.asked[-1] == pytest.approx(0.3 + 1.6, abs=0.05)


def test_events_come_in_order_of_media_time() -> None:
    recogniser = FakeRecogniser("well")
    events = hear(ear(voices=[(1.0, 2.5), (2.8, 4.0)], recogniser=recogniser), 6.0)
    stamps = [event.at for event in events]
    assert stamps == sorted(stamps)
    assert all(e.since <= e.at for e in events if isinstance(e, SpeechStarted | SpeechStopped))


@pytest.mark.parametrize("sizes", [(441,), (1024, 7, 333), (44_100,), (220_500,)])
def test_the_cut_into_chunks_changes_nothing(sizes: Sequence[int]) -> None:
    def run(sizes: Sequence[int]) -> list[HearingEvent]:
        recogniser = FakeRecogniser(lambda length: f"{length:.3f} and then")
        floor = [(0.9, SPEECH), (3.3, PLAYING), (4.1, BOTH)]
        hearing = ear(
            voices=[(1.0, 2.0), (2.4, 3.2), (4.0, 4.6)], recogniser=recogniser, floor=floor
        )
        return hear(hearing, 7.0, sizes)

    assert run(sizes) == run((882,))


@pytest.mark.parametrize("label", [PLAYING, FloorLabel.SINGING, FloorLabel.OTHER])
def test_a_voice_that_the_floor_denies_is_not_heard(label: FloorLabel) -> None:
    recogniser = FakeRecogniser("la la la")
    events = hear(ear(voices=[(1.0, 3.0)], recogniser=recogniser, floor=[(0.0, label)]), 5.0)
    assert [type(event) for event in events] == [FloorChanged]
    assert recogniser.asked == []


def test_a_longest_utterance_that_is_raised_or_lowered_loses_no_sound() -> None:
    recogniser = FakeRecogniser("and so on and")
    hearing = ear(voices=[(1.0, 19.0)], recogniser=recogniser, longest=4.0)
    hearing.configure({"conversation.max_utterance": 60.0})
    sound = list(chunks(sounds.silence(22.0, EAR_RATE_HZ)))
    events: list[HearingEvent] = []
    for chunk in sound[:800]:
        events += hearing.push(chunk)
    assert not ended(events)
    hearing.configure({"conversation.max_utterance": 5.0})
    for chunk in sound[800:]:
        events += hearing.push(chunk)

    first = ended(events)[0]
    assert (seconds(first.start), round(seconds(first.end))) == (1.0, 16)
    assert max(recogniser.asked) == pytest.approx(15.3, abs=0.1)


def test_words_over_music_are_heard() -> None:
    recogniser = FakeRecogniser("Teacher, comment.")
    floor = [(0.0, PLAYING), (1.3, BOTH), (2.2, PLAYING)]
    events = hear(ear(voices=[(1.0, 2.0)], recogniser=recogniser, floor=floor), 4.0)
    (end,) = ended(events)
    assert end.text == "Teacher, comment."
    assert seconds(end.start) == 1.0  # though the floor was sure only later


def test_a_voice_that_turns_into_singing_has_stopped_speaking() -> None:
    recogniser = FakeRecogniser(QUESTION)
    floor = [(0.0, SPEECH), (2.0, FloorLabel.SINGING)]
    events = hear(ear(voices=[(1.0, 9.0)], recogniser=recogniser, floor=floor), 10.0)
    (end,) = ended(events)
    assert seconds(end.end) == 2.0 and seconds(end.at) < 3.2
    assert sum(isinstance(event, SpeechStarted) for event in events) == 1


def test_a_pause_after_unfinished_words_does_not_end_the_turn() -> None:
    recogniser = FakeRecogniser(lambda length: "I think the" if length < 2 else "I think the end.")
    events = hear(ear(voices=[(1.0, 2.0), (2.6, 3.4)], recogniser=recogniser), 6.0)
    (end,) = ended(events)
    assert (end.text, seconds(end.start), seconds(end.end)) == ("I think the end.", 1.0, 3.4)


def test_two_turns_have_two_numbers() -> None:
    events = hear(ear(voices=[(1.0, 2.0), (4.0, 5.0)], recogniser=FakeRecogniser(QUESTION)), 7.0)
    assert [end.utterance for end in ended(events)] == [1, 2]


def test_a_question_that_never_ends_is_cut_and_answered() -> None:
    recogniser = FakeRecogniser(lambda length: f"{length:.0f} and")
    events = hear(ear(voices=[(1.0, 70.0)], recogniser=recogniser), 72.0)
    ends = ended(events)
    assert [seconds(end.start) for end in ends] == [1.0, 31.0, 61.0]
    assert [seconds(end.end) for end in ends] == [31.0, 61.0, 70.0]
    assert seconds(ends[0].at) < 31.5
    assert max(recogniser.asked) <= 30.5
    voices = [event for event in events if isinstance(event, SpeechStarted)]
    assert [seconds(voice.since) for voice in voices] == [1.0, 31.0, 61.0], "it still speaks"


def test_noise_without_words_ends_with_an_empty_text() -> None:
    events = hear(ear(voices=[(1.0, 1.4)], recogniser=FakeRecogniser("")), 4.0)
    (end,) = ended(events)
    assert end.text == ""


def test_the_end_of_the_sound_ends_the_turn() -> None:
    events = hear(ear(voices=[(1.0, 9.0)], recogniser=FakeRecogniser("and so")), 2.0)
    (end,) = ended(events)
    assert (end.text, seconds(end.end)) == ("and so", 2.0)
    assert any(isinstance(event, SpeechStopped) for event in events)


def test_a_recogniser_that_raises_costs_only_its_words() -> None:
    recogniser = FakeRecogniser("", error=SensesError("out of order"))
    hearing = ear(voices=[(1.0, 2.0), (4.0, 5.0)], recogniser=recogniser)
    events = hear(hearing, 7.0)
    assert [end.text for end in ended(events)] == ["", ""]
    assert {str(failure) for failure in hearing.failures()} == {"out of order"}
    assert hearing.failures() == []


def test_a_recogniser_that_hangs_is_given_up() -> None:
    gate = threading.Event()
    recogniser = FakeRecogniser(QUESTION, gate=gate)
    hearing = ear(voices=[(1.0, 2.0), (9.0, 10.0)], recogniser=recogniser, fast=False)
    events: list[HearingEvent] = []
    try:
        for chunk in chunks(sounds.silence(8.0, EAR_RATE_HZ)):
            events += hearing.push(chunk)
        (end,) = ended(events)
        assert end.text == "" and seconds(end.at) < 6.0
        assert any("too long" in str(failure) for failure in hearing.failures())
    finally:
        gate.set()
    for chunk in chunks(sounds.silence(4.0, EAR_RATE_HZ), start=8 * EAR_RATE_HZ):
        events += hearing.push(chunk)
    events += hearing.flush()
    assert len(ended(events)) == 2


@pytest.mark.parametrize("error", [SensesError("deaf"), ZeroDivisionError()])
@pytest.mark.parametrize("part", ["floor", "vad"])
def test_a_detector_that_goes_on_raising_is_reported_once(part: str, error: Exception) -> None:
    floor, vad = FakeFloor([(0.0, SPEECH)]), FakeVad([(1.0, 2.0)])
    failing = floor if part == "floor" else vad
    hearing = Hearing(
        floor=floor,
        vad=vad,
        recogniser=FakeRecogniser(""),
        endpointing=EndpointingPolicy(),
        fast=True,
    )
    sound = chunks(sounds.silence(9.0, EAR_RATE_HZ))

    def hear(seconds: float) -> list[Exception]:
        for _ in range(round(seconds * 50)):
            hearing.push(next(sound))
        return hearing.failures()

    failing.error = error
    assert hear(0.5) == [error]
    for _ in range(3):  # one that fails whenever its model is asked, and only then
        failing.error = None
        assert hear(0.1) == []
        failing.error = error
        assert hear(0.1) == []
    failing.error = None
    assert hear(6.0) == []
    failing.error = error
    assert hear(1.0) == [error], "another spell"


def test_in_real_time_the_ear_goes_on_hearing_while_words_are_made() -> None:
    asked: list[Future[Recognition]] = []

    def recognise(samples: NDArray[np.float32]) -> Future[Recognition]:
        asked.append(Future())
        return asked[-1]

    hearing = Hearing(
        floor=FakeFloor([(0.0, SPEECH)]),
        vad=FakeVad([(0.2, 1.0)]),
        recogniser=FakeRecogniser(""),
        endpointing=EndpointingPolicy(),
        timings=HearingTimings(patience=1e6),
        recognise=recognise,
    )
    events: list[HearingEvent] = []
    for chunk in chunks(sounds.silence(2.0, EAR_RATE_HZ)):
        events += hearing.push(chunk)
    assert len(asked) == 1 and not ended(events)  # a second is not begun while one runs
    asked[0].set_result(Recognition(text="How can", confidence=1.0))
    events = hearing.push(
        AudioChunk(start=88_200, rate_hz=EAR_RATE_HZ, samples=np.zeros(882, "f4"))
    )
    assert [e.text for e in events if isinstance(e, Transcript)] == ["How can"]
    assert len(asked) == 2  # now that of all words
    asked[1].set_result(Recognition(text=QUESTION, confidence=1.0))
    events = hearing.push(
        AudioChunk(start=89_082, rate_hz=EAR_RATE_HZ, samples=np.zeros(882, "f4"))
    )
    assert [end.text for end in ended(events)] == [QUESTION]


def test_leaving_leaves_no_thread() -> None:
    before = threading.active_count()
    hearing = ear(voices=[(0.2, 1.0)], recogniser=FakeRecogniser(QUESTION), fast=False)
    hear(hearing, 2.0)
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_lost_sound_is_heard_as_silence() -> None:
    hearing = ear(voices=[(5.0, 6.0)], recogniser=FakeRecogniser(QUESTION))
    hearing.push(next(chunks(sounds.silence(1.0, EAR_RATE_HZ), (44_100,))))
    late = sounds.silence(5.0, EAR_RATE_HZ)
    events = hearing.push(AudioChunk(start=3 * EAR_RATE_HZ, rate_hz=EAR_RATE_HZ, samples=late))
    (end,) = ended(events)
    assert (seconds(end.start), seconds(end.end)) == (5.0, 6.0)


def test_live_settings() -> None:
    recogniser = FakeRecogniser("Computer, look at this")
    hearing = ear(voices=[(1.0, 2.0)], recogniser=recogniser)
    hearing.configure(
        {
            "conversation.wake_phrases": ("computer, look",),
            "conversation.max_utterance": 0.7,
            "conversation.window": 5.0,
        }
    )
    assert recogniser.expected == ("computer, look",)
    assert len(ended(hear(hearing, 4.0))) == 2  # cut after 0.7 s


def test_a_streaming_recogniser_hears_what_is_said_and_nothing_else() -> None:
    recogniser = FakeStreamingRecogniser(QUESTION)
    events = hear(ear(voices=[(1.0, 2.5), (4.0, 5.0)], recogniser=recogniser), 7.0)

    assert [QUESTION, QUESTION] == [end.text for end in ended(events)]
    assert recogniser.closed
    assert 2 == len(recogniser.heard)
    for length, spoken in zip(recogniser.heard, (1.5, 1.0), strict=True):
        # what led up to it, and the silence until the turn was over
        assert spoken + 0.3 <= length <= spoken + 0.3 + 0.5
    assert [1.9, 1.4] == pytest.approx(recogniser.asked, abs=0.05), "interim words cost nothing"


@pytest.mark.parametrize(
    ("words", "ends", "waits"),
    [("I liked it.", False, 0.45), ("I liked it.", True, 0.25), ("So when I", True, 0.9)],
)
def test_a_recognisers_hint_shortens_the_wait_unless_words_call_for_more(
    words: str, ends: bool, waits: float
) -> None:
    recogniser = FakeStreamingRecogniser(words, ends=ends)
    (end,) = ended(hear(ear(voices=[(1.0, 2.5)], recogniser=recogniser), 5.0))

    assert 2.5 + waits == pytest.approx(seconds(end.at), abs=0.06)


def test_another_rate_is_refused() -> None:
    hearing = ear(voices=[], recogniser=FakeRecogniser(""))
    with pytest.raises(ValueError, match="48000"):
        hearing.push(AudioChunk(start=0, rate_hz=48_000, samples=np.zeros(10, np.float32)))


# --- the resampler ---------------------------------------------------------------------


def _resampled(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    resampler = Resampler()
    return np.concatenate([*resampler.push(sound), *resampler.flush()])


@pytest.mark.parametrize(("hz", "gain"), [(100, 1.0), (1000, 1.0), (5000, 1.0), (10_000, 0.0)])
def test_the_resampler_keeps_what_16_khz_can_hold_and_its_place(hz: int, gain: float) -> None:
    t = np.arange(EAR_RATE_HZ) / EAR_RATE_HZ
    out = _resampled(np.sin(2 * np.pi * hz * t).astype(np.float32))
    assert abs(len(out) - 16_000) <= 160
    expected = gain * np.sin(2 * np.pi * hz * np.arange(16_000) / 16_000)
    assert np.max(np.abs(out[200:15_800] - expected[200:15_800])) < 0.01


# --- with the models -------------------------------------------------------------------


@pytest.fixture(scope="module")
def recogniser() -> object:
    from maestra.adapters.senses.whisper import FasterWhisper

    return FasterWhisper(models.locate("whisper-tiny.en"), phrases=["teacher, comment"])


def _whole_ear(recogniser: object) -> Hearing:
    from maestra.adapters.senses.silero import SileroVad
    from maestra.adapters.senses.whisper import FasterWhisper
    from maestra.adapters.senses.yamnet import YamnetFloor

    assert isinstance(recogniser, FasterWhisper)
    return Hearing(
        floor=YamnetFloor(models.locate("yamnet"), vad_model=models.locate("silero")),
        vad=SileroVad(models.locate("silero")),
        recogniser=recogniser,
        endpointing=EndpointingPolicy(wake=WakePhraseMatcher()),
        fast=True,
    )


def _hear_sound(recogniser: object, sound: NDArray[np.float32]) -> list[HearingEvent]:
    hearing = _whole_ear(recogniser)
    events: list[HearingEvent] = []
    for chunk in chunks(sound):
        events += hearing.push(chunk)
    return events + hearing.flush()


@pytest.mark.models
@pytest.mark.parametrize("gain", [0.1, 1.0, 10.0])
def test_a_lesson_in_small(recogniser: object, gain: float) -> None:
    rate = EAR_RATE_HZ
    parts = [
        sounds.hum(0.5, rate),
        sounds.melody(4.0, rate),
        sounds.hum(1.0, rate),
        sounds.line("wake_033_s2", rate),
        sounds.hum(2.0, rate),
    ]
    events = _hear_sound(recogniser, np.clip(np.concatenate(parts) * gain, -1, 1))
    matcher = WakePhraseMatcher()
    (end,) = ended(events)
    assert matcher.match(end.text) is not None
    assert seconds(end.at) - (5.5 + 1.6) < 0.75
    labels = [event.label for event in events if isinstance(event, FloorChanged)]
    assert PLAYING in labels and SPEECH in labels
    first_speech = next(
        event for event in events if isinstance(event, FloorChanged) and event.label.is_speech
    )
    assert seconds(first_speech.at) > 5.5


@pytest.mark.models
@pytest.mark.parametrize(
    "sound",
    [
        sounds.silence(3.0, EAR_RATE_HZ),
        sounds.noise(3.0, 0.1, EAR_RATE_HZ),
        sounds.melody(4.0, EAR_RATE_HZ),
        np.tile(np.array([1.0] * 50 + [-1.0] * 50, np.float32), EAR_RATE_HZ // 50),
    ],
    ids=["silence", "noise", "melody", "square"],
)
def test_what_is_no_speech_has_no_words(recogniser: object, sound: NDArray[np.float32]) -> None:
    events = _hear_sound(recogniser, sound)
    assert not [event for event in events if isinstance(event, Transcript)]
