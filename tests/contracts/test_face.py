"""What every face promises (``ports.face.Face``), kept by the fake and by the real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from fakes.face import FakeFace
from fakes.libraries import need
from fakes.tiny_liveportrait import tiny_liveportrait
from fakes.tiny_musetalk import tiny_musetalk
from numpy.typing import NDArray

from maestra.adapters.face.scaled import Scaled
from maestra.adapters.face.streaming import Moment, StreamingFace
from maestra.app import composition
from maestra.app.config import Config
from maestra.ports.audio import PLAYOUT_RATE_HZ
from maestra.ports.face import Face, Frame

Sound = NDArray[np.float32]


def _built(name: str) -> Face:
    pytest.importorskip("cv2")
    config = Config()
    return dict(composition.faces(config, composition.persona(config.persona)))[name]()


def _puppet() -> Face:
    return _built("puppet")


def _still() -> Face:
    return _built("still")


def _scaled() -> Face:
    return Scaled(_puppet(), 64)


def _musetalk(folder: Path) -> Face:
    need("diffusers", "transformers")
    pytest.importorskip("safetensors")
    return tiny_musetalk(folder / "musetalk", idle_seconds=2.0)


def _liveportrait() -> Face:
    pytest.importorskip("torch")
    return tiny_liveportrait()


def _sadtalker(folder: Path) -> Face:
    pytest.importorskip("safetensors")
    from fakes.sadtalker import tiny_sadtalker

    return tiny_sadtalker(folder / "sadtalker")


@pytest.fixture(
    params=[FakeFace, _puppet, _still, _scaled, _liveportrait, _musetalk, _sadtalker],
    ids=["fake", "puppet", "still", "scaled", "liveportrait", "musetalk", "sadtalker"],
)
def face(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Face:
    if request.param in (_musetalk, _sadtalker):
        with_weights: Callable[[Path], Face] = request.param
        return with_weights(tmp_path_factory.getbasetemp())
    build: Callable[[], Face] = request.param
    return build()


def speech(pictures: float, face: Face, level: float = 0.4) -> Sound:
    """As long as so many pictures: syllables, three a second."""
    time = np.arange(round(pictures * PLAYOUT_RATE_HZ / face.frame_rate)) / PLAYOUT_RATE_HZ
    voice = np.sin(2 * np.pi * 200 * time) + 0.7 * np.sin(2 * np.pi * 800 * time)
    syllables = np.sin(np.pi * 3 * time) ** 2
    sound: Sound = (level / 2 * voice * syllables).astype(np.float32)
    return sound


def take(face: Face, count: int) -> list[Frame]:
    return list(islice(face.frames(), count))


def test_pictures_are_rgb_or_i420_of_the_size_it_says_and_counted_from_nought(face: Face) -> None:
    face.push(speech(2, face), last=True)
    frames = take(face, 4)

    assert [0, 1, 2, 3] == [frame.number for frame in frames]
    for frame in frames:
        shapes = (face.height, face.width, 3), (face.height * 3 // 2, face.width)
        assert frame.picture.shape in shapes
        assert np.uint8 == frame.picture.dtype
    assert face.width % 2 == face.height % 2 == 0


def test_what_it_says_of_itself_can_be_lived_with(face: Face) -> None:
    assert PLAYOUT_RATE_HZ % face.frame_rate == 0
    assert 0 <= face.look_ahead <= 0.4
    assert face.warm_up >= 0


def test_it_may_be_told_to_step_back_and_to_leap(face: Face) -> None:
    take(face, 2)
    for number in (50, 49, 51, 3, 400):
        face.clear(number)
        face.push(speech(3, face))
        assert [number, number + 1] == [frame.number for frame in take(face, 2)]


def test_it_draws_the_end_of_what_is_known_and_goes_on_idle(face: Face) -> None:
    face.push(speech(1.5, face))
    assert [0, 1] == [frame.number for frame in take(face, 2)]
    face.push(np.zeros(0, np.float32), last=True)
    assert [2, 3, 4] == [frame.number for frame in take(face, 3)]
    face.push(np.zeros(0, np.float32), last=True)
    assert [5] == [frame.number for frame in take(face, 1)]


def test_a_picture_that_was_given_does_not_change_under_its_owner(face: Face) -> None:
    face.push(speech(6, face))
    frames = face.frames()
    first = next(frames).picture
    before = first.tobytes()
    for _ in range(4):
        next(frames)

    assert before == first.tobytes()


def test_nothing_jumps_where_speech_begins_ends_and_is_cut_off(face: Face) -> None:
    """The seam: the change from picture to picture there ≤ 1.5 × the usual change in speech."""
    if isinstance(face, FakeFace):
        pytest.skip("its pictures are codes")
    pictures = [frame.picture for frame in take(face, 12)]
    face.push(speech(50, face), last=True)
    pictures += [frame.picture for frame in take(face, 70)]
    face.push(speech(100, face), last=True)
    pictures += [frame.picture for frame in take(face, 20)]
    face.clear(12 + 70 + 15)  # five of them were not shown
    del pictures[-5:]
    pictures += [frame.picture for frame in take(face, 10)]

    steps = np.array([_change(a, b) for a, b in pairwise(pictures)])
    usual = np.median(steps[16:58])
    for seam in (12, 62, 82):
        assert steps[seam - 3 : seam + 6].max() <= 1.5 * usual
    assert steps[96:103].max() <= 1.5 * usual


@pytest.mark.parametrize(
    "face",
    [
        _puppet,
        _still,
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in (_liveportrait, _musetalk, _sadtalker)
        ),
    ],
    ids=["puppet", "still", "liveportrait", "musetalk", "sadtalker"],
    indirect=True,
)
def test_nothing_jumps_where_loud_speech_begins_at_once_and_is_cut_off(face: Face) -> None:
    """From the middle of a syllable to the middle of another, wherever that is."""
    loud = speech(120, face)[6 * PLAYOUT_RATE_HZ // face.frame_rate :]
    face.push(loud, last=True)
    said = [frame.picture for frame in take(face, 100)]
    inside, seams = [_change(a, b) for a, b in pairwise(said[6:])], list[float]()
    face.clear(100)
    for cut in (9, 16, 20):
        shown = take(face, 20)[-1:]
        number = shown[0].number + 1
        face.push(loud, last=True)
        shown += take(face, cut + 3)[:cut]  # three were not shown
        face.clear(number + cut)
        shown += take(face, 6)
        steps = [_change(a.picture, b.picture) for a, b in pairwise(shown)]
        seams += [*steps[:6], *steps[cut:]]
        inside += steps[6:cut]
    # A network too small for a likeness changes by less than a level, which can't be divided.
    assert max(seams) <= 1.5 * np.median(inside) + 0.03


@pytest.mark.parametrize("within_speech", [False, True], ids=["silence", "a gap within speech"])
def test_what_cannot_be_heard_does_not_open_the_mouth(face: Face, within_speech: bool) -> None:
    """A hum at -70 dB gives the pictures that silence gives, whatever a model makes of it."""
    # Next to a word the mouth is still on its way. SadTalker's mapping network reads half a second
    # on either side, and with it how the mouth got there.
    settled = 22 if type(face).__name__ == "SadTalker" else 6
    length = (settled + 12) * PLAYOUT_RATE_HZ // face.frame_rate
    hum = (0.0004 * np.sin(np.arange(length) * 0.03)).astype(np.float32)
    word = speech(6 if within_speech else 0, face)
    skipped = len(word) * face.frame_rate // PLAYOUT_RATE_HZ + settled
    take(face, 4)
    shown = []
    for quiet in (np.zeros_like(hum), hum):
        face.clear(4)
        face.push(np.concatenate([word, quiet, word]), last=True)
        shown.append([frame.picture for frame in take(face, skipped + 4)][skipped:])

    assert max(map(_change, *shown)) < 0.1


def test_nothing_and_a_minute_at_once_can_be_said(face: Face) -> None:
    for last in (False, True, True):
        face.push(np.zeros(0, np.float32), last=last)
    assert [0, 1] == [frame.number for frame in take(face, 2)]
    face.push(speech(60 * face.frame_rate, face))
    face.push(speech(1, face), last=True)
    assert [2, 3, 4] == [frame.number for frame in take(face, 3)]
    face.clear(5)
    assert [5, 6] == [frame.number for frame in take(face, 2)]


def test_cleared_in_the_middle_of_a_batch_it_goes_on_from_there_without_a_jump(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = getattr(face, "_face", face)
    assert isinstance(drawing, StreamingFace)
    draw = drawing.draw
    drawing.hold(4)
    face.push(speech(60, face))
    shown = take(face, 32)

    def interrupted(moments: Sequence[Moment]) -> Sequence[NDArray[np.uint8]]:
        pictures = draw(moments)
        monkeypatch.undo()
        face.clear(30)
        return pictures

    monkeypatch.setattr(drawing, "draw", interrupted)
    after = take(face, 6)

    assert [*range(30, 36)] == [frame.number for frame in after]
    if not isinstance(face, FakeFace):
        said = [_change(a.picture, b.picture) for a, b in pairwise(shown)]
        seen = [frame.picture for frame in (*shown[:30], *after)]
        assert max(_change(a, b) for a, b in list(pairwise(seen))[29:]) <= max(said)


def _change(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.abs(a.astype(np.int16) - b).mean())
