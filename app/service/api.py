"""The control interface: what a coordinator may ask of the service, and the schema that says so."""

from __future__ import annotations

import difflib
import json
from collections.abc import AsyncIterator, Mapping
from functools import cache
from importlib.metadata import version
from typing import Annotated, Any, Final

import anyio
import attrs
from anyio.to_thread import run_sync
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.params import HeaderParameter, JSONBody
from litestar.response import Stream

from .. import config as configuration
from .. import personas
from ..config import ConfigError
from . import metrics as prometheus
from .asking import SessionId, SessionsHere, ask, problem, wrong_value
from .capacity import Capacity
from .gate import MOST_BYTES
from .lesson import End, Health, Lesson
from .models import (
    Cleared,
    ConfigRequest,
    Connection,
    Effective,
    Ended,
    Figures,
    Listed,
    Measured,
    Overview,
    Performance,
    PersonaView,
    ResetAnswer,
    ResetRequest,
    Started,
    StartRequest,
    Status,
    StopAnswer,
    StopRequest,
    Wellbeing,
)
from .page import ROUTES as PAGE_ROUTES
from .problems import MEDIA_TYPE, Problem
from .schema import completed
from .sessions import Sessions
from .visits import Visits
from .webrtc import ROUTES as BROWSER_ROUTES
from .webrtc import links as browser_links

__all__ = ["application", "schema"]

_HEARTBEAT: Final = 15.0
"""Seconds without an event after which a reader is told that we are still there."""

_BATCH: Final = 200
"""Events that are written at once."""

_ASKED: Final = {
    404: problem("There is no such session, or none runs."),
    409: problem("Several sessions run and none was named, or the session is over."),
    503: problem("The session does not answer."),
}


# --- sessions -----------------------------------------------------------------


@post(
    "/session/start",
    status_code=201,
    summary="Begin a session",
    responses={
        422: problem("An address or the persona is not allowed."),
        429: problem("Too many starts."),
        503: problem("There is no room for another session."),
    },
)
async def start(
    request: Request[Any, Any, State],
    data: JSONBody[StartRequest],
    sessions: SessionsHere,
    idempotency_key: Annotated[
        str | None,
        HeaderParameter(
            name="Idempotency-Key",
            max_length=200,
            description="the same key and request begin one session, however often they come",
        ),
    ] = None,
    traceparent: Annotated[
        str | None,
        HeaderParameter(
            name="traceparent",
            description="the caller's trace (W3C Trace Context), to which those of the session's"
            " turns are linked",
        ),
    ] = None,
) -> Response[Started]:
    """Answers at once, while the session's models are loaded. What is asked of it meanwhile waits
    until it has begun; its state and its events tell when that is, and why if it never does."""
    await _known(request, StartRequest)
    lesson, new = await sessions.start(
        ingest=data.rtmp_ingest_url,
        publish=data.rtmp_publish_url,
        persona=data.persona_id,
        key=idempotency_key,
        traceparent=traceparent or "",
    )
    place = f"/session/{lesson.id}"
    headers = {"Location": place} if new else {"Location": place, "Idempotent-Replayed": "true"}
    links = {
        "session": place,
        "events": f"{place}/events",
        "summary": f"{place}/summary",
        **browser_links(lesson),
    }
    return Response(
        Started(session_id=lesson.id, state=lesson.state.value, links=links), headers=headers
    )


@post(
    "/session/config",
    status_code=200,
    summary="Change settings in mid-lesson",
    responses={**_ASKED, 422: problem("A value is not allowed; nothing has changed.")},
)
async def change_config(
    request: Request[Any, Any, State], data: JSONBody[ConfigRequest], sessions: SessionsHere
) -> Effective:
    """Any subset of the settings; they apply at once. Answers all that is in force."""
    await _known(request, ConfigRequest)
    values = {
        f"conversation.{name}": value
        for name, value in attrs.asdict(data).items()
        if value is not None and name != "session_id"
    }
    try:
        configuration.change(sessions.config, values)
    except ConfigError as error:
        raise wrong_value(str(error)) from None
    lesson = sessions.meant(data.session_id)
    effective = await ask(lesson, "config", values=values)
    return Effective(session_id=lesson.id, config=effective)


