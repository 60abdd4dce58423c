"""The bench's parts. Each runs the product, measures, and yields what it found."""

from __future__ import annotations

import json
import math
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from attrs import define, field, frozen

from maestra.core.performance.notes import PerformedNote
from maestra.core.performance.observations import ObservationKind

from ...config import Config
from ...demo.latencies import Recording, published_at
from ..made_performances import Detector, Fault, MadePerformance, Player, make_performance
from ..music_accuracy import compare_notes
from ..tempo_accuracy import TempoScores
from . import faces, live, material, measures, script, sounds, steady
from .figures import Finding, quantiles
from .live import Held
from .material import Clip, ToneNote
from .recording import Seen, load
from .script import Event

__all__ = ["PARTS", "Bench", "first_sounds", "rendered_notes"]

_NEW_PICTURE = 0.004
"""Mean change (0 to 255) above which a picture counts as a new one."""


_STEADY_TAKES, _STEADY_SEED = 48, 31
"""The seed was chosen before anything was heard of it, and nothing was tuned to it."""

_FEWEST_NOTES = 7
"""So few notes have no pulse: there is no tempo to find, and none may be stated."""

_DRIFT_SPAN = 240.0
"""Seconds over which replies must lie to tell a drift from chance."""


@define
class Bench:
    """How to measure. ``out`` is where everything goes; ``found`` what is wrong beside the figures,
    for people to look at; ``plots`` the series to be drawn."""

    out: Path
    quick: bool
    material: Path | None
    say: Callable[[str], None]
    reuse: bool = False
    troubles: list[str] = field(factory=list)
    plots: dict[str, Any] = field(factory=dict)
    _voices: list[Clip] | None = None

    def folder(self, name: str) -> Path:
        path = self.out / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def clips(self) -> list[Clip]:
        """Everything lessons are made of."""
        if self._voices is None:
            self.say("  making voices and music")
            made = [*material.carried(), *_music()]
            made += material.spoken(Config(), voices=2 if self.quick else 4)
            if self.material is not None:
                made += material.folder(self.material)
            self._voices = made
        return self._voices

    def told(self, where: str, held: Held, until: float) -> None:
        """Keep what the event log complains of between the beginning and ``until`` (s)."""
        self.troubles += [f"{where}: {text}" for text in live.troubles(held, until)]


def _music() -> list[Clip]:
    """Made pieces, well played, on made instruments."""
    clips = []
    for number, instrument in enumerate(material.INSTRUMENTS):
        made = _performance(40 + number, Fault.CLEAN, instrument)
        clips.append(_clip(f"made {made.piece} on {instrument}", made, instrument))
    return clips


def _performance(seed: int, fault: Fault, instrument: str) -> MadePerformance:
    """Played at sight of every note: the performance as it is, without a detector's errors."""
    pure = Detector(jitter=0.0, lateness=0.0, missing=0.0, extra=0.0, spread_cents=0.0)
    player = Player(has_intonation=True, rings=instrument == "plucked")
    return make_performance(seed, fault, player=player, detector=pure)


def rendered_notes(made: MadePerformance) -> list[ToneNote]:
    notes = [event for event in made.events if isinstance(event, PerformedNote)]
    return [
        ToneNote(
            onset=note.onset,
            duration=note.duration,
            f0_hz=note.f0_hz or 440 * 2 ** ((note.midi - 69) / 12),
            gain=10 ** ((note.loudness_db + 24) / 20),
        )
        for note in notes
    ]


def _clip(name: str, made: MadePerformance, instrument: str) -> Clip:
    notes = rendered_notes(made)
    sound = material.rendered(notes, instrument)
    return Clip(
        name=name,
        role="music",
        sound=sound,
        first=min(note.onset for note in notes),
        last=max(note.onset + note.duration for note in notes),
        who=instrument,
    )


# --- live ---------------------------------------------------------------------


