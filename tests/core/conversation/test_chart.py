"""The chart against a table that was written without looking at it.

`TABLE` is design in text: what may happen in each state, what follows, and which commands are
given. `World` carries the commands out as a session would, and knows what a lesson must never see.
Hypothesis makes up lessons, legal and illegal, and everything is compared after every event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import hypothesis.strategies as st
import pytest
from attrs import define, field
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from maestra.core.conversation.commands import (
    AskBrain,
    CancelReply,
    CancelTimer,
    Close,
    Command,
    FlushPlayout,
    ForgetPerformance,
    PausePlayout,
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
from maestra.core.conversation.docs import rows
from maestra.core.conversation.events import (
    BargedIn,
    ContextReset,
    ConversationEvent,
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
from maestra.core.media_time import MediaTime, from_seconds

# A command in parentheses is given only if there is something to do: a timer to cancel or to let go
# on, an apology to hush, a performance that is to be forgotten.
TABLE: Final = """
passive     wake              responding  AskBrain
passive     wake_same         responding  AskBrain
passive     music             passive
passive     reset             passive     (ForgetPerformance) ReportReset
passive     end               ended       Close

active      wake              responding  (FlushPlayout CancelReply) (CancelTimer) AskBrain
active      wake_same         responding  (FlushPlayout CancelReply) (CancelTimer) AskBrain
active      words             responding  (FlushPlayout CancelReply) (CancelTimer) AskBrain
active      no_words          active      (StartTimer)
active      dismissed         active      (StartTimer)
active      speech            active      (FlushPlayout CancelReply) (CancelTimer)
active      barged_in         active      (FlushPlayout CancelReply) (CancelTimer)
active      music             passive     (FlushPlayout CancelReply) (CancelTimer)
active      expired           passive     (FlushPlayout CancelReply)
active      ready             active
active      finished          active      (CancelTimer StartTimer)
active      failed            active      (CancelTimer StartTimer)
active      reset             passive     (FlushPlayout CancelReply) (CancelTimer) \
(ForgetPerformance) ReportReset
active      end               ended       (FlushPlayout CancelReply) (CancelTimer) Close

responding  ready             speaking    StartPlayout
responding  failed            active      SayApology StartTimer
responding  continued         responding  CancelReply AskBrain
responding  continued_same    responding
responding  wake              responding  CancelReply AskBrain
responding  wake_same         responding
responding  music             passive     CancelReply
responding  reset             passive     CancelReply (ForgetPerformance) ReportReset
responding  end               ended       CancelReply Close

