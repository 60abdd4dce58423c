"""What was played in a recording: the offline way through the senses and the summary.

The same detectors as in a lesson hear a whole file, without a teacher. Instants are seconds from
the start of the file.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from attrs import evolve, frozen

from maestra.core.hearing import FloorLabel, InstrumentHeard
from maestra.core.media_time import MediaTime, from_samples, from_seconds, to_seconds
from maestra.core.performance.accumulator import PerformanceAccumulator
from maestra.core.performance.beside import BesideTheMusic
from maestra.core.performance.notes import Beat, Level, MusicEvent, Onset, PerformedNote
from maestra.core.performance.observations import Observation, observe
from maestra.core.performance.summary import PerformanceSummary
from maestra.ports.audio import EAR_RATE_HZ, SPEECH_RATE_HZ, AudioChunk
from maestra.ports.errors import StreamError
from maestra.ports.senses import FloorDetector, MusicAnalyser

from .hearing import Resampler

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

    from .config import Config

__all__ = ["Analysis", "analyse", "analyse_sound", "plot"]

_Event = TypeVar("_Event", PerformedNote, Onset, Beat, Level)

_HOLD = from_seconds(0.6)
"""How long the music analysis waits for the floor detector's word, as in a lesson."""

_SETTLED = 1.0
"""Seconds after a note's end in which it is reported, and a rest after it is none yet."""


@frozen(kw_only=True)
class Analysis:
    """What was measured. ``floor`` says from when on which label held; ``damage``, if the recording
    could not be heard whole, why."""

    duration: float
    notes: tuple[PerformedNote, ...]
    onsets: tuple[Onset, ...]
    beats: tuple[Beat, ...]
    levels: tuple[Level, ...]
    floor: tuple[tuple[float, FloorLabel], ...]
    summary: PerformanceSummary
    observations: tuple[Observation, ...]
    damage: StreamError | None = None

    @property
    def tempo_bpm(self) -> float | None:
        """The tempo of the longest take whose tempo could be measured."""
        return self._of_longest("tempo_bpm")

    @property
    def alternative_bpm(self) -> float | None:
        """Likewise, if another beat is counted as likely."""
        return self._of_longest("alternative_bpm")

    def _of_longest(self, name: str) -> float | None:
        measured = [take for take in self.summary.takes if take.tempo_bpm is not None]
        longest = max(measured, key=lambda take: take.end - take.start, default=None)
        figure = None if longest is None else getattr(longest, name)
        return None if figure is None else float(figure.value)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "duration": round(self.duration, 3),
            "notes": [_note(note) for note in self.notes],
            "beats": [round(beat.at, 3) for beat in self.beats],
            "tempo_bpm": None if self.tempo_bpm is None else round(self.tempo_bpm, 2),
            "alternative_bpm": None
            if self.alternative_bpm is None
            else round(self.alternative_bpm, 2),
            "takes": [
                {
                    "number": take.number,
                    "start": round(take.start, 3),
                    "end": round(take.end, 3),
                    "notes": round(take.note_count.value),
                    "instrument": take.instrument,
                    "tempo_bpm": None if take.tempo_bpm is None else round(take.tempo_bpm.value, 2),
                }
                for take in self.summary.takes
            ],
            "summary": self.summary.to_dict(),
            "observations": [_observation(each) for each in self.observations],
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)


def _note(note: PerformedNote) -> dict[str, object]:
    return {
        "onset": round(note.onset, 4),
        "offset": round(note.offset, 4),
        "midi": note.midi,
        "f0_hz": None if note.f0_hz is None else round(note.f0_hz, 3),
        "deviation_cents": None if note.deviation_cents is None else round(note.deviation_cents, 1),
        "loudness_db": round(note.loudness_db, 1),
        "confidence": round(note.confidence, 3),
    }