def measure_live(bench: Bench) -> Iterator[Finding]:
    """A lesson over RTMP: latencies, frames, lips, drift, memory."""
    folder = bench.folder("live")
    lesson, truth = folder / "lesson.flac", folder / "truth.json"
    if bench.reuse and truth.exists():
        kept = json.loads(truth.read_text(encoding="utf-8"))
        events, duration = [Event(**event) for event in kept["events"]], kept["duration"]
        held = Held(folder=folder, seconds=duration, exit_code=0, samples=())
    else:
        cues = script.conversation(bench.clips(), rounds=1 if bench.quick else 5)
        events, duration = script.write_lesson(lesson, cues)
        content = {"duration": duration, "events": [event.to_dict() for event in events]}
        truth.write_text(json.dumps(content, indent=1), encoding="utf-8")
        bench.say(f"  a lesson of {duration:.0f} s, live")
        held = live.hold(lesson, duration, folder, say=bench.say)
    bench.told("live", held, duration)
    bench.say("  reading what was recorded")
    config = Config()
    recording, seen = load(held.video, held.seen, faces.mouth_region(config))
    yield from _latencies(bench, events, recording, published_at(held.sent))
    yield first_sounds(live.events_of(held))
    yield from _frames(bench, held, seen)
    yield from _lips(bench, recording, seen, config)
    if held.samples:
        yield _memory(held, "while live")


def _latencies(
    bench: Bench, events: Sequence[Event], recording: Recording, published: float
) -> Iterator[Finding]:
    heard = measures.heard(recording, published)
    rows: list[dict[str, Any]] = []
    for key, role in (
        ("wake_latency", "wake"),
        ("turn_taking_latency", "follow_up"),
        ("barge_in_speech", "barge_in"),
        ("barge_in_music", "barge_in_music"),
    ):
        meant = [event for event in events if event.role == role]
        counted = [event for event in meant if role != "follow_up" or _in_window(event, heard)]
        if role == "wake":
            counted = [event for event in counted if not _during(event, heard)]
        pairs = measures.latencies([e.to_dict() for e in counted], recording, published, role)
        took = [seconds for _, seconds in pairs]
        rows += [{"key": key, "at": at, "seconds": s} for at, s in pairs if math.isfinite(s)]
        silent = sum(math.isinf(seconds) for seconds in took)
        notes = [f"{silent} without an answer"] if silent else []
        if len(took) < len(meant):
            why = (
                "there was nobody to interrupt"
                if "barge" in role
                else "the teacher still spoke, or had long been silent"
            )
            notes.append(f"{len(meant) - len(took)} not counted: {why}")
        yield Finding(
            key=key, values=quantiles(took), n=len(took), samples=took, note="; ".join(notes)
        )
    for event in events:
        if event.role == "barge_in_music" and not measures.silenced_for_good(
            event.start, event.end, heard
        ):
            bench.troubles.append(f"live: the teacher spoke into the music at {event.start:.1f} s")
        if event.role in ("chat", "near") and any(
            event.end < start < event.end + 5 for start, _ in heard
        ):
            bench.troubles.append(
                f"live: she answered {event.text!r} at {event.start:.1f} s, which was no question"
            )
    bench.plots["latencies"] = rows


def first_sounds(records: Sequence[Mapping[str, Any]]) -> Finding:
    """How long the voice took for the first sound of each clause, by the event log."""
    spoken = [record for record in records if record["type"] == "spoken"]
    took = [record["ttfb"] for record in spoken]
    return Finding(
        key="first_sound",
        values=quantiles(took),
        n=len(took),
        samples=took,
        note=", ".join(sorted({record["voice"] for record in spoken})),
    )


def _in_window(event: Event, heard: Sequence[tuple[float, float]]) -> bool:
    """The teacher had finished, and not more than ten seconds before the question began."""
    before = [end for start, end in heard if start < event.start]
    return bool(before) and 0.0 < event.start - before[-1] < 10.0


def _during(event: Event, heard: Sequence[tuple[float, float]]) -> bool:
    return any(start < event.end and end > event.start for start, end in heard)


