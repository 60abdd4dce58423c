"""The figures that are promised, and what was found of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict, field, frozen

__all__ = ["TARGETS", "Finding", "Limit", "Target", "quantiles", "verdict"]


_NEVER = "never"


@frozen(kw_only=True)
class Limit:
    """What one statistic of a figure must be, and should be. ``at_least`` turns it round; 0 at
    most of something that is counted means none."""

    stat: str
    must: float
    aim: float
    at_least: bool = False
    below: bool = False
    """Whether the value must stay under ``must``, not only reach it."""

    def allows(self, value: float, limit: float) -> bool:
        if math.isnan(value):
            return False
        if self.at_least:
            return value >= limit
        return value < limit if self.below and limit == self.must else value <= limit


@frozen(kw_only=True)
class Target:
    """A row of the table of promises. ``how`` says between which instants it is measured."""

    key: str
    title: str
    unit: str
    limits: tuple[Limit, ...]
    how: str
    digits: int = 2


def _listed(samples: Sequence[float]) -> tuple[float, ...]:
    return tuple(samples)


@frozen(kw_only=True)
class Finding:
    """What was found: ``values`` by statistic, over ``n`` samples.

    ``samples`` are what the statistics were taken of; ``note`` is for people.
    """

    key: str
    values: Mapping[str, float]
    n: int
    note: str = ""
    samples: Sequence[float] = field(default=(), converter=_listed)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; what is not a number becomes ``null``, what is infinite ``"never"``."""
        content = asdict(self)
        content["values"] = {name: _plain(value) for name, value in self.values.items()}
        content["samples"] = [_plain(value) for value in self.samples]
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Finding:
        values = {name: _number(value) for name, value in content["values"].items()}
        return cls(
            key=content["key"],
            values=values,
            n=int(content["n"]),
            note=content["note"],
            samples=[_number(value) for value in content["samples"]],
        )


def _plain(value: float) -> float | str | None:
    if math.isinf(value):
        return _NEVER
    return None if math.isnan(value) else round(value, 6)


def _number(value: float | str | None) -> float:
    return math.inf if value == _NEVER else math.nan if value is None else float(value)


def quantiles(samples: Sequence[float]) -> dict[str, float]:
    """``p50``, ``p95`` and ``worst`` of ``samples``.

    A sample that is infinite (what should have come did not) counts as the worst there is.
    """
    ordered = sorted(samples)
    if not ordered:
        return {"p50": math.nan, "p95": math.nan, "worst": math.nan}
    return {
        "p50": _quantile(ordered, 0.5),
        "p95": _quantile(ordered, 0.95),
        "worst": ordered[-1],
    }


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    if ordered[high] == ordered[low]:
        return ordered[low]
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def verdict(target: Target, finding: Finding | None) -> str:
    """``aim``, ``met``, ``missed`` or ``not measured``."""
    if finding is None or finding.n == 0:
        return "not measured"
    met = aimed = True
    for limit in target.limits:
        value = finding.values.get(limit.stat, math.nan)
        met = met and limit.allows(value, limit.must)
        aimed = aimed and limit.allows(value, limit.aim)
    return "aim" if met and aimed else "met" if met else "missed"


def _latency(stat_50: tuple[float, float], stat_95: tuple[float, float]) -> tuple[Limit, ...]:
    return (
        Limit(stat="p50", must=stat_50[0], aim=stat_50[1]),
        Limit(stat="p95", must=stat_95[0], aim=stat_95[1]),
    )


_HEARD = "first audible teacher sample's arrival at the viewer"

