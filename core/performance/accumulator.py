"""The performance accumulator: everything that was played, ready to be asked about.

Takes are separated where the music rests for more than ``rest`` seconds, or where somebody speaks
in a rest of more than ``rest_with_speech``. A hesitation inside a piece is shorter than that and
belongs to its take. A take begins with its first note or onset, not with the floor: a door that
sounds like music makes no take.

Adding is O(1): at most a bounded passage is looked at. A closed passage is analysed once, a closed
take summarised once, so a summary costs one passage whatever was played before.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterator

from attrs import field, frozen, validators

from ..hearing import Instrument
from .figure import Figure
from .notes import Beat, Level, MusicEvent, Onset, PerformedNote
from .passage import Passage, analyse_passage
from .summary import PerformanceSummary, TakeSummary
from .take import TakeStatistics, summarise_take

__all__ = [
    "AccumulatorSettings",
    "PerformanceAccumulator",
    "TakeEnded",
    "TakeEvent",
    "TakeStarted",
]


@frozen(kw_only=True)
class AccumulatorSettings:
    """``rest`` and ``rest_with_speech`` (s) end a take; a passage is closed when it has
    ``passage_notes`` notes or is ``passage_duration`` (s) long; a take of fewer than
    ``fewest_notes`` notes is not worth a summary."""

    rest: float = field(default=4.0, validator=validators.gt(0))
    rest_with_speech: float = field(default=1.5, validator=validators.gt(0))
    passage_notes: int = field(default=160, validator=validators.ge(32))
    passage_duration: float = field(default=120.0, validator=validators.ge(20))
    fewest_notes: int = field(default=3, validator=validators.ge(1))


@frozen(kw_only=True)
class TakeStarted:
    """Take ``number`` began at ``start``."""

    number: int
    start: float


@frozen(kw_only=True)
class TakeEnded:
    """Take ``number`` lasted from ``start`` to ``end`` and has ``notes`` notes.

    ``instrument`` is what it was played on, where that is known.
    """

    number: int
    start: float
    end: float
    notes: int
    instrument: Instrument | None = None


TakeEvent = TakeStarted | TakeEnded

_BEFORE_IT_SOUNDS = 0.5
"""By how much (s) the floor may be ahead of a take's first onset, and mean the same sound."""


