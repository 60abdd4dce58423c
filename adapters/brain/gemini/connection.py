"""One connection, and the turns that are taken on it.

A turn is a question and its answer. The protocol numbers neither, so this file keeps account: an
answer that was given up may go on arriving until the server has noticed, and none of that may be
taken for the next one's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import anyio
from attrs import define, field

from .failures import Failure, Kind

if TYPE_CHECKING:
    from google.genai.live import AsyncSession
    from google.genai.types import Content, LiveServerContent, LiveServerMessage

__all__ = ["Link", "Lost", "Turn"]

_CHUNK_BYTES: Final = 16_000
"""Half a second of the student's sound: one message."""

_SOONEST_S: Final = 0.15
"""No model answers sooner than this: what comes before was on its way already."""

_MOST_WAITING: Final = 4096
"""Messages of an answer that may wait to be taken: some minutes of sound. If there are more, nobody
takes them, and the turn is lost."""

_STOPPED: Final = "[The answer was stopped here. Say nothing until the next question.]"


class Lost(Exception):
    """The connection ended in mid-turn."""

    def __init__(self, failure: Failure, *, again: bool) -> None:
        super().__init__(failure.sentence)
        self.failure = failure
        self.again = again


@define(eq=False)
class Turn:
    """``begun``: something of it was sent; ``asked``: all was; ``generated``: nothing more of the
    answer is being written; ``over``: nothing more of it will come."""

    begun: bool = False
    asked: bool = False
    generated: bool = False
    over: bool = False
    _contents: deque[LiveServerContent] = field(factory=deque)
    _lost: Lost | None = None
    _news: anyio.Event = field(factory=anyio.Event)

    def put(self, content: LiveServerContent) -> None:
        self.generated = (
            self.generated or bool(content.generation_complete) or bool(content.interrupted)
        )
        self.over = self.over or bool(content.turn_complete)
        if len(self._contents) >= _MOST_WAITING:
            too_fast = "Gemini sends faster than it is listened to"
            self.lose(Failure(kind=Kind.DROPPED, sentence=too_fast), again=False)
            return
        self._contents.append(content)
        self._news.set()

    def lose(self, failure: Failure, *, again: bool = True) -> None:
        self.over = True
        self._lost = Lost(failure, again=again)
        self._news.set()

    def next(self) -> LiveServerContent | None:
        """What has come; ``None``: nothing yet.

        :raises Lost: nothing more will.
        """
        if self._contents:
            return self._contents.popleft()
        if self._lost is not None:
            raise self._lost
        self._news = anyio.Event()
        return None

    async def news(self) -> None:
        await self._news.wait()


