"""The conductor, told a lesson as a script: who says what when, and what must come of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import pytest
from attrs import define, field

from maestra.app.answering import Attempt, Clause
from maestra.app.conductor import Conductor, ReplyInMaking
from maestra.app.config import Config
from maestra.app.messages import (
    APOLOGY,
    Cancel,
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
from maestra.core import log
from maestra.core.conversation.commands import QuestionKind
from maestra.core.conversation.conversation import ConversationState
from maestra.core.hearing import (
    FloorChanged,
    FloorLabel,
    Instrument,
    InstrumentHeard,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    UtteranceEnded,
)
from maestra.core.media_time import MediaTime, from_seconds, to_seconds
from maestra.core.performance.notes import PerformedNote

_Record = TypeVar("_Record", bound=log.Record)

ANSWER = ["Lovely tone.", "Count the rests.", "Try it slowly."]


@define
class Lesson:
    """The stage and the script in one: every method is something that happens at ``at`` seconds."""

    records: list[log.Record] = field(factory=list)
    speaker: list[object] = field(factory=list)
    playout: list[object] = field(factory=list)
    making: list[ReplyInMaking] = field(factory=list)
    unmade: list[int] = field(factory=list)
    closed: bool = False
    utterances: int = 0
    conductor: Conductor = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.conductor = Conductor(Config(), self)

    # the stage

    def log(self, record: log.Record) -> None:
        self.records.append(record)

    def to_speaker(self, message: object) -> None:
        self.speaker.append(message)

    def to_playout(self, message: object) -> None:
        self.playout.append(message)

    def make(self, reply: ReplyInMaking) -> None:
        self.making.append(reply)

    def unmake(self, reply: ReplyInMaking) -> None:
        self.unmade.append(reply.number)

    def reset_done(self, turns: int, performance: bool) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    # the script

    @property
    def state(self) -> ConversationState:
        return self.conductor.conversation.state

    def is_in(self, state: ConversationState) -> bool:
        return self.state is state

    def of(self, kind: type[_Record]) -> list[_Record]:
        return [record for record in self.records if isinstance(record, kind)]

    def time(self, at: float) -> MediaTime:
        """Let time pass to ``at``, ticking whenever the conductor asks for it."""
        until = from_seconds(at)
        while (deadline := self.conductor.deadline) is not None and deadline < until:
            self.conductor.now = max(self.conductor.now, deadline)
            self.conductor.tick()
        self.conductor.now = until
        self.conductor.tick()
        return until

    def speech(self, at: float, *, since: float | None = None) -> None:
        now = self.time(at)
        self.utterances += 1
        began = from_seconds(at - 0.1 if since is None else since)
        self.conductor.heard(SpeechStarted(at=now, since=began))

    def interim(self, at: float, text: str) -> None:
        now = self.time(at)
        self.conductor.heard(
            Transcript(
                at=now, utterance=self.utterances, text=text, start=now, end=now, final=False
            )
        )

    def utterance(self, at: float, text: str, *, end: float | None = None) -> None:
        now = self.time(at)
        ended = from_seconds(at - 0.4 if end is None else end)
        conductor = self.conductor
        conductor.heard(SpeechStopped(at=now, since=ended))
        for event in (
            Transcript(
                at=now, utterance=self.utterances, text=text, start=ended, end=ended, final=True
            ),
            UtteranceEnded(at=now, utterance=self.utterances, text=text, start=ended, end=ended),
        ):
            conductor.heard(event)

    def cut(self, at: float, text: str) -> None:
        """The question has gone on for too long; its voice goes on."""
        now, end = self.time(at), from_seconds(at - 0.3)
        conductor = self.conductor
        conductor.heard(
            UtteranceEnded(at=now, utterance=self.utterances, text=text, start=end, end=end)
        )
        self.utterances += 1
        conductor.heard(SpeechStarted(at=now, since=end))

    def says(self, begin: float, end: float, text: str) -> None:
        self.speech(begin)
        self.utterance(end, text)

    def floor(self, at: float, label: FloorLabel) -> None:
        now = self.time(at)
        self.conductor.heard(FloorChanged(at=now, label=label, since=from_seconds(at - 0.2)))

    def write(self, clauses: list[str] = ANSWER) -> ReplyInMaking:
        """The brain writes, and the voice speaks, the newest reply."""
        reply = self.making[-1]
        for clause in clauses:
            self.conductor.clause(reply, Clause(text=clause, brain="scripted"))
        self.conductor.written(reply)
        self.conductor.primed(reply.number, 0.1)
        return reply

    def start(self, at: float) -> ReplyInMaking:
        self.time(at)
        reply = self.conductor.reply
        assert reply is not None
        self.conductor.started(Started(epoch=reply.number, slot=round(at * 25)))
        return reply

    def silent(self, at: float, heard: str) -> None:
        self.time(at)
        reply = self.conductor.reply
        assert reply is not None
        self.conductor.silent(Silent(epoch=reply.number, slot=round(at * 25), heard_to=len(heard)))

    def played_out(self, at: float) -> None:
        self.time(at)
        reply = self.conductor.reply
        assert reply is not None
        slot, heard_to = round(at * 25), len(reply.text)
        self.conductor.played_out(PlayedOut(epoch=reply.number, slot=slot, heard_to=heard_to))

    def answering(self) -> ReplyInMaking:
        """Up to the middle of an answer."""
        self.says(1.0, 2.0, "Teacher, comment.")
        self.write()
        return self.start(2.5)


@pytest.fixture
def lesson() -> Iterator[Lesson]:
    yield Lesson()


def test_a_wake_phrase_is_answered_and_a_follow_up_needs_none(lesson: Lesson) -> None:
    lesson.answering()
    assert lesson.is_in(ConversationState.SPEAKING)
    lesson.played_out(8.0)
    assert lesson.is_in(ConversationState.ACTIVE_LISTENING)

    lesson.says(10.0, 11.0, "How do I fix that?")
    assert lesson.is_in(ConversationState.RESPONDING)
    reply = lesson.write(["Play it slowly."])
    assert QuestionKind.FOLLOW_UP is reply.kind
    assert " ".join(ANSWER) == reply.history[-1].heard
    lesson.start(11.5)
    lesson.played_out(14.0)

    lesson.time(24.4)
    assert lesson.is_in(ConversationState.ACTIVE_LISTENING)
    lesson.time(24.6)
    assert lesson.is_in(ConversationState.PASSIVE_LISTENING)
    assert ["finished", "finished"] == [r.cause for r in lesson.of(log.ReplyStopped)]


@pytest.mark.parametrize(("since", "counts"), [(17.95, True), (18.05, False)])
def test_who_begins_to_speak_in_the_window_is_heard_though_it_is_known_later(
    lesson: Lesson, since: float, counts: bool
) -> None:
    lesson.answering()
    lesson.played_out(8.0)
    lesson.speech(18.3, since=since)
    assert counts is lesson.is_in(ConversationState.ACTIVE_LISTENING)

    lesson.utterance(21.0, "How do I fix that?")
    assert counts is lesson.is_in(ConversationState.RESPONDING)
    actions = [record.action for record in lesson.of(log.Timer)]
    assert ["started", "cancelled" if counts else "expired"] == actions


def test_the_window_ends_no_utterance_that_began_with_the_last_word(lesson: Lesson) -> None:
    lesson.answering()
    lesson.speech(7.99, since=7.98)
    lesson.played_out(8.0)
    lesson.time(19.0)
    lesson.utterance(20.0, "That was a lot. How do I fix it?")

    assert lesson.is_in(ConversationState.RESPONDING)


def test_an_ear_that_dies_in_mid_question_does_not_hold_the_window(lesson: Lesson) -> None:
    lesson.answering()
    lesson.played_out(8.0)
    lesson.speech(16.0)
    lesson.time(16.2)
    lesson.conductor.ear_lost()
    lesson.time(19.0)

    assert lesson.is_in(ConversationState.PASSIVE_LISTENING)
    assert "expired" == lesson.of(log.Timer)[-1].action
    assert 1 == len([each for each in lesson.of(log.SpeechStopped) if each.t == 16.2])


def test_what_was_written_down_before_the_ear_died_is_answered(lesson: Lesson) -> None:
    lesson.floor(0.5, FloorLabel.PLAYING)
    lesson.floor(1.0, FloorLabel.SPEECH)
    lesson.speech(1.1)
    lesson.interim(2.0, "Teacher, comment.")
    lesson.time(2.1)
    lesson.conductor.ear_lost()

    assert lesson.is_in(ConversationState.RESPONDING)
    assert ["Teacher, comment."] == [each.text for each in lesson.of(log.Wake)]
    assert [False, True] == [each.final for each in lesson.of(log.Transcript)]
    assert FloorLabel.SILENCE is lesson.of(log.Floor)[-1].label


def test_an_ear_that_dies_after_the_last_word_ends_the_utterance_there(lesson: Lesson) -> None:
    lesson.speech(1.0)
    lesson.interim(1.8, "Teacher, comment.")
    lesson.conductor.heard(SpeechStopped(at=lesson.time(2.2), since=from_seconds(2.0)))
    lesson.time(2.3)
    lesson.conductor.ear_lost()

    (wake,) = lesson.of(log.Wake)
    assert 2.0 == wake.end
    assert 1 == len(lesson.of(log.SpeechStopped))


def test_an_ear_that_dies_in_silence_changes_nothing(lesson: Lesson) -> None:
    lesson.time(1.0)
    lesson.conductor.ear_lost()

    assert lesson.is_in(ConversationState.PASSIVE_LISTENING)
    assert not lesson.of(log.SpeechStopped) and not lesson.of(log.Floor)


def test_where_the_time_went_to_the_first_word_is_told(lesson: Lesson) -> None:
    lesson.says(1.0, 2.0, "Teacher, comment.")
    reply = lesson.write()
    lesson.conductor.pictured(Pictured(epoch=reply.number + 1, face_duration=9.0))  # another's
    lesson.conductor.pictured(Pictured(epoch=reply.number, face_duration=0.02))
    lesson.start(2.2)

    (started,) = lesson.of(log.ReplyStarted)
    latency = started.latency
    assert (0.1, 0.02, 0.2) == (latency.voice, latency.face, latency.playout)
    assert pytest.approx(0.6) == latency.total


def test_talk_without_a_wake_phrase_is_not_answered(lesson: Lesson) -> None:
    lesson.says(1.0, 3.0, "Shall we take it from the top?")

    assert lesson.is_in(ConversationState.PASSIVE_LISTENING)
    assert not lesson.making


def test_the_answer_is_prepared_while_the_question_is_still_being_asked(lesson: Lesson) -> None:
    lesson.speech(1.0)
    lesson.interim(1.8, "Teacher, comment")
    (prepared,) = lesson.making
    lesson.write()
    assert lesson.is_in(ConversationState.PASSIVE_LISTENING)
    assert not lesson.of(log.ReplyText), "what nobody asked for is not logged"

    lesson.utterance(2.2, "Teacher, comment.")
    assert lesson.is_in(ConversationState.SPEAKING)
    assert lesson.conductor.reply is prepared
    assert Start(epoch=prepared.number) in lesson.speaker
    assert ANSWER == [record.text for record in lesson.of(log.ReplyText)]


def test_after_playing_a_voice_alone_is_reason_to_prepare(lesson: Lesson) -> None:
    lesson.time(0.5)
    lesson.conductor.music(PerformedNote(onset=0.1, duration=0.3, midi=60))
    lesson.speech(1.0)
    (prepared,) = lesson.making
    lesson.write()
    said = [message for message in lesson.speaker if isinstance(message, Say)]
    assert [ANSWER[0]] == [message.clause for message in said], "the rest when it is asked for"

    lesson.utterance(2.0, "Teacher, comment.")
    assert lesson.is_in(ConversationState.SPEAKING)
    assert lesson.conductor.reply is prepared
    said = [message for message in lesson.speaker if isinstance(message, Say)]
    assert ANSWER == [message.clause for message in said]
    assert [0, len(ANSWER[0]) + 1] == [message.position for message in said[:2]]


def test_what_was_prepared_before_the_last_notes_came_is_made_anew(lesson: Lesson) -> None:
    lesson.time(0.5)
    lesson.conductor.music(PerformedNote(onset=0.1, duration=0.3, midi=60))
    lesson.speech(1.0)
    lesson.conductor.music(PerformedNote(onset=0.6, duration=0.3, midi=62))
    lesson.interim(1.6, "Teacher, comment")

    first, second = lesson.making
    assert [first.number] == lesson.unmade
    assert second.notes == 2


def test_an_answer_prepared_for_other_words_is_dropped(lesson: Lesson) -> None:
    lesson.speech(1.0)
    lesson.interim(1.8, "Teacher, comment")
    lesson.utterance(3.0, "Teacher, comment on my tempo.")

    first, second = lesson.making
    assert [first.number] == lesson.unmade
    assert "on my tempo." == second.question


def test_a_wake_phrase_that_was_misheard_is_forgotten(lesson: Lesson) -> None:
    lesson.speech(1.0)
    lesson.interim(1.8, "Teacher, comment")
    lesson.utterance(2.6, "Each of them went home.")

    assert lesson.is_in(ConversationState.PASSIVE_LISTENING)
    assert [lesson.making[0].number] == lesson.unmade
    assert not lesson.of(log.Wake)


def test_a_ready_answer_waits_while_somebody_talks(lesson: Lesson) -> None:
    lesson.says(1.0, 2.0, "Teacher, comment.")
    lesson.speech(2.2)
    lesson.write()
    assert lesson.is_in(ConversationState.RESPONDING)

    lesson.utterance(3.0, "")
    assert lesson.is_in(ConversationState.SPEAKING)


def test_more_words_while_thinking_join_the_question(lesson: Lesson) -> None:
    lesson.says(1.0, 2.0, "Teacher, comment.")
    lesson.says(2.1, 3.0, "On my rhythm, please.")

    first, second = lesson.making
    assert first.number in lesson.unmade
    assert "On my rhythm, please." == second.question


LONG = "Teacher, comment on this and that."


def test_a_cut_question_is_answered_over_the_voice_that_goes_on(lesson: Lesson) -> None:
    lesson.speech(1.0)
    lesson.cut(31.3, LONG)
    lesson.write()
    assert lesson.is_in(ConversationState.RESPONDING), "it may only want a few words more"
    lesson.time(33.4)
    assert lesson.is_in(ConversationState.SPEAKING)

    lesson.start(33.5)
    lesson.interim(35.0, "and another thing")
    lesson.time(38.0)
    assert not any(isinstance(message, Pause) for message in lesson.playout)
    lesson.played_out(39.0)
    assert ["finished"] == [record.cause for record in lesson.of(log.ReplyStopped)]


def test_an_answer_that_was_ready_at_the_cut_is_spoken(lesson: Lesson) -> None:
    lesson.speech(1.0)
    lesson.interim(30.9, LONG)
    lesson.write()
    lesson.cut(31.3, LONG)
    assert lesson.is_in(ConversationState.SPEAKING)
    lesson.start(31.4)
    lesson.interim(33.0, "and another thing")
    lesson.time(35.0)
    assert not any(isinstance(message, Pause) for message in lesson.playout)

    lesson.speech(35.1)  # after a breath: an interruption like any other
    assert isinstance(lesson.playout[-1], Pause)


def test_the_few_words_after_the_cut_belong_to_the_question(lesson: Lesson) -> None:
    lesson.speech(1.0)
    lesson.cut(31.3, LONG)
    lesson.write()
    lesson.utterance(32.5, "Please.")

    assert lesson.is_in(ConversationState.RESPONDING)
    assert lesson.making[-1].question.endswith("Please.")


def test_the_window_is_held_by_a_voice_that_goes_on_after_the_cut(lesson: Lesson) -> None:
    lesson.answering()
    lesson.played_out(8.0)
    lesson.speech(10.0)
    lesson.cut(40.3, "")
    lesson.time(60.0)
    lesson.utterance(61.0, "How do I fix that?")

    assert lesson.is_in(ConversationState.RESPONDING)


def test_speech_silences_at_once_and_the_heard_part_is_kept(lesson: Lesson) -> None:
    reply = lesson.answering()
    lesson.speech(4.0)
    assert Pause(epoch=reply.number) == lesson.playout[-1], "silent before it is known what it is"
    lesson.silent(4.05, "Lovely tone. Count th")
    lesson.interim(4.6, "Wait, stop.")

    assert lesson.is_in(ConversationState.ACTIVE_LISTENING)
    assert isinstance(lesson.playout[-1], Flush)
    (stopped,) = lesson.of(log.ReplyStopped)
    assert ("speech", "Lovely tone. Count") == (stopped.cause, stopped.heard_text)
    assert "Lovely tone. Count" == lesson.conductor.conversation.history.turns[-1].heard


def test_a_wake_phrase_while_answering_is_answered(lesson: Lesson) -> None:
    first = lesson.answering()
    lesson.speech(4.0)
    lesson.silent(4.05, "Lovely tone.")
    lesson.interim(4.6, "Teacher, comment")
    assert lesson.is_in(ConversationState.ACTIVE_LISTENING)
    lesson.utterance(5.4, "Teacher, comment on my rhythm.")

    assert lesson.is_in(ConversationState.RESPONDING)
    second = lesson.write(["Even as a clock."])
    assert second.number > first.number
    assert QuestionKind.WAKE is second.kind
    assert "Lovely tone." == second.history[-1].heard
    assert 2 == len(lesson.of(log.Wake))
    assert ["speech"] == [record.cause for record in lesson.of(log.ReplyStopped)]


def test_an_interruption_that_ends_before_the_playout_answers_is_still_a_question(
    lesson: Lesson,
) -> None:
    lesson.answering()
    lesson.speech(4.0)
    lesson.utterance(4.1, "Why?")
    assert lesson.is_in(ConversationState.SPEAKING), "it is not known yet how much was heard"
    lesson.silent(4.15, "Lovely tone.")

    assert lesson.is_in(ConversationState.RESPONDING)
    assert "Why?" == lesson.making[-1].question
    assert "Lovely tone." == lesson.making[-1].history[-1].heard


def test_a_cough_is_passed_over(lesson: Lesson) -> None:
    reply = lesson.answering()
    lesson.speech(4.0)
    lesson.silent(4.05, "Lovely tone.")
    lesson.utterance(4.5, "")

    assert lesson.is_in(ConversationState.SPEAKING)
    assert Resume(epoch=reply.number) == lesson.playout[-1]
    assert not lesson.of(log.ReplyStopped)
    (resumed,) = lesson.of(log.Resumed)
    assert (reply.epoch, "speech") == (resumed.epoch, resumed.cause)
    assert 0 < resumed.silent <= 0.5
    lesson.played_out(9.0)
    assert " ".join(ANSWER) == lesson.of(log.ReplyStopped)[0].heard_text


def test_music_silences_and_ends_the_turn(lesson: Lesson) -> None:
    lesson.answering()
    lesson.floor(4.0, FloorLabel.PLAYING)
    assert isinstance(lesson.playout[-1], Pause)
    lesson.silent(4.05, "Lovely tone.")
    lesson.time(4.5)

    assert lesson.is_in(ConversationState.PASSIVE_LISTENING)
    (stopped,) = lesson.of(log.ReplyStopped)
    assert ("music", "Lovely tone.") == (stopped.cause, stopped.heard_text)
    assert pytest.approx(4.05, abs=0.05) == stopped.silence_at


def test_a_held_vowel_or_a_dropped_book_is_not_playing(lesson: Lesson) -> None:
    reply = lesson.answering()
    lesson.floor(4.0, FloorLabel.SINGING)
    lesson.silent(4.05, "Lovely tone.")
    lesson.floor(4.2, FloorLabel.SILENCE)
    lesson.time(4.5)

    assert lesson.is_in(ConversationState.SPEAKING)
    assert Resume(epoch=reply.number) == lesson.playout[-1]

    lesson.played_out(8.0)
    lesson.floor(9.0, FloorLabel.PLAYING)
    lesson.floor(9.2, FloorLabel.SILENCE)
    lesson.time(10.0)
    assert lesson.is_in(ConversationState.ACTIVE_LISTENING)


def test_playing_interrupts_after_an_earlier_interruption_by_words(lesson: Lesson) -> None:
    lesson.answering()
    lesson.speech(4.0)
    lesson.silent(4.05, "Lovely tone.")
    lesson.utterance(4.8, "Wait, why?")
    lesson.write()
    lesson.start(5.2)
    lesson.floor(7.0, FloorLabel.PLAYING)
    assert isinstance(lesson.playout[-1], Pause)
    lesson.silent(7.05, "Lovely")
    lesson.time(7.5)

    assert ["speech", "music"] == [record.cause for record in lesson.of(log.ReplyStopped)]


def test_a_cough_that_is_decided_late_is_still_a_cough(lesson: Lesson) -> None:
    reply = lesson.answering()
    lesson.speech(4.0)
    lesson.silent(4.05, "Lovely tone.")
    lesson.conductor.now = from_seconds(4.5)
    lesson.conductor.heard(SpeechStopped(at=from_seconds(4.5), since=from_seconds(4.4)))
    lesson.time(5.6)
    assert lesson.is_in(ConversationState.SPEAKING), "the silence after it is not speech"

    lesson.utterance(5.7, "", end=4.4)
    assert Resume(epoch=reply.number) == lesson.playout[-1]


def test_an_interruption_is_carried_out_though_the_playout_is_mute(lesson: Lesson) -> None:
    lesson.answering()
    lesson.floor(4.0, FloorLabel.PLAYING)
    lesson.time(4.5)

    assert lesson.is_in(ConversationState.PASSIVE_LISTENING)
    assert "" == lesson.of(log.ReplyStopped)[0].heard_text


def test_music_while_thinking_cancels(lesson: Lesson) -> None:
    lesson.says(1.0, 2.0, "Teacher, comment.")
    lesson.floor(2.2, FloorLabel.PLAYING)
    lesson.time(2.7)

    assert lesson.is_in(ConversationState.PASSIVE_LISTENING)
    assert [lesson.making[0].number] == lesson.unmade
    lesson.write()
    assert lesson.is_in(ConversationState.PASSIVE_LISTENING)


def test_a_lost_answer_is_apologised_for(lesson: Lesson) -> None:
    lesson.says(1.0, 2.0, "Teacher, comment.")
    lesson.conductor.lost(lesson.making[0].number)
    assert [lesson.making[0].number] == lesson.unmade, "nobody goes on writing it"

    assert lesson.is_in(ConversationState.ACTIVE_LISTENING)
    said = [message for message in lesson.speaker if isinstance(message, Say)]
    assert APOLOGY == said[-1].clause
    assert isinstance(lesson.speaker[-1], Start)
    lesson.start(2.2)
    lesson.speech(2.6)
    assert isinstance(lesson.playout[-1], Flush), "an apology gives way, too"


def test_an_answer_that_was_lost_after_a_moment_was_asked_for_leaves_no_turn(
    lesson: Lesson,
) -> None:
    """The speaker apologises within it."""
    reply = lesson.answering()
    lesson.conductor.lost(reply.number)
    lesson.conductor.played_out(PlayedOut(epoch=reply.number, slot=200, heard_to=0))

    assert lesson.is_in(ConversationState.ACTIVE_LISTENING)
    (stopped,) = lesson.of(log.ReplyStopped)
    assert ("failed", "") == (stopped.cause, stopped.heard_text)
    lesson.says(9.0, 10.0, "What about my tempo?")
    assert () == lesson.making[-1].history


def test_old_reports_change_nothing(lesson: Lesson) -> None:
    old = lesson.answering()
    lesson.speech(4.0)
    lesson.silent(4.05, "Lovely")
    lesson.interim(4.6, "Wait, stop.")
    before = lesson.state
    lesson.conductor.primed(old.number, 0.1)
    lesson.conductor.lost(old.number)
    lesson.conductor.played_out(PlayedOut(epoch=old.number, slot=200, heard_to=9))

    assert lesson.is_in(before)
    assert 1 == len(lesson.of(log.ReplyStopped))


def test_the_performance_outlives_the_conversation(lesson: Lesson) -> None:
    lesson.floor(1.0, FloorLabel.PLAYING)
    for number in range(8):
        lesson.time(1.5 + number * 0.5)
        lesson.conductor.music(
            PerformedNote(onset=1.0 + number * 0.5, duration=0.4, midi=60 + number)
        )
    lesson.floor(6.0, FloorLabel.SILENCE)
    lesson.says(7.0, 8.0, "Teacher, comment.")
    lesson.write()
    lesson.start(8.5)
    lesson.played_out(12.0)
    lesson.time(25.0)
    assert 8 == lesson.conductor.accumulator.note_count

    lesson.conductor.reset(performance=True)
    assert 0 == lesson.conductor.accumulator.note_count


def test_an_instrument_belongs_to_the_take_it_is_heard_in(lesson: Lesson) -> None:
    """It is known before the notes are: it waits for them."""
    for number, instrument in enumerate((Instrument.VIOLIN, Instrument.FLUTE)):
        begin = 1.0 + 10 * number
        lesson.floor(begin + 0.2, FloorLabel.PLAYING)
        lesson.conductor.heard(
            InstrumentHeard(
                at=lesson.time(begin + 2.5), since=from_seconds(begin + 0.5), instrument=instrument
            )
        )
        lesson.floor(begin + 4.5, FloorLabel.SILENCE)
        for step in range(8):
            lesson.conductor.music(
                PerformedNote(onset=begin + step * 0.5, duration=0.4, midi=60 + step)
            )
        lesson.time(begin + 9)
        lesson.conductor.analysed(from_seconds(begin + 9))

    assert [Instrument.VIOLIN, Instrument.FLUTE] == [
        take.instrument for take in lesson.of(log.TakeEnded)
    ]


def test_cancelled_replies_are_cancelled_in_the_speaker_too(lesson: Lesson) -> None:
    reply = lesson.answering()
    lesson.floor(4.0, FloorLabel.PLAYING)
    lesson.silent(4.05, "Lovely tone.")
    lesson.time(4.5)

    assert Cancel(epoch=reply.number) in lesson.speaker


def test_the_end_closes(lesson: Lesson) -> None:
    lesson.answering()
    lesson.conductor.end()

    assert lesson.closed
    assert lesson.is_in(ConversationState.ENDED)
    assert "reset" == lesson.of(log.ReplyStopped)[0].cause


def test_a_clause_that_came_with_its_sound_is_passed_on_with_it(lesson: Lesson) -> None:
    sound = np.ones(24, np.float32)
    lesson.says(1.0, 2.0, "Teacher, comment.")
    reply = lesson.making[-1]

    lesson.conductor.clause(
        reply, Clause(text="Lovely tone.", brain="live", sound=sound, sample_rate_hz=24_000)
    )

    (say,) = [message for message in lesson.speaker if isinstance(message, Say)]
    assert say.sound is sound
    assert 24_000 == say.sample_rate_hz
    assert "live" == lesson.of(log.ReplyText)[-1].brain


def test_the_figures_of_what_was_prepared_are_logged_once_it_is_asked_for(lesson: Lesson) -> None:
    lesson.conductor.accumulator.add(PerformedNote(onset=0.1, duration=0.2, midi=60))
    lesson.speech(1.0)
    reply = lesson.making[-1]
    lesson.conductor.clause(reply, Clause(text="Lovely tone.", brain="one"))
    lesson.conductor.spoken(
        Spoken(epoch=reply.number, voice="piper", ttfb=0.1, took=0.4, duration=2.0)
    )
    lesson.conductor.written(reply, [Attempt(brain="one", ttft=0.2, duration=0.3, clauses=1)])
    assert not lesson.of(log.Answered) and not lesson.of(log.Spoken)

    lesson.utterance(2.0, "Teacher, comment.")

    (answered,), (spoken,) = lesson.of(log.Answered), lesson.of(log.Spoken)
    assert ("one", 0.2, 1) == (answered.brain, answered.ttft, answered.epoch)
    assert ("piper", 0.2) == (spoken.voice, spoken.rtf)
    asked_at = lesson.of(log.Question)[-1].t
    assert answered.since == spoken.until == to_seconds(reply.asked_at) < asked_at
