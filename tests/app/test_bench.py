"""The bench measures what it says: on sounds, pictures and streams whose truth is known."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("psutil")

from maestra.app.demo.latencies import Recording
from maestra.app.experiments.bench import measures, report
from maestra.app.experiments.bench.figures import TARGETS, Finding, quantiles, verdict
from maestra.app.experiments.bench.material import ALL_INSTRUMENTS, Clip, ToneNote, rendered, take
from maestra.app.experiments.bench.parts import (
    an_hour_of_growth,
    first_sounds,
    onsets_found,
    played_f0,
)
from maestra.app.experiments.bench.script import (
    ANSWER,
    Cue,
    conversation,
    pick,
    quiet_lesson,
    wake_calls,
    write_lesson,
)
from maestra.app.experiments.bench.sounds import RATE_HZ, active, level_db, read
from maestra.app.experiments.bench.steady import steady_takes
from maestra.app.experiments.made_performances import PIECES, STUDIES, Piece
from maestra.app.experiments.tempo_accuracy import TempoScores
from maestra.app.experiments.tunes import read_tunes
from maestra.core.performance.notes import PerformedNote

RATE = 48_000
TARGET = {target.key: target for target in TARGETS}


def clip(role: str, who: str = "anna", *, before: float = 0.05, lasts: float = 1.0) -> Clip:
    sound = np.zeros(round((before + lasts + 0.2) * RATE_HZ), np.float32)
    t = np.arange(round(lasts * RATE_HZ)) / RATE_HZ
    start = round(before * RATE_HZ)
    sound[start : start + len(t)] = 0.05 * np.sin(2 * np.pi * 300 * t)
    return Clip(
        name=f"{role} by {who}",
        role=role,
        sound=sound,
        first=before,
        last=before + lasts,
        who=who,
        text=role,
    )


def everybody() -> list[Clip]:
    roles = ("wake", "follow_up", "barge_in", "music", "chat", "near")
    names = ("anna", "ben")
    return [
        clip(role, who, lasts=9.0 if role == "music" else 1.0) for role in roles for who in names
    ]


# --- lessons ------------------------------------------------------------------


def test_a_lesson_is_where_its_truth_says(tmp_path: Path) -> None:
    cues = [
        Cue(clip=clip("chat"), role="chat", pause=1.0),
        Cue(clip=clip("wake", before=0.3), role="wake", pause=2.5),
        Cue(clip=clip("music"), role="music", pause=0.1, gain_db=-6.0),
    ]

    events, duration = write_lesson(tmp_path / "lesson.flac", cues, tail=2.0)
    sound = read(tmp_path / "lesson.flac")

    assert [event.start for event in events] == pytest.approx([1.0, 4.5, 5.75], abs=0.005)
    assert events[1].start - events[0].end == pytest.approx(2.5, abs=1e-3)
    assert len(sound) / RATE_HZ == pytest.approx(duration, abs=0.01)
    for event in events:
        inside = sound[round((event.start - 0.04) * RATE_HZ) : round((event.end + 0.1) * RATE_HZ)]
        first, last = active(inside, below_db=20.0)
        assert first == pytest.approx(0.04, abs=0.011)
        assert last - first == pytest.approx(event.end - event.start, abs=0.02)
    assert level_db(sound[round(1.1 * RATE_HZ) : round(1.9 * RATE_HZ)]) == pytest.approx(-24, abs=1)


def test_a_conversation_gives_every_answer_its_time() -> None:
    cues = list(conversation(everybody(), rounds=3))

    roles = [cue.role for cue in cues]
    assert roles.count("wake") == 9
    assert roles.count("follow_up") == 6
    assert roles.count("barge_in") == roles.count("barge_in_music") == 3
    for before, after in itertools.pairwise(cues):
        if before.role in ("wake", "follow_up", "barge_in"):
            interrupts = after.role in ("barge_in", "barge_in_music")
            assert 3.0 < after.pause < 6.0 if interrupts else after.pause == ANSWER


def test_nobody_asks_in_a_quiet_lesson_and_everybody_calls_in_turn() -> None:
    assert "wake" not in {cue.role for cue in quiet_lesson(everybody(), seconds=60)}
    assert {c.clip.who for c in wake_calls(everybody(), count=2)} == {"anna", "ben"}
    with pytest.raises(ValueError, match="noise"):
        next(pick(everybody(), "noise"))


def test_rendered_tones_have_their_pitch_and_their_place() -> None:
    sound = rendered([ToneNote(onset=0.5, duration=1.0, f0_hz=441.0)], "blown")
    middle = sound[round(0.7 * RATE_HZ) : round(1.2 * RATE_HZ)]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 18))

    assert np.argmax(spectrum) * RATE_HZ / (1 << 18) == pytest.approx(441.0, abs=0.3)
    assert active(sound, 20.0)[0] == pytest.approx(0.5, abs=0.02)
    assert take(clip("music", lasts=3.0), 1.0).duration == pytest.approx(1.0)


@pytest.mark.parametrize("instrument", ["blown", "bowed"])
def test_what_was_played_is_heard_to_a_cent(instrument: str) -> None:
    tone = ToneNote(onset=0.5, duration=2.0, f0_hz=440.0 * 2 ** (17 / 1200))
    found = played_f0(rendered([tone], instrument), 440.0)
    assert abs(1200 * np.log2(found / tone.f0_hz)) < 1.0


def test_steady_takes_are_steady_and_of_every_tempo() -> None:
    takes = list(steady_takes(48, 5))
    assert takes == list(steady_takes(48, 5))
    tempi = sorted(take.tempo_bpm for take in takes)
    assert 50 <= tempi[0] < 52 and 173 < tempi[-1] <= 180
    assert max(b / a for a, b in itertools.pairwise(tempi)) < 1.06
    assert {take.instrument for take in takes} == set(ALL_INSTRUMENTS)
    assert len({take.made.piece for take in takes}) == len(PIECES) + len(STUDIES)
    one = next(take for take in takes if take.made.piece == "five_finger_study")
    onsets = [note.onset for note in one.made.events if isinstance(note, PerformedNote)]
    half = 30 / one.tempo_bpm
    off = [onset - 0.6 - half * place for place, onset in enumerate(sorted(onsets)[:16])]
    assert 0.005 < statistics.pstdev(off) < 0.025


def test_no_piece_is_played_quicker_than_a_student_can() -> None:
    quick = Piece(name="quick", beats_per_bar=2, notes=((0.25, 60),) * 200)
    slow = Piece(name="slow", beats_per_bar=2, notes=((1.0, 60),) * 200)
    takes = list(steady_takes(24, 5, (quick, slow)))
    assert {take.made.piece for take in takes if take.tempo_bpm > 120} == {"slow"}
    assert "quick" in {take.made.piece for take in takes}


def test_a_tempo_is_right_in_more_than_one_sense() -> None:
    scores = TempoScores()
    assert scores.add(97.0, None, 96.0)
    assert not scores.add(48.0, 96.0, 96.0)
    assert not scores.add(64.0, None, 96.0)
    assert not scores.add(72.0, 288.0, 96.0)
    assert not scores.add(None, None, 96.0)
    assert (scores.count, scores.accuracy1, scores.accuracy2) == (5, 1, 2)
    assert (scores.one_of_two, scores.fits) == (2, 3)
    assert str(scores).startswith("Accuracy1 20 % (1 of 5), Accuracy2 40 % (2 of 5)")


TUNE = """
X:1
T:A tune
M:2/4
L:1/8
K:D
"D"A|d2e {g}f|(3efg ^c>A|=c4-|c2 cz|A3 B|
F2F G|E3 E|F2F G|E2E D|F2F G|E3 E|F2F G|
"""


def test_a_tune_is_read_with_its_metre() -> None:
    (tune,) = read_tunes(TUNE)
    beats = [Fraction(value).limit_denominator(12) for value, _ in tune.notes[:12]]
    third, quarter, half = Fraction(1, 3), Fraction(1, 4), Fraction(1, 2)
    assert beats == [half, 1, half, half, third, third, third, 3 * quarter, quarter, 3, half, half]
    steps = [None if midi is None else midi - (tune.notes[0][1] or 0) for _, midi in tune.notes]
    assert steps[:12] == [0, 5, 7, 9, 7, 9, 10, 4, 0, 3, 4, None]
    assert tune.beats_per_bar == 2
    assert list(read_tunes(TUNE.replace("2/4", "7/8"))) == []
    (jig,) = read_tunes(TUNE.replace("2/4", "6/8").replace("(3", "").replace(">", ""))
    assert [round(3 * value) for value, _ in jig.notes[:4]] == [1, 2, 1, 1]


# --- latencies ----------------------------------------------------------------


def teacher(*spans: tuple[float, float], delay: float = 0.1) -> Recording:
    samples = np.zeros(60 * RATE, np.float32)
    for start, end in spans:
        samples[round(start * RATE) : round(end * RATE)] = 0.1
    pts = [n * 1024 / RATE for n in range(len(samples) // 1024)]
    return Recording(
        samples=samples,
        rate_hz=RATE,
        start=0.0,
        pts=pts,
        arrived=[1000.0 + time + delay for time in pts],
    )


def test_latencies_are_found_missed_answers_count_and_idle_barge_ins_do_not() -> None:
    recording = teacher((10.6, 15.0), (30.0, 32.4))
    events = [
        {"role": "wake", "start": 9.0, "end": 10.0, "text": ""},
        {"role": "wake", "start": 19.0, "end": 20.0, "text": ""},
        {"role": "barge_in", "start": 32.0, "end": 33.0, "text": ""},
        {"role": "barge_in", "start": 50.0, "end": 51.0, "text": ""},
    ]

    wakes = measures.latencies(events, recording, 1000.0, "wake")
    barge_ins = measures.latencies(events, recording, 1000.0, "barge_in")

    assert [at for at, _ in (*wakes, *barge_ins)] == [10.0, 20.0, 32.0]
    assert wakes[0][1] == pytest.approx(0.7, abs=0.035)
    assert wakes[1][1] == math.inf
    assert barge_ins[0][1] == pytest.approx(0.5, abs=0.035)
    assert quantiles([one for _, one in wakes])["p95"] == math.inf


def test_a_teacher_who_speaks_again_was_not_silenced() -> None:
    assert measures.silenced_for_good(10.0, 18.0, [(5.0, 10.4)])
    assert not measures.silenced_for_good(10.0, 18.0, [(5.0, 10.4), (14.0, 15.0)])


# --- frames -------------------------------------------------------------------


def test_frames_are_counted_by_the_second_whatever_the_rounding() -> None:
    stamps = [7.0 + round(n * 40.0 + (n % 3 - 1) * 0.9) / 1000 for n in range(251)]

    assert set(measures.frames_by_second(stamps)) == {25}
    gap = [time for time in stamps if not 9.1 < time < 9.3]
    assert sorted(measures.frames_by_second(gap))[:2] == [20, 25]
    assert measures.distinct([0.0, 0.04, 0.08], [255.0, 0.0, 0.3], 0.01) == [0.0, 0.08]


# --- lips ---------------------------------------------------------------------


def spoken(late: float, seconds: float = 8.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Syllables, and the mouth that speaks them; the sound comes ``late`` s after the mouth."""
    rng = np.random.default_rng(5)
    times = np.arange(round(seconds * 25)) / 25
    centres = np.cumsum(rng.uniform(0.12, 0.4, 60))
    centres = centres[centres < seconds - 0.4]
    sizes = rng.uniform(0.4, 1.0, len(centres))

    def opening(at: np.ndarray) -> np.ndarray:
        bumps = np.exp(-(((at[:, None] - centres) / 0.06) ** 2)) * sizes
        return np.asarray(bumps.sum(axis=1))

    fine = np.arange(round(seconds * RATE)) / RATE
    carrier = np.sin(2 * np.pi * 180 * fine)
    samples = (0.2 * opening(fine - late) * carrier).astype(np.float32)
    look = rng.standard_normal(24)
    sway = np.sin(2 * np.pi * 0.2 * times)[:, None] * rng.standard_normal(24) * 0.5
    patches = 100 + 30 * opening(times + 0.02)[:, None] * look + 20 * sway
    patches += rng.standard_normal(patches.shape)
    return patches.astype(np.float32), times, samples


@pytest.mark.parametrize("late", [0.0, 0.013, -0.031, 0.09])
def test_the_lag_of_the_sound_is_found_to_a_few_milliseconds(late: float) -> None:
    patches, times, samples = spoken(late)
    still, _, in_time = spoken(0.0)
    motif = measures.motif(still, measures.loudness(in_time, RATE, times + 0.02))

    there = measures.mouth_lag(patches, motif, times, samples, RATE)
    here = measures.mouth_lag(still, motif, times, in_time, RATE)

    assert there.seconds - here.seconds == pytest.approx(late, abs=0.003)
    assert there.likeness > 0.7


def test_a_drift_is_found_and_one_bad_offset_does_not_make_one() -> None:
    at = [30.0 * n for n in range(20)]
    steady = [1.0, -1.0] * 10
    steady[3] = 60.0

    assert measures.drift(at, [5 + 0.02 * x for x in at])[0] == pytest.approx(12.0)
    assert abs(measures.drift(at, steady)[0]) < 2.0
    assert math.isnan(measures.drift(at[:2], steady[:2])[0])


# --- music --------------------------------------------------------------------


def test_onsets_are_read_from_what_analyse_prints() -> None:
    true = [{"onset": n, "offset": n + 0.5, "hz": 440.0} for n in (1.0, 2.0, 3.0, 4.0)]

    def printed(*onsets: float) -> list[dict[str, float | None]]:
        blank = {"midi": 69, "f0_hz": None, "deviation_cents": None}
        rest = {"loudness_db": -20.0, "confidence": 1.0}
        return [{"onset": n, "offset": n + 0.5, **blank, **rest} for n in onsets]

    assert onsets_found(printed(1.03, 1.97, 3.0, 4.04), true) == 1.0
    assert onsets_found(printed(1.0, 1.01, 2.0, 3.2), true) == pytest.approx(0.5)
    assert onsets_found([], true) == 0.0


# --- the report ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "values", "expected"),
    [
        ("wake_latency", {"p50": 0.6, "p95": 0.9}, "aim"),
        ("wake_latency", {"p50": 0.6, "p95": 1.5}, "met"),
        ("wake_latency", {"p50": 0.6, "p95": math.inf}, "missed"),
        ("first_sound", {"p50": 0.14, "p95": 0.3}, "aim"),
        ("first_sound", {"p50": 0.2, "p95": 0.29}, "met"),
        ("first_sound", {"p50": 0.2, "p95": 0.31}, "missed"),
        ("fps_stability", {"share": 99.4}, "missed"),
        ("fps_stability", {"share": 100.0}, "aim"),
        ("false_wakes", {"rate": 0.0}, "aim"),
        ("false_wakes", {"rate": 4.0}, "missed"),
        ("missed_wakes", {"share": 3.0}, "missed"),
        ("memory_growth", {"growth": -3.0}, "aim"),
        ("drift", {"size": math.nan}, "missed"),
    ],
)
def test_a_figure_is_met_or_missed(key: str, values: dict[str, float], expected: str) -> None:
    assert verdict(TARGET[key], Finding(key=key, values=values, n=5)) == expected
    assert verdict(TARGET[key], None) == "not measured"


