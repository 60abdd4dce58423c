"""Sound and picture to a file, RTMP or RTSP, by FFmpeg (PyAV).

Time stamps are counted, never measured: slot *n* begins at *n*/25 s, in picture and in sound.

On a network, FFmpeg's ``fifo`` muxer does the connecting and sending in a thread of its own. That
matters: PyAV holds the GIL while it opens an output, so a server that accepts and says nothing
would stop every thread of this process; and only this way do the time-outs reach the protocol.
"""

from __future__ import annotations

import contextlib
import errno
import re
import threading
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import av
import av.error
import numpy as np
from attrs import frozen
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.codec import UnknownCodecError
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from maestra.core.stream_url import BadStreamUrl, StreamKind, StreamUrl
from maestra.ports.audio import FRAME_RATE, PLAYOUT_RATE_HZ, SLICE_SAMPLES
from maestra.ports.errors import StreamError, StreamRefused

from ._ffmpeg import hush, judge, microseconds, network_error, trust

if TYPE_CHECKING:
    from maestra.ports.audio import Picture, Samples

__all__ = ["Encoding", "PyavPublish", "video_encoder"]

_FOREIGN = (av.error.FFmpegError, OSError, EOFError)

_AAC_FRAME = 1024
_QUEUE = 32
"""Packets that wait for the network: half a second. More would only be stale when it comes back."""

_LONGEST_GAP = 10 * FRAME_RATE
"""Slots that may be left out before it is better to begin a new connection."""

_LISTEN_TIMEOUT = 60
"""Seconds to wait for a player to come to us, before the wait begins anew."""

_X264, _NVENC = "libx264", "h264_nvenc"

_LOW_DELAY: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        _X264: {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "crf": "23",
            "sc_threshold": "0",
        },
        _NVENC: {
            "preset": "p2",
            "tune": "ull",
            "rc": "vbr",
            "cq": "23",
            "bf": "0",
            "delay": "0",
            "zerolatency": "1",
            "no-scenecut": "1",
        },
    }
)
"""What each encoder is told so that a picture that goes in comes out at once."""


@frozen(kw_only=True)
class Encoding:
    """Bit rates are bit/s; ``keyframe_interval`` is seconds.

    ``encoder`` of the pictures: ``auto`` is ``nvenc``, which an NVIDIA GPU does, where it works,
    and ``x264`` elsewhere. Where ``nvenc`` does not work, ``x264`` does it all the same.
    """

    video_bit_rate: int = 1_500_000
    audio_bit_rate: int = 128_000
    keyframe_interval: float = 2.0
    encoder: str = "x264"


def video_encoder(wanted: str, width: int, height: int) -> str:
    """FFmpeg's name of the encoder that ``wanted`` comes to for pictures of this size.

    Whether NVENC works is only known once it is opened: this FFmpeg may have it and the machine no
    GPU, a GPU without an encoder, an old driver, or no session free. That takes under a second, and
    a millisecond where there is no driver.
    """
    if wanted == "x264":
        return _X264
    hush()
    try:
        context: Any = VideoCodecContext.create(_NVENC, "w")
        context.width, context.height = width, height
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, FRAME_RATE)
        context.options = dict(_LOW_DELAY[_NVENC])
        context.open()
    except (UnknownCodecError, *_FOREIGN):
        return _X264
    return _NVENC


def _escaped(value: str) -> str:
    """As it stands in a list of options, where a colon would be its end."""
    return re.sub(r"([\\':])", r"\\\1", value)


