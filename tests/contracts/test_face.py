"""What every face promises (``ports.face.Face``), kept by the fake and by the real ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fakes.face import FakeFace

from maestra.app import composition
from maestra.app.config import Config
from maestra.ports.audio import PLAYOUT_RATE_HZ, SLICE_SAMPLES
from maestra.ports.face import LOOK_AHEAD, LOOK_BACK, Face, FrameRequest

WINDOW = SLICE_SAMPLES + round((LOOK_BACK + LOOK_AHEAD) * PLAYOUT_RATE_HZ)


def _built(name: str) -> Face:
    pytest.importorskip("cv2")
    config = Config()
    return dict(composition.faces(config, composition.persona(config.persona)))[name]()


def _puppet() -> Face:
    return _built("puppet")


def _still() -> Face:
    return _built("still")


@pytest.fixture(params=[FakeFace, _puppet, _still], ids=["fake", "puppet", "still"])
def face(request: pytest.FixtureRequest) -> Face:
    build: Callable[[], Face] = request.param
    return build()


def asked(index: int, *, level: float = 0.0) -> FrameRequest:
    time = (index * SLICE_SAMPLES + np.arange(WINDOW)) / PLAYOUT_RATE_HZ
    sound = (level * np.sin(2 * np.pi * 200 * time)).astype(np.float32)
    return FrameRequest(index=index, sound=sound, speaking=level > 0)


def test_pictures_are_rgb_of_the_size_it_says(face: Face) -> None:
    for index, level in enumerate([0.0, 0.4, 0.4, 0.0]):
        picture = face.render(asked(index, level=level))
        assert (face.height, face.width, 3) == picture.shape
        assert np.uint8 == picture.dtype
        assert face.width % 2 == face.height % 2 == 0


def test_an_index_may_leap_ahead_and_step_back(face: Face) -> None:
    for index in (0, 1, 2, 50, 51, 49, 50, 3):
        assert face.render(asked(index, level=0.3 if index > 40 else 0.0)).size


def test_a_picture_that_was_given_does_not_change_under_its_owner(face: Face) -> None:
    first = face.render(asked(0))
    before = first.tobytes()
    for index in range(1, 5):
        face.render(asked(index, level=0.5))

    assert before == first.tobytes()
