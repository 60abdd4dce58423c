"""The console's page: its files, out of the package, and the link by which a browser comes in.

The page itself is public and tells nothing; all that it shows it asks of the interface, which wants
the token or a visit (``visits``). Nothing in it is loaded from elsewhere, and its policy says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from anyio.to_thread import run_sync
from attrs import frozen
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation

from .. import personas
from .problems import Problem
from .visits import LINK_LASTS, Admitted, Visits

__all__ = ["HEADERS", "ROUTES", "VisitsHere", "is_open", "is_page"]

VisitsHere = NamedDependency[SkipValidation[Visits]]

_ENTER: Final = "/console/enter"
_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' blob: mediastream:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

HEADERS: Final = (
    (b"cache-control", b"no-cache"),
    (b"content-security-policy", _POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"permissions-policy",
        b"microphone=(self), camera=(self), geolocation=(), payment=(), usb=(), midi=()",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""What every file of the page carries."""


@frozen
class _File:
    content: bytes
    type: str
    etag: str


@cache
def _files() -> Mapping[str, _File]:
    """The page's files by their path here."""
    found = {}
    for file in resources.files(__package__).joinpath("console").iterdir():
        kind = _TYPES.get("." + file.name.rpartition(".")[2])
        if kind is not None:
            content = file.read_bytes()
            path = "/" if file.name == "index.html" else f"/console/{file.name}"
            found[path] = _File(content, kind, _etag(content))
    return found


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def is_page(path: str) -> bool:
    """Whether a file of the page is there."""
    return path in _files()


def is_open(method: str, path: str) -> bool:
    """Whether that needs no token and no visit."""
    return path == _ENTER if method == "POST" else is_page(path)


def _answer(request: Request[Any, Any, State], file: _File) -> Response[bytes]:
    headers = {"ETag": file.etag}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers, media_type=file.type)
    return Response(file.content, headers=headers, media_type=file.type)


@get("/", include_in_schema=False)
async def read_page(request: Request[Any, Any, State]) -> Response[bytes]:
    return _answer(request, _files()["/"])


@get("/console/{name:str}", include_in_schema=False)
async def read_file(name: FromPath[str], request: Request[Any, Any, State]) -> Response[bytes]:
    if (file := _files().get(f"/console/{name}")) is None:
        raise Problem(404, "no-such-path", "The console has no such file.")
    return _answer(request, file)


@get("/console/portrait/{persona_id:str}", include_in_schema=False)
async def read_portrait(
    persona_id: FromPath[str], request: Request[Any, Any, State]
) -> Response[bytes]:
    file = await run_sync(_portrait, persona_id)
    if file is None:
        raise Problem(404, "no-such-persona", "There is no such persona; GET /personas lists them.")
    return _answer(request, file)


def _portrait(persona_id: str) -> _File | None:
    for persona in personas.available():
        if persona.id == persona_id:
            content = personas.portrait_path(persona).read_bytes()
            return _File(content, "image/png", _etag(content))
    return None


@post(_ENTER, status_code=204, include_in_schema=False)
async def enter(request: Request[Any, Any, State], visits: VisitsHere) -> Response[None]:
    """Exchange a link's code for a visit."""
    try:
        given = json.loads(await request.body() or b"null")
        code = given.get("code") if isinstance(given, dict) else None
        str(code).encode()
    except ValueError:  # half a surrogate pair among them
        raise Problem(
            400, "bad-request", 'Send the link\'s code as JSON: {"code": "…"}, in UTF-8.'
        ) from None
    encrypted = request.headers.get("origin", "").startswith("https:")
    cookie = visits.enter(code, is_encrypted=encrypted) if isinstance(code, str) else None
    if cookie is None:
        raise Problem(
            403,
            "link-not-good",
            "This link was used before, or is too old: `maestra console` prints another.",
        )
    return Response(None, status_code=204, headers={"Set-Cookie": cookie})


@post("/console/link", status_code=201, include_in_schema=False)
async def make_link(request: Request[Any, Any, State], visits: VisitsHere) -> dict[str, Any]:
    """A link for one browser; only who has the token may make one."""
    # What lets in for a few hours must not let in for ever.
    if request.scope["maestra.admitted"] is Admitted.VISIT:  # type: ignore[typeddict-item]
        raise Problem(403, "token-only", "A link is made with the token: run `maestra console`.")
    return {"path": f"/#enter={visits.invite()}", "lasts": LINK_LASTS}


ROUTES: Final = [read_page, read_file, read_portrait, enter, make_link]
