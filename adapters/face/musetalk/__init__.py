"""MuseTalk 1.5: a mouth painted into a moving portrait, by the speech around each picture."""

from __future__ import annotations

from .settings import MuseTalkSettings

__all__ = ["MuseTalkSettings"]
