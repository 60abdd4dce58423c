"""The report: a table for people, JSON for programs, pictures of what lies behind the figures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .figures import TARGETS, Finding, Target, verdict

__all__ = ["draw", "merged", "write"]


def merged(findings: Sequence[Finding]) -> dict[str, Finding]:
    """One finding for each figure; of two, the one with the worse first statistic."""
    worst: dict[str, Finding] = {}
    for target in TARGETS:
        ones = [one for one in findings if one.key == target.key and one.n]
        limit = target.limits[-1]
        turn = -1 if limit.at_least else 1
        if ones:
            worst[target.key] = max(
                ones, key=lambda one: turn * one.values.get(limit.stat, math.nan)
            )
    return worst


def write(out: Path, results: Mapping[str, Mapping[str, Any]]) -> str:
    """Write ``report.md`` and ``report.json`` of the parts' ``results`` (as they are kept in
    ``out``); the table."""
    findings = [
        Finding.from_dict(content) for result in results.values() for content in result["findings"]
    ]
    best = merged(findings)
    lines = [
        "# How good it is",
        "",
        "| figure | must | aim | measured | n | |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_row(target, best.get(target.key)) for target in TARGETS),
        "",
        "Latencies end when what the viewer hears arrives, by the machine's one monotonic clock.",
        "",
        "## Between which instants, and what else was seen",
        "",
    ]
    for target in TARGETS:
        one = best.get(target.key)
        note = f" ({one.note})" if one is not None and one.note else ""
        lines.append(f"- {target.title}: {target.how}{note}")
    lines += ["", "## Measured on", ""]
    for name, result in results.items():
        quick = ", quick" if result["quick"] else ""
        lines.append(
            f"- {name}: {result['when']}, {result['seconds']:.0f} s{quick}; {result['machine']};"
            f" load {result['load_after']:.1f} at the end"
        )
    troubles = [text for result in results.values() for text in result["troubles"]]
    lines += ["", "## To be looked at", "", *(f"- {text}" for text in troubles or ["nothing"]), ""]
    text = "\n".join(lines)
    (out / "report.md").write_text(text, encoding="utf-8")
    content = {
        "figures": [
            {
                "key": target.key,
                "title": target.title,
                "unit": target.unit,
                "limits": [
                    {"stat": one.stat, "must": one.must, "aim": one.aim, "at_least": one.at_least}
                    for one in target.limits
                ],
                "how": target.how,
                "verdict": verdict(target, best.get(target.key)),
                "found": best[target.key].to_dict() if target.key in best else None,
            }
            for target in TARGETS
        ],
        "parts": dict(results),
    }
    (out / "report.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return "\n".join(lines[2 : 4 + len(TARGETS)])


def _row(target: Target, finding: Finding | None) -> str:
    sign = " ≥" if target.limits[0].at_least else ""

    def limits(which: str) -> str:
        values = " / ".join(f"{getattr(limit, which):g}" for limit in target.limits)
        return f"{sign} {values} {target.unit}".strip()

    found = "none"
    if finding is not None:
        found = " / ".join(
            _number(finding.values.get(limit.stat, math.nan), target) for limit in target.limits
        )
    stats = " / ".join(limit.stat for limit in target.limits)
    outcome = verdict(target, finding)
    shown = f"**{outcome}**" if outcome == "missed" else outcome
    count = finding.n if finding is not None else 0
    return (
        f"| {target.title} ({stats}) | {limits('must')} | {limits('aim')} |"
        f" {found} | {count} | {shown} |"
    )


def _number(value: float, target: Target) -> str:
    if math.isnan(value):
        return "none"
    return "never" if math.isinf(value) else f"{value:.{target.digits}f}"


def draw(out: Path, plots: Mapping[str, Any]) -> None:
    """Draw what there is to draw, each into a PNG of its own."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    for name, series in plots.items():
        figure, axes = pyplot.subplots(figsize=(9, 3.5), layout="constrained")
        match name:
            case "latencies":
                for key in dict.fromkeys(row["key"] for row in series):
                    rows = [row for row in series if row["key"] == key]
                    axes.plot(
                        [row["at"] for row in rows],
                        [row["seconds"] for row in rows],
                        "o",
                        label=key.replace("_", " "),
                    )
                axes.set(title="Latencies", xlabel="s into the lesson", ylabel="s", ylim=(0, None))
                axes.legend()
            case "frames":
                axes.plot(series["stamped"], label="frames by time stamp")
                axes.plot(series["new"], label="pictures that differ", linewidth=0.8)
                axes.set(title="Frames", xlabel="s", ylabel="a second", ylim=(0, 28))
                axes.legend()
            case "lips":
                for sure, mark in ((True, "o"), (False, "x")):
                    rows = [row for row in series if row["sure"] is sure]
                    axes.plot([row["at"] for row in rows], [row["ms"] for row in rows], mark)
                axes.axhspan(-10, 10, alpha=0.15)
                axes.set(title="Sound minus picture", xlabel="s", ylabel="ms", ylim=(-60, 60))
            case "memory":
                axes.plot(series)
                axes.set(
                    title="Memory of all processes", xlabel="minute", ylabel="MB", ylim=(0, None)
                )
        figure.savefig(out / f"{name}.png", dpi=110)
        pyplot.close(figure)
