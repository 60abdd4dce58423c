"""Passwords are hidden where they are said, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

from fakes.service import Caller, calling, start_body

from maestra.app.service.logs import Secrets

pytestmark = pytest.mark.anyio


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with calling() as one:
        yield one


@pytest.mark.parametrize("password", ["1234", "type", "warning"])
async def test_a_password_that_is_found_everywhere_harms_no_session(
    caller: Caller, password: str
) -> None:
    """It is hidden where somebody may have said it, and numbers and names stay what they are."""
    other = await caller.start("sums")
    ingest = f"rtmp://admin:{quote(password)}@localhost/live/sums"
    body = {**start_body(), "rtmp_ingest_url": ingest}
    session = (await caller.post("start", body)).json()["session_id"]
    for one in (session, other):
        assert (await caller.post("config", {"session_id": one})).is_success
    told = [
        json.loads(data)
        for one in (session, other)
        for _, kind, data in caller.service.sessions.get(one).events.after(0, 9)
        if kind == "warning"
    ]

    assert [(one["wall"], one["t"], one["n"]) for one in told] == 2 * [
        (81234.25, 1234.5, [1234, 1234.5])
    ]
    assert [one["type"] for one in told] == ["warning", "warning"]
    assert told[0]["text"] == "*** is gone"
    assert [one.id for one in caller.service.sessions.present()] == [other, session]
    for line in caller.log.getvalue().splitlines():
        assert json.loads(line)["level"] in ("info", "warning")


def test_a_secret_is_hidden_however_json_writes_it() -> None:
    secrets = Secrets()
    own = secrets.of_session(['pass"wörd'])
    said = {"text": 'pass"wörd', "pass": ["x pass\\u00f6"], "more": {"b": 'a pass\\"wörd'}}

    assert own.occur_in(json.dumps(said, ensure_ascii=False))
    assert own.hide_in(said) == {"text": "***", "pass": ["x pass\\u00f6"], "more": {"b": "a ***"}}
    assert secrets.hide('pass"wörd') == "***"
    assert not secrets.of_session(["another"]).occur_in('pass"wörd')
    secrets.forget(own)
    assert secrets.hide('pass"wörd') == 'pass"wörd'
