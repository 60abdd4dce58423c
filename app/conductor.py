"""The conductor: from what the workers report to what the conversation decides, and back.

Synchronous: no awaits, no clocks, no pipes. The session calls it with each message and with the
media time at which that is so, carries out what it asks of its ``Stage``, and calls ``tick`` when
``deadline`` has come. So the same conductor runs a live stream and, on a virtual clock, a file.

Its own work is small: it routes (music to the accumulator, words to the wake phrase matcher),
prepares an answer while the question is still being asked, and knows what has been heard of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

from attrs import define, evolve, field

from maestra.core import log
from maestra.core.conversation import events as conv
from maestra.core.conversation.commands import (
    AskBrain,
    CancelReply,
    CancelTimer,
    Close,
    Command,
    FlushPlayout,
    ForgetPerformance,
    PausePlayout,
    QuestionKind,
    ReportReset,
    ResumePlayout,
    SayApology,
    StartPlayout,
    StartTimer,
)
from maestra.core.conversation.conversation import (
    EVENT_NAMES,
    Conversation,
    ConversationSettings,
    ConversationState,
)
from maestra.core.conversation.history import Turn
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
from maestra.core.interruption import InterruptionPolicy, Verdict
from maestra.core.media_time import SESSION_START, MediaTime, from_samples, from_seconds, to_seconds
from maestra.core.performance.accumulator import PerformanceAccumulator, TakeEnded, TakeStarted
from maestra.core.performance.beside import BesideTheMusic
from maestra.core.performance.notes import Beat, MusicEvent, PerformedNote
from maestra.core.wake import WakeMatch, WakePhraseMatcher
from maestra.ports.audio import PLAYOUT_RATE_HZ, SLICE_SAMPLES

from .answering import Attempt, Clause
from .config import Config
from .messages import (
    APOLOGY,
    Cancel,
    EndOfReply,
    Flush,
    Pause,
    Pictured,
    PlayedOut,
    Resume,
    Say,
    Silent,
    Spoken,
    Start,
    Started,
)

__all__ = ["Conductor", "Forethought", "ReplyInMaking", "Stage", "conversation_settings"]

_SILENCE_BY = from_seconds(0.25)
"""How long to wait for the playout to say how much was heard, before taking what is known."""

_MUSIC_IS_MEANT = from_seconds(0.4)
"""Music that goes on for this long is playing, and not a dropped book or a vowel that was held. The
teacher is silent from its first moment; this is only how long it may still resume."""

_CHARACTERS_PER_SECOND = 14
"""How fast a teacher speaks, where it must be guessed."""

_SPEECH_HOLD = from_seconds(2.0)
"""How long a voice may hold back an answer that is ready, without ending its utterance."""

_KNOWN_LATE = from_seconds(0.5)
"""How much later than it begins a voice is known, at the most: the floor detector takes 0.35 s, and
there is the way here. Until then a window whose time is up may prove to have been used."""

Forethought = Literal["voice", "words", "turn"]

StopCause = Literal["finished", "speech", "music", "reset", "failed"]


def slot_time(slot: int) -> MediaTime:
    """Where output slot ``slot`` begins."""
    return from_samples(slot * SLICE_SAMPLES, PLAYOUT_RATE_HZ)


def conversation_settings(config: Config) -> ConversationSettings:
    return ConversationSettings(window=config.conversation.window)


@define(eq=False)
class ReplyInMaking:
    """One answer on its way. ``number`` is what its slices carry; ``epoch`` is the conversation's
    number for it, 0 while it is only being prepared in case it is asked for."""

    number: int
    kind: QuestionKind
    question: str
    history: tuple[Turn, ...]
    asked_at: MediaTime
    notes: int = 0
    epoch: int = 0
    written: list[Clause] = field(factory=list)
    attempts: tuple[Attempt, ...] = ()
    spoken: list[tuple[MediaTime, Spoken]] = field(factory=list)
    summary: log.Summary | None = None
    brain_duration: float | None = None
    voice_duration: float | None = None
    face_duration: float | None = None
    play_at: MediaTime = SESSION_START
    ended: bool = False
    primed: bool = False
    failed: bool = False
    begun: bool = False
    started_slot: int | None = None
    heard_to: int = 0
    question_end: MediaTime = SESSION_START
    words_at: MediaTime = SESSION_START
    turn_at: MediaTime = SESSION_START

    @property
    def text(self) -> str:
        return " ".join(clause.text for clause in self.written)

    @property
    def heard(self) -> str:
        """The words of it that were heard, whole ones."""
        text = self.text
        if self.heard_to >= len(text):
            return text
        cut = text[: self.heard_to]
        if self.heard_to and not text[self.heard_to].isspace():
            cut = cut.rpartition(" ")[0]
        return cut.strip()


class Stage(Protocol):
    """What the conductor has done for it."""

    def log(self, record: log.Record) -> None: ...

    def to_speaker(self, message: object) -> None: ...

    def to_playout(self, message: object) -> None: ...

    def make(self, reply: ReplyInMaking) -> None:
        """Have a brain write ``reply``; call ``Conductor.clause``, ``written`` or ``lost``."""
        ...

    def unmake(self, reply: ReplyInMaking) -> None:
        """Stop writing ``reply``."""
        ...

    def reset_done(self, turns: int, performance: bool) -> None: ...

    def close(self) -> None: ...


class Conductor:
    """One session's decisions.

    :param forethought: how early an answer is prepared: when a voice is first heard (``voice``: the
        brain costs nothing), once there are words to answer (``words``), or when the turn is over
        (``turn``). What is prepared in vain is dropped unheard.
    """

    def __init__(self, config: Config, stage: Stage, *, forethought: Forethought = "voice") -> None:
        self.conversation = Conversation(conversation_settings(config))
        self.accumulator = PerformanceAccumulator()
        self.now = SESSION_START
        self.floor = FloorLabel.SILENCE
        self.transcript = ""
        self.reply: ReplyInMaking | None = None
        self._stage = stage
        self._forethought = forethought
        self._speculation: ReplyInMaking | None = None
        self._numbers = 0
        self._beside_music = BesideTheMusic(self.accumulator)
        self._timer: StartTimer | None = None
        self._interruption = InterruptionPolicy()
        self._speech_since: MediaTime | None = None
        self._speech_until: MediaTime | None = None
        self._utterance = 0
        self._utterance_text = ""
        self._utterance_end = SESSION_START
        self._hold_until = SESSION_START
        self._interrupted_by: Literal["speech", "music"] | None = None
        self._interrupted_at = SESSION_START
        self._music_until_sure: MediaTime | None = None
        self._suspect_at: tuple[Literal["speech", "music"], MediaTime] | None = None
        self._silent_at: MediaTime | None = None
        self._barge_confirmed = False
        self._after_barge: UtteranceEnded | None = None
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Take new live settings."""
        talk = config.conversation
        self._matcher = WakePhraseMatcher(talk.wake_phrases, talk.strictness)
        self._speech_threshold = from_seconds(talk.speech_threshold)
        self._music_threshold = from_seconds(talk.music_threshold)
        self.conversation.update(conversation_settings(config))

    # --- the senses -----------------------------------------------------------

    def heard(self, event: HearingEvent) -> None:
        """The hearing reports ``event``."""
        match event:
            case FloorChanged():
                self._floor_changed(event)
            case InstrumentHeard():
                at, since = to_seconds(event.at), to_seconds(event.since)
                self._beside_music.instrument(at, since, event.instrument)
            case SpeechStarted():
                self._speech_started(event)
            case SpeechStopped():
                self._stage.log(log.SpeechStopped(t=self._t, since=to_seconds(event.since)))
                self._speech_until = event.since
                if self._suspect_at is not None and self._suspect_at[0] == "speech":
                    self._suspect_at = None  # too short to be anything
            case Transcript():
                self._transcript(event)
            case UtteranceEnded():
                self._utterance_ended(event)

    def ear_lost(self) -> None:
        """The hearing has died. What was being said is over, as far as it was written down, and
        nothing sounds until the next ear hears it."""
        now, since, text = self.now, self._speech_since, self._utterance_text
        if since is not None:
            if self._speech_until is None:
                self.heard(SpeechStopped(at=now, since=now))
            ended = UtteranceEnded(
                at=now,
                utterance=self._utterance if text else self._utterance + 1,
                text=text,
                start=since,
                end=now if self._speech_until is None else self._speech_until,
            )
            if ended.text:
                self.heard(
                    Transcript(
                        at=now,
                        utterance=ended.utterance,
                        text=ended.text,
                        start=since,
                        end=ended.end,
                        final=True,
                    )
                )
            self.heard(ended)
        if self.floor is not FloorLabel.SILENCE:
            self.heard(FloorChanged(at=now, label=FloorLabel.SILENCE, since=now))

    def music(self, event: MusicEvent) -> None:
        """The music analysis reports ``event``."""
        match event:
            case PerformedNote():
                self._stage.log(
                    log.Note(
                        t=self._t,
                        onset=event.onset,
                        offset=event.offset,
                        midi=event.midi,
                        f0_hz=event.f0_hz,
                        deviation_cents=event.deviation_cents,
                        loudness_db=event.loudness_db,
                        confidence=event.confidence,
                    )
                )
            case Beat():
                self._stage.log(log.Beat(t=self._t, at=event.at, confidence=event.confidence))
            case _:
                pass
        self._log_takes(self.accumulator.add(event))

    def analysed(self, up_to: MediaTime) -> None:
        """The music analysis has reported all up to ``up_to``: what the floor and the voices did
        meanwhile can be laid beside it, in its order."""
        self._log_takes(self._beside_music.analysed(to_seconds(up_to)))

    def _log_takes(self, changes: Iterable[TakeStarted | TakeEnded]) -> None:
        for change in changes:
            match change:
                case TakeStarted():
                    self._stage.log(
                        log.TakeStarted(t=self._t, take=change.number, start=change.start)
                    )
                case TakeEnded():
                    self._stage.log(
                        log.TakeEnded(
                            t=self._t,
                            take=change.number,
                            start=change.start,
                            end=change.end,
                            notes=change.notes,
                            instrument=change.instrument,
                        )
                    )

    def _floor_changed(self, event: FloorChanged) -> None:
        before, self.floor = self.floor, event.label
        self._stage.log(log.Floor(t=self._t, label=event.label, since=to_seconds(event.since)))
        self._beside_music.floor_changed(to_seconds(event.since), before, event.label)
        if not event.label.is_music or event.label.is_speech:
            self._music_until_sure = None
            if self._suspect_at is not None and self._suspect_at[0] == "music":
                self._suspect_at = None
        elif not before.is_music or before.is_speech:
            self._music_started(event.since)

    def _music_started(self, since: MediaTime) -> None:
        match self.conversation.state:
            case ConversationState.SPEAKING:
                self._suspect_at = ("music", MediaTime(since + self._music_threshold))
                self._suspect_if_due()
            case ConversationState.RESPONDING | ConversationState.ACTIVE_LISTENING:
                self._music_until_sure = MediaTime(self.now + _MUSIC_IS_MEANT)
            case _:
                pass

    def _speech_started(self, event: SpeechStarted) -> None:
        self._stage.log(log.SpeechStarted(t=self._t, since=to_seconds(event.since)))
        if self._speech_since is None:
            self._speech_since = event.since
            self._utterance_text = ""
        self._speech_until = None
        self._hold_until = MediaTime(self.now + _SPEECH_HOLD)
        if self._timer is not None and self._speech_since >= self._timer.deadline:
            self._end_window()  # before it was known, but not before the time was up
        match self.conversation.state:
            case ConversationState.SPEAKING if event.since > self._utterance_end:
                self._suspect_at = ("speech", MediaTime(event.since + self._speech_threshold))
                self._suspect_if_due()
            case ConversationState.SPEAKING:
                pass  # the cut question is being answered; its voice counts once it has said more
            case ConversationState.ACTIVE_LISTENING:
                self._handle(conv.SpeechResumed(at=self.now))
            case ConversationState.PASSIVE_LISTENING:
                # It may be the wake phrase: its first words take longer to say than to prepare for.
                if self._forethought == "voice" and self.accumulator.note_count:
                    self._prepare_for(QuestionKind.WAKE, "")
            case _:
                pass

    def _transcript(self, event: Transcript) -> None:
        self.transcript = event.text
        self._utterance = event.utterance
        self._utterance_text = event.text
        self._stage.log(
            log.Transcript(
                t=self._t,
                utterance=event.utterance,
                text=event.text,
                start=to_seconds(event.start),
                end=to_seconds(event.end),
                final=event.final,
            )
        )
        if self.conversation.state is ConversationState.SPEAKING:
            self._judge()
        elif self._forethought != "turn" and not event.final:
            self._prepare(event.text)

    def _prepare(self, text: str) -> None:
        """Begin the answer to what has been said so far, if it is a question."""
        state = self.conversation.state
        if not text or state not in (
            ConversationState.PASSIVE_LISTENING,
            ConversationState.ACTIVE_LISTENING,
        ):
            return
        if match := self._matcher.match(text):
            kind, question = QuestionKind.WAKE, match.question
        elif state is ConversationState.ACTIVE_LISTENING:
            kind, question = QuestionKind.FOLLOW_UP, text
        else:
            return
        self._prepare_for(kind, question)

    def _prepare_for(self, kind: QuestionKind, question: str) -> None:
        prepared = self._speculation
        if prepared is not None:
            if (
                prepared.kind is kind
                and prepared.notes == self.accumulator.note_count
                and _same(prepared.question, question)
            ):
                return
            self._drop_speculation()
        self._speculation = self._new_reply(kind, question, self.conversation.history.turns)
        self._stage.make(self._speculation)

    def _drop_speculation(self) -> None:
        if (prepared := self._speculation) is not None:
            self._speculation = None
            self._discard(prepared)

    def _utterance_ended(self, event: UtteranceEnded) -> None:
        self._speech_since = self._speech_until = None
        self._utterance_text = event.text
        self._utterance_end = event.end
        if event.text:
            self._beside_music.speech(to_seconds(event.start))
        match = self._matcher.match(event.text) if event.text else None
        if match is not None:
            self._stage.log(
                log.Wake(
                    t=self._t,
                    phrase=match.phrase,
                    score=match.score,
                    text=event.text,
                    start=to_seconds(event.start),
                    end=to_seconds(event.end),
                )
            )
        state = self.conversation.state
        if state is ConversationState.SPEAKING and self._interrupted_by is None:
            # Speech that began before the answer did, and ends within it.
            self._suspect("speech")
        if self.conversation.state is ConversationState.SPEAKING:
            verdict = self._judged(event)
            if verdict is Verdict.BARGE_IN:
                self._interrupted_by = "speech"  # words outweigh what only sounds like playing
            self._follow(verdict)
            if self.conversation.state is ConversationState.SPEAKING:
                if self._interrupted_by == "speech" and self._barge_confirmed:
                    self._after_barge = event
                return
        self._put_question(event, match)
        self._drop_speculation()

    def _put_question(self, event: UtteranceEnded, match: WakeMatch | None) -> None:
        state = self.conversation.state
        if match is not None and state is not ConversationState.ENDED:
            self._handle(
                conv.WakePhraseHeard(
                    at=self.now,
                    phrase=match.phrase,
                    score=match.score,
                    text=event.text,
                    question=match.question,
                    utterance=event.utterance,
                ),
                about=event,
            )
        elif state is ConversationState.ACTIVE_LISTENING:
            self._handle(
                conv.UtteranceHeard(at=self.now, text=event.text, utterance=event.utterance),
                about=event,
            )
        elif state is ConversationState.RESPONDING:
            if self._judged(event) is Verdict.BARGE_IN:
                assert self.reply is not None
                joined = f"{self.reply.question} {event.text}".strip()
                self._handle(
                    conv.SpeechContinued(at=self.now, question=joined, utterance=event.utterance),
                    about=event,
                )
            else:
                self._release()

    # --- interruptions --------------------------------------------------------

    def _suspect_if_due(self) -> None:
        if self._suspect_at is not None and self.now >= self._suspect_at[1]:
            (what, _), self._suspect_at = self._suspect_at, None
            if self.conversation.state is ConversationState.SPEAKING:
                self._suspect(what)

    def _suspect(self, what: Literal["speech", "music"]) -> None:
        """Fall silent now; decide when it is known how much was heard, and what it was."""
        if self._interrupted_by == what:
            return
        if self._interrupted_by == "speech" and self._barge_confirmed:
            return  # words were said: they are the interruption
        first = self._interrupted_by is None
        self._interrupted_by = what
        self._interrupted_at = self.now
        if first:
            self._silent_at = None
            self._barge_confirmed = False
            self._after_barge = None
            self._handle(conv.InterruptionSuspected(at=self.now))
        self._decide()

    def _judged(self, event: UtteranceEnded) -> Verdict:
        duration = to_seconds(MediaTime(event.end - event.start))
        return self._interruption.judge(event.text, duration, True)

    def _judge(self) -> None:
        """Is what is being said an interruption, so far?"""
        if self._interrupted_by != "speech":
            return
        since = self._speech_since if self._speech_since is not None else self._interrupted_at
        until = self._speech_until if self._speech_until is not None else self.now
        duration = to_seconds(MediaTime(max(0, until - since)))
        self._follow(self._interruption.judge(self._utterance_text, duration, False))

    def _follow(self, verdict: Verdict) -> None:
        if self._interrupted_by != "speech":
            return
        if verdict is Verdict.BARGE_IN:
            self._barge_confirmed = True
            self._decide()
        elif verdict is Verdict.NOTHING and self.floor.is_music:
            self._interrupted_by = "music"  # the voice was nothing; the playing goes on
            self._decide()
        elif verdict is Verdict.NOTHING:
            self._dismiss()

    def _dismiss(self) -> None:
        if self.reply is not None and self._interrupted_by is not None:
            self._stage.log(
                log.Resumed(
                    t=self._t,
                    epoch=self.reply.epoch,
                    cause=self._interrupted_by,
                    silent=to_seconds(MediaTime(self.now - self._interrupted_at)),
                )
            )
        self._interrupted_by = None
        self._silent_at = None
        self._handle(conv.InterruptionDismissed(at=self.now))

    def _decide(self) -> None:
        """Carry the interruption out once the playout has said how much was heard."""
        late = self.now - self._interrupted_at >= _SILENCE_BY
        if self.reply is None or (self._silent_at is None and not late):
            return
        heard = self.reply.heard
        if self._interrupted_by == "music":
            if not self.floor.is_music:
                self._dismiss()
            elif self.now - self._interrupted_at >= _MUSIC_IS_MEANT:
                self._interrupted_by = None
                self._handle(conv.MusicStarted(at=self.now, heard=heard))
        elif self._interrupted_by == "speech" and self._barge_confirmed:
            self._interrupted_by = None
            self._handle(conv.BargedIn(at=self.now, heard=heard))
            if (event := self._after_barge) is not None:
                self._after_barge = None
                self._put_question(event, self._matcher.match(event.text))

    # --- replies --------------------------------------------------------------

    def summarised(self, reply: ReplyInMaking, record: log.Summary) -> None:
        """``record`` is what the answer ``reply`` is about; logged once it is asked for."""
        reply.summary = record
        if reply.epoch:
            self._log_summary(reply)

    def _log_summary(self, reply: ReplyInMaking) -> None:
        if reply.summary is not None:
            self._stage.log(evolve(reply.summary, t=self._t, epoch=reply.epoch))

    def clause(self, reply: ReplyInMaking, clause: Clause) -> None:
        """A brain wrote the next clause of ``reply``."""
        position = len(reply.text) + 1 if reply.written else 0
        reply.written.append(clause)
        if reply.epoch:
            self._log_clause(reply, clause)
        # Of what is only prepared, the first clause is spoken in advance and the rest when it is
        # asked for.
        if reply.epoch or position == 0:
            self._say(reply, clause, position)

    def _log_clause(self, reply: ReplyInMaking, clause: Clause) -> None:
        self._stage.log(
            log.ReplyText(
                t=self._t,
                epoch=reply.epoch,
                text=clause.text,
                brain=clause.brain,
                figures=clause.figures,
            )
        )

    def _say(self, reply: ReplyInMaking, clause: Clause, position: int) -> None:
        self._stage.to_speaker(
            Say(
                epoch=reply.number,
                clause=clause.text,
                position=position,
                sound=clause.sound,
                sample_rate_hz=clause.sample_rate_hz,
            )
        )

    def written(self, reply: ReplyInMaking, attempts: Sequence[Attempt] = ()) -> None:
        """``reply`` has no more clauses; ``attempts`` say how fast its brains were."""
        reply.ended = True
        reply.attempts = tuple(attempts)
        if reply.epoch:
            self._log_attempts(reply)
            self._stage.to_speaker(EndOfReply(epoch=reply.number))

    def _log_attempts(self, reply: ReplyInMaking) -> None:
        for attempt in reply.attempts:
            self._stage.log(
                log.Answered(
                    t=self._t,
                    epoch=reply.epoch,
                    brain=attempt.brain,
                    ttft=attempt.ttft,
                    duration=attempt.duration,
                    clauses=attempt.clauses,
                    since=to_seconds(reply.asked_at),
                )
            )

    def spoken(self, message: Spoken) -> None:
        """A voice has spoken a clause: once it is asked for, the log says how fast."""
        for reply in (self.reply, self._speculation):
            if reply is not None and reply.number == message.epoch and message.duration > 0:
                reply.spoken.append((self.now, message))
                if reply.epoch:
                    self._log_spoken(reply, message, self.now)

    def _log_spoken(self, reply: ReplyInMaking, message: Spoken, at: MediaTime) -> None:
        self._stage.log(
            log.Spoken(
                t=self._t,
                epoch=reply.epoch,
                voice=message.voice,
                ttfb=message.ttfb,
                rtf=message.took / message.duration,
                duration=message.duration,
                until=to_seconds(at),
            )
        )

    def lost(self, number: int) -> None:
        """No brain could write reply ``number``, or no voice speak it."""
        if (prepared := self._speculation) is not None and prepared.number == number:
            self._drop_speculation()
        reply = self.reply
        if reply is None or reply.number != number:
            return
        reply.failed = True
        if self.conversation.state is not ConversationState.SPEAKING:
            self._handle(conv.ReplyFailed(at=self.now, epoch=reply.epoch))
        # Otherwise what had been made of it is played first, and then it counts as finished.

    def primed(self, number: int, voice_duration: float) -> None:
        """The first slices of reply ``number`` can be played."""
        for reply in (self.reply, self._speculation):
            if reply is not None and reply.number == number:
                reply.primed = True
                reply.voice_duration = voice_duration
        self._release()

    def _release(self) -> None:
        """Play the answer if it is ready and nobody is talking."""
        reply = self.reply
        if (
            reply is None
            or not reply.primed
            or self.conversation.state is not ConversationState.RESPONDING
        ):
            return
        if self._speech_since is not None and self.now < self._hold_until:
            return
        self._handle(conv.ReplyReady(at=self.now, epoch=reply.epoch))

    def pictured(self, message: Pictured) -> None:
        """The first picture of a reply is drawn."""
        if (reply := self.reply) is not None and reply.number == message.epoch:
            reply.face_duration = message.face_duration

    def started(self, message: Started) -> None:
        """The playout wrote the first slice of a reply."""
        reply = self.reply
        if reply is None or reply.number != message.epoch:
            return
        reply.started_slot = message.slot
        at = slot_time(message.slot)
        self._stage.log(
            log.ReplyStarted(
                t=self._t,
                epoch=reply.epoch,
                latency=log.Latency(
                    hearing=to_seconds(MediaTime(reply.words_at - reply.question_end)),
                    turn=to_seconds(MediaTime(reply.turn_at - reply.words_at)),
                    brain=reply.brain_duration,
                    voice=reply.voice_duration,
                    face=reply.face_duration,
                    playout=max(0.0, to_seconds(MediaTime(at - reply.play_at))),
                    total=to_seconds(MediaTime(at - reply.question_end)),
                ),
            )
        )

    def silent(self, message: Silent) -> None:
        """The playout fell silent."""
        reply = self.reply
        if reply is None or reply.number != message.epoch:
            return
        reply.heard_to = max(reply.heard_to, message.heard_to)
        self._silent_at = slot_time(message.slot)
        if self._interrupted_by is not None:
            self._decide()

    def played_out(self, message: PlayedOut) -> None:
        """A reply was played to its end."""
        reply = self.reply
        if reply is None or reply.number != message.epoch:
            return
        reply.heard_to = message.heard_to
        self._interrupted_by = None
        self._log_stop(reply, "failed" if reply.failed else "finished", slot_time(message.slot))
        self.reply = None
        self._handle(conv.ReplyFinished(at=self.now, epoch=reply.epoch, heard=reply.heard))

    def _new_reply(
        self, kind: QuestionKind, question: str, history: tuple[Turn, ...]
    ) -> ReplyInMaking:
        self._numbers += 1
        return ReplyInMaking(
            number=self._numbers,
            kind=kind,
            question=question,
            history=history,
            asked_at=self.now,
            notes=self.accumulator.note_count,
        )

    def _discard(self, reply: ReplyInMaking) -> None:
        self._stage.unmake(reply)
        self._stage.to_speaker(Cancel(epoch=reply.number))

    # --- time -----------------------------------------------------------------

    @property
    def deadline(self) -> MediaTime | None:
        """When ``tick`` is wanted next; ``None`` if nothing waits for time to pass."""
        times = []
        if self._timer is not None:
            times.append(MediaTime(self._timer.deadline + _KNOWN_LATE))
        if self._music_until_sure is not None:
            times.append(self._music_until_sure)
        if self._suspect_at is not None:
            times.append(self._suspect_at[1])
        if self._interrupted_by is not None:
            times.append(MediaTime(self.now + from_seconds(0.1)))
        if (
            self.conversation.state is ConversationState.RESPONDING
            and self._speech_since is not None
            and self.now < self._hold_until
        ):
            times.append(self._hold_until)
        return min(times) if times else None

    def tick(self) -> None:
        """Time has passed: ``now`` says how much."""
        if self._timer is not None and self.now >= self._timer.deadline + _KNOWN_LATE:
            if self._speech_since is None:
                self._end_window()
            else:  # a voice that began before the window did, and still speaks
                self._handle(conv.SpeechResumed(at=self.now))
        self._suspect_if_due()
        if self._music_until_sure is not None and self.now >= self._music_until_sure:
            self._music_until_sure = None
            if self.conversation.state in (
                ConversationState.RESPONDING,
                ConversationState.ACTIVE_LISTENING,
            ):
                self._handle(conv.MusicStarted(at=self.now))
        if self._interrupted_by == "speech" and not self._barge_confirmed:
            self._judge()
        if self._interrupted_by is not None:
            self._decide()
        self._release()

    def _end_window(self) -> None:
        """The follow-up window's time is up."""
        if (timer := self._timer) is not None:
            self._timer = None
            self._stage.log(log.Timer(t=self._t, timer=timer.timer, action="expired"))
            self._handle(conv.WindowExpired(at=self.now, timer=timer.timer))

    # --- the embedding program ------------------------------------------------

    def reset(self, *, performance: bool) -> None:
        """A new student or piece."""
        self._drop_speculation()
        self._interrupted_by = None
        self._handle(conv.ContextReset(at=self.now, performance=performance))

    def end(self) -> None:
        """The session is over."""
        if self.conversation.state is not ConversationState.ENDED:
            self._drop_speculation()
            self._handle(conv.SessionEnded(at=self.now))

    # --- the conversation -----------------------------------------------------

    @property
    def _t(self) -> float:
        return to_seconds(self.now)

    def _handle(
        self, event: conv.ConversationEvent, *, about: UtteranceEnded | None = None
    ) -> None:
        before = self.conversation.state
        commands = self.conversation.handle(event)
        after = self.conversation.state
        if after is not before:
            self._stage.log(
                log.State(
                    t=self._t,
                    before=before.value,
                    after=after.value,
                    cause=EVENT_NAMES[type(event)],
                )
            )
        for command in commands:
            self._obey(command, event, about)

    def _obey(
        self, command: Command, event: conv.ConversationEvent, about: UtteranceEnded | None
    ) -> None:
        match command:
            case AskBrain():
                self._ask(command, about)
            case CancelReply(epoch=epoch):
                if (reply := self.reply) is not None and reply.epoch == epoch:
                    if reply.begun:
                        cause = _stop_cause(event)
                        if cause == "reset":
                            self._estimate_heard(reply)
                        self._log_stop(reply, cause, self._silent_at or self.now)
                    self._discard(reply)
                    self.reply = None
                    self._interrupted_by = None
            case StartPlayout(epoch=epoch):
                if self.reply is not None and self.reply.epoch == epoch:
                    self._play(self.reply)
            case PausePlayout():
                self._to_both(Pause)
            case ResumePlayout():
                self._to_both(Resume)
            case FlushPlayout():
                if self.reply is not None:
                    self._stage.to_playout(Flush(epoch=self.reply.number))
            case SayApology(epoch=epoch):
                self._apologise(epoch)
            case StartTimer():
                self._timer = command
                self._stage.log(
                    log.Timer(
                        t=self._t,
                        timer=command.timer,
                        action="started",
                        deadline=to_seconds(command.deadline),
                    )
                )
            case CancelTimer(timer=timer):
                self._timer = None
                self._stage.log(log.Timer(t=self._t, timer=timer, action="cancelled"))
            case ForgetPerformance():
                # What was played before, and is still being analysed, belongs to it, too.
                self.accumulator.clear(self._t)
                self._beside_music.clear()
            case ReportReset():
                self._stage.log(
                    log.ContextReset(
                        t=self._t, turns=command.turns, performance=command.performance
                    )
                )
                self._stage.reset_done(command.turns, command.performance)
            case Close():
                self._stage.close()

    def _estimate_heard(self, reply: ReplyInMaking) -> None:
        """A reset or an end does not wait for the playout to say how much was heard."""
        if reply.started_slot is not None and self._silent_at is None:
            elapsed = to_seconds(MediaTime(self.now - slot_time(reply.started_slot)))
            spoken = int(elapsed * _CHARACTERS_PER_SECOND)
            reply.heard_to = max(reply.heard_to, min(spoken, len(reply.text)))

    def _play(self, reply: ReplyInMaking) -> None:
        reply.begun = True
        reply.play_at = self.now
        self._silent_at = None
        self._interrupted_by = None
        self._stage.to_speaker(Start(epoch=reply.number))

    def _to_both(self, message: type[Pause] | type[Resume]) -> None:
        if self.reply is not None:
            self._stage.to_playout(message(epoch=self.reply.number))
            self._stage.to_speaker(message(epoch=self.reply.number))

    def _ask(self, command: AskBrain, about: UtteranceEnded | None) -> None:
        prepared = self._speculation
        if (
            prepared is not None
            and prepared.kind is command.kind
            and prepared.history == command.history
            and not prepared.failed
            and _same(prepared.question, command.question)
        ):
            reply = prepared
            self._speculation = None
        else:
            self._drop_speculation()
            reply = self._new_reply(command.kind, command.question, command.history)
        reply.epoch = command.epoch
        reply.turn_at = self.now
        reply.question_end = about.end if about is not None else self.now
        reply.words_at = min(self.now, max(reply.question_end, reply.asked_at))
        self.reply = reply
        self._stage.log(
            log.Question(t=self._t, epoch=reply.epoch, kind=reply.kind, text=command.question)
        )
        if reply is prepared:
            self._adopt(reply)
        else:
            self._stage.make(reply)

    def _adopt(self, reply: ReplyInMaking) -> None:
        """What was prepared is asked for."""
        self._log_summary(reply)
        position = 0
        for clause in reply.written:
            self._log_clause(reply, clause)
            if position:
                self._say(reply, clause, position)
            position += len(clause.text) + 1
        for ready_at, message in reply.spoken:
            self._log_spoken(reply, message, ready_at)
        if reply.ended:
            self._log_attempts(reply)
            self._stage.to_speaker(EndOfReply(epoch=reply.number))
        self._release()

    def _apologise(self, epoch: int) -> None:
        if self.reply is not None:
            self._log_stop(self.reply, "failed", self.now)
            self._discard(self.reply)  # its voice may have failed while its brain still writes
        reply = self._new_reply(QuestionKind.FOLLOW_UP, "", ())
        reply.epoch = epoch
        reply.turn_at = reply.question_end = reply.words_at = self.now
        self.reply = reply
        self.clause(reply, Clause(text=APOLOGY, brain="apology"))
        self.written(reply)
        self._play(reply)

    def _log_stop(self, reply: ReplyInMaking, cause: StopCause, silence_at: MediaTime) -> None:
        self._stage.log(
            log.ReplyStopped(
                t=self._t,
                epoch=reply.epoch,
                cause=cause,
                heard_text=reply.heard,
                silence_at=to_seconds(silence_at),
            )
        )


def _same(one: str, other: str) -> bool:
    """The same words, whatever their punctuation and case."""
    return _words(one) == _words(other)


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()


def _stop_cause(event: conv.ConversationEvent) -> StopCause:
    causes: Mapping[type, StopCause] = {
        conv.BargedIn: "speech",
        conv.WakePhraseHeard: "speech",
        conv.MusicStarted: "music",
    }
    return causes.get(type(event), "reset")
