"""Browsers come and go: WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep).

``POST /session/ID/whip`` takes the offer of the one browser that is heard, ``/session/ID/whep``
that of each that watches; the answer's ``Location`` is the connection, which ``DELETE`` ends. There
is no trickling of candidates and no restart of ICE (``PATCH``): an answer has all of ours at once,
and theirs are not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated, Any, Final, Literal

from litestar import HttpMethod, Request, Response, delete, patch, post, route
from litestar.datastructures import State
from litestar.params import PathParameter

from maestra.core.stream_url import StreamKind

from .asking import SessionId, SessionsHere, ask, problem
from .lesson import Lesson
from .problems import Problem

__all__ = ["ROUTES", "links"]

_SDP: Final = "application/sdp"

_Way = Literal["whip", "whep"]
_Peer = Annotated[str, PathParameter(description="the connection's name, from the Location")]

_REFUSED: Final[Mapping[str, tuple[int, str]]] = {
    "malformed": (400, "not-an-offer"),
    "unsupported": (422, "offer-not-answerable"),
    "taken": (409, "somebody-is-heard"),
    "elsewhere": (409, "not-by-browser"),
    "full": (503, "too-many-viewers"),
    "unknown": (404, "no-such-connection"),
    "missing": (503, "not-installed"),
    "failed": (503, "no-answer"),
}

_ON_OFFER: Final = {
    404: problem("There is no such session."),
    409: problem("The session is over, hears another input, or somebody else already."),
    422: problem("The offer cannot be answered."),
    503: problem("There is no room for another viewer, or the session does not answer."),
}
_ON_LEAVING: Final = {
    404: problem("There is no such session or connection."),
    409: problem("The session is over."),
    503: problem("The session does not answer."),
}
_NO_PATCH: Final = {501: problem("Candidates are not trickled here, and ICE is not restarted.")}


def links(lesson: Lesson) -> dict[str, str]:
    """Where browsers come to ``lesson``."""
    if find_spec("aiortc") is None:
        return {}
    place = f"/session/{lesson.id}"
    found = {"whep": f"{place}/whep"}
    if lesson.wanted.ingest.kind is StreamKind.WHIP:
        found["whip"] = f"{place}/whip"
    return found


@post(
    "/session/{session_id:str}/whip",
    status_code=201,
    summary="Be heard by a session, from a browser",
    responses=_ON_OFFER,
)
async def publish(
    session_id: SessionId, request: Request[Any, Any, State], sessions: SessionsHere
) -> Response[bytes]:
    """WHIP (RFC 9725), for a session whose input is whip:. The body is the offer; the answer's
    Location is the connection. One browser is heard at a time; its pictures are declined."""
    return await _connect(sessions.meant(session_id), "whip", await request.body())


@post(
    "/session/{session_id:str}/whep",
    status_code=201,
    summary="Watch a session, in a browser",
    responses=_ON_OFFER,
)
async def view(
    session_id: SessionId, request: Request[Any, Any, State], sessions: SessionsHere
) -> Response[bytes]:
    """WHEP (draft-ietf-wish-whep), for every session. The body is the offer; the answer's Location
    is the connection."""
    return await _connect(sessions.meant(session_id), "whep", await request.body())


async def _connect(lesson: Lesson, way: _Way, body: bytes) -> Response[bytes]:
    try:
        offer = body.decode()
    except UnicodeDecodeError:
        raise _refused({"refused": "malformed", "text": "An offer is text (UTF-8)."}) from None
    answer = await ask(lesson, "connect", way=way, offer=offer)
    if "refused" in answer:
        raise _refused(answer)
    place = f"/session/{lesson.id}/{way}/{answer['peer']}"
    return Response(
        str(answer["sdp"]).encode(), media_type=_SDP, headers={"Location": place}, status_code=201
    )


def _refused(answer: Mapping[str, Any]) -> Problem:
    status, kind = _REFUSED[answer["refused"]]
    again = status == 503 and answer["refused"] != "missing"
    headers = {"Retry-After": "5"} if again else {}
    return Problem(status, kind, answer["text"], headers=headers)


@delete(
    "/session/{session_id:str}/whip/{peer:str}",
    status_code=200,
    summary="Be heard no longer",
    responses=_ON_LEAVING,
)
async def stop_publishing(session_id: SessionId, peer: _Peer, sessions: SessionsHere) -> None:
    """Another browser may then be heard."""
    await _disconnect(sessions.meant(session_id), peer)


@delete(
    "/session/{session_id:str}/whep/{peer:str}",
    status_code=200,
    summary="Watch no longer",
    responses=_ON_LEAVING,
)
async def stop_viewing(session_id: SessionId, peer: _Peer, sessions: SessionsHere) -> None:
    """Its place is free then."""
    await _disconnect(sessions.meant(session_id), peer)


async def _disconnect(lesson: Lesson, peer: str) -> None:
    answer = await ask(lesson, "disconnect", peer=peer)
    if "refused" in answer:
        raise _refused(answer)


@patch(
    "/session/{session_id:str}/whip/{peer:str}",
    summary="Not offered: trickling, and restarts of ICE",
    responses=_NO_PATCH,
)
async def patch_publishing(session_id: SessionId, peer: _Peer) -> None:
    """The answer had all candidates, and needs none: begin a new connection instead."""
    raise _no_patch()


@patch(
    "/session/{session_id:str}/whep/{peer:str}",
    summary="Not offered: trickling, and restarts of ICE",
    responses=_NO_PATCH,
)
async def patch_viewing(session_id: SessionId, peer: _Peer) -> None:
    """The answer had all candidates, and needs none: begin a new connection instead."""
    raise _no_patch()


def _no_patch() -> Problem:
    return Problem(
        501,
        "no-trickling",
        "Candidates are not trickled here, and ICE is not restarted: delete this connection and"
        " make another.",
    )


@route(
    ["/session/{session_id:str}/whip", "/session/{session_id:str}/whep"],
    http_method=[HttpMethod.OPTIONS],
    include_in_schema=False,
    status_code=204,
)
async def options(session_id: SessionId) -> Response[None]:
    return Response(None, headers={"Allow": "OPTIONS, POST", "Accept-Post": _SDP}, status_code=204)


ROUTES: Final = [
    options,  # first, or the framework makes one of its own
    publish,
    view,
    stop_publishing,
    stop_viewing,
    patch_publishing,
    patch_viewing,
]
