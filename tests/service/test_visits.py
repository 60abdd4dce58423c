"""How a browser gets in: the link that works once, the cookie it buys, and whose requests that
cookie lets through."""

from __future__ import annotations

import io
from pathlib import Path

import anyio.to_thread
import httpx
import pytest

pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from fakes.service import TOKEN, Caller, calling, start_body

from maestra.app.cli import main
from maestra.app.service import tokens
from maestra.app.service.invitation import InvitationError, invitation
from maestra.app.service.logs import log_to
from maestra.app.service.server import Service, _invite
from maestra.app.service.visits import LINK_LASTS, VISIT_LASTS, Visits

pytestmark = pytest.mark.anyio


def browser(service: Service, **headers: str) -> httpx.AsyncClient:
    """As a page of the service asks: no token, its own origin."""
    ours = {"Origin": service.address, "Sec-Fetch-Site": "same-origin", **headers}
    return httpx.AsyncClient(base_url=service.address, headers=ours, timeout=20)


async def come_in(service: Service, client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/console/enter", json={"code": service.visits.invite()})


# --- links and visits ---------------------------------------------------------


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def cookie_of(set_cookie: str) -> dict[bytes, bytes]:
    return {b"cookie": b"theme=dark; " + set_cookie.partition(";")[0].encode()}


def test_a_link_works_once_and_not_for_long() -> None:
    clock = Clock()
    visits = Visits(8080, clock=clock)
    code, late = visits.invite(), visits.invite()

    assert visits.enter("x" * 43, is_encrypted=False) is None
    assert visits.enter(code, is_encrypted=False)
    assert visits.enter(code, is_encrypted=False) is None
    clock.now += LINK_LASTS + 1
    assert visits.enter(late, is_encrypted=False) is None


def test_of_many_links_and_visits_the_oldest_go() -> None:
    visits = Visits(8080)
    codes = [visits.invite() for _ in range(9)]
    assert visits.enter(codes[0], is_encrypted=False) is None
    bought = []
    for _ in range(33):
        set_cookie = visits.enter(visits.invite(), is_encrypted=False)
        assert set_cookie is not None
        bought.append(cookie_of(set_cookie))

    assert [visits.admits("GET", one) for one in bought] == [False, *[True] * 32]


def test_a_visit_ends() -> None:
    clock = Clock()
    visits = Visits(8080, clock=clock)
    set_cookie = visits.enter(visits.invite(), is_encrypted=True)
    assert set_cookie is not None and set_cookie.endswith("; Secure")

    assert visits.admits("GET", cookie_of(set_cookie))
    clock.now += VISIT_LASTS + 1
    assert not visits.admits("GET", cookie_of(set_cookie))


def test_neither_codes_nor_cookies_are_kept_as_they_are() -> None:
    visits = Visits(8080)
    code = visits.invite()

    assert code not in repr(vars(visits._links))


# --- over HTTP ----------------------------------------------------------------


async def test_a_link_buys_a_cookie_that_scripts_cannot_read(caller: Caller) -> None:
    async with browser(caller.service) as client:
        assert (await client.get("/sessions")).status_code == 401
        answer = await come_in(caller.service, client)
        assert answer.status_code == 204
        parts = answer.headers["set-cookie"].split("; ")
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} == set(parts[1:])
        port = caller.service.address.rpartition(":")[2]
        assert parts[0].startswith(f"maestra_{port}=")

        assert (await client.get("/sessions")).status_code == 200
        begun = await client.post("/session/start", json=start_body())
        assert begun.status_code == 201
        stopped = await client.post("/session/stop", json={})
        assert stopped.status_code == 200


async def test_a_code_that_was_used_is_refused(caller: Caller) -> None:
    code = caller.service.visits.invite()
    async with browser(caller.service) as first, browser(caller.service) as second:
        assert (await first.post("/console/enter", json={"code": code})).status_code == 204
        again = await second.post("/console/enter", json={"code": code})
        assert again.status_code == 403
        assert "maestra console" in again.json()["detail"]
        assert (await second.get("/sessions")).status_code == 401
        for odd in ({"code": 7}, {}, [code], None):
            refused = await second.post("/console/enter", json=odd)
            assert refused.status_code == 403, odd


async def test_the_cookie_lets_in_only_what_the_page_itself_asks(caller: Caller) -> None:
    async with browser(caller.service) as client:
        await come_in(caller.service, client)
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    address = caller.service.address
    async with httpx.AsyncClient(base_url=address, headers={"Cookie": cookie}) as other:

        async def status(method: str, path: str, **headers: str) -> int:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            return (await other.request(method, path, headers=names)).status_code

        assert await status("GET", "/sessions") == 200  # by hand
        # Another port of this machine is the same site, and its requests bring the cookie.
        assert await status("GET", "/sessions", Sec_Fetch_Site="same-site") == 401
        assert await status("GET", "/sessions", Sec_Fetch_Site="cross-site") == 401
        assert await status("POST", "/session/stop") == 401
        assert await status("DELETE", "/session/x/whep/y") == 401
        assert await status("POST", "/session/stop", Origin="http://127.0.0.1:1") == 403
        assert await status("POST", "/session/stop", Origin="null") == 403
        rebound = {"Origin": "http://evil.example:8080", "Host": "127.0.0.1:8080"}
        assert await status("POST", "/session/stop", **rebound) == 403
        assert await status("POST", "/session/stop", Origin=address) == 404  # none runs


