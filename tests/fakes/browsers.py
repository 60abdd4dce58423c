"""Browsers' ends of connections, by aiortc; and what stands in for ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from attrs import define, field

from maestra.ports.errors import PeerRefused
from maestra.ports.streams import Encoded, PeerAnswer, PeerEvents

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from maestra.ports.audio import Picture

__all__ = ["Browser", "Events", "FakePeers", "FakeSliceEncoder", "Tone", "browser"]

_RATE_HZ = 48_000
_PIECE = 960


class Tone(MediaStreamTrack):  # type: ignore[misc] # to mypy it is Any
    """A microphone before which a sine sounds, of amplitude 0.5; ``pace`` times as fast as time."""

    kind = "audio"

    def __init__(self, hz: float = 440.0, *, pace: float = 1.0) -> None:
        super().__init__()
        self._hz = hz
        self._pace = pace
        self._at = 0
        self._begun: float | None = None

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        self._begun = self._begun if self._begun is not None else loop.time()
        await asyncio.sleep(self._begun + self._at / _RATE_HZ / self._pace - loop.time())
        times = (self._at + np.arange(_PIECE)) / _RATE_HZ
        sound = (0.5 * 32767 * np.sin(2 * np.pi * self._hz * times)).astype(np.int16)
        # Of one channel aiortc makes two that are 3 dB softer, which no browser does.
        both = np.repeat(sound, 2)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(both, format="s16", layout="stereo")
        frame.sample_rate = _RATE_HZ
        frame.pts = self._at
        frame.time_base = Fraction(1, _RATE_HZ)
        self._at += _PIECE
        return frame


@define(eq=False)
class Browser:
    """One browser. ``seen`` are the pictures that came (time stamp in s, mean brightness), and
    ``heard`` is the sound (time stamp in s, samples)."""

    connection: RTCPeerConnection
    seen: list[tuple[float, float]] = field(factory=list)
    heard: list[tuple[float, NDArray[np.float32]]] = field(factory=list)
    _tasks: set[asyncio.Task[None]] = field(factory=set)

    async def offer(self) -> str:
        """What is posted."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return str(self.connection.localDescription.sdp)

    async def take(self, answer: PeerAnswer) -> None:
        """Go by the answer."""
        await self.connection.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))

    async def reaches(self, state: str, *, within: float = 10.0) -> None:
        """Until the connection is in that state."""
        async with asyncio.timeout(within):
            while self.connection.connectionState != state:  # noqa: ASYNC110 (shorter)
                await asyncio.sleep(0.01)

    def vanish(self) -> None:
        """Be gone without a word, as one that was killed is."""
        for transceiver in self.connection.getTransceivers():
            for protocol in transceiver.receiver.transport.transport._connection._protocols:
                protocol.transport.abort()

    def watch(self, track: MediaStreamTrack) -> None:
        task = asyncio.get_running_loop().create_task(self._watch(track))
        self._tasks.add(task)

    async def _watch(self, track: Any) -> None:
        try:
            while True:
                frame = await track.recv()
                at = float(frame.pts * frame.time_base)
                if track.kind == "video":
                    self.seen.append((at, float(frame.to_ndarray(format="gray").mean())))
                else:
                    sound = frame.to_ndarray().reshape(-1, len(frame.layout.channels))
                    self.heard.append((at, sound.mean(axis=1).astype(np.float32) / 32768))
        except MediaStreamError:
            pass


@asynccontextmanager
async def browser(
    *,
    microphone: MediaStreamTrack | None = None,
    camera: bool = False,
    watches: Sequence[str] = (),
) -> AsyncIterator[Browser]:
    """A browser that sends ``microphone`` (and pictures), or takes the kinds in ``watches``, in
    that order."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    one = Browser(connection=connection)
    connection.on("track", one.watch)
    if microphone is not None:
        connection.addTransceiver(microphone, direction="sendonly")
    if camera:
        connection.addTransceiver("video", direction="sendonly")
    for kind in watches:
        connection.addTransceiver(kind, direction="recvonly")
    try:
        yield one
    finally:
        await connection.close()
        for task in one._tasks:
            task.cancel()
        await asyncio.gather(*one._tasks, return_exceptions=True)


@define(eq=False)
class Events:
    """What peers told: ``PeerEvents``."""

    sound: list[tuple[int, bytes]] = field(factory=list)
    told: list[str] = field(factory=list)

    def heard(self, at: int, sound: bytes) -> None:
        self.sound.append((at, sound))

    def silent(self) -> None:
        self.told.append("silent")

    def watched(self, watched: bool) -> None:
        self.told.append("watched" if watched else "unwatched")

    def key_wanted(self) -> None:
        self.told.append("key")


class FakePeers:
    """Browsers that connect as soon as they are answered. ``events`` may be told anything."""

    def __init__(self, *, most_viewers: int, events: PeerEvents) -> None:
        self.most_viewers = most_viewers
        self.events = events
        self.shown: list[Encoded] = []
        self.peers: dict[str, str] = {}
        self.closed = False
        self._number = 0

    async def publish(self, offer: str) -> PeerAnswer:
        self._look_at(offer, "a=sendonly")
        if "whip" in self.peers.values():
            raise PeerRefused("taken", "Somebody is heard already.")
        self.events.silent()
        return self._joined("whip")

    async def view(self, offer: str) -> PeerAnswer:
        self._look_at(offer, "a=recvonly")
        viewers = sum(way == "whep" for way in self.peers.values())
        if viewers == self.most_viewers:
            raise PeerRefused("full", "Too many watch.")
        if not viewers:
            self.events.watched(True)
        self.events.key_wanted()
        return self._joined("whep")

    def _look_at(self, offer: str, wanted: str) -> None:
        if not offer.startswith("v=0"):
            raise PeerRefused("malformed", "This is no offer.")
        if wanted not in offer:
            raise PeerRefused("unsupported", "This cannot be answered.")

    def _joined(self, way: str) -> PeerAnswer:
        self._number += 1
        name = f"peer-{self._number}"
        self.peers[name] = way
        return PeerAnswer(peer=name, sdp="v=0\r\n")

    async def hang_up(self, peer: str) -> None:
        if peer not in self.peers:
            raise PeerRefused("unknown", "There is no such connection.")
        way = self.peers.pop(peer)
        if way == "whip":
            self.events.silent()
        elif "whep" not in self.peers.values():
            self.events.watched(False)

    def show(self, encoded: Encoded) -> None:
        self.shown.append(encoded)

    async def close(self) -> None:
        for peer in list(self.peers):
            await self.hang_up(peer)
        self.closed = True


class FakeSliceEncoder:
    """Its packets are what it was given."""

    def __init__(self) -> None:
        self._begun = False

    def encode(
        self, slot: int, sound: bytes | None, picture: Picture | None, *, key: bool
    ) -> Encoded:
        first, self._begun = not self._begun, True
        return Encoded(
            slot=slot,
            picture=b"picture" if picture is None else picture.tobytes(),
            sound=sound or b"silence",
            key=key or first,
        )
