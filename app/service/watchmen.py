"""What watches the service: a dashboard for Grafana, and Prometheus' rules for calling someone.

Both are made here, from one list of what is promised, and kept in ``deploy/``::

    python -m maestra.app.service.watchmen deploy           # makes them again
    python -m maestra.app.service.watchmen --check deploy   # says which are not as they would be

The rules are JSON, which is YAML.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import frozen

__all__ = ["MUSTS", "dashboard", "files", "main", "rules"]

MUSTS: Final[Mapping[str, float]] = {
    "wake_latency": 1.8,
    "turn_taking_latency": 1.5,
    "barge_in_latency": 0.45,
    "http": 0.02,
    "steady": 0.995,
    "held": 0.02,
    "av_offset": 0.05,
    "render_rtf": 0.8,
    "voice_rtf": 0.8,
    "memory": 2e9,
}
"""What a session promises, in seconds, shares, ratios and bytes: p95 of the latencies and of
the offset between sound and picture."""

_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS: Final = 24
_HEIGHT: Final = 8


_AT_ONCE: Final = '{route!~"/session/(config|reset_context|stop)|.+/(summary|wh[ei]p.*)"}'
"""The calls that wait for nothing: the others may, for a session that loads, ends or connects."""


def _p(
    quantile: float, metric: str, *, by: str = "", window: str = "$__rate_interval", of: str = ""
) -> str:
    labels = f"le, {by}" if by else "le"
    return (
        f"histogram_quantile({quantile}, sum by ({labels})"
        f" (rate(maestra_{metric}_bucket{of}[{window}])))"
    )


# --- the rules ----------------------------------------------------------------


@frozen(kw_only=True)
class _Rule:
    """``when`` is PromQL that is true for ``during``; ``do`` says what to do then."""

    name: str
    when: str
    during: str
    severity: str
    summary: str
    do: str


def _late(name: str, metric: str, what: str, do: str) -> _Rule:
    must = MUSTS[metric]
    return _Rule(
        name=name,
        when=f"{_p(0.95, f'{metric}_seconds', window='15m')} > {must:g}",
        during="5m",
        severity="warning",
        summary=f"{what} takes more than {must:g} s (p95 of 15 minutes).",
        do=do,
    )


_BUSY: Final = (
    "See whether the machine has time to spare (maestra_fps, maestra_reply_stage_seconds says which"
    " stage it is), and lower service.max_sessions if it has not."
)

_RULES: Final[Sequence[_Rule]] = (
    _Rule(
        name="MaestraDown",
        when='up{job="maestra"} == 0',
        during="1m",
        severity="critical",
        summary="The service does not answer.",
        do="Look at its log, and start it again; sessions that ran are gone.",
    ),
    _late("MaestraWakesLate", "wake_latency", "The answer to a wake phrase", _BUSY),
    _late("MaestraTurnsLate", "turn_taking_latency", "The answer to a follow-up", _BUSY),
    _late("MaestraInterruptionsLate", "barge_in_latency", "Falling silent", _BUSY),
    _Rule(
        name="MaestraUnsteadyPictures",
        when='sum(rate(maestra_output_seconds_total{steady="yes"}[10m]))'
        f" / sum(rate(maestra_output_seconds_total[10m])) < {MUSTS['steady']:g}",
        during="2m",
        severity="warning",
        summary=f"Less than {100 * MUSTS['steady']:g} % of the seconds have 24 pictures.",
        do="Lower service.max_sessions, or choose a lighter face (face.backend).",
    ),
    _Rule(
        name="MaestraPicturesHeld",
        when="sum(rate(maestra_frames_held_total[10m]))"
        f" / (25 * sum(rate(maestra_output_seconds_total[10m]))) > {MUSTS['held']:g}",
        during="2m",
        severity="warning",
        summary=f"More than {100 * MUSTS['held']:g} % of the pictures were not drawn in time, and"
        " the ones before them are shown again.",
        do="Lower service.max_sessions, or choose a lighter face (face.backend).",
    ),
    _Rule(
        name="MaestraLipsLate",
        when=f"{_p(0.95, 'av_offset_seconds', window='15m')} > {MUSTS['av_offset']:g}",
        during="5m",
        severity="warning",
        summary=f"The sound is more than {1000 * MUSTS['av_offset']:g} ms ahead of the pictures"
        " (p95 of the seconds in which she spoke).",
        do="Lower service.max_sessions, or choose a lighter face (face.backend).",
    ),
    _Rule(
        name="MaestraFaceSlow",
        when=f"{_p(0.95, 'render_rtf', window='15m')} > {MUSTS['render_rtf']:g}",
        during="5m",
        severity="warning",
        summary=f"The face takes more than {MUSTS['render_rtf']:g} s to draw a second of speech"
        " (p95).",
        do="Choose a lighter face (face.backend), or give it a faster machine.",
    ),
    _Rule(
        name="MaestraVoiceSlow",
        when=f"{_p(0.95, 'voice_rtf', window='15m')} > {MUSTS['voice_rtf']:g}",
        during="5m",
        severity="warning",
        summary=f"A second of speech takes more than {MUSTS['voice_rtf']:g} s to make (p95).",
        do="Choose another voice (voice.backend), or give it a faster machine.",
    ),
    _Rule(
        name="MaestraBackendFails",
        when='sum by (port) (increase(maestra_adapter_failures_total{port!~"ingest|publish"}[10m]))'
        " > 3",
        during="0m",
        severity="warning",
        summary="A backend for {{ $labels.port }} keeps failing; the next in line serves.",
        do="The events adapter_failed say which and why; maestra doctor what it needs.",
    ),
    _Rule(
        name="MaestraConnectionGone",
        when="maestra_connection_ok == 0",
        during="1m",
        severity="warning",
        summary="The {{ $labels.port }} of session {{ $labels.session }} is gone: nobody is heard"
        " (ingest), or nobody sees the teacher (publish).",
        do="GET /session/{id} says what is wrong with it; it is opened again by itself, once the"
        " stream or its server is back.",
    ),
    _Rule(
        name="MaestraSessionsCrash",
        when='increase(maestra_sessions_ended_total{cause=~"crashed|hung"}[10m]) > 0',
        during="0m",
        severity="critical",
        summary="A session's process has {{ $labels.cause }}.",
        do="GET /session/{id} says why; the log has what it wrote last.",
    ),
    _Rule(
        name="MaestraFull",
        when='increase(maestra_starts_refused_total{cause=~"full|slow|memory"}[10m]) > 0',
        during="0m",
        severity="info",
        summary="Sessions were refused: {{ $labels.cause }}.",
        do="Start the service on another machine as well.",
    ),
    _Rule(
        name="MaestraStopsForNothing",
        when="sum(increase(maestra_false_interruptions_total[1h]))"
        " > 0.5 * sum(increase(maestra_replies_total[1h]))",
        during="10m",
        severity="info",
        summary="In every other reply the teacher falls silent for what is no interruption.",
        do="See to the students' echo cancelling: she may be hearing herself.",
    ),
    _Rule(
        name="MaestraHttpSlow",
        when=f"{_p(0.95, 'http_request_duration_seconds', window='10m', of=_AT_ONCE)}"
        f" > {MUSTS['http']:g}",
        during="5m",
        severity="info",
        summary=f"A call takes more than {1000 * MUSTS['http']:g} ms (p95).",
        do=_BUSY,
    ),
    _Rule(
        name="MaestraMemory",
        when=f"maestra_session_memory_bytes > {MUSTS['memory']:g}",
        during="5m",
        severity="warning",
        summary="A session takes more than 2 GB of memory.",
        do="Stop it when its lesson allows, and report its event log.",
    ),
)


def rules() -> dict[str, Any]:
    """Prometheus' alerting rules."""
    return {
        "groups": [
            {
                "name": "maestra",
                "rules": [
                    {
                        "alert": rule.name,
                        "expr": rule.when,
                        "for": rule.during,
                        "labels": {"severity": rule.severity},
                        "annotations": {"summary": rule.summary, "description": rule.do},
                    }
                    for rule in _RULES
                ],
            }
        ]
    }


