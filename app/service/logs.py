"""The service's own log: one JSON object a line, with the request's id, and without secrets."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, TextIO

__all__ = ["LOGGER", "REQUEST_ID", "Secrets", "log_to"]

LOGGER: Final = logging.getLogger("maestra.service")

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""The id of the request that is being answered."""

_HIDDEN = "***"
_SHORTEST = 4
"""Characters: what is shorter would be found everywhere, and hides nothing."""


class Secrets:
    """What must not be shown: tokens, and the passwords and keys of streams. They are kept for as
    long as somebody may speak of them.

    The service has one of its own, and one below it for each session: a session's are hidden in
    what that session says and in the service's log, but not in what other sessions say.
    """

    def __init__(self) -> None:
        self._known: Counter[str] = Counter()
        self._above: Secrets | None = None
        self._below: Counter[str] = Counter()

    def add(self, secrets: Iterable[str]) -> None:
        self._known.update(_spellings(secrets))

    def of_session(self, secrets: Iterable[str]) -> Secrets:
        """One for a session, which hides ``secrets`` and ours. ``forget`` it when nobody speaks of
        the session any more."""
        made = Secrets()
        made.add(secrets)
        made._above = self
        self._below += made._known
        return made

    def forget(self, session: Secrets) -> None:
        self._below -= session._known

    def hide(self, text: str) -> str:
        """``text`` without them, the longest first: one may be a part of another."""
        return _without(text, [secret for secret in self._all() if secret in text])

    def hide_in(self, value: object) -> Any:
        """``value``, as JSON knows it, without them in its strings. Its numbers, and the names of
        its fields, stay what they are: a password may well be ``1234``, or ``wall``."""
        return _walk(value, list(self._all()))

    def occur_in(self, encoded: str) -> bool:
        """Whether they may be in ``encoded``, which is JSON (not escaped to ASCII): mostly none
        are, and looking there is quick."""
        return any(_escaped(secret) in encoded for secret in self._all())

    def _all(self) -> Iterator[str]:
        # Copies: other threads log, too.
        yield from list(self._known)
        yield from list(self._below)
        if self._above is not None:
            yield from list(self._above._known)


def _without(text: str, found: list[str]) -> str:
    for secret in sorted(found, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def _walk(value: object, known: list[str]) -> object:
    match value:
        case str():
            return _without(value, [secret for secret in known if secret in value])
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {name: _walk(one, known) for name, one in value.items()}
        case list() | tuple():
            return [_walk(one, known) for one in value]
        case _:
            return _walk(str(value), known)


def _spellings(secrets: Iterable[str]) -> list[str]:
    """Those worth hiding, and as JSON writes them: a message may quote some."""
    return [
        spelling
        for secret in secrets
        if len(secret) >= _SHORTEST
        for spelling in {secret, _escaped(secret), json.dumps(secret)[1:-1]}
    ]


def _escaped(secret: str) -> str:
    return json.dumps(secret, ensure_ascii=False)[1:-1]


class _Json(logging.Formatter):
    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {"event": record.getMessage()}
        if request_id := REQUEST_ID.get():
            entry["request_id"] = request_id
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        shown = {"time": at, "level": record.levelname.lower(), **self._secrets.hide_in(entry)}
        # In ASCII: a path may hold characters that end a line, or that steer a terminal.
        return json.dumps(shown)


def log_to(stream: TextIO | None, secrets: Secrets, *, level: int = logging.INFO) -> None:
    """Have the service, and the HTTP server below it, log to ``stream`` (none: standard error)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json(secrets))
    for logger, least in (
        (LOGGER, level),
        (logging.getLogger("uvicorn"), logging.WARNING),
        (logging.getLogger("litestar"), logging.WARNING),
    ):
        logger.handlers = [handler]
        logger.setLevel(least)
        logger.propagate = False