class PyavPublish:
    """One connection to an output. See ``ports.streams.Publish``.

    A network output is opened in the background: the constructor does not wait for it, and what
    goes wrong is raised by a later ``write``.

    :param url: where to.
    :param width: of the pictures, even; likewise ``height``.
    :param timeout: seconds until a network connection counts as hung.
    :param ca_file: certificates that RTMPS and RTSPS servers are judged by; empty: the system's.
    :raises StreamRefused: the file cannot be written.
    """

    def __init__(
        self,
        url: StreamUrl,
        *,
        width: int,
        height: int,
        encoding: Encoding | None = None,
        timeout: float = 5.0,
        ca_file: str = "",
    ) -> None:
        hush()
        self._url = url
        self._timeout = timeout
        self._ca_file = ca_file
        self._encoding = encoding or Encoding()
        self._width, self._height = width, height
        self._reformatter = VideoReformatter()
        self._shown: VideoFrame | None = None
        self._sound = np.zeros(0, np.float32)
        self._first_sample = 0
        self._next_sample = 0
        self._next_slot: int | None = None
        self._muxed = 0
        self._broken = False
        self._closed = False
        try:
            self._keeps_run_up = url.output_format() == "matroska"
            self._container = self._open(url.output_format())
        except BadStreamUrl as error:
            raise StreamRefused(str(error)) from error
        self._video = self._add_video()
        self._audio = self._add_audio()
        try:
            self._container.start_encoding()
        except _FOREIGN as error:
            raise self._failure(error) from error

    # --- opening --------------------------------------------------------------

    def _open(self, name: str) -> OutputContainer:
        allowed = ",".join(self._url.protocols)
        if self._url.is_file:
            # The scheme decides what is opened; the list, what a muxer may open besides.
            options = {"flush_packets": "1", "protocol_whitelist": allowed}
            if name == "mp4":
                # In pieces while it grows, so that a killed process leaves a file that plays; an
                # ordinary file once it is closed.
                options["movflags"] = "hybrid_fragmented+frag_keyframe+default_base_moof"
                options["frag_duration"] = microseconds(0.5)
            path = Path(self._url.address)
            if not path.parent.is_dir():
                raise StreamRefused(f"There is no folder {path.parent} to write {path.name} to.")
            return av.open(f"file:{path}", "w", format=name, container_options=options)
        judge(self._url)
        # The muxer inside opens the address, and the outer one's own list is not handed down to it.
        inner = {
            "flush_packets": "1",
            "protocol_whitelist": allowed,
            **self._url.dialling,
            **trust(self._url, self._ca_file),
        }
        if self._url.kind in (StreamKind.RTMP, StreamKind.RTMPS):
            inner |= {
                "rw_timeout": microseconds(self._timeout),
                "flvflags": "no_duration_filesize",
                "tcp_nodelay": "1",
            }
            if self._url.listen:
                inner |= {"listen": "1", "timeout": str(_LISTEN_TIMEOUT)}
        else:
            inner |= {"rtsp_transport": "tcp", "timeout": microseconds(self._timeout)}
        return av.open(
            self._url.dialled,
            "w",
            format="fifo",
            container_options={
                "fifo_format": name,
                "format_opts": ":".join(f"{key}={_escaped(value)}" for key, value in inner.items()),
                "queue_size": str(_QUEUE),
            },
        )

    def _add_video(self) -> VideoStream:
        rate = self._encoding.video_bit_rate
        interval = max(1, round(self._encoding.keyframe_interval * FRAME_RATE))
        # Asked anew for every connection: a GPU may be lost in mid-lesson.
        encoder = video_encoder(self._encoding.encoder, self._width, self._height)
        stream: VideoStream = self._container.add_stream(  # type: ignore[assignment]
            encoder,
            rate=FRAME_RATE,
            options={
                **_LOW_DELAY[encoder],
                "maxrate": str(rate),
                "bufsize": str(rate),
                "g": str(interval),
                "keyint_min": str(interval),
                "forced-idr": "1",
            },
        )
        stream.width, stream.height = self._width, self._height
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, FRAME_RATE)
        context.thread_count = 1
        context.flags |= Flags.global_header
        return stream

    def _add_audio(self) -> AudioStream:
        stream = self._container.add_stream("aac", rate=PLAYOUT_RATE_HZ, layout="mono")
        stream.bit_rate = self._encoding.audio_bit_rate
        stream.codec_context.flags |= Flags.global_header
        return stream

    # --- writing --------------------------------------------------------------

    def write(self, sound: Samples, picture: Picture | None, slot: int | None = None) -> None:
        """Send one A/V slice.

        :param sound: 1920 samples at 48 kHz.
        :param picture: RGB or I420 (``ports.face.Frame``); ``None`` shows the last one again.
        :param slot: its number, if it is not the next one: what was left out stays silent.
        :raises StreamError: the output broke; open a new one.
        :raises StreamRefused: the file cannot be written on: do not try again.
        :raises ValueError: the slice has the wrong shape, or its slot has passed.
        """
        if self._broken or self._closed:
            raise StreamError(f"{self._url} is closed.")
        if sound.shape != (SLICE_SAMPLES,):
            raise ValueError(f"a slice has {SLICE_SAMPLES} samples, not {sound.shape}")
        slot = self._place(slot)
        try:
            self._write_sound(sound)
            self._write_picture(picture, slot)
        except _FOREIGN as error:
            raise self._failure(error) from error

    def _place(self, slot: int | None) -> int:
        """Make ``slot`` the current one; silence in the slots before it that were left out."""
        if self._next_slot is None:
            self._next_slot = slot or 0
            self._first_sample = self._next_sample = self._next_slot * SLICE_SAMPLES
        slot = self._next_slot if slot is None else slot
        left_out = slot - self._next_slot
        if left_out < 0:
            raise ValueError(f"slot {slot} has passed; {self._next_slot} is next")
        if left_out > _LONGEST_GAP:
            raise self._failure(StreamError(f"{self._url} has stood still for too long."))
        if left_out:
            silence = np.zeros(left_out * SLICE_SAMPLES, np.float32)
            self._sound = np.concatenate([self._sound, silence])
        self._next_slot = slot + 1
        return slot

    def _write_sound(self, sound: Samples) -> None:
        self._sound = np.concatenate([self._sound, sound])
        while len(self._sound) >= _AAC_FRAME:
            self._encode_sound(self._sound[:_AAC_FRAME])
            self._sound = self._sound[_AAC_FRAME:]

    def _encode_sound(self, samples: Samples) -> None:
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(samples, np.float32)[np.newaxis], format="fltp", layout="mono"
        )
        frame.sample_rate = PLAYOUT_RATE_HZ
        frame.pts = self._next_sample
        frame.time_base = Fraction(1, PLAYOUT_RATE_HZ)
        self._next_sample += len(samples)
        self._mux_sound(self._audio.encode(frame))

    def _mux_sound(self, packets: Iterable[av.Packet[AudioStream]]) -> None:
        for packet in packets:
            # The encoder's first packet lies before the first sample and is only its run-up. Its
            # time before zero would shift everything, except in Matroska, which knows of it.
            is_run_up = packet.pts is not None and packet.pts < self._first_sample
            if not is_run_up or self._keeps_run_up:
                self._mux(packet)

    def _write_picture(self, picture: Picture | None, slot: int) -> None:
        if picture is not None or self._shown is None:
            if picture is None:
                picture = np.zeros((self._height, self._width, 3), np.uint8)
            if picture.shape == (self._height * 3 // 2, self._width):
                self._shown = VideoFrame.from_ndarray(picture, format="yuv420p")
            elif picture.shape == (self._height, self._width, 3):
                rgb = VideoFrame.from_ndarray(picture, format="rgb24")
                self._shown = self._reformatter.reformat(rgb, format="yuv420p", threads=1)
            else:
                raise ValueError(
                    f"the picture is {picture.shape}, not {self._width}x{self._height}"
                )
        frame = self._shown
        frame.pts = slot
        frame.time_base = Fraction(1, FRAME_RATE)
        for packet in self._video.encode(frame):
            self._mux(packet)

    def _mux(self, packet: av.Packet[Any]) -> None:
        self._container.mux_one(packet)
        self._muxed += 1

    # --- ending ---------------------------------------------------------------

    def close(self) -> None:
        """Finish the file or say goodbye; idempotent. What goes wrong now is of no use to know.

        A file to which nothing was written gets one dark slice.
        """
        if self._closed:
            return
        if self._url.is_file and self._shown is None and not self._broken:
            # A file of nothing would not play, and FFmpeg crashes at the end of such an MP4.
            with contextlib.suppress(StreamError):
                self.write(np.zeros(SLICE_SAMPLES, np.float32), None)
        self._closed = True
        if self._broken:
            return
        if self._url.listen and self._muxed <= _QUEUE:
            # Nobody may have come yet, and closing would wait for them.
            self._abandon()
            return
        try:
            if len(self._sound):
                rest = np.zeros(_AAC_FRAME, np.float32)
                rest[: len(self._sound)] = self._sound
                self._encode_sound(rest)
            self._mux_sound(self._audio.encode(None))
            for packet in self._video.encode(None):
                self._mux(packet)
            self._container.close()
        except _FOREIGN:
            self._abandon()

    def _abandon(self) -> None:
        """Let go of the container once FFmpeg's thread must have left it.

        Closing waits for that thread, with the GIL held.
        """
        container = self._container
        wait = 4 * self._timeout + (_LISTEN_TIMEOUT if self._url.listen else 0)

        def close() -> None:
            with contextlib.suppress(*_FOREIGN):
                container.close()

        timer = threading.Timer(wait, close)
        timer.daemon = True
        timer.start()

    def _failure(self, error: Exception) -> StreamError:
        self._broken = True
        if self._url.is_file:
            with contextlib.suppress(*_FOREIGN):
                self._container.close()
            return _file_error(self._url, error)
        self._abandon()
        if isinstance(error, StreamError):
            return error
        return network_error(self._url, error, self._timeout)


def _file_error(url: StreamUrl, error: Exception) -> StreamRefused:
    match error:
        case StreamRefused():
            return error
        case IsADirectoryError():
            return StreamRefused(f"{url} is a folder.")
        case PermissionError():
            return StreamRefused(f"{url} may not be written.")
        case OSError(errno=errno.ENOSPC):
            return StreamRefused(f"{url} cannot be written on: the disk is full.")
        case _:
            return StreamRefused(f"{url} cannot be written: {error}.")
