"""What the puppet makes of sound and of silence, before anything is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from maestra.adapters.face.motion.idle import Idle
from maestra.adapters.face.motion.performer import REMEMBERED, Performer, Pose
from maestra.core.persona import Manner
from maestra.ports.audio import FRAME_RATE

from .sounds import Sound, hiss, moments, silence, vowel

AH = (750.0, 1200.0)
EE = (280.0, 2300.0)
OO = (320.0, 780.0)
MM = (220.0,)


def perform(*sounds: Sound, performer: Performer | None = None, start: int = 0) -> list[Pose]:
    performer = performer or Performer(Manner(), seed=1)
    return [performer.pose(moment) for moment in moments(*sounds, start=start)]


def held(*formants_hz: float) -> Pose:
    """The pose in the middle of a long sound."""
    poses = perform(silence(0.4), vowel(0.8, *formants_hz), silence(0.4))
    return poses[len(poses) // 2]


def test_the_mouth_opens_on_a_vowel_and_is_shut_before_and_after() -> None:
    poses = perform(silence(1), vowel(0.6, *AH), silence(1))

    assert max(p.jaw for p in poses[:23]) == 0
    assert max(p.jaw for p in poses[27:38]) > 0.6
    assert max(p.jaw for p in poses[48:]) < 0.02


def test_vowels_have_shapes_of_their_own() -> None:
    ah, ee, oo = held(*AH), held(*EE), held(*OO)

    assert ah.jaw > ee.jaw + 0.15 and ah.jaw > oo.jaw + 0.1
    assert ee.wide > 0.2
    assert oo.wide < -0.2


def test_a_hiss_parts_the_lips_and_leaves_the_jaw() -> None:
    poses = perform(silence(0.4), vowel(0.4, *AH), hiss(0.5), silence(0.4))
    pose = poses[26]

    assert pose.part > 0.5
    assert pose.jaw < 0.3


def test_lips_meet_for_a_nasal_between_vowels() -> None:
    poses = perform(vowel(0.5, *AH), vowel(0.2, *MM, rms=0.04), vowel(0.5, *AH))

    assert min(p.jaw for p in poses[12:18]) < 0.15
    assert max(p.press for p in poses[12:18]) > 0.2


def test_the_picture_is_level_with_the_sound() -> None:
    rng = np.random.default_rng(5)
    syllables = []
    for _ in range(30):
        syllables += [vowel(0.08 + 0.18 * rng.random(), *AH, rms=0.05 + 0.1 * rng.random())]
        syllables += [silence(0.04 + 0.12 * rng.random())]
    opened = np.array([p.jaw for p in perform(*syllables)])
    sound = np.concatenate(syllables)[: len(opened) * 1920 // 1920 * 1920]
    sound = np.pad(sound, (0, len(opened) * 1920 - len(sound)))
    loud = np.sqrt((sound.reshape(-1, 1920) ** 2).mean(axis=1))

    def agreement(lag: int) -> float:
        a = opened[max(0, lag) : len(opened) + min(0, lag)]
        b = loud[max(0, -lag) : len(loud) + min(0, -lag)]
        return float(np.corrcoef(a, b)[0, 1])

    found = {lag: agreement(lag) for lag in range(-4, 5)}

    assert max(found, key=lambda lag: found[lag]) in (0, 1)
    assert found[0] > 0.8


def test_a_quiet_voice_moves_the_mouth_too() -> None:
    quiet = perform(*[vowel(0.3, *AH, rms=0.02), silence(0.1)] * 12)

    assert max(p.jaw for p in quiet[-20:]) > 0.35


def test_stepping_back_goes_on_from_what_was_last_seen() -> None:
    performer = Performer(Manner(), seed=1)
    shown = perform(silence(1), vowel(2, *AH), performer=performer)
    again = perform(silence(1), performer=performer, start=40)
    straight = Performer(Manner(), seed=1)
    perform(silence(1), vowel(2, *AH)[: 15 * 1920], performer=straight)

    assert abs(again[0].jaw - shown[39].jaw) < abs(shown[39].jaw - again[4].jaw)
    assert [p.jaw for p in again] == sorted((p.jaw for p in again), reverse=True)
    assert abs(again[0].x - shown[39].x) < 0.1


@pytest.mark.parametrize("back", [1, 8, 64, REMEMBERED, 10 * REMEMBERED])
def test_any_step_is_survived(back: int) -> None:
    performer = Performer(Manner(), seed=1)
    shown = perform(vowel(12, *AH), performer=performer, start=5000)
    (again,) = perform(vowel(0.04, *AH), performer=performer, start=5300 - back)

    assert abs(again.jaw - shown[-1].jaw) < 0.6


def test_nothing_jumps_where_speech_begins_and_ends() -> None:
    poses = perform(silence(2), *[vowel(0.25, *AH), silence(0.1)] * 8, silence(2))
    sway = np.array([[p.x, p.y, p.roll, p.near, p.yaw, p.pitch, p.brow] for p in poses])
    steps = np.abs(np.diff(sway, axis=0)).max(axis=1)
    inside = steps[55:115].max()

    assert steps[44:54].max() <= inside * 1.25
    assert steps[115:].max() <= inside * 1.1


@pytest.mark.parametrize("bad", [np.full(21_120, np.nan), np.ones(3), np.ones(99_999), np.ones(0)])
def test_bad_sound_gives_a_pose_all_the_same(bad: Sound) -> None:
    performer = Performer(Manner(), seed=1)
    (moment,) = moments(silence(0.04))
    pose = performer.pose(
        type(moment)(number=0, sound=bad.astype(np.float32), speaking=True),
    )

    assert np.isfinite([pose.jaw, pose.wide, pose.y, pose.pitch]).all()


def test_blinks_are_irregular_and_two_to_six_seconds_apart() -> None:
    idle = Idle(seed=4)
    shut = np.array([idle.at(n).blink for n in range(5 * 60 * FRAME_RATE)])
    begins = np.flatnonzero((shut[1:] > 0.5) & (shut[:-1] <= 0.5)) / FRAME_RATE
    apart = np.diff(begins)
    apart = apart[apart > 1]  # a second blink may follow at once

    assert shut.max() > 0.95
    assert apart.min() > 1.8 and apart.max() < 6.2
    assert apart.std() > 0.4
    assert 12 < len(begins) / 5 < 22


def test_idle_does_not_repeat_itself() -> None:
    idle = Idle(seed=4)
    rests = [idle.at(n) for n in range(3 * 60 * FRAME_RATE)]
    for name in ("x", "roll", "yaw"):
        moves = np.array([getattr(rest, name) for rest in rests])
        moves = moves - moves.mean()
        power = np.abs(np.fft.rfft(moves, 2 * len(moves))) ** 2
        alike = np.fft.irfft(power)[: len(moves) // 2]

        assert alike[10 * FRAME_RATE :].max() < 0.4 * alike[0], name
        assert np.abs(np.diff(moves)).max() < 0.2, name


def test_seeds_differ_and_manner_counts() -> None:
    (moment,) = moments(silence(0.04), start=70)
    one, other = (Performer(Manner(), seed=s).pose(moment) for s in (1, 2))
    calm = Performer(Manner(liveliness=0.5), seed=1).pose(moment)

    assert one.x != other.x
    assert calm.x == pytest.approx(one.x / 2)