async def test_only_the_token_makes_links(caller: Caller) -> None:
    made = await caller.http.post("/console/link")
    assert made.status_code == 201
    code = made.json()["path"].removeprefix("/#enter=")
    async with browser(caller.service) as client:
        assert (await client.post("/console/link")).status_code == 401
        assert (await client.post("/console/enter", json={"code": code})).status_code == 204
        for more in ({}, {"Authorization": "x"}, {"Authorization": "Bearer wrong"}):
            refused = await client.post("/console/link", headers=more)
            assert refused.status_code == 403, more
            assert refused.json()["type"] == "urn:maestra:problem:token-only"
        with_both = await client.post("/console/link", headers={"Authorization": f"Bearer {TOKEN}"})
        assert with_both.status_code == 201


async def test_neither_code_nor_cookie_is_logged(caller: Caller) -> None:
    log = io.StringIO()
    log_to(log, caller.secrets)
    code = caller.service.visits.invite()
    async with browser(caller.service) as client:
        await client.post("/console/enter", json={"code": code})
        await client.post("/console/enter", json={"code": code})
        await client.get("/sessions")
        (cookie,) = client.cookies.values()
    logged = log.getvalue()

    assert '"/console/enter"' in logged
    assert code not in logged and cookie not in logged


async def test_without_a_token_no_link_is_needed() -> None:
    async with calling(token=None) as caller, browser(caller.service) as client:
        assert (await client.get("/sessions")).status_code == 200
        rebound = await client.get("/", headers={"Host": "rebound.example"})
        assert rebound.status_code == 421


# --- the page's files ---------------------------------------------------------


async def test_the_page_is_public_and_its_policy_strict(caller: Caller) -> None:
    async with browser(caller.service) as client:
        page = await client.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "*" not in policy and "http" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["x-frame-options"] == "DENY"
        assert "microphone=(self)" in page.headers["permissions-policy"]
        script = await client.get("/console/console.js")
        assert script.headers["content-type"].startswith("text/javascript")
        style = await client.get("/console/style.css")
        assert style.headers["content-type"].startswith("text/css")
        for path in ("/console/none.js", "/console/../api.py", "/console/%2e%2e/api.py"):
            assert (await client.get(path)).status_code == 401
        assert (await client.get("/console/portrait/teacher_mary_v1")).status_code == 401


async def test_what_has_not_changed_is_not_sent_again(caller: Caller) -> None:
    async with browser(caller.service) as client:
        first = await client.get("/console/style.css")
        assert first.headers["cache-control"] == "no-cache"
        again = await client.get(
            "/console/style.css", headers={"If-None-Match": first.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")


async def test_a_portrait_is_shown_to_visitors(caller: Caller) -> None:
    async with browser(caller.service) as client:
        await come_in(caller.service, client)
        picture = await client.get("/console/portrait/teacher_mary_v1")
        assert picture.headers["content-type"] == "image/png"
        assert picture.content.startswith(b"\x89PNG")
        assert (await client.get("/console/portrait/..")).status_code == 404


# --- where links come from ----------------------------------------------------


async def test_the_command_prints_a_link(
    caller: Caller,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(tokens.VARIABLE, raising=False)
    port = int(caller.service.address.rpartition(":")[2])
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)

    command = ["console", "--port", str(port), "--token-file", str(file)]
    assert 0 == await anyio.to_thread.run_sync(main, command)
    for link in (
        capsys.readouterr().out.strip(),
        await anyio.to_thread.run_sync(invitation, "0.0.0.0", port, file),
    ):
        address, _, code = link.partition("/#enter=")
        assert address == f"http://127.0.0.1:{port}"
        assert caller.service.visits.enter(code, is_encrypted=False)
    file.write_text("another-token-altogether")
    with pytest.raises(InvitationError, match="another token"):
        await anyio.to_thread.run_sync(invitation, "127.0.0.1", port, file)


def test_where_no_service_is_the_command_says_so(tmp_path: Path, unused: int) -> None:
    with pytest.raises(InvitationError, match="maestra serve"):
        invitation("127.0.0.1", unused, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.fixture
def unused() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("terminal", [True, False])
async def test_a_link_is_shown_to_a_terminal_only(
    terminal: bool,
    capsys: pytest.CaptureFixture[str],
    caller: Caller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)

    _invite(caller.service, needs_code=True)

    told = capsys.readouterr()
    assert ("/#enter=" in told.out) is terminal
    assert "enter=" not in told.err
