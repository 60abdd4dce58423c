"""Measured amounts as a teacher says them.

Cents are for tuners: said only when somebody asks how much, and a part of a tone before that. Of
loudness nothing is measured but decibels, so those are said.
"""

from __future__ import annotations

from maestra.core.performance.figure import Figure

__all__ = [
    "beats_a_minute",
    "decibels",
    "part_of_a_tone",
    "percent_of",
    "seconds",
    "tenths",
    "times",
    "whole",
    "whole_seconds",
]

_PARTS = (
    (20, "a tenth"),
    (25, "an eighth"),
    (33, "a sixth"),
    (40, "a fifth"),
    (50, "a quarter"),
    (67, "a third"),
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


def times(count: Figure) -> str:
    """ "twice", "3 times"."""
    return "twice" if round(count.value) == 2 else f"{count.value:.0f} times"


def whole(figure: Figure) -> str:
    """The nearest whole number, without its sign."""
    return f"{abs(figure.value):.0f}"


def percent_of(ratio: Figure) -> str:
    """A ratio as a whole number of percent."""
    return f"{100 * ratio.value:.0f}"


def decibels(level: Figure) -> str:
    """ "about 1 decibel", "about 9 decibels"."""
    number = max(1, round(abs(level.value)))
    return f"about {number} decibel{'' if number == 1 else 's'}"


def whole_seconds(span: Figure) -> str:
    """ "a second", "12 seconds", "3 minutes", "4 and a half minutes"."""
    if span.value < 1.5:
        return "a second"
    if span.value < 105:
        return f"{span.value:.0f} seconds"
    minutes, half = divmod(round(span.value / 30), 2)
    return f"{minutes} and a half minutes" if half else f"{minutes} minutes"