# --- the dashboard ------------------------------------------------------------


@frozen(kw_only=True)
class _Panel:
    """``shows`` are legends and their PromQL; ``must`` is drawn as a line."""

    title: str
    about: str
    shows: Mapping[str, str]
    unit: str = "short"
    must: float | None = None
    kind: str = "timeseries"
    width: int = 8
    height: int = _HEIGHT


def _latency(title: str, metric: str, about: str) -> _Panel:
    return _Panel(
        title=title,
        about=about,
        shows={
            "p50": _p(0.5, f"{metric}_seconds"),
            "p95": _p(0.95, f"{metric}_seconds"),
        },
        unit="s",
        must=MUSTS[metric],
    )


def _now(title: str, about: str, query: str, unit: str = "short") -> _Panel:
    return _Panel(
        title=title, about=about, shows={"": query}, unit=unit, kind="stat", width=4, height=4
    )


_ROWS: Final[Mapping[str, Sequence[_Panel]]] = {
    "Now": (
        _now("Lessons", "Sessions that run.", 'sum(maestra_sessions{state="running"})'),
        _now("Room for", "The most sessions at once.", "max(maestra_sessions_most)"),
        _now(
            "Slowest picture rate",
            "Of all lessons.",
            "min(maestra_fps)",
        ),
        _now(
            "Steady seconds",
            "Share of seconds with 24 pictures or more (fps stability).",
            'sum(increase(maestra_output_seconds_total{steady="yes"}[1h]))'
            " / sum(increase(maestra_output_seconds_total[1h]))",
            "percentunit",
        ),
        _now("Wakes", "In the last hour.", "sum(increase(maestra_wakes_total[1h]))"),
        _now(
            "Crashed or hung",
            "Sessions, in the last day.",
            'sum(increase(maestra_sessions_ended_total{cause=~"crashed|hung"}[1d]))',
        ),
    ),
    "How quick she is": (
        _latency("Wake latency", "wake_latency", "End of a wake phrase to the first sound."),
        _latency(
            "Turn-taking latency",
            "turn_taking_latency",
            "End of a follow-up question to the first sound.",
        ),
        _latency("Barge-in latency", "barge_in_latency", "Onset of speech or music to silence."),
        _Panel(
            title="Where a reply's time goes",
            about="p95 of each stage.",
            shows={"{{stage}}": _p(0.95, "reply_stage_seconds", by="stage")},
            unit="s",
        ),
        _Panel(
            title="Time to draw a second of speech",
            about="The face's render_rtf. Above 1 it cannot keep up, and draws fewer pictures.",
            shows={"p50": _p(0.5, "render_rtf"), "p95": _p(0.95, "render_rtf")},
            must=MUSTS["render_rtf"],
        ),
        _Panel(
            title="Time to speak a second of sound",
            about="Above 1 the voice cannot keep up.",
            shows={"p50": _p(0.5, "voice_rtf"), "p95": _p(0.95, "voice_rtf")},
            must=MUSTS["voice_rtf"],
        ),
    ),
    "What she does": (
        _Panel(
            title="Replies by how they ended",
            about="A minute.",
            shows={"{{cause}}": "60 * sum by (cause) (rate(maestra_replies_total[5m]))"},
        ),
        _Panel(
            title="Silent for nothing",
            about="Suspected interruptions that were none, a minute.",
            shows={
                "{{cause}}": "60 * sum by (cause) (rate(maestra_false_interruptions_total[5m]))"
            },
        ),
        _Panel(
            title="Backends",
            about="Failures, and who took over, a minute.",
            shows={
                "{{port}} failed": "60 * sum by (port) (rate(maestra_adapter_failures_total[5m]))",
                "{{port}} replaced": "60 * sum by (port) (rate(maestra_fallbacks_total[5m]))",
            },
        ),
    ),
    "Pictures and sound": (
        _Panel(
            title="Pictures a second",
            about="Of each lesson.",
            shows={"{{session}}": "maestra_fps"},
            must=24,
        ),
        _Panel(
            title="Waiting in the queue",
            about="Seconds of slices that are made and not yet written.",
            shows={"{{session}}": "maestra_queued_seconds"},
            unit="s",
        ),
        _Panel(
            title="Missed, held and late",
            about="Slices a second.",
            shows={
                "underruns": "sum(rate(maestra_underruns_total[1m]))",
                "held": "sum(rate(maestra_frames_held_total[1m]))",
                "late": "sum(rate(maestra_slices_late_total[1m]))",
            },
        ),
        _latency(
            "Sound ahead of the picture",
            "av_offset",
            "As they are put out; the most in each second in which she spoke.",
        ),
        _Panel(
            title="Connections",
            about="1: well; 0: gone. Of each lesson that runs.",
            shows={"{{port}} of {{session}}": "maestra_connection_ok"},
        ),
    ),
    "The machine and the service": (
        _Panel(
            title="Memory of each lesson",
            about="All its processes.",
            shows={"{{session}}": "maestra_session_memory_bytes"},
            unit="bytes",
            must=MUSTS["memory"],
        ),
        _Panel(
            title="GPU memory of each lesson",
            about="Nothing where there is no NVIDIA GPU.",
            shows={"{{session}}": "maestra_gpu_memory_bytes"},
            unit="bytes",
        ),
        _Panel(
            title="Calls",
            about="p95 of the time to answer, by route.",
            shows={
                "{{route}}": _p(0.95, "http_request_duration_seconds", by="route"),
            },
            unit="s",
            must=MUSTS["http"],
        ),
        _Panel(
            title="Sessions by state",
            about="",
            shows={"{{state}}": "sum by (state) (maestra_sessions)"},
        ),
        _Panel(
            title="Ends and refusals",
            about="In five minutes.",
            shows={
                "ended: {{cause}}": "sum by (cause) (increase(maestra_sessions_ended_total[5m]))",
                "refused: {{cause}}": "sum by (cause) (increase(maestra_starts_refused_total[5m]))",
            },
        ),
        _Panel(
            title="Connections that came back; warnings",
            about="In five minutes.",
            shows={
                "{{port}} is back": "sum by (port)"
                " (increase(maestra_connections_restored_total[5m]))",
                "warned by {{source}}": "sum by (source) (increase(maestra_warnings_total[5m]))",
            },
        ),
        _Panel(
            title="What bounds the lessons",
            about="How many may run, by each bound: the smallest counts.",
            shows={"{{by}}": "max by (by) (maestra_sessions_limit)"},
        ),
        _Panel(
            title="What one lesson takes of the processors",
            about="As was measured once, and of how many lessons may take all there is.",
            shows={
                "{{phase}}": "max by (phase) (maestra_lesson_processors)",
                "all lessons may take": "max(maestra_lessons_processors)",
            },
        ),
        _Panel(
            title="Memory that one lesson takes",
            about="As was measured once.",
            shows={"memory": "max(maestra_lesson_memory_bytes)"},
            unit="bytes",
        ),
    ),
}