class _Take:
    """A take while it runs."""

    def __init__(
        self,
        number: int,
        start: float,
        settings: AccumulatorSettings,
        usual_period: float | None = None,
    ) -> None:
        self.number = number
        self.start = start
        self.last_sound = start
        self.version = 0
        self._instruments: set[Instrument] = set()
        self._settings = settings
        self._sealed = TakeStatistics()
        self._before: Passage | None = None
        self._usual_period = usual_period
        self._notes: list[PerformedNote] = []
        self._onsets: list[float] = []
        self._beats: list[float] = []
        self._levels: list[tuple[float, float]] = []
        self._summarised: tuple[int, bool, TakeSummary] | None = None

    def add(self, event: PerformedNote | Onset | Beat | Level) -> None:
        self.version += 1
        match event:
            case PerformedNote():
                insort(self._notes, event, key=lambda note: note.onset)
                self.last_sound = max(self.last_sound, event.offset)
                self._seal_if_long()
            case Onset():
                insort(self._onsets, event.at)
                self.last_sound = max(self.last_sound, event.at)
                self._seal_if_long()
            case Beat():
                self._beats.append(event.at)
            case Level():
                self._levels.append((event.at, event.level_db))

    def played_on(self, instrument: Instrument) -> None:
        """It is known what plays, or one of those that do."""
        if instrument not in self._instruments:
            self._instruments.add(instrument)
            self.version += 1

    @property
    def instrument(self) -> Instrument | None:
        """The only one that was heard."""
        return next(iter(self._instruments)) if len(self._instruments) == 1 else None

    def _seal_if_long(self) -> None:
        notes, settings = self._notes, self._settings
        if not notes:
            if len(self._onsets) >= 2 * settings.passage_notes:
                self._seal_onsets()
            return
        span = notes[-1].onset - notes[0].onset
        if len(notes) < settings.passage_notes and (
            span < settings.passage_duration or len(notes) < 32
        ):
            return
        # cut at the longest interval of the later half, but not at the newest notes, which may
        # yet be joined by others struck with them
        half = len(notes) // 2
        cut = max(
            range(half, max(half + 1, len(notes) - 8)),
            key=lambda i: notes[i].onset - notes[i - 1].onset,
        )
        border = notes[cut].onset - 0.02
        passage = analyse_passage(
            notes[:cut],
            [at for at in self._onsets if at < border],
            [at for at in self._beats if at < border],
            [(at, level) for at, level in self._levels if at < border],
            following=notes[cut],
            before=self._before,
            usual_period=self._usual_period,
            last=False,
        )
        self._sealed.absorb(passage)
        self._before = passage if passage.period else self._before
        self._notes = notes[cut:]
        self._onsets = [at for at in self._onsets if at >= border]
        self._beats = [at for at in self._beats if at >= border]
        self._levels = [(at, level) for at, level in self._levels if at >= border]

    def _seal_onsets(self) -> None:
        """The same where there are onsets only."""
        half = len(self._onsets) // 2
        border = self._onsets[half] - 0.02
        passage = analyse_passage(
            [],
            self._onsets[:half],
            [at for at in self._beats if at < border],
            [(at, level) for at, level in self._levels if at < border],
            before=self._before,
            usual_period=self._usual_period,
            last=False,
        )
        self._sealed.absorb(passage)
        self._before = passage if passage.period else self._before
        self._onsets = self._onsets[half:]
        self._beats = [at for at in self._beats if at >= border]
        self._levels = [(at, level) for at, level in self._levels if at >= border]

    def summary(self, *, running: bool) -> TakeSummary:
        cached = self._summarised
        if cached is not None and cached[:2] == (self.version, running):
            return cached[2]
        known = self._sealed.copy()
        if self._notes or self._onsets:
            known.absorb(
                analyse_passage(
                    self._notes,
                    self._onsets,
                    self._beats,
                    self._levels,
                    before=self._before,
                    usual_period=self._usual_period,
                )
            )
        made = summarise_take(
            known, number=self.number, running=running, instrument=self.instrument
        )
        self._summarised = (self.version, running, made)
        return made

    @property
    def count(self) -> int:
        """Notes, or onsets where no notes were found."""
        return self._sealed.notes + (len(self._notes) or len(self._onsets))


