"""Passwords are hidden where they are said, and nowhere else."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

from fakes.service import Caller, start_body

from maestra.app.service.logs import Secrets

pytestmark = pytest.mark.anyio


async def test_a_password_that_is_found_everywhere_harms_no_session(caller: Caller) -> None:
    """It is hidden where somebody may have said it, and numbers and names stay what they are."""
    begun = []
    for password in ("1234", "type", "warning"):
        ingest = f"rtmp://admin:{password}@localhost/live/sums"
        answer = await caller.post("start", {**start_body(), "rtmp_ingest_url": ingest})
        begun.append(answer.json()["session_id"])
    for session in begun:
        assert (await caller.post("config", {"session_id": session})).is_success
        (told,) = (
            json.loads(data)
            for _, kind, data in caller.service.sessions.get(session).events.after(0, 9)
            if kind == "warning"
        )
        assert (told["type"], told["text"]) == ("warning", "*** is gone")
        assert (told["wall"], told["t"], told["n"]) == (81234.25, 1234.5, [1234, 1234.5])
    assert [one.id for one in caller.service.sessions.present()] == begun
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
