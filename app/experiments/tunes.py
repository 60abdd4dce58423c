"""Tunes from ABC files, with their metre: what melodies are like that nobody made for a test.

Only what a rhythm needs is read: one voice, notes with accidentals and lengths, rests, ties,
triplets and the like, broken rhythm. Repeats are not played, chords and grace notes are passed
over, and a tune that changes its metre or unit is left out.

The beat is a crotchet in simple time and a dotted crotchet in six, nine and twelve eight; tunes in
other metres are left out, for they are counted in more than one way.

Source: the ABC music standard, version 2.1. Collections of folk songs and dances in it are free to
use for research; none is carried here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Final

from .made_performances import Piece

__all__ = ["FEWEST_NOTES", "pieces", "read_tunes"]

FEWEST_NOTES: Final = 24
_STEPS: Final = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_SHARPS: Final = "FCGDAEB"
_FIFTHS: Final = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}
_MODES: Final = {
    "m": -3,
    "min": -3,
    "aeo": -3,
    "dor": -2,
    "mix": -1,
    "phr": -4,
    "lyd": 1,
    "loc": -5,
}
_TUPLETS: Final = {2: Fraction(3, 2), 3: Fraction(2, 3), 4: Fraction(3, 4), 6: Fraction(2, 3)}
_GRAINS: Final = frozenset({1, 2, 3, 4, 6})
_MIDDLE_MIDI: Final = 64
_PASSED_OVER: Final = re.compile(r'"[^"]*"|![^!]*!|\{[^}]*\}|\[[A-Z]:[^\]]*\]')
_TOKEN: Final = re.compile(
    r"\((?P<tuplet>\d)(?P<odd>:?)|(?P<note>[_^=]*[A-Ga-gzx][,']*)(?P<length>\d*/*\d*)"
    r"|(?P<broken>[<>]+)|(?P<bar>\|)|(?P<tie>-)"
)
_Notes = list[tuple[Fraction, int | None]]


def pieces(folder: Path) -> Iterator[Piece]:
    """Every tune in the ABC files under ``folder`` that is long enough, around the same height."""
    for path in sorted(folder.rglob("*.abc")):
        yield from read_tunes(path.read_text(encoding="latin-1"))


def read_tunes(text: str) -> Iterator[Piece]:
    """The tunes in ``text``, values in beats."""
    for block in re.split(r"\n\s*(?=X:)", text):
        head, body = _parts(block)
        metre = {"C": "4/4"}.get(head.get("M", ""), head.get("M", ""))
        beat = _beat(metre)
        if beat is None or "changes" in head:
            continue
        notes = _notes(body, _unit(head.get("L", ""), Fraction(metre)), head.get("K", "C"))
        values: _Notes = [(length / beat, midi) for length, midi in notes or ()]
        while values and values[0][1] is None:
            values.pop(0)
        heights = sorted(midi for _, midi in values if midi is not None)
        if len(heights) < FEWEST_NOTES or not {v.denominator for v, _ in values} <= _GRAINS:
            continue
        shift = _MIDDLE_MIDI - heights[len(heights) // 2]
        yield Piece(
            name=f"{head.get('T', 'a tune')[:24]}, {metre}",
            beats_per_bar=float(Fraction(metre) / beat),
            notes=tuple((float(v), None if m is None else m + shift) for v, m in values),
        )


def _parts(block: str) -> tuple[Mapping[str, str], str]:
    head: dict[str, str] = {}
    body: list[str] = []
    for line in block.split("\n"):
        content = line.split("%")[0].rstrip()
        field = re.match(r"([A-Za-z]):(.*)", content)
        if field is None:
            body.append(content.rstrip("\\"))
        else:
            if any(body) and field[1] in "MLK":
                head["changes"] = content
            head.setdefault(field[1], field[2].strip())
    return head, _PASSED_OVER.sub(" ", " ".join(body))


def _beat(metre: str) -> Fraction | None:
    if re.fullmatch(r"[2-6]/4", metre):
        return Fraction(1, 4)
    return Fraction(3, 8) if metre in ("6/8", "9/8", "12/8") else None


def _unit(field: str, bar: Fraction) -> Fraction:
    if re.fullmatch(r"1/\d+", field):
        return Fraction(field)
    return Fraction(1, 8) if bar >= Fraction(3, 4) else Fraction(1, 16)


def _notes(body: str, unit: Fraction, key: str) -> _Notes | None:
    """(length in whole notes, MIDI number or ``None`` for a rest); ``None`` if it is too odd."""
    signature = _signature(key)
    accidentals: dict[str, int] = {}
    notes: _Notes = []
    name, tied, left, ratio, dotted = "", False, 0, Fraction(1), Fraction(1)
    for token in _TOKEN.finditer(body):
        if token["tuplet"]:
            left = int(token["tuplet"])
            if left not in _TUPLETS or token["odd"]:
                return None
            ratio = _TUPLETS[left]
        elif token["note"]:
            length = _length(token["length"]) * unit * dotted * (ratio if left else 1)
            left, dotted = max(0, left - 1), Fraction(1)
            if tied and name == token["note"].lstrip("_^="):
                notes[-1] = (notes[-1][0] + length, notes[-1][1])
            else:
                notes.append((length, _midi(token["note"], signature, accidentals)))
            name, tied = token["note"].lstrip("_^="), False
        elif token["broken"] and notes:
            short = Fraction(1, 2 ** len(token["broken"]))
            first, dotted = (2 - short, short) if token["broken"][0] == ">" else (short, 2 - short)
            notes[-1] = (notes[-1][0] * first, notes[-1][1])
        elif token["bar"]:
            accidentals.clear()
        elif token["tie"]:
            tied = bool(notes)
    return notes


def _midi(note: str, signature: Mapping[str, int], accidentals: dict[str, int]) -> int | None:
    """Remembers the accidental of ``note`` for the rest of the bar."""
    name = note.lstrip("_^=")
    letter = name[0]
    if letter in "zx":
        return None
    if name != note:
        accidentals[name] = note.count("^") - note.count("_")
    shift = accidentals.get(name, signature.get(letter.upper(), 0))
    octave = 12 * (letter.islower() + name.count("'") - name.count(","))
    return 60 + _STEPS[letter.lower()] + shift + octave


def _length(text: str) -> Fraction:
    """``3``, ``3/2``, ``/2``, ``/``, ``//``."""
    number, _, rest = text.partition("/")
    slashes = text.count("/")
    below = rest.lstrip("/")
    return Fraction(int(number or 1), int(below) if below else 2**slashes)


def _signature(key: str) -> Mapping[str, int]:
    found = re.match(r"([A-G])([#b]?)\s*([A-Za-z]*)", key)
    if found is None:
        return {}
    mode = found[3].lower()
    fifths = _FIFTHS[found[1]] + {"#": 7, "b": -7}.get(found[2], 0)
    fifths += _MODES.get(mode if mode == "m" else mode[:3], 0)
    sharps = {letter: 1 for letter in _SHARPS[: max(0, fifths)]}
    return sharps | {letter: -1 for letter in _SHARPS[::-1][: max(0, -fifths)]}
