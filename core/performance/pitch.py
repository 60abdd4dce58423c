"""Key, foreign notes and intonation, without the printed music.

Conventions: pitch classes are 0 for C to 11 for B; cents are signed, sharp positive. Key finding is
the correlation of how long each pitch class sounds with the probe-tone profiles of Krumhansl and
Kessler. Intonation is measured around the take's *own* tuning: a whole take a fifth of a tone high
is one fact, and one of its notes lying elsewhere another.

Source: C. Krumhansl, Cognitive Foundations of Musical Pitch (1990), tables 2.1 and 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from attrs import frozen

__all__ = [
    "Key",
    "find_key",
    "foreignness",
    "pitch_name",
    "spread_of",
    "tuning_of",
    "weighted_median",
]

_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
_MAJOR_SCALE = frozenset((0, 2, 4, 5, 7, 9, 11))
_MINOR_SCALE = frozenset((0, 2, 3, 5, 7, 8, 10))
_RAISED = frozenset((9, 11))  # the sixth and seventh as the melodies of a minor key raise them
CLEARLY_MINOR = 0.06
_SHARPS = ("C", "C sharp", "D", "D sharp", "E", "F", "F sharp", "G", "G sharp", "A", "A sharp", "B")
_FLATS = ("C", "D flat", "D", "E flat", "E", "F", "G flat", "G", "A flat", "A", "B flat", "B")
_FLAT_MAJORS = frozenset((5, 10, 3, 8, 1))


@frozen(kw_only=True)
class Key:
    """``clarity`` is the correlation with the profile, less what lies outside the scale; ``lead``
    how far ahead it is of the best key of the other mode."""

    tonic: int
    minor: bool
    clarity: float
    lead: float

    @property
    def scale(self) -> frozenset[int]:
        steps = _MINOR_SCALE if self.minor else _MAJOR_SCALE
        if self.minor and self.lead > CLEARLY_MINOR:
            steps = steps | _RAISED
        return frozenset((self.tonic + step) % 12 for step in steps)

    @property
    def uses_flats(self) -> bool:
        return (self.tonic + (3 if self.minor else 0)) % 12 in _FLAT_MAJORS

    @property
    def name(self) -> str:
        return f"{pitch_name(self.tonic, self)} {'minor' if self.minor else 'major'}"


def pitch_name(pitch_class: int, key: Key | None = None) -> str:
    """As it is spoken: ``F sharp``. In flat keys the black keys are flats."""
    if key is not None and key.uses_flats:
        return _FLATS[pitch_class % 12]
    if key is None and pitch_class % 12 in (3, 10):  # what they are mostly called
        return _FLATS[pitch_class % 12]
    return _SHARPS[pitch_class % 12]


def find_key(weights: Mapping[int, float]) -> Key | None:
    """The key of a passage from how long each pitch class sounds; ``None`` if it has too few."""
    histogram = [weights.get(pc, 0.0) for pc in range(12)]
    if sum(weight > 0 for weight in histogram) < 3:
        return None
    scores: list[tuple[float, int, bool]] = []
    mean = sum(histogram) / 12
    spread = math.sqrt(sum((weight - mean) ** 2 for weight in histogram))
    if spread == 0:
        return None
    total = sum(histogram)
    for minor, profile in ((False, _MAJOR), (True, _MINOR)):
        middle = sum(profile) / 12
        width = math.sqrt(sum((weight - middle) ** 2 for weight in profile))
        scale = _MINOR_SCALE | _RAISED if minor else _MAJOR_SCALE
        for tonic in range(12):
            dot = sum(
                (histogram[(tonic + step) % 12] - mean) * (profile[step] - middle)
                for step in range(12)
            )
            outside = sum(histogram[(tonic + step) % 12] for step in range(12) if step not in scale)
            # what lies outside the scale speaks against it more than the profile says
            scores.append((dot / (spread * width) - outside / total, tonic, minor))
    scores.sort(reverse=True)
    best = scores[0]
    other = next(each for each in scores if each[2] != best[2])
    return Key(tonic=best[1], minor=best[2], clarity=best[0], lead=best[0] - other[0])


def foreignness(midis: Sequence[int], key: Key) -> list[float]:
    """For each note of a melody, 0 to 1: how little it belongs there.

    A note of the key is 0. A foreign one that leads by a half step into its neighbour, as a
    composer's own chromatic notes do, is suspected less; so is one that comes back often.
    """
    scale = key.scale
    count = len(midis)
    often: dict[int, int] = {}
    for midi in midis:
        often[midi % 12] = often.get(midi % 12, 0) + 1
    found: list[float] = []
    for i, midi in enumerate(midis):
        if midi % 12 in scale:
            found.append(0.0)
            continue
        doubt = 1.0
        after = midis[i + 1] - midi if i + 1 < count else 0
        before = midi - midis[i - 1] if i else 0
        if after == 1 and 0 < before <= 2:  # through or into the note above
            doubt *= 0.55
        elif after == 1 and before in (-1, -2):  # the note below its neighbour, and back
            doubt *= 0.6
        if often[midi % 12] >= 3:
            doubt *= 0.5
        found.append(doubt)
    return found


def weighted_median(values: Sequence[tuple[float, float]]) -> float:
    """Of (value, weight)."""
    ordered = sorted(values)
    half = sum(weight for _, weight in ordered) / 2
    passed = 0.0
    for value, weight in ordered:
        passed += weight
        if passed >= half:
            return value
    return ordered[-1][0]


def tuning_of(cents: Sequence[tuple[float, float]]) -> float:
    """The overall deviation of (cents, weight), which know no more than the nearest half step.

    Deviations lie on a circle of 100 cents: +48 and -52 are the same place. So the centre is found
    on the circle and the median is taken around it.
    """
    x = sum(weight * math.cos(2 * math.pi * value / 100) for value, weight in cents)
    y = sum(weight * math.sin(2 * math.pi * value / 100) for value, weight in cents)
    centre = 100 * math.atan2(y, x) / (2 * math.pi)
    around = [(((value - centre + 50) % 100) - 50, weight) for value, weight in cents]
    return centre + weighted_median(around)


def spread_of(values: Sequence[tuple[float, float]], centre: float) -> float:
    """Robust standard deviation of (value, weight) around ``centre``."""
    return 1.4826 * weighted_median([(abs(value - centre), weight) for value, weight in values])
