"""What is shown while the networks are away."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from maestra.adapters.face import resting as resting_module
from maestra.adapters.face.resting import Resting
from maestra.adapters.face.streaming import Moment

if TYPE_CHECKING:
    from maestra.adapters.face.liveportrait.face import LivePortrait
    from maestra.adapters.face.sadtalker.face import SadTalker


def moment(number: int, *, speaking: bool = False) -> Moment:
    return Moment(number=number, sound=np.zeros(1, np.float32), speaking=speaking)


def picture(level: float) -> NDArray[np.uint8]:
    return np.full((24, 16), round(level), np.uint8)


def swaying(count: int) -> Resting:
    """What has drawn ``count`` pictures that sway, fastest in the middle."""
    resting = Resting()
    for number in range(count):
        level = 128 + 100 * np.sin(number / 8)
        resting.keep([moment(number)], [picture(level)])
    return resting


def shown(resting: Resting, begin: int, end: int) -> list[int]:
    return [int(resting.show(number)[0, 0]) for number in range(begin, end)]


def test_nothing_jumps_and_it_turns_where_little_moves() -> None:
    levels = shown(swaying(150), 150, 1400)
    steps = np.diff(levels)
    assert np.abs(steps).max() <= 13, "no step is larger than those that were drawn"
    assert len(set(levels)) > 50, "it does not stand still"
    turns = np.flatnonzero(np.sign(steps[1:]) * np.sign(steps[:-1]) < 0)
    assert all(abs(levels[turn + 1] - 128) > 80 for turn in turns[1:])


def test_it_is_no_loop() -> None:
    levels = np.array(shown(swaying(150), 150, 1400), np.float64)
    levels -= levels.mean()
    for period in range(20, 600):
        assert np.abs(levels[period:] - levels[:-period]).max() > 50


def test_what_was_not_seen_is_shown_again_without_a_jump() -> None:
    resting = swaying(150)
    first = shown(resting, 150, 200)
    again = shown(resting, 180, 200)
    assert abs(again[0] - first[29]) <= 13
    # The last drawn ones were not seen either.
    assert abs(shown(swaying(150), 140, 141)[0] - (128 + 100 * np.sin(139 / 8))) <= 13


def test_speech_and_what_follows_it_are_not_kept() -> None:
    resting = swaying(150)
    assert resting.ready
    resting.keep([moment(150, speaking=True)], [picture(250)])
    assert not resting.ready
    for number in range(151, 250):
        resting.keep([moment(number)], [picture(250 if number < 201 else 10)])
        assert not resting.ready
    resting.keep([moment(250)], [picture(10)])
    assert resting.ready
    assert set(shown(resting, 251, 400)) == {10}


# --- the faces that rest ---------------------------------------------------------


def tiny(name: str, folder: Path) -> LivePortrait | SadTalker:
    pytest.importorskip("torch")
    pytest.importorskip("cv2")
    if name == "liveportrait":
        from fakes.tiny_liveportrait import tiny_liveportrait

        return tiny_liveportrait(unload_after=60.0)
    from fakes.sadtalker import tiny_sadtalker

    return tiny_sadtalker(folder, unload_after=60.0)


@pytest.mark.parametrize("name", ["liveportrait", "sadtalker"])
def test_a_face_leaves_the_device_while_idle_pictures_are_asked_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("threading.Timer", lambda *_: _Never())
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(resting_module, "_ENOUGH", 4)
    monkeypatch.setattr(resting_module, "_SETTLING", 2)
    face = tiny(name, tmp_path)
    residence: Any = face._residence if hasattr(face, "_residence") else face._engine._residence
    residence._clock = lambda: now[0]

    def take(count: int) -> list[NDArray[np.uint8]]:
        return [frame.picture for frame in islice(face.frames(), count)]

    face.push(np.full(1920, 0.1, np.float32), last=True)
    take(1)
    now[0] = 61.0
    drawn = take(6)
    residence._look()
    assert not residence.resident
    shown = take(5)
    assert not residence.resident
    for picture in shown:
        assert any(np.array_equal(picture, one) for one in drawn[2:])
    assert any(not np.array_equal(shown[0], picture) for picture in shown[1:])
    face.push(np.full(1920, 0.1, np.float32), last=True)
    take(1)
    assert residence.resident


class _Never:
    daemon = False

    def start(self) -> None: ...
