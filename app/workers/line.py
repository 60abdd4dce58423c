"""The backends of one port in their configured order, built when they are needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import anyio.to_thread
from attrs import define, field

from ..breaker import Breaker
from ..messages import Failed, Switched

__all__ = ["Choice", "Line"]

_Backend = TypeVar("_Backend")


@define(eq=False)
class Choice(Generic[_Backend]):
    """One backend: how it is built, what was ``built``, and whether it is worth asking."""

    name: str
    build: Callable[[], _Backend]
    breaker: Breaker
    built: _Backend | None = None


@define(eq=False)
class Line(Generic[_Backend]):
    """The ``choices`` in their order, and which of them is ``serving``.

    :param kind: the port's name, for reports.
    :param report: sends ``Failed`` and ``Switched``.
    :param clock: seconds, for the breakers.
    """

    kind: str
    choices: Sequence[Choice[_Backend]]
    report: Callable[[object], None]
    clock: Callable[[], float] = time.monotonic
    serving: Choice[_Backend] | None = None
    last_error: Exception | None = None
    _name: str = field(default="", init=False)

    @property
    def name(self) -> str:
        """Who serves, or served last."""
        return self._name

    async def build(self, choice: Choice[_Backend]) -> _Backend | None:
        """What ``choice`` has built, or builds now, in a thread; ``None`` if it cannot."""
        if choice.built is None:
            try:
                choice.built = await anyio.to_thread.run_sync(choice.build)
            except Exception as error:  # what others build may raise anything
                self.failed(choice, error)
        return choice.built

    def serve(self, choice: Choice[_Backend] | None) -> None:
        """From now on ``choice`` serves, or nobody."""
        self.serving = choice
        if choice is None:
            return
        if self._name and choice.name != self._name:
            self.report(Switched(worker=self.kind, before=self._name, after=choice.name))
        self._name = choice.name

    def failed(self, choice: Choice[_Backend], error: Exception) -> None:
        """Remember and report that ``choice`` failed."""
        choice.breaker.failed(self.clock())
        # With its traceback it would keep alive what the backend held.
        self.last_error = error.with_traceback(None)
        self.report(
            Failed(
                worker=self.kind,
                adapter=choice.name,
                kind=type(error).__name__,
                text=str(error) or type(error).__name__,
            )
        )
