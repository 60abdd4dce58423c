"""The music analysis: notes, onsets, beats and level, while the sound comes in.

Conventions
-----------
Sound is 44.1 kHz mono, counted in samples since the session began; events are in seconds of
session media time. The work is done in blocks of 0.2 s that begin at whole multiples of a block
since the first sample heard, however the sound was cut, so its cut cannot change the result.

A *passage* is a stretch of music between stretches of something else. In it every block goes
through CREPE and madmom's networks; outside, nothing is computed. Within a passage *frames* are
10 ms and *pitch frames* 20 ms.

A note is reported about half a second after its end, a beat about a second after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from attrs import frozen

from maestra.core.hearing import FloorLabel
from maestra.core.performance.notes import Beat, Level, MusicEvent, Onset, PerformedNote
from maestra.ports.audio import EAR_RATE_HZ, AudioChunk
from maestra.ports.errors import SensesError

from .activations import BeatActivation, OnsetActivation, OnsetOpinion
from .arrays import Floats, Rows
from .beats import BeatTracker
from .contour import PitchPath
from .crepe import CREPE_HOP, Crepe, Resampler
from .madmom_models import MusicModels
from .notes import FoundNote, Tracks, describe, outline
from .onsets import LOOK_AHEAD, Attack, pick_onsets
from .pitch import LASTING_LAG, harmonic_share, lasting
from .polyphony import CONTEXT, PianoNotes, TextureJudge, keys_played
from .spectra import HOP, magnitudes

__all__ = ["CrepeMadmomAnalyser"]

_BLOCK = 20 * HOP
_SECOND = 100
"""Frames."""
_CENTRED = 2048
"""Samples after a frame's own that the longest spectrum needs."""
_CREPE_WINDOW = 512
"""Samples at 16 kHz on either side of a pitch frame."""
_KEPT = 8192
"""Samples kept before the oldest frame that is still needed."""
_LEVEL_FRAMES = 10
"""Frames per level that is reported."""

_FAINTEST_DBFS = -58.0
"""Below this there is nothing to hear."""
_LOOK_BACK = 2
"""Blocks before the music was noticed that are analysed with it."""
_PATIENCE = 8
"""Blocks without music after which a passage is over."""
_SURE_AFTER = 25
"""Frames after a note's end when nothing will change it."""
_FIRST_JUDGEMENT = 150
"""Frames of a passage before one line is told from several, and any note is reported."""
_TEXTURE = 150
"""Pitch frames (3 s) by which one line is told from several."""
_LONGEST = 1000
"""Frames for which a note's beginning is remembered."""

_LEAST_CONFIDENCE = 0.45
_LEAST_STEADINESS = 0.45
_LEAST_TRUST = 0.3
_LEAST_SHARE = 0.15
_SPOKEN_GLIDE = 20.0
_SPOKEN_FRAMES = 25
"""A pitch that goes as fast as this (semitones a second) for no longer than this is a voice that
speaks, or the way from one note to the next."""
_FAINT_BESIDE_DB = 38.0
"""A note this much softer than the loudest of late is an echo."""
_ECHO = 60
_ECHO_DB = 12.0
"""A note this soon after one of its pitch and this much softer is its echo, ..."""
_ECHO_FRAMES = 12
"""... if it has no attack, or is this short."""
_CLEAR_CONFIDENCE = 0.5
_CLEAR_STEADINESS = 0.6
_CLEAR_SHARE = 0.4
"""Below these a note's pitch is known, but not to the cent."""