def _frames(bench: Bench, held: Held, seen: Seen) -> Iterator[Finding]:
    counts = measures.frames_by_second(seen.pts)
    new = measures.frames_by_second(
        measures.distinct(seen.times.tolist(), seen.changes.tolist(), _NEW_PICTURE)
    )
    arrived = measures.frames_by_second(seen.arrived)
    slices = [record for record in live.events_of(held) if record["type"] == "slice"]
    underruns = sum(record["underruns"] for record in slices)
    bench.plots["frames"] = {"stamped": counts.tolist(), "new": new.tolist()}
    yield Finding(
        key="fps_stability",
        values={
            "share": _share(counts >= 24),
            "share_of_25": _share(counts >= 25),
            "share_of_24_new_pictures": _share(new >= 24),
            "share_by_arrival": _share(arrived[1:] >= 24),
            "underruns": float(underruns),
        },
        n=len(counts),
        note=f"25 frames in {_share(counts >= 25):.2f} %; 24 by arrival in"
        f" {_share(arrived[1:] >= 24):.2f} %; 24 pictures that differ in {_share(new >= 24):.1f} %;"
        f" {underruns} slices of replies came too late",
        samples=counts.tolist(),
    )


def _share(flags: Any) -> float:
    return 100.0 * float(flags.mean()) if len(flags) else math.nan


def _lips(bench: Bench, recording: Recording, seen: Seen, config: Config) -> Iterator[Finding]:
    bench.say("  reading lips")
    found = faces.offsets(recording, seen, config)
    sure = [one for one in found if one.is_sure]
    ms = [1000 * one.seconds for one in sure]
    bench.plots["lips"] = [
        {"at": one.at, "ms": 1000 * one.seconds, "sure": one.is_sure} for one in found
    ]
    unsure = len(found) - len(sure)
    yield Finding(
        key="av_offset",
        values={
            "worst": max(map(abs, ms), default=math.nan),
            "p50": statistics.median(ms) if ms else math.nan,
            "likeness": statistics.median(one.likeness for one in sure) if sure else math.nan,
        },
        n=len(ms),
        samples=ms,
        note=f"{unsure} replies could not be read (short, or pictures held)" if unsure else "",
    )
    size, error = measures.drift([one.at for one in sure], ms)
    span = sure[-1].at - sure[0].at if sure else 0.0
    yield Finding(
        key="drift",
        values={"size": abs(size), "signed": size, "error": error},
        n=len(ms) if span >= _DRIFT_SPAN else 0,
        note=f"± {error:.1f} ms, over {span:.0f} s" if span else "",
    )


def _memory(held: Held, when: str) -> Finding:
    peak = max(sample.rss for sample in held.samples) / 1e6
    shared_once = max(sample.pss for sample in held.samples) / 1e6
    cpu = max(sample.cpu for sample in held.samples)
    return Finding(
        key="memory",
        values={"peak": peak, "pss": shared_once},
        n=len(held.samples),
        note=f"{when}; {shared_once:.0f} MB with shared pages counted once;"
        f" {cpu:.0f} s of CPU in {held.seconds:.0f} s",
    )


# --- the face -----------------------------------------------------------------


def measure_face(bench: Bench) -> Iterator[Finding]:
    """The face on one core."""
    rtfs = faces.render_rtf(3 if bench.quick else 9)
    yield Finding(
        key="render_rtf",
        values={"best": min(rtfs), **quantiles(rtfs)},
        n=len(rtfs),
        samples=rtfs,
        note=f"best {min(rtfs):.3f}: on a busy core the rest is waiting",
    )


# --- wakes --------------------------------------------------------------------


