"""Lessons: clips on a time line, with the exact truth of when each thing begins and ends."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import define, field, frozen

from .material import Clip, take
from .sounds import RATE_HZ, Sound, level_db, write

__all__ = [
    "ANSWER",
    "Cue",
    "Event",
    "conversation",
    "long_lesson",
    "pick",
    "quiet_lesson",
    "wake_calls",
    "write_lesson",
]

_SPEECH_DB = -24.0
_MUSIC_DB = -22.0
_ROOM_DB = -66.0

ANSWER = 13.0
"""Seconds of silence left for an answer. It must be over by then, and the ten seconds in which a
follow-up is taken must not: the coach's answers take 4 to 12 s."""

_JUDGED = 8.0
"""Seconds of playing that are enough to be told something about."""


@frozen(kw_only=True)
class Cue:
    """``clip`` begins to sound ``pause`` s after what came before it has ended, if no clip must
    overlap another for that.

    ``role`` is what it does in the lesson; ``gain_db`` is beside its usual loudness.
    """

    clip: Clip
    role: str
    pause: float
    gain_db: float = 0.0


@frozen(kw_only=True)
class Event:
    """What truly happened: seconds into the lesson."""

    role: str
    start: float
    end: float
    text: str
    who: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "role": self.role,
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "who": self.who,
        }


@define
class _Writer:
    """Lays cues one after the other over the hiss of a room."""

    cues: Iterable[Cue]
    tail: float
    events: list[Event] = field(factory=list)
    samples: int = 0

    def blocks(self) -> Iterator[Sound]:
        room = np.random.default_rng(1).standard_normal(7 * RATE_HZ).astype(np.float32)
        room *= np.float32(10 ** (_ROOM_DB / 20))
        place = 0

        def quiet(count: int) -> Sound:
            nonlocal place
            sound: Sound = np.take(room, np.arange(place, place + count), mode="wrap")
            place += count
            return sound

        ended = 0.0
        for cue in self.cues:
            clip = cue.clip
            gap = max(0, round((ended + cue.pause - clip.first) * RATE_HZ) - self.samples)
            yield quiet(gap)
            begin = (self.samples + gap) / RATE_HZ
            yield _levelled(clip, cue.gain_db) + quiet(len(clip.sound))
            self.samples += gap + len(clip.sound)
            event = Event(
                role=cue.role,
                start=round(begin + clip.first, 4),
                end=round(begin + clip.last, 4),
                text=clip.text or clip.name,
                who=clip.who,
            )
            self.events.append(event)
            ended = event.end
        rest = round(self.tail * RATE_HZ)
        self.samples += rest
        yield quiet(rest)


def _levelled(clip: Clip, gain_db: float) -> Sound:
    wanted = (_MUSIC_DB if clip.role == "music" else _SPEECH_DB) + gain_db
    gain = 10 ** ((wanted - level_db(clip.sound)) / 20)
    peak = float(np.max(np.abs(clip.sound), initial=1e-9))
    sound: Sound = clip.sound * np.float32(min(gain, 0.95 / peak))
    return sound


def write_lesson(
    path: Path, cues: Iterable[Cue], *, tail: float = 3.0
) -> tuple[list[Event], float]:
    """Write the lesson as FLAC.

    :param tail: seconds of quiet after the last clip.
    :returns: what happens in it, and how long it is (s).
    """
    writer = _Writer(cues, tail)
    write(path, writer.blocks())
    return writer.events, writer.samples / RATE_HZ


def pick(clips: Iterable[Clip], role: str, seed: int = 1) -> Iterator[Clip]:
    """The clips of ``role``, for ever; everybody's turn comes before anybody's second.

    :raises ValueError: there are none.
    """
    by_who: dict[str, list[Clip]] = {}
    for clip in clips:
        if clip.role == role:
            by_who.setdefault(clip.who, []).append(clip)
    if not by_who:
        raise ValueError(f"there is no clip to {role}")
    rng = random.Random(seed)
    for group in by_who.values():
        rng.shuffle(group)
    rounds = itertools.zip_longest(*by_who.values())
    return itertools.cycle([clip for group in rounds for clip in group if clip is not None])


