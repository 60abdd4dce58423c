from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from maestra.adapters.senses.music import CrepeMadmomAnalyser, MusicModels
from maestra.core.hearing import FloorLabel
from maestra.core.performance.notes import Beat, Level, MusicEvent, Onset, PerformedNote
from maestra.ports.audio import AudioChunk
from maestra.ports.errors import SensesError

from .sounds import RATE, Sound, line, noise, silence, speech_like, tone

pytestmark = pytest.mark.models


def hear(
    analyser: CrepeMadmomAnalyser,
    sound: Sound,
    *,
    size: int = 8820,
    floor: FloorLabel = FloorLabel.PLAYING,
    start: int = 0,
) -> list[MusicEvent]:
    """What ``analyser`` makes of ``sound``, cut into chunks of ``size``."""
    events: list[MusicEvent] = []
    for first in range(0, len(sound), size):
        chunk = AudioChunk(start=start + first, rate_hz=RATE, samples=sound[first : first + size])
        events += analyser.push(chunk, floor)
    return [*events, *analyser.flush()]


def notes_of(events: Sequence[MusicEvent]) -> list[PerformedNote]:
    found = [event for event in events if isinstance(event, PerformedNote)]
    return sorted(found, key=lambda note: note.onset)


SCALE = (60, 62, 64, 65, 67, 69, 71, 72)


def scale(*, step: float = 0.3, notes: int = len(SCALE)) -> Sound:
    tones = [
        (0.4 + step * i, tone(midi, step * 0.95, decay=1.5, attack=0.005))
        for i, midi in enumerate(SCALE[:notes])
    ]
    return line(tones, 0.4 + step * notes + 0.2)


def test_a_scale_is_heard_note_by_note(analyser: CrepeMadmomAnalyser) -> None:
    notes = notes_of(hear(analyser, scale()))

    assert [note.midi for note in notes] == list(SCALE)
    for i, note in enumerate(notes):
        assert note.onset == pytest.approx(0.4 + 0.3 * i, abs=0.03)
        assert note.duration == pytest.approx(0.285, abs=0.06)
        assert note.deviation_cents == pytest.approx(0, abs=1.5)
        assert -35 < note.loudness_db < -10


def test_the_cut_of_the_sound_changes_nothing(analyser: CrepeMadmomAnalyser) -> None:
    sound = scale(step=0.25, notes=4)

    whole = hear(analyser, sound, size=len(sound))
    assert len(notes_of(whole)) == 4
    for size in (997, 44_100):
        assert hear(analyser, sound, size=size) == whole


def test_events_lie_where_the_sound_lies_in_the_session(analyser: CrepeMadmomAnalyser) -> None:
    """A passage that begins after minutes is the same passage."""
    sound = line([(0.3, tone(69, 0.4)), (0.8, tone(71, 0.4))], 1.3)
    start = 8820 * 3000

    early = notes_of(hear(analyser, sound))
    late = notes_of(hear(analyser, sound, start=start))

    assert [note.onset + start / RATE for note in early] == pytest.approx(
        [note.onset for note in late]
    )


@pytest.mark.parametrize(
    "sound",
    [silence(2), noise(2, -70), noise(2.5, -30), noise(2.5, -12)],
    ids=["silence", "faint noise", "noise", "loud noise"],
)
def test_what_is_no_music_gives_no_notes(analyser: CrepeMadmomAnalyser, sound: Sound) -> None:
    events = hear(analyser, sound)

    assert not [event for event in events if not isinstance(event, Level)]


def test_a_gliding_voice_gives_next_to_no_notes(analyser: CrepeMadmomAnalyser) -> None:
    """Even where the floor detector takes it for music. The turns of its pitch are all there is."""
    events = hear(analyser, speech_like(3))

    assert len(notes_of(events)) <= 2
    assert not [event for event in events if isinstance(event, Beat)]


@pytest.mark.parametrize(
    "floor", [FloorLabel.SPEECH, FloorLabel.SILENCE, FloorLabel.OWN_VOICE, FloorLabel.OTHER]
)
def test_only_music_is_analysed(analyser: CrepeMadmomAnalyser, floor: FloorLabel) -> None:
    assert hear(analyser, scale(), floor=floor) == []


