"""``analyse`` from its parts: the floor's word in time, the takes, the JSON, the picture."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve, fields
from matplotlib.figure import Figure as Figures
from numpy.typing import NDArray

from maestra.app import composition
from maestra.app.analysis import Analysis, analyse_sound, plot
from maestra.app.cli import main
from maestra.app.cli.analyse import report
from maestra.core.hearing import (
    FloorChanged,
    FloorEvent,
    FloorLabel,
    Instrument,
    InstrumentHeard,
)
from maestra.core.media_time import from_samples, from_seconds
from maestra.core.performance.figure import UNITS, Figure
from maestra.core.performance.notes import Beat, Level, MusicEvent, Onset, PerformedNote
from maestra.core.performance.observations import observe
from maestra.core.performance.summary import (
    ForeignNote,
    Hesitation,
    LoudNote,
    MissedNotes,
    PitchClassIntonation,
    TakeSummary,
)
from maestra.ports.audio import EAR_RATE_HZ, AudioChunk
from maestra.ports.errors import StreamError

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "analysis.md"


class ScriptedFloor:
    """Says what it was told, ``delay`` seconds late."""

    def __init__(self, script: Sequence[tuple[float, FloorLabel]], delay: float = 0.4) -> None:
        self._script = list(script)
        self._delay = delay

    def push(self, chunk: AudioChunk) -> Sequence[FloorEvent]:
        now = chunk.end / chunk.rate_hz
        told = [one for one in self._script if one[0] + self._delay <= now]
        self._script = self._script[len(told) :]
        return [
            FloorChanged(
                at=from_samples(chunk.end, chunk.rate_hz), since=from_seconds(since), label=label
            )
            for since, label in told
        ]


class ScriptedMusic:
    """Reports a note half a second after its end, if it was told that there was music."""

    def __init__(self, notes: Sequence[PerformedNote]) -> None:
        self._notes = list(notes)
        self.labels: list[tuple[float, FloorLabel]] = []

    def push(self, chunk: AudioChunk, floor: FloorLabel) -> Sequence[MusicEvent]:
        self.labels.append((chunk.start / chunk.rate_hz, floor))
        return self._until(chunk.end / chunk.rate_hz)

    def flush(self) -> Sequence[MusicEvent]:
        return self._until(float("inf"))

    def _until(self, now: float) -> list[MusicEvent]:
        ended = [note for note in self._notes if note.offset + 0.5 <= now]
        self._notes = self._notes[len(ended) :]
        events: list[MusicEvent] = []
        for note in ended:
            events += [
                Onset(at=note.onset, strength=1, loudness_db=-20),
                note,
                Beat(at=note.onset),
                Level(at=note.onset, level_db=note.loudness_db),
            ]
        return events


def sound(seconds: float) -> Iterator[NDArray[np.float32]]:
    for _ in range(round(seconds * 50)):
        yield np.zeros(882, dtype=np.float32)


def melody(start: float, count: int, step: float = 0.5) -> list[PerformedNote]:
    return [
        PerformedNote(
            onset=start + step * i,
            duration=0.9 * step,
            midi=60 + (0, 2, 4, 5, 7)[i % 5],
            f0_hz=440.0 * 2 ** ((60 + (0, 2, 4, 5, 7)[i % 5] - 69) / 12),
            deviation_cents=20.0 if i % 2 else -20.0,
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    notes = [*melody(1.0, 16), *melody(15.0, 16)]
    floor = ScriptedFloor(
        [
            (1.0, FloorLabel.PLAYING),
            (9.2, FloorLabel.SPEECH),
            (11.0, FloorLabel.SILENCE),
            (15.0, FloorLabel.PLAYING),
            (23.0, FloorLabel.SILENCE),
        ]
    )
    return analyse_sound(sound(26), floor=floor, music=ScriptedMusic(notes))


def test_the_music_is_heard_with_the_floor_that_was_known_later() -> None:
    music = ScriptedMusic([])
    floor = ScriptedFloor([(1.0, FloorLabel.PLAYING), (2.0, FloorLabel.SILENCE)])

    analyse_sound(sound(4), floor=floor, music=music)

    playing = [at for at, label in music.labels if label is FloorLabel.PLAYING]
    assert len(music.labels) == 200
    assert [min(playing), max(playing)] == pytest.approx([1.0, 1.98])


def test_an_instrument_is_laid_beside_the_notes_it_was_heard_with() -> None:
    class Known(ScriptedFloor):
        def push(self, chunk: AudioChunk) -> Sequence[FloorEvent]:
            told: list[FloorEvent] = [*super().push(chunk)]
            if chunk.end == 16_000 * 20:
                at = from_samples(chunk.end, chunk.rate_hz)
                since = from_seconds(17.0)
                told.append(InstrumentHeard(at=at, since=since, instrument=Instrument.CELLO))
            return told

    floor = Known(
        [(1.0, FloorLabel.PLAYING), (9.2, FloorLabel.SILENCE), (15.0, FloorLabel.PLAYING)]
    )
    notes = [*melody(1.0, 16), *melody(15.0, 16)]
    found = analyse_sound(sound(26), floor=floor, music=ScriptedMusic(notes)).to_dict()

    assert [None, "cello"] == [take["instrument"] for take in found["takes"]]
    assert "2 takes, 32 notes, 120 beats a minute, cello" == next(report(found))


def test_takes_tempo_and_notes_are_found(analysis: Analysis) -> None:
    content = json.loads(analysis.to_json())

    assert content["duration"] == 26
    assert len(content["notes"]) == 32
    assert set(content["notes"][0]) >= {
        "onset",
        "offset",
        "midi",
        "f0_hz",
        "deviation_cents",
        "confidence",
    }
    assert content["beats"] == sorted(content["beats"])
    assert [take["number"] for take in content["takes"]] == [1, 2]
    assert content["takes"][1]["start"] == pytest.approx(15, abs=0.1)
    assert content["tempo_bpm"] == pytest.approx(120, rel=0.02)
    for observation in content["observations"]:
        assert set(observation) >= {"kind", "start", "end", "text", "facts"}


def test_long_notes_with_rests_between_are_one_take() -> None:
    """A note is known only when it is over; until then the music has not stopped."""
    notes = melody(1.0, 4, step=4.2)
    floor = ScriptedFloor(
        [
            change
            for note in notes
            for change in (
                (note.onset, FloorLabel.PLAYING),
                (note.offset + 0.1, FloorLabel.SILENCE),
            )
        ]
    )

    found = analyse_sound(sound(20), floor=floor, music=ScriptedMusic(notes))

    (take,) = found.summary.takes
    assert take.note_count.value == 4


def test_nothing_gives_an_empty_answer(tmp_path: Path) -> None:
    empty = analyse_sound(sound(1), floor=ScriptedFloor([]), music=ScriptedMusic([]))

    content = json.loads(empty.to_json())
    plot(empty, tmp_path / "empty.png")

    assert content["tempo_bpm"] is None
    assert content["notes"] == content["beats"] == content["takes"] == []
    assert (tmp_path / "empty.png").stat().st_size > 1000


def test_the_page_tells_of_every_field(analysis: Analysis) -> None:
    place: dict[str, Any] = {"at": 2.0, "place": "at the start"}
    figure = Figure(value=1.0, unit="s", confidence=1.0, start=0.0, end=1.0)
    note: dict[str, Any] = {"midi": 60, "name": "C"}
    figures: dict[str, Any] = {
        one.name: figure for one in fields(TakeSummary) if one.default is None
    }
    take = evolve(
        analysis.summary.takes[0],
        pitch_classes=(PitchClassIntonation(pitch_class=0, name="C", deviation=figure, count=1),),
        hesitations=(Hesitation(**place, gap=figure, since_start=figure),),
        missed=(MissedNotes(**place, count=1, confidence=1.0, since_start=figure),),
        foreign=(ForeignNote(**place, **note, confidence=1.0, since_start=figure),),
        loud=(LoudNote(**place, midi=60, excess=figure),),
        **figures,
    )
    take = evolve(take, fixed_pitch=True, key="C major", dynamics_shape="level")
    summary = evolve(analysis.summary, takes=(take,))
    content = evolve(analysis, summary=summary, observations=observe(summary)).to_dict()

    page = PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^#+ (.*)$", page, flags=re.MULTILINE)
    tables = {
        heading: set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
        for heading, text in zip(parts[1::2], parts[2::2], strict=True)
    }
    (measured,) = content["summary"]["takes"]
    assert {
        "What `maestra analyse --json` prints": set(content),
        "A note": set(content["notes"][0]),
        "A take": set(content["takes"][0]),
        "An observation": set(content["observations"][0]),
        "The summary": set(),
        "A take's figures": set(measured),
    } == tables
    for name in (*content["summary"], *UNITS, *measured["tempo_bpm"]):
        assert f"`{name}`" in page, name
    for name in ("hesitations", "missed", "foreign", "loud"):
        (row,) = re.findall(rf"^\| `{name}` \|.*$", page, re.MULTILINE)
        assert {name, *measured[name][0]} == set(re.findall(r"`(\w+)`", row))


def test_the_picture_is_written(analysis: Analysis, tmp_path: Path) -> None:
    plot(analysis, tmp_path / "lesson.png")

    assert (tmp_path / "lesson.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_shows_what_was_measured(
    analysis: Analysis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(Figures, "savefig", lambda figure, *_, **__: drawn.append(figure))
    plot(analysis, tmp_path / "lesson.png")
    (picture,) = drawn
    pitch, tuning, tempo, level, _colours = picture.axes

    assert "2 takes  ·  32 notes  ·  120 beats a minute" == picture.get_suptitle()
    labels = ["pitch", "tuning, cents", "beats a minute", "level, dBFS"]
    assert labels == [row.get_ylabel() for row in picture.axes[:4]]
    assert ("seconds", (0, 26)) == (level.get_xlabel(), level.get_xlim())
    for row in picture.axes[:4]:
        spans = [(p.get_x(), p.get_x() + p.get_width()) for p in row.patches[-2:]]
        assert spans == [(take.start, take.end) for take in analysis.summary.takes]

    bars = [bar for (bar,) in pitch.containers]
    assert [(n.onset, n.duration, n.midi) for n in analysis.notes] == [
        pytest.approx((bar.get_x(), bar.get_width(), bar.get_y() + bar.get_height() / 2))
        for bar in bars
    ]
    upright = [x[0] for x in (line.get_xdata() for line in pitch.lines) if x[0] == x[1]]
    assert [beat.at for beat in analysis.beats] == upright
    names = [tick.get_text() for tick in pitch.get_yticklabels()]
    assert {"C4", "D4", "E4", "F4", "G4"} <= set(names)

    (dots,) = [one for one in tuning.collections if len(one.get_offsets()) > 1]
    assert [n.deviation_cents for n in analysis.notes] == dots.get_offsets()[:, 1].tolist()
    curves = [line for line in tempo.lines if len(line.get_xdata())]
    assert 2 == len(curves)
    for curve in curves:
        assert curve.get_ydata() == pytest.approx(120, rel=0.03)
    (area,) = level.collections
    heights = area.get_paths()[0].vertices[:, 1]
    assert {-60.0, -30.0} == set(heights.tolist())


def test_a_picture_of_no_known_kind_is_refused(analysis: Analysis, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="xyz"):
        plot(analysis, tmp_path / "lesson.xyz")


def test_the_ear_is_what_the_scripts_assume() -> None:
    assert EAR_RATE_HZ == 882 * 50


class Damaged:
    """A recording that breaks off after ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def chunks(self) -> Iterator[NDArray[np.float32]]:
        yield from sound(self._seconds)
        raise StreamError("a.flac is damaged after all.")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("seconds", [20.0, 0.0])
def test_what_was_heard_of_a_damaged_recording_is_reported(
    seconds: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    floor, music = ScriptedFloor([(1.0, FloorLabel.PLAYING)]), ScriptedMusic(melody(1.0, 16))
    monkeypatch.setattr(composition, "ingest", lambda settings: Damaged(seconds))
    monkeypatch.setattr(composition, "floor", lambda config: floor)
    monkeypatch.setattr(composition, "music", lambda config: music)
    picture = tmp_path / "a.png"

    assert main(["analyse", "a.flac", "--json", "--plot", str(picture)]) == 3

    printed = capsys.readouterr()
    assert printed.err == "maestra: a.flac is damaged after all.\n"
    assert picture.exists() is bool(seconds)
    if seconds:
        assert len(json.loads(printed.out)["notes"]) == 16
    else:
        assert printed.out == ""
