"""The coach: a brain that needs no language model."""

from __future__ import annotations

from .coach import Coach

__all__ = ["Coach"]
