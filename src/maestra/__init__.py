"""Maestra: a music teacher that sits in on a lesson.

It listens to a live stream, stays silent until somebody says "Teacher, comment", and answers
aloud as a talking face with what it has really measured.

``open_session`` holds a lesson. It is imported when it is first asked for, so that ``import
maestra``, and the core and the ports below it, need nothing but three small libraries.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maestra.app.config import Config
    from maestra.app.session import Session, open_session

__all__ = ["Config", "Session", "open_session"]

_HOMES = {
    "Config": "maestra.app.config",
    "Session": "maestra.app.session",
    "open_session": "maestra.app.session",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
