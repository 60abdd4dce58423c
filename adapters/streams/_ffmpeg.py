"""What ingest and publish share: FFmpeg kept quiet, its errors in our words."""

from __future__ import annotations

import errno

import av
import av.error
import av.logging

from maestra.core.stream_url import StreamKind, StreamUrl
from maestra.ports.errors import StreamClosed, StreamError, StreamRefused

__all__ = ["hush", "microseconds", "network_error"]

_RTMP = (StreamKind.RTMP, StreamKind.RTMPS)

_QUIET = -8
"""AV_LOG_QUIET."""


def hush() -> None:
    """Keep FFmpeg off stderr, and its threads away from Python.

    PyAV's own log handler takes the GIL. One of FFmpeg's threads that reports an error would then
    wait for the GIL while the thread that holds it waits, in PyAV, for that very thread.
    """
    av.logging.restore_default_callback()
    av.logging.set_libav_level(_QUIET)


def microseconds(seconds: float) -> str:
    return str(round(seconds * 1e6))


def network_error(url: StreamUrl, error: Exception, timeout: float) -> StreamError:
    """What went wrong with the network address ``url``, in one sentence."""
    match error:
        case ConnectionRefusedError():
            return StreamError(f"{url} refuses the connection.")
        case TimeoutError() | av.error.ExitError():
            return StreamError(f"{url} has not answered for {timeout:g} s.")
        case BrokenPipeError() | ConnectionResetError() | ConnectionAbortedError():
            return StreamError(f"{url} broke the connection.")
        case EOFError():
            return StreamClosed(f"{url} has ended.")
        case PermissionError(errno=errno.EPERM) if url.kind in _RTMP:
            # How FFmpeg tells that the server answered with an error, such as "stream busy".
            return StreamError(
                f"{url} is refused by its server: the stream is busy (somebody else publishes under"
                " its name), is not there, or its key is wrong."
            )
        case OSError(errno=errno.EIO) if url.kind in _RTMP:
            # FFmpeg's RTMP says so when the other side has hung up.
            return StreamError(
                f"{url} was closed by its server; if that happens at once, the application's name"
                " or the key is wrong."
            )
        case PermissionError():
            return StreamRefused(f"{url} may not be used: permission denied.")
        case av.error.FFmpegError():
            return StreamError(f"{url} failed: {error.strerror}.")
        case _:
            return StreamError(f"{url} failed: {error}.")