TARGETS: tuple[Target, ...] = (
    Target(
        key="wake_latency",
        title="wake latency",
        unit="s",
        limits=_latency((1.2, 0.7), (1.8, 1.0)),
        how=f"true end of the wake phrase → {_HEARD}",
    ),
    Target(
        key="turn_taking_latency",
        title="turn-taking latency",
        unit="s",
        limits=_latency((1.0, 0.6), (1.5, 0.9)),
        how=f"true end of a follow-up question → {_HEARD}",
    ),
    Target(
        key="barge_in_speech",
        title="barge-in by speech",
        unit="s",
        limits=(Limit(stat="p95", must=0.45, aim=0.25),),
        how="true onset of the student's speech → last audible teacher sample's arrival",
    ),
    Target(
        key="barge_in_music",
        title="barge-in by music",
        unit="s",
        limits=(Limit(stat="p95", must=0.45, aim=0.25),),
        how="true first note of the student → last audible teacher sample's arrival",
    ),
    Target(
        key="first_sound",
        title="first sound of a clause",
        unit="s",
        limits=_latency((0.3, 0.15), (0.3, 0.3)),
        how="spoken.ttfb in the event log: from the clause to the first sound that its voice makes",
    ),
    Target(
        key="fps_stability",
        title="seconds with 24 frames or more",
        unit="%",
        limits=(Limit(stat="share", must=99.5, aim=100.0, at_least=True),),
        how="frames in each second of the recorded stream's own time stamps",
    ),
    Target(
        key="av_offset",
        title="sound minus picture, any reply",
        unit="ms",
        limits=(Limit(stat="worst", must=25.0, aim=10.0),),
        how="loudness against the mouth in the decoded pictures, less the face's designed lead",
        digits=1,
    ),
    Target(
        key="drift",
        title="drift between sound and picture in 10 minutes",
        unit="ms",
        limits=(Limit(stat="size", must=5.0, aim=1.0, below=True),),
        how="slope of the replies' offsets over the run",
        digits=1,
    ),
    Target(
        key="render_rtf",
        title="puppet, time to render ÷ duration, one core",
        unit="",
        limits=(Limit(stat="p50", must=0.3, aim=0.15),),
        how="pinned to one core; the pictures of a spoken sentence",
        digits=3,
    ),
    Target(
        key="false_wakes",
        title="false wakes and self-started replies",
        unit="per hour",
        limits=(Limit(stat="rate", must=0.0, aim=0.0),),
        how="wake and reply_started records in lessons without a wake phrase",
        digits=1,
    ),
    Target(
        key="missed_wakes",
        title="wakes missed, clear speech",
        unit="%",
        limits=(Limit(stat="share", must=3.0, aim=0.0, below=True),),
        how="wake phrases without a wake record about them",
        digits=1,
    ),
    Target(
        key="f0",
        title="F0 of steady tones, made",
        unit="cents",
        limits=(Limit(stat="p50", must=5.0, aim=2.0),),
        how="what maestra analyse measures against the true pitch",
        digits=1,
    ),
    Target(
        key="f0_played",
        title="F0 of steady tones, played and sung",
        unit="cents",
        limits=(Limit(stat="p50", must=5.0, aim=2.0),),
        how="what maestra analyse measures against Praat's pitch by autocorrelation",
        digits=1,
    ),
    Target(
        key="onsets",
        title="onsets of single-line playing, F-measure at ±50 ms",
        unit="",
        limits=(Limit(stat="f", must=0.90, aim=0.95, at_least=True),),
        how="notes of maestra analyse against the true onsets",
    ),
    Target(
        key="tempo",
        title="takes of steady playing within 3 % of the tempo",
        unit="%",
        limits=(Limit(stat="share", must=95.0, aim=100.0, at_least=True),),
        how="tempo of maestra analyse against the true one",
        digits=1,
    ),
    Target(
        key="faults_named",
        title="made performances with one fault: named first, at its place",
        unit="%",
        limits=(Limit(stat="share", must=80.0, aim=95.0, at_least=True),),
        how="the first remark of maestra analyse on rendered sound",
        digits=1,
    ),
    Target(
        key="invented_criticism",
        title="good playing criticised",
        unit="%",
        limits=(Limit(stat="share", must=10.0, aim=0.0, below=True),),
        how="faults that maestra analyse finds in performances that have none",
        digits=1,
    ),
    Target(
        key="speed",
        title="an hour of lesson with --pace fast",
        unit="times real time",
        limits=(Limit(stat="speed", must=4.0, aim=10.0, at_least=True),),
        how="duration of the lesson ÷ life of the process, loading included",
        digits=1,
    ),
    Target(
        key="memory",
        title="memory of all processes",
        unit="MB",
        limits=(Limit(stat="peak", must=2000.0, aim=1200.0, below=True),),
        how="sum of the processes' resident sets, sampled every second",
        digits=0,
    ),
    Target(
        key="memory_growth",
        title="growth of memory over the hour",
        unit="MB",
        limits=(Limit(stat="growth", must=50.0, aim=5.0, below=True),),
        how="median slope between any two minutes after the tenth (Theil and Sen), for an hour",
        digits=0,
    ),
    Target(
        key="summary",
        title="summary after an hour of playing",
        unit="ms",
        limits=(Limit(stat="p95", must=20.0, aim=5.0, below=True),),
        how="summary.duration in the event log, in the last quarter of the lesson",
        digits=1,
    ),
)
"""The table of promises, in its order."""
