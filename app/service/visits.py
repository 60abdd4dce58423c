"""Visits: how a browser gets in, which has no token to send.

Whoever has the token makes a link to the console. Its code stands after the ``#``, so it is in no
request's path, and in no log; the page sends it in a body. It works once, and not for long, and
buys a cookie that scripts cannot read and that no other site's requests carry. Links and visits are
kept in memory, as digests, and forgotten when the service ends.

Of the ways in which another page could use a visit: its requests carry no cookie (``SameSite``);
those of a page on another port of this host, which is the same site, do, and are told apart by
``Sec-Fetch-Site`` and ``Origin``; a name that was made to lead here (DNS rebinding) is another
host, to which the cookie is not sent.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

__all__ = ["LINK_LASTS", "VISIT_LASTS", "Admitted", "Visits"]

LINK_LASTS: Final = 600.0
"""Seconds that a link can be used, once."""

VISIT_LASTS: Final = 12 * 3600.0
"""Seconds that a visit may take."""

_LINKS: Final = 8
_VISITS: Final = 32
"""So many are kept; the oldest goes."""

_SAFE: Final = frozenset({"GET", "HEAD"})
_OURS: Final = frozenset({b"same-origin", b"none"})
"""What ``Sec-Fetch-Site`` says of what our own page asks, or a person by hand."""


class Admitted(enum.StrEnum):
    """By what a request was let in: the gate writes it into the request's scope, under
    ``maestra.admitted``."""

    TOKEN = "token"
    VISIT = "visit"
    OPEN = "open"
    """It needed neither: the path is open to all, or the service is (``--insecure``)."""


class _Kept:
    """Secrets that expire, as digests: the memory that holds them lets nobody in."""

    def __init__(self, most: int, lasts: float, clock: Callable[[], float]) -> None:
        self._most = most
        self._lasts = lasts
        self._clock = clock
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def make(self) -> str:
        made = secrets.token_urlsafe(32)
        self._until[_digest(made)] = self._clock() + self._lasts
        while len(self._until) > self._most:
            self._until.popitem(last=False)
        return made

    def find(self, given: str) -> bytes | None:
        """The digest under which ``given`` is kept. All are compared, whichever it is."""
        digest, found = _digest(given), None
        for kept, until in self._until.items():
            if hmac.compare_digest(kept, digest) and until > self._clock():
                found = kept
        return found

    def forget(self, digest: bytes) -> None:
        del self._until[digest]


class Visits:
    """Who may come without the token.

    :param port: of the service: cookies are shared by all ports of a host, so it is in the
        cookie's name.
    """

    def __init__(self, port: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.cookie = f"maestra_{port}"
        self._links = _Kept(_LINKS, LINK_LASTS, clock)
        self._visits = _Kept(_VISITS, VISIT_LASTS, clock)

    def invite(self) -> str:
        """A code for one visit."""
        return self._links.make()

    def enter(self, code: str, *, is_encrypted: bool) -> str | None:
        """The ``Set-Cookie`` header that ``code`` buys; ``None`` if it is wrong, used or too old.

        :param is_encrypted: the browser came by HTTPS; then the cookie is sent in no other way.
        """
        digest = self._links.find(code)
        if digest is None:
            return None
        self._links.forget(digest)
        secure = "; Secure" if is_encrypted else ""
        return f"{self.cookie}={self._visits.make()}; Path=/; HttpOnly; SameSite=Strict{secure}"

    def admits(self, method: str, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request comes from a visitor's own page.

        Pages of other ports of this host count as the same site, and their requests carry the
        cookie. The browser says where a request is from; what changes something must also have an
        ``Origin``, which the gate has compared with the host.
        """
        if headers.get(b"sec-fetch-site", b"none") not in _OURS:
            return False
        if method not in _SAFE and b"origin" not in headers:
            return False
        given = _cookie(headers.get(b"cookie", b""), self.cookie.encode())
        return given is not None and self._visits.find(given.decode("latin-1")) is not None


def _cookie(header: bytes, name: bytes) -> bytes | None:
    for part in header.split(b";"):
        key, _, value = part.strip().partition(b"=")
        if key == name:
            return value
    return None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
