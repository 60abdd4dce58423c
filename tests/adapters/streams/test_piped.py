"""What a browser's sound is when it comes out of the pipe."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe

import numpy as np
import pytest
from fakes import streams
from numpy.typing import NDArray

from maestra.adapters.streams.piped import PipedIngest, packed
from maestra.core.stream_url import StreamUrl
from maestra.ports.errors import StreamClosed

URL = StreamUrl.parse("whip:")


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Connection]]:
    ours, theirs = Pipe()
    with ours, theirs:
        yield ours, theirs


def tone(at: int, count: int = 960) -> bytes:
    samples = 0.5 * 32767 * np.sin(2 * np.pi * 440 * (at + np.arange(count)) / 48_000)
    return samples.astype(np.int16).tobytes()


def heard(theirs: Connection) -> NDArray[np.float32]:
    """All until the browser goes."""
    pieces = []
    with pytest.raises(StreamClosed):
        for piece in PipedIngest(URL, theirs).chunks():
            pieces.append(piece)
    return np.concatenate(pieces)


def test_it_is_the_browser_s_sound_at_the_ear_s_rate(ends: tuple[Connection, Connection]) -> None:
    ours, theirs = ends
    pieces = [
        packed(0, b""),  # one that left before there was anything to hear
        *(packed(at, tone(at)) for at in range(0, 48_000, 960)),
        packed(0, b""),
    ]

    def send() -> None:
        for piece in pieces:
            ours.send_bytes(piece)

    sending = threading.Thread(target=send)
    sending.start()
    sound = heard(theirs)
    sending.join()
    assert len(sound) == pytest.approx(44_100, abs=50)
    assert streams.pitch_of(sound) == pytest.approx(440, abs=1)
    assert streams.level_of(sound) == pytest.approx(0.5, abs=0.01)


def test_what_was_lost_on_the_way_is_silence(ends: tuple[Connection, Connection]) -> None:
    ours, theirs = ends
    for at in [*range(0, 9600, 960), *range(24_000, 48_000, 960)]:
        ours.send_bytes(packed(at, tone(at)))
    ours.send_bytes(packed(0, b""))
    sound = heard(theirs)
    assert len(sound) == pytest.approx(44_100, abs=100)
    assert not sound[10_000:21_000].any()


def test_one_lost_packet_moves_nothing(ends: tuple[Connection, Connection]) -> None:
    ours, theirs = ends
    lost = (4_800, 9_600, 10_560)
    click = np.full(960, 16_000, np.int16).tobytes()
    for at in range(0, 24_000, 960):
        if at not in lost:
            ours.send_bytes(packed(at, click if at == 19_200 else bytes(1920)))
    ours.send_bytes(packed(0, b""))
    sound = heard(theirs)
    assert np.flatnonzero(sound > 0.2)[0] / 44_100 == pytest.approx(0.4, abs=0.003)


def test_the_next_browser_is_another_connection(ends: tuple[Connection, Connection]) -> None:
    ours, theirs = ends
    for begin in (0, 4_800):
        for at in range(begin, begin + 4800, 960):
            ours.send_bytes(packed(at, tone(at)))
        ours.send_bytes(packed(0, b""))
    assert len(heard(theirs)) == pytest.approx(4410, abs=50)
    assert len(heard(theirs)) == pytest.approx(4410, abs=50)


def test_a_session_that_has_gone_is_the_end(ends: tuple[Connection, Connection]) -> None:
    ours, theirs = ends
    ours.close()
    with pytest.raises(StreamClosed):
        next(PipedIngest(URL, theirs).chunks())