def conversation(clips: Sequence[Clip], *, rounds: int) -> Iterator[Cue]:
    """A lesson with everything whose latency counts: in each round three wakes or four, two
    follow-ups after an answer's end, a barge-in by speech, one by music, a chat and a near-miss."""
    wakes, follow_ups = pick(clips, "wake"), pick(clips, "follow_up")
    words = pick(clips, "barge_in")
    music = pick([clip for clip in clips if clip.last - clip.first >= _JUDGED], "music")
    chats, near = pick(clips, "chat"), pick(clips, "near")
    for number in range(rounds):
        yield Cue(clip=take(next(music), 12.0), role="music", pause=1.5)
        yield Cue(clip=next(wakes), role="wake", pause=1.6)
        yield Cue(clip=next(follow_ups), role="follow_up", pause=ANSWER)
        yield Cue(clip=next(follow_ups), role="follow_up", pause=ANSWER)
        yield Cue(clip=next(wakes), role="wake", pause=ANSWER)
        yield Cue(clip=next(words), role="barge_in", pause=4.0 + 0.3 * (number % 5))
        yield Cue(clip=next(wakes), role="wake", pause=ANSWER)
        yield Cue(
            clip=take(next(music), 8.0), role="barge_in_music", pause=4.2 + 0.3 * (number % 4)
        )
        yield Cue(clip=next(chats), role="chat", pause=3.0)
        yield Cue(clip=next(near), role="near", pause=2.0)
    yield Cue(clip=next(chats), role="chat", pause=2.0)


def quiet_lesson(clips: Sequence[Clip], *, seconds: float) -> Iterator[Cue]:
    """A lesson in which nobody asks for anything: speech, near-misses, music, noises."""
    rng = random.Random(3)
    roles = [r for r in ("near", "chat", "music", "noise", "speech") if _any(clips, r)]
    sources = {role: pick(clips, role) for role in roles}
    lasted = 0.0
    for role in itertools.cycle(roles):
        cue = Cue(
            clip=take(next(sources[role]), 25.0),
            role=role,
            pause=rng.uniform(0.6, 3.0),
            gain_db=rng.uniform(-6.0, 3.0),
        )
        lasted += cue.pause + cue.clip.duration
        yield cue
        if lasted > seconds:
            return


def _any(clips: Iterable[Clip], role: str) -> bool:
    return any(clip.role == role for clip in clips)


def wake_calls(clips: Sequence[Clip], *, count: int) -> Iterator[Cue]:
    """``count`` wake phrases, clear and at different distances, each time with quiet around."""
    rng = random.Random(4)
    for clip in itertools.islice(pick(clips, "wake"), count):
        yield Cue(clip=clip, role="wake", pause=5.0, gain_db=rng.uniform(-8.0, 4.0))


def long_lesson(clips: Sequence[Clip], *, seconds: float) -> Iterator[Cue]:
    """A lesson of ``seconds`` that is mostly playing, with a question every few minutes."""
    rng = random.Random(5)
    wakes, follow_ups = pick(clips, "wake"), pick(clips, "follow_up")
    music, chats = pick(clips, "music"), pick(clips, "chat")
    lasted = 0.0

    def laid(clip: Clip, role: str, pause: float) -> Cue:
        nonlocal lasted
        lasted += pause + clip.duration
        return Cue(clip=clip, role=role, pause=pause, gain_db=rng.uniform(-3.0, 3.0))

    while lasted < seconds:
        for _ in range(3):
            yield laid(next(music), "music", rng.uniform(2.0, 5.0))
        yield laid(next(chats), "chat", 2.0)
        yield laid(next(wakes), "wake", 2.5)
        yield laid(next(follow_ups), "follow_up", ANSWER)
        yield laid(next(chats), "chat", ANSWER)
