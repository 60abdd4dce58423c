"""The service's own log: one JSON object a line, with the request's id, and without secrets."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, TextIO

__all__ = ["LOGGER", "REQUEST_ID", "Secrets", "log_to"]

LOGGER: Final = logging.getLogger("maestra.service")

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""The id of the request that is being answered."""

_HIDDEN = "***"
_SHORTEST = 4
"""Characters: what is shorter would be found everywhere, and hides nothing."""


class Secrets:
    """What must not be shown: tokens, and the passwords and keys of streams. They are kept for as
    long as somebody may speak of them."""

    def __init__(self) -> None:
        self._known: Counter[str] = Counter()

    def add(self, secrets: Iterable[str]) -> None:
        self._known.update(_spellings(secrets))

    def forget(self, secrets: Iterable[str]) -> None:
        self._known -= Counter(_spellings(secrets))

    def hide(self, text: str) -> str:
        """``text`` without them, the longest first: one may be a part of another."""
        found = [secret for secret in self._known if secret in text]
        for secret in sorted(found, key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        return text


def _spellings(secrets: Iterable[str]) -> list[str]:
    """Those worth hiding, and as JSON writes them."""
    return [
        spelling
        for secret in secrets
        if len(secret) >= _SHORTEST
        for spelling in {secret, json.dumps(secret)[1:-1]}
    ]


class _Json(logging.Formatter):
    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            entry["request_id"] = request_id
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        # In ASCII: a path may hold characters that end a line, or that steer a terminal.
        return self._secrets.hide(json.dumps(entry, default=str))


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