def _observation(observation: Observation) -> dict[str, object]:
    return {
        "kind": observation.kind.value,
        "take": observation.take,
        "start": round(observation.start, 3),
        "end": round(observation.end, 3),
        "place": observation.place,
        "salience": round(observation.salience, 3),
        "text": observation.text,
        "facts": {
            name: {
                "value": round(figure.value, 3),
                "unit": figure.unit,
                "confidence": round(figure.confidence, 3),
                "start": round(figure.start, 3),
                "end": round(figure.end, 3),
            }
            for name, figure in observation.facts.items()
        },
        "names": dict(observation.names),
    }


# --- hearing it -------------------------------------------------------------------------------


def analyse(path: Path, config: Config) -> Analysis:
    """Measure the recording at ``path``, with what ``config`` names. What can be heard of a damaged
    one is measured.

    :raises MaestraError: it cannot be read, a model is missing, or a model failed.
    """
    from . import composition
    from .workers.ingest import IngestSettings

    ingest = composition.ingest(IngestSettings(url=composition.stream_url(str(path)), fast=True))
    chunks = ingest.chunks()
    damage: StreamError | None = None

    def heard(first: Sequence[Samples]) -> Iterator[Samples]:
        nonlocal damage
        yield from first
        try:
            yield from chunks
        except StreamError as error:
            damage = error

    try:
        first = [*islice(chunks, 1)]  # what cannot be read is said before models are loaded
        found = analyse_sound(
            heard(first), floor=composition.floor(config), music=composition.music(config)
        )
    finally:
        ingest.close()
    return evolve(found, damage=damage)


def analyse_sound(
    chunks: Iterable[Samples], *, floor: FloorDetector, music: MusicAnalyser
) -> Analysis:
    """Measure mono sound at 44.1 kHz that comes in ``chunks``.

    :raises SensesError: a detector failed.
    """
    heard: list[MusicEvent] = []
    accumulator = PerformanceAccumulator()
    labels: list[tuple[float, FloorLabel]] = []
    beside = BesideTheMusic(accumulator)
    samples = 0

    def take_in(events: Iterable[MusicEvent], until: float) -> None:
        for event in events:
            accumulator.add(event)
            heard.append(event)
        beside.analysed(until)

    for chunk, label, changed in _labelled(chunks, floor, labels, beside):
        samples = chunk.end
        for at, before, after in changed:
            beside.floor_changed(at, before, after)
            if after.is_speech:
                beside.speech(at)
        take_in(music.push(chunk, label), samples / EAR_RATE_HZ - _SETTLED)
    take_in(music.flush(), samples / EAR_RATE_HZ)
    summary = accumulator.summary()
    return Analysis(
        duration=samples / EAR_RATE_HZ,
        notes=_in_order(PerformedNote, heard),
        onsets=_in_order(Onset, heard),
        beats=_in_order(Beat, heard),
        levels=_in_order(Level, heard),
        floor=tuple(labels),
        summary=summary,
        observations=observe(summary),
    )


def _in_order(kind: type[_Event], events: Iterable[MusicEvent]) -> tuple[_Event, ...]:
    def at(event: _Event) -> float:
        return event.onset if isinstance(event, PerformedNote) else event.at

    return tuple(sorted((one for one in events if isinstance(one, kind)), key=at))


_Change = tuple[float, FloorLabel, FloorLabel]
"""When the floor changed, from what, to what."""


