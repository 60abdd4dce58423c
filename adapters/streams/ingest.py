"""Sound from a file, RTMP or RTSP, by FFmpeg (PyAV)."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from maestra.core.stream_url import StreamKind, StreamUrl
from maestra.ports.audio import EAR_RATE_HZ
from maestra.ports.errors import StreamClosed, StreamError, StreamRefused

from ._ffmpeg import hush, judge, microseconds, network_error, trust

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["Placed", "PyavIngest"]

_RECORDINGS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,m4v,matroska,webm,mov,mp4,m4a,mp3,mpeg,"
    "mpegts,ogg,tta,w64,wav,wv"
)
"""The demuxers a file may be read with. None of them opens other files, as playlists do."""

_ANALYSIS = 0.5
"""Seconds of a live stream that may be looked at before the first of it is given."""

_GAP = (0.1, 10.0)
"""A jump of the time stamps this long (s) is sound that is missing, and is given as silence.
Shorter is the rounding of some senders, longer a sender that began to count anew."""

_CUT_SHORT = 1.0
"""A file that ends this long (s) before its own header says so was cut short."""


class PyavIngest:
    """One connection to an input. See ``ports.streams.Ingest``.

    :param url: where from. With ``url.listen`` the publisher connects to us, and is waited for
        without limit.
    :param open_timeout: seconds until a connection counts as hung while it is opened.
    :param read_timeout: seconds without a byte until it counts as hung.
    :param ca_file: certificates that RTMPS and RTSPS servers are judged by; empty: the system's.
    """

    def __init__(
        self,
        url: StreamUrl,
        *,
        open_timeout: float = 10.0,
        read_timeout: float = 10.0,
        ca_file: str = "",
    ) -> None:
        hush()
        self._url = url
        self._open_timeout = open_timeout
        self._read_timeout = read_timeout
        self._ca_file = ca_file
        self._closed = threading.Event()

    def chunks(self) -> Iterator[Samples]:
        """Mono float32 at 44.1 kHz as it comes, in pieces of any length, none of them empty.

        What is missing by the sender's time stamps is silence. What cannot be decoded is left out.

        :raises StreamRefused: there is no such file, or no sound in it.
        :raises StreamClosed: the other side of a network connection ended it.
        :raises StreamError: the connection broke, or the file was cut short.
        """
        container = self._open()
        try:
            stream = self._sound_of(container)
            if self._url.is_file:
                yield from self._recording(container, stream)
            else:
                yield from self._live(container, stream)
        finally:
            container.close()

    def close(self) -> None:
        """End the chunks at the next one. May be called from another thread."""
        self._closed.set()

    # --- opening --------------------------------------------------------------

    def _open(self) -> InputContainer:
        url = self._url
        if url.is_file:
            return self._open_file()
        judge(url)
        limit = None if url.listen else self._open_timeout
        try:
            return av.open(
                url.dialled,
                "r",
                format="flv" if url.kind in (StreamKind.RTMP, StreamKind.RTMPS) else "rtsp",
                options=self._options(),
                timeout=(limit, self._read_timeout),
            )
        except (av.error.FFmpegError, OSError) as error:
            raise network_error(url, error, self._open_timeout) from error

    def _open_file(self) -> InputContainer:
        path = self._url.address
        if not Path(path).exists():
            raise StreamRefused(f"There is no file {path}.")
        if not Path(path).is_file():
            raise StreamRefused(f"{path} is not a file.")
        try:
            return av.open(f"file:{path}", "r", options=self._options())
        except PermissionError as error:
            raise StreamRefused(f"{path} may not be read.") from error
        except (av.error.FFmpegError, OSError, EOFError) as error:
            raise StreamRefused(
                f"{path} is damaged, or not a recording of a kind that can be read."
            ) from error

    def _options(self) -> dict[str, str]:
        options = {
            "protocol_whitelist": ",".join(self._url.protocols),
            **self._url.dialling,
            **trust(self._url, self._ca_file),
        }
        match self._url.kind:
            case StreamKind.FILE:
                options |= {"format_whitelist": _RECORDINGS}
            case StreamKind.RTMP | StreamKind.RTMPS:
                options |= {
                    "rw_timeout": microseconds(self._read_timeout),
                    "analyzeduration": microseconds(_ANALYSIS),
                    "fpsprobesize": "0",
                    "rtmp_buffer": "100",
                }
                if self._url.listen:
                    options |= {"listen": "1"}
            case StreamKind.RTSP | StreamKind.RTSPS:
                options |= {
                    "rtsp_transport": "tcp",
                    "allowed_media_types": "audio",
                    "timeout": microseconds(self._read_timeout),
                    "analyzeduration": microseconds(_ANALYSIS),
                }
        return options

    def _sound_of(self, container: InputContainer) -> AudioStream:
        for stream in container.streams.audio:
            if stream.codec_context is not None and stream.codec_context.sample_rate:
                return stream
        if self._url.is_file:
            raise StreamRefused(f"{self._url} has no sound.")
        raise StreamError(f"{self._url} has no sound.")  # its publisher may yet begin to send it

    # --- reading --------------------------------------------------------------

    def _recording(self, container: InputContainer, stream: AudioStream) -> Iterator[Samples]:
        # A recording begins where its first stream does, be that the picture.
        begin = (container.start_time or 0) / av.time_base
        decoder = Placed(begin)
        try:
            for packet in container.demux(stream):
                yield from decoder.decode(packet)
                if self._closed.is_set():
                    return
        except (av.error.FFmpegError, OSError) as error:
            raise StreamError(f"{self._url} is damaged after {decoder.seconds:.1f} s.") from error
        yield from decoder.flush()
        if not decoder.seconds:
            raise StreamRefused(f"{self._url} has no sound that can be decoded.")
        promised = (container.duration or 0) / av.time_base
        if stream.duration is not None and stream.time_base is not None:
            promised = min(promised, float(stream.duration * stream.time_base))
        if decoder.seconds < promised - _CUT_SHORT:
            raise StreamError(
                f"{self._url} is cut short: it ends after {decoder.seconds:.1f} s of"
                f" {promised:.1f} s."
            )
        if decoder.missing or decoder.damaged:
            raise StreamError(f"{self._url} is damaged: parts of its sound were left out.")

    def _live(self, container: InputContainer, stream: AudioStream) -> Iterator[Samples]:
        decoder = Placed(None)
        try:
            for packet in container.demux(stream):
                yield from decoder.decode(packet)
                if self._closed.is_set():
                    return
        except (av.error.FFmpegError, OSError, EOFError) as error:
            if getattr(error, "errno", None) == errno.EIO:  # the other side has hung up
                raise StreamClosed(f"{self._url} has ended.") from error
            raise network_error(self._url, error, self._read_timeout) from error
        raise StreamClosed(f"{self._url} has ended.")


class Placed:
    """From packets or frames to mono samples, placed by their time stamps."""

    def __init__(self, begin: float | None, *, shortest_gap: float = _GAP[0]) -> None:
        """``begin`` is the time stamp (s) of sample 0; ``None``: that of the first frame. A jump of
        the time stamps by less than ``shortest_gap`` (s) is their rounding."""
        self._begin = begin
        self._shortest_gap = shortest_gap
        self._given = 0
        self._resampler: AudioResampler | None = None
        self._setup: tuple[str, str, int] | None = None
        self.damaged = False
        self.missing = 0.0

    @property
    def seconds(self) -> float:
        """How much has been given."""
        return self._given / EAR_RATE_HZ

    def decode(self, packet: av.Packet[AudioStream]) -> Iterator[Samples]:
        try:
            frames = packet.decode()
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            self.damaged = True
            return
        for frame in frames:
            assert isinstance(frame, AudioFrame)
            yield from self.place(frame)

    def place(self, frame: AudioFrame) -> Iterator[Samples]:
        yield from self._missing(frame)
        setup = (frame.format.name, frame.layout.name, frame.sample_rate)
        if setup != self._setup:  # some senders change their mind
            yield from self.flush()
            self._resampler = AudioResampler(format="fltp", rate=EAR_RATE_HZ)
            self._setup = setup
        assert self._resampler is not None
        frame.pts = None  # the resampler must not fill the gaps that were filled here
        yield from self._given_of(self._resampler.resample(frame))

    def flush(self) -> Iterator[Samples]:
        """What the resampler held back."""
        if self._resampler is not None:
            yield from self._given_of(self._resampler.resample(None))
            self._resampler = None
            self._setup = None

    def _missing(self, frame: AudioFrame) -> Iterator[Samples]:
        """Silence for what the time stamps say is missing before ``frame``."""
        if frame.pts is None or frame.time_base is None:
            return
        at = float(frame.pts * frame.time_base)
        if self._begin is None:
            self._begin = at
        gap = at - self._begin - self.seconds
        shortest, longest = self._shortest_gap, _GAP[1]
        if not self._given and 0 < gap <= longest:  # the picture began before the sound
            if count := round(gap * EAR_RATE_HZ):
                yield self._count(np.zeros(count, np.float32))
        elif shortest <= gap <= longest:
            self.missing += gap
            yield self._count(np.zeros(round(gap * EAR_RATE_HZ), np.float32))
        elif abs(gap) > shortest:
            self._begin = at - self.seconds

    def _given_of(self, frames: list[AudioFrame]) -> Iterator[Samples]:
        for frame in frames:
            channels = frame.to_ndarray()
            # The mean of the channels: FFmpeg's own mix of two equal ones would be 3 dB too loud.
            yield self._count(channels.mean(axis=0, dtype=np.float32))

    def _count(self, samples: Samples) -> Samples:
        self._given += len(samples)
        return samples
