"""SadTalker: speech to the coefficients of a 3-D face, and from those to pictures."""

from __future__ import annotations

from .settings import SadTalkerSettings

__all__ = ["SadTalkerSettings"]
