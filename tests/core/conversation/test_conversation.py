"""Scenes of a lesson, told event by event."""

from __future__ import annotations

import pytest

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
    Conversation,
    ConversationSettings,
    ConversationState,
    IllegalEvent,
)
from maestra.core.conversation.events import (
    BargedIn,
    ContextReset,
    InterruptionDismissed,
    InterruptionSuspected,
    MusicStarted,
    ReplyFailed,
    ReplyFinished,
    ReplyReady,
    SessionEnded,
    SpeechContinued,
    SpeechResumed,
    UtteranceHeard,
    WakePhraseHeard,
    WindowExpired,
)
from maestra.core.conversation.history import Turn
from maestra.core.media_time import MediaTime
from maestra.core.media_time import from_seconds as s


def wake(at: float, question: str = "", heard: str = "") -> WakePhraseHeard:
    return WakePhraseHeard(
        at=s(at),
        phrase="teacher, comment",
        score=100.0,
        text=f"Teacher, comment {question}".strip(),
        question=question,
        utterance=1,
        heard=heard,
    )


def said(at: float, text: str) -> UtteranceHeard:
    return UtteranceHeard(at=s(at), text=text, utterance=2)


def asked(
    epoch: int, kind: QuestionKind, question: str, history: tuple[Turn, ...] = ()
) -> AskBrain:
    return AskBrain(epoch=epoch, kind=kind, question=question, history=history)


def timer(number: int, deadline: float) -> StartTimer:
    return StartTimer(timer=number, deadline=s(deadline))


@pytest.fixture
def talk() -> Conversation:
    return Conversation()


@pytest.fixture
def speaking(talk: Conversation) -> Conversation:
    """It answers, as reply 1, a question about the rhythm since 2 s."""
    talk.handle(wake(1, "on my rhythm"))
    talk.handle(ReplyReady(at=s(2), epoch=1))
    return talk


@pytest.fixture
def waiting(speaking: Conversation) -> Conversation:
    """The answer was heard at 5 s; timer 1 runs until 15 s."""
    speaking.handle(ReplyFinished(at=s(5), epoch=1, heard="It was even."))
    return speaking


TURN = Turn(question="on my rhythm", heard="It was even.")


def test_a_wake_phrase_a_follow_up_and_a_goodbye(talk: Conversation) -> None:
    told: list[tuple[Command, ...]] = [
        talk.handle(event)
        for event in (
            wake(1, "on my rhythm"),
            ReplyReady(at=s(2), epoch=1),
            ReplyFinished(at=s(5), epoch=1, heard="It was even."),
            SpeechResumed(at=s(8)),
            said(9, "How do I keep it?"),
            ReplyReady(at=s(10), epoch=2),
            ReplyFinished(at=s(12), epoch=2, heard="Count."),
            WindowExpired(at=s(22), timer=2),
            SessionEnded(at=s(30)),
        )
    ]

    assert told == [
        (asked(1, QuestionKind.WAKE, "on my rhythm"),),
        (StartPlayout(epoch=1),),
        (timer(1, 15),),
        (CancelTimer(timer=1),),
        (asked(2, QuestionKind.FOLLOW_UP, "How do I keep it?", (TURN,)),),
        (StartPlayout(epoch=2),),
        (timer(2, 22),),
        (),
        (Close(),),
    ]
    assert talk.state is ConversationState.ENDED
    assert not talk.history


def test_a_question_that_goes_on_is_asked_again_whole(talk: Conversation) -> None:
    talk.handle(wake(1))

    told = talk.handle(SpeechContinued(at=s(2), question="on my rhythm", utterance=1))

    assert told == (CancelReply(epoch=1), asked(2, QuestionKind.WAKE, "on my rhythm"))
    assert talk.epoch == 2
    assert talk.handle(ReplyReady(at=s(2), epoch=1)) == ()
    assert talk.state is ConversationState.RESPONDING


def test_the_same_question_again_is_not_asked_again(talk: Conversation) -> None:
    talk.handle(wake(1, "on my rhythm"))

    assert talk.handle(wake(2)) == ()
    assert talk.handle(wake(2, "on  my rhythm")) == ()
    assert talk.handle(SpeechContinued(at=s(2), question="on my rhythm", utterance=1)) == ()
    assert talk.epoch == 1


