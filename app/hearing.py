"""The ear: from sound to what was said, by whom the floor is held, and when a turn is over.

Sound comes in chunks of any size at 44.1 kHz and is worked on in blocks of 10 ms, at 16 kHz. Each
block goes to the floor detector and to the voice activity detector; a voice counts only while the
floor is speech (or speech and music). What it says is transcribed while it speaks, again at the
first 100 ms of silence, and the endpointing policy decides on those words and the silence whether
the turn is over.

Transcribing takes a while, and the ear goes on hearing meanwhile. In real time it runs in a thread
and its result is picked up when it is there. With ``fast`` it runs at once and its result counts a
fixed time later, so that the same sound gives the same events on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from attrs import define, evolve, field, frozen

from maestra.core.endpointing import EndpointingPolicy, EndpointingSettings
from maestra.core.hearing import (
    FloorChanged,
    FloorLabel,
    HearingEvent,
    InstrumentHeard,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    UtteranceEnded,
)
from maestra.core.media_time import MediaTime, from_samples, to_samples
from maestra.core.wake import WakePhraseMatcher
from maestra.ports.audio import EAR_RATE_HZ, SPEECH_RATE_HZ, AudioChunk
from maestra.ports.errors import BackendRefused, SensesError
from maestra.ports.lifetime import Checks
from maestra.ports.senses import (
    FloorDetector,
    Recognition,
    SpeechRecogniser,
    StreamingRecogniser,
    VoiceActivityDetector,
)

from .recognisers import Expecting, RecogniserLine
from .spells import OnceASpell

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["Hearing", "HearingTimings", "Recognise", "Resampler"]

Recognise = Callable[["Samples"], "Future[Recognition]"]
"""Begins to transcribe 16 kHz samples."""


@frozen(kw_only=True)
class HearingTimings:
    """Seconds of media time.

    :param lead_in: how much sound before the first voice belongs to an utterance.
    :param first_interim: how long somebody has spoken when the first interim transcript is made.
    :param interim_every: how long after one the next is made.
    :param patience: how long a transcript may take before it is given up.
    :param nominal_delay: how long a transcript takes with ``fast``.
    :param floor_grace: how long a voice may go on after the floor says that it is none.
    """

    lead_in: float = 0.3
    first_interim: float = 0.6
    interim_every: float = 0.5
    patience: float = 3.0
    nominal_delay: float = 0.15
    floor_grace: float = 0.5


# --- 44.1 kHz to 16 kHz -------------------------------------------------------------

_IN, _OUT = 441, 160  # samples in 10 ms
_REACH = 48  # input samples the filter sees to each side: 1.1 ms


def _resampling_matrix() -> Samples:
    """``(_IN + 2 * _REACH, _OUT)``: a Blackman-windowed sinc, cut off at 7.4 kHz."""
    at = np.arange(_OUT) * (_IN / _OUT) + _REACH
    distance = np.arange(_IN + 2 * _REACH)[:, None] - at[None, :]
    cutoff = 2 * 7_400.0 / EAR_RATE_HZ
    position = np.clip(distance / _REACH, -1.0, 1.0)
    window = 0.42 + 0.5 * np.cos(np.pi * position) + 0.08 * np.cos(2 * np.pi * position)
    taps = cutoff * np.sinc(cutoff * distance) * window * (np.abs(distance) < _REACH)
    return np.asarray(taps / taps.sum(axis=0), np.float32)


class Resampler:
    """44.1 kHz in, blocks of 10 ms at 16 kHz out, 1.1 ms late and the same for any chunking."""

    LATENCY: MediaTime = from_samples(_REACH, EAR_RATE_HZ)

    def __init__(self) -> None:
        self._matrix = _resampling_matrix()
        self._pending = np.zeros(_REACH, np.float32)

    def push(self, samples: Samples) -> list[Samples]:
        """The blocks of 160 samples that ``samples`` complete."""
        self._pending = np.concatenate([self._pending, samples.astype(np.float32, copy=False)])
        blocks: list[Samples] = []
        while len(self._pending) >= _IN + 2 * _REACH:
            blocks.append(self._pending[: _IN + 2 * _REACH] @ self._matrix)
            self._pending = self._pending[_IN:]
        return blocks

    def flush(self) -> list[Samples]:
        """The blocks that hold what is left, filled up with silence."""
        left = max(0, len(self._pending) - 2 * _REACH)
        return self.push(np.zeros(-left % _IN + _REACH, np.float32)) if left else []


# --- transcribing --------------------------------------------------------------------


@frozen(kw_only=True, eq=False)
class _Job:
    """A transcript that is being made of the sound up to sample ``end`` (16 kHz)."""

    future: Future[Recognition]
    utterance: int
    end: int
    asked_at: int
    counts_at: int
    whole: bool


@define
class _Utterance:
    """What is being said, in samples at 16 kHz."""

    number: int
    start: int
    voiced_to: int
    silent_since: int | None = None
    text: str = ""
    ended: bool = False
    """The recogniser believes that all is said."""
    covered_to: int = -1
    """Up to where the sound has been transcribed after a pause."""
    next_interim: int = 0
    cut_at: int | None = None


_TAIL = 0.05
"""How much silence after the last word a transcript needs to be one of all words, seconds."""


_INTERIM_SHARE = 3.0
"""On a machine that is busy, interim transcripts come at intervals of so many times what the last
transcript took: one that is being made holds up that of all words."""

_INTERIMS_RARER = 4.0
"""From this length on, in seconds, interim transcripts come at intervals that grow with the
utterance, as what they cost does."""


def _samples(seconds: float) -> int:
    return round(seconds * SPEECH_RATE_HZ)


def _time(sample: int) -> MediaTime:
    return from_samples(sample, SPEECH_RATE_HZ)


@define
class _Memory:
    """The last ``length`` samples of sound, and a little more."""

    length: int
    kept: Samples = field(factory=lambda: np.empty(0, np.float32))
    _blocks: list[Samples] = field(factory=list, init=False)
    end: int = 0

    def add(self, block: Samples) -> None:
        self._blocks.append(block)
        self.end += len(block)
        if len(self._blocks) >= 100:
            self._merge()

    def _merge(self) -> None:
        self.kept = np.concatenate([self.kept, *self._blocks])[-self.length :]
        self._blocks.clear()

    def between(self, begin: int, end: int) -> Samples:
        self._merge()
        first = self.end - len(self.kept)
        return self.kept[max(0, begin - first) : max(0, end - first)].copy()


def _memory_for(settings: EndpointingSettings) -> int:
    """How many samples are kept so that the longest utterance is heard whole."""
    return _samples(settings.longest_utterance + 5.0)


class Hearing:
    """Hears a session. One thread calls it.

    An utterance is given to the recogniser whole, however long it may be by the settings; what of
    it the recogniser takes is its own affair (Whisper: the last 30 s, which is where a question
    is).

    :param floor: hears 16 kHz.
    :param vad: hears 16 kHz.
    :param endpointing: decides when a turn is over.
    :param wake: what the wake phrases are, so that `configure` can change one thing at a time.
    :param fast: make the result independent of this machine's speed.
    :param recognise: begins a transcript; by default the recogniser in a thread, or at once.
    :param utterances: how many another ear heard before.
    """

    def __init__(
        self,
        *,
        floor: FloorDetector,
        vad: VoiceActivityDetector,
        recogniser: SpeechRecogniser,
        endpointing: EndpointingPolicy,
        fast: bool = False,
        timings: HearingTimings | None = None,
        wake: WakePhraseMatcher | None = None,
        recognise: Recognise | None = None,
        utterances: int = 0,
    ) -> None:
        self._floor, self._vad, self._recogniser = floor, vad, recogniser
        self._endpointing = endpointing
        self._wake = wake or WakePhraseMatcher()
        self._fast = fast
        self._timings = timings or HearingTimings()
        self._executor: ThreadPoolExecutor | None = None
        self._recognise = recognise or (self._at_once if fast else self._in_thread)

        self._resampler = Resampler()
        self._origin: int | None = None  # of the session's 44.1 kHz samples, the first heard
        self._received = 0
        self._base = 0  # the same instant in 16 kHz samples
        self._memory = _Memory(_memory_for(endpointing.settings))

        self._label = FloorLabel.SILENCE
        self._not_speech_since: int | None = 0
        self._floor_since = 0
        self._voice_since: int | None = None
        self._told_of_voice = False
        self._utterance: _Utterance | None = None
        self._utterances = utterances
        self._job: _Job | None = None
        self._lateness = 0.0
        self._stuck: Future[Recognition] | None = None
        self._failures: list[Exception] = []
        self._floor_spells, self._vad_spells = OnceASpell(self._failed), OnceASpell(self._failed)

    # --- what others call ------------------------------------------------------------

    @property
    def label(self) -> FloorLabel:
        """Who has the floor."""
        return self._label

    async def check(self) -> None:
        """Ask, before the lesson, whether the recogniser's key and model are accepted.

        :raises BackendRefused: they are not.
        """
        if isinstance(self._recogniser, Checks):
            try:
                await self._recogniser.check()
            except BackendRefused:
                raise
            except Exception as error:  # it may be there when it is asked
                self._failures.append(error)

    def push(self, chunk: AudioChunk) -> list[HearingEvent]:
        """Hear ``chunk`` (44.1 kHz). A gap before it is heard as silence.

        Never raises for what a model does: see `failures`.

        :raises ValueError: the chunk has another rate.
        """
        if chunk.rate_hz != EAR_RATE_HZ:
            raise ValueError(f"the ear hears {EAR_RATE_HZ} Hz, not {chunk.rate_hz} Hz")
        if self._origin is None:
            self._origin = chunk.start
            self._base = to_samples(from_samples(chunk.start, EAR_RATE_HZ), SPEECH_RATE_HZ)
            self._memory.end = self._base
        missing = chunk.start - (self._origin + self._received)
        samples = np.nan_to_num(chunk.samples, nan=0.0, posinf=1.0, neginf=-1.0)
        if missing > 0:
            samples = np.concatenate([np.zeros(missing, np.float32), samples])
        elif missing < 0:
            samples = samples[-missing:]
        self._received += len(samples)
        return self._hear(self._resampler.push(samples))

    def flush(self) -> list[HearingEvent]:
        """The sound is over: end what is being said."""
        events = self._hear(self._resampler.flush())
        if (utterance := self._utterance) is not None:
            if utterance.silent_since is None and self._told_of_voice:
                self._told_of_voice = False
                events.append(SpeechStopped(at=self._now, since=_time(self._memory.end)))
            if self._job is not None:
                self._await(events)
            if utterance.covered_to < utterance.voiced_to:
                self._transcribe(utterance, whole=True)
                self._await(events)
            self._end(utterance, events)
        self.close()
        return events

    def close(self) -> None:
        """Leave no thread."""
        if isinstance(self._recogniser, StreamingRecogniser):
            self._recogniser.close()
        if self._executor is not None:
            self._executor.shutdown(wait=self._stuck is None, cancel_futures=True)
            self._executor = None

    def failures(self) -> list[Exception]:
        """What went wrong since the last time this was asked; of a floor detector or a voice
        activity detector that goes on failing, the first."""
        failures, self._failures = self._failures, []
        return failures

    def reports(self) -> list[object]:
        """What the recognisers' line has to say, since the last time this was asked."""
        return self._recogniser.reports() if isinstance(self._recogniser, RecogniserLine) else []

    def configure(self, values: Mapping[str, object]) -> None:
        """Take new live settings, by dotted key; keys that are not the ear's are left alone."""
        phrases = values.get("conversation.wake_phrases", self._wake.phrases)
        strictness = values.get("conversation.strictness", self._wake.strictness)
        assert isinstance(phrases, Sequence) and isinstance(strictness, str)
        self._wake = WakePhraseMatcher(phrases, strictness)
        old = self._endpointing.settings

        def number(key: str, default: float) -> float:
            value = values.get(f"conversation.{key}", default)
            assert isinstance(value, int | float)
            return float(value)

        self._endpointing = EndpointingPolicy(
            EndpointingSettings(
                complete=number("silence_complete", old.complete),
                usual=old.usual,
                unfinished=number("silence_open", old.unfinished),
                longest_utterance=number("max_utterance", old.longest_utterance),
            ),
            wake=self._wake,
        )
        # Never less: who is speaking now has spoken under the old settings.
        self._memory.length = max(self._memory.length, _memory_for(self._endpointing.settings))
        if isinstance(self._recogniser, Expecting):
            self._recogniser.expect(self._wake.phrases)

    # --- block by block --------------------------------------------------------------

    @property
    def _now(self) -> MediaTime:
        return MediaTime(_time(self._memory.end) + Resampler.LATENCY)

    def _hear(self, blocks: Sequence[Samples]) -> list[HearingEvent]:
        events: list[HearingEvent] = []
        for block in blocks:
            chunk = AudioChunk(start=self._memory.end, rate_hz=SPEECH_RATE_HZ, samples=block)
            self._memory.add(block)
            before = self._utterance
            self._hear_floor(chunk, events)
            self._hear_voice(chunk, events)
            if before is not None and self._utterance is before:
                self._stream(block)
            self._pick_up(events)
            self._follow(events)
        return events

    def _failed(self, error: Exception) -> None:
        self._failures.append(error)

    def _hear_floor(self, chunk: AudioChunk, events: list[HearingEvent]) -> None:
        for change in self._floor_spells.call(partial(self._floor.push, chunk)):
            if isinstance(change, InstrumentHeard):
                events.append(evolve(change, at=self._now))
                continue
            self._label = change.label
            if change.label.is_speech:
                if self._not_speech_since is not None:
                    self._floor_since = to_samples(change.since, SPEECH_RATE_HZ)
                self._not_speech_since = None
            elif self._not_speech_since is None:
                self._not_speech_since = self._memory.end
            events.append(FloorChanged(at=self._now, label=change.label, since=change.since))

    def _hear_voice(self, chunk: AudioChunk, events: list[HearingEvent]) -> None:
        for change in self._vad_spells.call(partial(self._vad.push, chunk)):
            since = to_samples(change.since, SPEECH_RATE_HZ)
            if isinstance(change, SpeechStarted):
                self._voice_since = since
            else:
                self._voice_stopped(since, events)
        if self._voice_since is None:
            return
        if not self._told_of_voice:
            if self._label.is_speech:
                self._voice_started(self._voice_since, events)
        elif (
            self._not_speech_since is not None
            and self._memory.end - self._not_speech_since > _samples(self._timings.floor_grace)
        ):
            # It sings by now, or it was the piano all along.
            self._voice_stopped(self._not_speech_since, events, still_heard=True)

    def _voice_started(self, since: int, events: list[HearingEvent]) -> None:
        self._told_of_voice = True
        utterance = self._utterance
        since = max(since, self._floor_since - _samples(self._timings.floor_grace))
        if utterance is None:
            utterance = self._begin(since)
        utterance.silent_since = None
        utterance.voiced_to = self._memory.end
        events.append(SpeechStarted(at=self._now, since=_time(since)))

    def _begin(self, since: int) -> _Utterance:
        self._utterances += 1
        self._utterance = _Utterance(
            number=self._utterances,
            start=since,
            voiced_to=self._memory.end,
            next_interim=since + _samples(self._timings.first_interim),
        )
        if isinstance(self._recogniser, StreamingRecogniser):
            begin = since - _samples(self._timings.lead_in)
            self._recogniser.begin(self._memory.between(begin, self._memory.end))
        return self._utterance

    def _stream(self, block: Samples) -> None:
        if isinstance(self._recogniser, StreamingRecogniser):
            self._recogniser.hear(block)

    def _voice_stopped(
        self, since: int, events: list[HearingEvent], *, still_heard: bool = False
    ) -> None:
        self._voice_since = self._memory.end if still_heard else None
        if not self._told_of_voice:
            return
        self._told_of_voice = False
        events.append(SpeechStopped(at=self._now, since=_time(since)))
        if (utterance := self._utterance) is not None and utterance.cut_at is None:
            utterance.silent_since = utterance.voiced_to = max(since, utterance.start)

    def _follow(self, events: list[HearingEvent]) -> None:
        """Ask for transcripts, and end the turn when it is over."""
        if (utterance := self._utterance) is None:
            return
        now = self._memory.end
        duration = (now - utterance.start) / SPEECH_RATE_HZ
        if utterance.cut_at is None and utterance.silent_since is None:
            utterance.voiced_to = now
            if duration >= self._endpointing.settings.longest_utterance:
                utterance.cut_at = now
        if utterance.silent_since is None and utterance.cut_at is None:
            if self._job is None and now >= utterance.next_interim:
                pause = max(
                    self._timings.interim_every * max(1.0, duration / _INTERIMS_RARER),
                    _INTERIM_SHARE * self._lateness,
                )
                utterance.next_interim = now + _samples(pause)
                self._transcribe(utterance, whole=False)
            return
        if utterance.covered_to < utterance.voiced_to:
            if self._job is None:
                self._transcribe(utterance, whole=True)
            return
        silence = (now - utterance.voiced_to) / SPEECH_RATE_HZ
        if utterance.cut_at is not None or self._endpointing.is_over(
            utterance.text, silence, duration, hint=utterance.ended
        ):
            self._end(utterance, events)

    def _end(self, utterance: _Utterance, events: list[HearingEvent]) -> None:
        start, end = _time(utterance.start), _time(utterance.voiced_to)
        text = utterance.text
        events.append(
            Transcript(
                at=self._now,
                utterance=utterance.number,
                text=text,
                start=start,
                end=end,
                final=True,
            )
        )
        events.append(
            UtteranceEnded(
                at=self._now, utterance=utterance.number, text=text, start=start, end=end
            )
        )
        self._utterance = None
        if utterance.cut_at is not None and self._told_of_voice:
            self._begin(utterance.cut_at)
            events.append(SpeechStarted(at=self._now, since=_time(utterance.cut_at)))

    # --- transcripts -----------------------------------------------------------------

    def _transcribe(self, utterance: _Utterance, *, whole: bool) -> None:
        now = self._memory.end
        begin = utterance.start - _samples(self._timings.lead_in)
        sound = self._memory.between(begin, utterance.cut_at or now)
        if self._stuck is not None and self._stuck.done():
            self._stuck = None
        recogniser = self._recogniser
        future: Future[Recognition]
        if not whole and isinstance(recogniser, StreamingRecogniser) and recogniser.streams:
            future = Future()
            future.set_result(recogniser.so_far())
        elif self._stuck is None:
            future = self._recognise(sound)
        else:
            future = Future()
            future.set_exception(SensesError("The recogniser has not answered yet."))
        self._job = _Job(
            future=future,
            utterance=utterance.number,
            end=now,
            asked_at=now,
            counts_at=now + (_samples(self._timings.nominal_delay) if self._fast else 0),
            whole=whole,
        )

    def _pick_up(self, events: list[HearingEvent], *, now: bool = False) -> None:
        """Take the transcript that was being made, if it is there."""
        if (job := self._job) is None:
            return
        if not job.future.done():
            if self._memory.end - job.asked_at > _samples(self._timings.patience) or now:
                self._stuck = job.future
                self._take(job, SensesError("The recogniser took too long."), events)
        elif now or self._memory.end >= job.counts_at:
            try:
                result: Recognition | Exception = job.future.result()
            except Exception as error:
                result = error
            self._take(job, result, events)

    def _take(self, job: _Job, result: Recognition | Exception, events: list[HearingEvent]) -> None:
        self._job = None
        self._lateness = (self._memory.end - job.asked_at) / SPEECH_RATE_HZ
        utterance = self._utterance
        if isinstance(result, Exception):
            self._failures.append(result)
        if utterance is None or utterance.number != job.utterance:
            return
        if isinstance(result, Recognition) and (result.text or job.whole):
            utterance.text = result.text
            utterance.ended = result.ended
            events.append(
                Transcript(
                    at=self._now,
                    utterance=utterance.number,
                    text=result.text,
                    start=_time(utterance.start),
                    end=_time(min(job.end, utterance.voiced_to)),
                    final=False,
                )
            )
        if job.whole or (
            isinstance(result, Recognition) and job.end >= utterance.voiced_to + _samples(_TAIL)
        ):
            # Failed or not: what there is must do, or the turn would never end.
            utterance.covered_to = job.end

    def _await(self, events: list[HearingEvent]) -> None:
        """Wait for the transcript that is being made, at the end of the sound."""
        assert self._job is not None
        try:
            self._job.future.exception(timeout=self._timings.patience)
        except TimeoutError:
            pass
        self._pick_up(events, now=True)

    def _in_thread(self, samples: Samples) -> Future[Recognition]:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="recogniser")
        return self._executor.submit(self._recogniser.transcribe, samples)

    def _at_once(self, samples: Samples) -> Future[Recognition]:
        future: Future[Recognition] = Future()
        try:
            future.set_result(self._recogniser.transcribe(samples))
        except Exception as error:
            future.set_exception(error)
        return future


assert _IN * SPEECH_RATE_HZ == _OUT * EAR_RATE_HZ
