"""Pictures at a seam go no further than is usual within speech, and catch up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maestra.adapters.face.seams import Seams

Picture = NDArray[np.uint8]


def grey(level: float) -> Picture:
    return np.full((16, 8, 3), round(level), np.uint8)


def level(picture: Picture) -> float:
    return float(picture.mean())


def spoken(seams: Seams, count: int = 40, *, every: int = 1) -> int:
    """Speech that changes by two levels a picture; the number after its last, which is 100."""
    for n in range(0, count, every):
        picture = grey(100 - 2 * (n % 2))
        assert seams.shown(n, picture, speaking=True) is picture
    return count


def test_within_speech_everything_is_shown_as_it_is_drawn() -> None:
    seams = Seams()
    number = spoken(seams)
    assert level(seams.shown(number, grey(250), speaking=True)) == 250


def test_a_jump_at_a_seam_is_gone_in_steps_until_it_has_caught_up() -> None:
    seams = Seams()
    number = spoken(seams)
    levels = [level(seams.shown(number + n, grey(120), speaking=False)) for n in range(20)]
    steps = np.diff([98.0, *levels])
    assert 0 < steps.max() <= 1.5 * 2
    assert levels[-1] == 120
    # Long after the seam nothing holds it back.
    assert level(seams.shown(number + 20, grey(20), speaking=False)) == 20


def test_what_was_not_seen_is_not_gone_on_from() -> None:
    seams = Seams()
    number = spoken(seams)
    for n in range(3):
        seams.shown(number + n, grey(200), speaking=True)
    assert level(seams.shown(number, grey(200), speaking=False)) <= 98 + 3


def test_a_slow_face_that_leaves_pictures_out_may_go_further_each_time() -> None:
    seams = Seams()
    number = spoken(seams)
    first = level(seams.shown(number + 3, grey(200), speaking=False))
    # Four slots after the last: four times as far.
    assert 98 + 8 <= first <= 98 + 4 * 3


def test_before_anything_was_said_nothing_is_known_of_what_is_usual() -> None:
    seams = Seams()
    seams.shown(0, grey(10), speaking=False)
    assert level(seams.shown(1, grey(90), speaking=True)) == 90
