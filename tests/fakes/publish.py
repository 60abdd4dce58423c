"""An output that remembers what it was given, and fails as it is told to."""

from __future__ import annotations

import threading
import time

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from maestra.ports.errors import StreamError

__all__ = ["FakePublish", "Written"]


@define
class Written:
    """One slice as it was written, at ``at`` (monotonic s)."""

    slot: int
    level: float
    """The first sample."""
    shade: int | None
    """The first value of the picture; ``None`` where the last one was to be shown again."""
    at: float


@define
class FakePublish:
    """Fails at its ``fail_at``-th slice; its ``hang_at``-th takes ``hang_for`` s."""

    fail_at: int | None = None
    hang_at: int | None = None
    hang_for: float = 0.0
    error: StreamError = field(factory=lambda: StreamError("the viewer has gone."))
    written: list[Written] = field(factory=list)
    closed: threading.Event = field(factory=threading.Event)

    def write(
        self,
        sound: NDArray[np.float32],
        picture: NDArray[np.uint8] | None,
        slot: int | None = None,
    ) -> None:
        assert sound.shape == (1920,) and slot is not None
        if len(self.written) == self.fail_at:
            raise self.error
        if len(self.written) == self.hang_at:
            time.sleep(self.hang_for)
        shade = None if picture is None else int(picture[0, 0])
        self.written.append(
            Written(slot=slot, level=float(sound[0]), shade=shade, at=time.monotonic())
        )

    def close(self) -> None:
        self.closed.set()