def test_speech_before_music_is_not_looked_back_into(analyser: CrepeMadmomAnalyser) -> None:
    events: list[MusicEvent] = []
    sound = scale()
    border = round(1.6 * RATE / 8820) * 8820
    for floor, first, last in (
        (FloorLabel.SPEECH, 0, border),
        (FloorLabel.SINGING, border, len(sound)),
    ):
        chunk = AudioChunk(start=first, rate_hz=RATE, samples=sound[first:last])
        events += analyser.push(chunk, floor)
    events += analyser.flush()

    assert notes_of(events)
    assert min(note.onset for note in notes_of(events)) >= border / RATE - 0.01


def test_a_note_whose_beginning_was_noticed_late_begins_where_it_does(
    analyser: CrepeMadmomAnalyser,
) -> None:
    """Long bowed tones: the floor is empty between them, and for their first soft moments."""
    onsets = (0.5, 1.63)
    tones = [(at, tone(69 + i, 0.7, attack=0.06)) for i, at in enumerate(onsets)]
    sound = line(tones, 2.6)
    events: list[MusicEvent] = []
    size = 441
    for first in range(0, len(sound), size):
        at = first / RATE
        music = any(onset + 0.15 <= at < onset + 0.8 for onset in onsets)
        chunk = AudioChunk(start=first, rate_hz=RATE, samples=sound[first : first + size])
        events += analyser.push(chunk, FloorLabel.PLAYING if music else FloorLabel.SILENCE)
    events += analyser.flush()

    assert [note.onset for note in notes_of(events)] == pytest.approx(onsets, abs=0.03)


def test_a_noise_between_notes_is_no_note(analyser: CrepeMadmomAnalyser) -> None:
    """A squeak that the floor detector knows for one, in the middle of the music."""
    sound = line([(0.3, tone(60, 0.5)), (1.0, tone(86, 0.3)), (1.6, tone(64, 0.5))], 2.3)
    events: list[MusicEvent] = []
    for first in range(0, len(sound), 441):
        floor = FloorLabel.OTHER if 0.9 <= first / RATE < 1.5 else FloorLabel.PLAYING
        chunk = AudioChunk(start=first, rate_hz=RATE, samples=sound[first : first + 441])
        events += analyser.push(chunk, floor)
    events += analyser.flush()

    assert [note.midi for note in notes_of(events)] == [60, 64]


@pytest.mark.parametrize("midi", [45.33, 69.12, 88.0])
def test_a_steady_tone_is_measured_to_the_cent(analyser: CrepeMadmomAnalyser, midi: float) -> None:
    (note,) = notes_of(hear(analyser, line([(0.3, tone(midi, 1.0))], 1.6)))

    assert note.f0_hz is not None and note.deviation_cents is not None
    assert note.midi == round(midi)
    assert note.deviation_cents == pytest.approx(100 * (midi - round(midi)), abs=1)
    assert 1200 * np.log2(note.f0_hz / 440) == pytest.approx(100 * (midi - 69), abs=1)


def test_vibrato_is_one_note(analyser: CrepeMadmomAnalyser) -> None:
    (note,) = notes_of(hear(analyser, line([(0.3, tone(69, 1.2, vibrato_cents=45))], 1.8)))

    assert note.midi == 69
    assert note.deviation_cents == pytest.approx(0, abs=6)


def test_a_note_played_again_is_another_note(analyser: CrepeMadmomAnalyser) -> None:
    again = [(0.4 + 0.35 * i, tone(67, 0.33, decay=2)) for i in range(3)]

    notes = notes_of(hear(analyser, line(again, 1.7)))

    assert [note.midi for note in notes] == [67] * 3
    assert [note.onset for note in notes] == pytest.approx([at for at, _ in again], abs=0.03)