@post(
    "/session/reset_context",
    status_code=200,
    summary="Forget the conversation",
    responses=_ASKED,
)
async def reset_context(
    request: Request[Any, Any, State],
    sessions: SessionsHere,
    data: JSONBody[ResetRequest | None] = None,
) -> ResetAnswer:
    """For a new student, or a new piece. Answers what was cleared."""
    data = data or ResetRequest()
    await _known(request, ResetRequest)
    lesson = sessions.meant(data.session_id)
    report = await ask(lesson, "reset", performance=data.performance)
    return ResetAnswer(
        session_id=lesson.id,
        cleared=Cleared(turns=report["turns"], performance=report["performance"]),
    )


@post("/session/stop", status_code=200, summary="End a session", responses=_ASKED)
async def stop(
    request: Request[Any, Any, State],
    sessions: SessionsHere,
    data: JSONBody[StopRequest | None] = None,
) -> StopAnswer:
    """Answers when it has ended: its outputs are closed and its processes gone."""
    data = data or StopRequest()
    await _known(request, StopRequest)
    lesson = sessions.meant(data.session_id)
    await lesson.stop()
    return StopAnswer(session_id=lesson.id, state=lesson.state.value, ended=_ended(lesson.end))


@get(
    "/session/{session_id:str}",
    summary="How a session fares",
    responses={404: problem("There is no such session.")},
)
async def session_status(session_id: SessionId, sessions: SessionsHere) -> Status:
    """Of a session that has ended: how it was, and why it is over."""
    lesson = sessions.get(session_id)
    status = lesson.status
    begun = bool(status.get("state"))
    return Status(
        session_id=lesson.id,
        state=lesson.state.value,
        started_at=_instant(lesson),
        uptime=round(lesson.uptime, 3),
        persona_id=lesson.wanted.persona,
        conversation=str(status["state"]) if begun else None,
        floor=str(status["floor"]) if begun else None,
        t=round(float(status["t"]), 3) if begun else None,
        takes=int(status.get("takes") or 0),
        notes=int(status.get("notes") or 0),
        fps=status.get("fps"),
        memory=status.get("memory"),
        ingest=_connection(lesson.input()),
        publish=_connection(lesson.output()),
        latencies={
            name: Figures(last=known["last"], mean=known["mean"], count=int(known["count"]))
            for name, known in lesson.watch.latencies.items()
        },
        last_event=lesson.events.last,
        ended=_ended(lesson.end),
    )


@get(
    "/session/{session_id:str}/summary",
    summary="What was measured of the performance",
    responses={
        404: problem("There is no such session."),
        409: problem("The session is over, and left no summary."),
        503: problem("The session does not answer."),
    },
)
async def summary(session_id: SessionId, sessions: SessionsHere) -> Performance:
    """As of now; of a session that has ended, as of its end."""
    lesson = sessions.get(session_id)
    try:
        found = await ask(lesson, "summary")
    except Problem:
        if (last := lesson.last_summary) is None:
            raise
        found = last
    return Performance(
        session_id=lesson.id, summary=found["summary"], observations=list(found["observations"])
    )


