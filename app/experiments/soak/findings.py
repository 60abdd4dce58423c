"""What a soak found: from the viewer's packets, the session's events and its processes' memory.

Conventions. Time stamps are those of the packets that the viewer got; *the clock* is when a packet
came minus its time stamp, which stays the same as long as the output's clock neither stops nor
jumps. Memory is PSS (shared pages counted once) and USS (what is a process's own); its slope is a
least-squares line through all samples after the first ten minutes, or the first third of a shorter
run, in MB an hour. What is judged is the USS of all processes together, which others on the machine
do not change: by how much the median of the last third of these samples exceeds that of the first.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from maestra.core.conversation.chart import ConversationChart

from .lesson import Held

__all__ = ["complaints", "draw", "find"]

_WARM_UP = 600.0
_CLOCK = 1.5
"""Seconds that a packet may come later than usual on a busy machine before the clock has jumped."""
_GROWTH = 50.0
"""MB an hour that the memory may grow by."""
_JUDGED = 30.0
"""Minutes that a run must last for its memory to be judged."""


def find(held: Held) -> dict[str, Any]:
    """Everything that can be said of it."""
    events = _events(held.folder / "events.jsonl")
    return {
        "minutes": round(held.seconds / 60, 2),
        "faults": dict(Counter(fault.kind for fault in held.faults)),
        "session": held.ended,
        "output": _output(sorted(held.folder.glob("viewer-*.jsonl"))),
        "events": _told(events),
        "kept": _kept(held, events),
        "memory": _memory(held),
        "load": {
            "p50": round(statistics.median(held.load), 1) if held.load else None,
            "max": round(max(held.load), 1) if held.load else None,
        },
    }


def complaints(found: Mapping[str, Any]) -> list[str]:
    """What of it should not be."""
    bad = []
    output, kept = found["output"], found["kept"]
    if output["went_back"]:
        bad.append(f"time stamps went back {output['went_back']} times: {output['first_back']}")
    if output["clock_off"] is None or output["clock_off"] > _CLOCK:
        bad.append(f"the output's clock was off by up to {output['clock_off']} s")
    if kept["decreased"]:
        bad.append(f"takes or notes were lost: {kept['decreased']}")
    if kept["illegal"]:
        bad.append(f"the conversation changed as it may not: {kept['illegal']}")
    if found["session"] is None or found["session"]["cause"] != "stopped":
        bad.append(f"the session did not last: {found['session']}")
    if kept["lost_events"]:
        bad.append("events were lost on the way to their reader")
    growth = found["memory"]["uss"]["growth_mb_per_hour"]
    if found["minutes"] >= _JUDGED and growth is not None and growth > _GROWTH:
        bad.append(f"the memory grew by {growth} MB an hour, more than {_GROWTH:.0f}")
    return bad


def _events(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue  # is being written
    return [one for one in found if "type" in one]


def _packets(path: Path) -> Iterable[tuple[float, float, str]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                one = json.loads(line)
                yield one["t"], one["pts"], one["kind"]
            except (ValueError, KeyError):
                return  # the last line of a process that was killed


def _output(recordings: Sequence[Path]) -> dict[str, Any]:
    last: dict[str, float] = {}
    back: list[str] = []
    pictures = packets = segments = 0
    clock: list[float] = []
    seconds: Counter[int] = Counter()
    for path in recordings:
        packets_before = packets
        for t, pts, kind in _packets(path):
            packets += 1
            if pts <= last.get(kind, -1.0):
                back.append(f"{path.name}: {kind} {last[kind]:.3f} -> {pts:.3f}")
            last[kind] = pts
            if kind == "video":
                pictures += 1
                clock.append(t - pts)
                seconds[int(pts)] += 1
        segments += packets > packets_before
    usual = statistics.median(clock) if clock else 0.0
    first, final = (min(seconds), max(seconds)) if seconds else (0, 0)
    return {
        "recordings": segments,
        "packets": packets,
        "pictures": pictures,
        "went_back": len(back),
        "first_back": back[:3],
        "clock_off": round(max(abs(one - usual) for one in clock), 3) if clock else None,
        "seconds": final - first + 1 if seconds else 0,
        "seconds_with_25": sum(count >= 25 for count in seconds.values()),
        "seconds_with_none": sum(not seconds[at] for at in range(first, final)) if seconds else 0,
    }


def _told(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    kinds = Counter(str(one["type"]) for one in events)
    slices = [one for one in events if one["type"] == "slice"]
    back: dict[str, list[float]] = {"ingest": [], "publish": []}
    for one in events:
        if one["type"] == "connection_restored":
            back[one["port"]].append(one["after"])
    totals = [one["latency"]["total"] for one in events if one["type"] == "reply_started"]
    return {
        "wakes": kinds["wake"],
        "replies": kinds["reply_started"],
        "reply_after": _spread(totals),
        "failures": dict(Counter(o["port"] for o in events if o["type"] == "adapter_failed")),
        "failure_texts": dict(
            Counter(o["text"] for o in events if o["type"] == "adapter_failed").most_common(12)
        ),
        "warnings": dict(
            Counter(o["text"] for o in events if o["type"] == "warning").most_common(12)
        ),
        "restored": {port: _spread(gone) for port, gone in back.items()},
        "fps": {
            "seconds": len(slices),
            "at_least_24": sum(one["fps"] >= 24 for one in slices),
            "lowest": min((one["fps"] for one in slices), default=None),
        },
        "underruns": sum(one["underruns"] for one in slices),
        "late": sum(one["late"] for one in slices),
    }


def _spread(values: Sequence[float]) -> dict[str, Any]:
    ordered = sorted(values)
    if not ordered:
        return {"n": 0}
    return {
        "n": len(ordered),
        "p50": round(statistics.median(ordered), 2),
        "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 2),
        "max": round(ordered[-1], 2),
    }


def _kept(held: Held, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    legal = {
        (change.source.id, target.id)
        for state in ConversationChart.states
        for change in state.transitions
        for target in change.targets
    }
    state = "passive_listening"
    illegal = []
    for one in events:
        if one["type"] == "state":
            if one["from"] != state or (one["from"], one["to"]) not in legal:
                illegal.append(f"{state}: {one['from']} -> {one['to']} at {one['t']}")
            state = one["to"]
    decreased = []
    for before, after in zip(held.status, held.status[1:], strict=False):
        for what in ("takes", "notes"):
            if after[what] < before[what]:
                decreased.append(f"{what} {before[what]} -> {after[what]} at {after['at']:.0f} s")
    final = held.status[-1] if held.status else {"takes": 0, "notes": 0}
    return {
        "takes": final["takes"],
        "notes": final["notes"],
        "decreased": decreased,
        "changes_of_state": sum(one["type"] == "state" for one in events),
        "illegal": illegal,
        "lost_events": held.lost_events,
    }


def _memory(held: Held) -> dict[str, Any]:
    begin = min(_WARM_UP, held.seconds / 3)
    settled = [one for one in held.memory if one.at >= begin and one.pss.get("session")]
    names = sorted({name for one in settled for name in one.pss})
    found: dict[str, Any] = {"samples": len(settled)}
    for what in ("pss", "uss"):
        sizes = [(one.at, getattr(one, what)) for one in settled]
        total = [(at, sum(each.values())) for at, each in sizes]
        found[what] = {
            "first_mb": round(total[0][1] / 1e6, 1) if total else None,
            "last_mb": round(total[-1][1] / 1e6, 1) if total else None,
            "most_mb": round(max(size for _, size in total) / 1e6, 1) if total else None,
            "mb_per_hour": _slope(total),
            "growth_mb_per_hour": _growth(total),
            "each": {name: _slope([(at, e.get(name, 0)) for at, e in sizes]) for name in names},
        }
    return found


def _slope(points: Sequence[tuple[float, float]]) -> float | None:
    """MB an hour."""
    if len(points) < 3:
        return None
    slope, _ = statistics.linear_regression([at for at, _ in points], [size for _, size in points])
    return round(slope * 3600 / 1e6, 2)


def _growth(points: Sequence[tuple[float, float]]) -> float | None:
    """MB an hour from the median of the first third to that of the last: a reply's peak is none."""
    third = len(points) // 3
    if not third:
        return None
    began, before = (statistics.median(column) for column in zip(*points[:third], strict=True))
    ended, after = (statistics.median(column) for column in zip(*points[-third:], strict=True))
    slope: float = (after - before) / (ended - began)
    return round(slope * 3600 / 1e6, 2)


def draw(held: Held, path: Path) -> None:
    """Memory by process over time, with the faults."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    minutes = [one.at / 60 for one in held.memory]
    names = sorted({name for one in held.memory for name in one.pss})
    figure, axes = pyplot.subplots(figsize=(10, 4.5), layout="constrained")
    sizes = [[one.pss.get(name, 0) / 1e6 for one in held.memory] for name in names]
    axes.stackplot(minutes, *sizes, labels=names, alpha=0.8)
    own = [sum(one.uss.values()) / 1e6 for one in held.memory]
    axes.plot(minutes, own, "k--", linewidth=1, label="their own alone (USS)")
    kinds = list(dict.fromkeys(fault.kind for fault in held.faults))
    top = axes.get_ylim()[1]
    for row, kind in enumerate(kinds):
        at = [fault.at / 60 for fault in held.faults if fault.kind == kind]
        axes.plot(at, [top * (1.02 + 0.03 * row)] * len(at), "|", label=kind)
    axes.set(title="Memory of the service's processes", xlabel="minute", ylabel="MB (PSS)")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
