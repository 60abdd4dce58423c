"""The performance summary: every figure with its confidence and its time span."""

from __future__ import annotations

from attrs import frozen

__all__ = ["PerformanceSummary"]


@frozen(kw_only=True)
class PerformanceSummary:
    """Placeholder shape; the performance work fills it in."""
