"""How well the ear hears, measured on a folder of recordings with truth.

``python -m maestra.app.experiments.hearing_accuracy FOLDER [--part floor|mixtures|wake|false]``

The folder holds ``manifest.json``, a list of ``{"file", "kind", "instrument", "truth"}`` with
``kind`` one of speech, music, noise; spoken clips have ``speech_start_s`` and ``speech_end_s``,
and clips in ``lines/`` a ``category`` (wake, follow, near, …). Every clip is heard by a fresh
floor detector or a fresh ear, after a second of a quiet room.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, frozen

from maestra.core.hearing import (
    FloorChanged,
    FloorLabel,
    HearingEvent,
    Instrument,
    InstrumentHeard,
    SpeechStarted,
    Transcript,
    UtteranceEnded,
)
from maestra.core.media_time import to_seconds
from maestra.core.wake import WakePhraseMatcher
from maestra.ports.audio import EAR_RATE_HZ, AudioChunk
from maestra.ports.senses import SpeechRecogniser

from .. import composition
from ..config import Config
from ..hearing import Hearing

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["main"]

_STEP = 0.02  # seconds a chunk holds
_LEAD = 1.0  # seconds of quiet room before a clip
_SUNG = ("voice",)


@frozen(kw_only=True)
class Clip:
    """A recording: 44.1 kHz samples, and what is known of it."""

    name: str
    group: str
    kind: str
    samples: Samples
    truth: Mapping[str, Any]
    instrument: str = ""


@frozen(kw_only=True)
class Heard:
    """What the ear made of a clip; seconds count from the start of the clip."""

    events: tuple[HearingEvent, ...]
    labels: tuple[FloorLabel, ...]
    """One for each ``_STEP`` of the clip."""
    cpu: float

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(e.text for e in self.events if isinstance(e, UtteranceEnded) and e.text)

    @property
    def instruments(self) -> frozenset[Instrument]:
        return frozenset(e.instrument for e in self.events if isinstance(e, InstrumentHeard))

    def first(self, kind: type[HearingEvent]) -> HearingEvent | None:
        return next((e for e in self.events if isinstance(e, kind)), None)


def _decode(path: Path) -> Samples:
    import av

    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=EAR_RATE_HZ)
        parts = [
            part.to_ndarray().ravel()
            for frame in [*container.decode(audio=0), None]
            for part in resampler.resample(frame)
        ]
    return np.concatenate(parts).astype(np.float32)


def _clips(folder: Path) -> Iterator[Clip]:
    for entry in json.loads((folder / "manifest.json").read_text()):
        file, kind = str(entry["file"]), str(entry["kind"])
        if kind not in ("speech", "music", "noise") or not file.endswith((".flac", ".ogg", ".wav")):
            continue
        if kind == "music" and (entry.get("instrument") in _SUNG or "voice" in file):
            kind = "singing"
        yield Clip(
            name=file,
            group=str(entry["truth"].get("category") or file.split("/")[0]),
            kind=kind,
            samples=_decode(folder / file),
            truth=entry["truth"],
            instrument=str(entry.get("instrument") or ""),
        )


def _active(samples: Samples) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether a clip sounds, in each ``_STEP``: within 26 dB of its loud parts, gaps of 0.2 s
    counted in."""
    size = int(_STEP * EAR_RATE_HZ)
    steps = len(samples) // size
    level = np.sqrt(np.mean(samples[: steps * size].reshape(steps, size) ** 2, axis=1) + 1e-12)
    active = level > max(float(np.percentile(level, 95)) / 20.0, 10 ** (-50 / 20))
    for before, after in itertools.pairwise(np.flatnonzero(active)):
        if after - before <= 10:
            active[before:after] = True
    return np.asarray(active)


def _level(samples: Samples) -> float:
    """RMS where it sounds."""
    size = int(_STEP * EAR_RATE_HZ)
    active = np.repeat(_active(samples), size)
    sounding = samples[: len(active)][active]
    return float(np.sqrt(np.mean(sounding**2))) if len(sounding) else 1e-3


