"""Traces, as a collector gets them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from fakes.turn import ANCHOR, begun, wake_turn
from opentelemetry.sdk.trace import TracerProvider
from servers.otlp import Collector, attributes, collecting

from maestra.app import tracing as module
from maestra.app.config import Config, ConfigError, load
from maestra.app.dependencies import NotInstalled
from maestra.app.tracing import tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as one:
        yield one


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are sent at once, and nothing of the machine's environment is meant."""
    monkeypatch.setattr(module, "_EVERY", 10)
    monkeypatch.setattr(module, "_FLUSH_WITHIN", 5.0)
    for name in (*module._ENDPOINTS, *module._HEADERS, "OTEL_SERVICE_NAME", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


def config(*settings: str) -> Config:
    return load(environ={}, assignments=[f"service.{one}" for one in settings]).config


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_turn_is_a_trace_with_its_stages_in_it(collector: Collector) -> None:
    said: list[str] = []
    outer = TracerProvider(shutdown_on_exit=False).get_tracer("of the embedding program")
    with (
        tracing(config(f"traces={collector.address}"), say=said.append) as traces,
        outer.start_as_current_span("theirs"),
    ):
        assert traces is not None
        traced = traces.session("lesson-7", traceparent=PARENT)
        for each in [begun(), *wake_turn(), *wake_turn(2)]:
            traced.take(each)

    assert not said
    assert {"/v1/traces"} == set(collector.paths)
    assert "maestra" == collector.resources[0]["service.name"]
    first, second = collector.named("turn")
    assert first.trace_id != second.trace_id
    of_first = [span for span in collector.spans if span.trace_id == first.trace_id]
    assert {
        *("turn", "speech", "summary", "brain", "voice", "transcript", "endpointing"),
        *("playout", "face", "speaking", "paused", "barge-in"),
    } == {span.name for span in of_first}
    assert not first.parent_span_id
    assert {first.span_id} == {one.parent_span_id for one in of_first if one is not first}
    assert {"maestra.session.id": "lesson-7", "maestra.epoch": 1}.items() <= attributes(
        first
    ).items()
    (link,) = first.links
    assert PARENT == f"00-{link.trace_id.hex()}-{link.span_id.hex()}-01"
    now = time.time() - time.monotonic() + ANCHOR
    assert 8.0 == pytest.approx(first.start_time_unix_nano / 1e9 - now, abs=0.05)
    assert 4.0 == pytest.approx((first.end_time_unix_nano - first.start_time_unix_nano) / 1e9)
    (voice,) = [one for one in of_first if one.name == "voice"]
    assert ["first sound"] == [event.name for event in voice.events]
    assert b"SAID" not in b"".join(span.SerializeToString() for span in collector.spans)


@pytest.mark.parametrize(
    "text", ["", "nonsense", PARENT.replace("0af7", "0AF7"), f"ff{PARENT[2:]}"]
)
def test_what_is_no_traceparent_is_passed_over(collector: Collector, text: str) -> None:
    with tracing(config(f"traces={collector.address}"), say=pytest.fail) as traces:
        assert traces is not None
        traced = traces.session("a", traceparent=text)
        for each in wake_turn():
            traced.take(each)

    assert not collector.named("turn")[0].links


def test_without_an_address_there_are_no_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    with tracing(config(), say=pytest.fail) as traces:
        assert traces is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with tracing(config(), say=pytest.fail) as traces:
        assert traces is None


def test_what_every_program_reads_from_the_environment_is_read(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=hunter22")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    with tracing(config(), say=pytest.fail) as traces:
        assert traces is not None
        traced = traces.session("a")
        for each in wake_turn():
            traced.take(each)

    assert "hunter22" == collector.headers[0]["x-key"]
    assert "mine" == collector.resources[0]["service.name"]


def test_a_collector_that_refuses_is_told_of_once_and_without_its_key(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20Unauthorized")
    collector.answers[:] = [401, 401]
    with tracing(config(f"traces={collector.address}/v1/traces"), say=said.append) as traces:
        assert traces is not None
        traced = traces.session("a")
        for count in (1, 2, 3):
            for each in wake_turn():
                traced.take(each)
            until(lambda count=count: len(collector.paths) >= count)  # type: ignore[misc]

    assert 2 == len(said), said
    assert "401" in said[0] and "Unauthorized" not in said[0]  # the reason is the key, here
    assert "again" in said[1]
    assert collector.named("turn")


@pytest.mark.parametrize("how", ["dead", "hangs"])
def test_a_collector_that_is_away_costs_nothing(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(module, "_FLUSH_WITHIN", 0.3)
    said: list[str] = []
    threads = threading.active_count()
    address = collector.address
    if how == "dead":
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    collector.open.clear()
    with tracing(config(f"traces={address}"), say=said.append) as traces:
        assert traces is not None
        traced = traces.session("a")
        begun_at = time.monotonic()
        for _ in range(300):  # more spans than may wait
            for each in wake_turn():
                traced.take(each)
        taken = time.monotonic() - begun_at
        closing = time.monotonic()

    assert time.monotonic() - closing < 2.0
    assert taken < 300 * 0.05
    assert said
    collector.open.set()
    until(lambda: threading.active_count() <= threads + 1)  # the collector's own may linger


def test_a_turn_that_cannot_be_told_does_not_hurt_the_lesson(collector: Collector) -> None:
    said: list[str] = []
    with tracing(config(f"traces={collector.address}"), say=said.append) as traces:
        assert traces is not None
        traced = traces.session("a")
        for each in wake_turn():
            traced.take({**each, "epoch": "one", "silence_at": None, "latency": None})

    assert said and "SAID" not in said[0]


def test_what_is_missing_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "installed_version", lambda name: None)
    with pytest.raises(NotInstalled, match=r"pip install 'maestra\[tracing\]'"):
        with tracing(config("traces=http://localhost:4318"), say=pytest.fail):
            pass
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with tracing(config(), say=pytest.fail) as traces:  # it is meant for others, too
        assert traces is None


def test_a_key_is_not_sent_where_others_can_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=hunter22")
    with pytest.raises(ConfigError, match="unencrypted") as refused:
        with tracing(config("traces=http://collector.example:4318"), say=pytest.fail):
            pass
    assert "hunter22" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["localhost:4318", "ftp://localhost", "http://", "http://user:word@localhost:4318"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"service\.traces") as refused:
        config(f"traces={address}")
    assert "word" not in str(refused.value).replace("password", "")
