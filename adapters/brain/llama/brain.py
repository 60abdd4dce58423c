"""The brain that asks a language model in a child process of its own."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.abc import Process, TaskGroup
from anyio.streams.memory import MemoryObjectSendStream
from attrs import asdict

from maestra.core.brief import Message
from maestra.ports.brain import BrainRequest
from maestra.ports.errors import BrainError, MaestraError

from ..chat import ChatBrain, Piece, chat_for
from .settings import LlamaSettings

__all__ = ["LlamaBrain"]

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
"""Before a child that died is replaced (s); doubles with each that dies young."""

_YOUNG: Final = 60.0

_FAULTS: Final = frozenset({-signal.SIGSEGV, -signal.SIGILL, -signal.SIGBUS, -signal.SIGFPE})
"""Exit statuses of a process whose code is not for this processor."""

_HUNG: Final = 5.0
"""A child that has not stopped so long (s) after it was told to hangs, and is ended."""

_TELLING: Final = 0.05
_ENDING: Final = 2.0
_LAST_WORDS: Final = 160


class LlamaBrain(ChatBrain):
    """Asks the model ``model``, a GGUF file. Implements ``Revises``, ``Prepares`` and ``Lives``.

    ``live`` owns the child process: while there is none, an answer fails at once, and one that dies
    costs the answer it was giving. What ``prepare`` was told is read into the model's cache while
    nobody asks, so that a question only waits for itself to be read.

    :param command: what the child is; for tests.
    :raises MaestraError: the package ``llama-cpp-python`` is not installed.
    """

    def __init__(
        self, settings: LlamaSettings, model: Path, *, command: Sequence[str] | None = None
    ) -> None:
        if command is None:
            if importlib.util.find_spec("llama_cpp") is None:
                raise MaestraError(
                    "the brain llama needs the package llama-cpp-python:"
                    " pip install 'maestra[llama]'"
                )
            command = (sys.executable, "-m", "maestra.adapters.brain.llama.child")
        self._command = tuple(command)
        self._settings = settings
        self._told = {**asdict(settings), "model": str(model), "plain": False}
        self._child: _Child | None = None
        self._loaded = anyio.Event()
        self._trouble = "its model is not loaded yet"
        self._hopeless = False
        self._numbers = itertools.count(1)
        self._prepared: list[Message] | None = None
        self._news = anyio.Event()

    def prepare(self, request: BrainRequest) -> None:
        self._prepared = chat_for(request)
        self._news.set()

    async def loaded(self) -> None:
        """Wait until the model can be asked.

        :raises BrainError: it never will be.
        """
        await self._loaded.wait()
        if self._hopeless:
            raise BrainError(self._trouble)

    async def live(self) -> None:
        """Keep a child alive; a dead one is replaced, unless no other could do better."""
        wait = _FIRST_WAIT
        while True:
            begun = anyio.current_time()
            await self._one_life()
            if self._hopeless:
                self._loaded.set()
                await anyio.sleep_forever()
            if anyio.current_time() - begun > _YOUNG:
                wait = _FIRST_WAIT
            await anyio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    # --- the child ----------------------------------------------------------------

    async def _one_life(self) -> None:
        """From a child's start to its death."""
        try:
            process = await anyio.open_process(
                self._command,
                # A terminal's Ctrl-C is for the lesson alone. Who leads a group has the child in
                # it, so that whoever made the group can end it, and count what it takes, as one.
                start_new_session=os.getsid(0) != os.getpid(),
            )
        except OSError as error:
            self._trouble = f"its process cannot be started: {error.strerror}"
            return
        child: _Child | None = None
        try:
            async with anyio.create_task_group() as tasks:
                child = _Child(process, tasks)
                tasks.start_soon(child.listen)
                with suppress(OSError, anyio.BrokenResourceError):
                    await child.tell(self._told)
                async for line in child.lines():
                    self._heard(child, line)
                with anyio.move_on_after(_ENDING):
                    await process.wait()
                tasks.cancel_scope.cancel()
        finally:
            if self._child is None and process.returncode in _FAULTS:
                self._told["plain"] = True  # slower, and runs on every processor
            self._child = None
            if self._loaded.is_set():
                self._loaded = anyio.Event()
            with anyio.CancelScope(shield=True), anyio.move_on_after(_ENDING):
                with suppress(ProcessLookupError):
                    process.kill()
                await process.aclose()
            if child is not None:
                if not self._hopeless:
                    self._trouble = child.obituary()
                child.close()

    def _heard(self, child: _Child, line: Mapping[str, Any]) -> None:
        if "ready" in line:
            self._child = child
            self._loaded.set()
            child.tasks.start_soon(self._keep_prepared, child)
        elif "failed" in line:
            self._trouble, self._hopeless = str(line["failed"]), True
        elif "id" in line:
            child.pass_on(line)

    async def _keep_prepared(self, child: _Child) -> None:
        """Have ``child`` read what it may be asked about, whenever that changes."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            # While an answer is given, the cache is its own; what is new will be told again.
            if self._prepared is not None and not child.answering:
                with suppress(OSError, anyio.BrokenResourceError):
                    await child.tell({"do": "prefill", "messages": self._prepared})

    async def _pieces(self, chat: Sequence[Message]) -> AsyncGenerator[Piece]:
        """What the model writes.

        :raises BrainError: there is no model now, it refused, or it died over it.
        """
        child = self._child
        if child is None:
            raise BrainError(f"the brain llama cannot answer: {self._trouble}")
        number = next(self._numbers)
        order = {
            "do": "answer",
            "id": number,
            "messages": list(chat),
            "max_tokens": self._settings.max_tokens,
            "temperature": self._settings.temperature,
        }
        send, receive = anyio.create_memory_object_stream[Mapping[str, Any]](
            self._settings.max_tokens + 2  # all that can come
        )
        child.answering[number] = send
        ended = False
        try:
            with receive:
                with suppress(OSError, anyio.BrokenResourceError):
                    await child.tell(order)
                async for line in receive:
                    if "text" in line:
                        yield Piece(line["text"])
                    elif "error" in line:
                        raise BrainError(f"the brain llama cannot answer: {line['error']}")
                    else:
                        ended = True
                        yield Piece(cut=line["end"] == "length")
            if not ended:
                raise BrainError(f"the brain llama broke off: {child.obituary()}")
        finally:
            if number in child.answering and not child.is_dead:
                child.cancel(number)
                with anyio.CancelScope(shield=True), anyio.move_on_after(_TELLING):
                    with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                        await child.tell({"do": "cancel", "id": number})


class _Child:
    """A child process, and who waits for what it writes."""

    def __init__(self, process: Process, tasks: TaskGroup) -> None:
        self.tasks = tasks
        self.answering: dict[int, MemoryObjectSendStream[Mapping[str, Any]]] = {}
        self.is_dead = False
        self._process = process
        self._last_words: deque[str] = deque(maxlen=8)
        self._ending: dict[int, anyio.Event] = {}

    async def tell(self, order: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send(json.dumps(order).encode() + b"\n")

    async def lines(self) -> AsyncIterator[Mapping[str, Any]]:
        """What it says, until it dies."""
        assert self._process.stdout is not None
        rest = b""
        async for chunk in self._process.stdout:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)

    async def listen(self) -> None:
        """Keep what it complains about."""
        assert self._process.stderr is not None
        async for chunk in self._process.stderr:
            text = chunk.decode(errors="replace")
            self._last_words += [line for line in text.splitlines() if line.strip()]

    def pass_on(self, line: Mapping[str, Any]) -> None:
        """Give ``line`` to who waits for it."""
        number = line["id"]
        if "text" not in line and number in self._ending:
            self._ending.pop(number).set()
        send = self.answering.get(number)
        if send is None:
            return
        with suppress(anyio.BrokenResourceError, anyio.WouldBlock):
            send.send_nowait(line)
        if "text" not in line:
            self.answering.pop(number).close()

    def cancel(self, number: int) -> None:
        """Nobody waits for ``number`` any more; it must end soon."""
        self.answering.pop(number).close()
        self._ending[number] = anyio.Event()
        self.tasks.start_soon(self._expect_end, self._ending[number])

    async def _expect_end(self, ended: anyio.Event) -> None:
        with anyio.move_on_after(_HUNG):
            await ended.wait()
            return
        self._last_words.append("it hung")
        with suppress(ProcessLookupError):
            self._process.kill()

    def obituary(self) -> str:
        """Why it is no more, as far as is known."""
        status = self._process.returncode
        how = "its process ended"
        if status is not None and status < 0:
            how += f" by signal {-status}"
        elif status:
            how += f" with status {status}"
        words = self._last_words[-1][:_LAST_WORDS] if self._last_words else ""
        return f"{how} ({words})" if words else how

    def close(self) -> None:
        """It is dead: nobody waits any longer."""
        self.is_dead = True
        for send in self.answering.values():
            send.close()