def test_a_cough_pauses_and_resumes(speaking: Conversation) -> None:
    assert speaking.handle(InterruptionSuspected(at=s(3))) == (PausePlayout(epoch=1),)
    assert speaking.paused
    assert speaking.handle(InterruptionSuspected(at=s(3.1))) == ()
    assert speaking.handle(InterruptionDismissed(at=s(3.4))) == (ResumePlayout(epoch=1),)
    assert not speaking.paused
    with pytest.raises(IllegalEvent):
        speaking.handle(InterruptionDismissed(at=s(3.5)))


def test_a_barge_in_silences_at_once_and_keeps_what_was_heard(speaking: Conversation) -> None:
    speaking.handle(InterruptionSuspected(at=s(3)))

    told = speaking.handle(BargedIn(at=s(3.3), heard="It was"))

    assert told == (FlushPlayout(epoch=1), CancelReply(epoch=1))
    assert speaking.state is ConversationState.ACTIVE_LISTENING
    assert speaking.held
    heard = Turn(question="on my rhythm", heard="It was")
    assert speaking.handle(said(5, "Which bar?")) == (
        asked(2, QuestionKind.FOLLOW_UP, "Which bar?", (heard,)),
    )


def test_a_barge_in_without_a_question_opens_the_whole_window(speaking: Conversation) -> None:
    speaking.handle(BargedIn(at=s(3), heard=""))

    assert speaking.handle(said(20, "")) == (timer(1, 30),)
    assert len(speaking.history) == 0


def test_a_reply_that_ends_while_an_interruption_is_judged(speaking: Conversation) -> None:
    """The verdict comes when the teacher is already listening, and is none the worse for it."""
    speaking.handle(InterruptionSuspected(at=s(3)))

    assert speaking.handle(ReplyFinished(at=s(3.1), epoch=1, heard="It was even.")) == ()
    assert speaking.held
    assert speaking.handle(BargedIn(at=s(3.3), heard="It was even.")) == ()
    assert tuple(speaking.history) == (TURN,)
    assert speaking.handle(InterruptionDismissed(at=s(4))) == (timer(1, 14),)


def test_music_while_speaking_keeps_the_conversation_for_the_next_wake(
    speaking: Conversation,
) -> None:
    told = speaking.handle(MusicStarted(at=s(3), heard="It was even."))

    assert told == (FlushPlayout(epoch=1), CancelReply(epoch=1))
    assert speaking.state is ConversationState.PASSIVE_LISTENING
    assert speaking.handle(MusicStarted(at=s(4))) == ()
    assert speaking.handle(wake(60, "was it better")) == (
        asked(2, QuestionKind.WAKE, "was it better", (TURN,)),
    )


def test_a_wake_phrase_while_speaking_is_answered_at_once(speaking: Conversation) -> None:
    heard = Turn(question="on my rhythm", heard="It")

    assert speaking.handle(wake(3, "on my tempo", heard="It")) == (
        FlushPlayout(epoch=1),
        CancelReply(epoch=1),
        asked(2, QuestionKind.WAKE, "on my tempo", (heard,)),
    )


def test_a_noise_holds_the_timer_and_gives_the_rest_back(waiting: Conversation) -> None:
    assert waiting.handle(SpeechResumed(at=s(9))) == (CancelTimer(timer=1),)
    assert waiting.handle(SpeechResumed(at=s(9.2))) == ()
    assert waiting.handle(said(10, "")) == (timer(2, 16),)
    assert waiting.handle(SpeechResumed(at=s(15.5))) == (CancelTimer(timer=2),)
    assert waiting.handle(said(16, "")) == (timer(3, 18),), "two seconds at the least"
    assert waiting.handle(said(16.5, "")) == (), "nothing is held"


def test_the_window_never_ends_an_utterance(waiting: Conversation) -> None:
    waiting.handle(SpeechResumed(at=s(14.9)))

    assert waiting.handle(WindowExpired(at=s(15), timer=1)) == ()
    assert waiting.state is ConversationState.ACTIVE_LISTENING
    assert waiting.handle(said(25, "And my tempo?"))[-1] == asked(
        2, QuestionKind.FOLLOW_UP, "And my tempo?", (TURN,)
    )


def test_the_end_of_the_window_ends_the_conversation(waiting: Conversation) -> None:
    assert waiting.handle(WindowExpired(at=s(15), timer=1)) == ()
    assert waiting.state is ConversationState.PASSIVE_LISTENING
    assert len(waiting.history) == 0


