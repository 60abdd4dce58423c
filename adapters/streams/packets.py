"""Slices as browsers want them: H.264 and Opus, by FFmpeg (PyAV)."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av.error
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from maestra.ports.audio import FRAME_RATE, PLAYOUT_RATE_HZ, SLICE_SAMPLES
from maestra.ports.errors import StreamError
from maestra.ports.streams import Encoded

from ._ffmpeg import hush

if TYPE_CHECKING:
    from maestra.ports.audio import Picture

__all__ = ["PacketEncoder"]

_SOUND_BIT_RATE = 64_000
"""Of one voice in Opus, at which nobody hears a difference."""


class PacketEncoder:
    """See ``ports.streams.SliceEncoder``. A slice is one picture and one packet of sound.

    :param width: of the pictures, even; likewise ``height``.
    :param bit_rate: of the pictures, at most, in bit/s.
    :param keyframe_interval: seconds.
    :raises StreamError: this FFmpeg has not got what it takes.
    """

    def __init__(
        self, *, width: int, height: int, bit_rate: int, keyframe_interval: float = 2.0
    ) -> None:
        hush()
        self._width, self._height = width, height
        self._bit_rate = bit_rate
        self._interval = max(1, round(keyframe_interval * FRAME_RATE))
        black = np.full((height * 3 // 2, width), 128, np.uint8)
        black[:height] = 16
        try:
            self._shown = VideoFrame.from_ndarray(black, format="yuv420p")
            self._video = self._open_video()
            self._audio = self._open_audio()
        except (av.error.FFmpegError, ValueError) as error:
            raise StreamError(f"This FFmpeg cannot encode for browsers: {error}.") from error

    def _open_video(self) -> VideoCodecContext:
        context: Any = VideoCodecContext.create("libx264", "w")
        context.width, context.height = self._width, self._height
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, FRAME_RATE)
        context.framerate = Fraction(FRAME_RATE)
        context.thread_count = 1
        # Without a global header each picture to begin with brings its parameter sets along.
        context.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "profile": "baseline",
            "crf": "23",
            "maxrate": str(self._bit_rate),
            "bufsize": str(self._bit_rate // 2),
            "g": str(self._interval),
            "keyint_min": str(self._interval),
            "sc_threshold": "0",
            "forced-idr": "1",
        }
        context.open()
        return context  # type: ignore[no-any-return]

    def _open_audio(self) -> AudioCodecContext:
        context: Any = AudioCodecContext.create("libopus", "w")
        context.sample_rate = PLAYOUT_RATE_HZ
        context.format = "s16"
        context.layout = "mono"
        context.bit_rate = _SOUND_BIT_RATE
        context.time_base = Fraction(1, PLAYOUT_RATE_HZ)
        # One packet for one slice: so both bear the same time.
        context.options = {"frame_duration": str(1000 // FRAME_RATE), "application": "voip"}
        context.open()
        return context  # type: ignore[no-any-return]

    def encode(
        self, slot: int, sound: bytes | None, picture: Picture | None, *, key: bool
    ) -> Encoded:
        """One A/V slice; see the port.

        :raises StreamError: it cannot be encoded.
        """
        try:
            packets = self._encode_picture(slot, picture, key)
            heard = self._encode_sound(slot, sound)
        except (av.error.FFmpegError, ValueError) as error:
            raise StreamError(f"A slice cannot be encoded for browsers: {error}.") from error
        return Encoded(
            slot=slot,
            picture=b"".join(bytes(packet) for packet in packets),
            sound=heard,
            key=any(packet.is_keyframe for packet in packets),
        )

    def _encode_picture(
        self, slot: int, picture: Picture | None, key: bool
    ) -> list[av.Packet[Any]]:
        if picture is not None:
            self._shown = VideoFrame.from_ndarray(picture, format="yuv420p")
        frame = self._shown
        frame.pict_type = PictureType.I if key else PictureType.NONE
        frame.pts = slot
        frame.time_base = Fraction(1, FRAME_RATE)
        return list(self._video.encode(frame))

    def _encode_sound(self, slot: int, sound: bytes | None) -> bytes:
        samples = np.zeros(SLICE_SAMPLES, np.int16)
        if sound is not None:
            samples = np.frombuffer(sound, np.int16)
        frame = AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = PLAYOUT_RATE_HZ
        frame.pts = slot * SLICE_SAMPLES
        frame.time_base = Fraction(1, PLAYOUT_RATE_HZ)
        return b"".join(bytes(packet) for packet in self._audio.encode(frame))
