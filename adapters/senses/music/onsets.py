"""When something was struck, bowed, blown or sung: the two onset networks made into instants.

Conventions
-----------
100 frames per second; an instant is a fraction of a frame. Strengths are 0 to 1.

The convolutional network (``attack``) tells to a few milliseconds when an onset is, and now and
then misses a soft one. The recurrent ones (``opinion``) hear those, late. So an onset is where the
first says so, or, failing that, a little before where the second does, or where the level
rises out of a dip.
"""

from __future__ import annotations

from attrs import frozen

from .arrays import Rows

__all__ = ["LOOK_AHEAD", "Attack", "pick_onsets"]

_ATTACK_THRESHOLD = 0.4
_OPINION_THRESHOLD = 0.4
_OPINION_DELAY = 2.4
"""Frames by which the recurrent networks are later than the convolutional one, as measured."""
_AROUND = 3
"""An onset is the highest of the frames this near to it."""
_SAME = 6
"""The recurrent networks' onsets this near to one of the other network's are the same onset."""
_DIP = 8
_DIP_DB = 7.0
"""A level that rises this much within twice so many frames comes back from a dip."""
_STRENGTH_OF_A_RETURN = 0.4
LOOK_AHEAD = 16
"""Frames after an onset that must be known before it is certain."""


@frozen(kw_only=True)
class Attack:
    """An onset at frame ``at``. ``sharp`` is false if only the recurrent networks heard it."""

    at: float
    strength: float
    sharp: bool


def _peaks(activation: Rows, first: int, last: int, threshold: float) -> list[tuple[float, float]]:
    """The peaks among frames ``first`` to ``last``: where (interpolated), and how high."""
    found: list[tuple[float, float]] = []
    for n in range(max(first, activation.start), min(last, activation.end - _AROUND)):
        height = float(activation.get(n, n + 1)[0])
        if height < threshold:
            continue
        before = activation.get(n - _AROUND, n)
        after = activation.get(n + 1, n + 1 + _AROUND)
        if (before >= height).any() or (after > height).any():
            continue
        left = float(before[-1]) if len(before) else 0.0
        right = float(after[0]) if len(after) else 0.0
        curve = left - 2 * height + right
        shift = 0.5 * (left - right) / curve if curve < 0 else 0.0
        found.append((n + shift, height))
    return found


def _returns(level: Rows, first: int, last: int) -> list[float]:
    """The frames at which the level comes back after a dip: a soft new beginning."""
    found: list[float] = []
    for n in range(max(first, level.start + _DIP), min(last, level.end - _DIP)):
        around = level.get(n - _DIP, n + _DIP + 1)
        slope = around[2:] - around[:-2]
        if slope[_DIP - 1] < slope.max() or around[_DIP:].max() - around[:_DIP].min() < _DIP_DB:
            continue
        if not found or n - found[-1] > _DIP:
            found.append(float(n))
    return found


def pick_onsets(attack: Rows, opinion: Rows, level: Rows, first: int, last: int) -> list[Attack]:
    """The onsets at frames ``first`` up to, not including, ``last``, in order.

    What is found does not depend on where the range ends, if the activations are known up to
    ``LOOK_AHEAD`` frames after it.
    """
    sharp = _peaks(attack, first - _SAME, last + _SAME, _ATTACK_THRESHOLD)
    found = [Attack(at=at, strength=height, sharp=True) for at, height in sharp]
    late = _peaks(opinion, first, last + _SAME, _OPINION_THRESHOLD)
    for at, height in late:
        earlier = at - _OPINION_DELAY
        if all(abs(earlier - other) > _SAME for other, _ in sharp):
            found.append(Attack(at=earlier, strength=height, sharp=False))
    for at in _returns(level, first, last):
        if all(abs(at - other.at) > _SAME for other in found):
            found.append(Attack(at=at, strength=_STRENGTH_OF_A_RETURN, sharp=False))
    return sorted((one for one in found if first <= one.at < last), key=lambda one: one.at)
