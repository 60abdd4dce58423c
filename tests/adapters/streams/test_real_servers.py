"""Streams against servers as they are in the world: nginx's RTMP module, FFmpeg's and GStreamer's
RTSP, TLS in front of either."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
from fakes.bot import await_that, certificate, ffmpeg, rtmp_server, student
from fakes.streams import SIZE, free_port, recorded, slices

from maestra.adapters.streams.ingest import PyavIngest
from maestra.adapters.streams.publish import PyavPublish
from maestra.app.demo import LESSON
from maestra.app.experiments.soak.server import RtmpServer
from maestra.core.stream_url import StreamUrl
from maestra.ports.errors import StreamError, StreamRefused

pytestmark = pytest.mark.slow

PYTHON_OF_DEBIAN = "/usr/bin/python3"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RtmpServer]:
    with rtmp_server(tmp_path / "nginx") as one:
        yield one


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RtmpServer]:
    with rtmp_server(tmp_path / "nginx", tls=True) as one:
        yield one


def publish(url: str, count: int = 100, *, ca_file: str = "") -> None:
    output = PyavPublish(StreamUrl.parse(url), width=SIZE, height=SIZE, ca_file=ca_file)
    begin = time.monotonic()
    try:
        for slot, sound, picture in slices(count):
            time.sleep(max(0.0, begin + slot / 25 - time.monotonic()))
            output.write(sound, picture, slot)
    finally:
        output.close()


def pulled(url: str, seconds: float, *, ca_file: str = "") -> float:
    """How much sound came within ``seconds``."""
    source = PyavIngest(StreamUrl.parse(url), ca_file=ca_file)
    count, begin = 0, time.monotonic()
    for piece in source.chunks():
        count += len(piece)
        if time.monotonic() - begin > seconds:
            source.close()
    return count / 44_100


def test_a_stream_that_somebody_else_publishes_is_refused_for_now(server: RtmpServer) -> None:
    url = server.url("avatar", "teacher")
    with ffmpeg("-re", "-f", "lavfi", "-i", "sine", "-c:a", "aac", "-f", "flv", url):
        await_that(lambda: server.publishes("avatar", "teacher"))
        with pytest.raises(StreamError, match="the stream is busy") as caught:
            publish(url)
    assert not isinstance(caught.value, StreamRefused)
    assert "change-this-key" not in str(caught.value)
    publish(url, 25)


@pytest.mark.parametrize(
    "path",
    ["avatar/teacher?key=a-wrong-key", "avatar/teacher", "nowhere/teacher"],
)
def test_a_server_that_does_not_know_us_hangs_up(server: RtmpServer, path: str) -> None:
    url = f"rtmp://localhost:{server.ports[1935]}/{path}"
    with pytest.raises(StreamError, match="the application's name or the key is wrong") as caught:
        publish(url)
    assert not isinstance(caught.value, StreamRefused)
    assert "a-wrong-key" not in str(caught.value)


def test_rtmps_is_spoken_with_who_is_trusted(guarded: RtmpServer) -> None:
    trusted = str(guarded.folder / "cert.pem")
    port = guarded.ports[1936]
    publish(f"rtmps://localhost:{port}/avatar/x?key=change-this-key", 25, ca_file=trusted)
    with student(guarded.url("lesson", "student"), 6, 30):
        await_that(lambda: guarded.publishes("lesson", "student"))
        url = f"rtmps://localhost:{port}/lesson/student"
        assert 1.0 < pulled(url, 2.0, ca_file=trusted)
        with pytest.raises(StreamError, match="certificate is not trusted"):
            pulled(url, 2.0)


@pytest.mark.parametrize("kind", ["rtmps", "rtsps"])
def test_a_certificate_that_is_not_trusted_or_not_theirs(guarded: RtmpServer, kind: str) -> None:
    port = guarded.ports[1936 if kind == "rtmps" else 8322]
    path = "avatar/x?key=change-this-key" if kind == "rtmps" else "x"
    trusted = str(guarded.folder / "cert.pem")
    other = guarded.folder / "other"
    other.mkdir()
    for url, ca_file in (
        (f"{kind}://localhost:{port}/{path}", ""),
        (f"{kind}://localhost:{port}/{path}", str(certificate(other, "localhost"))),
        (f"{kind}://127.0.0.1:{port}/{path}", trusted),
    ):
        with pytest.raises(StreamError, match="certificate is not trusted"):
            publish(url, ca_file=ca_file)
    with pytest.raises(StreamRefused, match=r"There is no file .*none\.pem"):
        publish(f"{kind}://localhost:{port}/{path}", ca_file="none.pem")


@pytest.mark.parametrize("kind", ["rtsp", "rtsps"])
def test_an_rtsp_server_records_us(tmp_path: Path, kind: str) -> None:
    """FFmpeg's own, which waits for one publisher."""
    film = tmp_path / "teacher.mkv"
    with rtmp_server(tmp_path / "nginx", tls=True) as server:
        behind = server.ports[8554]
        port = behind if kind == "rtsp" else server.ports[8322]
        listening = f"rtsp://127.0.0.1:{behind}/live/teacher"
        with ffmpeg("-rtsp_flags", "listen", "-i", listening, "-c", "copy", str(film)) as viewer:
            time.sleep(1.0)
            trusted = str(server.folder / "cert.pem")
            publish(f"{kind}://localhost:{port}/live/teacher", ca_file=trusted)
            viewer.wait(10)
    with av.open(str(film)) as kept:
        assert [one.type for one in kept.streams] == ["video", "audio"]
    seen = recorded(film)
    assert seen.frames == 100 and len(seen.flashes) == len(seen.clicks) == 4
    assert max(map(abs, seen.offsets)) < 0.05


@contextmanager
def gstreamer(port: int, film: Path) -> Iterator[None]:
    script = Path(__file__).parents[2] / "servers" / "rtsp.py"
    probe = "import gi; gi.require_version('GstRtspServer', '1.0')"
    python = shutil.which(PYTHON_OF_DEBIAN)
    if python is None or subprocess.run([python, "-c", probe], capture_output=True).returncode:
        pytest.skip("not installed: gir1.2-gst-rtsp-server-1.0")
    command = [python, str(script), str(port), str(LESSON), str(film)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()


def test_gstreamers_rtsp_server_plays_to_us_and_records_us(tmp_path: Path) -> None:
    port, film = free_port(), tmp_path / "teacher.mkv"
    with gstreamer(port, film):
        with pytest.raises(StreamError, match="404 Not Found"):
            pulled(f"rtsp://localhost:{port}/nobody", 1.0)
        assert 1.5 < pulled(f"rtsp://localhost:{port}/student", 2.0) < 3.0
        publish(f"rtsp://localhost:{port}/teacher")
        time.sleep(0.5)
    with av.open(str(film)) as kept:
        counts = {"video": 0, "audio": 0}
        for packet in kept.demux():
            counts[packet.stream.type] += packet.size > 0
    assert counts["video"] >= 90 and counts["audio"] >= 170
