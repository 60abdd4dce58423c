"""How well the tempo is found: ``python -m maestra.app.experiments.tempo_accuracy``.

Renders steady takes (``--count`` and ``--seed`` say how many and which; with ``--tunes FOLDER``
they play tunes from ABC files there instead of the project's own pieces, every other one: those
that the weights were not fitted to), has them heard as in a
lesson, and prints each and the shares. ``--material FOLDER`` measures recordings whose
``manifest.json`` gives their ``tempo_bpm``.

Conventions
-----------
Within 3 % throughout; a take whose tempo isn't found counts as wrong.

- *Accuracy1*: the tempo is that of the written beat.
- *Accuracy2*: it is that, or its half, double, third or triple.
- *one of two*: the tempo or, where the summary has one, the alternative is that of the written
  beat.
- *fits*: as Accuracy2, or two thirds or one and a half times as fast.

Sources: Accuracy1 and 2 are those of Gouyon et al., "An Experimental Comparison of Audio Tempo
Induction Algorithms", 2006 (there within 4 %); one of two is MIREX's "at least one tempo correct"
(there within 8 %).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, frozen

from .. import composition
from ..analysis import analyse_sound
from ..config import Config

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["TempoScores", "main"]

TOLERANCE = 0.03
_OCTAVES = (1.0, 2.0, 1 / 2, 3.0, 1 / 3)
_FITTING = (*_OCTAVES, 3 / 2, 2 / 3)
_CHUNK = 4410
_COMMON = (70.0, 120.0)


def _is_near(tempo_bpm: float | None, true_bpm: float, levels: Sequence[float] = (1.0,)) -> bool:
    if tempo_bpm is None:
        return False
    return any(abs(tempo_bpm / (level * true_bpm) - 1) <= TOLERANCE for level in levels)


@define(kw_only=True)
class TempoScores:
    """How many of ``count`` takes are right, in each sense of the word."""

    count: int = 0
    accuracy1: int = 0
    accuracy2: int = 0
    one_of_two: int = 0
    fits: int = 0

    def add(self, found_bpm: float | None, other_bpm: float | None, true_bpm: float) -> bool:
        """Whether ``found_bpm`` is right; ``other_bpm`` is the alternative that is stated."""
        right = _is_near(found_bpm, true_bpm)
        self.count += 1
        self.accuracy1 += right
        self.accuracy2 += _is_near(found_bpm, true_bpm, _OCTAVES)
        self.one_of_two += right or _is_near(other_bpm, true_bpm)
        self.fits += _is_near(found_bpm, true_bpm, _FITTING)
        return right

    def __str__(self) -> str:
        shares = (
            ("Accuracy1", self.accuracy1),
            ("Accuracy2", self.accuracy2),
            ("one of the two that are stated", self.one_of_two),
            ("fits", self.fits),
        )
        return ", ".join(
            f"{name} {100 * right / max(1, self.count):.0f} % ({right} of {self.count})"
            for name, right in shares
        )


@frozen(kw_only=True, eq=False)
class _Take:
    name: str
    true_bpm: float
    sound: Samples


def _takes(options: argparse.Namespace) -> Iterator[_Take]:
    from .bench import material, steady
    from .bench.parts import rendered_notes
    from .tunes import pieces

    if options.material is not None:
        for clip in material.folder(options.material, ("music",)):
            if clip.truth.get("tempo_bpm"):
                yield _Take(
                    name=clip.name, true_bpm=float(clip.truth["tempo_bpm"]), sound=clip.sound
                )
        return
    played = None if options.tunes is None else tuple(pieces(options.tunes))[1::2]
    for take in steady.steady_takes(options.count, options.seed, played):
        yield _Take(
            name=take.name,
            true_bpm=take.tempo_bpm,
            sound=material.rendered(rendered_notes(take.made), take.instrument),
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a line each and the shares of all."""
    parser = argparse.ArgumentParser(prog="tempo_accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--tunes", type=Path, help="a folder of ABC files to play from")
    parser.add_argument("--material", type=Path, help="a folder of recordings with a manifest.json")
    options = parser.parse_args(arguments)
    music = composition.music(Config())
    of_all, of_common = TempoScores(), TempoScores()
    for take in _takes(options):
        chunks = [take.sound[at : at + _CHUNK] for at in range(0, len(take.sound), _CHUNK)]
        heard = analyse_sound(chunks, floor=composition.floor(Config()), music=music)
        found, other = heard.tempo_bpm, heard.alternative_bpm
        right = of_all.add(found, other, take.true_bpm)
        if _COMMON[0] <= take.true_bpm <= _COMMON[1]:
            of_common.add(found, other, take.true_bpm)
        told = "none" if found is None else f"{found:.1f}"
        told += "" if other is None else f" or {other:.1f}"
        ratio = math.nan if found is None else found / take.true_bpm
        print(f"{take.name:<52} {told:<16} {'' if right else f'{ratio:.2f} times'}", flush=True)
    print(f"\n{of_all}\nfrom 70 to 120 a minute: {of_common}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
