"""Which of the sound belongs to which of the words.

The service sends the sound of its answer and the transcription of that sound as two streams without
a common clock. A clause may only be heard once its words have been checked, so each clause has to
be cut out of the sound. A cut is made only where the speaker pauses, near the place where, by the
number of its letters, the clause must end; of several pauses the best one is taken. Where there is
none the clause goes together with the next: what comes out may be longer than a clause, but its
text is what its sound says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np
from attrs import define, field, frozen

from maestra.core.clauses import ClauseSplitter
from maestra.ports.brain import SpokenClause

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["LETTERS_PER_S", "Alignment"]

_FRAME_S: Final = 0.01
_PAUSE_S: Final = 0.12
"""A pause is at least this long: a stop consonant is silent for less."""

_QUIET: Final = 0.06
"""Of the loud parts' level (-24 dB); breath and room stay below."""

LETTERS_PER_S: Final = 15.0
"""How fast English is spoken, until this speaker's own pace is known."""

_TRUST: Final = 60.0
"""After so many letters the speaker's own pace counts as much as that."""

_DIGIT: Final = 4.0
""" "92" is spoken with about as many letters as its words have."""

_PLAIN_S: Final = 0.2
_NEAR: Final = 0.2
_NEAR_S: Final = 0.3
"""A pause this long, and this near to where it is expected, is taken without a look at what
follows, if the words have no comma there."""

_EARLIEST: Final = 0.65
_LATEST: Final = 1.4
_SLACK_S: Final = 0.3
"""A clause ends between these shares of the time it is expected to take, and a bit."""

_TAIL_S: Final = 1.0
"""More sound than this beyond its words was not transcribed."""

_ENDS_BROKEN: Final = re.compile(r"[,;:\u2013\u2014.!?\u2026]\s.{1,24}$")
"""A pause may come shortly before the clause ends, too."""

_MARKUP: Final = re.compile(r"<[^<>]*>")
"""Transcriptions hold things such as ``<noise>``."""


@frozen
class _Pause:
    begin: float
    end: float

    @property
    def middle(self) -> float:
        return (self.begin + self.end) / 2


