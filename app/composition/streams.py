"""Where sound and pictures come from, and where they go."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from maestra.core.stream_url import BadStreamUrl, StreamUrl
from maestra.ports.errors import StreamRefused
from maestra.ports.streams import Ingest, PeerEvents, Peers, Publish, SliceEncoder

from ..config import Config
from ..dependencies import adding

if TYPE_CHECKING:
    from ..workers.ingest import IngestSettings

__all__ = [
    "browsers_complaint",
    "encoder_complaint",
    "ingest",
    "microphone_piece",
    "peers",
    "publish",
    "slice_encoder",
    "stream_url",
]


def stream_url(text: str) -> StreamUrl:
    """The address ``text`` stands for.

    :raises StreamRefused: it is not one that may be opened.
    """
    try:
        return StreamUrl.parse(text)
    except BadStreamUrl as error:
        raise StreamRefused(str(error)) from None


def ingest(settings: IngestSettings, microphone: Connection | None = None) -> Ingest:
    """One connection to an input.

    :param microphone: from where a browser's sound comes.
    """
    if microphone is not None:
        from maestra.adapters.streams.piped import PipedIngest

        return PipedIngest(settings.url, microphone)
    from maestra.adapters.streams.ingest import PyavIngest

    return PyavIngest(settings.url, ca_file=settings.ca_file)


def publish(config: Config, url: StreamUrl) -> Publish:
    """One connection to an output."""
    from maestra.adapters.streams.publish import Encoding, PyavPublish

    return PyavPublish(
        url,
        width=config.face.size,
        height=config.face.size,
        encoding=Encoding(
            video_bit_rate=config.stream.video_bitrate,
            audio_bit_rate=config.stream.audio_bitrate,
            keyframe_interval=config.stream.keyframe_interval,
            encoder=config.stream.encoder,
        ),
        ca_file=config.stream.ca_file,
    )


def encoder_complaint(config: Config) -> str:
    """What there is to say of the encoder that the configuration asks for; empty if it works."""
    if config.stream.encoder != "nvenc":
        return ""
    from maestra.adapters.streams.publish import video_encoder

    size = config.face.size
    if video_encoder("nvenc", size, size) == "h264_nvenc":
        return ""
    return (
        "NVENC does not work here: x264 encodes the pictures. Set stream.encoder to auto, or see"
        " whether nvidia-smi finds a GPU and its driver."
    )


# --- browsers -------------------------------------------------------------------


def browsers_complaint() -> str:
    """Why no browser can be answered here; empty if one can."""
    if find_spec("aiortc") is not None:
        return ""
    return f"Browsers are answered by a package that is not installed: {adding('browser')}."


def peers(config: Config, events: PeerEvents) -> Peers:
    """The browsers of a session; for a process of its own, in whose event loop it is called."""
    from maestra.adapters.streams.webrtc import WebRtcPeers, gather_on

    gather_on(lambda: _addresses(config.service.host))
    return WebRtcPeers(most_viewers=config.service.max_viewers, events=events)


def slice_encoder(config: Config) -> SliceEncoder:
    """What makes packets of slices."""
    from maestra.adapters.streams.packets import PacketEncoder

    return PacketEncoder(
        width=config.face.size,
        height=config.face.size,
        bit_rate=config.stream.video_bitrate,
        keyframe_interval=config.stream.keyframe_interval,
    )


def microphone_piece() -> Callable[[int, bytes], bytes]:
    """How a piece of a browser's sound is written for ``ingest``."""
    from maestra.adapters.streams.piped import packed

    return packed


def _addresses(host: str) -> Sequence[str]:
    """Where browsers may reach a service that listens on ``host``: nothing listens beyond loopback
    unless it does, and then where it does."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except OSError:
        return ["127.0.0.1"]
    numbers = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    loopback = ["127.0.0.1", *(["::1"] if any(one.version == 6 for one in numbers) else [])]
    others: list[str] = []
    for number in numbers:
        if number.is_unspecified:
            others += _own_addresses(number.version)
        elif not number.is_loopback:
            others.append(str(number))
    return list(dict.fromkeys([*others, *loopback]))


def _own_addresses(version: int) -> list[str]:
    """Of this machine's interfaces, but for loopback and what holds for one link only."""
    import ifaddr

    found = [
        ipaddress.ip_address(one.ip if isinstance(one.ip, str) else one.ip[0])
        for adapter in ifaddr.get_adapters()
        for one in adapter.ips
    ]
    return [
        str(one)
        for one in found
        if not one.is_loopback and not one.is_link_local and (version == 6 or one.version == 4)
    ]
