"""The other ends of streams: recordings that are made, slices to measure by, and servers.

Run as a program, it is a publisher or receiver in a process of its own::

    python streams.py slices URL COUNT     publish COUNT slices in real time
    python streams.py receive_rtsp URL     receive one RTSP publisher; print what came as JSON
"""

from __future__ import annotations

import contextlib
import json
import math
import socket
import struct
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import numpy as np
from attrs import frozen

from maestra.adapters.streams.publish import PyavPublish
from maestra.core.stream_url import StreamUrl

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = 128
BEAT = 10
"""In every second, the slot that clicks and flashes."""


def free_port() -> int:
    """A loopback port that nobody uses just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def write_tone(
    path: Path, *, seconds: float = 1.0, rate_hz: int = 44_100, channels: int = 1, hz: float = 440.0
) -> Path:
    """A sine of amplitude 0.5 as 16-bit WAV, the same in every channel."""
    count = round(seconds * rate_hz)
    sound = 0.5 * np.sin(2 * np.pi * hz * np.arange(count) / rate_hz)
    samples = np.repeat((sound * 32767).astype("<i2")[:, np.newaxis], channels, axis=1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())
    return path


def pitch_of(sound: NDArray[np.float32], rate_hz: int = 44_100) -> float:
    """The strongest frequency (Hz)."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 20))
    return float(np.argmax(spectrum)) * rate_hz / (1 << 20)


def level_of(sound: NDArray[np.float32]) -> float:
    """The amplitude of a sine as loud as the middle half of ``sound``."""
    middle = sound[len(sound) // 4 : 3 * len(sound) // 4]
    return math.sqrt(2 * float(np.mean(middle**2)))


# --- slices to measure by ------------------------------------------------------


def slices(
    count: int, first: int = 0, size: int = SIZE
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.uint8]]]:
    """Black silence, but for a click and a white picture in one slot of every second."""
    dark = np.zeros((size, size, 3), np.uint8)
    light = np.full((size, size, 3), 255, np.uint8)
    click = np.zeros(1920, np.float32)
    click[:480] = 0.8 * np.sin(2 * np.pi * 1000 * np.arange(480) / 48_000)
    silence = np.zeros(1920, np.float32)
    for slot in range(first, first + count):
        beat = slot % 25 == BEAT
        yield slot, click if beat else silence, light if beat else dark


@frozen(kw_only=True)
class Recorded:
    """What a recording holds: times in seconds, by its own time stamps."""

    flashes: tuple[float, ...]
    clicks: tuple[float, ...]
    keyframes: tuple[float, ...]
    frames: int
    duration: float
    monotonic: bool

    @property
    def offsets(self) -> list[float]:
        """Sound minus picture, per beat."""
        return [click - flash for flash, click in zip(self.flashes, self.clicks, strict=True)]


def recorded(path: Path | str) -> Recorded:
    """Decode a recording of ``slices``."""
    flashes: list[float] = []
    clicks: list[float] = []
    keyframes: list[float] = []
    frames = 0
    end = 0.0
    last: dict[int, int] = {}
    monotonic = True
    light = False
    with av.open(str(path)) as file:
        for packet in file.demux():
            if packet.dts is not None:
                monotonic &= packet.dts > last.get(packet.stream.index, -(1 << 60))
                last[packet.stream.index] = packet.dts
            for frame in packet.decode():
                assert isinstance(frame, av.VideoFrame | av.AudioFrame)
                assert frame.pts is not None and frame.time_base is not None
                at = float(frame.pts * frame.time_base)
                if isinstance(frame, av.VideoFrame):
                    frames += 1
                    end = max(end, at + 0.04)
                    if frame.key_frame:
                        keyframes.append(at)
                    was, light = light, bool(frame.to_ndarray(format="gray").mean() > 128)
                    if light and not was:
                        flashes.append(at)
                else:
                    loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.2)
                    if len(loud):
                        heard = at + float(loud[0]) / frame.sample_rate
                        if not clicks or heard > clicks[-1] + 0.5:
                            clicks.append(heard)
    return Recorded(
        flashes=tuple(flashes),
        clicks=tuple(clicks),
        keyframes=tuple(keyframes),
        frames=frames,
        duration=end,
        monotonic=monotonic,
    )


