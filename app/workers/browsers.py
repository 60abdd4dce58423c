"""The browsers' worker: one browser's microphone to the ingest, the teacher to those who watch.

It is started when the first browser comes. An event loop keeps the connections; one thread encodes
what the playout shows, once for all and only while somebody watches; another carries the microphone
to the ingest. It gives way to everything else in the lesson.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from attrs import frozen

from maestra.ports.errors import PeerRefused, StreamError
from maestra.ports.streams import PeerEvents, Peers, SliceEncoder

from ..colour import i420_shape
from ..config import Config
from ..messages import Answered, Failed, HangUp, Hello, Offer, Shown, Stop, Watch

__all__ = ["BrowsersSettings", "browsers", "run"]

_NICE = 5
"""A lesson's pictures are made before they are shown to a browser."""

_KEY_EVERY = 0.5
"""Seconds between two pictures to begin with, at least: they are large, and many may ask."""

_HELD = 100
"""Pieces of sound (2 s) that may wait for the ingest."""


@frozen(kw_only=True)
class BrowsersSettings:
    """What of the configuration counts: its ``service``, ``stream`` and ``face.size``."""

    config: Config


class _Microphone:
    """Carries sound to the ingest, and never makes the event loop wait."""

    def __init__(self, pipe: Connection, pack: Callable[[int, bytes], bytes]) -> None:
        self._pipe = pipe
        self._pack = pack
        self._pieces: queue.Queue[bytes] = queue.Queue(_HELD)
        threading.Thread(target=self._carry, name="microphone", daemon=True).start()

    def put(self, at: int, sound: bytes) -> None:
        # What the ingest does not take it has no use for: it knows by ``at`` what is missing.
        with suppress(queue.Full):
            self._pieces.put_nowait(self._pack(at, sound))

    def _carry(self) -> None:
        with suppress(OSError):
            while True:
                self._pipe.send_bytes(self._pieces.get())


class _Eye:
    """Encodes what the playout shows."""

    def __init__(
        self, pipe: Connection, open_encoder: Callable[[], SliceEncoder], size: int
    ) -> None:
        self._pipe = pipe
        self._open_encoder = open_encoder
        self._shape = i420_shape(size, size)
        self._key_wanted = False
        self._key_at = 0.0
        self.complaint = ""
        """Why nothing can be shown; empty if it can."""

    def watch(self, on: bool) -> None:
        with suppress(OSError):  # the playout has gone; the session knows
            self._pipe.send(Watch(on=on))

    def want_key(self) -> None:
        self._key_wanted = True

    def run(self, peers: Peers, loop: asyncio.AbstractEventLoop) -> None:
        """Until the playout goes, or the loop has ended.

        :raises StreamError: it cannot be encoded.
        """
        encoder: SliceEncoder | None = None
        with suppress(EOFError, OSError, RuntimeError):
            while True:
                shown = self._pipe.recv()
                if isinstance(shown, Shown):
                    encoder = encoder or self._open_encoder()
                    picture = None
                    if shown.picture is not None:
                        picture = np.frombuffer(shown.picture, np.uint8).reshape(self._shape)
                    encoded = encoder.encode(
                        shown.slot, shown.sound, picture, key=self._is_key_due()
                    )
                    loop.call_soon_threadsafe(peers.show, encoded)

    def _is_key_due(self) -> bool:
        now = time.monotonic()
        if not self._key_wanted or now - self._key_at < _KEY_EVERY:
            return False
        self._key_wanted, self._key_at = False, now
        return True


class _Told:
    """What the peers tell of."""

    def __init__(self, microphone: _Microphone, eye: _Eye) -> None:
        self._microphone = microphone
        self._eye = eye

    def heard(self, at: int, sound: bytes) -> None:
        self._microphone.put(at, sound)

    def silent(self) -> None:
        self._microphone.put(0, b"")

    def watched(self, watched: bool) -> None:
        self._eye.watch(watched)

    def key_wanted(self) -> None:
        self._eye.want_key()


class _Browsers:
    def __init__(self, control: Connection, peers: Peers, eye: _Eye) -> None:
        self._control = control
        self._peers = peers
        self._eye = eye
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until the session says stop or goes."""
        for body in (self._listen, self._look):
            threading.Thread(target=body, name=body.__name__, daemon=True).start()
        self._say(Hello(worker="browsers"))
        await self._stopped.wait()
        await self._peers.close()

    def _listen(self) -> None:
        with suppress(RuntimeError):  # the loop has ended
            try:
                while not isinstance(message := self._control.recv(), Stop):
                    self._loop.call_soon_threadsafe(self._take, message)
            except (EOFError, OSError):
                pass
            self._loop.call_soon_threadsafe(self._stopped.set)

    def _look(self) -> None:
        try:
            self._eye.run(self._peers, self._loop)
        except StreamError as error:
            self._eye.complaint = str(error)
            failed = Failed(worker="browsers", kind=type(error).__name__, text=str(error))
            self._loop.call_soon_threadsafe(self._say, failed)

    def _take(self, message: object) -> None:
        match message:
            case Offer(number=number, way="whip", sdp=sdp):
                self._start(self._connect(number, self._peers.publish(sdp)))
            case Offer(number=number) if self._eye.complaint:
                self._say(Answered(number=number, refused="failed", text=self._eye.complaint))
            case Offer(number=number, sdp=sdp):
                self._start(self._connect(number, self._peers.view(sdp)))
            case HangUp(number=number, peer=peer):
                self._start(self._hang_up(number, peer))
            case _:
                pass

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, number: int, answering: Coroutine[Any, Any, Any]) -> None:
        try:
            answer = await answering
        except PeerRefused as error:
            self._say(Answered(number=number, refused=error.reason, text=str(error)))
        else:
            self._say(Answered(number=number, peer=answer.peer, sdp=answer.sdp))

    async def _hang_up(self, number: int, peer: str) -> None:
        try:
            await self._peers.hang_up(peer)
        except PeerRefused as error:
            self._say(Answered(number=number, refused=error.reason, text=str(error)))
        else:
            self._say(Answered(number=number, peer=peer))

    def _say(self, message: object) -> None:
        with suppress(OSError):  # the session has gone; that is heard, too
            self._control.send(message)


def browsers(
    control: Connection,
    slices: Connection,
    microphone: Connection,
    size: int,
    *,
    open_peers: Callable[[PeerEvents], Peers],
    open_encoder: Callable[[], SliceEncoder],
    pack: Callable[[int, bytes], bytes],
) -> None:
    """Serve one session; see the module.

    :param slices: from the playout.
    :param microphone: to the ingest.
    :param size: of the pictures.
    """

    async def serve() -> None:
        eye = _Eye(slices, open_encoder, size)
        peers = open_peers(_Told(_Microphone(microphone, pack), eye))
        await _Browsers(control, peers, eye).run()

    asyncio.run(serve())


def run(
    control: Connection, slices: Connection, microphone: Connection, settings: BrowsersSettings
) -> None:
    """Serve browsers until the session says stop or goes."""
    from .. import composition

    config = settings.config
    os.nice(_NICE)
    browsers(
        control,
        slices,
        microphone,
        config.face.size,
        open_peers=lambda events: composition.peers(config, events),
        open_encoder=lambda: composition.slice_encoder(config),
        pack=composition.microphone_piece(),
    )
