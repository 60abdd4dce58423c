"""Pictures in RGB and in I420 are the same pictures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from maestra.adapters.face.scaled import Scaled
from maestra.app.colour import Colour, i420_shape, rgb
from maestra.ports.face import Frame


def soft(size: int = 64) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[0:size, 0:size] / size
    drawn = np.stack([60 + 180 * rows, 40 + 160 * columns, 200 - 150 * rows], axis=-1)
    return drawn.astype(np.uint8)


def test_there_and_back() -> None:
    drawn = soft()
    planes = Colour().i420(drawn)

    assert i420_shape(64, 64) == planes.shape
    assert planes is Colour().i420(planes)
    assert drawn is rgb(drawn)
    assert np.abs(rgb(planes).astype(int) - drawn).mean() < 2
    dark = Colour().i420(np.zeros((4, 4, 3), np.uint8))
    assert {16} == set(dark[:4].flat)
    assert {128} == set(dark[4:].flat)


def test_a_device_converts_as_the_host_does() -> None:
    torch = pytest.importorskip("torch")
    from maestra.adapters.face.colour import yuv420

    drawn = soft()
    ours = yuv420(torch.from_numpy(drawn[None]))[0].numpy().astype(int)
    assert np.abs(ours - Colour().i420(drawn)).max() <= 3


@pytest.mark.parametrize("size", [32, 128])
def test_a_face_is_scaled_in_either(size: int) -> None:
    class Shown:
        width = height = 64
        frame_rate, look_ahead, warm_up = 25, 0.0, 0.0

        def __init__(self, picture: NDArray[np.uint8]) -> None:
            self.picture = picture

        def frames(self) -> list[Frame]:
            return [Frame(number=0, picture=self.picture)]

    drawn = soft()
    as_rgb, as_planes = (
        next(Scaled(Shown(picture), size).frames()).picture  # type: ignore[arg-type]
        for picture in (drawn, Colour().i420(drawn))
    )
    assert (size, size, 3) == as_rgb.shape
    assert i420_shape(size, size) == as_planes.shape
    assert np.abs(rgb(as_planes).astype(int) - as_rgb).mean() < 2.5
