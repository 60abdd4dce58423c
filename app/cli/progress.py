"""What a person sees while a lesson runs: a live panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TextIO

from attrs import define, field

from maestra.core import log

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Progress", "plain_line", "show"]

_FACTS = 3
"""How many of the last facts are shown: of the takes that ended, and of what is worth saying about
them once somebody has asked."""

_PORTS = {"ingest": "the input", "publish": "the output"}


@define
class Progress:
    """What is known of the lesson so far, as far as it is shown."""

    t: float = 0.0
    state: str = "passive_listening"
    floor: str = "silence"
    transcript: str = ""
    transcript_final: bool = True
    takes: int = 0
    notes: int = 0
    facts: list[str] = field(factory=list)
    question: str = ""
    reply: str = ""
    latency: float | None = None
    fps: float | None = None
    trouble: str = ""
    _epoch: int = 0

    def take(self, record: log.Record) -> None:
        """Learn from ``record``."""
        self.t = max(self.t, record.t)
        match record:
            case log.State(after=after):
                self.state = after
            case log.Floor(label=label):
                self.floor = label.value
            case log.Transcript(text=text, final=final):
                self.transcript, self.transcript_final = text, final
            case log.TakeStarted(take=take):
                self.takes = take
            case log.TakeEnded():
                self.facts = [_of_take(record), *self.facts][:_FACTS]
            case log.Note():
                self.notes += 1
            case log.Question(text=text):
                self.question = text
            case log.Summary(observations=observations):
                self.facts = [remark.text for remark in observations[:_FACTS]]
            case log.ReplyText(epoch=epoch, text=text):
                self.reply = f"{self.reply} {text}" if epoch == self._epoch else text
                self._epoch = epoch
            case log.ReplyStarted(latency=latency):
                self.latency = latency.total
            case log.Slice(fps=fps):
                self.fps = fps
            case log.AdapterFailed(adapter=adapter, text=text):
                self.trouble = f"{adapter} failed: {text}" if adapter else text
            case log.ConnectionRestored(port=port):
                self.trouble = f"{_PORTS[port]} is back"
            case log.Warned(source="licence"):
                pass  # is said above the panel, and is no trouble
            case log.Warned(text=text):
                self.trouble = text
            case log.SessionEnded():
                self.state = "ended"
            case _:
                pass


def _of_take(record: log.TakeEnded) -> str:
    return f"take {record.take}: {record.end - record.start:.1f} s, {record.notes} notes"


def plain_line(record: log.Record) -> str | None:
    """One line about ``record``, or ``None`` if it is not worth one."""
    match record:
        case log.SessionStarted(ingest=ingest, persona=persona):
            text = f"{persona} listens to {ingest}"
        case log.State(before=before, after=after, cause=cause):
            text = f"{before} -> {after} ({cause})"
        case log.Transcript(text=words, final=True) if words:
            text = f"heard: {words}"
        case log.Wake(phrase=phrase, score=score):
            text = f"woken by {phrase!r} ({score:.0f})"
        case log.TakeEnded():
            text = _of_take(record)
        case log.Summary(observations=(first, *_)):
            text = f"measured: {first.text}"
        case log.ReplyText(text=words):
            text = f"says: {words}"
        case log.ReplyStarted(latency=latency):
            text = f"begins to speak {latency.total:.2f} s after the end of the question"
        case log.ReplyStopped(cause=cause):
            text = f"stops speaking ({cause})"
        case log.AdapterFailed(port=port, adapter=adapter, text=words):
            text = f"{port}: {adapter} failed: {words}" if adapter else f"{port}: {words}"
        case log.ConnectionRestored(port=port, after=gone):
            text = f"{_PORTS[port]} is back after {gone:.1f} s"
        case log.AdapterSwitched(port=port, after=after):
            text = f"{port}: {after} takes over"
        case log.ConfigChanged(values=values):
            text = "changed: " + ", ".join(f"{key} = {value}" for key, value in values.items())
        case log.ContextReset(performance=performance):
            text = "forgot the conversation" + (" and the performance" if performance else "")
        case log.Warned(source="licence", text=words):
            text = f"licence: {words}"
        case log.Warned(text=words):
            text = f"warning: {words}"
        case log.SessionEnded(cause=cause, text=words):
            text = f"ended ({cause}{': ' if words else ''}{words})"
        case _:
            return None
    return f"{record.t:9.2f}  {text}"


async def show(events: AsyncIterator[log.Record], *, to: TextIO | None = None) -> None:
    """Show ``events`` until they end, on standard output unless ``to`` says otherwise."""
    out = to or sys.stdout
    if not out.isatty():
        async for record in events:
            if line := plain_line(record):
                print(line, file=out, flush=True)
        return

    from rich.console import Console
    from rich.live import Live

    progress = Progress()
    console = Console(file=out)
    with Live(_panel(progress), console=console, refresh_per_second=8) as live:
        async for record in events:
            if isinstance(record, log.Warned) and record.source == "licence":
                console.print(plain_line(record), markup=False, highlight=False)
            progress.take(record)
            live.update(_panel(progress))


def _panel(progress: Progress) -> RenderableType:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    minutes, seconds = divmod(int(progress.t), 60)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    fps = "" if progress.fps is None else f"{progress.fps:.0f} fps"
    latency = "" if progress.latency is None else f"answered in {progress.latency:.2f} s"
    # Words that were heard or written are data: Text keeps them from being read as markup.
    table.add_row("state", Text(progress.state.replace("_", " "), style="bold"))
    table.add_row("floor", Text(progress.floor.replace("_", " ")))
    table.add_row(
        "heard", Text(progress.transcript, style="" if progress.transcript_final else "italic dim")
    )
    table.add_row("played", Text(f"{progress.takes} takes, {progress.notes} notes"))
    table.add_row("measured", Text("\n".join(progress.facts)))
    table.add_row("asked", Text(progress.question))
    table.add_row("says", Text(progress.reply, style="cyan"))
    if progress.trouble:
        table.add_row("trouble", Text(progress.trouble, style="yellow"))
    table.add_row("output", Text("  ".join(part for part in (fps, latency) if part)))
    return Panel(table, title=f"Maestra  {minutes:02}:{seconds:02}", title_align="left")
