"""How alike two English words sound, from their spelling alone.

A speech recogniser writes what it heard in words it knows, so "T-Cher", "teach a" and "Teeter" are
all one teacher. Comparing letters misses that ("tcher" has two wrong of seven) and finds likeness
where there is none ("preacher" has two wrong of eight). So a word is first rewritten in a coarse
alphabet of sounds, by a few dozen spelling rules, and two words are as alike as it costs little to
turn the sounds of one into those of the other.

Conventions
-----------
One character is one sound: ``T`` th, ``S`` sh, ``C`` ch, ``J`` as in *judge*, ``N`` ng, ``@`` the
neutral vowel, ``R`` the vowel of *her*; the others are what they look like. Likeness is 0 to 1.
The costs were chosen by hand: what recognisers confuse (voiced and unvoiced, vowels, a final t
after n) is cheap, what listeners would notice (another consonant) is dear.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

__all__ = ["sound_likeness", "sounds_of", "spelling_likeness"]

_LETTER_NAMES: Final = {
    "b": "bi", "c": "si", "d": "di", "e": "i", "f": "ef", "g": "Ji", "h": "eC", "j": "Je",
    "k": "ke", "l": "el", "m": "em", "n": "en", "p": "pi", "q": "kyu", "r": "R", "s": "es",
    "t": "ti", "u": "yu", "v": "vi", "w": "dublyu", "x": "eks", "y": "wi", "z": "zi",
    "a": "@", "i": "i", "o": "o",
}  # fmt: skip

_SPELLINGS: Final = (
    ("stion", "sC@n"), ("tion", "S@n"), ("sion", "S@n"), ("ture", "CR"), ("sure", "SR"),
    ("tch", "C"), ("dge", "J"), ("our", "R"), ("chr", "kr"), ("sch", "sk"), ("ch", "C"),
    ("ck", "k"), ("ph", "f"), ("gh", ""),
    ("sh", "S"), ("th", "T"), ("wh", "w"), ("qu", "kw"), ("ng", "N"), ("ce", "se"), ("ci", "si"),
    ("cy", "si"), ("ea", "i"), ("ee", "i"), ("ie", "i"), ("ei", "i"), ("ey", "i"), ("oo", "u"),
    ("ou", "u"), ("ow", "o"), ("ew", "u"), ("ue", "u"), ("ai", "e"), ("ay", "e"), ("au", "o"),
    ("aw", "o"), ("oa", "o"), ("oi", "o"), ("oy", "o"), ("c", "k"), ("x", "ks"), ("q", "k"),
)  # fmt: skip
_VOWEL_LETTERS: Final = "aeiouy"
_VOWELS: Final = frozenset("aeiou@R")

_CONFUSABLE: Final = (
    ("td", 0.25), ("pb", 0.25), ("kg", 0.25), ("fv", 0.25), ("sz", 0.25), ("SCJ", 0.3),
    ("mnN", 0.35), ("tC", 0.4), ("Ttdfsv", 0.5), ("wv", 0.5), ("rl", 0.6), ("ptk", 0.75),
)  # fmt: skip
_VOWEL_FOR_VOWEL: Final = 0.25
_NEUTRAL_FOR_VOWEL: Final = 0.12
_ANOTHER_CONSONANT: Final = 1.0
_EXTRA: Final = {"@": 0.3, "h": 0.3}
_EXTRA_VOWEL: Final = 0.5
_EXTRA_R_VOWEL: Final = 0.8  # a whole syllable: "teach" is not "teacher"
_EXTRA_CONSONANT: Final = 0.7
_SWALLOWED: Final = 0.2  # the t of "comment", mostly not said
_FIRST_SOUND: Final = 1.25  # carries more of a word's identity


@lru_cache(maxsize=4096)
def sounds_of(word: str) -> str:
    """The sounds of ``word`` (lower-case letters; one letter alone is its name)."""
    if len(word) == 1:
        return _LETTER_NAMES.get(word, word)
    if word.startswith(("kn", "wr", "ps")):
        word = word[1:]
    sounds: list[str] = []
    at = 0
    while at < len(word):
        taken, sound = _next_sound(word, at)
        at += taken
        # a doubled letter is one sound
        if sound and not (sounds and sounds[-1] == sound):
            sounds.append(sound)
    return "".join(sounds)


def _next_sound(word: str, at: int) -> tuple[int, str]:
    rest = word[at:]
    letter, after = rest[0], rest[1:2]
    if letter in "aeiou" and after == "r" and (len(rest) == 2 or rest[2] not in _VOWEL_LETTERS):
        return (3 if rest[2:3] == "r" else 2), "R"
    if rest in ("re", "a"):
        return len(rest), "R" if rest == "re" else "@"
    if rest == "e" and any(vowel in word[:at] for vowel in _VOWEL_LETTERS):
        return 1, ""
    if rest == "e":
        return 1, "@" if at > 1 else "i"
    for spelling, sound in _SPELLINGS:
        if rest.startswith(spelling):
            return len(spelling), sound
    if letter == "g" and after in ("e", "i", "y") and at:
        return 1, "J"
    if letter == "y":
        return 1, "y" if at == 0 else "i"
    return 1, letter


def _replacing(one: str, other: str) -> float:
    if one == other:
        return 0.0
    if one in _VOWELS and other in _VOWELS:
        return _NEUTRAL_FOR_VOWEL if "@" in (one, other) else _VOWEL_FOR_VOWEL
    return min(
        (cost for group, cost in _CONFUSABLE if one in group and other in group),
        default=_ANOTHER_CONSONANT,
    )


def _dropping(sounds: str, at: int) -> float:
    sound = sounds[at]
    if sound in "td" and at == len(sounds) - 1 and at and sounds[at - 1] == "n":
        return _SWALLOWED
    if sound == "R":
        return _EXTRA_R_VOWEL
    return _EXTRA.get(sound, _EXTRA_VOWEL if sound in _VOWELS else _EXTRA_CONSONANT)


def _distance(one: str, other: str) -> float:
    """Weighted edit distance."""
    costs = [0.0]
    for column in range(len(other)):
        costs.append(costs[-1] + _dropping(other, column))
    for row in range(len(one)):
        above, costs = costs, [costs[0] + _dropping(one, row)]
        for column in range(len(other)):
            weight = _FIRST_SOUND if row == column == 0 else 1.0
            costs.append(
                min(
                    above[column] + weight * _replacing(one[row], other[column]),
                    above[column + 1] + _dropping(one, row),
                    costs[column] + _dropping(other, column),
                )
            )
    return costs[-1]


def sound_likeness(one: str, other: str) -> float:
    """How alike two strings of sounds are, 0 to 1."""
    longest = max(len(one), len(other), 1)
    return max(0.0, 1.0 - _distance(one, other) / longest)


def spelling_likeness(one: str, other: str) -> float:
    """How alike two words are in their letters, 0 to 1: one minus the normalised edit distance."""
    costs = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        above, costs = costs, [row]
        for column, another in enumerate(other, start=1):
            costs.append(
                min(above[column - 1] + (letter != another), above[column] + 1, costs[-1] + 1)
            )
    return 1.0 - costs[-1] / max(len(one), len(other), 1)
