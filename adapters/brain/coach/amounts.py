"""Measured amounts as a teacher says them.

Cents are for tuners and decibels for engineers: said only when somebody asks how much.
"""

from __future__ import annotations

from maestra.core.performance.figure import Figure

__all__ = ["beats_a_minute", "part_of_a_tone", "seconds", "tenths", "whole", "whole_seconds"]

_PARTS = (
    (20, "a tenth"),
    (25, "an eighth"),
    (33, "a sixth"),
    (40, "a fifth"),
    (50, "a quarter"),
)


def part_of_a_tone(deviation: Figure) -> str:
    """ "about an eighth of a tone"."""
    size = abs(deviation.value)
    _, name = min(_PARTS, key=lambda part: abs(part[0] - size))
    return f"about {name} of a tone"


def beats_a_minute(tempo: Figure) -> str:
    return f"{tempo.value:.0f}"


def seconds(span: Figure) -> str:
    """ "about 1 and a half seconds", "about 3 seconds"."""
    halves = round(span.value * 2)
    if span.value < 0.7:
        return "about half a second" if 0.38 < span.value < 0.62 else tenths(span)
    if halves == 2:
        return "about a second"
    if halves % 2 and span.value < 6:
        return f"about {halves // 2} and a half seconds"
    return f"about {round(span.value)} seconds"


def tenths(span: Figure) -> str:
    return f"{span.value:.1f} seconds"


def whole(figure: Figure) -> str:
    """The nearest whole number, without its sign."""
    return f"{abs(figure.value):.0f}"


def whole_seconds(span: Figure) -> str:
    return "1 second" if round(span.value) == 1 else f"{span.value:.0f} seconds"
