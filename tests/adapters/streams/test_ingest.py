"""Whatever comes in comes out as mono 44.1 kHz, or as one clear sentence."""

from __future__ import annotations

import random
import time
from pathlib import Path

import av
import numpy as np
import pytest
from fakes import streams
from numpy.typing import NDArray

from maestra.adapters.streams.ingest import PyavIngest
from maestra.adapters.streams.publish import PyavPublish
from maestra.core.stream_url import StreamUrl
from maestra.ports.errors import StreamClosed, StreamError, StreamRefused


def ingest(address: Path | str, *, timeout: float = 5.0) -> PyavIngest:
    url = StreamUrl.parse(str(address))
    return PyavIngest(url, open_timeout=timeout, read_timeout=timeout)


def heard(source: PyavIngest) -> tuple[NDArray[np.float32], StreamError | None]:
    """All the sound, and the error that ended it."""
    pieces: list[NDArray[np.float32]] = []
    try:
        for piece in source.chunks():
            assert piece.dtype == np.float32 and piece.ndim == 1 and len(piece)
            pieces.append(piece)
    except StreamError as error:
        return np.concatenate([np.zeros(0, np.float32), *pieces]), error
    return np.concatenate(pieces), None


@pytest.mark.parametrize(
    ("rate_hz", "channels"), [(8_000, 1), (22_050, 2), (44_100, 1), (48_000, 2), (96_000, 2)]
)
def test_any_rate_and_channels(tmp_path: Path, rate_hz: int, channels: int) -> None:
    path = streams.write_tone(tmp_path / "tone.wav", rate_hz=rate_hz, channels=channels)
    sound, error = heard(ingest(path))
    assert error is None
    assert abs(len(sound) - 44_100) <= 2
    assert streams.pitch_of(sound) == pytest.approx(440, abs=0.1)
    assert streams.level_of(sound) == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("suffix", ["mp4", "flv", "mkv"])
def test_a_file_with_a_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"lesson.{suffix}"
    publish = PyavPublish(StreamUrl.parse(str(path)), width=64, height=64)
    for _, sound, picture in streams.slices(50, size=64):
        publish.write(sound, picture)
    publish.close()
    sound, error = heard(ingest(path))
    assert error is None
    click = int(np.flatnonzero(np.abs(sound) > 0.2)[0])
    assert click / 44_100 == pytest.approx(streams.BEAT / 25, abs=0.002)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(StreamRefused, match=r"^There is no file .*none\.wav\.$"):
        next(ingest(tmp_path / "none.wav").chunks())


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StreamRefused, match="is not a file"):
        next(ingest(tmp_path).chunks())


@pytest.mark.parametrize(
    "content", [b"", b"Do re mi fa sol la si do. " * 99, random.Random(1).randbytes(9_999)]
)
def test_not_a_recording(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lesson.wav"
    path.write_bytes(content)
    sound, error = heard(ingest(path))
    assert isinstance(error, StreamRefused)
    assert not len(sound)


@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{other}'\n",
    ],
)
def test_a_playlist_cannot_open_other_files(tmp_path: Path, content: str) -> None:
    streams.write_tone(tmp_path / "other.wav")
    path = tmp_path / "lesson.wav"
    path.write_text(content.format(other="other.wav"))
    with pytest.raises(StreamRefused, match="damaged, or not a recording"):
        next(ingest(path).chunks())


def test_a_name_that_ffmpeg_would_take_for_a_protocol(tmp_path: Path) -> None:
    streams.write_tone(tmp_path / "other.wav")
    name = f"subfile,,start,0,end,0,,:{tmp_path}/other.wav"
    with pytest.raises(StreamRefused, match="There is no file"):
        next(ingest(name).chunks())


def test_a_file_without_sound(tmp_path: Path) -> None:
    path = tmp_path / "mute.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with pytest.raises(StreamRefused, match=r"mute\.mp4 has no sound\.$"):
        next(ingest(path).chunks())


