"""``maestra lesson``: one session, shown while it runs, ended well by Ctrl-C or SIGTERM."""

from __future__ import annotations

import secrets
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

from maestra.core.log import Record, encode

from ..config import Config
from ..session import Pace, open_session
from ..tracing import Traced, tracing
from .progress import show

__all__ = ["sit_in"]


async def sit_in(
    config: Config,
    *,
    ingest: str,
    publish: str | None,
    persona: str | None = None,
    pace: Pace = "realtime",
    events: Path | None = None,
    end_on_close: bool = False,
    ready: anyio.Event | None = None,
) -> bool:
    """Hold a lesson until its input ends or a signal ends it; false if it was a signal.

    :param ready: is set once everything is loaded and the input is being listened to.
    :raises MaestraError: it could not begin, or could not go on.
    """
    # The viewers outlive the session: they end by themselves, with the session's last record.
    with tracing(config, say=_complain) as traces:
        async with anyio.create_task_group() as viewers, anyio.create_task_group() as watch:
            with anyio.CancelScope() as lesson:
                watch.start_soon(_stop_on_signal, lesson)
                async with open_session(
                    config,
                    ingest=ingest,
                    publish=publish,
                    persona=persona,
                    pace=pace,
                    events_path=events,
                    end_on_close=end_on_close,
                ) as session:
                    viewers.start_soon(show, session.events())
                    if traces is not None:
                        traced = traces.session(secrets.token_hex(8))
                        viewers.start_soon(_trace, traced, session.events())
                    if ready is not None:
                        ready.set()
                    await session.wait()
            watch.cancel_scope.cancel()
    return not lesson.cancel_called


async def _trace(traced: Traced, events: AsyncIterator[Record]) -> None:
    async for record in events:
        traced.take(encode(record))


def _complain(text: str) -> None:
    print(f"maestra: {text}", file=sys.stderr)


async def _stop_on_signal(lesson: anyio.CancelScope) -> None:
    """End the lesson at the first signal. The second one ends everything at once."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            lesson.cancel()
            break
