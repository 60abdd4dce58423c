"""The number checker: a reply may only state a figure that was measured.

Every brain's output passes here, clause by clause, before it is spoken. A language model likes to
say "your tempo was 92" whatever the tempo was; this finds the 92, looks for it among the figures of
the performance summary, and names it if it isn't there.

What counts as a figure
-----------------------
Digits and number words ("96", "1.5", "12 %", "ninety-six", "a hundred and four", "one twenty",
"one point five", "one and a half", "half a second", "an eighth of a tone", "twice"), with the unit
that stands next to them, or next to the other end of a range ("from 96 to 108 beats a minute").
A comparison makes a ratio of them ("twice as fast", "three times louder") or, after a fraction, a
share ("1/4 slower"), whatever it is said of.

What does not: ordinals, names ("C4", "bar 3/4 time"), and whole numbers up to ten, which belong to
exercises ("play it three times", "count to four", "at half the speed") — unless a measuring unit
stands next to them ("three cents"), or they say how often or how many something happened ("you
stopped three times").

What a measured figure covers
-----------------------------
Its value, sign aside, rounded to as many decimals as were said; said with "about" or the like, also
rounded to the nearest five, from ten on; said as a fraction, to within a quarter of that fraction;
said as a ratio, to within an eighth of it, either way round; in another unit of the same quantity
(milliseconds, minutes, fractions of a tone, a ratio in percent). "In the last twenty seconds" is
also covered by where in time a figure was measured.
Differences, sums and products of figures are not covered: what is to be said must be measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final

from attrs import evolve, frozen

from .performance.figure import Figure, NamedFigure

__all__ = ["StatedFigure", "stated_figures", "unmeasured_figures"]


@frozen(kw_only=True)
class StatedFigure:
    """A figure of a text, ``text[start:end]``, and the measured one that covers it.

    Where it is said how long or how long ago something was, ``measured`` is called ``stretch``: the
    time that another figure was measured on.
    """

    start: int
    end: int
    measured: NamedFigure


@frozen(kw_only=True)
class _Said:
    """A figure as it was said, in tokens ``start`` to ``end``.

    ``value`` is in ``unit`` (``None``: none was said) already, of which the unit that was said is
    ``factor``. ``slack`` is how far from it a measured value may lie; ``is_about`` says that it was
    called approximate, ``compares`` that one thing is compared with another.
    """

    start: int
    end: int
    value: float
    slack: float
    unit: str | None = None
    factor: float = 1.0
    is_about: bool = False
    compares: bool = False


# --- words ----------------------------------------------------------------------------------------

_ONES: Final = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
        " fifteen sixteen seventeen eighteen nineteen".split()
    )
}
_TENS: Final = {
    word: 10 * value
    for value, word in enumerate(
        "twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2
    )
}
_TENS_SPELT: Final = _TENS | {"fourty": 40}
_FRACTIONS: Final = {
    "half": Fraction(1, 2), "halves": Fraction(1, 2), "third": Fraction(1, 3),
    "thirds": Fraction(1, 3), "quarter": Fraction(1, 4), "quarters": Fraction(1, 4),
    "fifth": Fraction(1, 5), "fifths": Fraction(1, 5), "sixth": Fraction(1, 6),
    "eighth": Fraction(1, 8), "eighths": Fraction(1, 8), "tenth": Fraction(1, 10),
    "tenths": Fraction(1, 10), "hundredth": Fraction(1, 100), "hundredths": Fraction(1, 100),
}  # fmt: skip
_SIGNS: Final = {"½": Fraction(1, 2), "¼": Fraction(1, 4), "¾": Fraction(3, 4)}
_ADVERBS: Final = {"twice": 2, "thrice": 3}

_UNITS: Final[dict[str, tuple[str, float]]] = {
    "beats per minute": ("bpm", 1), "beats a minute": ("bpm", 1), "beats in a minute": ("bpm", 1),
    "beats the minute": ("bpm", 1), "beat per minute": ("bpm", 1), "beat a minute": ("bpm", 1),
    "beats / minute": ("bpm", 1), "beats / min": ("bpm", 1), "beats per min": ("bpm", 1),
    "clicks a minute": ("bpm", 1), "clicks per minute": ("bpm", 1), "bpm": ("bpm", 1),
    "b p m": ("bpm", 1),
    "cent": ("cents", 1), "cents": ("cents", 1), "¢": ("cents", 1), "tone": ("cents", 200),
    "tones": ("cents", 200), "semitone": ("cents", 100), "semitones": ("cents", 100),
    "second": ("s", 1), "seconds": ("s", 1), "sec": ("s", 1), "secs": ("s", 1), "s": ("s", 1),
    "millisecond": ("s", 0.001), "milliseconds": ("s", 0.001), "ms": ("s", 0.001),
    "msec": ("s", 0.001), "minute": ("s", 60), "minutes": ("s", 60), "min": ("s", 60),
    "%": ("percent", 1), "percent": ("percent", 1), "per cent": ("percent", 1),
    "percentage points": ("percent", 1), "percentage point": ("percent", 1),
    "decibel": ("db", 1), "decibels": ("db", 1), "db": ("db", 1), "dbfs": ("db", 1),
    "hertz": ("hz", 1), "hz": ("hz", 1), "khz": ("hz", 1000),
    "\u00d7": ("count", 1),
    "times": ("count", 1), "time": ("count", 1), "notes": ("count", 1), "note": ("count", 1),
    "takes": ("count", 1), "stops": ("count", 1), "pauses": ("count", 1), "breaks": ("count", 1),
    "hesitations": ("count", 1), "hesitation": ("count", 1), "mistakes": ("count", 1),
    "mistake": ("count", 1), "slips": ("count", 1), "slip": ("count", 1), "gaps": ("count", 1),
    "tries": ("count", 1), "attempts": ("count", 1), "errors": ("count", 1), "beats": ("count", 1),
    "bars": ("count", 1), "phrases": ("count", 1), "of": ("count", 1), "places": ("count", 1),
    "stop": ("count", 1), "pause": ("count", 1), "bar": ("count", 1), "attempt": ("count", 1),
    "gap": ("count", 1), "error": ("count", 1), "accents": ("count", 1), "chords": ("count", 1),
}  # fmt: skip
_UNIT_WORDS: Final = {tuple(words.split()): unit for words, unit in _UNITS.items()}
_LONGEST_UNIT: Final = max(map(len, _UNIT_WORDS))
_INTERVALS: Final = frozenset({"tone", "tones", "semitone", "semitones"})
"""As whole numbers ("a tone higher", "two semitones") they are intervals; as fractions, errors."""

_MEASURES: Final = frozenset(
    "fast quick quickly slow slowly loud loudly soft softly quiet quietly long short strong"
    " strongly heavy heavily hard high low big large small wide much many often far late early even"
    " evenly steady steadily sharp flat good well bad badly".split()
)
"""What comes after "as" where things are compared."""

_COMPARATIVES: Final = frozenset(
    "faster quicker slower louder softer quieter longer shorter stronger heavier lighter weaker"
    " bigger larger smaller wider later earlier".split()
)
_COMPARED_PITCHES: Final = frozenset({"higher", "lower", "sharper", "flatter"})
"""Not after a fraction: "a third higher" is an interval."""

_TIMES: Final = frozenset({"times", "\u00d7", "x"})
_EXERCISES: Final = frozenset(
    "play practise practice repeat try do clap count sing tap loop say hear".split()
)

_WHOLES: Final = frozenset({"the", "your", "all", "them", "those"})
_NTH: Final = frozenset("first second third fourth last final opening other next the this".split())

_ABOUT: Final = frozenset(
    "about around roughly approximately nearly almost some over under above below circa ca"
    " near".split()
)
_ABOUT_PAIRS: Final = frozenset({("more", "than"), ("less", "than"), ("close", "to")})
_RANGE: Final = frozenset(
    {"to", "and", "or", "-", "\u2013", "\u2014", "until", "through", "versus"}
)
_BETWEEN_NUMBER_AND_UNIT: Final = frozenset({"-", "whole", "full", "more", "extra", "wrong"})
_PASTS: Final = frozenset(
    "was were had got went made lost hit left held took heard sped came fell sang began kept let"
    " broke found had've did ran stood stuck felt struck".split()
)
_OBSERVERS: Final = frozenset({"you", "you've", "i", "i've", "there", "your", "it"})
_ENDS_OF_CLAUSES: Final = frozenset(".;:!?")
_SPANS: Final = frozenset({"last", "first", "final", "opening", "past"})

_CLAIMED_FROM: Final = 11
_ROUNDED_FROM: Final = 10
"""Below this, "about five" for three would be no rounding but another number."""

_TOKEN: Final = re.compile(
    r"(?P<number>\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
    r"|(?P<word>[^\W\d_]+(?:['\u2019][^\W\d_]+)*)"
    r"|(?P<sign>\S)"
)
_GLUED_BEFORE: Final = re.compile(r"[^\W\d]$|[#\u266f\u266d/]$|\d/$")
_ORDINAL_ENDING: Final = frozenset({"st", "nd", "rd", "th", "ths"})


@frozen
class _Token:
    text: str
    start: int
    end: int
    is_number: bool

    @property
    def number(self) -> float:
        return float(self.text.replace(",", ""))

    @property
    def decimals(self) -> int:
        return len(self.text.partition(".")[2])


def unmeasured_figures(text: str, figures: Iterable[Figure]) -> tuple[str, ...]:
    """The figures in ``text`` that none of ``figures`` covers, as they were said, in their order.

    :param text: English, a clause or more.
    :param figures: what was measured.
    """
    measured = tuple(NamedFigure(figure=figure, name="") for figure in figures)
    tokens = _tokens(text)
    return tuple(
        text[tokens[said.start].start : tokens[said.end - 1].end]
        for said in _said_in(tokens)
        if _is_claim(tokens, said) and not _covering(tokens, said, measured)
    )


def stated_figures(text: str, measured: Sequence[NamedFigure]) -> tuple[StatedFigure, ...]:
    """The figures in ``text`` that are measured, with what covers them, in their order.

    :param text: English, a clause or more.
    :param measured: what was measured; of several that cover one figure the first is taken.
    """
    tokens = _tokens(text)
    return tuple(
        StatedFigure(
            start=tokens[said.start].start, end=tokens[said.end - 1].end, measured=covering[0]
        )
        for said in _said_in(tokens)
        if _is_claim(tokens, said) and (covering := _covering(tokens, said, measured))
    )


def _tokens(text: str) -> list[_Token]:
    return [
        _Token(
            match[0].lower().replace("\u2019", "'"),
            match.start(),
            match.end(),
            match.lastgroup == "number",
        )
        for match in _TOKEN.finditer(text)
    ]


# --- finding --------------------------------------------------------------------------------------


def _said_in(tokens: Sequence[_Token]) -> list[_Said]:
    """Every figure with its unit or comparison, ranges with the unit of their end."""
    found: list[_Said] = []
    at = 0
    while at < len(tokens):
        said = _number(tokens, at)
        if said is None:
            at += 1
            continue
        said = evolve(said, is_about=_is_about(tokens, at))
        said = _with_unit(tokens, said)
        found.append(said)
        at = said.end
    for index in range(len(found) - 2, -1, -1):
        one, other = found[index], found[index + 1]
        if one.unit is None and other.unit is not None and _are_range(tokens, one, other):
            found[index] = _in_unit(one, other.unit, other.factor)
    return found


def _are_range(tokens: Sequence[_Token], one: _Said, other: _Said) -> bool:
    between = [token.text for token in tokens[one.end : other.start]]
    return bool(between) and between[0] in _RANGE and all(word in _ABOUT for word in between[1:])


def _is_about(tokens: Sequence[_Token], at: int) -> bool:
    before = tuple(token.text for token in tokens[max(0, at - 2) : at])
    return before in _ABOUT_PAIRS or (bool(before) and before[-1] in _ABOUT)


def _text(tokens: Sequence[_Token], at: int) -> str:
    return tokens[at].text if 0 <= at < len(tokens) else ""


def _number(tokens: Sequence[_Token], at: int) -> _Said | None:
    """The number that begins at token ``at``, with what belongs to it ("one and a half")."""
    said = _fraction(tokens, at) or _digits(tokens, at) or _words(tokens, at)
    if said is None or said.slack != 0.5:
        return said
    for article in ("a", "one"):
        if (_text(tokens, said.end), _text(tokens, said.end + 1)) == ("and", article):
            part = _FRACTIONS.get(_text(tokens, said.end + 2))
            if part is not None:
                return evolve(
                    said, end=said.end + 3, value=said.value + float(part), slack=float(part) / 2
                )
    return said


def _digits(tokens: Sequence[_Token], at: int) -> _Said | None:
    token = tokens[at]
    if token.text in _SIGNS:
        part = _SIGNS[token.text]
        return _Said(start=at, end=at + 1, value=float(part), slack=float(part) / 4)
    if not token.is_number:
        return None
    before = tokens[at - 1] if at else None
    after = tokens[at + 1] if at + 1 < len(tokens) else None
    if before is not None and before.end == token.start and _GLUED_BEFORE.search(before.text):
        return None  # "C4", "F#4", the 4 of "3/4"
    if after is not None and after.start == token.end:
        if after.text in _ORDINAL_ENDING:
            return None
        if after.text == "/" and at + 2 < len(tokens) and tokens[at + 2].is_number:
            return None  # "3/4"
        if after.text in _SIGNS:
            part = _SIGNS[after.text]
            return _Said(start=at, end=at + 2, value=token.number + part, slack=float(part) / 2)
    return _Said(start=at, end=at + 1, value=token.number, slack=0.5 * 10.0**-token.decimals)


def _fraction(tokens: Sequence[_Token], at: int) -> _Said | None:
    """ "half a second", "a quarter of a second", "three quarters of a second", "an eighth tone",
    "half as loud", "1/4 slower": only before a unit or a comparison, for "a third" is also an
    interval, "a quarter" also a note, and "3/4" a time."""
    first = _text(tokens, at)
    count, next_at = 1, at
    if first in ("a", "an"):
        next_at = at + 1
    elif _ONES.get(first):
        count, next_at = _ONES[first], at + 1
    if (quotient := _quotient(tokens, at)) is not None:
        part, next_at = quotient, at + 2
    elif (word := _FRACTIONS.get(_text(tokens, next_at))) is not None:
        part = word
    else:
        return None
    end = next_at + 1
    is_counted = next_at > at or _text(tokens, at) == "half"  # "the quarter longer" is a note
    if is_counted and _text(tokens, at - 1) not in _NTH:
        said = _Said(start=at, end=end, value=float(count * part), slack=float(part) / 4)
        if (compared := _compared(tokens, said, end)) is not None:
            return compared
    if _text(tokens, end) == "of" and _text(tokens, end + 1) in _WHOLES:
        if _text(tokens, at - 1) in _NTH:
            return None  # "the second half of the piece" is a place
        share, slack = float(count * part), float(part) / 4
        return _Said(start=at, end=end, value=share, slack=slack, unit="ratio")
    if _text(tokens, end) == "of":
        end += 1
    if _text(tokens, end) in ("a", "an"):
        end += 1
    unit = _unit(tokens, end)
    if unit is None or unit[0] not in ("s", "cents"):
        return None
    if end == next_at + 1 and _text(tokens, end) not in _INTERVALS and quotient is None:
        return None  # "the third second" is an ordinal
    return _Said(start=at, end=end, value=float(count * part), slack=float(part) / 4)


def _quotient(tokens: Sequence[_Token], at: int) -> Fraction | None:
    """ "1/4", in three tokens without room between them."""
    parts = tokens[at : at + 3]
    if len(parts) < 3 or parts[1].text != "/":
        return None
    if not (parts[0].text.isdecimal() and parts[2].text.isdecimal() and int(parts[2].text)):
        return None
    if parts[0].end != parts[1].start or parts[1].end != parts[2].start:
        return None
    if at and tokens[at - 1].end == parts[0].start and _GLUED_BEFORE.search(tokens[at - 1].text):
        return None
    return Fraction(int(parts[0].text), int(parts[2].text))


def _compared(tokens: Sequence[_Token], said: _Said, at: int) -> _Said | None:
    """``said`` as the comparison that the words at token ``at`` make of it: "as fast", "slower",
    "more evenly"; ``None`` if they make none."""
    is_part = said.slack < 0.5 and said.value < 1
    first, second = _text(tokens, at), _text(tokens, at + 1)
    if first == "as" and (second in _MEASURES or _text(tokens, at + 2) == "as"):
        slack = said.slack if is_part else min(said.slack, said.value / 8)
        return evolve(said, end=at + 2, unit="ratio", slack=slack, compares=True)
    if first in ("more", "less") and second in _MEASURES:
        end = at + 2
    elif first in _COMPARATIVES or (first in _COMPARED_PITCHES and not is_part):
        end = at + 1
    else:
        return None
    if is_part:
        return evolve(_in_unit(said, "percent", 100), end=end, compares=True)
    slack = min(said.slack, said.value / 8)
    return evolve(said, end=end, unit="ratio", slack=slack, compares=True)


def _words(tokens: Sequence[_Token], at: int) -> _Said | None:
    """A number in words. ``slack`` as for the same number in digits."""
    if (times := _ADVERBS.get(_text(tokens, at))) is not None:
        return _Said(start=at, end=at + 1, value=times, slack=0.5, unit="count")
    if (_text(tokens, at), _text(tokens, at + 1)) == ("a", "dozen") or _text(tokens, at) == "dozen":
        end = at + 1 + (_text(tokens, at) == "a")
        return _Said(start=at, end=end, value=12, slack=0.5)
    whole = _whole(tokens, at)
    if whole is None:
        return None
    value, end = whole
    if _is_ordinal(_text(tokens, end)) or _is_ordinal(_text(tokens, end + 1), hyphen=tokens[end:]):
        return None
    if _text(tokens, end) == "point":
        digits = ""
        end += 1
        while _text(tokens, end) in _ONES and _ONES[_text(tokens, end)] < 10:
            digits += str(_ONES[_text(tokens, end)])
            end += 1
        if digits:
            return _Said(
                start=at,
                end=end,
                value=float(f"{value}.{digits}"),
                slack=0.5 * 10.0 ** -len(digits),
            )
    return _Said(start=at, end=end, value=value, slack=0.5)


def _is_ordinal(word: str, *, hyphen: Sequence[_Token] = ()) -> bool:
    """ "twenty first", "twenty-first"; not "twenty second", which is more often a time."""
    if hyphen and hyphen[0].text != "-":
        return False
    return word in ("first", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


def _whole(tokens: Sequence[_Token], at: int) -> tuple[int, int] | None:
    """A whole number in words and where it ends: "a hundred and four", "one oh five"."""
    first = _text(tokens, at)
    below = _below_hundred(tokens, at)
    if below is None:
        if first == "a" and _text(tokens, at + 1) in ("hundred", "thousand"):
            below = 1, at + 1
        elif first == "hundred":
            below = 1, at
        else:
            return None
    value, end = below
    if _text(tokens, end) == "thousand":
        value, end = 1000 * value, end + 1
        if (rest := _whole(tokens, end)) is not None:
            return value + rest[0], rest[1]
        return value, end
    if _text(tokens, end) == "hundred":
        value, end = 100 * value, end + 1
        rest_at = end + (_text(tokens, end) == "and")
        if (rest := _below_hundred(tokens, rest_at)) is not None:
            return value + rest[0], rest[1]
        return value, end
    if first in ("one", "two") and end == at + 1:
        rest = _below_hundred(tokens, end)
        if _text(tokens, end) in ("oh", "o") and _ONES.get(_text(tokens, end + 1), 10) < 10:
            return 100 * value + _ONES[_text(tokens, end + 1)], end + 2
        if rest is not None and rest[0] >= 10:
            return 100 * value + rest[0], rest[1]
    return value, end


def _below_hundred(tokens: Sequence[_Token], at: int) -> tuple[int, int] | None:
    word = _text(tokens, at)
    if word in _ONES:
        return _ONES[word], at + 1
    if word not in _TENS_SPELT:
        return None
    end = at + 1
    one_at = end + (_text(tokens, end) == "-")
    one = _ONES.get(_text(tokens, one_at), 0)
    if 0 < one < 10:
        return _TENS_SPELT[word] + one, one_at + 1
    return _TENS_SPELT[word], end


def _unit(tokens: Sequence[_Token], at: int) -> tuple[str, float, int] | None:
    """The unit at token ``at``: its name, how many of it one is, and where it ends."""
    for length in range(_LONGEST_UNIT, 0, -1):
        words = tuple(token.text for token in tokens[at : at + length])
        if len(words) == length and words in _UNIT_WORDS:
            unit, factor = _UNIT_WORDS[words]
            return unit, factor, at + length
    return None


def _with_unit(tokens: Sequence[_Token], said: _Said) -> _Said:
    at = said.end
    if said.unit is not None:
        adverb = said.unit == "count" and not said.compares
        return (_compared(tokens, said, at) if adverb else None) or said
    if _is_times(tokens, at):
        compared = _compared(tokens, said, at + 1)
        return compared or evolve(said, end=at + 1, unit="count")
    if said.value < 1 and (compared := _compared(tokens, said, at)) is not None:
        return compared  # "½ as loud"
    while _text(tokens, at) in _BETWEEN_NUMBER_AND_UNIT and _unit(tokens, at + 1) is not None:
        at += 1
    unit = _unit(tokens, at)
    if unit is None:
        return said
    name, factor, end = unit
    if _text(tokens, at) == "of" and (said.value <= 1 or _text(tokens, end) not in _WHOLES):
        return said  # "one of the best", "a stop, and one of two beats"
    is_interval = _text(tokens, at) in _INTERVALS and said.slack == 0.5
    if is_interval:
        return said
    return evolve(_in_unit(said, name, factor), end=end)


def _is_times(tokens: Sequence[_Token], at: int) -> bool:
    """ "times", "×", or the x of "3x"."""
    if _text(tokens, at) not in _TIMES:
        return False
    return tokens[at].text != "x" or tokens[at - 1].end == tokens[at].start


def _in_unit(said: _Said, unit: str, factor: float) -> _Said:
    """``said``, a bare number so far, as so many of ``factor`` times ``unit``."""
    slack = said.slack * factor
    if factor == 0.001 and said.value % 10 == 0:
        slack = 0.005  # nobody means "150 milliseconds" to the millisecond
    if factor == 60:
        slack = min(slack, 15.0)
    return evolve(said, unit=unit, factor=factor, value=said.value * factor, slack=slack)


# --- judging --------------------------------------------------------------------------------------


def _is_claim(tokens: Sequence[_Token], said: _Said) -> bool:
    """It is said of the performance, not of an exercise."""
    if said.compares:
        return True
    if said.unit == "ratio":
        return _tells_what_happened(tokens, said)
    if said.unit not in (None, "count"):
        return True
    if said.value >= _CLAIMED_FROM or said.value % 1:
        return True
    if said.unit is None:
        return False
    if _text(tokens, said.end - 1) in ("x", "\u00d7"):
        return not any(word in _EXERCISES for word in _clause_before(tokens, said))
    return _tells_what_happened(tokens, said)


def _tells_what_happened(tokens: Sequence[_Token], said: _Said) -> bool:
    """ "You stopped three times", "there were two wrong notes", "three notes were sharp"."""
    if any(_text(tokens, said.end + after) in ("was", "were") for after in range(4)):
        return True
    clause = _clause_before(tokens, said)
    for index, word in enumerate(clause):
        if word in _OBSERVERS and any(
            verb in _PASTS or (verb.endswith("ed") and verb != "need") for verb in clause[index:]
        ):
            return True
    return False


def _clause_before(tokens: Sequence[_Token], said: _Said) -> list[str]:
    """The words of its clause before the figure."""
    clause: list[str] = []
    for token in reversed(tokens[: said.start]):
        if token.text in _ENDS_OF_CLAUSES:
            break
        clause.insert(0, token.text)
    return clause


def _covering(
    tokens: Sequence[_Token], said: _Said, measured: Sequence[NamedFigure]
) -> list[NamedFigure]:
    """Those of ``measured`` that cover ``said``."""
    slack = said.slack
    if said.is_about and said.slack == 0.5:
        slack = 2.5 if said.value >= _ROUNDED_FROM and said.value % 5 == 0 else 1.0
    candidates = [
        (named, value) for named in measured for value in _values(named.figure, said.unit)
    ]
    if said.unit == "s" and any(
        _text(tokens, said.start - back) in _SPANS for back in (1, 2, 3) if said.start >= back
    ):
        candidates += [(span, span.figure.value) for span in _spans(measured)]
        slack = max(slack, 2.5 if said.value % 5 == 0 and said.value >= _ROUNDED_FROM else slack)
    return [named for named, value in candidates if abs(value - said.value) <= slack + 1e-9]


def _values(figure: Figure, unit: str | None) -> list[float]:
    """``figure`` in ``unit``, sign aside; nothing if it is another quantity."""
    value = abs(figure.value)
    match unit, figure.unit:
        case (None, _):
            return [value]
        case ("percent", "ratio"):
            return [100 * value]
        case ("ratio", "ratio"):
            return [value, 1 / value] if value else [value]
        case _:
            return [value] if unit == figure.unit else []


def _spans(measured: Sequence[NamedFigure]) -> list[NamedFigure]:
    """How long the stretches were that figures were measured on, and how long ago they began."""
    latest = max((named.figure.end for named in measured), default=0.0)
    return [
        evolve(
            named,
            name="stretch",
            figure=evolve(figure, value=end - figure.start, unit="s", end=end),
        )
        for named in measured
        for figure in (named.figure,)
        for end in (figure.end, latest)
        if end > figure.start
    ]
