"""What ingest and publish share: FFmpeg kept quiet, its errors in our words."""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
from pathlib import Path

import av
import av.error
import av.logging

from maestra.core.stream_url import StreamKind, StreamUrl
from maestra.ports.errors import StreamClosed, StreamError, StreamRefused

__all__ = ["hush", "judge", "microseconds", "network_error", "trust"]

_RTMP = (StreamKind.RTMP, StreamKind.RTMPS)
_TLS = (StreamKind.RTMPS, StreamKind.RTSPS)

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


def judge(url: StreamUrl) -> None:
    """See that the host of ``url``, which FFmpeg will look up, stands for what it may.

    :raises StreamRefused: it does not.
    :raises StreamError: nobody knows it.
    """
    if url.permitted is None or url.pinned:
        return
    try:
        found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise StreamError(f"{url} is not to be found: its host is not known.") from error
    if not all(url.permitted.allows(ipaddress.ip_address(one[4][0])) for one in found):
        raise StreamRefused(
            f"{url} may not be used: its host now stands for an address that streams may not use"
            " here (service.hosts)."
        )


def trust(url: StreamUrl, ca_file: str) -> dict[str, str]:
    """How FFmpeg is to judge the server of ``url``, which by itself it does not.

    :param ca_file: certificates to judge by; empty: those that the system trusts.
    :raises StreamRefused: there is no such file.
    """
    if url.kind not in _TLS:
        return {}
    if ca_file and not Path(ca_file).is_file():
        raise StreamRefused(f"There is no file {ca_file} (stream.ca_file).")
    # FFmpeg's TLS library may have been built to look for the system's in another place.
    found = ca_file or ssl.get_default_verify_paths().cafile
    return {"tls_verify": "1", **({"ca_file": found} if found else {})}


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
        case OSError(errno=errno.EIO) if url.kind in _TLS:
            return StreamError(
                f"{url} was closed, or not opened, because its certificate is not trusted or is of"
                " another host (stream.ca_file), or its server did not want it."
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
