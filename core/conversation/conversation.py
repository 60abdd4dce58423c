"""The conversation: events in, commands out.

`Conversation` is the typed face of the statechart in ``chart.py``. It never waits, never reads a
clock and never does anything by itself: the session runtime tells it what happened, stamped with
media time, and carries out what it answers, in that order.

Three laws are kept here and tested as such:

- An event that the table has no row for raises `IllegalEvent` and changes nothing.
- What is out of date is ignored in every state, the final one included: an event of a reply that is
  no longer the current one, and the expiry of a timer that no longer runs. Neither is anybody's
  mistake; they crossed a command on the way.
- Reply numbers strictly increase, and at most one reply is alive.
"""

from __future__ import annotations

import enum
import re
from typing import Final

from statemachine.exceptions import TransitionNotAllowed

from .chart import ConversationChart, ConversationSettings
from .commands import Command
from .events import (
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
from .history import ChatHistory

__all__ = [
    "EVENT_NAMES",
    "Conversation",
    "ConversationSettings",
    "ConversationState",
    "IllegalEvent",
]


class ConversationState(enum.StrEnum):
    PASSIVE_LISTENING = "passive_listening"
    ACTIVE_LISTENING = "active_listening"
    RESPONDING = "responding"
    SPEAKING = "speaking"
    ENDED = "ended"


class IllegalEvent(Exception):
    """The table has no row for ``event`` in ``state``. Nothing was changed."""

    def __init__(self, event: ConversationEvent, state: ConversationState) -> None:
        super().__init__(f"{type(event).__name__} is not legal while {state}: {event}")
        self.event = event
        self.state = state


def _in_snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


EVENT_NAMES: Final[dict[type[ConversationEvent], str]] = {
    event: _in_snake_case(event.__name__)
    for event in (
        WakePhraseHeard,
        SpeechContinued,
        SpeechResumed,
        UtteranceHeard,
        MusicStarted,
        ReplyReady,
        ReplyFailed,
        ReplyFinished,
        InterruptionSuspected,
        InterruptionDismissed,
        BargedIn,
        WindowExpired,
        ContextReset,
        SessionEnded,
    )
}
"""What the chart calls each event."""


class Conversation:
    """One session's conversation, from its first event to ``SessionEnded``."""

    def __init__(self, settings: ConversationSettings | None = None) -> None:
        self._chart = ConversationChart(settings or ConversationSettings())

    def __repr__(self) -> str:
        return f"<Conversation {self.state}, reply {self.epoch}, {len(self.history)} turns>"

    @property
    def state(self) -> ConversationState:
        return ConversationState(str(self._chart.current_state_value))

    @property
    def epoch(self) -> int:
        """The number of the reply (or apology) that is being made or played; 0 if there is none."""
        return self._chart.memory.epoch

    @property
    def paused(self) -> bool:
        """Playout is paused, because an interruption is suspected."""
        return self._chart.memory.paused

    @property
    def held(self) -> bool:
        """The follow-up window is open and its timer held, because somebody speaks."""
        return self._chart.memory.remaining is not None

    @property
    def history(self) -> ChatHistory:
        return self._chart.memory.history

    @property
    def settings(self) -> ConversationSettings:
        return self._chart.memory.settings

    def update(self, settings: ConversationSettings) -> None:
        """Take new settings. A window that is already open keeps its length."""
        memory = self._chart.memory
        memory.settings = settings
        memory.history = memory.history.limited_to(settings.history_turns)

    def handle(self, event: ConversationEvent) -> tuple[Command, ...]:
        """Take note of ``event`` and say what is to be done, in order.

        :raises IllegalEvent: the table has no row for it in this state. Nothing was changed.
        """
        if self._is_out_of_date(event):
            return ()
        commands = self._chart.memory.commands
        commands.clear()
        try:
            self._chart.send(EVENT_NAMES[type(event)], happened=event)
        except TransitionNotAllowed:
            raise IllegalEvent(event, self.state) from None
        return tuple(commands)

    def _is_out_of_date(self, event: ConversationEvent) -> bool:
        memory = self._chart.memory
        match event:
            case ReplyReady() | ReplyFailed() | ReplyFinished():
                return 0 < event.epoch <= memory.epochs and event.epoch != memory.epoch
            case WindowExpired():
                is_running = memory.deadline is not None and event.timer == memory.timers
                return 0 < event.timer <= memory.timers and not is_running
            case _:
                return False
