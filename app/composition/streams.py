"""Where sound and pictures come from, and where they go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestra.core.stream_url import BadStreamUrl, StreamUrl
from maestra.ports.errors import StreamRefused
from maestra.ports.streams import Ingest, Publish

from ..config import Config

if TYPE_CHECKING:
    from ..workers.ingest import IngestSettings

__all__ = ["encoder_complaint", "ingest", "publish", "stream_url"]


def stream_url(text: str) -> StreamUrl:
    """The address ``text`` stands for.

    :raises StreamRefused: it is not one that may be opened.
    """
    try:
        return StreamUrl.parse(text)
    except BadStreamUrl as error:
        raise StreamRefused(str(error)) from None


def ingest(settings: IngestSettings) -> Ingest:
    """One connection to an input."""
    from maestra.adapters.streams.ingest import PyavIngest

    return PyavIngest(settings.url)


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