def flac_tone(folder: Path, seconds: float) -> bytearray:
    path = folder / "whole.flac"
    tone = streams.write_tone(folder / "tone.wav", seconds=seconds)
    with av.open(str(tone)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("flac", rate=44_100, layout="mono")
        for frame in source.decode(audio=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return bytearray(path.read_bytes())


def test_a_truncated_recording_is_heard_as_far_as_it_goes(tmp_path: Path) -> None:
    content = flac_tone(tmp_path, 6)
    path = tmp_path / "short.flac"
    path.write_bytes(content[: len(content) // 2])
    sound, error = heard(ingest(path))
    assert len(sound) == pytest.approx(3 * 44_100, rel=0.2)
    assert streams.pitch_of(sound) == pytest.approx(440, abs=0.5)
    assert isinstance(error, StreamError)
    assert "cut short" in str(error) and "of 6.0 s" in str(error)


def test_a_truncated_wav_merely_ends_sooner(tmp_path: Path) -> None:
    whole = streams.write_tone(tmp_path / "whole.wav", seconds=6)
    path = tmp_path / "short.wav"
    path.write_bytes(whole.read_bytes()[: 44 + 2 * 44_100 * 3 + 1])
    sound, error = heard(ingest(path))
    assert error is None
    assert len(sound) == pytest.approx(3 * 44_100, abs=2)


def test_a_damaged_recording_is_heard_but_for_the_damage(tmp_path: Path) -> None:
    content = flac_tone(tmp_path, 4)
    middle = len(content) // 2
    content[middle : middle + 4_000] = random.Random(1).randbytes(4_000)
    path = tmp_path / "damaged.flac"
    path.write_bytes(content)
    sound, error = heard(ingest(path))
    assert isinstance(error, StreamError) and "damaged" in str(error)
    assert 3 * 44_100 < len(sound) <= 4.1 * 44_100
    assert streams.pitch_of(sound[:44_100]) == pytest.approx(440, abs=0.5)
    assert streams.pitch_of(sound[-44_100:]) == pytest.approx(440, abs=0.5)


def test_an_mp4_without_its_index_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    with av.open(str(whole), "w") as file:
        stream = file.add_stream("aac", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 44_100), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 44_100
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    path = tmp_path / "short.mp4"
    path.write_bytes(whole.read_bytes()[:1_000])
    with pytest.raises(StreamRefused, match="damaged"):
        next(ingest(path).chunks())


# --- RTMP and RTSP over sockets ------------------------------------------------


def test_rtmp_that_comes_to_us_until_it_goes(tmp_path: Path) -> None:
    tone = streams.write_tone(tmp_path / "tone.wav", seconds=1.5, rate_hz=48_000, channels=2)
    address = f"rtmp://127.0.0.1:{streams.free_port()}/live/student"
    with streams.publisher(tone, address):
        sound, error = heard(ingest(f"{address}?listen=1"))
    assert isinstance(error, StreamClosed)
    assert "student" not in str(error)
    assert len(sound) == pytest.approx(1.5 * 44_100, abs=4096)
    assert streams.pitch_of(sound) == pytest.approx(440, abs=0.5)
    assert streams.level_of(sound) == pytest.approx(0.5, rel=0.02)


def test_rtmp_that_we_fetch_with_a_picture_in_it() -> None:
    port = streams.free_port()
    address = f"rtmp://127.0.0.1:{port}/live/lesson"
    with streams.slice_publisher(f"{address}?listen=1", 50):
        streams.await_listener(port)
        sound, error = heard(ingest(address))
    assert isinstance(error, StreamClosed)
    assert len(sound) == pytest.approx(2 * 44_100, abs=8192)
    clicks = np.flatnonzero(np.abs(sound) > 0.2)
    assert (clicks[-1] - clicks[0]) / 44_100 == pytest.approx(1.01, abs=0.01)


def test_rtmp_publisher_that_is_killed(tmp_path: Path) -> None:
    tone = streams.write_tone(tmp_path / "tone.wav", seconds=30)
    address = f"rtmp://127.0.0.1:{streams.free_port()}/live/student"
    with streams.publisher(tone, address) as student:
        pieces = ingest(f"{address}?listen=1").chunks()
        next(pieces)
        student.kill()
        begun = time.monotonic()
        with pytest.raises(StreamError):
            for _ in pieces:
                pass
    assert time.monotonic() - begun < 2


def test_rtsp() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 16_000)
    with streams.rtsp_server(tone.astype(np.float32)) as port:
        sound, error = heard(ingest(f"rtsp://127.0.0.1:{port}/lesson"))
    assert isinstance(error, StreamClosed)
    assert len(sound) == pytest.approx(1.5 * 44_100, abs=8192)
    assert streams.pitch_of(sound) == pytest.approx(440, abs=0.5)
    assert streams.level_of(sound) == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("scheme", ["rtmp", "rtsp"])
def test_a_server_that_refuses(scheme: str) -> None:
    address = f"{scheme}://127.0.0.1:{streams.free_port()}/live/key"
    begun = time.monotonic()
    with pytest.raises(StreamError, match="refuses the connection") as caught:
        next(ingest(address).chunks())
    assert not isinstance(caught.value, StreamRefused)
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize("scheme", ["rtmp", "rtsp"])
def test_a_server_that_hangs(scheme: str) -> None:
    with streams.mute_server() as port:
        begun = time.monotonic()
        with pytest.raises(StreamError) as caught:
            next(ingest(f"{scheme}://127.0.0.1:{port}/live/key", timeout=0.5).chunks())
    assert not isinstance(caught.value, StreamRefused)
    assert 0.4 < time.monotonic() - begun < 2


def test_closing_ends_the_chunks(tmp_path: Path) -> None:
    source = ingest(streams.write_tone(tmp_path / "tone.wav", seconds=10))
    pieces = source.chunks()
    next(pieces)
    source.close()
    assert sum(1 for _ in pieces) <= 2