def _mixed(clip: Clip, other: Samples, ratio_db: float) -> Clip:
    """``clip`` with ``other`` under it (from the same instant, looped), so much softer."""
    other = np.resize(other, len(clip.samples))
    gain = _level(clip.samples) / _level(other) * 10 ** (-ratio_db / 20)
    mixed = clip.samples + other * gain
    return evolve(clip, samples=(mixed / max(1.0, float(np.max(np.abs(mixed))))).astype(np.float32))


def _echoing(clip: Clip, room: Samples) -> Clip:
    """``clip`` in a room, the direct sound at its place."""
    room = room[int(np.argmax(np.abs(room))) :]
    size = 1 << (len(clip.samples) + len(room)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(clip.samples, size) * np.fft.rfft(room, size))
    wet = wet[: len(clip.samples) + EAR_RATE_HZ // 2]
    wet *= float(np.max(np.abs(clip.samples))) / float(np.max(np.abs(wet)))
    return evolve(clip, samples=wet.astype(np.float32))


class Ear:
    """Makes a fresh ear for each clip, around one recogniser."""

    def __init__(self, *, fast: bool, words: bool) -> None:
        self._config = Config()
        self._fast = fast
        self._recogniser: SpeechRecogniser = (
            composition.recogniser(self._config) if words else _Deaf()
        )

    def hear(self, clip: Clip, tail: float = 1.5) -> Heard:
        rng = np.random.default_rng(1)
        room = rng.standard_normal(int(_LEAD * EAR_RATE_HZ)) * 3e-4
        after = rng.standard_normal(int(tail * EAR_RATE_HZ)) * 3e-4
        samples = np.concatenate([room, clip.samples, after]).astype(np.float32)
        hearing = Hearing(
            floor=composition.floor(self._config),
            vad=composition.voice_activity(self._config),
            recogniser=self._recogniser,
            endpointing=composition.endpointing(self._config),
            fast=self._fast,
        )
        events: list[HearingEvent] = []
        labels: list[FloorLabel] = []
        size = int(_STEP * EAR_RATE_HZ)
        began, wall = time.process_time(), time.monotonic()
        for start in range(0, len(samples), size):
            if not self._fast:
                time.sleep(max(0.0, wall + start / EAR_RATE_HZ - time.monotonic()))
            events += hearing.push(
                AudioChunk(start=start, rate_hz=EAR_RATE_HZ, samples=samples[start : start + size])
            )
            labels.append(hearing.label)
        events += hearing.flush()
        cpu = (time.process_time() - began) / (len(samples) / EAR_RATE_HZ)
        skip = int(_LEAD / _STEP)
        return Heard(events=tuple(events), labels=tuple(labels[skip:]), cpu=cpu)


class _Deaf:
    def transcribe(self, samples: Samples) -> Any:
        from maestra.ports.senses import Recognition

        return Recognition(text="", confidence=0.0)


def _seconds(event: HearingEvent) -> float:
    return to_seconds(event.at) - _LEAD


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "none"
    p50, p90, p95 = np.percentile(values, [50, 90, 95])
    return f"p50 {p50:.2f}  p90 {p90:.2f}  p95 {p95:.2f}  (n={len(values)})"


def _shares(counts: Counter[FloorLabel]) -> str:
    total = max(1, counts.total())
    return "  ".join(
        f"{label.value} {counts[label] / total:6.1%}"
        for label in FloorLabel
        if label is not FloorLabel.OWN_VOICE
    )


def _floor(clips: Sequence[Clip]) -> None:
    """What the floor is called where each kind of clip sounds, and how soon."""
    ear = Ear(fast=True, words=False)
    counts: dict[str, Counter[FloorLabel]] = {}
    delays: dict[str, list[float]] = {}
    wrong: dict[str, int] = {}
    cost: dict[str, list[float]] = {}
    named = Counter[str]()
    for clip in clips:
        if clip.group == "meetings":
            continue
        clip = evolve(clip, samples=clip.samples[: 12 * EAR_RATE_HZ])
        heard, active = ear.hear(clip), _active(clip.samples)
        tally = Counter(
            label for label, sounds in zip(heard.labels, active, strict=False) if sounds
        )
        counts[clip.kind] = counts.get(clip.kind, Counter()) + tally
        cost.setdefault(clip.kind, []).append(heard.cpu)
        if heard.instruments or clip.kind in ("music", "singing"):
            named[_named(heard, clip)] += 1
        onset = float(np.argmax(active)) * _STEP
        right = _delay(heard, clip.kind, onset)
        if right is not None:
            delays.setdefault(clip.kind, []).append(right)
        if _mistaken(heard, clip.kind):
            wrong[clip.kind] = wrong.get(clip.kind, 0) + 1
            print("    mistaken in", clip.name, _shares(tally))
    for kind, tally in counts.items():
        print(f"{kind:8} {_shares(tally)}")
        print(f"         first right label after  {_spread(delays.get(kind, []))}")
        print(f"         clips with a wrong sort of label: {wrong.get(kind, 0)}")
        print(f"         CPU {float(np.median(cost[kind])):.3f} s per second")
    print("instruments:", ", ".join(f"{what} {count}" for what, count in sorted(named.items())))


def _named(heard: Heard, clip: Clip) -> str:
    if not heard.instruments:
        return "not named"
    if {clip.instrument.partition(" (")[0]} == heard.instruments:
        return "named right"
    print("    named wrong:", clip.name, ", ".join(sorted(heard.instruments)))
    return "named wrong"


def _delay(heard: Heard, kind: str, onset: float) -> float | None:
    for event in heard.events:
        if isinstance(event, FloorChanged) and (
            (kind == "speech" and event.label.is_speech)
            or (kind in ("music", "singing") and event.label.is_music)
        ):
            return _seconds(event) - onset
    return None


def _mistaken(heard: Heard, kind: str) -> bool:
    labels = [e.label for e in heard.events if isinstance(e, FloorChanged)]
    if kind == "speech":
        return any(label.is_music and not label.is_speech for label in labels)
    if kind in ("music", "singing"):
        return any(label.is_speech for label in labels)
    return any(label.is_speech or label.is_music for label in labels)


def _mixtures(clips: Sequence[Clip]) -> None:
    """Speech that begins while music plays, and music that begins while somebody speaks."""
    ear = Ear(fast=True, words=False)
    spoken = [c for c in clips if c.kind == "speech" and c.group in ("wake", "speech")][::3]
    played = [c for c in clips if c.group in ("exercises", "violin", "phrases")][::2]
    for ratio in (10.0, 0.0):
        speech_over: list[float] = []
        music_over: list[float] = []
        missed = [0, 0]
        for i, voice in enumerate(spoken):
            music = played[i % len(played)]
            for first, second, want, found in (
                (music, voice, "speech", speech_over),
                (voice, music, "music", music_over),
            ):
                scene, onset = _scene(first, second, ratio if want == "speech" else 0.0)
                changes = [
                    e
                    for e in ear.hear(scene).events
                    if isinstance(e, FloorChanged) and _seconds(e) > onset
                ]
                hit = next(
                    (
                        _seconds(e) - onset
                        for e in changes
                        if (e.label.is_speech if want == "speech" else e.label.is_music)
                    ),
                    None,
                )
                if hit is None or hit > 1.5:
                    missed[want == "music"] += 1
                else:
                    found.append(hit)
        print(f"speech {ratio:+.0f} dB over music: {_spread(speech_over)}, missed {missed[0]}")
        print(f"music that joins speech: {_spread(music_over)}, missed {missed[1]}")


def _scene(first: Clip, second: Clip, ratio_db: float) -> tuple[Clip, float]:
    """``second`` joins ``first`` after 1.5 s, so much louder; and when it begins to sound."""
    at = int(1.5 * EAR_RATE_HZ)
    second_samples = second.samples[: 4 * EAR_RATE_HZ]
    base = np.resize(first.samples[: 8 * EAR_RATE_HZ], at + len(second_samples)).copy()
    gain = _level(base) / _level(second_samples) * 10 ** (ratio_db / 20)
    base[at:] += second_samples * gain
    base /= max(1.0, float(np.max(np.abs(base))))
    onset = 1.5 + float(np.argmax(_active(second_samples))) * _STEP
    return evolve(first, samples=base.astype(np.float32)), onset


def _wake(clips: Sequence[Clip], folder: Path, *, fast: bool) -> None:
    """Wakes heard and missed, and how long after the last word the turn is over."""
    ear = Ear(fast=fast, words=True)
    matcher = WakePhraseMatcher()
    calls = [c for c in clips if c.group == "wake"]
    piano = next(c.samples for c in clips if c.group == "exercises" and "piano" in c.name)
    violin = next(c.samples for c in clips if c.group == "violin")
    dishes = next(c.samples for c in clips if c.group == "noise" and "dish" in c.name)
    room = _decode(folder / "rooms" / "openslr_simulated_room.flac")
    conditions = {
        "clear": calls,
        "far away (-20 dB)": [evolve(c, samples=c.samples * np.float32(0.1)) for c in calls],
        "in an echoing room": [_echoing(c, room) for c in calls],
        "dishes, 15 dB below": [_mixed(c, dishes, 15) for c in calls],
        "dishes, 8 dB below": [_mixed(c, dishes, 8) for c in calls],
        "piano, 10 dB below": [_mixed(c, piano, 10) for c in calls],
        "piano, 5 dB below": [_mixed(c, piano, 5) for c in calls],
        "violin, 10 dB below": [_mixed(c, violin, 10) for c in calls],
    }
    for name, group in conditions.items():
        delays, missed = _heard_calls(ear, matcher, group)
        print(f"wake, {name:20}: {len(group) - len(missed)} of {len(group)}; {_spread(delays)}")
        for text in missed:
            print("    missed:", text)
    follow = [c for c in clips if c.group == "follow"]
    delays = []
    for clip in follow:
        heard = ear.hear(clip)
        ended = heard.first(UtteranceEnded)
        if isinstance(ended, UtteranceEnded):
            delays.append(_seconds(ended) - float(clip.truth["speech_end_s"]))
            print("   ", repr(clip.truth["transcript"]), "→", repr(ended.text))
    print(f"follow-up questions over after {_spread(delays)}")


def _heard_calls(
    ear: Ear, matcher: WakePhraseMatcher, calls: Sequence[Clip]
) -> tuple[list[float], list[str]]:
    delays: list[float] = []
    missed: list[str] = []
    for clip in calls:
        heard = ear.hear(clip)
        hit = next(
            (e for e in heard.events if isinstance(e, UtteranceEnded) and matcher.match(e.text)),
            None,
        )
        if hit is None:
            missed.append(f"{clip.name} {heard.texts}")
        else:
            delays.append(_seconds(hit) - float(clip.truth["speech_end_s"]))
    return delays, missed


def _false(clips: Sequence[Clip]) -> None:
    """Wakes that nobody called, and words where there are none."""
    ear = Ear(fast=True, words=True)
    matcher = WakePhraseMatcher()
    hours: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    wakes: Counter[str] = Counter()
    words: Counter[str] = Counter()
    voices: Counter[str] = Counter()
    for clip in clips:
        if clip.group == "wake":
            continue
        heard = ear.hear(clip)
        group = clip.group if clip.kind == "speech" else clip.kind
        hours[group] += 1
        seconds[group] += round(len(clip.samples) / EAR_RATE_HZ)
        voices[group] += sum(isinstance(e, SpeechStarted) for e in heard.events)
        words[group] += len(heard.texts)
        for event in heard.events:
            if isinstance(event, Transcript) and matcher.match(event.text):
                print("    false wake:", clip.name, event.text, "(final)" if event.final else "")
                wakes[group] += event.final
        if clip.kind != "speech" and heard.texts:
            print("    words in", clip.name, heard.texts)
    for group in hours:
        print(
            f"{group:16} {hours[group]:3} clips {seconds[group]:5} s  "
            f"voices {voices[group]:4}  utterances with words {words[group]:4}  "
            f"false wakes {wakes[group]}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=("floor", "mixtures", "wake", "false"), default=None)
    parser.add_argument(
        "--realtime", action="store_true", help="time the turns as they are in a lesson (slow)"
    )
    options = parser.parse_args(arguments)
    clips = list(_clips(options.folder))
    if options.part in (None, "floor"):
        _floor(clips)
    if options.part in (None, "mixtures"):
        _mixtures(clips)
    if options.part in (None, "wake"):
        _wake(clips, options.folder, fast=not options.realtime)
    if options.part in (None, "false"):
        _false(clips)


if __name__ == "__main__":
    main()
