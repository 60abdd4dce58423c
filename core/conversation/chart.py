"""The statechart of the conversation: four states, an end, and a table.

Everything that changes the state of a conversation stands in this file, and this file knows nothing
of sound, models, clocks or tasks. The class body of `ConversationChart` *is* the table: each row
names the event, the state that follows, the guard (``cond``) and the actions (``on``) in their
order. The docstring of a guard or an action is what the docs print for it, so the printed table
can't lie.

What the table leaves out is illegal: python-statemachine raises before any action has run, so an
illegal event changes nothing. Guards only look.

Use `Conversation`, which is typed, rather than this class, whose events are strings.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field, frozen, validators
from statemachine import State, StateChart

from ..media_time import MediaTime, from_seconds
from .commands import (
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
from .events import (
    BargedIn,
    ContextReset,
    ConversationEvent,
    InterruptionDismissed,
    MusicStarted,
    ReplyFailed,
    ReplyFinished,
    ReplyReady,
    SpeechContinued,
    SpeechResumed,
    UtteranceHeard,
    WakePhraseHeard,
    WindowExpired,
)
from .history import MAX_TURNS, ChatHistory

__all__ = ["ConversationChart", "ConversationMemory", "ConversationSettings", "Question"]


@frozen(kw_only=True)
class ConversationSettings:
    """What may be configured, also while the session runs.

    :param window: how long the teacher waits for a follow-up question, in seconds.
    :param shortest_window: what is left of it, at the least, after a noise that held no words.
    :param history_turns: how many turns go along with a question, at most three.
    """

    window: float = field(default=10.0, validator=validators.gt(0))
    shortest_window: float = field(default=2.0, validator=validators.ge(0))
    history_turns: int = field(
        default=MAX_TURNS, validator=[validators.ge(0), validators.le(MAX_TURNS)]
    )


@frozen(kw_only=True)
class Question:
    """What reply number ``epoch`` answers."""

    kind: QuestionKind
    text: str


@define(kw_only=True)
class ConversationMemory:
    """What a conversation knows beside its state.

    ``epoch`` is the reply (or apology) that is being made or played, 0 if none; ``epochs`` and
    ``timers`` are how many numbers were given out. ``deadline`` is set while the timer runs,
    ``remaining`` while it is held: never both.
    """

    settings: ConversationSettings
    history: ChatHistory
    epoch: int = 0
    epochs: int = 0
    timers: int = 0
    question: Question | None = None
    paused: bool = False
    deadline: MediaTime | None = None
    remaining: MediaTime | None = None
    commands: list[Command] = field(factory=list)


class ConversationChart(StateChart[Any]):
    """The table. Every event carries the frozen attrs event under the keyword ``happened``."""

    # python-statemachine's defaults would swallow both; here they are mistakes of the caller's or
    # ours, and must be seen.
    catch_errors_as_events = False
    allow_event_without_transition = False

    passive_listening = State(initial=True)
    active_listening = State()
    responding = State()
    speaking = State()
    ended = State(final=True)

    wake_phrase_heard = (
        passive_listening.to(responding, on="ask")
        | active_listening.to(responding, on=["hush_apology", "close_window", "ask"])
        | responding.to(responding, internal=True, cond="asks_more", on=["cancel", "ask"])
        | responding.to(responding, internal=True, cond="not asks_more")
        | speaking.to(responding, on=["flush", "cancel", "keep_heard", "ask"])
    )
    speech_continued = responding.to(
        responding, internal=True, cond="asks_more", on=["cancel", "ask"]
    ) | responding.to(responding, internal=True, cond="not asks_more")
    speech_resumed = active_listening.to(
        active_listening, internal=True, on=["hush_apology", "hold_window"]
    )
    utterance_heard = active_listening.to(
        responding, cond="has_words", on=["hush_apology", "close_window", "ask"]
    ) | active_listening.to(
        active_listening, internal=True, cond="not has_words", on="reopen_window"
    )
    music_started = (
        passive_listening.to(passive_listening, internal=True)
        | active_listening.to(passive_listening, on=["hush_apology", "close_window"])
        | responding.to(passive_listening, on="cancel")
        | speaking.to(passive_listening, on=["flush", "cancel", "keep_heard"])
    )
    reply_ready = responding.to(
        speaking, cond="is_current", on="start_playout"
    ) | active_listening.to(active_listening, internal=True, cond="is_current")
    reply_failed = (
        responding.to(active_listening, cond="is_current", on=["apologise", "open_window"])
        | speaking.to(
            active_listening, cond="is_current and not paused", on=["keep_heard", "open_window"]
        )
        | speaking.to(
            active_listening, cond="is_current and paused", on=["keep_heard", "open_held_window"]
        )
        | active_listening.to(
            active_listening, internal=True, cond="is_current", on=["end_apology", "renew_window"]
        )
    )
    reply_finished = (
        speaking.to(
            active_listening, cond="is_current and not paused", on=["keep_heard", "open_window"]
        )
        | speaking.to(
            active_listening, cond="is_current and paused", on=["keep_heard", "open_held_window"]
        )
        | active_listening.to(
            active_listening, internal=True, cond="is_current", on=["end_apology", "renew_window"]
        )
    )
    interruption_suspected = speaking.to(
        speaking, internal=True, cond="not paused", on="pause"
    ) | speaking.to(speaking, internal=True, cond="paused")
    interruption_dismissed = speaking.to(
        speaking, internal=True, cond="paused", on="resume"
    ) | active_listening.to(active_listening, internal=True, on="reopen_window")
    barged_in = speaking.to(
        active_listening, on=["flush", "cancel", "keep_heard", "open_held_window"]
    ) | active_listening.to(active_listening, internal=True, on=["hush_apology", "hold_window"])
    window_expired = active_listening.to(
        passive_listening, cond="is_running", on=["hush_apology", "end_conversation"]
    )
    context_reset = (
        passive_listening.to(passive_listening, internal=True, on="reset")
        | active_listening.to(passive_listening, on=["hush_apology", "close_window", "reset"])
        | responding.to(passive_listening, on=["cancel", "reset"])
        | speaking.to(passive_listening, on=["flush", "cancel", "reset"])
    )
    session_ended = (
        passive_listening.to(ended, on="close")
        | active_listening.to(ended, on=["hush_apology", "close_window", "close"])
        | responding.to(ended, on=["cancel", "close"])
        | speaking.to(ended, on=["flush", "cancel", "close"])
    )

    def __init__(self, settings: ConversationSettings) -> None:
        self.memory = ConversationMemory(
            settings=settings, history=ChatHistory(limit=settings.history_turns)
        )
        super().__init__()

    # --- guards: a docstring says what is so when it is true / when it is false -----------------

    def is_current(self, happened: ReplyReady | ReplyFailed | ReplyFinished) -> bool:
        """the reply is the current one / it is another"""
        return happened.epoch == self.memory.epoch != 0

    def is_running(self, happened: WindowExpired) -> bool:
        """the timer is the running one / it is another"""
        return self.memory.deadline is not None and happened.timer == self.memory.timers

    def paused(self) -> bool:
        """playout is paused / playout is not paused"""
        return self.memory.paused

    def has_words(self, happened: UtteranceHeard) -> bool:
        """it held words / it held no words"""
        return bool(happened.text.strip())

    def asks_more(self, happened: WakePhraseHeard | SpeechContinued) -> bool:
        """it asks something new / it asks nothing new"""
        question = self.memory.question
        asked = happened.question.split()
        return bool(asked) and (question is None or asked != question.text.split())

    # --- actions: a docstring is what is done, in words -------------------------------------------

    def ask(self, happened: WakePhraseHeard | SpeechContinued | UtteranceHeard) -> None:
        """ask the brain, under a new number; the history goes along"""
        memory = self.memory
        match happened:
            case WakePhraseHeard():
                question = Question(kind=QuestionKind.WAKE, text=happened.question)
            case SpeechContinued():
                assert memory.question is not None, "only what is being answered can go on"
                question = Question(kind=memory.question.kind, text=happened.question)
            case UtteranceHeard():
                question = Question(kind=QuestionKind.FOLLOW_UP, text=happened.text)
        memory.question = question
        self._command(
            AskBrain(
                epoch=self._next_epoch(),
                kind=question.kind,
                question=question.text,
                history=memory.history.turns,
            )
        )

    def start_playout(self) -> None:
        """start playout"""
        self._command(StartPlayout(epoch=self.memory.epoch))

    def pause(self) -> None:
        """fall silent, keep the queue"""
        self.memory.paused = True
        self._command(PausePlayout(epoch=self.memory.epoch))

    def resume(self) -> None:
        """resume where it stopped"""
        self.memory.paused = False
        self._command(ResumePlayout(epoch=self.memory.epoch))

    def flush(self) -> None:
        """fall silent, drop the queue"""
        self._command(FlushPlayout(epoch=self.memory.epoch))

    def cancel(self) -> None:
        """cancel the reply"""
        self._command(CancelReply(epoch=self.memory.epoch))
        self._end_reply()

    def keep_heard(
        self,
        happened: BargedIn | MusicStarted | WakePhraseHeard | ReplyFinished | ReplyFailed,
    ) -> None:
        """keep the part that was heard"""
        memory = self.memory
        assert memory.question is not None, "what is spoken answers something"
        memory.history = memory.history.after(memory.question.text, happened.heard)
        self._end_reply()

    def apologise(self) -> None:
        """say a short apology, under a new number"""
        self._end_reply()
        self._command(SayApology(epoch=self._next_epoch()))

    def hush_apology(self) -> None:
        """fall silent if an apology is being said"""
        if self.memory.epoch:
            self.flush()
            self.cancel()

    def end_apology(self) -> None:
        """the apology is over"""
        self._end_reply()

    def open_window(self, happened: ConversationEvent) -> None:
        """start the follow-up window"""
        self._start_timer(happened.at, from_seconds(self.memory.settings.window))

    def open_held_window(self) -> None:
        """open the follow-up window, but hold its timer while they speak"""
        self.memory.remaining = from_seconds(self.memory.settings.window)

    def renew_window(self, happened: ConversationEvent) -> None:
        """start the window again, in full"""
        if self.memory.remaining is not None:
            self.open_held_window()
        else:
            self.close_window()
            self.open_window(happened)

    def hold_window(self, happened: SpeechResumed | BargedIn) -> None:
        """hold the timer while they speak"""
        memory = self.memory
        if memory.deadline is not None:
            remaining = MediaTime(max(0, memory.deadline - happened.at))
            self.close_window()
            memory.remaining = remaining

    def reopen_window(self, happened: UtteranceHeard | InterruptionDismissed) -> None:
        """let a held timer go on"""
        memory = self.memory
        if memory.remaining is not None:
            shortest = from_seconds(memory.settings.shortest_window)
            self._start_timer(happened.at, MediaTime(max(memory.remaining, shortest)))

    def close_window(self) -> None:
        """cancel the timer"""
        if self.memory.deadline is not None:
            self._command(CancelTimer(timer=self.memory.timers))
        self.memory.deadline = self.memory.remaining = None

    def end_conversation(self) -> None:
        """clear the chat history, keep the performance"""
        self.memory.deadline = None
        self.memory.history = self.memory.history.cleared()

    def reset(self, happened: ContextReset) -> None:
        """clear the chat history, and the performance if asked; answer what was cleared"""
        memory = self.memory
        if happened.performance:
            self._command(ForgetPerformance())
        self._command(ReportReset(turns=len(memory.history), performance=happened.performance))
        memory.history = memory.history.cleared()

    def close(self) -> None:
        """drain and close"""
        self._command(Close())

    # --- the little that several actions share ----------------------------------------------------

    def _command(self, command: Command) -> None:
        self.memory.commands.append(command)

    def _next_epoch(self) -> int:
        self.memory.epochs += 1
        self.memory.epoch = self.memory.epochs
        return self.memory.epoch

    def _end_reply(self) -> None:
        self.memory.epoch = 0
        self.memory.paused = False

    def _start_timer(self, now: MediaTime, duration: MediaTime) -> None:
        memory = self.memory
        memory.timers += 1
        memory.deadline = MediaTime(now + duration)
        memory.remaining = None
        self._command(StartTimer(timer=memory.timers, deadline=memory.deadline))