def test_a_note_taken_up_by_another_bow_is_another_note(analyser: CrepeMadmomAnalyser) -> None:
    """As loud as before and without a gap: only the phases of its partials are new."""
    rng = np.random.default_rng(3)
    t = np.arange(RATE // 2) / RATE
    hz = 440 * 2 ** ((57 - 69) / 12)
    bows: list[Sound] = []
    for _ in range(3):
        phases = rng.uniform(0, 2 * np.pi, 9)
        partials = [np.sin(2 * np.pi * h * hz * t + phases[h]) / h**1.3 for h in range(1, 9)]
        bows.append(np.sum(partials, axis=0).astype(np.float32) * np.float32(0.2))
    whole = np.concatenate(bows)
    for change in (len(t), 2 * len(t)):
        scratch = rng.normal(0, 0.06, 1764) * np.exp(-np.arange(1764) / 500)
        whole[change : change + 1764] += scratch.astype(np.float32)
        whole[change - 441 : change + 441] *= 1 - 0.2 * np.hanning(882).astype(np.float32)

    notes = notes_of(hear(analyser, line([(0.4, whole)], 2.2)))

    assert [note.midi for note in notes] == [57] * 3
    assert [note.onset for note in notes] == pytest.approx([0.4, 0.9, 1.4], abs=0.03)


def test_a_click_does_not_split_a_note(analyser: CrepeMadmomAnalyser) -> None:
    """A metronome beats while a long note sounds."""
    sound = line([(0.3, tone(62, 1.3, decay=0.7))], 2)
    for at in (0.8, 1.2):
        first = round(at * RATE)
        click = noise(0.01, -12) * np.exp(-np.arange(441) / 60, dtype=np.float32)
        sound[first : first + 441] += click

    (note,) = notes_of(hear(analyser, sound))

    assert note.duration > 1.2


def test_chords_have_onsets_and_no_false_pitch(analyser: CrepeMadmomAnalyser) -> None:
    times = [0.4 + 0.6 * i for i in range(4)]
    chords = ((48, 64, 67), (53, 60, 69), (55, 59, 62), (45, 60, 64))
    struck = [
        (at, tone(midi, 0.58, decay=2, attack=0.003, amplitude=0.08))
        for at, chord in zip(times, chords, strict=True)
        for midi in chord
    ]

    events = hear(analyser, line(struck, 3.2))

    onsets = [event.at for event in events if isinstance(event, Onset)]
    for at in times:
        assert min(abs(onset - at) for onset in onsets) < 0.05
    notes = notes_of(events)
    assert notes
    assert all(note.f0_hz is None and note.deviation_cents is None for note in notes)
    together = [sum(abs(note.onset - at) < 0.05 for note in notes) for at in times]
    assert sum(count >= 2 for count in together) >= 3


def test_a_steady_line_has_a_steady_pulse(analyser: CrepeMadmomAnalyser) -> None:
    melody = (60, 62, 64, 60, 67, 65, 64, 62, 60)
    struck = [
        (0.5 + 0.6 * i, tone(midi, 0.55, decay=4, attack=0.003)) for i, midi in enumerate(melody)
    ]

    events = hear(analyser, line(struck, 6.2))

    beats = [event.at for event in events if isinstance(event, Beat)]
    assert len(beats) > 6
    assert beats == sorted(beats)
    assert float(np.median(np.diff(beats))) == pytest.approx(0.6, rel=0.03)


def test_levels_come_every_tenth_of_a_second(analyser: CrepeMadmomAnalyser) -> None:
    sound = line([(0.0, tone(69, 2, attack=0.001))], 2)
    rms_db = 20 * np.log10(np.sqrt(np.mean(np.square(sound[8820:-8820]))))

    levels = [event for event in hear(analyser, sound) if isinstance(event, Level)]

    assert [level.at for level in levels[:15]] == pytest.approx([0.1 * i for i in range(15)])
    assert levels[7].level_db == pytest.approx(rms_db, abs=0.5)


def test_deviations_are_against_the_tuning_asked_for(models: MusicModels) -> None:
    flat = CrepeMadmomAnalyser(models, a4_hz=442)

    (note,) = notes_of(hear(flat, line([(0.3, tone(69, 1))], 2)))

    assert note.f0_hz == pytest.approx(440, abs=0.3)
    assert note.deviation_cents == pytest.approx(1200 * np.log2(440 / 442), abs=1)


def test_a_gap_ends_the_music(analyser: CrepeMadmomAnalyser) -> None:
    """What comes after sound was lost is placed by its own sample numbers."""
    sound = line([(0.3, tone(69, 1))], 2)
    gap = 10 * 8820
    events = list(
        analyser.push(AudioChunk(start=0, rate_hz=RATE, samples=sound), FloorLabel.PLAYING)
    )
    events += hear(analyser, sound, start=len(sound) + gap)

    first, second = notes_of(events)
    assert second.onset - first.onset == pytest.approx((len(sound) + gap) / RATE, abs=0.01)


def test_another_rate_is_refused(analyser: CrepeMadmomAnalyser) -> None:
    with pytest.raises(SensesError, match="44100"):
        analyser.push(AudioChunk(start=0, rate_hz=48_000, samples=silence(0.1)), FloorLabel.PLAYING)
