"""``maestra lesson``: one session, shown while it runs, ended well by Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Literal

import anyio

from ..config import Config
from ..session import open_session
from .progress import show

__all__ = ["hold"]


def hold(
    config: Config,
    *,
    ingest: str,
    publish: str | None,
    persona: str | None,
    pace: Literal["realtime", "fast"],
    events_path: Path | None,
) -> None:
    """Hold a lesson until its input ends or a signal ends it.

    :raises MaestraError: it could not begin, or could not go on.
    """

    async def run() -> None:
        # The viewer outlives the session: it ends by itself, with the session's last record.
        async with anyio.create_task_group() as viewer, anyio.create_task_group() as watch:
            with anyio.CancelScope() as lesson:
                watch.start_soon(_stop_on_signal, lesson)
                async with open_session(
                    config,
                    ingest=ingest,
                    publish=publish,
                    persona=persona,
                    pace=pace,
                    events_path=events_path,
                ) as session:
                    viewer.start_soon(show, session.events())
                    await session.wait()
            watch.cancel_scope.cancel()

    anyio.run(run)


async def _stop_on_signal(lesson: anyio.CancelScope) -> None:
    """End the lesson at the first signal. The second one ends everything at once."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            lesson.cancel()
            break
