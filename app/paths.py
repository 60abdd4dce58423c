"""Files that a session writes, and must not write over what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from maestra.core.stream_url import StreamUrl
from maestra.ports.errors import MaestraError

__all__ = ["Place", "WouldOverwrite", "kept_sound", "refuse_overwriting"]

Place = StreamUrl | Path | str | None
"""Where something is read or written: a path, or an address, which is no file of ours unless it
says so. A string is a path. ``None`` is nowhere."""


class WouldOverwrite(MaestraError):
    """Two things would be written to one file, or something to a file that is read."""


def kept_sound(events: Path) -> Path:
    """Where the student's sound is kept, if it is: beside the event log ``events``."""
    return events.with_suffix(".wav")


def refuse_overwriting(inputs: Mapping[str, Place], outputs: Mapping[str, Place]) -> None:
    """See to it that every output has a file of its own.

    :param inputs: what is read, by the name that the user knows it by.
    :param outputs: what is written, likewise.
    :raises WouldOverwrite: an output is the same file as an input or another output, whatever it is
        called: links and other spellings are seen through. Nothing has been written then.
    """
    read = [(name, path) for name, place in inputs.items() if (path := _path(place))]
    written = [(name, path) for name, place in outputs.items() if (path := _path(place))]
    for name, path in written:
        for other, source in read:
            if _same(path, source):
                raise WouldOverwrite(f"{name} would overwrite {other}: {path}")
    for (name, path), (other, target) in combinations(written, 2):
        if _same(path, target):
            raise WouldOverwrite(f"{name} and {other} name the same file: {path}")


def _path(place: Place) -> Path | None:
    match place:
        case StreamUrl():
            return Path(place.address) if place.is_file else None
        case None | "":
            return None
        case _:
            return Path(place)


def _same(one: Path, other: Path) -> bool:
    try:
        if one.samefile(other):  # hard links, and file systems that do not tell a from A
            return True
    except OSError:
        pass  # one of them is yet to be made
    try:
        return one.resolve() == other.resolve()
    except (OSError, RuntimeError):  # a loop of links: opening it will fail, and say so
        return False