class PerformanceAccumulator:
    """Takes in music events in about the order of time, and sums up.

    Notes may come late (a note is known when it ends), at most a few seconds.
    """

    def __init__(self, settings: AccumulatorSettings | None = None) -> None:
        self._settings = settings or AccumulatorSettings()
        self._notes: list[PerformedNote] = []
        self._ended: list[TakeSummary] = []
        self._take: _Take | None = None
        self._number = 0
        self._spoken_at: float | None = None
        self._music = False
        self._forgotten_to = -math.inf
        self._early: list[Beat | Level] = []

    # --- events -----------------------------------------------------------------

    def add(self, event: MusicEvent) -> tuple[TakeEvent, ...]:
        """Take ``event`` in; say which takes it ends and starts."""
        if (event.onset if isinstance(event, PerformedNote) else event.at) < self._forgotten_to:
            return ()
        told: tuple[TakeEvent, ...] = ()
        if isinstance(event, PerformedNote):
            self._notes.append(event)
            told = self._go_on(event.onset)
        elif isinstance(event, Onset):
            told = self._go_on(event.at)
        if self._take is not None:
            self._take.add(event)
        elif isinstance(event, (Beat, Level)):
            # what is heard of a note before it is known: it belongs to the take it will start
            self._early.append(event)
            self._early = [each for each in self._early if each.at > event.at - 10]
        return told

    def music_started(self, at: float) -> tuple[TakeEvent, ...]:
        """The floor says that music began at ``at``."""
        self._music = True
        take = self._take
        if take is not None and self._rested(take, at):
            return self._end_take()
        return ()

    def music_stopped(self, at: float) -> tuple[TakeEvent, ...]:
        """The floor says that the music stopped at ``at``. A take ends only when it rests.

        Now a question is likely, so the running take is summed up: the answer will find it ready.
        """
        self._music = False
        take = self._take
        if take is not None and take.count >= self._settings.fewest_notes:
            take.summary(running=True)
        return ()

    def speech_heard(self, at: float) -> None:
        """Somebody spoke at ``at``. Playing after it, in a long enough rest, is a new take."""
        self._spoken_at = at

    def instrument_heard(self, since: float, instrument: Instrument) -> None:
        """It is known that ``instrument`` is what has been playing since ``since``.

        A take in which several are heard is none's.
        """
        if self._take is not None and self._take.start <= since + _BEFORE_IT_SOUNDS:
            self._take.played_on(instrument)

    def advance(self, at: float) -> tuple[TakeEvent, ...]:
        """Everything up to ``at`` has been heard and added: end the take if it rests."""
        take = self._take
        if take is not None and not self._music and at - take.last_sound > self._settings.rest:
            return self._end_take()
        return ()

    def clear(self, at: float | None = None) -> None:
        """Forget everything; takes are numbered from one again.

        :param at: forget, too, what comes later and began before this instant: a note is known
            only when it ends, and what leads to it takes a while.
        """
        if at is not None:
            self._forgotten_to = at
        self._notes.clear()
        self._ended.clear()
        self._early.clear()
        self._take = None
        self._number = 0
        self._spoken_at = None
        self._music = False

    # --- answers ----------------------------------------------------------------

    @property
    def notes(self) -> tuple[PerformedNote, ...]:
        """Every note, as it came."""
        return tuple(self._notes)

    @property
    def note_count(self) -> int:
        return len(self._notes)

    def summary(self) -> PerformanceSummary:
        """What is known now."""
        takes = tuple(self._summaries())
        if not takes:
            return PerformanceSummary()
        start, end = takes[0].start, takes[-1].end

        def figure(value: float, unit: str) -> Figure:
            return Figure(value=value, unit=unit, confidence=0.95, start=start, end=end)

        return PerformanceSummary(
            takes=takes,
            playing_time=figure(sum(take.end - take.start for take in takes), "s"),
            note_count=figure(sum(take.note_count.value for take in takes), "count"),
            take_count=figure(len(takes), "count"),
        )

    def _summaries(self) -> Iterator[TakeSummary]:
        yield from self._ended
        take = self._take
        if take is not None and take.count >= self._settings.fewest_notes:
            yield take.summary(running=True)

    # --- takes --------------------------------------------------------------------

    def _rested(self, take: _Take, at: float) -> bool:
        """Does what sounds at ``at`` come after a rest that ends the take?"""
        rest = at - take.last_sound
        if rest > self._settings.rest:
            return True
        spoken = self._spoken_at
        return (
            rest > self._settings.rest_with_speech
            and spoken is not None
            and take.last_sound < spoken <= at
        )

    def _go_on(self, at: float) -> tuple[TakeEvent, ...]:
        """Something sounds at ``at``: which take does it belong to?"""
        told: tuple[TakeEvent, ...] = ()
        if self._take is not None and self._rested(self._take, at):
            told = self._end_take()
        if self._take is None:
            self._number += 1
            self._take = _Take(self._number, at, self._settings, self._usual_period())
            for early in self._early:
                if early.at >= at - 0.2:
                    self._take.add(early)
            self._early.clear()
            told = (*told, TakeStarted(number=self._number, start=at))
        return told

    def _usual_period(self) -> float | None:
        """The beat of the latest take that has one: the next is likely counted like it."""
        for take in reversed(self._ended):
            if take.tempo_bpm is not None:
                return 60 / take.tempo_bpm.value
        return None

    def _end_take(self) -> tuple[TakeEvent, ...]:
        take = self._take
        if take is None:
            return ()
        self._take = None
        instrument = None
        if take.count >= self._settings.fewest_notes:
            summary = take.summary(running=False)
            self._ended.append(summary)
            instrument = summary.instrument
        ended = TakeEnded(
            number=take.number,
            start=take.start,
            end=take.last_sound,
            notes=take.count,
            instrument=instrument,
        )
        return (ended,)