def measure_wakes(bench: Bench) -> Iterator[Finding]:
    """Wakes that nobody called, and calls that nobody heard."""
    folder = bench.folder("quiet")
    events, duration = script.write_lesson(
        folder / "lesson.flac",
        script.quiet_lesson(bench.clips(), seconds=150 if bench.quick else 900),
    )
    bench.say(f"  {duration:.0f} s in which nobody asks")
    held = live.fast(folder / "lesson.flac", folder, say=bench.say)
    bench.told("quiet", held, duration)
    records = live.events_of(held)
    wakes = [record for record in records if record["type"] == "wake"]
    replies = [record for record in records if record["type"] == "reply_started"]
    for record in wakes:
        bench.troubles.append(f"quiet: woken by {record['text']!r} at {record['start']:.1f} s")
    wrong = len(wakes) + max(0, len(replies) - len(wakes))
    yield Finding(
        key="false_wakes",
        values={"rate": wrong * 3600 / duration, "count": float(wrong)},
        n=len(events),
        note=f"{wrong} in {duration / 60:.1f} minutes",
    )

    folder = bench.folder("calls")
    calls, duration = script.write_lesson(
        folder / "lesson.flac",
        script.wake_calls(bench.clips(), count=12 if bench.quick else 60),
    )
    bench.say(f"  {len(calls)} calls")
    held = live.fast(folder / "lesson.flac", folder, say=bench.say)
    bench.told("calls", held, duration)
    records = live.events_of(held)
    missed = [call for call in calls if not _woke(call, records)]
    for call in missed:
        bench.troubles.append(
            f"calls: {call.text!r} ({call.who}) at {call.start:.1f} s was heard as"
            f" {_heard_as(call, records)}"
        )
    yield Finding(
        key="missed_wakes",
        values={"share": 100 * len(missed) / len(calls), "count": float(len(missed))},
        n=len(calls),
        note=f"{len({call.who for call in calls})} voices",
    )


def _woke(call: Event, records: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        record["type"] == "wake" and record["start"] < call.end and record["end"] > call.start - 0.1
        for record in records
    )


def _heard_as(call: Event, records: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        record["text"]
        for record in records
        if record["type"] == "transcript"
        and record["final"]
        and record["start"] < call.end
        and record["end"] > call.start
    ]


# --- music --------------------------------------------------------------------