@define(eq=False)
class Link:
    """Sends and receives on ``session`` while ``run`` runs.

    ``on_handle`` gets each handle by which the session can be resumed; ``explain`` tells what an
    exception means.
    """

    session: AsyncSession
    settle: float
    leave_before: float
    on_handle: Callable[[str], None]
    explain: Callable[[BaseException], Failure]
    failure: Failure | None = field(default=None, init=False)
    turns: int = field(default=0, init=False)
    is_open: bool = field(default=True, init=False)
    _turn: Turn | None = field(default=None, init=False)
    _owed: int = field(default=0, init=False)
    _owed_since: float = field(default=0.0, init=False)
    _held: list[tuple[float, LiveServerContent]] = field(factory=list, init=False)
    _is_active: bool = field(default=False, init=False)
    _must_interrupt: bool = field(default=False, init=False)
    _sending: anyio.Lock = field(factory=anyio.Lock, init=False)
    _given_up: anyio.Event = field(factory=anyio.Event, init=False)
    _idle: anyio.Event = field(factory=anyio.Event, init=False)
    _going: anyio.Event = field(factory=anyio.Event, init=False)
    _leave_at: float = field(default=0.0, init=False)
    _scope: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)

    async def run(self) -> None:
        """Until the connection ends, or must be changed. ``failure`` says why it ended, if it was
        not by us."""
        try:
            async with anyio.create_task_group() as group:
                self._scope = group.cancel_scope
                group.start_soon(self._receive)
                group.start_soon(self._leave)
                group.start_soon(self._interrupt_when_given_up)
        finally:
            self.is_open = False
            if self._turn is not None:
                self._turn.lose(
                    self.failure
                    or Failure(kind=Kind.DROPPED, sentence="the connection to Gemini was changed")
                )

    def change(self) -> None:
        """Have the connection replaced, now."""
        self.is_open = False
        self._scope.cancel()

    # --- a turn -----------------------------------------------------------------------------------

    def begin(self) -> Turn:
        """A turn begins; one that has not ended is given up."""
        if (older := self._turn) is not None:
            self.end(older)
            older.lose(
                Failure(kind=Kind.DROPPED, sentence="another question was asked"), again=False
            )
        self._turn = Turn()
        self._idle = anyio.Event()
        return self._turn

    async def ask(self, turn: Turn, context: Sequence[Content], student: bytes) -> None:
        """Send a question: what is to be known, then the student's sound, 16 kHz PCM.

        :raises Lost: the connection ended.
        """
        from google.genai import types

        try:
            async with self._sending:
                await self._interrupt_if_due()
                turn.begun = True
                await self.session.send_client_content(
                    turns=list(context), turn_complete=not student
                )
                if student:
                    self._is_active = True
                    await self.session.send_realtime_input(activity_start=types.ActivityStart())
                    for at in range(0, len(student), _CHUNK_BYTES):
                        chunk = student[at : at + _CHUNK_BYTES]
                        await self.session.send_realtime_input(
                            audio=types.Blob(data=chunk, mime_type="audio/pcm;rate=16000")
                        )
                    await self.session.send_realtime_input(activity_end=types.ActivityEnd())
                    self._is_active = False
        except Exception as error:  # whatever the SDK and its WebSocket raise
            self.failure = self.failure or self.explain(error)
            self.change()
            raise Lost(self.failure, again=True) from error
        turn.asked = True
        self._owed_since = anyio.current_time()

    async def answer(self, turn: Turn, within: float) -> LiveServerContent:
        """The next of the answer.

        :raises Lost: nothing more will come.
        :raises TimeoutError: nothing came ``within`` so many seconds.
        """
        deadline = anyio.current_time() + within
        while (content := turn.next()) is None:
            until = deadline
            if self._owed and turn.asked:
                until = min(deadline, self._owed_since + self.settle)
            with anyio.move_on_at(until):
                await turn.news()
                continue
            if self._owed and anyio.current_time() >= self._owed_since + self.settle:
                self._release()
            if anyio.current_time() >= deadline:
                raise TimeoutError
        return content

    def end(self, turn: Turn) -> None:
        """The turn is over for us; if it is not for the server, that is told to stop. At once: the
        telling is done by ``run``."""
        if self._turn is turn:
            self._turn = None
            self.turns += 1
            self._idle.set()
        if turn.begun and not turn.over:
            turn.over = True
            self._owed += 1
            self._owed_since = anyio.current_time()
            if not turn.generated:
                self._must_interrupt = True
                self._given_up.set()

    # --- what runs beside it ----------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            try:
                async for message in self.session.receive():
                    self._take(message)
            except TypeError:  # how the SDK says that it does not know this kind of message
                continue
            except Exception as error:  # whatever the SDK and its WebSocket raise
                self.failure = self.failure or self.explain(error)
                break
        self.change()

    def _take(self, message: LiveServerMessage) -> None:
        if message.go_away is not None:
            left = _seconds(message.go_away.time_left)
            self._leave_at = anyio.current_time() + left - min(self.leave_before, left / 2)
            self._going.set()
        update = message.session_resumption_update
        if update is not None and update.resumable and update.new_handle:
            self.on_handle(update.new_handle)
        content = message.server_content
        if content is None:
            return
        if self._owed and not self._is_settled():
            if content.turn_complete or content.interrupted:
                self._held.clear()
                self._owed -= bool(content.turn_complete)
            elif self._turn is not None and self._turn.asked and len(self._held) < _MOST_WAITING:
                self._held.append((anyio.current_time(), content))
        elif self._turn is not None:
            self._turn.put(content)

    def _is_settled(self) -> bool:
        """Whether nothing more of an answer that was given up can come; what was held is then the
        present one's."""
        if (
            self._turn is None
            or not self._turn.asked
            or anyio.current_time() < self._owed_since + self.settle
        ):
            return False
        self._release()
        return True

    def _release(self) -> None:
        self._owed = 0
        held, self._held = self._held, []
        if self._turn is not None:
            for came, content in held:
                if came >= self._owed_since + _SOONEST_S:
                    self._turn.put(content)

    async def _leave(self) -> None:
        """Change the connection before the server ends it: as soon as nobody is being answered, at
        the latest when the time is up. A clock of its own, for nothing may arrive any more."""
        await self._going.wait()
        with anyio.move_on_at(max(self._leave_at, anyio.current_time())):
            while self._turn is not None:
                await self._idle.wait()
        self.change()

    async def _interrupt_when_given_up(self) -> None:
        while True:
            await self._given_up.wait()
            self._given_up = anyio.Event()
            try:
                async with self._sending:
                    await self._interrupt_if_due()
            except Exception:  # the connection has ended, which ``_receive`` reports
                return

    async def _interrupt_if_due(self) -> None:
        """Have the server stop an answer.

        There is no message for that. A client's content interrupts what is being written, and does
        not begin anything as long as it does not complete a turn.
        """
        if not self._must_interrupt:
            return
        from google.genai import types

        self._must_interrupt = False
        if self._is_active:
            self._is_active = False
            await self.session.send_realtime_input(activity_end=types.ActivityEnd())
        await self.session.send_client_content(
            turns=types.Content(role="user", parts=[types.Part(text=_STOPPED)]),
            turn_complete=False,
        )


def _seconds(duration: str | None) -> float:
    """A protobuf duration as JSON writes it, such as ``9.5s``."""
    try:
        return max(0.0, float((duration or "").removesuffix("s")))
    except ValueError:
        return 0.0
