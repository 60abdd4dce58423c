"""Browsers, by WebRTC (aiortc): one that is heard, and some that watch.

Only addresses of this machine are offered, and no server is asked for others (no STUN, no TURN).
The candidates of an offer are left out: whoever wants to connect can reach us, or cannot, and is
seen by the checks that come from there. So this machine sends nothing to any address that has not
shown the password of an answer first, it looks up no ``.local`` name (which would mean to listen
for multicast on every interface), and no page needs to know its own address.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np
from aioice import ice
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import SessionDescription
from aiortc.utils import uint16_gt
from attrs import define, evolve, field

from maestra.ports.audio import FRAME_RATE, PLAYOUT_RATE_HZ, SLICE_SAMPLES
from maestra.ports.errors import PeerRefused
from maestra.ports.streams import Encoded, PeerAnswer, PeerEvents

from ._ffmpeg import hush

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

__all__ = ["WebRtcPeers", "gather_on"]

_CONNECTS_WITHIN: Final = 20.0
"""Seconds for a browser to come after its offer was answered."""

_SPEAKS_WITHIN: Final = 10.0
"""Seconds without any sound, not even of silence, after which who was heard has gone. That somebody
who watches has gone is seen later, by the checks of ICE (RFC 7675): after half a minute."""

_MOST_PARTS: Final = 8
"""Parts of an offer: a browser has one for the sound and one for each camera."""

_MOST_LINES: Final = 1000
"""Of an offer: a browser's has 250. Each takes time in which nobody else is served."""

_DATAGRAMS: Final = 512
"""Datagrams that may wait to be looked at, 600 kB: anybody who finds the port can send some."""

_WAITING: Final = 25
"""Slices (1 s) that may wait for one who watches; then all are dropped."""

_CLOSES_WITHIN: Final = 2.0

_VIDEO_CLOCK: Final = 90_000

_ASKED_OF_OPUS: Final = "maxaveragebitrate=128000;stereo=0;usedtx=0"
"""Of the microphone (RFC 7587): by itself a browser sends as much as is enough for speech, and here
music is measured."""


