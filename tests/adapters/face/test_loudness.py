"""How far a sound's level lets a mouth open."""

from __future__ import annotations

import numpy as np
import pytest

from maestra.adapters.face.motion import LOOK_AHEAD, LOOK_BACK, audible

from .sounds import moments, silence, vowel


def opening(*sounds: np.typing.NDArray[np.float32]) -> list[float]:
    return [audible(moment.sound, LOOK_BACK) for moment in moments(*sounds)]


@pytest.mark.parametrize(("rms", "least", "most"), [(0.1, 1, 1), (0.005, 0.3, 0.9), (0.001, 0, 0)])
def test_the_level_decides(rms: float, least: float, most: float) -> None:
    middle = opening(vowel(0.8, 750.0, 1200.0, rms=rms))[10]

    assert least <= middle <= most


def test_it_opens_before_the_first_syllable_and_shuts_after_the_last() -> None:
    shares = opening(silence(0.4), vowel(0.4, 750.0), silence(0.4))

    assert shares[:7] == [0.0] * 7 and shares[-6:] == [0.0] * 6
    assert 0 < shares[8] < shares[9] < 1
    assert min(shares[10:20]) == 1
    assert shares[20:24] == sorted(shares[20:24], reverse=True)


def test_short_sound_and_none_are_survived() -> None:
    assert audible(np.ones(100, np.float32), LOOK_BACK) == 0
    assert audible(np.zeros(0, np.float32), LOOK_AHEAD) == 0
