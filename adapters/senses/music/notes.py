"""The notes of a single line: steps of pitch, cut at onsets, with exact pitch, level and end.

Conventions
-----------
Sound is 44.1 kHz. *Frames* are 10 ms (441 samples), *pitch frames* 20 ms; both count from the
beginning of the passage. Levels are dBFS (RMS). Pitches are MIDI numbers, A4 = 440 Hz = 69.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import evolve, frozen

from .arrays import Floats, Rows
from .contour import Step
from .onsets import Attack
from .pitch import PHASE_REACH, octave_below_sounds, phase_jump, refine, to_hz
from .spectra import HOP, RATE_HZ, magnitudes

__all__ = ["FoundNote", "Tracks", "describe", "outline"]

_PITCH_FRAME = 2
"""Frames per pitch frame."""
_BEFORE = 8
_AFTER = 5
"""A note begins at an onset from this many frames before to this many after its pitch does."""
_LONG_BEFORE = 16
"""The same for a sure onset: the last note may ring on into the new one."""
_SURE_STRENGTH = 0.6
_BEGUN = 0.12
"""The share of its rise in level, in decibels, with which a note has begun."""
_ONE_NOTE = 0.7
"""Steps nearer than this (semitones), without an onset between them, are one note."""
_GLIDE = 5
"""A step of fewer pitch frames, on the way from one note to the next, belongs to the next."""
_SHORTEST = 6
"""Frames that a note lasts at least."""
_SETTLING = 20
"""Frames for which the level of a new note may waver; a soft onset then is none."""
_RISE_DB = 2.0
_RISE_OF_A_WEAK_ONSET_DB = 4.0
"""How much louder a note's partials are after being struck again."""
_AGAIN_DB = 1.5
"""How much louder or, for a moment, softer they are at least when their phase jumps, ..."""
_GAP_DB = 2.4
"""... and for how deep a gap it need not."""
_GONE_DB = 9.0
"""Partials that are this much softer afterwards have ended, not begun again."""
_JUMP = 0.3
"""How far a phase must jump to have begun anew, ..."""
_BEND = 30.0
"""... and by how much (cents) the pitch may differ on both sides of it."""
_DROP_DB = 9.0
_DROP_FRAMES = 6
"""A level that falls this much in so many frames was let go."""
_FAINT_DB = 26.0
"""A note is over when it is this much below its loudest."""


@frozen(kw_only=True)
class FoundNote:
    """A note from frame ``first`` to frame ``last`` (fractions), ``midi`` exact.

    ``steadiness`` is the share of its pitch frames within half a semitone of ``midi``; ``share``
    what its pitch explains of its sound; ``glide`` how fast its pitch goes up (semitones a second,
    negative downwards). ``struck`` says that it has an attack.
    """

    first: float
    last: float
    midi: float
    confidence: float
    steadiness: float
    share: float
    glide: float
    level_db: float
    struck: bool


