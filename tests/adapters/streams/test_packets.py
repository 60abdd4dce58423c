"""Slices for browsers come out at once, play, and can be begun with where it was asked for."""

from __future__ import annotations

import time

import av
import numpy as np
import pytest
from fakes import streams
from numpy.typing import NDArray

from maestra.adapters.streams.packets import PacketEncoder
from maestra.ports.errors import StreamError
from maestra.ports.streams import Encoded

SIZE = streams.SIZE


def i420(shade: int) -> NDArray[np.uint8]:
    picture = np.full((SIZE * 3 // 2, SIZE), 128, np.uint8)
    picture[:SIZE] = shade
    return picture


def encoder(interval: float = 2.0) -> PacketEncoder:
    return PacketEncoder(width=SIZE, height=SIZE, bit_rate=500_000, keyframe_interval=interval)


def encoded(count: int) -> list[Encoded]:
    made = encoder()
    return [
        made.encode(
            slot, (sound * 32767).astype(np.int16).tobytes(), i420(picture[0, 0, 0]), key=False
        )
        for slot, sound, picture in streams.slices(count)
    ]


def lights(slices: list[Encoded]) -> list[float]:
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for one in slices for frame in decoder.decode(av.Packet(one.picture))]
    frames += decoder.decode(None)
    return [float(frame.to_ndarray(format="gray").mean()) for frame in frames]


def sound(slices: list[Encoded]) -> NDArray[np.float32]:
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate = 48_000
    frames = [frame for one in slices for frame in decoder.decode(av.Packet(one.sound))]
    mono = [frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0] for frame in frames]
    return np.concatenate(mono).astype(np.float32) / np.float32(32768)


def test_a_flash_and_its_click_are_in_the_same_slice() -> None:
    slices = encoded(60)
    seen = lights(slices)
    flashes = [number for number, light in enumerate(seen) if light > 128]
    heard = sound(slices)
    clicks = np.flatnonzero(np.abs(heard) > 0.2) / 1920

    assert len(seen) == 60
    assert flashes == [streams.BEAT, streams.BEAT + 25]
    assert len(heard) == pytest.approx(60 * 1920, abs=1920)
    # Opus looks ahead by 6.5 ms: a sixth of a slice.
    assert clicks[0] == pytest.approx(streams.BEAT, abs=0.3)
    assert clicks[-1] == pytest.approx(streams.BEAT + 25, abs=0.6)


def test_every_picture_to_begin_with_can_be_begun_with() -> None:
    made = encoder()
    slices = [made.encode(slot, None, i420(90), key=slot == 30) for slot in range(90)]
    keys = [one.slot for one in slices if one.key]

    assert keys == [0, 30, 80]  # and one in its turn
    for key in keys:
        assert lights(slices[key : key + 3]) == pytest.approx([90.0 - 16] * 3, abs=25)


def test_no_picture_is_the_last_one_again_and_no_sound_is_silence() -> None:
    made = encoder()
    slices = [
        made.encode(0, None, None, key=False),
        made.encode(1, None, i420(200), key=False),
        *(made.encode(slot, None, None, key=False) for slot in range(2, 6)),
    ]
    seen = lights(slices)
    assert seen[0] < 20
    assert min(seen[1:]) > 180
    assert np.abs(sound(slices)).max() < 0.001


def test_what_goes_in_comes_out_at_once_and_small() -> None:
    slices = encoded(50)
    assert all(one.picture and one.sound for one in slices)
    assert max(len(one.sound) for one in slices) < 1_200  # one datagram
    made = PacketEncoder(width=512, height=512, bit_rate=1_500_000)
    noisy = np.random.default_rng(1).integers(0, 255, (768, 512), np.uint8)
    took = []
    for slot in range(10):
        begun = time.perf_counter()
        made.encode(slot, None, noisy, key=False)
        took.append(time.perf_counter() - begun)
    assert sorted(took)[5] < 0.5  # of the worst of pictures, on a busy machine


def test_slots_that_were_left_out_leave_a_gap() -> None:
    made = encoder()
    for slot in (3, 4, 40, 41):
        assert made.encode(slot, None, None, key=False).slot == slot


@pytest.mark.parametrize(
    ("picture", "sound_"),
    [
        (np.zeros((7, 7), np.uint8), None),
        (np.zeros((SIZE, SIZE, 3), np.uint8), None),
        (None, b"x"),
    ],
    ids=["tiny", "RGB", "half a sample"],
)
def test_what_is_no_slice_is_refused(picture: NDArray[np.uint8] | None, sound_: bytes) -> None:
    with pytest.raises(StreamError):
        encoder().encode(0, sound_, picture, key=False)


def test_an_encoder_that_cannot_be_had_is_said() -> None:
    with pytest.raises(StreamError):
        PacketEncoder(width=129, height=129, bit_rate=500_000)
