"""A coordinator that embeds Maestra: it holds one lesson and tells what happens in it.

Run it with a recording, or with a stream's address::

    python examples/coordinator.py lesson.flac teacher.mp4
    python examples/coordinator.py "rtmp://127.0.0.1:1935/live/student?listen=1" rtmp://…/teacher
"""

from __future__ import annotations

import sys

import anyio

import maestra
from maestra.core import log

NEXT_PIECE = 20.0
"""Seconds without playing after which the student is taken to have turned to another piece."""


async def hold(ingest: str, publish: str | None) -> None:
    async with anyio.create_task_group() as tasks:
        async with maestra.open_session(
            ingest=ingest, publish=publish, events_path="lesson.events.jsonl", end_on_close=True
        ) as session:
            tasks.start_soon(follow, session, session.events())
            await session.wait()


async def follow(session: maestra.Session, events: maestra.Events) -> None:
    """Show what a meeting would show. A new piece is a new context: what was said of the one before
    is forgotten, what was played is not."""
    played_until = None
    async for record in events:
        match record:
            case log.Wake(text=text):
                print(f"{record.t:7.2f}  called: {text}")
            case log.ReplyText(text=text):
                print(f"{record.t:7.2f}  caption: {text}")
            case log.ReplyStopped(cause=cause, heard_text=heard):
                print(f"{record.t:7.2f}  the teacher stopped ({cause}) after: {heard}")
            case log.TakeStarted(start=start):
                if played_until is not None and start - played_until > NEXT_PIECE:
                    report = await session.reset_context()
                    print(f"{record.t:7.2f}  a new piece: {report.turns} turns are forgotten")
            case log.TakeEnded(take=take, end=end, notes=notes):
                played_until = end
                print(f"{record.t:7.2f}  take {take} is over: {notes} notes")
            case log.AdapterFailed(port=port, text=text):
                print(f"{record.t:7.2f}  look into the {port}: {text}", file=sys.stderr)
    print("status at the end:", session.status())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    anyio.run(hold, sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
