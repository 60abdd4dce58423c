"""A session's browsers, as the session sees them: it carries their offers and the answers.

What they send and are shown goes straight between the workers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Final, Literal

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from attrs import define, field

from maestra.ports.errors import PeerRefused
from maestra.ports.streams import PeerAnswer

from . import composition
from .config import Config
from .messages import Answered, BrowsersCame, Failed, HangUp, Microphone, Offer
from .workers import Worker, pipe
from .workers.browsers import BrowsersSettings

__all__ = ["Browsers", "Way"]

Way = Literal["whip", "whep"]

_ANSWERS_WITHIN: Final = 8.0
"""Seconds for an answer. The first waits until the worker has loaded what it needs, which on a busy
machine may be longer; it goes on loading, and is there when the browser comes again. The service
waits a little longer for the session's answer (``Patience.answer``), so that this one is told."""


@define(eq=False)
class _Asked:
    came: anyio.Event = field(factory=anyio.Event)
    answer: Answered | None = None


class Browsers:
    """Starts the worker that answers browsers when the first one comes, and again should it die:
    nobody else notices.

    :param workers: the session's; this one is added, so that it ends with them.
    :param report: gets ``Failed``.
    """

    def __init__(
        self, config: Config, workers: dict[str, Worker], report: Callable[[Failed], None]
    ) -> None:
        self._settings = BrowsersSettings(config=config)
        self._workers = workers
        self._report = report
        self._starting = anyio.Lock()
        self._worker: Worker | None = None
        self._microphone: Connection | None = None
        self._asked: dict[int, _Asked] = {}
        self._number = 0
        self._closed = False

    def open_microphone(self) -> None:
        """Have the ingest hear what browsers bring; once, before it is told to begin."""
        ours, theirs = pipe()
        # It is kept for as long as there is a session: whichever worker there is gets a copy.
        self._microphone = ours
        self._workers["ingest"].hand(Microphone(), theirs)

    def close(self) -> None:
        """The session ends, and the workers with it."""
        self._closed = True
        if self._microphone is not None:
            self._microphone.close()
        for asked in self._asked.values():
            asked.came.set()

    async def connect(self, way: Way, offer: str, tasks: TaskGroup) -> PeerAnswer:
        """Let a browser be heard (``whip``) or watch (``whep``).

        :param tasks: in which the worker is listened to.
        :raises PeerRefused: it may not.
        """
        if way == "whip" and self._microphone is None:
            raise PeerRefused(
                "elsewhere",
                "This session hears another input: one that begins with whip: as its input hears a"
                " browser.",
            )
        if complaint := composition.browsers_complaint():
            raise PeerRefused("missing", complaint)
        async with self._starting:
            if self._worker is None:
                await self._start(tasks)
        self._number += 1
        answer = await self._ask(Offer(number=self._number, way=way, sdp=offer))
        return PeerAnswer(peer=answer.peer, sdp=answer.sdp)

    async def disconnect(self, peer: str) -> None:
        """End a connection.

        :raises PeerRefused: there is none of that name.
        """
        if self._worker is None:
            raise PeerRefused("unknown", "There is no such connection, or not any more.")
        self._number += 1
        await self._ask(HangUp(number=self._number, peer=peer))

    async def _ask(self, message: Offer | HangUp) -> Answered:
        assert self._worker is not None
        asked = self._asked[message.number] = _Asked()
        try:
            self._worker.send(message)
            with anyio.move_on_after(_ANSWERS_WITHIN):
                await asked.came.wait()
        finally:
            del self._asked[message.number]
        answer = asked.answer
        if answer is None:
            raise PeerRefused("failed", "What answers browsers does not; try again.")
        if answer.refused:
            raise PeerRefused(answer.refused, answer.text)  # type: ignore[arg-type]
        return answer

    async def _start(self, tasks: TaskGroup) -> None:
        ours, theirs = pipe()
        microphone, unused = pipe()
        unused.close()
        if self._microphone is not None:
            microphone.close()
            microphone = Connection(os.dup(self._microphone.fileno()))
        worker = Worker("browsers", self._settings, pipes=(theirs, microphone))
        try:
            await anyio.to_thread.run_sync(worker.__enter__)
        except OSError as error:
            for end in (ours, theirs, microphone):
                end.close()
            text = f"What answers browsers cannot be started: {error.strerror}; try again."
            raise PeerRefused("failed", text) from error
        if self._closed:
            worker.stop()
            await anyio.to_thread.run_sync(worker.join)
            raise PeerRefused("elsewhere", "This session is over.")
        self._worker = self._workers["browsers"] = worker
        worker.listen()
        self._workers["playout"].hand(BrowsersCame(), ours)
        tasks.start_soon(self._listen, worker)

    async def _listen(self, worker: Worker) -> None:
        """Take in what it says, to its end."""
        while messages := await worker.receive():
            for message in messages:
                match message:
                    case Answered(number=number):
                        if (asked := self._asked.get(number)) is not None:
                            asked.answer = message
                            asked.came.set()
                        elif message.sdp:  # nobody waits for it any more: it would keep a place
                            self._number += 1
                            worker.send(HangUp(number=self._number, peer=message.peer))
                    case Failed():
                        self._report(message)
                    case _:
                        pass
        if self._closed:
            return
        self._worker = None
        for asked in self._asked.values():
            asked.came.set()
        text = "what answers browsers has died; it is started anew when one comes"
        self._report(Failed(worker="browsers", adapter="browsers", kind="WorkerDied", text=text))
        worker.stop()
        await anyio.to_thread.run_sync(worker.join)
