"""What every request passes, asked over real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any, TypeVar
from unittest import mock
from urllib.parse import quote

import anyio
import pytest

pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

import httpx
import uvicorn
from fakes.service import TOKEN, Caller, calling, start_body
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from litestar.routes import HTTPRoute
from uvicorn.server import ServerState

from maestra.app.config import load
from maestra.app.service import connections, gate, server
from maestra.app.service.api import application
from maestra.app.service.connections import Connections, HttpConnection
from maestra.app.service.gate import MOST_BYTES, SDP_PATHS

pytestmark = pytest.mark.anyio


async def test_without_the_token_nothing_is_told(caller: Caller) -> None:
    async with httpx.AsyncClient(base_url=caller.service.address) as stranger:
        for path in ("/sessions", "/personas", "/metrics", "/openapi.json", "/.schema", "/nowhere"):
            for token in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": f"Basic {TOKEN}"},
            ):
                answer = await stranger.get(path, headers=token)
                assert answer.status_code == 401, path
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert "Authorization: Bearer" in answer.json()["detail"]
        assert (await stranger.post("/session/start", json=start_body())).status_code == 401
        assert (await stranger.get("/healthz")).json() == {"status": "ok"}
        assert (await stranger.get("/readyz")).status_code == 200
    assert (await caller.http.get("/sessions")).json()["sessions"] == []


async def test_every_answer_carries_an_id_and_the_security_headers(caller: Caller) -> None:
    for path in ("/sessions", "/nowhere", "/session/none"):
        answer = await caller.http.get(path, headers={"X-Request-ID": "mine-7"})
        assert answer.headers["x-request-id"] == "mine-7"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control")]
    odd = await caller.http.get("/nowhere", headers={"X-Request-ID": "a b\tc"})
    assert odd.headers["x-request-id"] != "a b\tc"
    assert odd.json()["request_id"] == odd.headers["x-request-id"]


async def test_every_request_is_logged_under_its_id(caller: Caller) -> None:
    odd = "/nowhere%C2%85%C2%9B31m%0A?key=hunter22"
    asked: dict[str, tuple[str, dict[str, str]]] = {
        "one": ("/sessions", {}),
        "two": (odd, {}),
        "three": ("/sessions", {"Authorization": "x"}),
    }
    for name, (path, headers) in asked.items():
        await caller.http.get(path, headers={"X-Request-ID": name, **headers})

    told = caller.log.getvalue()
    assert told.isascii() and all(c.isprintable() or c == "\n" for c in told)
    assert "hunter22" not in told and TOKEN not in told
    logged = {each["request_id"]: each for each in map(json.loads, told.splitlines())}
    statuses = [logged[name]["status"] for name in asked]
    assert statuses == [200, 404, 401]
    for each in logged.values():
        assert {"time", "level", "method", "path", "seconds", "client"} <= each.keys()


async def test_what_is_wrong_with_a_request_is_said_in_one_form(caller: Caller) -> None:
    http = caller.http
    asked = {
        404: http.get("/nowhere"),
        405: http.get("/session/start"),
        415: http.post("/session/start", content=b"a=b", headers={"Content-Type": "text/plain"}),
        413: http.post("/session/start", content=b" " * (MOST_BYTES + 1)),
        403: http.get("/sessions", headers={"Origin": "https://evil.example"}),
        400: http.post(
            "/session/start", content=b"{nonsense", headers={"Content-Type": "application/json"}
        ),
    }
    for status, request in asked.items():
        answer = await request
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == status
        assert problem["type"].startswith("urn:maestra:problem:")
        assert problem["detail"].endswith((".", "?")), problem
    assert (await http.get("/session/start")).headers["allow"]
    same = await http.get("/sessions", headers={"Origin": caller.service.address})
    assert same.is_success


_T = TypeVar("_T")

_ASKED = ("start", "config", "reset_context", "stop")

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
_FIELDS = st.sampled_from(
    ["session_id", "rtmp_ingest_url", "rtmp_publish_url", "persona_id", "performance", "window"]
)
_BODIES = st.one_of(
    st.binary(max_size=200),
    st.dictionaries(_FIELDS | st.text(max_size=8), _VALUES, max_size=4).map(
        lambda body: json.dumps(body).encode()  # with NaN, which JSON has not
    ),
    st.integers(1, 5000).map(lambda depth: b"[" * depth),
    st.sampled_from([b'{"a":1,"a":2}', b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b"[]", b"null"]),
)


def drawn(strategy: st.SearchStrategy[_T], count: int) -> list[_T]:
    """So many examples, always the same."""
    found: list[_T] = []

    @settings(max_examples=count, derandomize=True, database=None, phases=[Phase.generate])
    @given(strategy)
    def keep(one: _T) -> None:
        found.append(one)

    keep()
    return found


async def test_no_body_and_no_token_breaks_it(caller: Caller) -> None:
    async def send(what: str, body: bytes, token: bytes) -> httpx.Response:
        headers = {b"Content-Type": b"application/json", b"Authorization": b"Bearer " + token}
        return await caller.http.post(f"/session/{what}", content=body, headers=headers)

    for number, body in enumerate(drawn(_BODIES, 120)):
        answer = await send(_ASKED[number % 4], body, TOKEN.encode())
        assert answer.status_code in (400, 404, 413, 422), (body, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    for token in drawn(st.binary(max_size=40), 50):
        sent = bytes(byte for byte in token if byte > 32 and byte != 127) or b"x"
        assert (await send("stop", b"", sent)).status_code == 401
    assert "request failed" not in caller.log.getvalue()
    assert (await caller.http.get("/sessions")).json()["sessions"] == []


_ALL = [
    (method, route.path_format)
    for route in application(None).routes
    if isinstance(route, HTTPRoute)
    for method in sorted(route.methods)
]
_PARTS = st.sampled_from(
    ["%00", "%FF", "%ed%a0%80", "..", "%2e%2e", "console.js", "teacher_mary_v1", "{}", "x" * 300]
) | st.text(min_size=1, max_size=6).map(quote)


async def test_no_call_at_all_breaks_it(caller: Caller) -> None:
    odd = (b'{"code": "\\ud800"}', b"\xff", b"{")
    bodies = [*drawn(_BODIES, 2 * len(_ALL)), *(one for one in odd for _ in _ALL)]
    parts = drawn(_PARTS, 60)
    for number, body in enumerate(bodies):
        method, path = _ALL[number % len(_ALL)]
        for name in re.findall(r"\{[^}]+\}", path):
            path = path.replace(name, parts[(number + len(name)) % len(parts)])
        kind = "application/sdp" if path.endswith(SDP_PATHS) else "application/json"
        content = None if method in ("GET", "HEAD", "OPTIONS") else body
        answer = await caller.http.request(
            method, path, headers={"Content-Type": kind}, content=content
        )
        assert answer.status_code < 500 or answer.status_code == 501, (method, path, body)
        if answer.status_code >= 400 and method != "HEAD":
            assert answer.headers["content-type"] == "application/problem+json", (method, path)
    assert {path for _, path in _ALL} >= {"/console/enter", "/console/link", "/session/start"}
    assert "request failed" not in caller.log.getvalue()


async def test_what_is_no_code_is_said_to_be_none(caller: Caller) -> None:
    for body in (b"{", b"\xff", b'{"code": "\\ud800"}', b"[" * 5000):
        headers = {"Content-Type": "application/json"}
        answer = await caller.http.post("/console/enter", content=body, headers=headers)
        assert answer.status_code == 400, body[:20]
        assert answer.headers["content-type"] == "application/problem+json"


async def test_what_is_no_origin_is_another_one(caller: Caller) -> None:
    odd = ("http://[", "http://a]b", "http://a\u2100b", "null", "", "x", "http://", "\xff")
    for origin in odd:
        headers = {b"Origin": origin.encode("latin-1", "replace")}
        answer = await caller.http.get("/sessions", headers=headers)
        assert answer.status_code == 403, origin
    assert "request failed" not in caller.log.getvalue()


async def test_what_strangers_invent_is_not_counted_for_itself(caller: Caller) -> None:
    for number in range(20):
        for path in (f"/nowhere{number}", f"/session/{number}", f"/session/{number}/whep"):
            answer = await caller.http.request(f"ODD{number}", path, headers={"Authorization": ""})
            assert answer.status_code == 401
            await caller.http.get(path)

    counted = re.findall(
        r'duration_seconds_count\{method="(\w+)",route="([^"]+)",status="(\d+)"\}',
        (await caller.http.get("/metrics")).text,
    )
    assert {method for method, _, _ in counted} == {"GET", "other"}
    assert len(counted) <= 5, counted


async def test_what_goes_wrong_in_it_is_logged_and_not_told(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise KeyError("hunter22")

    monkeypatch.setattr(caller.service.sessions, "all", fail)
    answer = await caller.http.get("/sessions", headers={"X-Request-ID": "seven"})

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:maestra:problem:internal"
    assert "hunter22" not in answer.text
    logged = [json.loads(line) for line in caller.log.getvalue().splitlines()]
    (failed,) = [line for line in logged if line["event"] == "request failed"]
    assert failed["request_id"] == "seven" and "KeyError" in failed["exception"]


async def test_a_body_that_does_not_say_how_long_it_is_is_cut_off(caller: Caller) -> None:
    host, port = caller.service.address.removeprefix("http://").split(":")
    head = (
        f"POST /session/stop HTTP/1.1\r\nHost: localhost:{port}\r\n"
        f"Authorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    with anyio.fail_after(5):
        async with await anyio.connect_tcp(host, int(port)) as stream:
            await stream.send(head.encode() + chunk * (MOST_BYTES // 0x1000 + 1))
            assert b" 413 " in (await stream.receive()).partition(b"\r\n")[0]


async def test_what_cannot_be_a_start_is_refused(caller: Caller) -> None:
    wrong: list[tuple[dict[str, object], int]] = [
        ({}, 400),
        ({"rtmp_ingest_url": 7, "rtmp_publish_url": []}, 400),
        ({**start_body(), "config": {}}, 400),
        ({**start_body(), "persona_id": "../../etc"}, 422),
        ({**start_body(), "rtmp_ingest_url": "/etc/passwd"}, 422),
        ({**start_body(), "rtmp_ingest_url": "file:///etc/passwd"}, 422),
        ({**start_body(), "rtmp_publish_url": "rtmp://169.254.169.254/live/x"}, 422),
        ({**start_body(), "rtmp_publish_url": "rtmp://inside.example.com/live/x"}, 422),
        ({**start_body(), "rtmp_publish_url": "rtmp://u:hunter22@inside.example.com/a/b"}, 422),
    ]
    for body, status in wrong:
        answer = await caller.post("start", body)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert "hunter22" not in answer.text
    assert (await caller.http.get("/sessions")).json()["sessions"] == []


async def test_secrets_are_told_to_nobody(caller: Caller) -> None:
    secret = "rtmp://ann:hunter22@localhost/live/{}?sign=0123456789abcdef"
    for how in ("talk", "refuse"):
        body = {**start_body(), "rtmp_ingest_url": secret.format(how)}
        session = (await caller.post("start", body)).json()["session_id"]
        lesson = caller.service.sessions.get(session)
        if how == "talk":
            await caller.post("config", {})
            await caller.post("stop")
        status = await caller.over(session)
        told = json.dumps(status) + repr(lesson.complaints) + repr(lesson.events.after(0, 100))
        for path in ("/sessions", "/metrics", f"/session/{session}/events"):
            told += (await caller.http.get(path)).text
        told += (await caller.post("config", {"session_id": session})).text
        logged = caller.log.getvalue()
        assert "session ended" in logged  # or nothing was looked at
        told += logged
        for part in ("hunter22", "0123456789abcdef", TOKEN):
            assert part not in told, (how, part)
    assert "***" in told


async def test_an_insecure_service_answers_to_its_own_name_only() -> None:
    async with calling(token=None) as caller:
        port = caller.service.address.rpartition(":")[2]
        asked = {
            f"localhost:{port}": 200,
            f"LOCALHOST:{port}": 200,
            f"127.0.0.1:{port}": 200,
            f"[::1]:{port}": 200,
            f"rebound.example:{port}": 421,
            "": 421,
            "[": 421,
            "[::1": 421,
            "[localhost]": 421,
            "localhost:x": 421,
            "rebound.example@localhost": 421,
            "localhost/rebound.example": 421,
        }
        for host, status in asked.items():
            answer = await caller.http.get("/sessions", headers={"Host": host, "Authorization": ""})
            assert answer.status_code == status, host


def test_a_service_that_asks_for_no_token_is_this_machines_alone() -> None:
    assert load(environ={}).config.service.host == "127.0.0.1"
    for host in ("0.0.0.0", "::", "10.1.2.3", "teacher.example"):
        open_to_all = load(environ={}, assignments=[f"service.host={host}"])
        with pytest.raises(server.ServiceError, match="--insecure is for this machine alone"):
            server.serve(open_to_all, insecure=True)


async def test_who_dawdles_is_hung_up_on(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_WITHIN", 0.3)
    host, port = caller.service.address.removeprefix("http://").split(":")
    head = f"POST /session/stop HTTP/1.1\r\nHost: localhost:{port}\r\nX-Request-ID: 7\r\n"
    with anyio.fail_after(5):
        for begun in (b"", b"GET / HT", head.encode()):
            async with await anyio.connect_tcp(host, int(port)) as stream:
                if begun:
                    await stream.send(begun)
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    while b"408" not in await stream.receive():
                        pass


async def test_who_does_not_take_what_it_asked_for_is_hung_up_on(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_TAKES_WITHIN", 0.2)
    port = int(caller.service.address.rpartition(":")[2])
    asked = f"GET /console/score.js HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", port))
        plain.setblocking(False)
        plain.send(asked * 100)
        with anyio.fail_after(10), pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                await anyio.sleep(0.02)
                with suppress(BlockingIOError):
                    plain.send(b"x")


class Pipe(asyncio.Transport):
    """A connection whose client takes what the test says."""

    waits = 0
    aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self.aborted

    def write(self, data: Any) -> None:
        self.waits += len(data)

    def get_write_buffer_size(self) -> int:
        return self.waits

    def abort(self) -> None:
        self.aborted = True


async def test_who_is_slow_gets_its_answer() -> None:
    later: list[Callable[[], None]] = []

    def call_later(seconds: float, do: Callable[..., None], *given: Any) -> mock.Mock:
        later.append(partial(do, *given))
        return mock.Mock()

    loop = mock.Mock(call_later=call_later)
    config = uvicorn.Config(mock.Mock(), log_config=None)
    config.load()
    one = HttpConnection(
        Connections(9),
        mock.Mock(),
        config=config,
        server_state=ServerState(),
        app_state={},
        _loop=loop,
    )
    pipe = Pipe()
    one.connection_made(pipe)
    del later[:]  # which waits for the head
    one.transport.write(b"x" * 1000)
    for _ in range(5):
        pipe.waits -= 10  # it takes some,
        one.transport.write(b"x" * 50)  # and there is ever more
        later.pop()()
        assert not pipe.aborted
    pipe.waits = 0
    later.pop()()
    assert not later  # nothing waits, and nobody is waited for
    one.transport.write(b"x")
    later.pop()()
    assert pipe.aborted


async def test_strangers_push_out_each_other_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_CONNECTIONS", 6)
    async with calling() as caller, AsyncExitStack() as stack:
        known = await caller.http.get("/sessions")
        host, port = caller.service.address.removeprefix("http://").split(":")
        strangers = []
        for _ in range(5):
            stream = await anyio.connect_tcp(host, int(port))
            strangers.append(await stack.enter_async_context(stream))
            assert (await caller.http.get("/sessions")).status_code == 200
        with anyio.fail_after(5):
            for stream in strangers[:2]:
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await stream.receive()
            await strangers[2].send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in await strangers[2].receive()
        same = await caller.http.get("/sessions")
        ports = {
            answer.extensions["network_stream"].get_extra_info("client_addr")
            for answer in (known, same)
        }
        assert len(ports) == 1  # the caller never had to come again


async def test_who_is_too_many_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_CONNECTIONS", 2)
    async with calling() as caller, AsyncExitStack() as stack:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        others = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=caller.service.address, headers=headers)
            )
            for _ in range(2)
        ]
        assert (await caller.http.get("/sessions")).status_code == 200
        assert (await others[0].get("/sessions")).status_code == 200
        refused = await others[1].get("/sessions", headers={"X-Request-ID": "third"})
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["retry-after"] and refused.headers["connection"] == "close"
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert (await others[1].get("/healthz")).status_code == 200
        counted = (await caller.http.get("/metrics")).text  # who was there already stays
        assert 'route="none",status="503"} 1.0' in counted
        assert '"request_id": "third"' in caller.log.getvalue()


async def test_what_is_no_http_is_answered_as_all_else(caller: Caller) -> None:
    host, port = caller.service.address.removeprefix("http://").split(":")
    sent = {
        "no head": b"\x16\x03\x01 nonsense\r\n\r\n",
        "too long": b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000,
        "no length": b"POST /console/enter HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/json\r\n\r\nnonsense\r\n",
    }
    for what, text in sent.items():
        answer = b""
        with anyio.fail_after(5):
            async with await anyio.connect_tcp(host, int(port)) as stream:
                await stream.send(text)
                with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    while True:
                        answer += await stream.receive()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b" 400 " in head.partition(b"\r\n")[0], what
        assert b"application/problem+json" in head and b"nosniff" in head, what
        problem = json.loads(body)
        assert problem["request_id"] in caller.log.getvalue(), what
        assert b"x-request-id: " + problem["request_id"].encode() in head, what
    assert 'method="other",route="none",status="400"' in (await caller.http.get("/metrics")).text
    assert "Exception in ASGI" not in caller.log.getvalue()


async def test_a_body_that_dribbles_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate.Gate.__init__, "__kwdefaults__", {"body_within": 0.3})
    async with calling() as caller:
        host, port = caller.service.address.removeprefix("http://").split(":")
        head = (
            f"POST /session/stop HTTP/1.1\r\nHost: localhost:{port}\r\n"
            f"Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
            "Content-Length: 1000\r\n\r\n{"
        )
        with anyio.fail_after(5):
            async with await anyio.connect_tcp(host, int(port)) as stream:
                await stream.send(head.encode())
                answer = await stream.receive()
                assert b" 408 " in answer.partition(b"\r\n")[0]


async def test_half_a_request_is_none(caller: Caller) -> None:
    session = await caller.start()
    host, port = caller.service.address.removeprefix("http://").split(":")
    head = (
        f"POST /session/stop HTTP/1.1\r\nHost: localhost:{port}\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Length: 30\r\n\r\n"
    )
    async with await anyio.connect_tcp(host, int(port)) as stream:
        await stream.send(head.encode())
    await caller.post("config", {})  # by now the half has been dealt with, too

    assert (await caller.http.get(f"/session/{session}")).json()["state"] == "running"
