"""What goes out plays, in step, and cannot hang us."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
from fakes import streams

from maestra.adapters.streams import publish as publishing
from maestra.adapters.streams.publish import Encoding, PyavPublish
from maestra.core.stream_url import StreamUrl
from maestra.ports.errors import StreamError, StreamRefused

IN_STEP = 0.01
"""Sound and picture of a beat lie within this many seconds."""


def publish(address: Path | str, *, timeout: float = 5.0) -> PyavPublish:
    url = StreamUrl.parse(str(address))
    return PyavPublish(url, width=streams.SIZE, height=streams.SIZE, timeout=timeout)


@pytest.mark.parametrize("suffix", ["mp4", "flv", "mkv"])
def test_a_file_in_step(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"lesson.{suffix}"
    output = publish(path)
    for _, sound, picture in streams.slices(150):
        output.write(sound, picture)
    output.close()
    output.close()  # idempotent
    got = streams.recorded(path)
    assert got.frames == 150
    assert got.monotonic
    assert got.flashes == pytest.approx([n + streams.BEAT / 25 for n in range(6)], abs=0.001)
    assert got.offsets == pytest.approx([0.0] * 6, abs=IN_STEP)
    assert got.keyframes == pytest.approx([0.0, 2.0, 4.0], abs=0.001)


def test_slots_make_the_time_stamps_and_what_is_left_out_is_silent(tmp_path: Path) -> None:
    path = tmp_path / "lesson.mkv"
    output = publish(path)
    for slot, sound, picture in streams.slices(200, first=100):
        if not 130 <= slot < 170:
            output.write(sound, picture, slot)
    output.close()
    got = streams.recorded(path)
    assert got.frames == 160
    assert got.monotonic
    beats = [n + streams.BEAT / 25 for n in (4, 7, 8, 9, 10, 11)]
    assert got.flashes == pytest.approx(beats, abs=0.001)
    assert got.offsets == pytest.approx([0.0] * 6, abs=IN_STEP)


def test_no_picture_holds_the_last(tmp_path: Path) -> None:
    path = tmp_path / "lesson.mkv"
    output = publish(path)
    silence = np.zeros(1920, np.float32)
    output.write(silence, None)
    output.write(silence, np.full((streams.SIZE, streams.SIZE, 3), 255, np.uint8))
    for _ in range(48):
        output.write(silence, None)
    output.close()
    got = streams.recorded(path)
    assert (got.frames, got.flashes) == (50, (0.04,))


def test_a_slot_that_has_passed_and_wrong_shapes_are_errors(tmp_path: Path) -> None:
    output = publish(tmp_path / "lesson.mp4")
    sound, picture = np.zeros(1920, np.float32), np.zeros((streams.SIZE, streams.SIZE, 3), np.uint8)
    output.write(sound, picture, 5)
    with pytest.raises(ValueError, match="slot 5 has passed"):
        output.write(sound, picture, 5)
    with pytest.raises(ValueError, match="1920 samples"):
        output.write(sound[:100], picture)
    with pytest.raises(ValueError, match="the picture is"):
        output.write(sound, picture[:10])
    output.close()
    with pytest.raises(StreamError, match="is closed"):
        output.write(sound, picture)


@pytest.mark.parametrize("name", ["nothing.mp4", "nothing.mkv", "nothing.flv"])
def test_a_file_to_which_nothing_is_written_plays_too(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    output = PyavPublish(StreamUrl.parse(str(path)), width=streams.SIZE, height=streams.SIZE)
    output.close()
    output.close()

    assert 1 == streams.recorded(path).frames


def test_a_file_whose_first_picture_is_wrong_plays_too(tmp_path: Path) -> None:
    path = tmp_path / "wrong.mp4"
    output = PyavPublish(StreamUrl.parse(str(path)), width=streams.SIZE, height=streams.SIZE)
    with pytest.raises(ValueError, match="the picture is"):
        output.write(np.zeros(1920, np.float32), np.zeros((4, 4, 3), np.uint8))
    output.close()

    assert 1 == streams.recorded(path).frames


@pytest.mark.parametrize("sign", [signal.SIGKILL])
def test_a_killed_mp4_plays(tmp_path: Path, sign: signal.Signals) -> None:
    path = tmp_path / "lesson.mp4"
    with streams.slice_publisher(str(path), 1000) as child:
        deadline = time.monotonic() + 20
        while not path.exists() or path.stat().st_size < 4_000:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(1.2)
        child.send_signal(sign)
        child.wait(5)
    got = streams.recorded(path)
    assert got.frames >= 20
    assert got.offsets == pytest.approx([0.0] * len(got.offsets), abs=IN_STEP)


def test_bit_rates_are_kept_to(tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    sizes = []
    for rate in (200_000, 2_000_000):
        path = tmp_path / f"{rate}.mkv"
        output = PyavPublish(
            StreamUrl.parse(str(path)),
            width=streams.SIZE,
            height=streams.SIZE,
            encoding=Encoding(video_bit_rate=rate),
        )
        for _ in range(75):
            picture = noise.integers(0, 256, (streams.SIZE, streams.SIZE, 3), dtype=np.uint8)
            output.write(np.zeros(1920, np.float32), picture)
        output.close()
        sizes.append(path.stat().st_size * 8 / 3)
    assert sizes[0] < 500_000 < sizes[1] < 3_000_000


@pytest.mark.parametrize("wanted", ["auto", "nvenc"])
def test_without_a_gpu_x264_encodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    class Broken:
        @staticmethod
        def create(name: str, mode: str) -> None:
            raise av.error.ExternalError(542398533, "Generic error in an external library", name)

    monkeypatch.setattr("maestra.adapters.streams.publish.VideoCodecContext", Broken)
    path = tmp_path / "lesson.mkv"
    output = _encoded_by(wanted, path)
    for _, sound, picture in streams.slices(50):
        output.write(sound, picture)
    output.close()
    assert b"x264 - core" in path.read_bytes()  # it signs its work


def test_which_encoder_works_is_asked_for_every_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def losing(wanted: str, width: int, height: int) -> str:
        asked.append(wanted)
        return "mpeg4" if len(asked) == 1 else "libx264"

    monkeypatch.setattr(publishing, "video_encoder", losing)
    monkeypatch.setattr(publishing, "_LOW_DELAY", {"mpeg4": {}, "libx264": {}})
    for codec in ("mpeg4", "h264"):
        path = tmp_path / f"{codec}.mkv"
        output = _encoded_by("nvenc", path)
        for _, sound, picture in streams.slices(25):
            output.write(sound, picture)
        output.close()
        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.name == codec
    assert asked == ["nvenc", "nvenc"]


@pytest.mark.gpu
def test_nvenc_in_step(tmp_path: Path) -> None:
    if publishing.video_encoder("nvenc", 512, 512) != "h264_nvenc":
        pytest.skip("this GPU has no NVENC")
    path = tmp_path / "lesson.mkv"
    output = _encoded_by("nvenc", path, size=512)
    for _, sound, picture in streams.slices(150, size=512):
        output.write(sound, picture)
    output.close()
    got = streams.recorded(path)
    assert (got.frames, got.monotonic) == (150, True)
    assert got.offsets == pytest.approx([0.0] * 6, abs=IN_STEP)
    assert got.keyframes == pytest.approx([0.0, 2.0, 4.0], abs=0.001)
    assert b"x264 - core" not in path.read_bytes()


def _encoded_by(wanted: str, path: Path, size: int = streams.SIZE) -> PyavPublish:
    return PyavPublish(
        StreamUrl.parse(str(path)), width=size, height=size, encoding=Encoding(encoder=wanted)
    )


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none/lesson.mp4", "There is no folder"),
        ("lesson.wav", r"must end in \.mp4, \.flv or \.mkv"),
        ("folder.mp4", "is a folder"),
    ],
)
def test_files_that_cannot_be_written(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(StreamRefused, match=sentence):
        publish(tmp_path / name)


# --- over sockets ----------------------------------------------------------------


def test_rtmp_in_step_and_soon(tmp_path: Path) -> None:
    port = streams.free_port()
    address = f"rtmp://127.0.0.1:{port}/live/teacher"
    path, log = tmp_path / "teacher.mp4", tmp_path / "teacher.jsonl"
    with streams.recorder(f"{address}?listen=1", path, log) as viewer:
        streams.await_listener(port)
        output = publish(address)
        begin = time.monotonic()
        for slot, sound, picture in streams.slices(70):
            time.sleep(max(0.0, begin + slot / 25 - time.monotonic()))
            output.write(sound, picture)
        output.close()
        assert viewer.wait(5) == 0
    got = streams.recorded(path)
    assert got.frames == 70
    assert got.monotonic
    assert got.flashes == pytest.approx([n + streams.BEAT / 25 for n in range(3)], abs=0.002)
    assert got.offsets == pytest.approx([0.0] * 3, abs=IN_STEP)
    came = [json.loads(line) for line in log.read_text().splitlines()]
    delays = [one["t"] - begin - one["pts"] for one in came if one["pts"] > 1.0]
    assert float(np.median(delays)) < 0.1


def test_rtsp(tmp_path: Path) -> None:
    port = streams.free_port()
    address = f"rtsp://127.0.0.1:{port}/teacher"
    with streams.rtsp_receiver(address) as viewer:
        streams.await_listener(port)
        output = publish(address)
        begin = time.monotonic()
        for slot, sound, picture in streams.slices(60):
            time.sleep(max(0.0, begin + slot / 25 - time.monotonic()))
            output.write(sound, picture)
        output.close()
        got = json.loads(viewer.communicate(timeout=10)[0])
    assert got["video"] >= 50
    assert got["audio"] >= 90


@pytest.mark.parametrize("scheme", ["rtmp", "rtsp"])
@pytest.mark.parametrize("server", ["refuses", "hangs"])
def test_a_server_that_refuses_or_hangs(scheme: str, server: str) -> None:
    with streams.mute_server() as mute:
        port = mute if server == "hangs" else streams.free_port()
        begun = time.monotonic()
        output = publish(f"{scheme}://127.0.0.1:{port}/live/key", timeout=1.0)
        assert time.monotonic() - begun < 0.3  # opening waits for nobody
        with pytest.raises(StreamError) as caught:
            for _, sound, picture in streams.slices(500):
                output.write(sound, picture)
                time.sleep(0.01)
        assert time.monotonic() - begun < 4
        begun = time.monotonic()
        output.close()
        assert time.monotonic() - begun < 0.1
    assert not isinstance(caught.value, StreamRefused)
    assert "key" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["rtmp", "rtsp"])
def test_no_protocol_is_opened_that_is_not_allowed(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StreamUrl, "protocols", (scheme,))  # but not the TCP that carries it
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        output = publish(f"{scheme}://127.0.0.1:{server.getsockname()[1]}/live/key", timeout=1)
        with pytest.raises(StreamError, match="failed"):
            for _, sound, picture in streams.slices(500):
                output.write(sound, picture)
                time.sleep(0.01)
        with pytest.raises(BlockingIOError):
            server.accept()  # nobody has come
        output.close()


def test_a_viewer_that_is_killed(tmp_path: Path) -> None:
    port = streams.free_port()
    address = f"rtmp://127.0.0.1:{port}/live/teacher"
    with streams.recorder(f"{address}?listen=1", tmp_path / "a.mp4", tmp_path / "a.jsonl") as child:
        streams.await_listener(port)
        output = publish(address)
        with pytest.raises(StreamError, match=r"broke|failed|ended"):
            for slot, sound, picture in streams.slices(500):
                output.write(sound, picture)
                time.sleep(0.02)
                if slot == 30:
                    child.kill()


def test_what_comes_in_i420_looks_the_same(tmp_path: Path) -> None:
    """A drawing of soft colours, once as RGB and once as I420: each as it was drawn, within what an
    encoder loses."""
    rows, columns = np.mgrid[0 : streams.SIZE, 0 : streams.SIZE] / streams.SIZE
    colours = [60 + 180 * rows, 40 + 160 * columns, 200 - 150 * rows * columns]
    drawn = np.stack(colours, axis=-1).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(drawn, format="rgb24")
    planes = np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)
    seen = {}
    for name, picture in (("rgb", drawn), ("i420", planes)):
        path = tmp_path / f"{name}.mp4"
        output = publish(path)
        for slot in range(30):
            output.write(np.zeros(1920, np.float32), picture if slot % 5 == 0 else None)
        output.close()
        with av.open(str(path)) as file:
            *_, last = file.decode(video=0)
        seen[name] = last.to_ndarray(format="rgb24").astype(int)
    assert np.abs(seen["rgb"] - drawn).mean() < 4
    assert np.abs(seen["i420"] - seen["rgb"]).mean() < 0.5
    output = publish(tmp_path / "wrong.mp4")
    with pytest.raises(ValueError, match="the picture is"):
        output.write(np.zeros(1920, np.float32), planes[:-2])
    output.close()
