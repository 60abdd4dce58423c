"""The bearer token: where it comes from, and how it is compared."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from maestra.ports.errors import MaestraError

__all__ = ["VARIABLE", "TokenError", "default_file", "matches", "token"]

VARIABLE: Final = "MAESTRA_SERVICE_TOKEN"
_SHORTEST: Final = 16


class TokenError(MaestraError):
    """There is no token that could be relied on. The text says what to do."""


def default_file(environ: Mapping[str, str] | None = None) -> Path:
    """Where a generated token is kept."""
    environ = os.environ if environ is None else environ
    state = environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "maestra" / "service-token"


def token(path: Path, environ: Mapping[str, str] | None = None) -> tuple[str, str]:
    """The token, and in words where it is from: the environment, or the file at ``path``, which is
    made if it is not there.

    :raises TokenError: it is too short, or others may read the file.
    """
    environ = os.environ if environ is None else environ
    given = environ.get(VARIABLE)
    if given is not None:
        return _good(given.strip(), f"the environment's {VARIABLE}"), "the environment"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return _read(path), str(path)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            made = secrets.token_urlsafe(32)
            file.write(made + "\n")
    except OSError as error:
        raise TokenError(
            f"the token file {path} cannot be used: {error.strerror}; name another with"
            f" --token-file, or set {VARIABLE}"
        ) from error
    return made, str(path)


def _read(path: Path) -> str:
    # Judged by the open file, so that nobody can put another in its place meanwhile.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise TokenError(f"the token file {path} is not a file")
        if about.st_mode & 0o077 or about.st_uid != os.getuid():
            raise TokenError(
                f"the token file {path} can be read by others: make it yours alone with"
                f" `chmod 600 {path}`, and better make a new token"
            )
        return _good(file.read(4096).strip(), f"the token file {path}")


def _good(text: str, where: str) -> str:
    if len(text) < _SHORTEST or not text.isascii() or not text.isprintable() or " " in text:
        raise TokenError(
            f"{where} must hold at least {_SHORTEST} printable ASCII characters without spaces"
        )
    return text


def matches(header: bytes | None, expected: str) -> bool:
    """Whether the ``Authorization`` header has the token. Takes as long for a wrong one."""
    scheme, _, given = (header or b"").partition(b" ")
    right = hmac.compare_digest(given.strip(), expected.encode())
    return right and scheme.lower() == b"bearer"
