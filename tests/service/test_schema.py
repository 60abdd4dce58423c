"""The schema, and whether the service keeps to it."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

import httpx
from fakes.service import TOKEN, Served, calling, served, start_body

from maestra.app import personas
from maestra.app.config import options
from maestra.app.service import api
from maestra.app.service.api import schema
from maestra.app.service.models import ConfigRequest
from maestra.app.service.schema import completed

ROOT = Path(__file__).parents[2]


def test_the_documented_schema_is_the_served_one() -> None:
    documented = json.loads((ROOT / "docs/reference/openapi.json").read_text(encoding="utf-8"))

    assert documented == json.loads(json.dumps(schema()))
    assert documented["openapi"].startswith("3.1")


@pytest.mark.anyio
async def test_the_schema_and_the_personas_do_not_keep_others_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made_in: list[threading.Thread] = []

    def noting(make: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any) -> Any:
            made_in.append(threading.current_thread())
            return make(*given)

        return noted

    monkeypatch.setattr(api, "completed", noting(completed))
    async with calling() as caller:
        monkeypatch.setattr(personas, "available", noting(personas.available))
        api._schema_text.cache_clear()
        first, second = [await caller.http.get("/openapi.json") for _ in range(2)]
        assert first.content == second.content
        assert first.json() == json.loads(json.dumps(schema()))
        assert len(made_in) == 2  # once for it, once for this test
        del made_in[:]
        assert (await caller.http.get("/personas")).is_success
        assert (await caller.http.get("/console/portrait/teacher_mary_v1")).is_success
    assert made_in and threading.main_thread() not in made_in


def test_every_setting_that_can_change_can_be_changed_over_http() -> None:
    live = [option.key.rpartition(".")[2] for option in options() if option.about["live"]]

    fields = [attribute.name for attribute in attrs.fields(ConfigRequest)]
    assert sorted(fields) == sorted(["session_id", *live])


def test_every_error_is_a_problem_and_every_call_has_a_use() -> None:
    for path, operations in schema()["paths"].items():
        for operation in operations.values():
            assert operation["summary"] and operation["description"], path
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("service")
    settings = ("starts_per_minute=10000", "max_sessions=3", 'hosts=["localhost", "*"]')
    with served(folder, *settings, fake=True) as one:
        yield one


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_schemathesis_finds_nothing(service: Served, request: pytest.FixtureRequest) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings

    schemathesis.serializer.alias("application/sdp", "text/plain")
    interface = schemathesis.openapi.from_dict(schema())
    headers = {"Authorization": f"Bearer {TOKEN}"}
    request.addfinalizer((http := httpx.Client(base_url=service.address, headers=headers)).close)
    session = str(http.post("/session/start", json=start_body()).json()["session_id"])
    checks = schemathesis.checks

    def ask(operation: Any, mode: Any) -> None:
        excluded = []
        if operation.path.endswith(("/start", "/whip", "/whep")):
            # What an address stands for, who teaches here, and what is an offer, no schema can say.
            excluded.append(checks.positive_data_acceptance)
        if operation.method == "patch":
            excluded.append(checks.not_a_server_error)  # 501 is what is documented
        numbers = itertools.count()

        @settings(
            max_examples=100,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def keeps_to_it(case: Any) -> None:
            if "session_id" in case.path_parameters and next(numbers) % 2:
                case.path_parameters["session_id"] = session
            answer = case.call_and_validate(
                base_url=service.address, headers=headers, excluded_checks=excluded
            )
            fresh = answer.status_code == 201 and "idempotent-replayed" not in answer.headers
            if operation.path == "/session/start" and fresh:
                begun = answer.json()["session_id"]  # there is no room for all of them
                assert http.post("/session/stop", json={"session_id": begun}).is_success

        keeps_to_it()

    asked = 0
    for result in interface.get_all_operations():
        operation = result.ok()
        if operation.path.endswith("/events"):
            continue  # it has no end
        ask(operation, schemathesis.GenerationMode.POSITIVE)
        if operation.method == "post":
            ask(operation, schemathesis.GenerationMode.NEGATIVE)
        asked += 1
    assert asked == sum(map(len, schema()["paths"].values())) - 1
    assert service.process.poll() is None
    assert not [line for line in service.logged() if line["event"] == "request failed"]
