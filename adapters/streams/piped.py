"""Sound that a browser brings, from the worker that is connected to it, through a pipe."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from fractions import Fraction
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final

import numpy as np
from av.audio.frame import AudioFrame

from maestra.core.stream_url import StreamUrl
from maestra.ports.audio import PLAYOUT_RATE_HZ
from maestra.ports.errors import StreamClosed

from .ingest import Placed

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["PipedIngest", "packed"]

_AT: Final = struct.Struct("<q")
_TIME_BASE: Final = Fraction(1, PLAYOUT_RATE_HZ)

_LOST: Final = 0.005
"""A browser's time stamps are exact: what is missing for this long (s) was lost on the way. Were it
not filled, the student would seem to have hurried."""


def packed(at: int, sound: bytes) -> bytes:
    """A piece as it goes through the pipe.

    :param at: its first sample's number since the browser began.
    :param sound: int16 at 48 kHz. Nothing at all, and the browser has gone.
    """
    return _AT.pack(at) + sound


class PipedIngest:
    """One browser, from its first sound to its leaving. See ``ports.streams.Ingest``.

    :param url: what it is called in errors.
    :param pipe: is read by one of these at a time, and is not theirs to close.
    """

    def __init__(self, url: StreamUrl, pipe: Connection) -> None:
        self._url = url
        self._pipe = pipe
        self._closed = threading.Event()

    def chunks(self) -> Iterator[Samples]:
        """Mono float32 at 44.1 kHz; what was lost on the way is silence.

        :raises StreamClosed: the browser has gone.
        """
        placed = Placed(None, shortest_gap=_LOST)
        heard = False
        while not self._closed.is_set():
            try:
                piece = self._pipe.recv_bytes()
            except (EOFError, OSError) as error:
                raise StreamClosed(f"{self._url} has ended.") from error
            sound = np.frombuffer(piece, np.int16, offset=_AT.size)
            if not len(sound):
                if heard:
                    raise StreamClosed(f"{self._url}: the browser has gone.")
                continue  # and here is the next one
            heard = True
            frame = AudioFrame.from_ndarray(sound[np.newaxis], format="s16", layout="mono")
            frame.sample_rate = PLAYOUT_RATE_HZ
            frame.pts = _AT.unpack_from(piece)[0]
            frame.time_base = _TIME_BASE
            yield from placed.place(frame)

    def close(self) -> None:
        """End the chunks at the next one. May be called from another thread."""
        self._closed.set()