def _analysed(path: Path) -> dict[str, Any]:
    """What ``maestra analyse --json`` says of ``path``.

    :raises RuntimeError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "maestra.app.cli", "analyse", str(path), "--json"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(f"maestra analyse failed: {done.stderr.strip()[-300:]}")
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def _all_analysed(folder: Path, played: Sequence[sounds.Sound]) -> Iterator[dict[str, Any]]:
    """Likewise of each of ``played``, in their order, on two cores."""
    paths = [folder / f"{number:02}.flac" for number in range(len(played))]
    for path, sound in zip(paths, played, strict=True):
        sounds.write(path, [sound])
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(_analysed, paths)


def measure_music(bench: Bench) -> Iterator[Finding]:
    """Notes, pitches and tempi of made performances and, with material, of recordings."""
    folder = bench.folder("music")
    cents: dict[str, list[float]] = {"f0": [], "f0_played": []}
    scores: list[float] = []
    tempi: list[float] = []
    counted = TempoScores()
    pulseless: list[bool] = []
    cases = list(_music_cases(bench))
    analysed = _all_analysed(folder, [sound for _, sound, _ in cases])
    for (name, _, truth), found in zip(cases, analysed, strict=True):
        bench.say(f"  {name}")
        for key in cents:
            if key in truth:
                off = _cents_off(found["notes"], truth[key])
                cents[key].append(off)
                if off > 5.0:
                    bench.troubles.append(f"music: {name}: F0 off by {off:.1f} cents")
        if "notes" in truth:
            score = onsets_found(found["notes"], truth["notes"])
            scores.append(score)
            if score < 0.9:
                bench.troubles.append(f"music: {name}: onsets F {score:.2f}")
        if "tempo_bpm" in truth:
            tempo = found["tempo_bpm"]
            if truth["tempo_bpm"] is None:
                pulseless.append(tempo is not None)
                if tempo is not None:
                    bench.troubles.append(f"music: {name}: tempo {tempo}, but there is no pulse")
                continue
            off_by = abs(tempo / truth["tempo_bpm"] - 1) if tempo else math.inf
            tempi.append(100 * off_by)
            if not counted.add(tempo, found["alternative_bpm"], truth["tempo_bpm"]):
                bench.troubles.append(
                    f"music: {name}: tempo {tempo} or {found['alternative_bpm']},"
                    f" played at {truth['tempo_bpm']:.1f}"
                )
    for key, off_by_tone in cents.items():
        if off_by_tone:
            yield Finding(
                key=key, values=quantiles(off_by_tone), n=len(off_by_tone), samples=off_by_tone
            )
    yield Finding(
        key="onsets",
        values={"f": statistics.fmean(scores), "worst": min(scores)},
        n=len(scores),
        samples=scores,
        note="mean over performances",
    )
    yield Finding(
        key="tempo",
        values={"share": 100 * sum(one <= 3.0 for one in tempi) / len(tempi), **quantiles(tempi)},
        n=len(tempi),
        samples=tempi,
        note=f"{counted}; a tempo was stated of {sum(pulseless)} of {len(pulseless)} takes"
        " without a pulse",
    )


def _true(note: ToneNote) -> dict[str, float]:
    return {"onset": note.onset, "offset": note.onset + note.duration, "hz": note.f0_hz}


def _music_cases(bench: Bench) -> Iterator[tuple[str, sounds.Sound, dict[str, Any]]]:
    rng = random.Random(9)
    for number, instrument in enumerate(material.INSTRUMENTS):
        for _ in range(1 if bench.quick else 3):
            f0 = 440 * 2 ** (rng.randint(-20, 12) / 12) * 2 ** (rng.uniform(-40, 40) / 1200)
            tone = ToneNote(onset=0.5, duration=2.5, f0_hz=f0)
            yield (
                f"{f0:.1f} Hz on {instrument}",
                material.rendered([tone], instrument),
                {"f0": f0},
            )
        for seed in range(1 if bench.quick else 3):
            made = _performance(60 + 10 * number + seed, Fault.CLEAN, instrument)
            notes = rendered_notes(made)
            yield (
                f"{made.piece} on {instrument}",
                material.rendered(notes, instrument),
                {"notes": [_true(note) for note in notes], "tempo_bpm": made.tempo_bpm},
            )
        tones = [
            ToneNote(onset=0.5 + 3.3 * k, duration=3.0, f0_hz=220 * 2 ** (step / 12))
            for k, step in enumerate((0, 2, 4, 5, 7))
        ]
        yield (
            f"five long tones on {instrument}",
            material.rendered(tones, instrument),
            {"tempo_bpm": None},
        )
    for take in steady.steady_takes(_STEADY_TAKES // (4 if bench.quick else 1), _STEADY_SEED):
        yield (
            take.name,
            material.rendered(rendered_notes(take.made), take.instrument),
            {"tempo_bpm": take.tempo_bpm},
        )
    if bench.material is None:
        return
    for clip in material.folder(bench.material, ("music",)):
        truth: dict[str, Any] = {}
        if "hz" in clip.truth:
            # What was to be played is known to a semitone; what was, is measured.
            truth["f0_played"] = played_f0(clip.sound, clip.truth["hz"])
        if clip.truth.get("notes") and clip.who != "guitar":
            truth["notes"] = clip.truth["notes"]
        if clip.truth.get("fault") in ("clean", "sharp", "flat", "missed", "wrong_notes"):
            few = len(clip.truth["onsets"]) < _FEWEST_NOTES
            truth["tempo_bpm"] = None if few else clip.truth["tempo_bpm"]
        if truth:
            yield clip.name, clip.sound, truth


def _cents_off(found: Sequence[Mapping[str, Any]], true_hz: float) -> float:
    """Median over the notes of ``maestra analyse --json``; infinite if none has a pitch."""
    off = [abs(1200 * math.log2(note["f0_hz"] / true_hz)) for note in found if note.get("f0_hz")]
    return statistics.median(off) if off else math.inf


def played_f0(sound: sounds.Sound, near_hz: float) -> float:
    """The F0 (Hz) of a recorded tone, looked for within a semitone and a half of ``near_hz``: the
    median of Praat's autocorrelation (Boersma 1993), which shares nothing with CREPE."""
    import parselmouth

    tone = parselmouth.Sound(sound.astype(np.float64), sounds.RATE_HZ)
    pitch = tone.to_pitch_ac(
        time_step=0.01, pitch_floor=near_hz / 1.09, pitch_ceiling=near_hz * 1.09
    )
    heard = pitch.selected_array["frequency"]
    return float(np.median(heard[heard > 0]))