def gather_on(addresses: Callable[[], Sequence[str]]) -> None:
    """Have ICE use these addresses of this machine, for the whole process.

    By itself aioice uses every one but those of loopback, and has no setting for it.
    """

    def chosen(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return [one for one in addresses() if (use_ipv6 if ":" in one else use_ipv4)]

    setattr(ice, "get_host_addresses", chosen)  # noqa: B010 - it is not for others to set


class _AtOnce:
    """Takes the place of aiortc's jitter buffer for sound, which holds 80 ms back and, once a
    packet is lost, 300 ms for good. The ingest lays sound by its arrival and knows what is missing,
    so each packet is passed on when it comes, and one that was overtaken counts as lost.
    """

    capacity: Final = 0

    def __init__(self) -> None:
        self._last: int | None = None

    def add(self, packet: Any) -> tuple[bool, JitterFrame | None]:
        """Whether to ask for a picture to begin with (never), and a frame to decode."""
        if self._last is not None and not uint16_gt(packet.sequence_number, self._last):
            return False, None
        self._last = packet.sequence_number
        return False, JitterFrame(data=packet._data, timestamp=packet.timestamp)


@define(eq=False)
class _Peer:
    """One connection."""

    connection: RTCPeerConnection
    name: str = field(factory=lambda: secrets.token_urlsafe(16))
    patience: asyncio.TimerHandle | None = None
    viewer: _Viewer | None = None
    closing: asyncio.Task[None] | None = None

    async def close(self) -> None:
        # What a stranger's offer has made of it may be such that it cannot even be closed.
        with suppress(Exception):
            await asyncio.wait_for(self.connection.close(), _CLOSES_WITHIN)


class _Track(MediaStreamTrack):
    """Packets for one who watches. ``asked`` is called when the first is asked for, which is once
    the connection stands."""

    def __init__(self, kind: str, asked: Callable[[], None]) -> None:
        super().__init__()
        self.kind = kind
        self._asked = asked
        self._packets: deque[av.Packet[Any]] = deque()
        self._came = asyncio.Event()

    @property
    def waiting(self) -> int:
        return len(self._packets)

    async def recv(self) -> av.Packet[Any]:
        self._asked()
        while not self._packets:
            self._came.clear()
            await self._came.wait()
        return self._packets.popleft()

    def put(self, packet: av.Packet[Any]) -> None:
        self._packets.append(packet)
        self._came.set()

    def drop(self) -> None:
        self._packets.clear()


class _Viewer:
    """What one who watches is sent: from a picture to begin with on, whole slices."""

    def __init__(self, kinds: Sequence[str], begun: Callable[[], None]) -> None:
        self.tracks = {kind: _Track(kind, self._asked) for kind in kinds}
        self.begun = False
        self.lost = True
        self._on_begin = begun

    def _asked(self) -> None:
        if not self.begun:
            self.begun = True
            self._on_begin()

    def show(self, packets: dict[str, av.Packet[Any]], *, key: bool) -> bool:
        """Whether it can go on without a picture to begin with."""
        if not self.begun:
            return True
        if any(track.waiting >= _WAITING for track in self.tracks.values()):
            self.lost = True
            for track in self.tracks.values():
                track.drop()
        if self.lost and not key and "video" in self.tracks:
            return False
        self.lost = False
        for kind, track in self.tracks.items():
            track.put(packets[kind])
        return True


class WebRtcPeers:
    """See ``ports.streams.Peers``.

    :param most_viewers: so many may watch.
    :param events: is told what happens.
    """

    def __init__(self, *, most_viewers: int, events: PeerEvents) -> None:
        hush()
        # What it warns of is another's packet that it could not read.
        logging.getLogger("aiortc").setLevel(logging.ERROR)
        self._most_viewers = most_viewers
        self._events = events
        self._peers: dict[str, _Peer] = {}
        self._speaking = False
        self._speaker: _Peer | None = None
        self._coming = 0
        self._watched = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._closings: set[asyncio.Task[None]] = set()

    # --- being heard ----------------------------------------------------------

    async def publish(self, offer: str) -> PeerAnswer:
        """Let a browser be heard; its pictures, if it offers any, are declined."""
        offered = _Offer(offer)
        if not offered.has("audio", "sendonly"):
            raise PeerRefused("unsupported", "The offer has no sound to send.")
        if self._speaking:
            raise PeerRefused(
                "taken", "Somebody is heard already: one browser at a time; try again when it left."
            )
        self._speaking = True
        peer: _Peer | None = None
        try:
            peer = self._connection()
            self._speaker = peer
            connection = peer.connection
            microphone = connection.addTransceiver("audio", direction="recvonly")
            microphone.setCodecPreferences(_codecs("audio", "audio/opus"))
            microphone.receiver._RTCRtpReceiver__jitter_buffer = _AtOnce()

            def on_track(track: MediaStreamTrack) -> None:
                if track is microphone.receiver.track:
                    self._start(self._hear(peer, track))

            connection.on("track", on_track)
            await self._answer(peer, offered, {"audio": "recvonly"})
        except BaseException:
            if peer is None:
                self._speaking = False
            else:
                await self._end(peer)
            raise
        answer = self._joined(peer)
        return evolve(answer, sdp=_asking(answer.sdp))

    async def _hear(self, peer: _Peer, track: MediaStreamTrack) -> None:
        """Pass on what ``track`` brings, to its end."""
        begun = False
        try:
            with suppress(MediaStreamError, TimeoutError):
                while True:
                    wait = _SPEAKS_WITHIN if begun else _CONNECTS_WITHIN + _SPEAKS_WITHIN
                    frame: Any = await asyncio.wait_for(track.recv(), wait)
                    if self._speaker is not peer:
                        return
                    if not begun:
                        begun = True
                        self._events.silent()
                    self._events.heard(frame.pts, _mono(frame))
        finally:  # whatever it was: the one place must not stay taken
            await self._end(peer)

    # --- watching -------------------------------------------------------------

    async def view(self, offer: str) -> PeerAnswer:
        """Let a browser watch: picture and sound, or what of them it offers to take."""
        offered = _Offer(offer)
        kinds = [kind for kind in ("audio", "video") if offered.has(kind, "recvonly")]
        if not kinds:
            raise PeerRefused("unsupported", "The offer takes neither sound nor pictures.")
        if self._coming + self._viewers() >= self._most_viewers:
            raise PeerRefused(
                "full",
                f"{self._most_viewers} browsers watch already (service.max_viewers is the limit).",
            )
        self._coming += 1
        peer: _Peer | None = None
        try:
            peer = self._connection()
            peer.viewer = _Viewer(kinds, self._began)
            wanted = {"audio": "audio/opus", "video": "video/H264"}
            for kind, track in peer.viewer.tracks.items():
                way = peer.connection.addTransceiver(track, direction="sendonly")
                way.setCodecPreferences(_codecs(kind, wanted[kind]))
                if kind == "video":
                    # Packets that are made already: for a new picture to begin with, the encoder is
                    # to be asked, and not aiortc's.
                    setattr(way.sender, "_send_keyframe", self._events.key_wanted)  # noqa: B010
            await self._answer(peer, offered, dict.fromkeys(kinds, "sendonly"))
            return self._joined(peer)
        except BaseException:
            if peer is not None:
                await self._end(peer)
            raise
        finally:
            self._coming -= 1

    def _viewers(self) -> int:
        return sum(peer.viewer is not None for peer in self._peers.values())

    def _began(self) -> None:
        self._look()
        self._events.key_wanted()

    def _look(self) -> None:
        """Tell whether anybody watches, if that has changed."""
        watched = any(peer.viewer and peer.viewer.begun for peer in self._peers.values())
        if watched != self._watched:
            self._watched = watched
            self._events.watched(watched)

    def show(self, encoded: Encoded) -> None:
        """Send the next slice to all who watch."""
        packets = {
            "audio": _packet(encoded.sound, encoded.slot * SLICE_SAMPLES, PLAYOUT_RATE_HZ),
            "video": _packet(
                encoded.picture, encoded.slot * _VIDEO_CLOCK // FRAME_RATE, _VIDEO_CLOCK
            ),
        }
        well = [
            peer.viewer.show(packets, key=encoded.key)
            for peer in self._peers.values()
            if peer.viewer is not None
        ]
        if not all(well):
            self._events.key_wanted()

    # --- connections ----------------------------------------------------------

    def _connection(self) -> _Peer:
        # Whichever part of an offer leads its bundle: only so does aiortc find it.
        configuration = RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_COMPAT)
        connection = RTCPeerConnection(configuration)
        peer = _Peer(connection=connection)

        def on_change() -> None:
            match connection.connectionState:
                case "connected" if peer.patience is not None:
                    peer.patience.cancel()
                case "failed" | "closed":
                    self._start(self._end(peer))

        connection.on("connectionstatechange", on_change)
        return peer

    async def _answer(self, peer: _Peer, offered: _Offer, ways: dict[str, str]) -> None:
        """Answer the offer: what ``ways`` names goes that way, all else is declined."""
        connection = peer.connection
        try:
            await connection.setRemoteDescription(RTCSessionDescription(offered.sdp, "offer"))
            taken = set()
            for transceiver in connection.getTransceivers():
                first = transceiver.kind not in taken
                taken.add(transceiver.kind)
                way = ways.get(transceiver.kind, "inactive") if first else "inactive"
                transceiver.direction = way
            _limit(connection.getTransceivers()[0])
            await connection.setLocalDescription(await connection.createAnswer())
        except Exception as error:  # what strangers write may raise anything
            raise PeerRefused(
                "unsupported",
                "The offer cannot be answered: what is needed is Opus for sound and H.264"
                " (constrained baseline, packetization mode 1) for pictures, in one bundle.",
            ) from error

    def _joined(self, peer: _Peer) -> PeerAnswer:
        loop = asyncio.get_running_loop()
        peer.patience = loop.call_later(_CONNECTS_WITHIN, self._start_ending, peer)
        self._peers[peer.name] = peer
        return PeerAnswer(peer=peer.name, sdp=peer.connection.localDescription.sdp)

    def _start_ending(self, peer: _Peer) -> None:
        self._start(self._end(peer))

    async def hang_up(self, peer: str) -> None:
        """End a connection."""
        if (there := self._peers.get(peer)) is None:
            raise PeerRefused("unknown", "There is no such connection, or not any more.")
        await self._end(there)

    async def _end(self, peer: _Peer) -> None:
        """End ``peer``'s connection; idempotent."""
        self._peers.pop(peer.name, None)
        if peer.patience is not None:
            peer.patience.cancel()
        if self._speaker is peer:
            self._speaker = None
            self._speaking = False
            self._events.silent()
        self._look()
        if peer.closing is None:
            # A task of its own: whoever is cancelled while aiortc closes a connection takes from
            # all others that wait for it, aiortc itself among them, what they wait for.
            peer.closing = asyncio.get_running_loop().create_task(peer.close())
            self._closings.add(peer.closing)
            peer.closing.add_done_callback(self._closings.discard)
        await asyncio.wait([peer.closing])

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all connections."""
        await asyncio.gather(*(self._end(peer) for peer in list(self._peers.values())))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._closings:
            await asyncio.wait(self._closings)


class _Offer:
    """An offer, looked through. ``sdp`` is without its candidates.

    :raises PeerRefused: it is none, or asks for what there is not.
    """

    def __init__(self, text: str) -> None:
        if not text.startswith("v=0"):
            raise PeerRefused("malformed", "This is no session description; send an SDP offer.")
        lines = [
            line
            for line in text.splitlines()
            if not line.startswith(("a=candidate:", "a=end-of-candidates"))
        ]
        if len(lines) > _MOST_LINES:
            raise PeerRefused("unsupported", f"The offer has more than {_MOST_LINES} lines.")
        self.sdp = "\r\n".join(lines) + "\r\n"
        try:
            self._description = SessionDescription.parse(self.sdp)
        except Exception as error:  # what strangers write may raise anything
            raise PeerRefused(
                "malformed", "This session description is not well formed; send an SDP offer."
            ) from error
        media = self._description.media
        if not media:
            raise PeerRefused("unsupported", "The offer has neither sound nor pictures.")
        if any(one.kind not in ("audio", "video") for one in media):
            raise PeerRefused("unsupported", "The offer has more than sound and pictures.")
        if len(media) > _MOST_PARTS:
            raise PeerRefused("unsupported", f"The offer has more than {_MOST_PARTS} parts.")
        names = [one.rtp.muxId for one in media]
        bundles = [group.items for group in self._description.group if group.semantic == "BUNDLE"]
        in_one = len(bundles) == 1 and sorted(bundles[0]) == sorted(names)
        if len(set(names)) < len(names) or not (in_one or (len(media) == 1 and not bundles)):
            raise PeerRefused("unsupported", "All parts of the offer must be in one bundle.")
        if not all(one.dtls and one.dtls.fingerprints and one.ice.password for one in media):
            raise PeerRefused("unsupported", "The offer says not how to make a safe connection.")

    def has(self, kind: str, direction: str) -> bool:
        """Whether it offers to send (``sendonly``) or to take (``recvonly``) ``kind``."""
        ways = (direction, "sendrecv")
        return any(
            one.kind == kind and (one.direction or "sendrecv") in ways
            for one in self._description.media
        )


def _limit(transceiver: Any) -> None:
    """Bound what waits to be looked at of what comes from the network."""
    ice_connection = transceiver.receiver.transport.transport._connection
    take: Callable[[bytes, int], None] = ice_connection.data_received

    def take_some(data: bytes, component: int) -> None:
        if ice_connection._queue.qsize() < _DATAGRAMS:
            take(data, component)

    ice_connection.data_received = take_some


def _asking(answer: str) -> str:
    """``answer``, with what is asked of Opus."""
    return re.sub(r"a=rtpmap:(\d+) opus/.*\r\n", rf"\g<0>a=fmtp:\1 {_ASKED_OF_OPUS}\r\n", answer)


def _codecs(kind: str, mime: str) -> list[Any]:
    """What aiortc knows of ``mime``, with what sends again what was lost."""
    capabilities = RTCRtpSender.getCapabilities(kind)
    wanted = (mime.lower(), f"{kind}/rtx")
    return [one for one in capabilities.codecs if one.mimeType.lower() in wanted]


def _packet(data: bytes, at: int, rate: int) -> av.Packet[Any]:
    packet: av.Packet[Any] = av.Packet(data)
    packet.pts = at
    packet.time_base = Fraction(1, rate)
    return packet


def _mono(frame: AudioFrame) -> bytes:
    """The mean of the channels: FFmpeg's own mix of two equal ones would be 3 dB too loud."""
    channels = len(frame.layout.channels)
    samples = frame.to_ndarray().reshape(-1, channels)
    mean = samples.sum(axis=1, dtype=np.int32) // channels
    return bytes(mean.astype(np.int16).tobytes())
