"""A figure: one measured number with what it is worth and the time it speaks of."""

from __future__ import annotations

from attrs import frozen

__all__ = ["UNITS", "Figure", "NamedFigure"]

UNITS = ("bpm", "cents", "s", "db", "percent", "ratio", "count", "midi", "hz")
"""The units a figure may have."""


@frozen(kw_only=True)
class Figure:
    """A measured number. It is absent, never zero, where it could not be measured.

    ``unit`` is one of ``UNITS``. ``confidence`` is 0 to 1. ``start`` and ``end`` are the seconds of
    session media time that it was measured on.
    """

    value: float
    unit: str
    confidence: float
    start: float
    end: float


@frozen(kw_only=True)
class NamedFigure:
    """A figure and what it is of.

    ``name`` is the summary's own name for it ("tempo_drift"), ``detail`` says which of several it
    is (a note's name, a place; empty if there is but one), ``take`` is the take's number, ``None``
    where it is of all that was played.
    """

    figure: Figure
    name: str
    detail: str = ""
    take: int | None = None
