"""The figures that Prometheus reads, the dashboard and the rules: they know the same names."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("litestar")

from prometheus_client.parser import text_string_to_metric_families

from maestra.app.experiments.bench.figures import TARGETS
from maestra.app.service import gpu, measuring, watchmen
from maestra.app.service.capacity import Capacity
from maestra.app.service.measuring import Cost
from maestra.app.service.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"


def lesson() -> list[dict[str, Any]]:
    return [
        {"type": "wake", "phrase": "teacher, comment"},
        {"type": "question", "epoch": 1, "kind": "wake", "text": ""},
        {"type": "reply_started", "t": 8.0, "epoch": 1}
        | {"latency": {"brain": 0.01, "total": 0.62}},
        {"type": "spoken", "epoch": 1, "rtf": 0.2},
        {"type": "resumed", "epoch": 1, "cause": "speech", "silent": 0.4},
        {"type": "speech_started", "since": 10.0},
        {"type": "reply_stopped", "epoch": 1, "cause": "speech", "silence_at": 10.3},
        {"type": "question", "epoch": 2, "kind": "follow_up", "text": "How?"},
        {"type": "reply_started", "t": 14.0, "epoch": 2, "latency": {"total": 1.3}},
        {"type": "adapter_failed", "port": "publish", "text": "gone"},
        {"type": "connection_restored", "port": "publish", "after": 1.5},
        {"type": "adapter_switched", "port": "brain"},
        {"type": "warning", "source": "ingest", "text": "late"},
        *(
            {"type": "slice", "fps": fps, "held": 1, "underruns": 0, "late": 2, "queued": 0.4}
            | {"render_rtf": rtf, "av_offset": offset}
            for fps, rtf, offset in ((25.0, None, None), (23.0, 0.5, 0.08))
        ),
    ]


CAPACITY = Capacity(
    key="",
    cpu="",
    processors=2.0,
    cost=Cost(processors={"playing": 0.5}, busiest=1.0, memory=800_000_000, together=1.0),
    at="",
    load=0.0,
)


def told() -> Metrics:
    metrics = Metrics()
    for event in lesson():
        metrics.event("a", event)
    metrics.memory("a", 1.2e9)
    metrics.connection("a", "publish", False)
    metrics.gpu_memory("a", 3e9)
    metrics.limits(2, {"measured": 2})
    metrics.of_capacity(CAPACITY)
    metrics.sessions.labels("running").set(1)
    metrics.ended.labels("crashed").inc()
    metrics.refused.labels("full").inc()
    metrics.http.labels("GET", "/sessions", 200).observe(0.004)
    return metrics


def samples(metrics: Metrics) -> Mapping[str, float]:
    return {
        sample.name + ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_a_lesson_is_counted() -> None:
    found = samples(told())

    expected = {
        "maestra_wakes_total": 1,
        "maestra_wake_latency_seconds_bucketle=0.6": 0,
        "maestra_wake_latency_seconds_bucketle=0.7": 1,
        "maestra_turn_taking_latency_seconds_bucketle=1.2": 0,
        "maestra_turn_taking_latency_seconds_bucketle=1.5": 1,
        "maestra_barge_in_latency_seconds_count": 1,
        "maestra_false_interruptions_totalcause=speech": 1,
        "maestra_replies_totalcause=speech": 1,
        "maestra_adapter_failures_totalport=publish": 1,
        "maestra_connections_restored_totalport=publish": 1,
        "maestra_fallbacks_totalport=brain": 1,
        "maestra_output_seconds_totalsteady=yes": 1,
        "maestra_output_seconds_totalsteady=no": 1,
        "maestra_frames_held_total": 2,
        "maestra_render_rtf_count": 1,
        "maestra_render_rtf_bucketle=0.4": 0,
        "maestra_render_rtf_bucketle=0.6": 1,
        "maestra_voice_rtf_count": 1,
        "maestra_av_offset_seconds_bucketle=0.05": 0,
        "maestra_av_offset_seconds_bucketle=0.08": 1,
        "maestra_slices_late_total": 4,
        "maestra_fpssession=a": 23,
        "maestra_connection_okport=publish,session=a": 0,
        "maestra_gpu_memory_bytessession=a": 3e9,
        "maestra_session_memory_bytessession=a": 1.2e9,
    }
    assert expected == {name: found[name] for name in expected}


@pytest.mark.parametrize(
    ("onset", "counts"), [(10.0, False), (24.7, True), (25.1, False)], ids=["before", "in", "after"]
)
def test_only_what_begins_while_she_speaks_is_a_barge_in(onset: float, counts: bool) -> None:
    metrics = Metrics()
    for event in (
        {"type": "floor", "label": "playing", "since": onset},
        {"type": "reply_started", "t": 20.0, "epoch": 1, "latency": {"total": 0.6}},
        {"type": "reply_stopped", "epoch": 1, "cause": "music", "silence_at": 25.0},
        # Before this one has made a sound it is over.
        {"type": "reply_stopped", "epoch": 2, "cause": "music", "silence_at": 25.0},
    ):
        metrics.event("a", event)

    assert counts == samples(metrics)["maestra_barge_in_latency_seconds_count"]


def test_what_has_not_happened_yet_is_counted_too() -> None:
    """Prometheus sees an increase from 0 to 1, and none where a series begins with 1."""
    found = samples(Metrics())

    for name, value in {
        "sessions_ended_totalcause": "crashed",
        "starts_refused_totalcause": "memory",
        "adapter_failures_totalport": "voice",
        "fallbacks_totalport": "senses.asr",
        "connections_restored_totalport": "ingest",
        "replies_totalcause": "music",
        "false_interruptions_totalcause": "speech",
        "output_seconds_totalsteady": "no",
    }.items():
        assert 0 == found[f"maestra_{name}={value}"]


def test_every_cause_and_port_that_is_counted_was_told_of_from_the_beginning() -> None:
    counters = {name for name in samples(Metrics()) if "_total" in name}

    assert {name for name in samples(told()) if "_total" in name} - counters == {
        "maestra_warnings_totalsource=ingest"
    }


def test_a_session_that_is_over_has_no_figures_of_its_own() -> None:
    metrics = told()
    metrics.forget("a")
    metrics.forget("never there")

    assert "session=" not in metrics.text().decode()


def queries() -> Iterator[str]:
    for group in watchmen.rules()["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]
    for panel in watchmen.dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def test_dashboard_and_rules_ask_for_what_there_is() -> None:
    there: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(told().text().decode()):
        for sample in family.samples:
            there.setdefault(sample.name, set()).update(sample.labels)
    asked = set()
    for query in queries():
        names = set(re.findall(r"maestra_\w+", query))
        assert names or query.startswith("up{")
        assert names <= set(there), query
        for label in re.findall(r"\bby \(([^)]*)\)", query):
            used = {each.strip() for each in label.split(",")}
            assert all(used <= there[name] for name in names), query
        for name, matchers in re.findall(r"(maestra_\w+)\{([^}]*)\}", query):
            assert set(re.findall(r"(\w+)[=!]~?\"", matchers)) <= there[name], query
        asked |= {re.sub(r"_(bucket|total|sum|count)$", "", name) for name in names}
    kept = {re.sub(r"_(bucket|total|sum|count|created)$", "", name) for name in there}
    assert kept - asked == {"maestra_sessions_started"}


def test_what_is_promised_is_said_once() -> None:
    musts = {
        target.key: limit.must
        for target in TARGETS
        for limit in target.limits
        if limit.stat in ("p95", "share", "peak")
    }
    assert watchmen.MUSTS["wake_latency"] == musts["wake_latency"]
    assert watchmen.MUSTS["turn_taking_latency"] == musts["turn_taking_latency"]
    assert watchmen.MUSTS["barge_in_latency"] == musts["barge_in_speech"]
    assert 100 * watchmen.MUSTS["steady"] == musts["fps_stability"]
    assert watchmen.MUSTS["held"] == measuring._HELD
    assert watchmen.MUSTS["memory"] == 1e6 * musts["memory"]


@pytest.mark.parametrize(
    ("route", "counts"),
    [
        ("/sessions", True),
        ("/session/{session_id}", True),
        ("/session/{session_id}/summary", False),
        ("/session/config", False),
        ("/session/{session_id}/whip", False),
    ],
)
def test_calls_that_may_wait_for_a_session_are_not_slow(route: str, counts: bool) -> None:
    matcher = re.search(r'route!~"([^"]*)"', watchmen._AT_ONCE)
    assert matcher is not None
    assert (re.fullmatch(matcher[1], route) is None) is counts


def test_no_two_panels_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    numbers = []
    for panel in watchmen.dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
        numbers.append(panel["id"])
    assert len(set(numbers)) == len(numbers)


@pytest.mark.skipif(not DEPLOY.is_dir(), reason="an installed wheel has no deploy/")
def test_the_files_are_as_they_would_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == watchmen.main(["--check", str(DEPLOY)]), capsys.readouterr().out


def test_a_file_that_was_changed_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == watchmen.main([str(tmp_path)])
    (tmp_path / "prometheus" / "alerts.yml").write_text("{}")
    assert 1 == watchmen.main(["--check", str(tmp_path)])
    assert "alerts.yml is not as" in capsys.readouterr().out


PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="Prometheus is not installed: make system")
def test_prometheus_accepts_the_rules_and_they_fire(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    watchmen.main([str(tmp_path)])
    folder = tmp_path / "prometheus"
    (folder / "token").write_text("x")
    late = "maestra_wake_latency_seconds_bucket"
    offset = "maestra_av_offset_seconds_bucket"
    crashed = 'maestra_sessions_ended_total{cause="crashed"}'
    gone = 'maestra_connection_ok{session="a",port="publish"}'
    failed = 'maestra_adapter_failures_total{port="publish"}'
    seconds, held = 'maestra_output_seconds_total{{steady="{}"}}', "maestra_frames_held_total"
    full = 'maestra_starts_refused_total{cause="full"}'
    (folder / "test.yml").write_text(
        json.dumps(
            {
                "rule_files": ["alerts.yml"],
                "evaluation_interval": "1m",
                "tests": [
                    {
                        "interval": "1m",
                        "input_series": [
                            {"series": 'up{job="maestra"}', "values": "1x20 0x20"},
                            {"series": f'{late}{{le="1.8"}}', "values": "0x40"},
                            {"series": f'{late}{{le="2.0"}}', "values": "0+1x40"},
                            {"series": f'{late}{{le="+Inf"}}', "values": "0+1x40"},
                            {"series": f'{offset}{{le="0.05"}}', "values": "0+60x20 1200+30x20"},
                            {"series": f'{offset}{{le="0.08"}}', "values": "0+60x40"},
                            {"series": f'{offset}{{le="+Inf"}}', "values": "0+60x40"},
                            {"series": crashed, "values": "0x20 1x20"},
                            {"series": seconds.format("yes"), "values": "0+60x40"},
                            {"series": seconds.format("no"), "values": "0x40"},
                            {"series": held, "values": "0x20 480+480x20"},
                            {"series": gone, "values": "1x20 0x20"},
                            {"series": failed, "values": "0+2x40"},
                            {"series": full, "values": "0x20 1x20"},
                        ],
                        "alert_rule_test": [
                            {"eval_time": "10m", "alertname": "MaestraDown", "exp_alerts": []},
                            {
                                "eval_time": "30m",
                                "alertname": "MaestraDown",
                                "exp_alerts": [_fired("MaestraDown", job="maestra")],
                            },
                            {
                                "eval_time": "20m",
                                "alertname": "MaestraWakesLate",
                                "exp_alerts": [_fired("MaestraWakesLate")],
                            },
                            {
                                "eval_time": "21m",
                                "alertname": "MaestraConnectionGone",
                                "exp_alerts": [],
                            },
                            {
                                "eval_time": "22m",
                                "alertname": "MaestraConnectionGone",
                                "exp_alerts": [
                                    _fired("MaestraConnectionGone", session="a", port="publish")
                                ],
                            },
                            {
                                "eval_time": "30m",
                                "alertname": "MaestraBackendFails",
                                "exp_alerts": [],
                            },
                            {
                                "eval_time": "20m",
                                "alertname": "MaestraLipsLate",
                                "exp_alerts": [],
                            },
                            {
                                "eval_time": "38m",
                                "alertname": "MaestraLipsLate",
                                "exp_alerts": [_fired("MaestraLipsLate")],
                            },
                            {
                                "eval_time": "20m",
                                "alertname": "MaestraPicturesHeld",
                                "exp_alerts": [],
                            },
                            {
                                "eval_time": "30m",
                                "alertname": "MaestraPicturesHeld",
                                "exp_alerts": [_fired("MaestraPicturesHeld")],
                            },
                            {
                                "eval_time": "20m",
                                "alertname": "MaestraSessionsCrash",
                                "exp_alerts": [],
                            },
                            {
                                "eval_time": "23m",
                                "alertname": "MaestraSessionsCrash",
                                "exp_alerts": [_fired("MaestraSessionsCrash", cause="crashed")],
                            },
                            {
                                "eval_time": "23m",
                                "alertname": "MaestraFull",
                                "exp_alerts": [_fired("MaestraFull", cause="full")],
                            },
                        ],
                    }
                ],
            }
        )
    )
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "test.yml"]):
        done = subprocess.run([PROMTOOL, *command], cwd=folder, capture_output=True, text=True)
        assert 0 == done.returncode, done.stdout + done.stderr


def _fired(name: str, **labels: str) -> dict[str, Any]:
    (rule,) = [
        each
        for group in watchmen.rules()["groups"]
        for each in group["rules"]
        if each["alert"] == name
    ]
    told = {
        name: re.sub(r"{{ \$labels\.(\w+) }}", lambda found: labels[found[1]], text)
        for name, text in rule["annotations"].items()
    }
    return {"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": told}


# --- the GPU ----------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_gpu_memory_is_counted_by_process_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await gpu.by_group() is None

    program = tmp_path / "nvidia-smi"
    own = os.getpid()
    program.write_text(f"#!/bin/sh\necho '{own}, 300'\necho '{own}, 12'\necho '77, [N/A]'\n")
    program.chmod(0o755)
    assert {os.getpgid(0): 312 * 1024 * 1024} == await gpu.by_group()

    program.write_text("#!/bin/sh\nexit 9\n")
    assert await gpu.by_group() is None


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_driver_that_does_not_answer_once_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpu, "_EVERY", 0.0)
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexit 9\n")
    program.chmod(0o755)
    metrics, known = told(), []

    def tell(held: Mapping[int, int] | None) -> None:
        known.append(held)
        if held is None:
            metrics.no_gpu_memory()
            program.write_text(f"#!/bin/sh\necho '{os.getpid()}, 12'\n")
        else:
            program.unlink()  # and then there is none to ask

    with anyio.fail_after(10):
        await gpu.watch(tell)

    assert known == [None, {os.getpgid(0): 12 * 1024 * 1024}]
    assert "maestra_gpu_memory_bytes{" not in metrics.text().decode()
