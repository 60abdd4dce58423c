"""From speech to keypoints, picture by picture, as the speech comes.

How it differs from the published program, which has the whole speech before it begins:

* A picture's row of coefficients needs sound to 92.5 ms after it. The mapping network reads 13 rows
  on either side; of those after it the first ``FUTURE`` are made of speech that is known. The
  others are taken to be the mean of these and the picture's own. (The published program repeats
  the last row at the end; live, where the end moves on, that would make the newest row tremble.)
* The pose network makes 32 poses of 32 pictures' speech at once. They are shown when they are all
  there and can be smoothed (Savitzky-Golay, 13 poses, order 2) with those before and after them:
  the head follows the speech ``POSE_DELAY`` pictures later. The mouth doesn't wait.
* The mouth is shut by the sound level, whatever the network makes of silence: the expression goes
  back to the portrait's own.
* Where nothing is said, the head drifts and the eyes blink by themselves.
* Where speech begins, ends or is cut off, the keypoints go over smoothly from those shown last.

Everything is a function of the sound up to the picture and its look-ahead, of the picture's number
and of the seed. What was heard and shown of the last pictures is kept by number, so that they can
be drawn again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from attrs import frozen

from maestra.core.persona import Manner
from maestra.ports.audio import FRAME_RATE, PLAYOUT_RATE_HZ, SLICE_SAMPLES

from ..motion import Idle, audible, only_audible
from ..streaming import REMEMBERED
from ..tracing import stage
from .audio import BLOCK
from .mel import BANDS, HOP, RATE_HZ, WINDOW, first_frame, mel
from .semantics import REACH, keypoints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..streaming import Moment
    from .networks import Networks

    Floats = NDArray[np.float32]

__all__ = [
    "FUTURE",
    "LOOK_AHEAD",
    "LOOK_BACK",
    "LOW_PASS",
    "POSE_DELAY",
    "SMOOTHING",
    "Driver",
]

_T = TypeVar("_T")

FUTURE = 7
"""Rows after a picture's own that are made of speech, where it is known."""

LOOK_BACK = 0.12
LOOK_AHEAD = 0.4

_SMOOTHED = 6
POSE_DELAY = BLOCK + _SMOOTHED + FUTURE
"""Pictures by which the head follows the speech: 1.8 s."""

SMOOTHING = (25 - np.arange(-_SMOOTHED, _SMOOTHED + 1) ** 2) / 143
"""Savitzky-Golay's weights for the middle of 13 values by a parabola."""

_KEPT = REMEMBERED + POSE_DELAY + 2 * BLOCK

_DECIMATION = PLAYOUT_RATE_HZ // RATE_HZ
_TAPS = 161
_CUT_OFF_HZ = 7_700.0

_OPENING, _SHUTTING = 1 / 11, 1 / 6
"""By how much the mouth is released and shut from picture to picture, at most."""

_TALK = 0.04
"""How fast the pose network takes over the head, and leaves it: the share of the way a picture."""

_DRIFT = np.array([0.025, 0.04, 0.02])
"""How far the head turns by itself, in radians: pitch, yaw, roll."""

_SEAM = 24
"""Pictures in which the keypoints go over."""


def _low_pass() -> NDArray[np.float64]:
    at = np.arange(_TAPS) - _TAPS // 2
    taps = np.sinc(2 * _CUT_OFF_HZ / PLAYOUT_RATE_HZ * at) * np.hanning(_TAPS + 2)[1:-1]
    normalised: NDArray[np.float64] = taps / taps.sum()
    return normalised


LOW_PASS = _low_pass()
_SILENT = np.full((BANDS, WINDOW), -4, np.float32)


@frozen(kw_only=True, eq=False)
class _Heard:
    """What a picture hears: its mel ``window``, and how ``loud`` it is, 0 … 1."""

    window: Floats
    loud: float


@frozen(kw_only=True, eq=False)
class _Shown:
    """What was shown at a picture.

    ``open`` 0 … 1: how much of the network's expression; ``talk`` 0 … 1: how much of its pose.
    ``apart``: how far the keypoints shown last were from those wanted where they began to go over,
    ``gone`` pictures ago.
    """

    open: float = 0.0
    talk: float = 0.0
    speaking: bool = False
    row: Floats | None = None
    points: Floats | None = None
    apart: Floats | float = 0.0
    gone: int = _SEAM


