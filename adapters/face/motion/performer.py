"""From moments to poses: the filters and springs between the sound and the face.

Every picture's pose is the idle movement plus filtered speech. The filters' state after each
picture is kept for a while, so that when the session steps back over pictures that nobody saw, the
face goes on from the last one that was seen instead of jumping.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from maestra.core.persona import Manner
from maestra.ports.audio import FRAME_RATE

from .articulation import articulate
from .idle import Idle

if TYPE_CHECKING:
    from ..streaming import Moment

__all__ = ["REMEMBERED", "Performer", "Pose"]

REMEMBERED = 256
"""How many pictures back the session may step (10 s)."""

_DT = 1 / FRAME_RATE

_SEAM = 5
"""So many pictures from where speech begins, ends or is cut off the mouth moves no further than
``_AT_SEAM`` from one to the next: a mouth that is wide open is shut within 0.2 s. Between two
syllables it is quicker, which looks like a jump where the head hardly moves."""

_AT_SEAM = 0.2


@frozen(kw_only=True)
class Pose:
    """What the rig draws.

    ``jaw`` and ``part`` 0 … 1 (how far the jaw falls; how far the lips part beyond that),
    ``wide`` -1 … 1, ``press`` 0 … 1, ``smile`` about 0 … 1, ``brow`` -1 … 1, ``blink`` 0 … 1,
    ``gaze_x``, ``gaze_y``, ``breath`` -1 … 1; the head's ``x``, ``y``, ``roll``, ``near``,
    ``yaw``, ``pitch`` in units of about 1. ``talk`` 0 … 1 is how much the mouth is in use.
    """

    jaw: float
    part: float
    wide: float
    press: float
    smile: float
    brow: float
    blink: float
    gaze_x: float
    gaze_y: float
    breath: float
    x: float
    y: float
    roll: float
    near: float
    yaw: float
    pitch: float
    talk: float


@frozen(kw_only=True)
class _State:
    open: float = 0.0
    wide: float = 0.0
    hiss: float = 0.0
    press: float = 0.0
    reference_db: float = -21.0
    quick: float = 0.0
    slow: float = 0.0
    nod: float = 0.0
    nod_speed: float = 0.0
    brow: float = 0.0
    brow_speed: float = 0.0
    talk: float = 0.0
    talk_speed: float = 0.0
    speaking: bool = False
    seam: int = _SEAM


def _towards(value: float, target: float, attack: float, release: float) -> float:
    """One step of a one-pole filter; ``attack``, ``release`` are shares of the way per picture."""
    return value + (target - value) * (attack if abs(target) > abs(value) else release)


def _within(reach: float, before: float, value: float) -> float:
    return min(max(value, before - reach), before + reach)


def _spring(value: float, speed: float, target: float, rate_hz: float) -> tuple[float, float]:
    """One step of a critically damped spring, exact for any rate (never unstable)."""
    w = 2 * math.pi * rate_hz
    gap, e = value - target, math.exp(-w * _DT)
    pull = (speed + w * gap) * _DT
    return target + (gap + pull) * e, (speed - w * pull) * e


class Performer:
    """Turns moments into poses; deterministic given ``seed`` and the moments."""

    def __init__(self, manner: Manner, seed: int) -> None:
        self._manner = manner
        self._idle = Idle(seed)
        self._states: OrderedDict[int, _State] = OrderedDict()

    def pose(self, moment: Moment) -> Pose:
        """The pose of a picture."""
        state = self._step(self._before(moment.number), moment)
        self._states[moment.number] = state
        while len(self._states) > REMEMBERED:
            self._states.popitem(last=False)
        return self._compose(state, moment.number)

    def _before(self, index: int) -> _State:
        """The state to go on from; pictures from ``index`` on are forgotten."""
        last: _State | None = None
        while self._states:
            last_index = next(reversed(self._states))
            if last_index < index:
                return self._states[last_index]
            last = self._states.pop(last_index)
        # Stepped back further than is remembered: the oldest state is the nearest to what was seen.
        return last if last is not None else _State()

    def _step(self, before: _State, moment: Moment) -> _State:
        seam = 0 if moment.speaking != before.speaking else before.seam + 1
        at_seam = seam < _SEAM
        reach = _AT_SEAM if at_seam else math.inf
        heard = articulate(moment.sound, before.reference_db)
        reference = before.reference_db
        if heard.level_db > -50:
            # Vowels lie a little under the loudest moments; learn quickly up, slowly down.
            gap = heard.level_db - reference
            reference += gap * (0.08 if gap > 0 else 0.004)
            reference = min(max(reference, -34.0), -8.0)
        loud = min(max((heard.level_db - reference + 22) / 22, 0.0), 1.2)
        voiced = loud > 0.05
        quick = before.quick + (loud - before.quick) * 0.45
        slow = before.slow + (loud - before.slow) * (0.035 if voiced else 0.08)
        # The first syllable after a silence is no reason to start up.
        stress = min(max(0.0, quick - slow - 0.12), 0.5)
        settling = at_seam or not moment.speaking
        nod, nod_speed = _spring(
            before.nod, before.nod_speed, 0.0 if at_seam else stress, 0.7 if settling else 1.7
        )
        brow, brow_speed = _spring(
            before.brow, before.brow_speed, max(0.0, stress - 0.15) * 1.6, 1.1
        )
        # The head sways more while it talks, and must not start up where it begins and ends.
        talk, talk_speed = _spring(
            before.talk, before.talk_speed, 1.0 if voiced or moment.speaking else 0.0, 0.9
        )
        pressed = heard.closure * min(1.0, before.talk * 1.5)
        return evolve(
            before,
            open=_within(reach, before.open, _towards(before.open, heard.open, 0.72, 0.55)),
            wide=_within(reach, before.wide, before.wide + (heard.wide - before.wide) * 0.42),
            hiss=_within(reach, before.hiss, _towards(before.hiss, heard.hiss, 0.65, 0.5)),
            press=_within(reach, before.press, _towards(before.press, pressed, 0.6, 0.6)),
            reference_db=reference,
            quick=quick,
            slow=slow,
            nod=nod,
            nod_speed=nod_speed,
            brow=brow,
            brow_speed=brow_speed,
            talk=talk,
            talk_speed=talk_speed,
            speaking=moment.speaking,
            seam=seam,
        )

    def _compose(self, state: _State, index: int) -> Pose:
        rest = self._idle.at(index)
        lively, warm = self._manner.liveliness, self._manner.warmth
        sway = lively * (0.75 + 0.55 * state.talk)
        # Eyes stay with the student while talking, and there is less smiling around a vowel.
        look = 1 - 0.55 * state.talk
        return Pose(
            jaw=min(1.0, state.open),
            part=min(1.0, 0.75 * state.hiss + 0.4 * state.open),
            wide=state.wide,
            press=state.press * (1 - min(1.0, state.open * 3)),
            smile=warm * (0.22 + 0.18 * rest.smile) * (1 - 0.5 * min(1.0, state.open)),
            brow=lively * (0.16 * rest.brow + 0.9 * state.brow),
            blink=rest.blink,
            gaze_x=rest.gaze_x * look,
            gaze_y=rest.gaze_y * look,
            breath=rest.breath,
            x=sway * rest.x,
            y=sway * rest.y * 0.8 + lively * 1.5 * state.nod,
            roll=sway * rest.roll,
            near=sway * rest.near,
            yaw=sway * rest.yaw,
            pitch=sway * rest.pitch + lively * 1.8 * state.nod,
            talk=state.talk,
        )
