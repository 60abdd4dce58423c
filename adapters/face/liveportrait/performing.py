"""From a pose to what the keypoints are told: angles, ratios and offsets of expressions.

Our motion is made, not filmed. What an expression is in terms of keypoints was read off the
published editor of expressions, and how far a keypoint goes off recorded performances.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..motion import Pose

__all__ = ["CONTROLS", "EXPRESSION", "EYES", "LIPS", "controls"]

# The columns: three angles in degrees, a shift, a growth, two ratios, and 21 offsets.
_PITCH, _YAW, _ROLL, _X, _Y, _NEAR, LIPS, EYES, EXPRESSION = range(9)
CONTROLS = EXPRESSION + 21 * 3

_PITCH_DEGREES, _YAW_DEGREES, _ROLL_DEGREES = 1.0, 4.2, 2.1
# A nod is a turn; the keypoints' frame, unlike the puppet's, has the shoulders stay behind.
_SHIFT_X, _SHIFT_Y = 0.011, 0.0025
_BREATH = 0.0015
_GROWTH = 0.01

_OPEN_RATIO = 0.4
"""How open the mouth is in an "ah", in terms of its width; half of all mouths at all are below
0.01, and one in a hundred is above 0.6."""
_PARTED_RATIO = 0.04
_EASE = 0.85
"""A jaw that falls shut does so over some pictures: lips that are nearly shut shut more slowly."""
_WIDEST_RATIO = 0.6

_Moves = dict[tuple[int, int], float]
_SMILE: _Moves = {
    (20, 1): -0.01,
    (14, 1): -0.02,
    (17, 1): 0.0065,
    (17, 2): 0.003,
    (13, 1): -0.00275,
    (16, 1): -0.00275,
    (3, 1): -0.0035,
    (7, 1): -0.0035,
}
_BROWS_UP: _Moves = {(1, 1): 0.001, (2, 1): -0.001}
_BROWS_DOWN: _Moves = {(1, 0): -0.001, (2, 0): 0.001, (1, 1): 0.0003, (2, 1): -0.0003}
_LOOK_RIGHT: _Moves = {(11, 0): 0.0007, (15, 0): 0.001}
_LOOK_LEFT: _Moves = {(11, 0): 0.001, (15, 0): 0.0007}
_LOOK_UP: _Moves = {(11, 1): -0.0005, (13, 1): -0.00015, (15, 1): -0.0005, (16, 1): -0.00015}
_ROUND: _Moves = {(14, 1): 0.001, (3, 1): -0.0005, (7, 1): -0.0005, (17, 2): -0.0005}
_SPREAD: _Moves = {(20, 2): -0.001, (20, 1): -0.001, (14, 1): -0.001}
_OPEN: _Moves = {(19, 1): 0.001, (19, 2): 0.0001, (17, 1): -0.0001}

_BROW_UNITS, _GAZE_X_UNITS, _GAZE_Y_UNITS = 12.0, 10.0, 12.0
_ROUND_UNITS, _SPREAD_UNITS, _PRESS_UNITS = 9.0, 9.0, 3.0


def controls(pose: Pose, loud: float, eyes_open: float) -> NDArray[np.float32]:
    """``(CONTROLS,)``: what ``pose`` is in the terms of the keypoints.

    :param loud: 0 … 1, whether there is anything to be heard (``motion.audible``).
    :param eyes_open: how open the portrait's own eyes are, in terms of their width.
    """
    row = np.zeros(CONTROLS, np.float32)
    row[_PITCH] = _PITCH_DEGREES * pose.pitch
    row[_YAW] = -_YAW_DEGREES * pose.yaw
    row[_ROLL] = _ROLL_DEGREES * pose.roll
    row[_X] = _SHIFT_X * pose.x
    row[_Y] = _SHIFT_Y * pose.y - _BREATH * pose.breath
    row[_NEAR] = _GROWTH * pose.near
    opening = (_OPEN_RATIO * pose.jaw**_EASE + _PARTED_RATIO * pose.part) * (1 - pose.press**2)
    row[LIPS] = min(opening, _WIDEST_RATIO) * loud
    row[EYES] = eyes_open * (1 - pose.blink)

    offsets = row[EXPRESSION:].reshape(21, 3)
    _add(offsets, _SMILE, pose.smile)
    _add(offsets, _BROWS_UP if pose.brow > 0 else _BROWS_DOWN, _BROW_UNITS * pose.brow)
    _add(offsets, _LOOK_RIGHT if pose.gaze_x > 0 else _LOOK_LEFT, _GAZE_X_UNITS * pose.gaze_x)
    _add(offsets, _LOOK_UP, -_GAZE_Y_UNITS * pose.gaze_y)
    _add(offsets, _ROUND, _ROUND_UNITS * max(-pose.wide, 0.0) * loud)
    _add(offsets, _SPREAD, _SPREAD_UNITS * max(pose.wide, 0.0) * loud)
    _add(offsets, _OPEN, -_PRESS_UNITS * pose.press)
    return row


def _add(offsets: NDArray[np.float32], moves: _Moves, amount: float) -> None:
    for (point, axis), per_unit in moves.items():
        offsets[point, axis] += amount * per_unit
