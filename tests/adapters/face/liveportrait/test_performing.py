"""What poses and sounds ask of the keypoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attrs import evolve

from maestra.adapters.face.liveportrait.performing import (
    EXPRESSION,
    EYES,
    LIPS,
    controls,
)
from maestra.adapters.face.motion import Pose

STILL = Pose(
    **dict.fromkeys(
        [
            *("jaw", "part", "wide", "press", "smile", "brow", "blink", "gaze_x", "gaze_y"),
            *("breath", "x", "y", "roll", "near", "yaw", "pitch", "talk"),
        ],
        0.0,
    )
)


def offsets(pose: Pose, loud: float = 1.0) -> Any:
    return controls(pose, loud, 0.3)[EXPRESSION:].reshape(21, 3)


def test_who_does_nothing_is_the_portrait() -> None:
    row = controls(STILL, 1.0, 0.3)

    assert row[EYES] == pytest.approx(0.3)
    row[EYES] = 0
    assert not row.any()


def test_the_mouth_opens_with_the_jaw_and_the_eyes_shut_with_a_blink() -> None:
    opened = [controls(evolve(STILL, jaw=jaw), 1.0, 0.3)[LIPS] for jaw in (0.0, 0.3, 1.0)]
    assert opened[0] == 0 and opened[1] < opened[2] == pytest.approx(0.4)
    assert controls(evolve(STILL, jaw=1.0, press=1.0), 1.0, 0.3)[LIPS] == 0
    assert controls(evolve(STILL, blink=1.0), 1.0, 0.3)[EYES] == 0


def test_what_is_not_heard_opens_no_mouth() -> None:
    talking = evolve(STILL, jaw=1.0, part=1.0, wide=-1.0)

    assert controls(talking, 0.0, 0.3)[LIPS] == 0
    assert not offsets(talking, 0.0).any()


def test_round_and_spread_lips_move_other_points_and_never_far() -> None:
    round_, spread = (offsets(evolve(STILL, wide=wide)) for wide in (-1.0, 1.0))

    assert round_[14, 1] > 0 > spread[14, 1]
    assert spread[20, 1] < 0 and not round_[20].any()
    # Recorded performances moved a point of the lips by 0.025 at most, 19 and 20 further.
    for found in (round_, spread):
        assert np.abs(found[[14, 17, 3, 7]]).max() <= 0.025


@pytest.mark.parametrize(
    ("pose", "column", "sign"),
    [
        (evolve(STILL, pitch=1.0), 0, 1),  # the nose goes down
        (evolve(STILL, yaw=1.0), 1, -1),  # to the picture's right
        (evolve(STILL, near=1.0), 5, 1),
        (evolve(STILL, breath=1.0), 4, -1),  # shoulders and head rise
    ],
)
def test_the_head_goes_where_the_pose_says(pose: Pose, column: int, sign: int) -> None:
    assert np.sign(controls(pose, 1.0, 0.3)[column]) == sign


def test_a_glance_moves_the_eyes_that_way() -> None:
    right, left = (offsets(evolve(STILL, gaze_x=x)) for x in (1.0, -1.0))
    assert right[11, 0] > 0 > left[11, 0] and right[15, 0] > 0 > left[15, 0]
    up, down = (offsets(evolve(STILL, gaze_y=y)) for y in (-1.0, 1.0))
    assert up[11, 1] < 0 < down[11, 1]  # y is down