def onsets_found(found: Sequence[Mapping[str, Any]], true: Sequence[Mapping[str, Any]]) -> float:
    """F-measure at ±50 ms of the notes in ``maestra analyse --json``."""
    notes = [
        PerformedNote(
            onset=note["onset"],
            duration=note["offset"] - note["onset"],
            midi=note["midi"],
            f0_hz=note["f0_hz"],
            deviation_cents=note["deviation_cents"],
            loudness_db=note["loudness_db"],
            confidence=note["confidence"],
        )
        for note in found
    ]
    return compare_notes(true, notes).f_measure


# --- faults -------------------------------------------------------------------

_NAMES = {
    Fault.RUSH: ObservationKind.RUSHING,
    Fault.DRAG: ObservationKind.DRAGGING,
    Fault.UNEVEN: ObservationKind.UNEVEN_RHYTHM,
    Fault.PAUSE: ObservationKind.HESITATION,
    Fault.MISSED: ObservationKind.MISSED_NOTES,
    Fault.WRONG_NOTES: ObservationKind.WRONG_NOTES,
    Fault.SHARP: ObservationKind.SHARP,
    Fault.FLAT: ObservationKind.FLAT,
    Fault.ONE_NOTE_OUT: ObservationKind.NOTE_OUT_OF_TUNE,
}
_HAVE_PLACES = (Fault.PAUSE, Fault.MISSED, Fault.WRONG_NOTES)
_NEAR = 2.5


@frozen(kw_only=True, eq=False)
class _FaultCase:
    """``places`` (s) is where the fault is; empty if it is everywhere."""

    name: str
    fault: Fault
    sound: sounds.Sound
    places: tuple[float, ...]


def measure_faults(bench: Bench) -> Iterator[Finding]:
    """Performances rendered with one fault each, and without: what is named first."""
    cases = list(_fault_cases(bench))
    right: list[float] = []
    criticised: list[float] = []
    analysed = _all_analysed(bench.folder("faults"), [case.sound for case in cases])
    for case, found in zip(cases, analysed, strict=True):
        first = _first_fault(found)
        said = "nothing" if first is None else f"{first['kind']} at {first['start']:.1f} s"
        bench.say(f"  {case.name}: {said}")
        if case.fault in _NAMES:
            well = first is not None and _names(first, case)
            right.append(float(well))
        else:
            well = first is None
            criticised.append(float(not well))
        if not well:
            bench.troubles.append(f"faults: {case.name}: {said}")
    yield Finding(
        key="faults_named",
        values={"share": 100 * statistics.fmean(right)},
        n=len(right),
        samples=right,
    )
    yield Finding(
        key="invented_criticism",
        values={"share": 100 * statistics.fmean(criticised)},
        n=len(criticised),
        samples=criticised,
    )


def _fault_cases(bench: Bench) -> Iterator[_FaultCase]:
    each = 1 if bench.quick else 2
    instruments = list(material.INSTRUMENTS)
    for number, fault in enumerate((*_NAMES, Fault.CLEAN)):
        for seed in range(each if fault is not Fault.CLEAN else 3 * each):
            instrument = instruments[(seed + number) % len(instruments)]
            if fault.needs_intonation and instrument == "plucked":
                instrument = "bowed"
            made = _performance(900 + 10 * number + seed, fault, instrument)
            yield _FaultCase(
                name=f"{made.piece} on {instrument}, {fault.value}",
                fault=fault,
                sound=material.rendered(rendered_notes(made), instrument),
                places=made.at if fault in _HAVE_PLACES else (),
            )
    if bench.material is None:
        return
    for clip in material.folder(bench.material, ("music",)):
        if "fault" in clip.truth:
            fault = Fault(clip.truth["fault"])
            yield _FaultCase(
                name=f"{clip.name}, {fault.value}",
                fault=fault,
                sound=clip.sound,
                places=tuple(error["time"] for error in clip.truth["errors"] if "time" in error)
                if fault in _HAVE_PLACES
                else (),
            )