def dashboard() -> dict[str, Any]:
    """Grafana's dashboard, to import; it asks which Prometheus to read."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in _ROWS.items():
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": _COLUMNS, "h": 1},
                "panels": [],
            }
        )
        y += 1
        x = deepest = 0
        for panel in row:
            if x + panel.width > _COLUMNS:
                x, y, deepest = 0, y + deepest, 0
            place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            panels.append(_panel(panel, len(panels) + 1, place))
            x, deepest = x + panel.width, max(deepest, panel.height)
        y += deepest
    return {
        "title": "Maestra",
        "uid": "maestra",
        "tags": ["maestra"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": panels,
    }


def _panel(panel: _Panel, number: int, place: Mapping[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    custom: dict[str, Any] = {}
    if panel.must is not None:
        steps.append({"color": "red", "value": panel.must})
        custom = {"thresholdsStyle": {"mode": "line"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "gridPos": dict(place),
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "custom": custom,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _DATASOURCE,
                "expr": query,
                "legendFormat": legend,
            }
            for place, (legend, query) in enumerate(panel.shows.items())
        ],
    }


# --- files --------------------------------------------------------------------

_SCRAPING: Final = """\
# A Prometheus that watches Maestra on the same machine. Give it the service's token:
#   prometheus --config.file prometheus.yml
# with the token in the file `token` beside this one, readable by Prometheus alone.
global:
  scrape_interval: 5s
  evaluation_interval: 15s

rule_files:
  - alerts.yml

scrape_configs:
  - job_name: maestra
    authorization:
      credentials_file: token
    static_configs:
      - targets: ["localhost:8080"]
"""


def files() -> Mapping[str, str]:
    """What belongs into ``deploy/``, by its place there."""
    return {
        "grafana/maestra.json": json.dumps(dashboard(), indent=1) + "\n",
        "prometheus/alerts.yml": json.dumps(rules(), indent=1) + "\n",
        "prometheus/prometheus.yml": _SCRAPING,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or say which of them are not as they would be.

    :returns: 0, or 1 where one differs.
    """
    parser = argparse.ArgumentParser(prog="python -m maestra.app.service.watchmen")
    parser.add_argument("folder", type=Path, help="where the files are: deploy")
    parser.add_argument("--check", action="store_true", help="write nothing; say what differs")
    options = parser.parse_args(arguments)
    differs = False
    for name, text in files().items():
        path = options.folder / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        if options.check:
            print(f"{path} is not as it would be made: leave out --check")
            differs = True
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"made {path}")
    return int(differs)


if __name__ == "__main__":
    sys.exit(main())
