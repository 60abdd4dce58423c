"""What a voice is asked to say, and how much of it an ear wrote down otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["SENTENCES", "word_error_rate"]

SENTENCES = (
    "You played all the way through without a stop, and the rhythm was steady.",
    "In the last twenty seconds you sped up, from ninety six to a hundred and eight.",
    "Try the passage from bar twelve with a slow count of four.",
)

_FIGURES = {
    "20": "twenty",
    "96": "ninety six",
    "108": "a hundred and eight",
    "12": "twelve",
    "4": "four",
}


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Wrong, missing and added words, as a share of those that were to be said.

    :param pairs: what was to be said, and what was heard.
    """
    wrong = total = 0
    for said, heard in pairs:
        expected = _words(said)
        wrong += _edits(expected, _words(heard))
        total += len(expected)
    return wrong / total


def _words(text: str) -> list[str]:
    """Numbers as words, since the ear writes figures."""
    spelled = re.sub(r"\d+", lambda found: _FIGURES.get(found[0], found[0]), text.lower())
    return re.findall(r"[a-z']+", spelled)


def _edits(expected: list[str], heard: list[str]) -> int:
    """The Levenshtein distance in words."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(expected, 1):
        before, row[0] = row[0], number
        for at, other in enumerate(heard, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (word != other))
    return row[-1]