@get(
    "/session/{session_id:str}/events",
    media_type="text/event-stream",
    summary="What happens in a session, as it happens",
    responses={404: problem("There is no such session.")},
)
async def events(
    session_id: SessionId,
    sessions: SessionsHere,
    last_event_id: Annotated[
        str | None,
        HeaderParameter(
            name="Last-Event-ID",
            max_length=20,
            description="the number of the last event that was seen; the answer goes on after it",
        ),
    ] = None,
) -> Stream:
    """Server-sent events, one for each record of the event log: its type, its number as the id, and
    the record as data. They begin with the first that is kept, or after Last-Event-ID; where some
    are no longer kept, an event `lost` says how many. The stream ends with the session; who comes
    back after its last event gets 204, which tells a browser not to come again."""
    lesson = sessions.get(session_id)
    seen = _number(last_event_id)
    if lesson.events.closed and seen >= lesson.events.last:
        return Stream(_nothing(), status_code=204)
    return Stream(_feed(lesson, seen), media_type="text/event-stream")


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def _feed(lesson: Lesson, seen: int) -> AsyncIterator[bytes]:
    kept = lesson.events
    yield b"retry: 1000\n\n"
    while True:
        if (lost := kept.first - 1 - seen) > 0:
            seen = kept.first - 1
            yield f'id: {seen}\nevent: lost\ndata: {{"lost": {lost}}}\n\n'.encode()
            continue  # more may have gone meanwhile
        batch = kept.after(seen, _BATCH)
        if batch:
            seen = batch[-1][0]
            yield "".join(
                f"id: {number}\nevent: {kind}\ndata: {data}\n\n" for number, kind, data in batch
            ).encode()
        elif kept.closed:
            return
        else:
            with anyio.move_on_after(_HEARTBEAT) as waiting:
                await kept.wait(seen)
            if waiting.cancelled_caught:
                yield b": still there\n\n"


def _number(last_event_id: str | None) -> int:
    """What is no number of ours has seen nothing."""
    text = last_event_id or ""
    return int(text) if text.isascii() and text.isdigit() else 0


@get("/sessions", summary="All sessions")
async def list_sessions(sessions: SessionsHere) -> Overview:
    """Those that run, and the last that ended."""
    return Overview(
        sessions=[
            Listed(
                session_id=lesson.id,
                state=lesson.state.value,
                started_at=_instant(lesson),
                persona_id=lesson.wanted.persona,
                ended=_ended(lesson.end),
            )
            for lesson in sessions.all()
        ],
        most=sessions.most,
        limited_by=sessions.limit,  # type: ignore[arg-type]
        measured=_measured(sessions.capacity),
    )


@get("/personas", summary="Who can teach")
async def list_personas(sessions: SessionsHere) -> list[PersonaView]:
    """Each with its id, which a start may name."""
    return [
        PersonaView(persona_id=one.id, name=one.name, voices=dict(one.voices))
        for one in await run_sync(personas.available)
        if one.id in sessions.personas
    ]


# --- the service --------------------------------------------------------------


@get("/healthz", summary="Whether the service lives")
async def healthz() -> Wellbeing:
    """Needs no token."""
    return Wellbeing(status="ok")


@get(
    "/readyz",
    summary="Whether the service takes sessions",
    responses={503: problem("It is shutting down.")},
)
async def readyz(sessions: SessionsHere) -> Wellbeing:
    """Needs no token. A service that is full is ready all the same: it answers, and says so."""
    if sessions.draining:
        raise Problem(503, "draining", "The service is shutting down; use another.")
    return Wellbeing(status="ok")


@get("/metrics", summary="What Prometheus reads", media_type="text/plain")
async def read_metrics(sessions: SessionsHere) -> Response[bytes]:
    """In its text format."""
    return Response(sessions.measured(), media_type=prometheus.MEDIA_TYPE)


@get("/openapi.json", include_in_schema=False)
async def read_schema() -> Response[bytes]:
    """This interface, in OpenAPI 3.1."""
    return Response(await run_sync(_schema_text), media_type="application/json")


@cache
def _schema_text() -> bytes:
    return json.dumps(schema(), ensure_ascii=False).encode()


# --- asking -------------------------------------------------------------------


async def _known(request: Request[Any, Any, State], cls: type[Any]) -> None:
    """Refuse a body with fields that ``cls`` has not: a setting that is misspelt must not seem to
    have been made.

    :raises Problem: it has some.
    """
    body = await request.body()
    given = json.loads(body) if body else {}
    names = [attribute.name for attribute in attrs.fields(cls)]
    for name in given if isinstance(given, dict) else ():
        if name not in names:
            near = difflib.get_close_matches(name, names, 1, 0.6)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}."
            raise Problem(400, "unknown-field", f"{name[:80]!r} is not a field here; {hint}")


def _measured(capacity: Capacity | None) -> Measured | None:
    if capacity is None:
        return None
    return Measured(
        most=capacity.most,
        text=str(capacity),
        usable=round(capacity.usable, 3),
        processors=capacity.cost.processors,
        memory=capacity.cost.memory,
        at=capacity.at,
    )