def _labelled(
    chunks: Iterable[Samples],
    floor: FloorDetector,
    labels: list[tuple[float, FloorLabel]],
    beside: BesideTheMusic,
) -> Iterator[tuple[AudioChunk, FloorLabel, tuple[_Change, ...]]]:
    """Each chunk with the label that the floor detector gave it in the end, and what changed.

    :param labels: filled with the labels and since when they hold (s).
    :param beside: is told which instrument plays, as soon as that is known.
    """
    resampler = Resampler()
    held: deque[AudioChunk] = deque()
    known: deque[tuple[MediaTime, FloorLabel]] = deque()
    current = FloorLabel.SILENCE
    start = low = 0

    def listen(blocks: Iterable[Samples]) -> None:
        nonlocal low
        for block in blocks:
            chunk = AudioChunk(start=low, rate_hz=SPEECH_RATE_HZ, samples=block)
            low = chunk.end
            for change in floor.push(chunk):
                if isinstance(change, InstrumentHeard):
                    at, since = to_seconds(change.at), to_seconds(change.since)
                    beside.instrument(at, since, change.instrument)
                    continue
                known.append((change.since, change.label))
                labels.append((to_seconds(change.since), change.label))

    def release(judged: MediaTime | None) -> Iterator[tuple[AudioChunk, FloorLabel, Any]]:
        nonlocal current
        while held:
            begin = from_samples(held[0].start, EAR_RATE_HZ)
            if judged is not None and begin + _HOLD > judged:
                return
            changes: list[_Change] = []
            while known and known[0][0] <= begin:
                since, label = known.popleft()
                changes.append((to_seconds(since), current, label))
                current = label
            yield held.popleft(), current, tuple(changes)

    for samples in chunks:
        held.append(AudioChunk(start=start, rate_hz=EAR_RATE_HZ, samples=samples))
        start += len(samples)
        listen(resampler.push(samples))
        yield from release(from_samples(low, SPEECH_RATE_HZ))
    listen(resampler.flush())
    yield from release(None)


# --- drawing it -------------------------------------------------------------------------------

_INK = "#22303c"
_PAPER = "#fbfaf7"
_GRID = "#dcd8cf"
_QUIET_INK = "#7a8790"
_TAKE = "#f1ede3"
_BEAT = "#c9c3b6"
_TEMPO = "#b5523b"
_LEVEL = "#5b7f95"
_NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
_WIDEST_CENTS = 50.0


