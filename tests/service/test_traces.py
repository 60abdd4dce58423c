"""What a collector gets of the sessions that a service holds."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")
pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from fakes.service import calling, start_body
from servers.otlp import attributes, collecting

from maestra.app import tracing

pytestmark = pytest.mark.anyio

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_the_turns_of_a_session_are_linked_to_who_began_it() -> None:
    with collecting() as collector:
        async with calling(f"traces={collector.address}") as caller:
            body = start_body("turn?key=0123456789abcdef")
            begun = await caller.post("start", body, headers={"traceparent": PARENT})
            assert begun.status_code == 201
            alone = await caller.start("turn")
            for session in (begun.json()["session_id"], alone):
                await caller.post("config", {"session_id": session})
                await caller.post("stop", {"session_id": session})

    linked, other = collector.named("turn")
    assert attributes(linked)["maestra.session.id"] == begun.json()["session_id"]
    assert attributes(other)["maestra.session.id"] == alone
    assert [one.trace_id.hex() for one in linked.links] == [PARENT.split("-")[1]]
    assert not other.links
    assert [event.name for event in linked.events] == ["adapter_failed"]
    told = b"".join(span.SerializeToString() for span in collector.spans)
    for hidden in (b"0123456789abcdef", b"How was it", b"Well."):
        assert hidden not in told


async def test_a_service_whose_collector_is_away_serves_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracing, "_FLUSH_WITHIN", 0.2)
    with collecting() as collector:
        address = collector.address
    async with calling(f"traces={address}") as caller:
        session = await caller.start("turn")
        await caller.post("config", {})
        await caller.post("stop")
        assert (await caller.over(session))["ended"]["cause"] == "stopped"
    (said,) = [line for line in caller.log.getvalue().splitlines() if "traces" in line]
    assert json.loads(said)["level"] == "warning"