def _ended(end: End | None) -> Ended | None:
    return None if end is None else Ended(cause=end.cause, text=end.text)  # type: ignore[arg-type]


def _connection(health: Health) -> Connection:
    return Connection(url=health.url, ok=health.ok, text=health.text)


def _instant(lesson: Lesson) -> str:
    return lesson.started_at.isoformat(timespec="milliseconds")


# --- when it fails ------------------------------------------------------------


def _answer(problem: Problem) -> Response[bytes]:
    return Response(
        problem.body(),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


def _on_problem(request: Request[Any, Any, State], error: Problem) -> Response[bytes]:
    return _answer(error)


def _on_http(request: Request[Any, Any, State], error: HTTPException) -> Response[bytes]:
    """What the framework refuses, in our words."""
    if isinstance(error, NotFoundException):
        problem = Problem(404, "no-such-path", "There is nothing here; see /openapi.json.")
    elif isinstance(error, MethodNotAllowedException):
        problem = Problem(
            405,
            "wrong-method",
            "This path is not asked with that method; see /openapi.json.",
            headers=dict(error.headers or {}),
        )
    elif error.status_code < 500:
        problem = Problem(error.status_code, "bad-request", _what_is_wrong(error))
    else:
        raise error
    return _answer(problem)


def _on_depth(request: Request[Any, Any, State], error: RecursionError) -> Response[bytes]:
    return _answer(
        Problem(400, "bad-request", "The request's body is nested too deeply; see /openapi.json.")
    )


def _on_fault(request: Request[Any, Any, State], error: Exception) -> Response[bytes]:
    """Ours: the gate logs it, and answers. The framework would answer in its own way, and log
    nothing."""
    raise error


def _what_is_wrong(error: HTTPException) -> str:
    """The first fault of the request, and where."""
    if isinstance(error.extra, list) and error.extra:
        first = error.extra[0]
        if isinstance(first, Mapping) and "message" in first:
            where = first.get("key") or "the body"
            return f"{where}: {first['message']}; see /openapi.json."
    return "The request's body is not what is asked for here; see /openapi.json."


# --- the application and its schema -------------------------------------------

_ROUTES: Final = [
    start,
    change_config,
    reset_context,
    stop,
    session_status,
    summary,
    events,
    list_sessions,
    list_personas,
    healthz,
    readyz,
    read_metrics,
    read_schema,
    *BROWSER_ROUTES,
    *PAGE_ROUTES,
]


def application(sessions: Sessions | None, visits: Visits | None = None) -> Litestar:
    """The ASGI application that answers for ``sessions``; without any, only its routes are good."""
    # The framework would serve the schema by itself, in pages of its own.
    return _application(sessions, visits, None)


def _application(
    sessions: Sessions | None, visits: Visits | None, described: OpenAPIConfig | None
) -> Litestar:
    def provide() -> Sessions | None:
        return sessions

    def provide_visits() -> Visits | None:
        return visits

    return Litestar(
        list(_ROUTES),
        dependencies={
            "sessions": Provide(provide, sync_to_thread=False),
            "visits": Provide(provide_visits, sync_to_thread=False),
        },
        exception_handlers={
            Problem: _on_problem,
            HTTPException: _on_http,
            RecursionError: _on_depth,
            Exception: _on_fault,
        },
        openapi_config=described,
        request_max_body_size=MOST_BYTES,
        logging_config=None,
        debug=False,
    )


def schema() -> dict[str, Any]:
    """The interface in OpenAPI 3.1."""
    config = OpenAPIConfig(
        title="Maestra",
        version=version("maestra"),
        description="A music teacher that sits in on lessons: sessions are begun, changed,"
        " watched and ended here. Errors are application/problem+json.",
        path="/.schema",
        render_plugins=[],
        use_handler_docstrings=True,
        operation_id_creator=lambda handler, method, path: handler.handler_name,
    )
    return completed(_application(None, None, config).openapi_schema.to_schema())