def plot(analysis: Analysis, path: Path) -> None:
    """Draw ``analysis`` to ``path``: pitch and notes, tuning, tempo and beats, level.

    :raises OSError: it cannot be written.
    :raises ValueError: the file name's ending is not one of a picture.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Mapping[str, Any] = {
        "font.size": 9,
        "axes.edgecolor": _GRID,
        "axes.labelcolor": _INK,
        "axes.facecolor": _PAPER,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.facecolor": _PAPER,
        "grid.color": _GRID,
        "grid.linewidth": 0.6,
        "text.color": _INK,
        "xtick.color": _QUIET_INK,
        "ytick.color": _QUIET_INK,
    }
    with mpl.rc_context(dict(style)):
        width = float(np.clip(6 + analysis.duration / 4, 10, 24))
        figure = Figure(figsize=(width, 8.4), layout="constrained")
        FigureCanvasAgg(figure)
        rows = figure.subplots(
            4, 1, sharex=True, gridspec_kw={"height_ratios": (4.2, 1.3, 1.5, 1.1)}
        )
        _draw_notes(figure, rows[0], analysis)
        _draw_tuning(rows[1], analysis)
        _draw_tempo(rows[2], analysis)
        _draw_level(rows[3], analysis)
        for axes in rows:
            for take in analysis.summary.takes:
                axes.axvspan(take.start, take.end, color=_TAKE, zorder=0, linewidth=0)
            axes.tick_params(length=0)
            axes.set_axisbelow(True)
        rows[-1].set_xlim(0, max(analysis.duration, 1))
        rows[-1].set_xlabel("seconds")
        figure.suptitle(_title(analysis), x=0.01, ha="left", fontsize=11, color=_INK)
        figure.savefig(path, dpi=130)


def _title(analysis: Analysis) -> str:
    takes, notes = len(analysis.summary.takes), len(analysis.notes)
    parts = [f"{takes} take{'' if takes == 1 else 's'}", f"{notes} note{'' if notes == 1 else 's'}"]
    if analysis.tempo_bpm is not None:
        parts.append(f"{analysis.tempo_bpm:.0f} beats a minute")
    return "  ·  ".join(parts)


def _draw_notes(figure: Any, axes: Any, analysis: Analysis) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    colours, scale = colormaps["coolwarm"], Normalize(-_WIDEST_CENTS, _WIDEST_CENTS)
    for beat in analysis.beats:
        axes.axvline(beat.at, color=_BEAT, linewidth=0.7, zorder=1)
    for note in analysis.notes:
        colour = "#9aa39a" if note.deviation_cents is None else colours(scale(note.deviation_cents))
        strength = float(np.clip((note.loudness_db + 50) / 40, 0.25, 1))
        axes.barh(
            note.midi,
            note.duration,
            left=note.onset,
            height=0.78,
            color=colour,
            alpha=0.35 + 0.65 * strength,
            edgecolor=_INK,
            linewidth=0.4,
            zorder=3,
        )
        if note.deviation_cents is not None:
            sung = note.midi + note.deviation_cents / 100
            axes.plot([note.onset, note.offset], [sung, sung], color=_INK, linewidth=1.1, zorder=4)
    if analysis.notes:
        pitches = [note.midi for note in analysis.notes]
        low, high = min(pitches) - 2, max(pitches) + 2
        axes.set_ylim(low, high)
        step = 1 if high - low < 26 else 2 if high - low < 50 else 12
        shown = [midi for midi in range(low, high + 1) if midi % step == 0]
        axes.set_yticks(shown, [f"{_NAMES[midi % 12]}{midi // 12 - 1}" for midi in shown])
        axes.grid(axis="y")
        bar = figure.colorbar(
            ScalarMappable(scale, colours), ax=axes, pad=0.008, aspect=28, fraction=0.02
        )
        bar.set_label("flat   cents   sharp", color=_QUIET_INK)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
    axes.set_ylabel("pitch")


def _draw_tuning(axes: Any, analysis: Analysis) -> None:
    tuned = [note for note in analysis.notes if note.deviation_cents is not None]
    axes.axhline(0, color=_QUIET_INK, linewidth=0.8)
    axes.axhspan(-10, 10, color=_GRID, alpha=0.5, linewidth=0, zorder=1)
    axes.vlines(
        [(note.onset + note.offset) / 2 for note in tuned],
        0,
        [note.deviation_cents for note in tuned],
        color=_LEVEL,
        linewidth=1.2,
        zorder=3,
    )
    axes.scatter(
        [(note.onset + note.offset) / 2 for note in tuned],
        [note.deviation_cents for note in tuned],
        s=12,
        color=_LEVEL,
        zorder=4,
    )
    axes.set_ylim(-_WIDEST_CENTS, _WIDEST_CENTS)
    axes.set_yticks((-25, 0, 25))
    axes.set_ylabel("tuning, cents")


def _draw_tempo(axes: Any, analysis: Analysis) -> None:
    at = np.array([beat.at for beat in analysis.beats])
    tempi: list[float] = []
    for take in analysis.summary.takes:
        curve = take.tempo_curve
        axes.plot(
            [point.at for point in curve],
            [point.tempo_bpm for point in curve],
            color=_TEMPO,
            linewidth=1.8,
            zorder=4,
        )
        tempi += [point.tempo_bpm for point in curve]
    if len(at) > 1:
        local = 60 / np.diff(at)
        near = (local > 30) & (local < 240)
        axes.scatter(at[1:][near], local[near], s=9, color=_BEAT, zorder=3, label="beat by beat")
        tempi = tempi or local[near].tolist()
    if tempi:
        low, high = min(tempi), max(tempi)
        room = max(8.0, 0.25 * (high - low))
        axes.set_ylim(max(low - room, 0), high + room)
        axes.grid(axis="y")
    else:
        axes.set_yticks(())
    axes.set_ylabel("beats a minute")


def _draw_level(axes: Any, analysis: Analysis) -> None:
    count = int(np.ceil(analysis.duration * 10)) + 1
    level = np.full(count, -60.0)
    for one in analysis.levels:
        level[min(max(round(one.at * 10), 0), count - 1)] = one.level_db
    axes.fill_between(
        np.arange(count) / 10, -60, level, step="post", color=_LEVEL, alpha=0.55, linewidth=0
    )
    axes.set_ylim(-60, 0)
    axes.set_yticks((-60, -40, -20, 0))
    axes.set_ylabel("level, dBFS")
