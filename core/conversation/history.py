"""Chat history: what was said and heard in this conversation."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Turn"]


@frozen(kw_only=True)
class Turn:
    """A question and the part of its answer that was heard."""

    question: str
    heard: str
