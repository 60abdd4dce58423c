"""Looking at something every so often, beside what is measured."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["Periodic"]


class Periodic:
    """Calls ``look`` with 0, 1, 2, ... every ``every`` seconds while it is entered, in a thread of
    its own; leaving waits for the call that is under way."""

    def __init__(self, look: Callable[[int], None], *, every: float) -> None:
        self._look = look
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        count = 0
        while not self._stop.wait(self._every):
            self._look(count)
            count += 1