def _first_fault(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next(
        (one for one in found["observations"] if not ObservationKind(one["kind"]).is_praise), None
    )


def _names(first: Mapping[str, Any], case: _FaultCase) -> bool:
    if first["kind"] != _NAMES[case.fault]:
        return False
    return not case.places or any(abs(first["start"] - at) < _NEAR for at in case.places)


# --- an hour ------------------------------------------------------------------


def an_hour_of_growth(minutes: Sequence[float]) -> float:
    """By how much a figure that was taken every minute rises in sixty: the median of the slopes
    between any two (Theil and Sen). The memory breathes by a hundred megabytes, and what two single
    minutes differ by says when they were taken."""
    if len(minutes) < 2:
        return math.nan
    slopes = (
        (later - earlier) / (at - since)
        for (since, earlier), (at, later) in combinations(enumerate(minutes), 2)
    )
    return 60 * statistics.median(slopes)


def measure_hour(bench: Bench) -> Iterator[Finding]:
    """A long lesson, as fast as the machine can."""
    folder = bench.folder("hour")
    seconds = 300.0 if bench.quick else 3600.0
    _, duration = script.write_lesson(
        folder / "lesson.flac", script.long_lesson(bench.clips(), seconds=seconds)
    )
    bench.say(f"  a lesson of {duration / 60:.0f} minutes")
    held = live.fast(folder / "lesson.flac", folder, say=bench.say)
    bench.told("hour", held, duration)
    records = live.events_of(held)
    cpu = max(sample.cpu for sample in held.samples)
    yield Finding(
        key="speed",
        values={"speed": duration / held.seconds, "cpu_share": cpu / duration},
        n=1,
        note=f"{duration:.0f} s in {held.seconds:.0f} s, without pictures;"
        f" {cpu / duration:.2f} s of CPU for each second, {duration / cpu:.1f} times real time on"
        " one idle core",
    )
    yield _memory(held, "in the long lesson")
    minutes = _memory_by_minute(held, records)
    bench.plots["memory"] = minutes
    begin = min(10, len(minutes) // 4)
    yield Finding(
        key="memory_growth",
        values={"growth": an_hour_of_growth(minutes[begin:])},
        n=len(minutes),
        samples=minutes,
        note=f"by minutes {begin} to {len(minutes) - 1}",
    )
    late = [
        1000 * record["duration"]
        for record in records
        if record["type"] == "summary" and record["t"] > 0.75 * duration
    ]
    yield Finding(
        key="summary",
        values=quantiles(late),
        n=len(late),
        samples=late,
        note=f"after {0.75 * duration / 60:.0f} minutes and more",
    )


def _memory_by_minute(held: Held, records: Sequence[Mapping[str, Any]]) -> list[float]:
    """The median RSS (MB) in each minute of media time."""
    reached = [(record["wall"], record["t"]) for record in records]
    minutes: dict[int, list[float]] = {}
    place = 0
    everybody = max((sample.processes for sample in held.samples), default=0)
    for sample in held.samples:
        if sample.processes < everybody:
            continue  # before all had started, or when some had left
        while place + 1 < len(reached) and reached[place + 1][0] <= sample.at:
            place += 1
        if reached and reached[place][0] <= sample.at:
            minutes.setdefault(int(reached[place][1] // 60), []).append(sample.rss / 1e6)
    return [statistics.median(minutes[minute]) for minute in sorted(minutes)]


# --- tables -------------------------------------------------------------------


def measure_senses(bench: Bench) -> Iterator[Finding]:
    """The senses' own tables, on the material: for people to read."""
    if bench.material is None:
        bench.say("  needs --material")
        return
    folder = bench.folder("senses")
    parts = ("wake",) if bench.quick else ("floor", "wake", "false")
    runs = {part: ("hearing_accuracy", "--part", part) for part in parts}
    for name, (module, *options) in {**runs, "music": ("music_accuracy",)}.items():
        done = subprocess.run(
            [
                *(sys.executable, "-m", f"maestra.app.experiments.{module}"),
                *(str(bench.material), *options),
            ],
            capture_output=True,
            text=True,
            timeout=1800,
        )
        (folder / f"{name}.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
        if done.returncode:
            raise RuntimeError(f"{module} failed; see {name}.txt")
    yield from ()


PARTS: Mapping[str, Callable[[Bench], Iterator[Finding]]] = {
    "live": measure_live,
    "face": measure_face,
    "wakes": measure_wakes,
    "music": measure_music,
    "faults": measure_faults,
    "hour": measure_hour,
    "senses": measure_senses,
}
"""The parts by name, in the order they are run."""
