"""What Prometheus is told. The latencies' names are the design's, and the service hears of them by
the sessions' events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args, get_type_hints

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from maestra.core import log

from . import models
from .capacity import Capacity

__all__ = ["MEDIA_TYPE", "Metrics"]

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS: Final = (
    *(0.1, 0.2, 0.25, 0.3, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    *(1.2, 1.5, 1.8, 2.0, 3.0, 5.0, 10.0),
)
"""Among them whatever a latency must be, and shall be: a quantile near it is then no guess."""

_HTTP: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_RATIOS: Final = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0)
_OFFSETS: Final = (0.0, 0.04, 0.05, 0.08, 0.12, 0.2, 0.4, 1.0, 2.0)
"""Whole slots, and what it shall be."""

_STEADY_FPS: Final = 24.0
_MUSIC: Final = frozenset({"playing", "singing", "both"})

_REFUSALS: Final = ("address", "rate", "draining", "full", "measuring", "memory", "slow")
_STREAMS: Final = ("ingest", "publish")
_REPLACED: Final = ("brain", "voice", "face", "senses.asr")
_PORTS: Final = (*_REPLACED, "senses", "browsers", *_STREAMS)


def _causes(of: type) -> tuple[str, ...]:
    """Every cause that ``of`` may have."""
    return get_args(get_type_hints(of)["cause"])


class Metrics:
    """The service's metrics, and what each session adds to them."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()

        def histogram(name: str, doc: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"maestra_{name}", doc, labels, buckets=buckets, registry=registry)

        def counter(name: str, doc: str, label: str = "", known: Iterable[str] = ()) -> Counter:
            """``known`` values of ``label`` are told of from the beginning, as 0: of a series that
            begins with 1 Prometheus sees no increase, and nobody would hear of the first."""
            labels = (label,) if label else ()
            made = Counter(f"maestra_{name}", doc, labels, registry=registry)
            for value in known:
                made.labels(value)
            return made

        def gauge(name: str, doc: str, *labels: str) -> Gauge:
            return Gauge(f"maestra_{name}", doc, labels, registry=registry)

        self.http = histogram(
            "http_request_duration_seconds", "Time to answer.", _HTTP, "method", "route", "status"
        )
        self.sessions = gauge("sessions", "Sessions by state.", "state")
        self._most = gauge("sessions_most", "The most sessions at once.")
        self._limits = gauge(
            "sessions_limit",
            "What bounds how many sessions there may be: the smallest counts.",
            "by",
        )
        self._usable = gauge(
            "lessons_processors", "Processors that lessons may keep busy, as was measured."
        )
        self._takes = gauge(
            "lesson_processors",
            "Processors that one lesson keeps busy, as was measured, by what happens in it.",
            "phase",
        )
        self._needs = gauge("lesson_memory_bytes", "Memory that one lesson takes, as was measured.")
        self.started = counter("sessions_started", "Sessions that were started.")
        self.ended = counter(
            "sessions_ended", "Sessions that ended, by cause.", "cause", _causes(models.Ended)
        )
        self.refused = counter(
            "starts_refused", "Starts that were refused, by cause.", "cause", _REFUSALS
        )
        self._wake_latency = histogram(
            "wake_latency_seconds", "End of a wake phrase to the answer's first sound.", _SECONDS
        )
        self._turn_latency = histogram(
            "turn_taking_latency_seconds",
            "End of a follow-up question to the answer's first sound.",
            _SECONDS,
        )
        self._barge_in = histogram(
            "barge_in_latency_seconds",
            "Onset of speech or music to the teacher's silence.",
            _SECONDS,
        )
        self._part = histogram(
            "reply_stage_seconds", "Where a reply's time went, by stage.", _SECONDS, "stage"
        )
        self._render = histogram(
            "render_rtf", "Time to draw the face, for each second of its speech.", _RATIOS
        )
        self._voice = histogram(
            "voice_rtf", "Time to speak a clause, for each second of its sound.", _RATIOS
        )
        self._av_offset = histogram(
            "av_offset_seconds",
            "Sound minus picture as they are put out, the most in each second of speech.",
            _OFFSETS,
        )
        self._wakes = counter("wakes", "Wake phrases that were heard.")
        self._false_interruptions = counter(
            "false_interruptions",
            "How often she fell silent for what was no interruption, by what it seemed to be.",
            "cause",
            _causes(log.Resumed),
        )
        self._restored = counter(
            "connections_restored", "Inputs and outputs that came back, by port.", "port", _STREAMS
        )
        self._replies = counter(
            "replies", "Replies that ended, by cause.", "cause", _causes(log.ReplyStopped)
        )
        self._failures = counter(
            "adapter_failures", "Failures of a backend, by port.", "port", _PORTS
        )
        self._fallbacks = counter(
            "fallbacks", "How often the next backend took over, by port.", "port", _REPLACED
        )
        self._warnings = counter("warnings", "Warnings, by who gave them.", "source")
        self._underruns = counter("underruns", "Slices of a reply that were not there in time.")
        self._held = counter("frames_held", "Frames that repeat the one before.")
        self._late = counter("slices_late", "Slices that were written late.")
        self._seconds = counter(
            "output_seconds",
            "Seconds of output, by whether they had 24 frames or more (fps_stability).",
            "steady",
            ("yes", "no"),
        )
        self._fps = gauge("fps", "Frames written in the last second.", "session")
        self._queue = gauge("queued_seconds", "Seconds of slices that wait.", "session")
        self._memory = gauge("session_memory_bytes", "Memory of its processes.", "session")
        self._gpu = gauge(
            "gpu_memory_bytes", "GPU memory of its processes, where there is a GPU.", "session"
        )
        self._connection = gauge(
            "connection_ok",
            "Whether an input or output of a session that runs is well: 1, or 0.",
            "session",
            "port",
        )
        self._kinds: dict[str, dict[int, str]] = {}
        self._onsets: dict[str, dict[str, float]] = {}
        self._speaking: dict[str, float] = {}  # since when

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self._registry)

    def limits(self, most: int, limits: Mapping[str, int]) -> None:
        """How many sessions there may be, and by which limits."""
        self._most.set(most)
        self._limits.clear()
        for name, value in limits.items():
            self._limits.labels(name).set(value)

    def of_capacity(self, capacity: Capacity | None) -> None:
        """What was measured of the machine, if it was."""
        if capacity is None:
            return
        self._usable.set(capacity.usable)
        self._needs.set(capacity.cost.memory)
        for phase, value in capacity.cost.processors.items():
            self._takes.labels(phase).set(value)

    def memory(self, session: str, value: float) -> None:
        self._memory.labels(session).set(value)

    def gpu_memory(self, session: str, value: float) -> None:
        self._gpu.labels(session).set(value)

    def no_gpu_memory(self) -> None:
        """What the sessions hold of the GPUs is not known any more."""
        self._gpu.clear()

    def connection(self, session: str, port: str, ok: bool) -> None:
        """How the session's ``port``, ``ingest`` or ``publish``, fares."""
        self._connection.labels(session, port).set(ok)

    def event(self, session: str, event: Mapping[str, Any]) -> None:
        """Count what ``event`` of ``session`` says."""
        match event:
            case {"type": "slice", "fps": fps, "underruns": under, "held": held, "late": late}:
                self._fps.labels(session).set(fps)
                self._queue.labels(session).set(event.get("queued") or 0)
                if event.get("av_offset") is not None:
                    self._av_offset.observe(event["av_offset"])
                if event.get("render_rtf") is not None:
                    self._render.observe(event["render_rtf"])
                self._underruns.inc(under)
                self._held.inc(held)
                self._late.inc(late)
                self._seconds.labels("yes" if fps >= _STEADY_FPS else "no").inc()
            case {"type": "wake"}:
                self._wakes.inc()
            case {"type": "question", "epoch": epoch, "kind": kind}:
                self._kinds.setdefault(session, {})[epoch] = kind
            case {"type": "reply_started", "epoch": epoch, "latency": latency, "t": t}:
                self._speaking[session] = t
                self._reply_started(session, epoch, latency)
            case {"type": "speech_started", "since": since}:
                self._onsets.setdefault(session, {})["speech"] = since
            case {"type": "floor", "label": label, "since": since} if label in _MUSIC:
                self._onsets.setdefault(session, {})["music"] = since
            case {"type": "reply_stopped", "cause": cause}:
                self._replies.labels(cause).inc()
                self._reply_stopped(session, cause, event["silence_at"])
            case {"type": "resumed", "cause": cause}:
                self._false_interruptions.labels(cause).inc()
            case {"type": "connection_restored", "port": port}:
                self._restored.labels(port).inc()
            case {"type": "spoken", "rtf": rtf}:
                self._voice.observe(rtf)
            case {"type": "adapter_failed", "port": port}:
                self._failures.labels(port).inc()
            case {"type": "adapter_switched", "port": port}:
                self._fallbacks.labels(port).inc()
            case {"type": "warning", "source": source}:
                self._warnings.labels(source).inc()
            case _:
                pass

    def _reply_started(self, session: str, epoch: int, latency: Mapping[str, float | None]) -> None:
        for stage, seconds in latency.items():
            if seconds is not None and stage != "total":
                self._part.labels(stage).observe(seconds)
        kind = self._kinds.pop(session, {}).get(epoch)
        total = latency.get("total")
        if total is not None and kind is not None:
            (self._wake_latency if kind == "wake" else self._turn_latency).observe(total)

    def _reply_stopped(self, session: str, cause: str, silence_at: float) -> None:
        speaking_since = self._speaking.pop(session, None)
        onset = self._onsets.get(session, {}).get(cause)
        # Whoever played on from before she spoke has not interrupted her by it.
        if onset is not None and speaking_since is not None:
            if speaking_since <= onset <= silence_at:
                self._barge_in.observe(silence_at - onset)

    def forget(self, session: str) -> None:
        """The session has ended: it has no figures of its own any more."""
        self._kinds.pop(session, None)
        self._onsets.pop(session, None)
        self._speaking.pop(session, None)
        for gauge in (self._fps, self._queue, self._memory, self._gpu):
            gauge.remove(session)
        for port in _STREAMS:
            self._connection.remove(session, port)