# --- other processes -------------------------------------------------------------


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process with these arguments, ended at the latest when we leave."""
    child = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def publisher(path: Path, url: str) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    """A student's machine that plays ``path`` to ``url`` in real time."""
    return process("-m", "maestra.app.demo.streams", "publish", str(path), url)


def recorder(
    url: str, path: Path, log: Path
) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    """A viewer's machine that waits at ``url`` and keeps what comes."""
    return process("-m", "maestra.app.demo.streams", "record", url, str(path), "--log", str(log))


def slice_publisher(
    url: str, count: int
) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    return process(__file__, "slices", url, str(count))


def rtsp_receiver(url: str) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    return process(__file__, "receive_rtsp", url)


def await_listener(port: int, timeout: float = 10.0) -> None:
    """Wait until some process listens on the loopback ``port``, without connecting to it."""
    wanted = f":{port:04X}"
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(wanted) and fields[3] == "0A":
                return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port}")


# --- servers ---------------------------------------------------------------------


@contextlib.contextmanager
def mute_server() -> Iterator[int]:
    """A server that accepts connections and never says a word; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    held.append(server.accept()[0])

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        accepting.join()
        for connection in held:
            connection.close()


@contextlib.contextmanager
def rtsp_server(sound: NDArray[np.float32]) -> Iterator[int]:
    """An RTSP server that plays mono 16 kHz ``sound`` once, as L16 over the same connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = server.accept()[0]
                    # Who leaves in the middle of a request has not numbered it yet.
                    with connection, contextlib.suppress(OSError, KeyError):
                        _serve_rtsp(connection, sound)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=tone\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=control:video\r\n"
    "m=audio 0 RTP/AVP 96\r\na=rtpmap:96 L16/16000/1\r\na=control:audio\r\n"
)


def _serve_rtsp(connection: socket.socket, sound: NDArray[np.float32]) -> None:
    reader = connection.makefile("r", newline="\r\n")
    while line := reader.readline():
        method = line.split(" ")[0]
        headers = {}
        while header := reader.readline().strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        extra, body = "", ""
        match method:
            case "OPTIONS":
                extra = "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            case "DESCRIBE":
                extra = f"Content-Type: application/sdp\r\nContent-Length: {len(_SDP)}\r\n"
                body = _SDP
            case "SETUP":
                assert "video" not in line  # only sound is asked for
                extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
            case _:
                extra = "Session: 1\r\n"
        reply = f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\n{extra}\r\n{body}"
        connection.sendall(reply.encode())
        if method == "PLAY":
            _send_rtp(connection, sound)
            return


def _send_rtp(connection: socket.socket, sound: NDArray[np.float32]) -> None:
    payload = (sound * 32767).astype(">i2")
    for number, start in enumerate(range(0, len(payload), 320)):
        packet = (
            struct.pack(">BBHII", 0x80, 96, number, start, 7)
            + payload[start : start + 320].tobytes()
        )
        connection.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
        time.sleep(0.005)


# --- as a program ------------------------------------------------------------------


def _publish_slices(url: str, count: int) -> None:
    publish = PyavPublish(StreamUrl.parse(url), width=SIZE, height=SIZE)
    begin = time.monotonic()
    for slot, sound, picture in slices(count):
        time.sleep(max(0.0, begin + slot / 25 - time.monotonic()))
        publish.write(sound, picture)
    publish.close()


def _receive_rtsp(url: str) -> None:
    got: dict[str, Any] = {"audio": 0, "video": 0}
    options = {"rtsp_flags": "listen", "listen_timeout": "10", "analyzeduration": "500000"}
    with av.open(url, format="rtsp", options=options, timeout=(15, 5)) as source:
        with contextlib.suppress(av.error.FFmpegError):
            for packet in source.demux():
                if packet.size:
                    got[packet.stream.type] += 1
    print(json.dumps(got))


if __name__ == "__main__":
    if sys.argv[1] == "slices":
        _publish_slices(sys.argv[2], int(sys.argv[3]))
    else:
        _receive_rtsp(sys.argv[2])
