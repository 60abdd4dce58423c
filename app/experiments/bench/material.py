"""What lessons are made of: clips whose truth is known.

Three sources. The demo lesson that the project carries is cut up. Student voices are spoken by the
embedded voice, moved to other speakers' pitches, tempi and vocal tracts. Music is rendered from
scores with additive synthesis. ``--material FOLDER`` adds recordings: a folder with a
``manifest.json``, a list of ``{"file", "kind", "instrument", "truth"}`` whose ``truth`` has, for
speech, ``speech_start_s``, ``speech_end_s``, ``transcript`` and perhaps ``category``; for music
perhaps ``onsets``, ``notes``, ``tempo_bpm`` and ``fault``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from attrs import evolve, field, frozen

from maestra.core.persona import Manner, Persona

from ... import composition
from ...config import Config
from ...demo import LESSON
from .sounds import RATE_HZ, Sound, active, read, resampled

__all__ = [
    "ALL_INSTRUMENTS",
    "INSTRUMENTS",
    "Clip",
    "ToneNote",
    "carried",
    "folder",
    "rendered",
    "spoken",
    "take",
]


@frozen(kw_only=True, eq=False)
class Clip:
    """``sound``, in which ``first`` and ``last`` (s) are where the words or notes begin and end.

    ``role``: wake, follow_up, barge_in, chat, near, music, noise, speech (of anybody). ``who`` is
    the voice or instrument. ``truth`` is what else is known.
    """

    name: str
    role: str
    sound: Sound
    first: float
    last: float
    who: str
    text: str = ""
    truth: Mapping[str, Any] = field(factory=dict)

    @property
    def duration(self) -> float:
        return len(self.sound) / RATE_HZ


def take(clip: Clip, seconds: float) -> Clip:
    """The first ``seconds`` of ``clip``, faded out."""
    if clip.duration <= seconds:
        return clip
    sound = clip.sound[: round(seconds * RATE_HZ)].copy()
    fade = min(len(sound), round(0.02 * RATE_HZ))
    sound[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return evolve(clip, sound=sound, last=min(clip.last, seconds - 0.02))


# --- what the project carries -------------------------------------------------


def carried() -> list[Clip]:
    """The clips of the demo lesson."""
    whole = read(LESSON)
    events = json.loads(LESSON.with_suffix(".json").read_text(encoding="utf-8"))["events"]
    clips = []
    for number, event in enumerate(events):
        music = "music" in event["role"]
        begin = max(0.0, event["start"] - 0.05)
        end = event["end"] + (0.0 if music else 0.1)
        sound = whole[round(begin * RATE_HZ) : round(end * RATE_HZ)].copy()
        clips.append(
            Clip(
                name=f"demo lesson {number}",
                role="music" if music else event["role"],
                sound=sound,
                first=event["start"] - begin,
                last=event["end"] - begin,
                who="piano" if music else "demo",
                text=event["text"],
            )
        )
    return clips


# --- voices -------------------------------------------------------------------

_MANNERS = {
    "low": Manner(pitch_hz=100.0, speech_rate=1.0),
    "high": Manner(pitch_hz=205.0, formants=1.16, speech_rate=1.05),
    "child": Manner(pitch_hz=260.0, formants=1.25, speech_rate=0.95),
    "quick": Manner(pitch_hz=140.0, formants=1.06, speech_rate=1.2),
}
"""Speakers that one voice can be moved to."""

_LINES = (
    ("wake", "Teacher, comment."),
    ("wake", "Teacher, comment please."),
    ("wake", "Hey, teacher, comment."),
    ("wake", "Teacher, comment on my rhythm."),
    ("follow_up", "What about my tempo?"),
    ("follow_up", "How can I fix that?"),
    ("follow_up", "Was I in tune?"),
    ("barge_in", "Stop, I have a question."),
    ("barge_in", "Wait, wait, was that the left hand?"),
    ("near", "The teacher commented on it yesterday."),
    ("near", "I have no comment on that piece."),
    ("near", "Could you teach her to come in earlier?"),
    ("chat", "Let me start again from the second line."),
    ("chat", "My grandmother taught me this one last summer."),
    ("chat", "I always lose count somewhere in the middle."),
)


def spoken(config: Config, *, voices: int = 4, roles: Iterable[str] = ()) -> list[Clip]:
    """Student lines by ``voices`` made speakers; ``roles`` limits them."""
    wanted = set(roles)
    lines = [(role, text) for role, text in _LINES if not wanted or role in wanted]
    clips = []
    for who, manner in list(_MANNERS.items())[:voices]:
        student = Persona(id="student", name="Student", portrait="none", manner=manner)
        name, build = composition.voices(config, student)[0]
        voice = build()
        for role, text in lines:
            sound = resampled(anyio.run(_say, voice, text), voice.sample_rate_hz)
            first, last = active(sound)
            clips.append(
                Clip(
                    name=f"{name} {who}: {text}",
                    role=role,
                    sound=np.pad(sound, (0, round(0.1 * RATE_HZ))),
                    first=first,
                    last=last,
                    who=who,
                    text=text,
                )
            )
    return clips


async def _say(voice: Any, text: str) -> Sound:
    parts = [part async for part in voice.synthesise(text)]
    return np.concatenate(parts).astype(np.float32)


# --- music --------------------------------------------------------------------


@frozen(kw_only=True)
class ToneNote:
    """A note to be rendered: seconds, Hz, and loudness as a gain."""

    onset: float
    duration: float
    f0_hz: float
    gain: float = 1.0


@frozen(kw_only=True)
class _Instrument:
    """Partials' gains, seconds of attack, decay per second (0 is held), vibrato in cents."""

    partials: tuple[float, ...]
    attack: float
    decay: float
    vibrato: float = 0.0