def test_a_failure_is_apologised_for(talk: Conversation) -> None:
    talk.handle(wake(1))

    assert talk.handle(ReplyFailed(at=s(3), epoch=1)) == (SayApology(epoch=2), timer(1, 13))
    assert talk.state is ConversationState.ACTIVE_LISTENING
    assert talk.epoch == 2
    assert talk.handle(ReplyReady(at=s(3.2), epoch=2)) == ()
    told = talk.handle(ReplyFinished(at=s(5), epoch=2, heard="Sorry, I lost my words."))
    assert told == (CancelTimer(timer=1), timer(2, 15))
    assert talk.epoch == 0
    assert len(talk.history) == 0, "an apology answers nothing"


@pytest.mark.parametrize(
    ("event", "then"),
    [
        (MusicStarted(at=s(4)), (CancelTimer(timer=1),)),
        (SpeechResumed(at=s(4)), (CancelTimer(timer=1),)),
        (
            said(4, "What?"),
            (CancelTimer(timer=1), asked(3, QuestionKind.FOLLOW_UP, "What?")),
        ),
        (SessionEnded(at=s(4)), (CancelTimer(timer=1), Close())),
    ],
)
def test_an_apology_is_silenced_like_any_reply(
    talk: Conversation,
    event: MusicStarted | SpeechResumed | UtteranceHeard | SessionEnded,
    then: tuple[Command, ...],
) -> None:
    talk.handle(wake(1))
    talk.handle(ReplyFailed(at=s(3), epoch=1))

    assert talk.handle(event) == (FlushPlayout(epoch=2), CancelReply(epoch=2), *then)


def test_half_an_answer_is_remembered_as_half(speaking: Conversation) -> None:
    assert speaking.handle(ReplyFailed(at=s(3), epoch=1, heard="It was")) == (timer(1, 13),)
    assert tuple(speaking.history) == (Turn(question="on my rhythm", heard="It was"),)


def test_history_keeps_three_turns(talk: Conversation) -> None:
    talk.handle(wake(0, "question 1"))
    for number in range(1, 6):
        talk.handle(ReplyReady(at=s(number), epoch=number))
        talk.handle(ReplyFinished(at=s(number), epoch=number, heard=f"answer {number}"))
        talk.handle(said(number, f"question {number + 1}"))

    assert [(turn.question, turn.heard) for turn in talk.history] == [
        ("question 3", "answer 3"),
        ("question 4", "answer 4"),
        ("question 5", "answer 5"),
    ]


@pytest.mark.parametrize("performance", [True, False])
def test_a_reset_says_what_it_cleared(waiting: Conversation, performance: bool) -> None:
    told = waiting.handle(ContextReset(at=s(6), performance=performance))

    forgets = (ForgetPerformance(),) if performance else ()
    assert told == (
        CancelTimer(timer=1),
        *forgets,
        ReportReset(turns=1, performance=performance),
    )
    assert waiting.state is ConversationState.PASSIVE_LISTENING


def test_after_the_end_only_what_is_out_of_date_is_let_pass(speaking: Conversation) -> None:
    told = speaking.handle(SessionEnded(at=s(3)))

    assert told == (FlushPlayout(epoch=1), CancelReply(epoch=1), Close())
    assert speaking.handle(ReplyFinished(at=s(4), epoch=1, heard="It was even.")) == ()
    for event in (wake(4), SessionEnded(at=s(4)), ContextReset(at=s(4))):
        with pytest.raises(IllegalEvent) as caught:
            speaking.handle(event)
        assert caught.value.event is event
        assert caught.value.state is ConversationState.ENDED


def test_settings_change_while_it_runs(waiting: Conversation) -> None:
    waiting.update(ConversationSettings(window=4.0, history_turns=1))
    waiting.handle(said(6, "And now?"))
    waiting.handle(ReplyReady(at=s(7), epoch=2))

    told = waiting.handle(ReplyFinished(at=s(8), epoch=2, heard="Better."))

    assert told == (timer(2, 12),)
    assert tuple(waiting.history) == (Turn(question="And now?", heard="Better."),)


def test_the_window_that_is_open_keeps_its_length(waiting: Conversation) -> None:
    waiting.update(ConversationSettings(window=1.0))
    waiting.handle(SpeechResumed(at=s(6)))

    assert waiting.handle(said(7, "")) == (StartTimer(timer=2, deadline=MediaTime(s(16))),)


@pytest.mark.parametrize(
    "wrong", [{"window": 0.0}, {"history_turns": 4}, {"history_turns": -1}, {"shortest_window": -1}]
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ConversationSettings(**wrong)  # type: ignore[arg-type]