class Tracks:
    """What is known of the passage, frame by frame."""

    def __init__(self, context: int) -> None:
        """:param context: samples of silence that stand before the first."""
        self.sound = Rows(start=-context)
        self.sound.push(np.zeros(context, dtype=np.float32))
        self.attack = Rows()
        self.opinion = Rows()
        self.level = Rows()
        """dBFS of the 20 ms around each frame."""
        self.midi = Rows()
        self.confidence = Rows()
        self.share = Rows()
        """How much of the spectrum ``midi`` explains, per pitch frame."""
        self.lasting = Rows()
        """How like the spectrum is to that of 0.1 s before, per pitch frame."""

    def drop(self, frame: int, samples_kept: int) -> None:
        """Forget what lies before ``frame``, but for ``samples_kept`` samples of sound."""
        for rows in (self.attack, self.opinion, self.level):
            rows.drop(frame)
        for rows in (self.midi, self.confidence, self.share, self.lasting):
            rows.drop(frame // _PITCH_FRAME)
        self.sound.drop(frame * HOP - samples_kept)

    def partials_db(self, first: int, last: int, midi: float) -> Floats:
        """The level of the partials of ``midi``, frame by frame."""
        spectra = magnitudes(self.sound, first, last, 2048)
        frequency = np.arange(spectra.shape[1]) * RATE_HZ / 2048
        hz = to_hz(midi)
        nearest = np.maximum(np.round(frequency / hz), 1) * hz
        own = (np.abs(frequency - nearest) < RATE_HZ / 2048) & (frequency < 5000)
        energy = np.square(spectra[:, own]).sum(axis=1)
        result: Floats = 10 * np.log10(energy + 1e-9)
        return result


def struck_again(tracks: Tracks, attack: Attack, midi: float) -> bool:
    """Whether a note that was sounding was played again at ``attack``.

    A click, or another's noise, makes an onset too, but no partial of the note louder, and none
    begins anew.
    """
    n = round(attack.at)
    first = max(n - 6, tracks.sound.start // HOP + 4)
    if n - first < 2:
        return False
    level = tracks.partials_db(first, n + 14, midi)
    here = n - first
    before = float(level[: here + 1].min())
    after = float(np.median(level[here + 4 : here + 10]))
    rise = after - before
    if rise > (_RISE_DB if attack.strength > 0.6 else _RISE_OF_A_WEAK_ONSET_DB):
        return True
    if not attack.sharp or rise < -_GONE_DB:
        return False
    lowest = here + int(level[here : here + 9].argmin())
    fall = float(np.median(level[: max(here - 1, 1)]) - level[lowest])
    comeback = float(level[lowest : lowest + 6].max() - level[lowest])
    if fall > _GAP_DB and comeback > _GAP_DB:
        return True
    return max(rise, fall) > _AGAIN_DB and _begins_anew(tracks, n, midi)


def _begins_anew(tracks: Tracks, frame: int, midi: float) -> bool:
    at = frame * HOP
    found = phase_jump(tracks.sound.get(at - PHASE_REACH[0], at + PHASE_REACH[1]), midi)
    return found is not None and found[0] > _JUMP and found[1] < _BEND


def _joined(steps: Sequence[Step], attacks: Sequence[Attack]) -> list[Step]:
    """``steps``, with what is one note made one step."""

    def onset_near(frame: int) -> bool:
        at = frame * _PITCH_FRAME
        return any(at - _BEFORE <= attack.at <= at + _AFTER for attack in attacks)

    joined: list[Step] = []
    for step in steps:
        before = joined[-1] if joined else None
        if before is not None and before.last == step.first and not onset_near(step.first):
            if abs(before.midi - step.midi) < _ONE_NOTE:
                longer = max(before, step, key=lambda one: one.last - one.first)
                joined[-1] = evolve(longer, first=before.first, last=step.last)
                continue
            if before.last - before.first < _GLIDE:
                joined[-1] = evolve(step, first=before.first)
                continue
        joined.append(step)
    return joined


@frozen(kw_only=True)
class Outline:
    """Where a note is: frames, before its pitch and end are looked at closely."""

    first: float
    last: float
    midi: float
    struck: bool


def _beginning(level: Rows, attack: Attack) -> float:
    """Where the level begins to rise to the note whose ``attack`` was noticed.

    The networks notice an onset when most of its rise is over, which on a flute may take 50 ms.
    """
    at = attack.at
    n = round(at)
    around = level.get(n - _BEFORE, n + _AFTER)
    if (attack.sharp and attack.strength > _SURE_STRENGTH) or len(around) < _BEFORE + _AFTER:
        return at
    quiet, loud = float(around[: _BEFORE + 1].min()), float(around[_BEFORE:].max())
    if loud - quiet < _RISE_DB * 3:
        return at
    threshold = quiet + _BEGUN * (loud - quiet)
    begun = _BEFORE
    while begun > 0 and around[begun - 1] > threshold:
        begun -= 1
    return min(at, n - _BEFORE + begun + 0.7)


def outline(
    tracks: Tracks,
    steps: Sequence[Step],
    attacks: Sequence[Attack],
    again: dict[float, bool],
) -> list[Outline]:
    """Steps and onsets made into notes, in order.

    :param again: what :func:`struck_again` answered before, by instant; added to.
    """
    notes: list[Outline] = []
    for step in _joined(steps, attacks):
        pitch_first = step.first * _PITCH_FRAME
        last = step.last * _PITCH_FRAME
        near = [
            one
            for one in attacks
            if pitch_first - (_LONG_BEFORE if one.strength > _SURE_STRENGTH else _BEFORE)
            <= one.at
            <= pitch_first + _AFTER
        ]
        if notes:
            near = [one for one in near if one.at > notes[-1].first + _SHORTEST]
        begin = float(pitch_first)
        if near:
            noticed = max(near, key=lambda one: one.strength - 0.03 * abs(one.at - pitch_first))
            begin = _beginning(tracks.level, noticed)
        if notes and notes[-1].last > begin:
            notes[-1] = evolve(notes[-1], last=begin)
        struck = any(one.sharp for one in near)
        for one in attacks:
            if begin + _SHORTEST < one.at < last - _SHORTEST:
                if not one.sharp and one.at < begin + _SETTLING:
                    continue
                if one.at not in again:
                    again[one.at] = struck_again(tracks, one, step.midi)
                if again[one.at]:
                    at = max(_beginning(tracks.level, one), begin + _SHORTEST)
                    notes.append(Outline(first=begin, last=at, midi=step.midi, struck=struck))
                    begin, struck = at, True
        notes.append(Outline(first=begin, last=float(last), midi=step.midi, struck=struck))
    return [note for note in notes if note.last - note.first >= _SHORTEST]


def _end(level: Floats, count: int) -> int:
    """How many of the ``count`` frames whose levels are ``level`` the note sounds.

    ``level`` may go on after them, and begins with the note's first frame.
    """
    top = level[0]
    for n in range(1, count):
        top = max(top, level[n])
        rest = level[n + _DROP_FRAMES : count]
        for_good = not len(rest) or rest.max() < level[n] - _DROP_DB / 2
        if level[n] < top - _FAINT_DB and for_good:
            return n
        later = level[n + 1 : n + 1 + _DROP_FRAMES]
        if n >= 4 and len(later) and level[n] - later.min() > _DROP_DB and for_good:
            return n + 1
    return count


def _glide(exact: Floats) -> float:
    """The slope of a pitch given every 5 ms, in semitones a second."""
    count = len(exact)
    if count < 4:
        return 0.0
    at = (np.arange(count) - (count - 1) / 2) * 0.005
    return float((at * exact).sum() / np.square(at).sum())


def describe(tracks: Tracks, note: Outline) -> FoundNote | None:
    """Look closely at ``note``: its pitch, its end, its level; ``None`` if it has no pitch."""
    begin, end = round(note.first), round(note.last)
    level = tracks.level.get(begin, end + _DROP_FRAMES)
    if len(level) < _SHORTEST:
        return None
    sounding = _end(level, min(end - begin, len(level)))
    last = note.last if sounding == end - begin else float(begin + sounding)
    length = last - note.first
    if length < _SHORTEST:
        return None
    # leave out the attack, in which the pitch is not settled, and the edge of the next note
    inner_first = note.first + min(6.0, 0.25 * length)
    inner_last = last - min(3.0, 0.15 * length)
    pitch_first = int(np.ceil(inner_first / _PITCH_FRAME))
    pitch_last = max(int(inner_last / _PITCH_FRAME), pitch_first + 1)
    midi = tracks.midi.get(pitch_first, pitch_last)
    confidence = tracks.confidence.get(pitch_first, pitch_last)
    share = tracks.share.get(pitch_first, pitch_last)
    if not len(midi) or not len(share):
        return None
    of_note = np.abs(midi - note.midi) < 1
    rough = float(np.median(midi[of_note])) if of_note.any() else note.midi
    sound = tracks.sound.get(round(inner_first * HOP), round(inner_last * HOP))
    if octave_below_sounds(sound, rough):
        rough -= 12
        midi = midi - 12
    exact = refine(sound, rough)
    pitch = float(np.median(exact)) if len(exact) else rough
    power = 10 ** (level[:sounding] / 10)
    return FoundNote(
        first=note.first,
        last=last,
        midi=pitch,
        confidence=float(np.mean(confidence)),
        steadiness=float(np.mean(np.abs(midi - pitch) < 0.5)),
        share=float(np.median(share)),
        glide=_glide(exact),
        level_db=float(10 * np.log10(power.mean() + 1e-12)),
        struck=note.struck,
    )