INSTRUMENTS: Mapping[str, _Instrument] = {
    "plucked": _Instrument(
        partials=(1.0, 0.6, 0.35, 0.2, 0.12, 0.07, 0.04), attack=0.003, decay=2.6
    ),
    "blown": _Instrument(partials=(1.0, 0.35, 0.12, 0.05, 0.02), attack=0.035, decay=0.0),
    "bowed": _Instrument(
        partials=(1.0, 0.8, 0.55, 0.4, 0.3, 0.22, 0.15, 0.1), attack=0.05, decay=0.0, vibrato=6.0
    ),
}


ALL_INSTRUMENTS: Mapping[str, _Instrument] = {
    **INSTRUMENTS,
    "struck": _Instrument(
        partials=(1.0, 0.5, 0.3, 0.22, 0.15, 0.1, 0.06, 0.04), attack=0.004, decay=1.1
    ),
    "reed": _Instrument(partials=(1.0, 0.05, 0.6, 0.04, 0.35, 0.03, 0.15), attack=0.025, decay=0.0),
    "brass": _Instrument(
        partials=(0.7, 1.0, 0.8, 0.6, 0.4, 0.25, 0.15), attack=0.06, decay=0.0, vibrato=12.0
    ),
}
"""Those and some that only steady takes are played on."""


def rendered(notes: Sequence[ToneNote], instrument: str, *, tail: float = 0.8) -> Sound:
    """The sound of ``notes``, at about -20 dBFS."""
    made = ALL_INSTRUMENTS[instrument]
    end = max(note.onset + note.duration for note in notes) + tail
    sound = np.zeros(math.ceil(end * RATE_HZ), np.float32)
    for note in notes:
        part = _tone(note, made)
        start = round(note.onset * RATE_HZ)
        sound[start : start + len(part)] += part[: len(sound) - start]
    return sound * np.float32(0.1 / max(float(np.sqrt(np.mean(sound**2))), 1e-9))


def _tone(note: ToneNote, made: _Instrument) -> Sound:
    release = 0.06
    t = np.arange(round((note.duration + release) * RATE_HZ)) / RATE_HZ
    cents = made.vibrato * np.sin(2 * np.pi * 5.5 * t) * np.minimum(t / 0.3, 1.0)
    phase = 2 * np.pi * np.cumsum(note.f0_hz * 2 ** (cents / 1200)) / RATE_HZ
    sound = np.zeros(len(t))
    for number, gain in enumerate(made.partials, start=1):
        if number * note.f0_hz < RATE_HZ * 0.45:
            sound += gain * np.sin(number * phase) * np.exp(-made.decay * number**0.5 * t / 2)
    shape = np.minimum(t / made.attack, 1.0) * np.clip(
        (note.duration + release - t) / release, 0.0, 1.0
    )
    result: Sound = (note.gain * sound * shape).astype(np.float32)
    return result


# --- a folder of recordings ---------------------------------------------------

_ROLES = {
    "wake": "wake",
    "follow": "follow_up",
    "barge": "barge_in",
    "chat": "chat",
    "near": "near",
}


def folder(path: Path, roles: Iterable[str] = ()) -> Iterator[Clip]:
    """The clips of ``path``, as far as their role is known; ``roles`` limits them."""
    wanted = set(roles)
    entries = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    for entry in entries:
        role = _role(entry)
        if role is None or (wanted and role not in wanted):
            continue
        sound = read(path / entry["file"])
        truth = entry.get("truth") or {}
        begin, end = active(sound)
        first = truth.get("speech_start_s", (truth.get("onsets") or [begin])[0])
        yield Clip(
            name=entry["file"],
            role=role,
            sound=sound,
            first=float(first),
            last=float(truth.get("speech_end_s", end)),
            who=str(truth.get("speaker") or entry.get("instrument") or entry["file"].split("/")[0]),
            text=str(truth.get("transcript", "")),
            truth=truth,
        )


def _role(entry: Mapping[str, Any]) -> str | None:
    if not str(entry["file"]).endswith((".flac", ".wav", ".ogg", ".mp3")):
        return None
    kind, truth = entry["kind"], entry.get("truth") or {}
    if kind == "speech":
        category = str(truth.get("category", ""))
        return _ROLES.get(category, None if category else "speech")
    return str(kind) if kind in ("music", "noise") else None