def test_the_first_sounds_of_clauses_are_read_from_the_event_log() -> None:
    spoken = [
        {"type": "spoken", "voice": "piper", "ttfb": 0.1 + 0.05 * number} for number in range(5)
    ]
    found = first_sounds([{"type": "wake", "t": 3.0}, *spoken, {"type": "reply_stopped"}])

    assert (found.key, found.n, found.note) == ("first_sound", 5, "piper")
    assert found.values["p50"] == pytest.approx(0.2)
    assert found.values["p95"] == pytest.approx(0.29)
    assert verdict(TARGET["first_sound"], found) == "met"
    assert verdict(TARGET["first_sound"], first_sounds([])) == "not measured"


def test_memory_that_breathes_does_not_grow_and_one_that_leaks_does() -> None:
    breathing = [1200.0 + 60 * math.sin(2.4 * minute) for minute in range(50)]
    assert abs(an_hour_of_growth(breathing)) < 10
    leaking = [level + 2 * minute for minute, level in enumerate(breathing)]
    assert 100 < an_hour_of_growth(leaking) < 140
    assert math.isnan(an_hour_of_growth([1200.0]))


def test_the_report_keeps_the_worse_of_two_and_can_be_read_back(tmp_path: Path) -> None:
    live = Finding(key="memory", values={"peak": 1500.0}, n=9)
    hour = Finding(key="memory", values={"peak": 2400.0}, n=9)
    never = Finding(key="wake_latency", values={"p50": 1.0, "p95": math.inf}, n=2)
    unknown = Finding(key="drift", values={"size": math.nan}, n=0)
    result = {
        "when": "now",
        "seconds": 1.0,
        "quick": True,
        "machine": "an abacus",
        "load_after": 0.5,
        "findings": [one.to_dict() for one in (live, hour, never, unknown)],
        "troubles": ["it hums"],
    }

    table = report.write(tmp_path, {"live": result})

    assert "2400" in table and "1500" not in table
    read_back = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    verdicts = {figure["key"]: figure["verdict"] for figure in read_back["figures"]}
    assert verdicts["memory"] == "missed"
    assert verdicts["drift"] == "not measured"
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "an abacus" in text and "it hums" in text
    assert "1.00 / never" in table
    assert Finding.from_dict(never.to_dict()) == never
    assert math.isnan(Finding.from_dict(unknown.to_dict()).values["size"])
