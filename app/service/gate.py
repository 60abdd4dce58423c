"""What every request passes before it is answered, and every answer on its way out.

A request gets an id; without the token or a visit it goes no further, nor does one that a web page
of another origin sent; its body is read whole, within a limit of bytes and of time. Every answer
carries the security headers, is counted, and is logged.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import anyio

from . import page
from .logs import LOGGER, REQUEST_ID
from .metrics import Metrics
from .problems import MEDIA_TYPE, Problem
from .tokens import matches
from .visits import Admitted, Visits

__all__ = ["MOST_BYTES", "OPEN", "SDP_PATHS", "Gate"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BYTES: Final = 64 * 1024
"""Of a request's body."""

_BODY_WITHIN: Final = 10.0
"""Seconds for a request's body to arrive."""

OPEN: Final = frozenset({"/healthz", "/readyz"})
"""Whoever watches the service asks these without a token; they tell nothing."""

SDP_PATHS: Final = ("/whip", "/whep")
"""What is posted to paths that end so is a browser's offer; to all others, JSON."""

_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{0,5})?")
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


class _Connection(Protocol):
    """By which a request comes."""

    def has_room(self) -> bool: ...

    def let_in(self) -> None: ...


class Gate:
    """The ASGI application around the one that answers.

    :param token: what a request must bring; ``None``: nothing (``--insecure``).
    :param visits: who may come without it.
    :param local_only: the service is bound to loopback, and must be called by a name of it: a
        page may make any name lead there.
    """

    def __init__(
        self,
        app: App,
        *,
        token: str | None,
        visits: Visits,
        local_only: bool,
        metrics: Metrics,
        body_within: float = _BODY_WITHIN,
    ) -> None:
        self._app = app
        self._token = token
        self._visits = visits
        self._local_only = local_only
        self._metrics = metrics
        self._body_within = body_within

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        mark = REQUEST_ID.set(request_id)
        answer = _Answer(send, request_id, is_page=page.is_page(scope["path"]))
        begun = time.monotonic()
        try:
            try:
                body = await self._let_in(scope, headers, receive)
                await self._app(scope, _Replay(body, receive), answer.send)
            except Problem as problem:
                await answer.problem(problem)
            except Exception:
                LOGGER.exception("request failed")
                await answer.problem(
                    Problem(
                        500,
                        "internal",
                        "Something went wrong in the service; its log says what, under this"
                        " request_id.",
                    )
                )
            self._note(scope, answer, begun)
        finally:
            REQUEST_ID.reset(mark)

    def _note(self, scope: Scope, answer: _Answer, begun: float) -> None:
        seconds = time.monotonic() - begun
        template = scope.get("path_template") or "none"
        # Anybody may invent methods, token or not; each would be counted, and kept, for itself.
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.http.labels(method, template, answer.status).observe(
            answer.begun_after(begun)
        )
        client = (scope.get("client") or ("",))[0]
        self._log(scope["method"], scope["path"], answer.status, seconds, client)

    def _log(self, method: str, path: str, status: int, seconds: float, client: str) -> None:
        fields = {
            "method": method,
            "path": path,
            "status": status,
            "seconds": round(seconds, 4),
            "client": client,
        }
        LOGGER.info("request", extra={"fields": fields})

    def malformed(self, client: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """The headers and the body that answer what ``client`` sent, which is no HTTP; it is
        counted, and logged."""
        request_id = uuid.uuid4().hex
        mark = REQUEST_ID.set(request_id)
        try:
            problem = Problem(
                400,
                "malformed",
                "This is no HTTP/1.1, or the request's head is too long; see /openapi.json.",
                headers={"Connection": "close"},
            )
            body = problem.body()
            self._metrics.http.labels("other", "none", problem.status).observe(0.0)
            self._log("", "", problem.status, 0.0, client)
        finally:
            REQUEST_ID.reset(mark)
        identified = (b"x-request-id", request_id.encode())
        return [*_of_problem(problem, body), *_HEADERS, identified], body

    # --- what may pass --------------------------------------------------------

    async def _let_in(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The body, if the request may pass.

        :raises Problem: it may not.
        """
        connection: _Connection | None = scope.get("state", {}).pop("connection", None)
        if connection is not None and not connection.has_room() and scope["path"] not in OPEN:
            raise Problem(
                503,
                "too-many-connections",
                "So many are connected that there is no room for more: try again soon.",
                headers={"Retry-After": "5", "Connection": "close"},
            )
        self._check_origin(headers)
        admitted = self._admit(scope["method"], scope["path"], headers)
        scope["maestra.admitted"] = admitted
        if connection is not None and (self._token is None or admitted is not Admitted.OPEN):
            connection.let_in()
        body = await self._body(headers, receive)
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if scope["method"] == "POST" and scope["path"].endswith(SDP_PATHS):
            if kind != b"application/sdp":
                raise Problem(
                    415, "not-sdp", "Send an offer, and the header Content-Type: application/sdp."
                )
        elif body and scope["method"] == "POST" and kind != b"application/json":
            raise Problem(
                415, "not-json", "Send JSON, and the header Content-Type: application/json."
            )
        return body

    def _admit(self, method: str, path: str, headers: dict[bytes, bytes]) -> Admitted:
        if self._token is None or path in OPEN or page.is_open(method, path):
            return Admitted.OPEN
        if matches(headers.get(b"authorization"), self._token):
            return Admitted.TOKEN
        if self._visits.admits(method, headers):
            return Admitted.VISIT
        raise Problem(
            401,
            "no-token",
            "Send the service's token: the header is Authorization: Bearer TOKEN.",
            headers={"WWW-Authenticate": 'Bearer realm="maestra"'},
        )

    def _check_origin(self, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self._local_only and _name(host) not in _LOCAL:
            raise Problem(
                421, "wrong-host", "Call this service as localhost: it is open to no other name."
            )
        origin = headers.get(b"origin")
        if origin is not None and _of_origin(origin.decode("latin-1").lower()) != host:
            raise Problem(403, "cross-origin", "Pages of other origins may not use this service.")

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        too_long = Problem(
            413,
            "body-too-long",
            f"The body may have {MOST_BYTES} bytes.",
            headers={"Connection": "close"},
        )
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > MOST_BYTES:
            raise too_long
        body = bytearray()
        try:
            with anyio.fail_after(self._body_within):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        # Half a request is none: what it asks for may stand in the other half.
                        raise Problem(400, "incomplete", "The request broke off; send it again.")
                    body += message.get("body", b"")
                    if len(body) > MOST_BYTES:
                        raise too_long
                    if not message.get("more_body"):
                        return bytes(body)
        except TimeoutError:
            raise Problem(
                408,
                "body-too-slow",
                f"The body must arrive within {self._body_within:g} s; send it again.",
                headers={"Connection": "close"},
            ) from None


class _Replay:
    """Gives the application the body that has been read, then what comes."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Answer:
    """Adds to an answer what each must have, and remembers how it went."""

    def __init__(self, send: Send, request_id: str, *, is_page: bool) -> None:
        self._send = send
        self._headers = page.HEADERS if is_page else _HEADERS
        self._request_id = request_id
        self._began = 0.0
        self.status = 499  # the client went away before there was one

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._began = time.monotonic()
            ours = [*self._headers, (b"x-request-id", self._request_id.encode())]
            names = {name for name, _ in ours}
            theirs = [(k, v) for k, v in message.get("headers", ()) if k.lower() not in names]
            message = {**message, "headers": [*theirs, *ours]}
        await self._send(message)

    async def problem(self, problem: Problem) -> None:
        if self._began:
            return  # the answer is under way; all that can be done is to end it
        body = problem.body()
        await self.send(
            {
                "type": "http.response.start",
                "status": problem.status,
                "headers": _of_problem(problem, body),
            }
        )
        await self.send({"type": "http.response.body", "body": body})

    def begun_after(self, begun: float) -> float:
        return (self._began or time.monotonic()) - begun


def _of_problem(problem: Problem, body: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of an answer that is ``problem``."""
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        **problem.headers,
    }
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _name(host: str) -> str:
    """The host without its port; empty for what is none."""
    found = _HOST.fullmatch(host)
    return "" if found is None else found[1].strip("[]")


def _of_origin(origin: str) -> str | None:
    """The host, and its port, of an ``Origin``; ``None`` for what has none."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None
