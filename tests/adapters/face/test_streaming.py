"""Speech cut into moments: what a face is shown of it, how many at once, and from where again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from maestra.adapters.face.streaming import Moment, StreamingFace
from maestra.ports.audio import PLAYOUT_RATE_HZ, SLICE_SAMPLES
from maestra.ports.errors import FaceError, FaceOutOfMemory
from maestra.ports.face import Frame

SLOT = 0.04


class Recorder(StreamingFace):
    """Remembers the ``batches`` it drew; a picture takes ``slots`` of its time, an error is raised
    when it is asked for more than ``room`` pictures at once."""

    def __init__(self, *, most_at_once: int = 1, slots: float = 0.1, room: int = 99) -> None:
        super().__init__(
            look_back=0.1, look_ahead=0.08, most_at_once=most_at_once, clock=lambda: self.now
        )
        self.width = self.height = 2
        self.now, self.slots, self.room = 0.0, slots, room
        self.batches: list[list[Moment]] = []
        self.error: Exception | None = None
        self.drawing = threading.Event()
        self.may_draw = threading.Event()
        self.may_draw.set()

    def draw(self, moments: Sequence[Moment]) -> Sequence[NDArray[np.uint8]]:
        self.drawing.set()
        assert self.may_draw.wait(10)
        if self.error is not None:
            raise self.error
        if len(moments) > self.room:
            raise FaceOutOfMemory("no room")
        self.now += self.slots * SLOT * len(moments)
        self.batches.append(list(moments))
        return [np.zeros((2, 2, 3), np.uint8)] * len(moments)

    @property
    def moments(self) -> list[Moment]:
        return [moment for batch in self.batches for moment in batch]


def take(face: StreamingFace, count: int) -> list[Frame]:
    return list(islice(face.frames(), count))


def counting(pictures: float, start: float = 1.0) -> NDArray[np.float32]:
    """Every sample is different and not nought."""
    return np.arange(start, start + round(pictures * SLICE_SAMPLES)).astype(np.float32)


def own(moment: Moment) -> NDArray[np.float32]:
    """The sound of the picture itself."""
    back = round(0.1 * PLAYOUT_RATE_HZ)
    return moment.sound[back : back + SLICE_SAMPLES]


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(st.integers(0, 5 * SLICE_SAMPLES), max_size=8),
    most_at_once=st.sampled_from([1, 4]),
    before=st.integers(0, 3),
    slots=st.sampled_from([0.1, 3.0]),
)
def test_all_of_the_speech_is_drawn_once_and_in_order(
    pieces: list[int], most_at_once: int, before: int, slots: float
) -> None:
    face = Recorder(most_at_once=most_at_once, slots=slots)
    sound = counting(sum(pieces) / SLICE_SAMPLES) if sum(pieces) else np.zeros(0, np.float32)
    frames = face.frames()
    numbers = [next(frames).number for _ in range(before)]
    position = 0
    for length in pieces:
        face.push(sound[position : position + length])
        position += length
        numbers.append(next(frames).number)
    face.push(np.zeros(0, np.float32), last=True)
    # Whoever asks too soon has an idle picture; none of the speech is lost by that.
    while not face.moments or len(face._speech) or face._ready:
        numbers.append(next(frames).number)

    said = np.concatenate([own(m) for m in face.moments if m.speaking] or [sound[:0]])
    assert np.array_equal(sound, said[: len(sound)])
    assert not said[len(sound) :].any() and len(said) < len(sound) + SLICE_SAMPLES
    assert numbers == list(range(len(numbers)))


def test_a_moment_is_shown_what_was_heard_and_what_follows() -> None:
    face = Recorder()
    take(face, 1)
    face.push(counting(5))
    face.push(counting(1.5, start=20_000), last=True)
    take(face, 8)

    heard = np.concatenate([np.zeros(SLICE_SAMPLES), counting(5), counting(1.5, start=20_000)])
    padded = np.pad(heard, (round(0.1 * PLAYOUT_RATE_HZ), 9 * SLICE_SAMPLES))
    for moment in face.moments[1:8]:
        begin = moment.number * SLICE_SAMPLES
        assert np.array_equal(moment.sound, padded[begin : begin + len(moment.sound)])
    assert [False, *[True] * 7, False] == [moment.speaking for moment in face.moments]
    assert not face.moments[-1].sound.any()


def test_the_next_reply_begins_with_a_picture_of_its_own() -> None:
    face = Recorder()
    face.push(counting(1.25), last=True)
    face.push(counting(1, start=50_000), last=True)
    take(face, 4)

    assert np.array_equal(counting(1, start=50_000), own(face.moments[2]))
    assert [True, True, True, False] == [moment.speaking for moment in face.moments]


def test_a_slow_face_draws_more_at_once_and_a_quick_one_less() -> None:
    face = Recorder(most_at_once=8, slots=1.5)
    face.push(counting(60 * 25), last=True)  # a minute at once
    frames = take(face, 1 + 2 + 4 + 8 + 8)
    assert [1, 2, 4, 8, 8] == [len(batch) for batch in face.batches]
    assert [0, 1, 0, 3, 2, 1, 0, 7] == [frame.ready for frame in frames[:8]]

    face.slots = 0.3
    take(face, 8 + 4 + 2 + 1 + 1)
    assert [8, 4, 2, 1, 1] == [len(batch) for batch in face.batches[5:]]


def test_a_batch_is_no_longer_than_what_is_known_with_its_look_ahead() -> None:
    face = Recorder(most_at_once=8, slots=2)
    face.push(counting(1 + 2 + 4 + 2 + 3.5))
    take(face, 7)
    assert [1, 2, 4] == [len(batch) for batch in face.batches]
    take(face, 5)
    assert [3, 1, 1] == [len(batch) for batch in face.batches[3:]], (
        "the last ones look into silence"
    )
    assert not own(face.moments[-1])[SLICE_SAMPLES:].any()
    take(face, 1)
    assert not face.moments[-1].speaking, "half a picture waits for its other half"


def test_clear_steps_back_and_leaps_with_the_sound_before_it_known() -> None:
    face = Recorder(most_at_once=4, slots=2)
    face.push(counting(30))
    take(face, 10)
    face.clear(6)
    face.push(counting(30, start=100_000))
    take(face, 1)
    again = face.moments[-1] if len(face.batches[-1]) == 1 else face.batches[-1][0]
    back = round(0.1 * PLAYOUT_RATE_HZ)
    assert 6 == again.number
    assert np.array_equal(counting(30)[6 * SLICE_SAMPLES - back :][:back], again.sound[:back])

    face.clear(12)
    face.push(counting(3, start=200_000), last=True)
    frames = take(face, 4)
    assert [12, 13, 14, 15] == [frame.number for frame in frames]
    leapt = next(m for m in face.moments if m.number == 12 and m.sound[back] == 200_000)
    expected = counting(30, start=100_000)[6 * SLICE_SAMPLES - back :][:back]
    assert np.array_equal(expected, leapt.sound[:back]), "what was left out was heard all the same"


def test_what_is_cleared_in_the_middle_of_a_batch_is_not_given() -> None:
    face = Recorder(most_at_once=4, slots=2)
    face.push(counting(40))
    take(face, 3)
    face.may_draw.clear()
    face.drawing.clear()
    given_out: list[Frame] = []
    drawer = threading.Thread(target=lambda: given_out.extend(take(face, 2)))
    drawer.start()
    assert face.drawing.wait(10)
    face.clear(4)
    face.push(counting(9, start=70_000), last=True)
    face.may_draw.set()
    drawer.join(10)

    assert [4, 5] == [frame.number for frame in given_out]
    assert np.array_equal(counting(1, start=70_000), own(face.batches[3][0]))


def test_pushing_and_clearing_from_another_thread_at_any_moment_leaves_it_in_order() -> None:
    face = Recorder(most_at_once=4, slots=2)
    stop = threading.Event()

    def disturb() -> None:
        rng = np.random.default_rng(7)
        for _ in range(100):
            face.clear(int(rng.integers(0, 400)))
            face.push(counting(int(rng.integers(0, 9))), last=bool(rng.integers(0, 2)))
        stop.set()

    other = threading.Thread(target=disturb)
    other.start()
    frames = face.frames()
    while not stop.is_set():
        next(frames)
    other.join()
    face.clear(1000)
    face.push(counting(3), last=True)

    assert [1000, 1001, 1002, 1003] == [next(frames).number for _ in range(4)]
    for batch in face.batches:
        numbers = [moment.number for moment in batch]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_without_room_for_a_batch_it_draws_fewer_at_once_and_loses_nothing() -> None:
    face = Recorder(most_at_once=8, slots=2, room=3)
    face.push(counting(20), last=True)
    taken: list[int] = []
    with pytest.raises(FaceOutOfMemory) as caught:
        taken.extend(frame.number for frame in face.frames())  # 1, 2, then 4 at once
    assert caught.value.shrunk
    taken += [frame.number for frame in take(face, 17)]
    assert 2 == max(len(batch) for batch in face.batches)
    assert np.array_equal(counting(20), np.concatenate([own(m) for m in face.moments])[: 20 * 1920])

    face.room = 0
    with pytest.raises(FaceOutOfMemory) as caught:
        take(face, 4)
    while caught.value.shrunk:
        with pytest.raises(FaceOutOfMemory) as caught:
            take(face, 4)
    assert not caught.value.shrunk, "one at once is too many"


def test_foreign_errors_stop_here_and_it_may_be_asked_again() -> None:
    face = Recorder()
    face.error = ZeroDivisionError("oops")
    with pytest.raises(FaceError, match="ZeroDivisionError: oops"):
        take(face, 1)
    face.error = None

    assert 1 == take(face, 1)[0].number