speaking    suspected         paused      PausePlayout
paused      suspected         paused
paused      dismissed         speaking    ResumePlayout
speaking    barged_in         active      FlushPlayout CancelReply
paused      barged_in         active      FlushPlayout CancelReply
speaking    wake              responding  FlushPlayout CancelReply AskBrain
speaking    wake_same         responding  FlushPlayout CancelReply AskBrain
paused      wake              responding  FlushPlayout CancelReply AskBrain
paused      wake_same         responding  FlushPlayout CancelReply AskBrain
speaking    music             passive     FlushPlayout CancelReply
paused      music             passive     FlushPlayout CancelReply
speaking    finished          active      StartTimer
speaking    failed            active      StartTimer
paused      finished          active
paused      failed            active
speaking    reset             passive     FlushPlayout CancelReply (ForgetPerformance) ReportReset
paused      reset             passive     FlushPlayout CancelReply (ForgetPerformance) ReportReset
speaking    end               ended       FlushPlayout CancelReply Close
paused      end               ended       FlushPlayout CancelReply Close
"""

ROWS: Final = {
    (state, event): (target, " ".join(commands))
    for state, event, target, *commands in (
        line.split() for line in TABLE.splitlines() if line.strip()
    )
}
SHORT: Final = {
    ConversationState.PASSIVE_LISTENING: "passive",
    ConversationState.ACTIVE_LISTENING: "active",
    ConversationState.RESPONDING: "responding",
    ConversationState.SPEAKING: "speaking",
    ConversationState.ENDED: "ended",
}
WINDOW: Final = 10.0
SHORTEST: Final = 2.0


@define
class World:
    """What a session would have on its hands after carrying out every command so far."""

    replies: set[int] = field(factory=set)
    numbers: list[int] = field(factory=list)
    sounding: int = 0
    silenced: int = 0
    timers: list[int] = field(factory=list)
    deadline: MediaTime | None = None
    remaining: MediaTime | None = None
    expected_deadline: MediaTime | None = None
    apology: bool = False
    question: str | None = None
    history: list[Turn] = field(factory=list)
    forgotten: int = 0

    @property
    def current(self) -> int:
        return max(self.replies, default=0)

    def do(self, command: Command) -> None:
        match command:
            case AskBrain(epoch=epoch) | SayApology(epoch=epoch):
                assert not self.replies, "two replies at once"
                assert epoch > max(self.numbers, default=0), "numbers must increase"
                self.numbers.append(epoch)
                self.replies.add(epoch)
                self.apology = isinstance(command, SayApology)
                self.sounding = epoch if self.apology else 0
                if isinstance(command, AskBrain):
                    self.question = command.question
                    assert list(command.history) == self.history
            case CancelReply(epoch=epoch):
                assert self.sounding != epoch, "cancelled while it still sounds"
                self.replies.remove(epoch)
            case StartPlayout(epoch=epoch) | ResumePlayout(epoch=epoch):
                assert epoch in self.replies
                self.sounding = epoch
                self.silenced = 0
            case PausePlayout(epoch=epoch):
                assert self.sounding == epoch
                self.sounding, self.silenced = 0, epoch
            case FlushPlayout(epoch=epoch):
                assert epoch in (self.sounding, self.silenced)
                self.sounding = self.silenced = 0
            case StartTimer(timer=timer, deadline=deadline):
                assert self.deadline is None, "two timers at once"
                assert timer > max(self.timers, default=0)
                assert deadline == self.expected_deadline
                self.timers.append(timer)
                self.deadline, self.remaining = deadline, None
            case CancelTimer(timer=timer):
                assert self.deadline is not None
                assert timer == self.timers[-1]
                self.deadline = None
            case ForgetPerformance():
                self.forgotten += 1
            case ReportReset(turns=turns):
                assert turns == len(self.history)
            case Close():
                assert not self.replies
                assert not self.sounding
                assert self.deadline is None

    def over(self) -> None:
        """The reply was played to its end, or as far as there was any."""
        self.replies.clear()
        self.sounding = self.silenced = 0

    def remember(self, heard: str) -> None:
        if heard:
            assert self.question is not None
            self.history = [*self.history, Turn(question=self.question, heard=heard)][-3:]


QUESTIONS: Final = st.sampled_from(["", "on my tempo", "on my rhythm", "how do I fix that"])
HEARD: Final = st.sampled_from(["", "That", "That was", "That was good."])
EPOCHS: Final = st.sampled_from(["current"] * 5 + ["old", "future", "zero"])


class Lessons(RuleBasedStateMachine):
    """Made-up lessons. Every event is sent, whether it is legal or not."""

    def __init__(self) -> None:
        super().__init__()
        self.conversation = Conversation(
            ConversationSettings(window=WINDOW, shortest_window=SHORTEST)
        )
        self.world = World()
        self.state = "passive"
        self.talking = False
        self.now = 0.0
        self.heard: set[str] = set()
        self.resets_of_performance = 0
        self.utterance = 0

    @initialize()
    def begin(self) -> None:
        assert self.conversation.state is ConversationState.PASSIVE_LISTENING

    # --- the events -------------------------------------------------------------------------------

    @rule(question=QUESTIONS, heard=HEARD)
    def wake(self, question: str, heard: str) -> None:
        self._send(
            WakePhraseHeard(
                at=self._at(),
                phrase="teacher, comment",
                score=97.0,
                text=f"Teacher, comment {question}",
                question=question,
                utterance=self.utterance,
                heard=heard,
            ),
            "wake" if question not in ("", self.world.question) else "wake_same",
            heard=heard,
        )

    @rule(question=QUESTIONS.filter(bool))
    def continued(self, question: str) -> None:
        self._send(
            SpeechContinued(at=self._at(), question=question, utterance=self.utterance),
            "continued_same" if question == self.world.question else "continued",
        )

    @rule(after=st.floats(0, 12))
    def speech(self, after: float) -> None:
        self._send(SpeechResumed(at=self._at(after)), "speech")

    @rule(text=st.sampled_from(["", "  ", "how do I fix that", "was it better"]))
    def utterance_ends(self, text: str) -> None:
        self.utterance += 1
        self._send(
            UtteranceHeard(at=self._at(), text=text, utterance=self.utterance),
            "words" if text.strip() else "no_words",
        )

    @rule(heard=HEARD)
    def music(self, heard: str) -> None:
        self._send(MusicStarted(at=self._at(), heard=heard), "music", heard=heard)

    @rule(which=EPOCHS)
    def ready(self, which: str) -> None:
        self._send_reply_event(ReplyReady(at=self._at(), epoch=self._epoch(which)), "ready")

    @rule(which=EPOCHS, heard=HEARD)
    def failed(self, which: str, heard: str) -> None:
        event = ReplyFailed(at=self._at(), epoch=self._epoch(which), heard=heard)
        self._send_reply_event(event, "failed", heard)

    @rule(which=EPOCHS, heard=HEARD)
    def finished(self, which: str, heard: str) -> None:
        event = ReplyFinished(at=self._at(), epoch=self._epoch(which), heard=heard)
        self._send_reply_event(event, "finished", heard)

    @rule()
    def suspected(self) -> None:
        self._send(InterruptionSuspected(at=self._at()), "suspected")

    @rule()
    def dismissed(self) -> None:
        self._send(InterruptionDismissed(at=self._at()), "dismissed")

    @rule(heard=HEARD)
    def barged_in(self, heard: str) -> None:
        self._send(BargedIn(at=self._at(), heard=heard), "barged_in", heard=heard)

    @rule(which=st.sampled_from(["latest", "latest", "old", "future"]))
    def expired(self, which: str) -> None:
        """A timer runs out. Sent whether or not one does: the runtime may be late."""
        timers = self.world.timers
        number = {
            "latest": timers[-1] if timers else 0,
            "old": timers[0] if timers else 0,
            "future": (timers[-1] if timers else 0) + 1,
        }[which]
        is_running = self.world.deadline is not None and number == timers[-1]
        is_old = number in timers and not is_running
        self._send(
            WindowExpired(at=self._at(), timer=number),
            "expired" if is_running else "out_of_date" if is_old else "unheard_of",
        )

    @rule(performance=st.booleans())
    def reset(self, performance: bool) -> None:
        legal = self.state != "ended"
        self._send(
            ContextReset(at=self._at(), performance=performance), "reset", forget=performance
        )
        if legal:
            assert not self.conversation.history
            self.resets_of_performance += performance

    @precondition(lambda self: self.now > 8)
    @rule()
    def end(self) -> None:
        self._send(SessionEnded(at=self._at()), "end")

    @rule(question=QUESTIONS)
    def whole_reply_starts(self, question: str) -> None:
        """So that lessons are not all spent on events that nothing follows."""
        self.wake(question, "")
        self.ready("current")

    @precondition(lambda self: self.state in ("passive", "active"))
    @rule(
        questions=st.lists(QUESTIONS.filter(bool), min_size=1, max_size=5),
        heard=HEARD.filter(bool),
    )
    def whole_conversation(self, questions: list[str], heard: str) -> None:
        for question in questions:
            if self.state == "active":
                self.utterance_ends(question)
            else:
                self.wake(question, "")
            self.ready("current")
            self.finished("current", heard)

    @rule(question=QUESTIONS)
    def whole_reply_is_interrupted(self, question: str) -> None:
        self.whole_reply_starts(question)
        self.suspected()

    @rule(question=QUESTIONS)
    def whole_reply_fails(self, question: str) -> None:
        self.wake(question, "")
        self.failed("current", "")

    # --- comparing --------------------------------------------------------------------------------

    def _at(self, after: float = 0.5) -> MediaTime:
        self.now += after
        return from_seconds(self.now)

    def _epoch(self, which: str) -> int:
        numbers = self.world.numbers
        return {
            "current": self.world.current,
            "old": numbers[0] if numbers else 0,
            "future": max(numbers, default=0) + 1,
            "zero": 0,
        }[which]

    def _send_reply_event(
        self, event: ReplyReady | ReplyFailed | ReplyFinished, kind: str, heard: str = ""
    ) -> None:
        if event.epoch in self.world.replies:
            self._send(event, kind, heard=heard)
        elif event.epoch in self.world.numbers:
            self._send(event, "out_of_date")
        else:
            self._send(event, "unheard_of")

    def _send(
        self, event: ConversationEvent, kind: str, *, heard: str = "", forget: bool = False
    ) -> None:
        if kind == "out_of_date":
            before = self._snapshot()
            assert self.conversation.handle(event) == ()
            assert self._snapshot() == before
        elif (row := ROWS.get((self.state, kind))) is None:
            before = self._snapshot()
            with pytest.raises(IllegalEvent):
                self.conversation.handle(event)
            assert self._snapshot() == before
        else:
            self._follow(event, kind, row, heard, forget)

    def _follow(
        self, event: ConversationEvent, kind: str, row: tuple[str, str], heard: str, forget: bool
    ) -> None:
        target, pattern = row
        source, world = self.state, self.world
        commands = self.conversation.handle(event)

        assert [type(command).__name__ for command in commands] == self._expected(pattern, forget)
        if source in ("speaking", "paused") and kind != "suspected":
            # What was heard is remembered before it is asked on, so before the commands.
            if kind in ("finished", "failed"):
                world.over()
            if kind in ("barged_in", "music", "wake", "wake_same", "finished", "failed"):
                world.remember(heard)
                self.heard.add(heard)
        elif kind in ("failed", "finished"):
            world.over()
        self._expect_deadline(event, kind, source)
        for command in commands:
            world.do(command)
        if kind == "expired":
            world.deadline = None
        if kind in ("expired", "reset"):
            world.history = []
        self.state = target
        if target != "active":
            world.remaining = None
        self.talking = world.remaining is not None

    def _expected(self, pattern: str, forget: bool) -> list[str]:
        world = self.world
        holds = world.remaining is not None
        said = pattern
        for group, applies in (
            ("(FlushPlayout CancelReply)", world.apology and bool(world.replies)),
            ("(CancelTimer StartTimer)", not holds),
            ("(CancelTimer)", world.deadline is not None),
            ("(StartTimer)", holds),
            ("(ForgetPerformance)", forget),
        ):
            said = said.replace(group, group.strip("()") if applies else "")
        return said.split()

    def _expect_deadline(self, event: ConversationEvent, kind: str, source: str) -> None:
        """Keep the book of what is left of the window while somebody speaks."""
        world = self.world
        left = full = from_seconds(WINDOW)
        if source in ("speaking", "paused"):
            if kind == "barged_in" or (source == "paused" and kind in ("finished", "failed")):
                world.remaining = full
        elif kind in ("speech", "barged_in") and world.deadline is not None:
            world.remaining = MediaTime(max(0, world.deadline - event.at))
        elif kind in ("finished", "failed") and world.remaining is not None:
            world.remaining = full
        elif kind in ("no_words", "dismissed") and world.remaining is not None:
            left = MediaTime(max(world.remaining, from_seconds(SHORTEST)))
        world.expected_deadline = MediaTime(event.at + left)

    def _snapshot(self) -> tuple[object, ...]:
        talk = self.conversation
        return talk.state, talk.epoch, talk.history, talk.paused, talk.held, talk.settings

    # --- laws -------------------------------------------------------------------------------------

    def keeps_all_laws(self) -> None:
        self.the_table_is_followed()
        self.there_is_never_more_than_one_reply()
        self.nothing_sounds_but_the_reply_being_spoken_or_an_apology()
        self.the_window_does_not_run_while_somebody_speaks()
        self.the_window_is_open_while_it_listens_actively()
        self.history_is_what_was_heard()
        self.only_a_reset_that_asks_for_it_forgets_the_performance()

    @invariant()
    def the_table_is_followed(self) -> None:
        state = SHORT[self.conversation.state]
        assert ("paused" if self.conversation.paused else state) == self.state

    @invariant()
    def there_is_never_more_than_one_reply(self) -> None:
        assert len(self.world.replies) <= 1
        assert self.conversation.epoch == self.world.current

    @invariant()
    def nothing_sounds_but_the_reply_being_spoken_or_an_apology(self) -> None:
        if self.state != "speaking" and not self.world.apology:
            assert self.world.sounding == 0
        if self.state in ("passive", "responding", "paused", "ended"):
            assert self.world.sounding == 0

    @invariant()
    def the_window_does_not_run_while_somebody_speaks(self) -> None:
        if self.talking:
            assert self.world.deadline is None
            assert self.conversation.held
        if self.state != "active":
            assert self.world.deadline is None

    @invariant()
    def the_window_is_open_while_it_listens_actively(self) -> None:
        if self.state == "active":
            assert self.talking != (self.world.deadline is not None)

    @invariant()
    def history_is_what_was_heard(self) -> None:
        history = self.conversation.history
        assert list(history) == self.world.history
        assert len(history) <= 3
        assert {turn.heard for turn in history} <= self.heard - {""}

    @invariant()
    def only_a_reset_that_asks_for_it_forgets_the_performance(self) -> None:
        assert self.world.forgotten == self.resets_of_performance


def test_any_lesson_goes_by_the_table() -> None:
    run_state_machine_as_test(
        Lessons,
        settings=settings(
            max_examples=120, stateful_step_count=40, deadline=None, derandomize=True, database=None
        ),
    )


WAYS: Final[dict[str, tuple[Callable[[Lessons], None], ...]]] = {
    "passive": (),
    "responding": (lambda it: it.wake("on my tempo", ""),),
    "speaking": (lambda it: it.whole_reply_starts(""),),
    "paused": (lambda it: it.whole_reply_is_interrupted(""),),
    "active": (lambda it: it.whole_conversation(["on my tempo"], "That"),),
    "active, held": (
        lambda it: it.whole_conversation(["on my tempo"], "That"),
        lambda it: it.speech(9),
    ),
    "active, apologising": (lambda it: it.whole_reply_fails(""),),
    "ended": (lambda it: it.end(),),
}
HAPPENINGS: Final[dict[str, Callable[[Lessons], None]]] = {
    "wake": lambda it: it.wake("on my rhythm", "That was"),
    "wake_same": lambda it: it.wake("", "That was"),
    "continued": lambda it: it.continued("on my rhythm"),
    "continued_same": lambda it: it.continued("on my tempo"),
    "speech": lambda it: it.speech(1),
    "words": lambda it: it.utterance_ends("was it better"),
    "no_words": lambda it: it.utterance_ends(""),
    "blanks": lambda it: it.utterance_ends("  "),
    "music": lambda it: it.music("That was"),
    "ready": lambda it: it.ready("current"),
    "failed": lambda it: it.failed("current", "That was"),
    "finished": lambda it: it.finished("current", "That was"),
    "out of date": lambda it: it.finished("old", "That was"),
    "not yet": lambda it: it.ready("future"),
    "suspected": lambda it: it.suspected(),
    "dismissed": lambda it: it.dismissed(),
    "barged_in": lambda it: it.barged_in("That was"),
    "expired": lambda it: it.expired("latest"),
    "expired, out of date": lambda it: it.expired("old"),
    "reset": lambda it: it.reset(False),
    "reset of the performance": lambda it: it.reset(True),
    "end": lambda it: it.end(),
}


@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize("happening", HAPPENINGS)
def test_every_event_in_every_state(state: str, happening: str) -> None:
    """What luck may not have met: each row, and each that is none."""
    lesson = Lessons()
    for step in WAYS[state]:
        step(lesson)

    HAPPENINGS[happening](lesson)

    lesson.keeps_all_laws()


def test_every_row_of_the_chart_is_in_the_table() -> None:
    """So that a row added to the chart alone is noticed even if no lesson should happen on it."""
    events = {
        "wake_phrase_heard": {"wake", "wake_same"},
        "speech_continued": {"continued", "continued_same"},
        "speech_resumed": {"speech"},
        "utterance_heard": {"words", "no_words"},
        "music_started": {"music"},
        "reply_ready": {"ready"},
        "reply_failed": {"failed"},
        "reply_finished": {"finished"},
        "interruption_suspected": {"suspected"},
        "interruption_dismissed": {"dismissed"},
        "barged_in": {"barged_in"},
        "window_expired": {"expired"},
        "context_reset": {"reset"},
        "session_ended": {"end"},
    }
    in_table = {("speaking" if state == "paused" else state, event) for state, event in ROWS}

    in_chart = {(row.source.removesuffix("_listening"), row.event) for row in rows()}

    assert {
        (state, event)
        for state in ("passive", "active", "responding", "speaking")
        for event, kinds in events.items()
        if any((state, kind) in in_table for kind in kinds)
    } == in_chart