class Driver:
    """Makes the keypoints that a portrait is driven by.

    :param networks: what it asks, on ``device``.
    :param row: the portrait's own coefficients, ``(70,)``.
    :param canonical: its canonical keypoints, ``(1, 15, 3)``.
    :param style: which manner of moving the head.
    :param pose: how much of it; 0, the head only drifts.
    :param expression: how much the mouth moves.
    """

    def __init__(
        self,
        networks: Networks,
        row: torch.Tensor,
        canonical: torch.Tensor,
        *,
        style: int = 0,
        pose: float = 1.0,
        expression: float = 1.0,
        manner: Manner | None = None,
        seed: int = 0,
    ) -> None:
        self._networks = networks
        self._row = row.detach()
        self._canonical = canonical.detach()
        self._own = self._row.cpu().numpy()
        self._blink = networks.audio2exp.of_blink().detach().cpu().numpy()
        self._style, self._pose, self._expression = style, pose, expression
        self._drift = _DRIFT * (manner if manner is not None else Manner()).liveliness
        self._seed = seed
        self._idle = Idle(seed)
        self._heard: OrderedDict[int, _Heard] = OrderedDict()
        self._shown: OrderedDict[int, _Shown] = OrderedDict()
        self._blocks: OrderedDict[int, Floats] = OrderedDict()

    def source(self) -> torch.Tensor:
        """The keypoints of the portrait as it is, ``(1, 15, 3)``."""
        rows = self._row.expand(1, 2 * REACH + 1, -1).transpose(1, 2)
        return keypoints(self._canonical, self._networks.mapping(rows))

    def drive(self, moments: Sequence[Moment]) -> Floats:
        """The keypoints of ``moments``, which follow one another, ``(n, 15, 3)``."""
        first = moments[0].number
        before, again = self._go_back_to(first)
        with stage("coefficients"):
            heard = self._listen(moments)
            for moment, what in zip(moments, heard, strict=False):
                self._keep(self._heard, moment.number, what)
            ahead = self._rows(first, heard, before)
        wanted = self._wanted(first, len(moments), ahead)
        for index, moment in enumerate(moments):
            seam = again or moment.speaking != before.speaking
            before = self._go_over(ahead[index], wanted[index], before, moment.speaking, seam)
            self._keep(self._shown, moment.number, before)
            again = False
        points = [self._shown[moment.number].points for moment in moments]
        return np.stack([p for p in points if p is not None])

    def heard(self, number: int) -> Floats:
        """The mel window of picture ``number``, one of the last, ``(80, 16)``."""
        return self._heard[number].window

    def row(self, number: int) -> Floats:
        """The coefficients shown at picture ``number``, one of the last, ``(70,)``."""
        found = self._shown[number].row
        assert found is not None
        return found

    # --- what was ---------------------------------------------------------------

    def _go_back_to(self, number: int) -> tuple[_Shown, bool]:
        """What was shown before ``number``, and whether more than that was drawn: a slow face that
        leaves pictures out goes on without a seam."""
        again = False
        for kept in (self._heard, self._shown):
            while kept and next(reversed(kept)) >= number:
                kept.popitem()
                again = True
        while self._blocks and (next(reversed(self._blocks)) + 1) * BLOCK > number:
            self._blocks.popitem()
        if not self._shown:
            return _Shown(), again
        return self._shown[next(reversed(self._shown))], again

    @staticmethod
    def _keep(kept: OrderedDict[int, _T], number: int, what: _T) -> None:
        kept[number] = what
        while len(kept) > _KEPT:
            kept.popitem(last=False)

    # --- what is heard ----------------------------------------------------------

    def _listen(self, moments: Sequence[Moment]) -> list[_Heard]:
        """What ``moments`` and the ``FUTURE`` pictures after them hear."""
        first, count = moments[0].number, len(moments) + FUTURE
        sound = np.concatenate(
            [moments[0].sound, *(moment.sound[-SLICE_SAMPLES:] for moment in moments[1:])]
        )
        sound = only_audible(sound)
        if not sound.any():
            return [_Heard(window=_SILENT, loud=0.0)] * count
        back = round(LOOK_BACK * PLAYOUT_RATE_HZ)
        low = np.convolve(sound, LOW_PASS, mode="same")[::_DECIMATION]
        begin = (first * SLICE_SAMPLES - back) // _DECIMATION  # the number of low's first sample
        heard = []
        for index in range(count):
            # A frame is around its sample, and begins with the one that only sharpens it.
            at = first_frame(first + index) * HOP - 401 - begin
            frames = mel(low[at : at + (WINDOW - 1) * HOP + 801], padded=False)
            window = frames.T.astype(np.float32)
            loud = audible(sound, LOOK_BACK + index / FRAME_RATE)
            heard.append(_Heard(window=window, loud=loud))
        return heard

    # --- what is wanted ---------------------------------------------------------

    def _rows(self, first: int, heard: Sequence[_Heard], before: _Shown) -> list[_Shown]:
        """The rows of the pictures from ``first`` on, as many as were ``heard``."""
        states = []
        state = before
        for what in heard:
            opened = min(max(what.loud, state.open - _SHUTTING), state.open + _OPENING)
            talk = state.talk + ((1.0 if what.loud > 0 else 0.0) - state.talk) * _TALK
            state = _Shown(open=opened if opened > 1e-6 else 0.0, talk=talk)
            states.append(state)
        said = self._expressions(heard, [state.open for state in states])
        found = []
        for index, (state, expression) in enumerate(zip(states, said, strict=True)):
            row = self._row_at(first + index, expression, state.talk)
            found.append(_Shown(open=state.open, talk=state.talk, row=row))
        return found

    def _expressions(self, heard: Sequence[_Heard], opened: Sequence[float]) -> Floats:
        """``(n, 64)``, without blinks."""
        own = self._own[:64]
        shares = np.array(opened, np.float32)[:, None]
        shares = shares * shares * (3 - 2 * shares)
        if not shares.any():
            return np.repeat(own[None], len(heard), axis=0)
        windows = torch.from_numpy(np.stack([what.window for what in heard])).to(self._row.device)
        eyes_open = torch.zeros(len(heard), device=self._row.device)
        said = self._networks.audio2exp(windows, self._row[:64], eyes_open).cpu().numpy()
        spoken: Floats = own + shares * (np.float32(self._expression) * said - own)
        return spoken

    def _row_at(self, number: int, expression: Floats, talk: float) -> Floats:
        rest = self._idle.at(number)
        drift = self._drift * (rest.pitch, rest.yaw, rest.roll)
        change = np.concatenate([(1 - talk) * drift, np.zeros(3)])
        if talk > 1e-3 and self._pose:
            change = change + talk * self._pose * self._pose_change(number)
        blink = np.float32(rest.blink) * self._blink
        return np.concatenate([expression + blink, self._own[64:] + change]).astype(np.float32)

    def _pose_change(self, number: int) -> NDArray[np.float64]:
        """The pose network's change of pose shown at picture ``number``, ``(6,)``."""
        middle = number - POSE_DELAY
        near = [self.pose_of(middle + step) for step in range(-_SMOOTHED, _SMOOTHED + 1)]
        change: NDArray[np.float64] = SMOOTHING @ np.stack(near)
        return change

    def pose_of(self, number: int) -> Floats:
        """The pose network's change of pose for what picture ``number`` hears, ``(6,)``."""
        block = number // BLOCK
        if block not in self._blocks:
            self._keep(self._blocks, block, self._pose_block(block))
        pose: Floats = self._blocks[block][number % BLOCK]
        return pose

    def _pose_block(self, block: int) -> Floats:
        numbers = range(block * BLOCK, (block + 1) * BLOCK)
        silent = _Heard(window=_SILENT, loud=0.0)
        windows = np.stack([self._heard.get(number, silent).window for number in numbers])
        drawn = np.random.Generator(np.random.PCG64([self._seed, block % 2**32]))
        noise = drawn.standard_normal(64).astype(np.float32)
        device = self._row.device
        poses: Floats = (
            self._networks.audio2pose(
                torch.from_numpy(windows).to(device),
                self._row[64:],
                torch.from_numpy(noise).to(device),
                self._style,
            )
            .cpu()
            .numpy()
        )
        return poses

    def _wanted(self, first: int, count: int, ahead: Sequence[_Shown]) -> Floats:
        """The keypoints that the mapping network makes of the rows, ``(count, 15, 3)``."""

        def row(number: int) -> Floats:
            if number >= first:
                found = ahead[number - first].row
            else:
                kept = self._shown.get(number)
                found = kept.row if kept is not None else None
            return self._row_at(number, self._own[:64], 0.0) if found is None else found

        windows = []
        for number in range(first, first + count):
            known = [row(number + step) for step in range(-REACH, FUTURE + 1)]
            likely = np.mean(known[REACH:], axis=0)
            windows.append([*known, *[likely] * (REACH - FUTURE)])
        rows = torch.from_numpy(np.array(windows, np.float32)).to(self._row.device)
        with stage("mapping"):
            pose = self._networks.mapping(rows.transpose(1, 2))
        with stage("keypoints"):
            points: Floats = keypoints(self._canonical, pose).cpu().numpy()
        return points

    @staticmethod
    def _go_over(now: _Shown, wanted: Floats, before: _Shown, speaking: bool, seam: bool) -> _Shown:
        """What is shown where ``wanted`` is, after ``before``."""
        apart, gone = before.apart, before.gone + 1
        if seam and before.points is not None:
            apart, gone = before.points - wanted, 1
        share = max(0.0, 1 - gone / _SEAM)
        smooth = share * share * (3 - 2 * share)
        return _Shown(
            open=now.open,
            talk=now.talk,
            speaking=speaking,
            row=now.row,
            points=(wanted + np.float32(smooth) * apart).astype(np.float32),
            apart=apart,
            gone=gone,
        )
