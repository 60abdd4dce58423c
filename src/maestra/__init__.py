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
    from maestra.app.event_log import Subscription as Events
    from maestra.app.session import Session, open_session

__all__ = ["Config", "Events", "Session", "open_session"]

_HOMES = {
    "Config": ("maestra.app.config", "Config"),
    "Events": ("maestra.app.event_log", "Subscription"),
    "Session": ("maestra.app.session", "Session"),
    "open_session": ("maestra.app.session", "open_session"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)
