"""Latencies, measured from the outside.

The publisher's log says when the student's sound went out, the recorder's when the teacher's came
in, both by the machine's one monotonic clock. With the true times of the student's words and notes
that is all it takes: what the program thinks of itself is not asked.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import av
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

__all__ = [
    "TARGETS",
    "Measured",
    "Recording",
    "audible_spans",
    "load_recording",
    "measure",
    "published_at",
    "table",
]

TARGETS: Mapping[str, float] = {"wake": 2.0, "turn_taking": 1.5, "barge_in": 0.5}
"""The seconds that the design allows at most."""

_KINDS = {
    "wake": "wake",
    "follow_up": "turn_taking",
    "barge_in": "barge_in",
    "barge_in_music": "barge_in",
}
_BLOCK = 0.01
_AUDIBLE_DB = -50.0
_PAUSE = 0.7
"""Seconds of silence that a speaker makes between sentences, and that do not end what is said."""

_PATIENCE = 6.0
"""Seconds after a question within which an answer is its answer."""


@frozen(kw_only=True)
class Measured:
    """One latency. ``at`` is the true time in the lesson; ``seconds`` is ``None`` if there was
    nothing to measure: no answer, or nobody to interrupt."""

    kind: str
    at: float
    text: str
    seconds: float | None

    @property
    def target(self) -> float:
        return TARGETS[self.kind]


@frozen(kw_only=True, eq=False)
class Recording:
    """What came in: mono ``samples``, and when (s, monotonic) each of ``pts`` (s) arrived.

    ``start`` is the time stamp of the first sample.
    """

    samples: NDArray[np.float32]
    rate_hz: int
    start: float
    pts: Sequence[float]
    arrived: Sequence[float]

    def heard_at(self, position: float) -> float:
        """When (s, monotonic) what lies at ``position`` (s into the samples) could be heard."""
        packet = bisect.bisect_right(self.pts, self.start + position + 1e-6) - 1
        return self.arrived[max(packet, 0)]


def load_recording(path: Path, log: Path) -> Recording:
    """Read the recorder's file and its log."""
    packets = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    sound = [packet for packet in packets if packet["kind"] == "audio"]
    resampler = av.AudioResampler(format="flt", layout="mono")
    blocks: list[NDArray[np.float32]] = []
    first: float | None = None
    rate_hz = 48_000
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            rate_hz = frame.sample_rate
            first = frame.time if first is None else first
            blocks += [out.to_ndarray()[0] for out in resampler.resample(frame)]
    # The file's time stamps begin where its writer liked; the stream's are those of the log.
    return Recording(
        samples=np.concatenate(blocks) if blocks else np.zeros(0, np.float32),
        rate_hz=rate_hz,
        start=sound[0]["pts"] if sound else 0.0,
        pts=[packet["pts"] for packet in sound],
        arrived=[packet["t"] for packet in sound],
    )


def published_at(log: Path) -> float:
    """When (s, monotonic) the student's first sample sounded."""
    return float(json.loads(log.read_text(encoding="utf-8").splitlines()[0])["t"])


def audible_spans(samples: NDArray[np.float32], rate_hz: int) -> list[tuple[float, float]]:
    """Where something is heard, in seconds, to 10 ms. Pauses of speech are bridged."""
    size = round(_BLOCK * rate_hz)
    count = len(samples) // size
    power = np.mean(samples[: count * size].reshape(count, size).astype(np.float64) ** 2, axis=1)
    loud = np.flatnonzero(power > 10 ** (_AUDIBLE_DB / 10))
    spans: list[tuple[float, float]] = []
    for block in loud.tolist():
        start, end = block * _BLOCK, (block + 1) * _BLOCK
        if spans and start - spans[-1][1] < _PAUSE:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def measure(
    lesson: Iterable[Mapping[str, Any]], recording: Recording, published: float
) -> Iterator[Measured]:
    """The latencies of the ``lesson``'s events (as in ``lesson.json``), in their order."""
    heard = [
        (recording.heard_at(start) - published, recording.heard_at(end - _BLOCK) - published)
        for start, end in audible_spans(recording.samples, recording.rate_hz)
    ]
    for event in lesson:
        kind = _KINDS.get(event["role"])
        if kind is None:
            continue
        if kind == "barge_in":
            at = event["start"]
            seconds = next((end - at for start, end in heard if start < at < end), None)
        else:
            at = event["end"]
            seconds = next((start - at for start, _ in heard if at < start < at + _PATIENCE), None)
        yield Measured(kind=kind, at=at, text=event["text"], seconds=seconds)


def table(measured: Sequence[Measured]) -> str:
    """For people."""
    lines = [f"{'latency':<12} {'at':>7} {'measured':>9} {'allowed':>8}  what"]
    for one in measured:
        took = "none" if one.seconds is None else f"{one.seconds:.2f} s"
        mark = "" if one.seconds is not None and one.seconds <= one.target else "  !"
        lines.append(
            f"{one.kind:<12} {one.at:7.2f} {took:>9} {one.target:6.2f} s  {one.text}{mark}"
        )
    return "\n".join(lines) + "\n"


def as_json(measured: Sequence[Measured]) -> str:
    """For programs."""
    rows = [{**attrs.asdict(one), "target": one.target} for one in measured]
    return json.dumps(rows, indent=2) + "\n"
