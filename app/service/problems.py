"""What the service says when it will not, or cannot: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from attrs import field, frozen

from .logs import REQUEST_ID

__all__ = ["MEDIA_TYPE", "Problem", "ProblemDetails"]

MEDIA_TYPE: Final = "application/problem+json"


@frozen(kw_only=True)
class ProblemDetails:
    """Why a request failed, and what to do. Some problems have further members."""

    type: str = field(metadata={"doc": "which problem it is; it does not change"})
    title: str = field(metadata={"doc": "the status in words"})
    status: int = field(metadata={"doc": "the HTTP status"})
    detail: str = field(metadata={"doc": "a sentence that says what to do"})
    request_id: str = field(metadata={"doc": "stands in the service's log, too"})


class Problem(Exception):
    """A request fails. ``kind`` is the last part of the problem's type, ``detail`` the sentence."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def body(self) -> bytes:
        """As JSON."""
        return json.dumps(
            {
                "type": f"urn:maestra:problem:{self.kind}",
                "title": HTTPStatus(self.status).phrase,
                "status": self.status,
                "detail": self.detail,
                "request_id": REQUEST_ID.get(),
                **self.members,
            },
            ensure_ascii=False,
        ).encode()
