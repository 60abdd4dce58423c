"""What went wrong with a connection, and what is to be done about it.

The service says why it hangs up in a close code and a sentence. The code alone tells little: 1007
is a wrong key as well as a message it did not like, 1008 an unknown model as well as a session it
no longer has, 1011 an exhausted quota as well as a passing fault. So the sentence is read too.
"""

from __future__ import annotations

import enum
import re
import ssl
from typing import Any, Final

from attrs import frozen

from .settings import KEY_VARIABLE

__all__ = ["Failure", "Kind", "failure_of"]


class Kind(enum.Enum):
    DROPPED = "dropped"
    """The connection broke: connect again, and resume."""

    REFUSED = "refused"
    """It did not like what the session holds: connect again, and begin anew."""

    KEY = "key"
    MODEL = "model"
    QUOTA = "quota"
    FORBIDDEN = "forbidden"


@frozen(kw_only=True)
class Failure:
    """``sentence`` is for people; ``wait`` is how long the service asks to be left alone, seconds,
    if it does."""

    kind: Kind
    sentence: str
    wait: float | None = None

    @property
    def is_lasting(self) -> bool:
        """Whether trying again at once cannot help."""
        return self.kind not in (Kind.DROPPED, Kind.REFUSED)

    @property
    def is_refusal(self) -> bool:
        """Whether it will never work as it is configured."""
        return self.kind in (Kind.KEY, Kind.MODEL, Kind.FORBIDDEN)

    @property
    def keeps_session(self) -> bool:
        return self.kind is not Kind.REFUSED


_KEY: Final = re.compile(r"api.?key|unauthenticated|credential|leaked", re.IGNORECASE)
_MODEL: Final = re.compile(
    r"models?/\S+ is not|is not found for api version|not supported for bidi|publisher model",
    re.IGNORECASE,
)
_QUOTA: Final = re.compile(
    r"quota|rate.?limit|resource.?(?:has been )?exhausted|too many requests|billing", re.IGNORECASE
)
_FORBIDDEN: Final = re.compile(
    r"location is not supported|permission|denied|not been used in project", re.IGNORECASE
)
_WAIT: Final = re.compile(
    r"(?:retry|try again) (?:in|after) (\d+(?:\.\d+)?)\s*(ms|s)", re.IGNORECASE
)

_REFUSING_CODES: Final = frozenset({1002, 1003, 1007, 1008, 1009, 400})
_HTTP_KINDS: Final = {401: Kind.KEY, 403: Kind.KEY, 429: Kind.QUOTA}


def failure_of(error: BaseException, *, model: str, key: str) -> Failure:
    """What ``error``, which the SDK or its WebSocket raised, means."""
    code, reason, wait = _told(error)
    reason = reason.replace(key, "…") if key else reason
    kind = _kind(code, reason)
    if kind is Kind.DROPPED and isinstance(error, ssl.SSLCertVerificationError):
        kind = Kind.FORBIDDEN
        reason = "its certificate cannot be verified"
    if (found := _WAIT.search(reason)) is not None:
        wait = float(found[1]) * (0.001 if found[2].lower() == "ms" else 1.0)
    return Failure(kind=kind, sentence=_sentence(kind, code, reason, model), wait=wait)


def _told(error: BaseException) -> tuple[int | None, str, float | None]:
    """Code, reason and the time to wait."""
    from google.genai import errors
    from google.genai.live import ConnectionClosed

    if isinstance(error, errors.APIError):
        reason = error.details if isinstance(error.details, str) else error.message
        return error.code, str(reason or ""), None
    response: Any = getattr(error, "response", None)
    if isinstance(getattr(response, "status_code", None), int):  # the handshake was refused
        after = response.headers.get("Retry-After", "")
        body = (response.body or b"").decode(errors="replace")
        return response.status_code, body, float(after) if after.isdecimal() else None
    if isinstance(error, ConnectionClosed):
        closed = error.rcvd
        return (closed.code, closed.reason, None) if closed else (1006, "", None)
    if isinstance(error, TimeoutError):
        return None, "it did not answer in time", None
    if isinstance(error, OSError):
        return None, error.strerror or "it cannot be reached", None
    return None, "it sent what is no message", None


def _kind(code: int | None, reason: str) -> Kind:
    if _QUOTA.search(reason):
        return Kind.QUOTA
    if _KEY.search(reason):
        return Kind.KEY
    if _MODEL.search(reason):
        return Kind.MODEL
    if _FORBIDDEN.search(reason):
        return Kind.FORBIDDEN
    if code in _HTTP_KINDS:
        return _HTTP_KINDS[code]
    return Kind.REFUSED if code in _REFUSING_CODES else Kind.DROPPED


def _sentence(kind: Kind, code: int | None, reason: str, model: str) -> str:
    told = " ".join(reason.split())[:160].rstrip(".")
    why = " ".join(filter(None, [str(code) if code else "", told])) or "no reason given"
    match kind:
        case Kind.KEY:
            return f"Gemini refuses the key in {KEY_VARIABLE} ({why}): set one that works"
        case Kind.QUOTA:
            return (
                f"the quota of the key in {KEY_VARIABLE} is used up ({why}): wait, or raise it"
                " with Google"
            )
        case Kind.MODEL:
            return (
                f"Gemini has no Live model {model!r} ({why}): set brain.options.gemini-live.model"
            )
        case Kind.FORBIDDEN:
            return f"Gemini may not be used from here with the key in {KEY_VARIABLE} ({why})"
        case Kind.REFUSED:
            return f"Gemini refused the session ({why})"
        case Kind.DROPPED:
            return f"the connection to Gemini broke ({why})"
