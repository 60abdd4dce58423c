"""LivePortrait: a neural portrait; its mouth follows the sound, its head a life of its own."""

from __future__ import annotations

from .settings import LivePortraitSettings

__all__ = ["LivePortraitSettings"]
