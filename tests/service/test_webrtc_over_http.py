"""WHIP (RFC 9725) and WHEP as HTTP: what is answered, and with which headers."""

from __future__ import annotations

import httpx
import pytest

pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("aiortc")

from fakes.service import Caller

from maestra.app.service import webrtc

pytestmark = pytest.mark.anyio

SDP = {"Content-Type": "application/sdp"}


def offer(name: str = "-") -> bytes:
    return f"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns={name}\r\n".encode()


async def begun(caller: Caller, ingest: str = "whip:", publish: str = "whep:") -> dict[str, str]:
    """The links of a session that has begun."""
    body = {"rtmp_ingest_url": ingest, "rtmp_publish_url": publish}
    answer = await caller.post("start", body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["links"])


async def test_an_offer_is_answered_and_the_connection_is_ended(caller: Caller) -> None:
    links = await begun(caller)
    for way in ("whip", "whep"):
        answer = await caller.http.post(links[way], content=offer(), headers=SDP)
        assert answer.status_code == 201
        assert answer.headers["content-type"].partition(";")[0] == "application/sdp"
        assert answer.content == b"v=0\r\ns=answer\r\n"
        resource = answer.headers["location"]
        assert resource == f"{links[way]}/peer-of-{way}"
        assert (await caller.http.delete(resource)).status_code == 200
        gone = await caller.http.delete(f"{links[way]}/somebody")
        assert gone.status_code == 404
        assert gone.json()["type"].endswith("no-such-connection")


async def test_where_browsers_come_is_told_with_the_start(caller: Caller) -> None:
    assert {"whip", "whep"} <= set(await begun(caller))
    streamed = await begun(caller, "rtmp://localhost/live/a", "rtmp://localhost/live/b")
    assert "whep" in streamed and "whip" not in streamed


async def test_without_the_library_no_browser_is_promised_anything(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaint = "Browsers need maestra[browser]."
    monkeypatch.setattr("maestra.app.service.sessions.browsers_complaint", lambda: complaint)
    monkeypatch.setattr(webrtc, "find_spec", lambda _: None)
    links = await begun(caller, "rtmp://localhost/live/a", "rtmp://localhost/live/b")
    assert not {"whip", "whep"} & set(links)
    for body in (("whip:", "rtmp://localhost/x"), ("rtmp://localhost/x", "whep:")):
        answer = await caller.post(
            "start", {"rtmp_ingest_url": body[0], "rtmp_publish_url": body[1]}
        )
        assert answer.status_code == 422 and complaint in answer.json()["detail"]


async def test_what_is_an_input_is_no_output(caller: Caller) -> None:
    for ingest, publish in [("whep:", "whep:"), ("whip:", "whip:"), ("whip://x/y", "whep:")]:
        answer = await caller.post(
            "start", {"rtmp_ingest_url": ingest, "rtmp_publish_url": publish}
        )
        assert answer.status_code in (400, 422), answer.text


async def test_a_refusal_says_why(caller: Caller) -> None:
    links = await begun(caller)
    for reason, status in [
        ("malformed", 400),
        ("unsupported", 422),
        ("taken", 409),
        ("elsewhere", 409),
        ("full", 503),
        ("missing", 503),
        ("failed", 503),
    ]:
        for way in ("whip", "whep"):
            answer = await caller.http.post(links[way], content=offer(reason), headers=SDP)
            assert answer.status_code == status
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert answer.json()["detail"] == f"It is {reason}."
            # What is not installed will not be so in five seconds either.
            assert ("retry-after" in answer.headers) == (reason in ("full", "failed"))
            assert "location" not in answer.headers


async def test_what_is_no_offer_goes_no_further(caller: Caller) -> None:
    links = await begun(caller)
    place = links["whip"]
    answers: dict[str, httpx.Response] = {
        "not said to be one": await caller.http.post(place, json={"sdp": "v=0"}),
        "not said at all": await caller.http.post(place, content=offer()),
        "not text": await caller.http.post(place, content=b"v=0\xff\xfe", headers=SDP),
        "too long": await caller.http.post(place, content=b"v" * 70_000, headers=SDP),
        "of no session": await caller.http.post("/session/x/whip", content=offer(), headers=SDP),
        "of another page": await caller.http.post(
            place, content=offer(), headers={**SDP, "Origin": "http://evil.example"}
        ),
    }
    async with httpx.AsyncClient(base_url=caller.service.address) as stranger:
        answers["without the token"] = await stranger.post(place, content=offer(), headers=SDP)
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "not said to be one": 415,
        "not said at all": 415,
        "not text": 400,
        "too long": 413,
        "of no session": 404,
        "of another page": 403,
        "without the token": 401,
    }


async def test_nothing_is_trickled_and_nothing_restarted(caller: Caller) -> None:
    links = await begun(caller)
    for way in ("whip", "whep"):
        answer = await caller.http.patch(
            f"{links[way]}/peer-of-{way}",
            content=b"a=ice-ufrag:x\r\n",
            headers={"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"},
        )
        assert answer.status_code == 501  # RFC 9725, 4.3.1: the session knows no PATCH
        # Nor is it promised: an answer has no entity tag.
        made = await caller.http.post(links[way], content=offer(), headers=SDP)
        assert "etag" not in made.headers


async def test_what_may_be_posted_is_said_and_nothing_else_is_taken(caller: Caller) -> None:
    links = await begun(caller)
    for way in ("whip", "whep"):
        options = await caller.http.options(links[way])
        assert options.is_success
        assert options.headers["accept-post"] == "application/sdp"
        for method in ("GET", "HEAD", "PUT"):
            answer = await caller.http.request(method, links[way])
            assert answer.status_code == 405
            assert "POST" in answer.headers["allow"]
            assert (
                await caller.http.request(method, f"{links[way]}/peer-of-{way}")
            ).status_code == 405


async def test_a_session_that_is_over_answers_no_browser(caller: Caller) -> None:
    links = await begun(caller)
    await caller.post("stop")
    for way in ("whip", "whep"):
        late = await caller.http.post(links[way], content=offer(), headers=SDP)
        assert late.status_code == 409
        assert (await caller.http.delete(f"{links[way]}/peer-of-{way}")).status_code == 409
