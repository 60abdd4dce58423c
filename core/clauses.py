"""From streamed tokens to clauses that can be spoken one by one.

A clause ends where a sentence does, at a line's end, and in a long sentence at a colon, semicolon,
dash or comma. Whether it ends at a mark is decided by what stands around the mark and never
reconsidered, and while that has not come, nothing is decided: so the clauses depend on the text
alone, not on the pieces in which it came.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ClauseSplitter"]

_LONG_ENOUGH: Final = {",": 10, ";": 4, ":": 4, "\u2013": 4, "\u2014": 4}
"""From how many words on a clause may end at a mark inside its sentence: what is shorter sounds
chopped, and a wait for more costs a tenth of a second."""

_MOST_WORDS: Final = 30
"""A clause without a mark ends here: a voice that waits for more would be late."""

_MOST_CHARACTERS: Final = 400
"""Likewise where nothing parts the words."""

_ENDS: Final = ".!?\u2026"
_WIDE_ENDS: Final = "\u3002\uff01\uff1f"
_CLOSERS: Final = "\"')]}*_`\u201d\u2019\u00bb"
_OPENERS: Final = "\"'([{*_`\u201c\u2018\u00ab-\u2022#>"

_ABBREVIATIONS: Final = frozenset(
    "e.g i.e mr mrs ms dr prof st vs etc no op nr bar.no approx ca cf al fig vol ed jr sr min max"
    " sec secs bpm p pp m mm ff fff mf mp sf sfz ppp rit rall cresc decresc dim accel ped stacc"
    " ten leg".split()
)
_NAMED_BY_NUMBER: Final = frozenset("no op nr fig vol p pp m mm bar.no".split())
"""Abbreviations that a number follows; before a word in capitals they may well end a sentence."""

_ALWAYS_OPEN: Final = frozenset("e.g i.e mr mrs ms dr prof st vs approx ca cf".split())
"""Abbreviations that no sentence ends with."""

_LAST_WORD: Final = re.compile(r"[^\s\"'(\[{*_`\u201c\u2018\u00ab]+$")
_INITIAL_NEXT: Final = re.compile(r"[A-Z]\.")


class ClauseSplitter:
    """Takes an answer as it is written and gives its clauses, each stripped, on one line."""

    def __init__(self) -> None:
        self._text = ""

    def push(self, text: str) -> list[str]:
        """Take the next piece; return the clauses that are now complete."""
        self._text += text
        clauses: list[str] = []
        while (end := _end_of_clause(self._text)) is not None:
            clauses += _tidy(self._text[:end])
            self._text = self._text[end:]
        return clauses

    def flush(self) -> list[str]:
        """The answer is complete: return what is left of it, and begin anew."""
        rest, self._text = self._text, ""
        return _tidy(rest)


def _tidy(clause: str) -> list[str]:
    tidied = " ".join(clause.split())
    return [tidied] if tidied else []


def _end_of_clause(text: str) -> int | None:
    """Where the first clause of ``text`` ends; ``None`` if that cannot be said yet."""
    words = 0
    at = 0
    begin = 0  # of the word that ``at`` is in
    while at < len(text):
        sign = text[at]
        if sign == "\n" or sign in _WIDE_ENDS:
            return at + 1
        if sign.isspace():
            if at > begin:
                words += 1
                if words >= _MOST_WORDS:
                    return at
            begin = at + 1
        elif at - begin >= _MOST_CHARACTERS:
            return at
        elif sign in _ENDS:
            after = at
            while after < len(text) and text[after] in _ENDS:
                after += 1
            while after < len(text) and text[after] in _CLOSERS:
                after += 1
            ends = _ends_sentence(text, at, after, first=words == 0)
            if ends is None:
                return None
            if ends:
                return after
            at = after
            continue
        elif sign in _LONG_ENOUGH:
            if words + (at > begin) >= _LONG_ENOUGH[sign]:
                ends = _ends_part(text, at)
                if ends is None:
                    return None
                if ends:
                    return at + 1
        at += 1
    return None


def _ends_sentence(text: str, mark: int, after: int, *, first: bool) -> bool | None:
    """Whether the marks from ``mark`` up to ``after`` end a sentence; ``None``: not known yet.

    :param first: the word before the mark is the clause's first.
    """
    if after >= len(text):
        return None
    if not text[after].isspace():
        return False
    following = _following(text, after)
    if following is None:
        return "\n" in text[after:] or None
    if "\n" in text[after:following]:
        return True
    follower = text[following]
    if follower.islower():
        return False
    if text[mark:after].rstrip(_CLOSERS) != ".":
        return True
    found = _LAST_WORD.search(text, 0, mark)
    word = found.group() if found else ""
    if first and word.isdecimal() and len(word) < 3:
        return False  # the number of a list's item
    if len(word) == 1 and word.isalpha():
        if word.isupper() and len(text) < following + 2:
            return None
        return _ends_after_letter(text, mark, following)
    lowered = word.lower()
    if lowered in _ALWAYS_OPEN:
        return False
    if lowered in _NAMED_BY_NUMBER:
        return not follower.isdecimal()
    # "rit." and the like may end a sentence; what begins with a capital after one is the next.
    return lowered not in _ABBREVIATIONS or follower.isupper()


def _ends_after_letter(text: str, mark: int, following: int) -> bool:
    """Whether "B." ends a sentence. In a lesson it is a note, unless it stands among initials."""
    if not text[mark - 1].isupper():
        return not text[following].isdecimal()
    if _INITIAL_NEXT.match(text, following):
        return False
    before = text[: mark - 1].rstrip()
    among = len(before) >= 2 and before[-1] == "." and before[-2].isupper()
    among = among and (len(before) == 2 or not before[-3].isalnum())
    return not among and text[mark - 1] in "ABCDEFGI"


def _ends_part(text: str, mark: int) -> bool | None:
    """Whether a part of a sentence ends at ``mark``; figures are not parted from each other."""
    following = _following(text, mark + 1)
    if following is None:
        return None
    dash = text[mark] in "\u2013\u2014"
    if following == mark + 1 and not dash:
        return False
    around = (text[:mark].rstrip()[-1:], text[following])
    return not any(sign.isdecimal() for sign in around)


def _following(text: str, at: int) -> int | None:
    """Where the next word begins, from ``at`` on, opening marks aside."""
    while at < len(text):
        if not text[at].isspace() and text[at] not in _OPENERS:
            return at
        at += 1
    return None
