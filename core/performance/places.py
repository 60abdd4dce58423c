"""Places in a take, in words a person can follow."""

from __future__ import annotations

__all__ = ["place_of_instant", "place_of_span"]


def place_of_instant(at: float, start: float, end: float) -> str:
    """Where in a take from ``start`` to ``end`` the instant ``at`` is.

    Short takes are told in parts, for seconds mean little there; in longer ones the seconds since
    the start are told while they are few enough to be counted.
    """
    length = max(end - start, 1e-6)
    through = (at - start) / length
    if through < 0.12:
        return "right at the start"
    if through < 0.3:
        return "near the beginning"
    if through < 0.45:
        return "in the first half"
    if through < 0.58:
        return "in the middle"
    if through < 0.75:
        return "in the second half"
    if through < 0.9:
        return "towards the end"
    return "right at the end"


def place_of_span(begin: float, finish: float, start: float, end: float) -> str:
    """Where in a take from ``start`` to ``end`` the span from ``begin`` to ``finish`` is."""
    length = max(end - start, 1e-6)
    first, last = (begin - start) / length, (finish - start) / length
    if first < 0.2 and last > 0.8:
        return "from beginning to end"
    if last - first < 0.2:
        return place_of_instant((begin + finish) / 2, start, end)
    if first < 0.15:
        return "in the first half" if last < 0.62 else "up to near the end"
    if last > 0.85:
        if first > 0.7:
            return "towards the end"
        return "in the second half" if first > 0.4 else "from the first part on"
    return "in the middle"