_UNHEARD = frozenset({FloorLabel.SPEECH, FloorLabel.OWN_VOICE})
"""What is never listened to."""
_NOTHING = np.zeros(_BLOCK // HOP, dtype=np.float32)


@frozen(kw_only=True)
class _Networks:
    crepe: Crepe
    resampler: Resampler
    onset: OnsetActivation
    opinion: OnsetOpinion
    beat: BeatActivation
    tracker: BeatTracker
    piano: PianoNotes
    judge: TextureJudge

    def reset(self) -> None:
        self.resampler.reset()
        self.onset.reset()
        self.opinion.reset()
        self.beat.reset()
        self.tracker.reset()
        self.judge.reset()


@frozen(kw_only=True, eq=False)
class _Floor:
    """Who has the floor in a block, per frame: 1 for ``music``, 1 for ``talk`` that is no music."""

    music: Floats
    talk: Floats

    @classmethod
    def nobody(cls) -> _Floor:
        return cls(music=_NOTHING, talk=_NOTHING)

    @classmethod
    def of(cls, labels: Sequence[tuple[int, FloorLabel]]) -> _Floor:
        """:param labels: samples, and their label; a frame has that of its first sample."""
        counts = [count for count, _ in labels]
        kinds = [(label.is_music, label in _UNHEARD) for _, label in labels]
        each = np.repeat(np.array(kinds, dtype=np.float32), counts, axis=0)[::HOP]
        return cls(music=each[:, 0], talk=each[:, 1])

    @property
    def is_music(self) -> bool:
        """Whether most of it is."""
        return 2 * float(self.music.sum()) >= len(self.music)

    @property
    def is_usable(self) -> bool:
        """Whether music that begins later may be looked for in it."""
        return not self.talk.any()


class _Passage:
    """One passage. ``start`` is its first sample; it owns ``networks`` until it is finished."""

    def __init__(self, networks: _Networks, start: int, a4_hz: float) -> None:
        networks.reset()
        self._net = networks
        self._start = start
        self._tuning = 12 * float(np.log2(a4_hz / 440))
        self._tracks = Tracks(_KEPT)
        self._low = Rows(start=-_CREPE_WINDOW)
        self._low.push(np.zeros(_CREPE_WINDOW, dtype=np.float32))
        self._spectra: Floats = np.zeros((LASTING_LAG, 2048), dtype=np.float32)
        self._path = PitchPath()
        self._music = Rows()
        """1 in frames of music, per frame."""
        self._talk = Rows()
        """1 in frames that are not to be listened to, per frame."""
        self._levels_given = 0
        self._attacks: list[Attack] = []
        self._attacks_until = 0
        self._sounded: list[float] = []
        self._again: dict[float, bool] = {}
        self._pulse = Rows()
        self._notes_until = 0.0
        self._loudest = -120.0
        self._last: FoundNote | None = None
        self._piano_from: int | None = None
        self._sounding = Rows(width=88)
        self._struck = Rows(width=88)
        self._keys_given: set[tuple[int, int]] = set()
        self._onsets_until = 0.0

    def _seconds(self, frame: float) -> float:
        return float((self._start + frame * HOP) / EAR_RATE_HZ)

    # --- what comes in ------------------------------------------------------------------------

    def push(self, block: Floats, floor: _Floor) -> list[MusicEvent]:
        """One more block, and who had the floor."""
        self._take_in(block, floor)
        return self._report(final=False)

    def finish(self) -> list[MusicEvent]:
        """The passage is over: give what was held back."""
        for _ in range(2):
            self._take_in(np.zeros(_BLOCK, dtype=np.float32), _Floor.nobody())
        return self._report(final=True)

    def _take_in(self, block: Floats, floor: _Floor) -> None:
        tracks, net = self._tracks, self._net
        tracks.sound.push(block)
        self._music.push(floor.music)
        self._talk.push(floor.talk)
        frames = (tracks.sound.end - _CENTRED) // HOP + 1
        tracks.attack.push(net.onset(tracks.sound, frames))
        tracks.opinion.push(net.opinion(tracks.sound, frames))
        self._pulse.push(net.beat(tracks.sound, frames))
        tracks.level.push(self._levels(tracks.level.end, frames))

        self._low.push(net.resampler(block))
        first, last = tracks.midi.end, (self._low.end - _CREPE_WINDOW) // CREPE_HOP + 1
        last = min(last, (frames - 1) // 2 + 1)
        if last > first:
            midi, confidence = net.crepe(self._low, first, last)
            spectra = magnitudes(tracks.sound, first, last, 4096, hop=2 * HOP)
            tracks.midi.push(midi)
            tracks.confidence.push(confidence)
            tracks.share.push(harmonic_share(spectra, midi))
            seen = np.concatenate((self._spectra, spectra))
            tracks.lasting.push(lasting(seen))
            self._spectra = seen[-LASTING_LAG:]
            self._low.drop(last * CREPE_HOP - 2 * _CREPE_WINDOW)
        self._follow_pitch()

    def _levels(self, first: int, last: int) -> Floats:
        """dBFS of the 20 ms around each frame."""
        samples = self._tracks.sound.get((first - 1) * HOP, last * HOP)
        power = np.square(samples.reshape(-1, HOP)).mean(axis=1)
        around = (power[1:] + power[:-1]) / 2
        result: Floats = (10 * np.log10(around + 1e-12)).astype(np.float32)
        return result

    def _follow_pitch(self) -> None:
        tracks = self._tracks
        for m in range(self._path.end, tracks.midi.end):
            n = 2 * m
            if n + 5 > tracks.attack.end:
                break
            level = float(tracks.level.get(n, n + 1)[0])
            audible = level > _FAINTEST_DBFS and not self._talk.get(n, n + 1).any()
            onset = (
                tracks.attack.get(n - 2, n + 3).max(initial=0) > 0.4
                or tracks.opinion.get(n, n + 5).max(initial=0) > 0.4
            )
            midi, confidence = tracks.midi.get(m, m + 1)[0], tracks.confidence.get(m, m + 1)[0]
            self._path.push(float(midi), float(confidence), audible=audible, onset=bool(onset))

    # --- what is found ------------------------------------------------------------------------

    def _report(self, *, final: bool) -> list[MusicEvent]:
        events: list[MusicEvent] = list(self._report_levels())
        horizon = 2 * self._path.end
        self._hear_onsets(horizon - LOOK_AHEAD)
        if final or horizon >= _FIRST_JUDGEMENT:
            several = self._judge_texture(horizon)
            settled = float(horizon if final else horizon - _SURE_AFTER)
            if several:
                events += self._report_keys(settled, final=final)
                events += self._report_onsets(settled)
            else:
                events += self._report_notes(settled)
            self._onsets_until = max(self._onsets_until, settled)
        for frame, confidence in self._net.tracker(
            self._pulse, self._attacks, self._sounded, final=final
        ):
            if self._music.get(round(frame), round(frame) + 1).all():
                events.append(Beat(at=self._seconds(frame), confidence=confidence))
        self._forget(horizon)
        return events

    def _report_levels(self) -> list[Level]:
        found: list[Level] = []
        sound = self._tracks.sound
        while (self._levels_given + _LEVEL_FRAMES) * HOP <= sound.end:
            first, last = self._levels_given, self._levels_given + _LEVEL_FRAMES
            self._levels_given = last
            if not self._music.get(first, last).all():
                continue
            power = float(np.square(sound.get(first * HOP, last * HOP)).mean())
            level = 10 * float(np.log10(power + 1e-12))
            if level > _FAINTEST_DBFS:
                found.append(Level(at=self._seconds(first), level_db=level))
        return found

    def _hear_onsets(self, until: int) -> None:
        if until <= self._attacks_until:
            return
        tracks = self._tracks
        for one in pick_onsets(
            tracks.attack, tracks.opinion, tracks.level, self._attacks_until, until
        ):
            n = round(one.at)
            loud = tracks.level.get(n, n + 6).max(initial=-120) > _FAINTEST_DBFS
            if loud and not self._talk.get(n, n + 1).any():
                self._attacks.append(one)
        self._attacks_until = until

    def _judge_texture(self, horizon: int) -> bool:
        tracks, judge = self._tracks, self._net.judge
        last = horizon // 2
        first = max(last - _TEXTURE, tracks.midi.start)
        level = tracks.level.get(2 * first, 2 * last)[::2]
        texture = np.column_stack(
            (
                tracks.confidence.get(first, last),
                tracks.share.get(first, last),
                tracks.lasting.get(first, last),
            )
        )
        heard = level[: len(texture)] > max(level.max(initial=-120) - 35, _FAINTEST_DBFS)
        if heard.sum() < 10:
            return judge.several
        confidence, share, lasts = np.median(texture[heard], axis=0).tolist()
        sounding: Floats | None = None
        if judge.in_doubt(confidence, share, lasts):
            self._ask_piano(last)
            sounding = self._sounding.get(first, last)
        else:
            self._piano_from = None
        return judge.judge(confidence, share, lasts, sounding)

    def _ask_piano(self, last: int) -> None:
        """Make the piano network's word known up to pitch frame ``last``."""
        oldest = -(-(self._tracks.sound.start + _CENTRED) // (2 * HOP)) + CONTEXT
        if self._piano_from is None:
            first = max(last - _TEXTURE, oldest, 0)
            self._piano_from = first
            self._sounding, self._struck = Rows(width=88, start=first), Rows(width=88, start=first)
        newest = (self._tracks.sound.end - _CENTRED) // (2 * HOP) + 1 - CONTEXT
        first, last = self._sounding.end, min(last, newest)
        if last > first:
            sounding, struck = self._net.piano(self._tracks.sound, first, last)
            self._sounding.push(sounding)
            self._struck.push(struck)

    def _report_notes(self, settled: float) -> list[MusicEvent]:
        found: list[MusicEvent] = []
        for sketch in outline(self._tracks, self._path.steps(), self._attacks, self._again):
            if sketch.last > settled or sketch.first < self._notes_until - 1:
                continue
            self._notes_until = sketch.last
            note = describe(self._tracks, sketch)
            if (
                note is None
                or not self._is_in_music(note.first, note.last)
                or not self._is_note(note)
            ):
                continue
            self._sounded.append(note.first)
            found += self._events_of(note)
        return found

    def _is_in_music(self, first: float, last: float) -> bool:
        """Whether there is music for half of the frames from ``first`` to ``last``.

        A soft beginning is noticed late: what leads into music belongs to it.
        """
        music = self._music.get(round(first), max(round(last), round(first) + 1))
        return len(music) > 0 and float(music.mean()) >= 0.5

    def _is_note(self, note: FoundNote) -> bool:
        last, self._last = self._last, note
        if (
            last is not None
            and (not note.struck or note.last - note.first < _ECHO_FRAMES)
            and abs(note.midi - last.midi) < 0.5
            and note.first - last.last < _ECHO
            and note.level_db < last.level_db - _ECHO_DB
        ):
            self._last = last
            return False
        self._loudest = max(self._loudest - 0.5, note.level_db)
        return (
            note.confidence >= _LEAST_CONFIDENCE
            and note.steadiness >= _LEAST_STEADINESS
            and note.confidence * note.steadiness >= _LEAST_TRUST
            and note.share >= _LEAST_SHARE
            and (abs(note.glide) < _SPOKEN_GLIDE or note.last - note.first > _SPOKEN_FRAMES)
            and note.level_db > max(self._loudest - _FAINT_BESIDE_DB, _FAINTEST_DBFS)
        )

    def _events_of(self, note: FoundNote) -> list[MusicEvent]:
        exact = note.midi - self._tuning
        midi = round(exact)
        clear = (
            note.confidence >= _CLEAR_CONFIDENCE
            and note.steadiness >= _CLEAR_STEADINESS
            and note.share >= _CLEAR_SHARE
        )
        onset = self._seconds(note.first)
        return [
            Onset(
                at=onset,
                strength=1.0 if note.struck else 0.5,
                loudness_db=note.level_db,
            ),
            PerformedNote(
                onset=onset,
                duration=(note.last - note.first) * HOP / EAR_RATE_HZ,
                midi=midi,
                f0_hz=float(440 * 2 ** ((note.midi - 69) / 12)) if clear else None,
                deviation_cents=100 * (exact - midi) if clear else None,
                loudness_db=note.level_db,
                confidence=float(np.clip(note.confidence * note.steadiness, 0, 1)),
            ),
        ]

    def _report_onsets(self, settled: float) -> list[MusicEvent]:
        """The onsets of several lines, whatever their pitches."""
        found: list[MusicEvent] = []
        for one in self._attacks:
            if self._onsets_until <= one.at < settled and self._is_in_music(
                one.at, one.at + _SURE_AFTER
            ):
                self._sounded.append(one.at)
                n = round(one.at)
                loudness = float(self._tracks.level.get(n, n + 10).max(initial=-120))
                found.append(
                    Onset(at=self._seconds(one.at), strength=one.strength, loudness_db=loudness)
                )
        return found

    def _report_keys(self, settled: float, *, final: bool) -> list[MusicEvent]:
        found: list[MusicEvent] = []
        for key in keys_played(self._sounding, self._struck):
            name = (key.first, key.midi)
            first, last = 2.0 * key.first, key.last
            if last is None and (final or self._sounding.end - key.first > _LONGEST // 3):
                last = self._sounding.end
            if last is None or 2 * last > settled or name in self._keys_given:
                continue
            if first < self._notes_until - 1 and not self._keys_given:
                continue  # it was reported while there was one line
            self._keys_given.add(name)
            near = [one.at for one in self._attacks if abs(one.at - first) < 5]
            begin = min(near, key=lambda at: abs(at - first)) if near else first
            if not self._is_in_music(begin, 2 * last):
                continue
            level = self._tracks.level.get(round(begin), 2 * last)
            power = 10 ** (level / 10)
            found.append(
                PerformedNote(
                    onset=self._seconds(begin),
                    duration=max(2 * last - begin, 2.0) * HOP / EAR_RATE_HZ,
                    midi=key.midi,
                    loudness_db=float(10 * np.log10(power.mean() + 1e-12)) if len(power) else -60.0,
                    confidence=float(np.clip(key.confidence, 0, 1)),
                )
            )
        self._notes_until = max(self._notes_until, settled - 2 * _SURE_AFTER)
        return found

    def _forget(self, horizon: int) -> None:
        """Drop what no later report can need."""
        done = min(int(self._notes_until), horizon) // 2 * 2 - 20
        oldest = max(done, horizon - _LONGEST)
        self._path.drop(oldest // 2)
        needed = max(min(oldest, horizon - 2 * _TEXTURE), 0)
        self._tracks.drop(needed, _KEPT)
        self._music.drop(needed)
        self._talk.drop(needed)
        self._pulse.drop(horizon - 15 * _SECOND)
        self._attacks = [one for one in self._attacks if one.at > horizon - 15 * _SECOND]
        self._sounded = [at for at in self._sounded if at > horizon - 15 * _SECOND]
        self._again = {at: was for at, was in self._again.items() if at > oldest}
        kept = (horizon - _LONGEST) // 2
        self._sounding.drop(kept)
        self._struck.drop(kept)
        self._keys_given = {name for name in self._keys_given if name[0] >= kept}


class CrepeMadmomAnalyser:
    """CREPE for pitch, madmom for onsets, beats and chords. Implements ``MusicAnalyser``.

    It is deterministic, and must be used by one thread at a time.
    """

    def __init__(self, models: MusicModels, *, a4_hz: float = 440.0) -> None:
        """Load the networks.

        :param a4_hz: what deviations are measured against.
        :raises ModelMissing: a file is absent or is not what it should be.
        :raises SensesError: a library is missing.
        """
        try:
            self._networks = _Networks(
                crepe=Crepe(models.crepe),
                resampler=Resampler(),
                onset=OnsetActivation(models.onset_cnn),
                opinion=OnsetOpinion(models.onset_rnn),
                beat=BeatActivation(models.beat_lstm),
                tracker=BeatTracker(),
                piano=PianoNotes(models.notes_cnn),
                judge=TextureJudge(),
            )
        except ImportError as error:
            raise SensesError(f"the music analysis cannot be loaded: {error}") from error
        self._a4_hz = a4_hz
        self._pending: list[Floats] = []
        self._labels: list[tuple[int, FloorLabel]] = []
        self._waiting = 0
        self._next: int | None = None
        """The sample expected next."""
        self._before: deque[tuple[Floats, _Floor]] = deque(maxlen=_LOOK_BACK)
        self._passage: _Passage | None = None
        self._idle = 0

    def push(self, chunk: AudioChunk, floor: FloorLabel) -> Sequence[MusicEvent]:
        """Hear ``chunk`` (44.1 kHz). ``floor`` is the label known for it: only music is analysed.

        If ``chunk`` does not follow the last one, the music is taken to have ended between them.

        :raises SensesError: the rate is another, or a model failed.
        """
        if chunk.rate_hz != EAR_RATE_HZ:
            raise SensesError(f"the music analysis hears {EAR_RATE_HZ} Hz, not {chunk.rate_hz}")
        events: list[MusicEvent] = []
        if self._next is not None and chunk.start != self._next:
            events += self.flush()
        self._next = chunk.end
        if not len(chunk.samples):
            return events
        samples = np.nan_to_num(chunk.samples.astype(np.float32, copy=False))
        self._pending.append(np.clip(samples, -4, 4))
        self._labels.append((len(samples), floor))
        self._waiting += len(samples)
        if self._waiting >= _BLOCK:
            events += self._work(chunk.end - self._waiting)
        return events

    def flush(self) -> Sequence[MusicEvent]:
        """The sound has ended: give what was held back."""
        events: list[MusicEvent] = []
        if self._waiting and self._next is not None:
            missing = _BLOCK - self._waiting
            label = self._labels[-1][1]
            self._pending.append(np.zeros(missing, dtype=np.float32))
            self._labels.append((missing, label))
            start = self._next - self._waiting
            self._waiting = _BLOCK
            events += self._work(start)
        events += self._finish()
        self._before.clear()
        self._next = None
        return events

    def _work(self, start: int) -> list[MusicEvent]:
        """Analyse every whole block that waits, the first of which begins at ``start``."""
        events: list[MusicEvent] = []
        waiting = np.concatenate(self._pending)
        done = 0
        while len(waiting) - done >= _BLOCK:
            floor = self._next_floor()
            block = waiting[done : done + _BLOCK]
            try:
                events += self._hear(block, start + done, floor)
            except (RuntimeError, ValueError, IndexError, FloatingPointError) as error:
                self._passage = None
                raise SensesError(f"the music analysis failed: {error}") from error
            done += _BLOCK
        rest = waiting[done:]
        self._pending = [rest] if len(rest) else []
        self._waiting = len(rest)
        return events

    def _next_floor(self) -> _Floor:
        """Who has the floor in the next block."""
        taken: list[tuple[int, FloorLabel]] = []
        left = _BLOCK
        while left:
            count, label = self._labels[0]
            taken.append((min(count, left), label))
            left -= taken[-1][0]
            if taken[-1][0] == count:
                self._labels.pop(0)
            else:
                self._labels[0] = (count - taken[-1][0], label)
        return _Floor.of(taken)

    def _hear(self, block: Floats, start: int, floor: _Floor) -> list[MusicEvent]:
        power = float(np.square(block, dtype=np.float64).mean())
        music = floor.is_music and 10 * np.log10(power + 1e-12) > _FAINTEST_DBFS
        if self._passage is not None:
            self._idle = 0 if music else self._idle + 1
            events = self._passage.push(block, floor)
            if self._idle >= _PATIENCE:
                events += self._finish()
            return events
        if not music:
            self._before.append((block, floor))
            return []
        earlier: list[tuple[Floats, _Floor]] = []
        for before in reversed(self._before):
            if not before[1].is_usable:
                break
            earlier.insert(0, before)
        self._before.clear()
        self._idle = 0
        self._passage = _Passage(self._networks, start - _BLOCK * len(earlier), self._a4_hz)
        events = []
        for one in (*earlier, (block, floor)):
            events += self._passage.push(*one)
        return events

    def _finish(self) -> list[MusicEvent]:
        if self._passage is None:
            return []
        passage, self._passage = self._passage, None
        self._before.clear()
        return passage.finish()
