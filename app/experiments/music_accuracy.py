"""How well the music analysis hears: ``python -m maestra.app.experiments.music_accuracy FOLDER``.

FOLDER holds recordings and a ``manifest.json`` that says what is known of them: a list of objects
with ``file``, ``kind`` and ``truth``, whose ``notes`` have ``onset``, ``offset`` and ``midi`` (with
``cents``) or ``hz``, and which may give ``tempo_bpm`` (and ``tempo_bpm_end``) or, for a single
tone, ``midi``.

All of it counts as music, which measures the music analysis alone; with ``--floor`` the floor
detector says what is music, as in a lesson, and what it takes for something else is not analysed.

Conventions
-----------
Onsets match within 50 ms and in pairs, best first; the F-measure is the harmonic mean of how many
that were found are true and how many that are true were found. A pitch is right within half a
semitone. Tempo is right within 3 percent, at any metrical level if halved or doubled says so.
Real-time factors are processor time over the sound's duration, on one core (with ``--floor``,
that of both).

Source: the onset measure is that of MIREX, as ``mir_eval`` has it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from attrs import frozen

from maestra.core.hearing import FloorChanged, FloorLabel
from maestra.core.media_time import MediaTime
from maestra.core.performance.notes import PerformedNote
from maestra.ports.audio import AudioChunk
from maestra.ports.senses import FloorDetector, MusicAnalyser

from .. import composition
from ..analysis import analyse_sound
from ..config import Config
from ..workers.ingest import IngestSettings

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["NoteScore", "compare_notes", "main"]

_WINDOW = 0.05


@frozen(kw_only=True)
class NoteScore:
    """``lag`` (s) is the median of found minus true onset; ``cents`` are absolute errors of the
    pitch of matched notes; ``offset_lag`` (s) is the median of found minus true ends."""

    f_measure: float
    precision: float
    recall: float
    right_pitch: float
    lag: float
    offset_lag: float
    cents: tuple[float, ...]


def compare_notes(
    reference: Sequence[Mapping[str, Any]], estimated: Sequence[PerformedNote]
) -> NoteScore:
    """Compare the notes that were found with those that were played."""
    pairs = sorted(
        (abs(note.onset - true["onset"]), i, j)
        for i, true in enumerate(reference)
        for j, note in enumerate(estimated)
        if abs(note.onset - true["onset"]) <= _WINDOW
    )
    matched: dict[int, int] = {}
    for _, i, j in pairs:
        if i not in matched and j not in matched.values():
            matched[i] = j
    both = [(reference[i], estimated[j]) for i, j in matched.items()]
    precision = len(both) / max(len(estimated), 1)
    recall = len(both) / max(len(reference), 1)
    errors = [_cents_off(true, note) for true, note in both]
    return NoteScore(
        f_measure=2 * precision * recall / max(precision + recall, 1e-9),
        precision=precision,
        recall=recall,
        right_pitch=fmean([abs(error) < 60 for error in errors]) if errors else 0.0,
        lag=median([note.onset - true["onset"] for true, note in both]) if both else 0.0,
        offset_lag=median([note.offset - true["offset"] for true, note in both]) if both else 0.0,
        cents=tuple(
            abs(error)
            for error, (_, note) in zip(errors, both, strict=True)
            if note.f0_hz is not None
        ),
    )


def _cents_off(true: Mapping[str, Any], note: PerformedNote) -> float:
    played: float
    if "midi" in true:
        played = true["midi"] + true.get("cents", 0.0) / 100
    else:
        played = 69 + 12 * math.log2(true["hz"] / 440)
    return 100 * (note.midi - played) + (note.deviation_cents or 0.0)


def _sound(path: Path) -> Iterator[Samples]:
    ingest = composition.ingest(IngestSettings(url=composition.stream_url(str(path)), fast=True))
    try:
        yield from ingest.chunks()
    finally:
        ingest.close()


@frozen(kw_only=True)
class _Heard:
    """``spent`` is processor time; both it and ``duration`` are in seconds."""

    notes: tuple[PerformedNote, ...]
    tempo_bpm: float | None
    duration: float
    spent: float


class _AllMusic:
    """A floor detector that hears nothing but music."""

    def push(self, chunk: AudioChunk) -> list[FloorChanged]:
        if chunk.start:
            return []
        return [FloorChanged(at=MediaTime(0), label=FloorLabel.PLAYING, since=MediaTime(0))]


def _hear(music: MusicAnalyser, floor: FloorDetector, path: Path) -> _Heard:
    chunks = list(_sound(path))
    began = time.process_time()
    analysis = analyse_sound(chunks, floor=floor, music=music)
    return _Heard(
        notes=analysis.notes,
        tempo_bpm=analysis.tempo_bpm,
        duration=analysis.duration,
        spent=time.process_time() - began,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every recording of music in a folder, print a line each and the figures in all."""
    parser = argparse.ArgumentParser(prog="music_accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--floor", action="store_true", help="let the floor detector say what is music"
    )
    options = parser.parse_args(arguments)
    folder: Path = options.folder
    if not (folder / "manifest.json").is_file():
        print(f"skipped: there is no manifest.json in {folder}")
        return 0
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    analyser = composition.music(Config())

    scores: list[NoteScore] = []
    tones: list[float] = []
    tempi: list[tuple[float, bool]] = []
    invented = unheard = duration_all = spent_all = 0.0
    for entry in manifest:
        truth, path = entry.get("truth") or {}, folder / entry["file"]
        if entry["kind"] not in ("music", "noise") or not path.is_file():
            continue
        floor = composition.floor(Config()) if options.floor else _AllMusic()
        heard = _hear(analyser, floor, path)
        notes, duration, spent = heard.notes, heard.duration, heard.spent
        told = f"{entry['file']:<44} rtf {spent / duration:.2f}  {len(notes):3} notes"
        if entry["kind"] == "noise":
            invented, unheard = invented + len(notes), unheard + duration
            print(told)
            continue
        duration_all, spent_all = duration_all + duration, spent_all + spent
        if truth.get("notes"):
            score = compare_notes(truth["notes"], notes)
            scores.append(score)
            told += (
                f"  F {score.f_measure:.3f} (P {score.precision:.2f}, R {score.recall:.2f})"
                f"  pitch {score.right_pitch:.2f}  lag {1000 * score.lag:+.0f} ms"
                f"  end {1000 * score.offset_lag:+.0f} ms"
            )
            if score.cents:
                told += f"  {median(score.cents):.1f} cents off"
        elif "midi" in truth:
            main_note = max(notes, key=lambda note: note.duration, default=None)
            if main_note is not None and main_note.f0_hz is not None:
                off = _cents_off(truth, main_note)
                tones.append(abs(off))
                told += f"  {off:+.1f} cents from the nominal pitch"
        if "tempo_bpm" in truth:
            found = heard.tempo_bpm
            low, high = sorted((truth["tempo_bpm"], truth.get("tempo_bpm_end", 0) or 0))
            low = low or high
            right = found is not None and 0.97 * low <= found <= 1.03 * high
            off_level = found is not None and any(
                0.97 * low <= found * by <= 1.03 * high for by in (0.5, 2)
            )
            tempi.append((found or 0.0, right))
            told += f"  tempo {'-' if found is None else f'{found:.1f}'} of {low:.0f}"
            told += "" if right else " (another level)" if off_level else " (wrong)"
        print(told, flush=True)

    print()
    if scores:
        print(f"onsets, F-measure at 50 ms, mean of {len(scores)} recordings:", end=" ")
        print(f"{fmean(score.f_measure for score in scores):.3f}")
        print(f"pitch right, of matched notes: {fmean(score.right_pitch for score in scores):.3f}")
        cents = [error for score in scores for error in score.cents]
        print(f"pitch of {len(cents)} matched notes: median error {median(cents):.1f} cents")
    if tones:
        print(f"{len(tones)} single tones: median {median(tones):.1f} cents from nominal")
    if tempi:
        print(f"tempo within 3 percent: {sum(right for _, right in tempi)} of {len(tempi)}")
    if unheard:
        print(f"notes in {unheard:.0f} s of noise: {invented:.0f}")
    if duration_all:
        print(f"real-time factor on {duration_all:.0f} s: {spent_all / duration_all:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