@define
class Alignment:
    """Takes sound and text as they come; gives clauses with their sound.

    ``rate_hz`` is the rate of the sound, mono float32; ``letters_per_s`` how fast this speaker is
    thought to be.
    """

    rate_hz: int
    letters_per_s: float = LETTERS_PER_S
    _splitter: ClauseSplitter = field(factory=ClauseSplitter, init=False)
    _clauses: list[str] = field(factory=list, init=False)
    _pending: str = field(default="", init=False)
    _parts: list[Samples] = field(factory=list, init=False)
    _length: int = field(default=0, init=False)
    _letters: float = field(default=0.0, init=False)
    _seconds: float = field(default=0.0, init=False)

    @property
    def ends_whole(self) -> bool:
        """Whether the text, as far as it has come, ends where a sentence does."""
        text = self._pending.rstrip(" \"')\u201d\u2019")
        return bool(text) and text[-1] in ".!?\u2026"

    @property
    def has_begun(self) -> bool:
        return bool(self._parts or self._seconds or self._pending)

    @property
    def held_seconds(self) -> float:
        return self._length / self.rate_hz

    def sound(self, samples: Samples) -> list[SpokenClause]:
        """Take the next of the sound; return the clauses that are now complete."""
        if len(samples):
            self._parts.append(samples)
            self._length += len(samples)
        return self._cut(last=False)

    def text(self, text: str) -> list[SpokenClause]:
        """Take the next of the transcription, likewise."""
        self._pending = (self._pending + text)[-200:]
        self._clauses += self._splitter.push(_MARKUP.sub(" ", text))
        return self._cut(last=False)

    def finish(self) -> tuple[list[SpokenClause], str]:
        """Everything has come: the rest of the clauses, and the text that has no sound.

        Sound without text is dropped: nobody could check what it says.
        """
        self._clauses += self._splitter.flush()
        if not self._length:
            rest, self._clauses = " ".join(self._clauses), []
            return [], rest
        clauses = self._cut(last=True)
        self._parts, self._length = [], 0
        return clauses, ""

    def _cut(self, *, last: bool) -> list[SpokenClause]:
        made: list[SpokenClause] = []
        while self._clauses and self._length:
            if last and len(self._clauses) == 1:
                place = self._end_of_last()
                made.append(self._take(self._clauses.pop(), place))
                break
            end = self._end_of_first(last=last)
            if end is None:
                break
            if end:
                made.append(self._take(self._clauses.pop(0), end))
            elif len(self._clauses) > 1:
                self._clauses[:2] = [" ".join(self._clauses[:2])]
            else:
                break
        return made

    def _end_of_first(self, *, last: bool) -> int | None:
        """The sample where the first clause ends; 0: nowhere; ``None``: more sound is needed."""
        letters = _letters(self._clauses[0])
        expected = letters / self.pace
        if last:
            # All the text is there, so the pace of the rest is known, if all the sound belongs to
            # it.
            everything = sum(map(_letters, self._clauses))
            expected = min(self.held_seconds * letters / everything, _LATEST * expected)
        elif self.held_seconds < _LATEST * expected + _SLACK_S + _PAUSE_S:
            return self._plain_pause(expected)
        return self._best_pause(expected)

    def _plain_pause(self, expected: float) -> int | None:
        """The sample where the first clause plainly ends; ``None``: that cannot be said yet."""
        if _ENDS_BROKEN.search(self._clauses[0]):
            return None
        near = max(_NEAR * expected, _NEAR_S)
        for pause in self._pauses(self.held_seconds):
            if abs(pause.middle - expected) <= near and pause.end - pause.begin >= _PLAIN_S:
                return round(pause.middle * self.rate_hz)
        return None

    def _end_of_last(self) -> int:
        """Where the last clause ends: with the sound, unless far too much of that is left."""
        expected = _letters(self._clauses[0]) / self.pace
        if self.held_seconds <= _LATEST * expected + _TAIL_S:
            return self._length
        return self._best_pause(expected) or self._length

    def _best_pause(self, expected: float) -> int:
        """The sample where a clause that is expected to take so long ends; 0: there is no pause."""
        earliest, latest = _EARLIEST * expected, _LATEST * expected + _SLACK_S
        pauses = [
            pause for pause in self._pauses(latest + _PAUSE_S) if earliest <= pause.middle <= latest
        ]
        if not pauses:
            return 0
        best = max(
            pauses,
            key=lambda pause: (
                (pause.end - pause.begin) - 0.5 * abs(pause.middle - expected) / max(expected, 0.5)
            ),
        )
        return round(best.middle * self.rate_hz)

    @property
    def pace(self) -> float:
        """How fast the speaker is, by what was heard so far; letters a second."""
        return (_TRUST + self._letters) / (_TRUST / self.letters_per_s + self._seconds)

    def _pauses(self, until_s: float) -> list[_Pause]:
        """The pauses in the first ``until_s`` seconds that have sound on both sides."""
        frame = round(_FRAME_S * self.rate_hz)
        sound = self._joined()
        count = min(len(sound) // frame, round(until_s / _FRAME_S))
        frames = sound[: count * frame].reshape(count, frame)
        levels = np.sqrt(np.mean(np.square(frames), axis=1))
        if not count or not levels.any():
            return []
        quiet = levels < _QUIET * float(np.percentile(levels, 90))
        edges = np.flatnonzero(np.diff(quiet.astype(np.int8), prepend=0, append=0))
        return [
            _Pause(begin * _FRAME_S, end * _FRAME_S)
            for begin, end in zip(edges[::2], edges[1::2], strict=True)
            if 0 < begin and end < count and (end - begin) * _FRAME_S >= _PAUSE_S
        ]

    def _take(self, text: str, samples: int) -> SpokenClause:
        sound = self._joined()
        taken, rest = sound[:samples], sound[samples:]
        self._parts, self._length = ([rest] if len(rest) else []), len(rest)
        self._letters += _letters(text)
        self._seconds += samples / self.rate_hz
        return SpokenClause(text=text, sound=taken, sample_rate_hz=self.rate_hz)

    def _joined(self) -> Samples:
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]


def _letters(text: str) -> float:
    return max(1.0, sum(_DIGIT if sign.isdecimal() else 1.0 for sign in text))
