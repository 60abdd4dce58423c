"""Browsers are heard and watch, and one that misbehaves costs nobody else anything."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("aiortc")

from aioice import ice
from fakes import streams
from fakes.browsers import Browser, Events, Tone, browser

from maestra.adapters.streams import webrtc
from maestra.adapters.streams.packets import PacketEncoder
from maestra.adapters.streams.webrtc import WebRtcPeers, gather_on
from maestra.ports.errors import PeerRefused
from maestra.ports.streams import Encoded

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """For this test, and not for those that come after it."""
    monkeypatch.setattr(ice, "get_host_addresses", ice.get_host_addresses)
    gather_on(lambda: ["127.0.0.1"])


@pytest.fixture
async def peers(events: Events) -> AsyncIterator[WebRtcPeers]:
    made = WebRtcPeers(most_viewers=3, events=events)
    yield made
    await made.close()


async def until(condition: Callable[[], object], *, within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 (a connection does not tell)
            await asyncio.sleep(0.01)


def sockets() -> int:
    """How many this process has open."""
    gc.collect()
    found = 0
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # which the list itself was read by
            found += "socket" in str(path.readlink())
    return found


def slices(count: int, first: int = 0, key: bool = False) -> list[Encoded]:
    """Black silence, but for a flash and a click in one slot of every second."""
    encoder = PacketEncoder(width=streams.SIZE, height=streams.SIZE, bit_rate=500_000)
    size = streams.SIZE
    made = []
    for slot, sound, picture in streams.slices(count, first):
        i420 = np.full((size * 3 // 2, size), 128, np.uint8)
        i420[:size] = picture[:, :, 0]
        pcm = (sound * 32767).astype(np.int16).tobytes()
        made.append(encoder.encode(slot, pcm, i420, key=key))
    return made


async def listening(peers: WebRtcPeers, one: Browser) -> str:
    answer = await peers.publish(await one.offer())
    await one.take(answer)
    await one.reaches("connected")
    return answer.peer


async def watching(peers: WebRtcPeers, one: Browser) -> str:
    answer = await peers.view(await one.offer())
    await one.take(answer)
    await one.reaches("connected")
    return answer.peer


# --- being heard ----------------------------------------------------------------


async def test_what_sounds_before_a_browser_is_heard_as_it_is(
    peers: WebRtcPeers, events: Events
) -> None:
    async with browser(microphone=Tone(440.0)) as one:
        await listening(peers, one)
        await until(lambda: len(events.sound) >= 40)
    numbers = [at for at, _ in events.sound]
    assert numbers == list(range(0, 960 * len(numbers), 960))
    sound = np.frombuffer(b"".join(piece for _, piece in events.sound), np.int16) / 32768
    assert len(sound) == 960 * len(numbers)
    assert streams.pitch_of(sound[9600:].astype(np.float32), 48_000) == pytest.approx(440, abs=2)
    assert streams.level_of(sound.astype(np.float32)) == pytest.approx(0.5, abs=0.05)
    assert events.told[0] == "silent"  # so that the ingest begins anew


async def test_a_browser_that_leaves_makes_room_for_the_next(
    peers: WebRtcPeers, events: Events
) -> None:
    for told in (2, 4):
        async with browser(microphone=Tone(pace=4)) as one:
            await listening(peers, one)
            await until(lambda: events.sound)
        await until(lambda told=told: events.told.count("silent") == told)  # type: ignore[misc]
        events.sound.clear()


async def test_a_fault_in_hearing_one_makes_room_for_the_next(
    peers: WebRtcPeers, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: told.append(context.get("exception")))
    async with browser(microphone=Tone()) as one:
        with monkeypatch.context() as broken:
            broken.setattr(webrtc, "_mono", lambda frame: 1 / 0)
            await one.take(await peers.publish(await one.offer()))
            await until(lambda: events.told.count("silent") == 2)
    async with browser(microphone=Tone()) as two:
        await listening(peers, two)
        await until(lambda: events.sound)
    gc.collect()
    loop.set_exception_handler(before)
    assert [type(one) for one in told] == [ZeroDivisionError]  # it is no secret


async def test_as_much_is_asked_of_a_microphone_as_music_needs(peers: WebRtcPeers) -> None:
    async with browser(microphone=Tone()) as one:
        answer = await peers.publish(await one.offer())
    (number,) = re.findall(r"a=rtpmap:(\d+) opus/48000/2\r\n", answer.sdp)
    assert re.findall(rf"a=fmtp:{number} .*maxaveragebitrate=128000", answer.sdp)


async def test_pictures_of_the_one_who_is_heard_are_declined(
    peers: WebRtcPeers, events: Events
) -> None:
    async with browser(microphone=Tone(), camera=True) as one:
        answer = await peers.publish(await one.offer())
        await one.take(answer)
        assert answer.sdp.count("a=inactive") == 1 == answer.sdp.count("a=recvonly")
        await until(lambda: events.sound)


async def test_sound_is_passed_on_at_once_and_a_lost_packet_holds_nothing_up() -> None:
    class Packet:
        def __init__(self, number: int) -> None:
            self.sequence_number = number & 0xFFFF
            self.timestamp = number * 960
            self._data = bytes([number & 0xFF])

    buffer = webrtc._AtOnce()
    order = [65_533, 65_534, 65_536, 65_535, 65_537, 65_537, 65_541]  # over the end of the numbers
    passed = [buffer.add(Packet(number))[1] for number in order]

    assert [frame and frame.timestamp // 960 for frame in passed] == [
        65_533,
        65_534,
        65_536,
        None,  # was overtaken
        65_537,
        None,  # came twice
        65_541,
    ]


async def test_sound_is_heard_soon_after_it_was_sent(peers: WebRtcPeers, events: Events) -> None:
    """aiortc's own jitter buffer would hold back 80 ms of it."""
    async with browser(microphone=Tone()) as one:
        await listening(peers, one)
        receivers = [
            way.receiver
            for peer in peers._peers.values()
            for way in peer.connection.getTransceivers()
        ]
        assert receivers
        for receiver in receivers:
            assert isinstance(receiver._RTCRtpReceiver__jitter_buffer, webrtc._AtOnce)
        await until(lambda: events.sound)


async def test_who_says_nothing_at_all_is_heard_no_longer(
    peers: WebRtcPeers, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with browser(microphone=Tone()) as one:
        await listening(peers, one)
        await until(lambda: len(events.sound) > 5)
        monkeypatch.setattr(webrtc, "_SPEAKS_WITHIN", 0.3)
        heard = len(events.sound)
        await until(lambda: len(events.sound) > heard)  # what is waited for by then goes by it
        one.vanish()
        await until(lambda: events.told.count("silent") == 2, within=5)
    async with browser(microphone=Tone()) as another:
        await listening(peers, another)


# --- watching -------------------------------------------------------------------


@pytest.mark.parametrize(
    "kinds", [("video", "audio"), ("audio", "video"), ("video",), ("audio",)], ids="-".join
)
async def test_a_browser_sees_and_hears_what_is_shown(
    peers: WebRtcPeers, events: Events, kinds: tuple[str, ...]
) -> None:
    async with browser(watches=kinds) as one:
        await watching(peers, one)
        await until(lambda: "watched" in events.told)
        for encoded in slices(30, first=25):
            peers.show(encoded)
            await asyncio.sleep(0.005)
        if "video" in kinds:
            await until(lambda: len(one.seen) >= 28)  # aiortc shows a picture once the next comes
            flashes = [number for number, (_, light) in enumerate(one.seen) if light > 128]
            assert flashes == [streams.BEAT]
        else:
            assert not one.seen
        if "audio" in kinds:
            await until(lambda: len(one.heard) >= 25)
            loud = [at for at, sound in one.heard if np.abs(sound).max() > 0.2]
            begun = one.heard[0][0]
            # Opus looks ahead by 6.5 ms.
            assert loud[0] - begun == pytest.approx(streams.BEAT / 25, abs=0.04)
        else:
            assert not one.heard
    await until(lambda: events.told[-1] == "unwatched")


async def test_picture_and_sound_of_a_slice_have_the_same_time() -> None:
    for encoded in slices(3, first=90_001):
        sound = webrtc._packet(encoded.sound, encoded.slot * 1920, 48_000)
        picture = webrtc._packet(encoded.picture, encoded.slot * 90_000 // 25, 90_000)
        assert sound.pts is not None and picture.pts is not None
        assert sound.pts * sound.time_base == picture.pts * picture.time_base


async def test_who_comes_late_begins_with_a_whole_picture(
    peers: WebRtcPeers, events: Events
) -> None:
    shown = slices(40)
    assert [encoded.slot for encoded in shown if encoded.key] == [0]
    async with browser(watches=("video", "audio")) as one:
        await watching(peers, one)
        await until(lambda: "key" in events.told)
        events.told.clear()
        for encoded in shown[5:10]:
            peers.show(encoded)
        assert events.told.count("key") == 5  # nothing can be shown yet
        viewer = next(iter(peers._peers.values())).viewer
        assert viewer is not None and not any(track.waiting for track in viewer.tracks.values())
        for encoded in slices(5, first=100, key=True):
            peers.show(encoded)
        await until(lambda: one.seen)


async def test_one_who_has_lost_a_picture_gets_a_whole_one(
    peers: WebRtcPeers, events: Events
) -> None:
    async with browser(watches=("video",)) as one:
        await watching(peers, one)
        await until(lambda: "key" in events.told)
        for encoded in slices(5):
            peers.show(encoded)
        await until(lambda: one.seen)
        events.told.clear()
        receiver = one.connection.getTransceivers()[0].receiver
        for source in receiver.getSynchronizationSources():
            await receiver._send_rtcp_pli(source.source)
        await until(lambda: "key" in events.told)


async def test_one_who_is_too_slow_loses_what_is_old(peers: WebRtcPeers, events: Events) -> None:
    async with browser(watches=("video", "audio")) as one:
        await watching(peers, one)
        await until(lambda: "watched" in events.told)
        viewer = next(iter(peers._peers.values())).viewer
        assert viewer is not None
        for encoded in slices(60):  # at once: the connection has no time to send any
            peers.show(encoded)
            assert all(track.waiting <= webrtc._WAITING for track in viewer.tracks.values())
        waiting = {track.waiting for track in viewer.tracks.values()}
        assert len(waiting) == 1  # whole slices
        assert "key" in events.told


# --- offers that are none --------------------------------------------------------


@pytest.fixture
async def offer(anyio_backend: str) -> str:
    async with browser(microphone=Tone(), camera=True) as one:
        return await one.offer()


def without(offer: str, line: str) -> str:
    return re.sub(rf"^{line}.*\r\n", "", offer, flags=re.MULTILINE)


_BAD: dict[str, Callable[[str], str]] = {
    "no fingerprint": lambda offer: without(offer, "a=fingerprint"),
    "no fingerprint's role": lambda offer: without(offer, "a=setup"),
    "no user": lambda offer: without(offer, "a=ice-ufrag"),
    "no password": lambda offer: without(offer, "a=ice-pwd"),
    "no bundle": lambda offer: without(offer, "a=group"),
    "a bundle of others": lambda offer: offer.replace("BUNDLE 0 1", "BUNDLE 7 8"),
    "a bundle led by nobody": lambda offer: offer.replace("BUNDLE 0 1", "BUNDLE 7 0 1"),
    "no names": lambda offer: without(offer, "a=mid"),
    "one name for both": lambda offer: offer.replace("a=mid:1", "a=mid:0"),
    "no multiplexing": lambda offer: without(offer, "a=rtcp-mux"),
    "no Opus": lambda offer: offer.replace("opus", "speex").replace("PCM", "GSM"),
    "no codec": lambda offer: without(offer, "a=rtpmap"),
    "no number": lambda offer: offer.replace("a=rtpmap:96", "a=rtpmap:many"),
    "a data channel": lambda offer: (
        offer.replace("BUNDLE 0 1", "BUNDLE 0 1 2")
        + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n"
    ),
    "too many parts": lambda offer: offer + offer[offer.index("m=audio") :] * 8,
    "half of it": lambda offer: offer[: len(offer) // 3],
    "nulls": lambda offer: offer.replace("a=mid", "\0=mid"),
    "long": lambda offer: offer + "a=rtcp-fb:* nack\r\n" * 3000,
}
_ALWAYS = set(_BAD) - {"no names", "half of it", "nulls"}
"""What no part of can be answered."""


async def test_an_offer_that_is_none_is_refused_and_leaves_nothing(
    peers: WebRtcPeers, offer: str
) -> None:
    before = sockets()
    for name, spoil in _BAD.items():
        begun = time.monotonic()
        refused = 0
        for text in (spoil(offer), spoil(offer.replace("a=sendonly", "a=recvonly"))):
            for answer in (peers.publish, peers.view):
                try:
                    named = await answer(text)
                except PeerRefused as error:
                    assert error.reason in ("malformed", "unsupported"), name
                    refused += 1
                else:
                    await peers.hang_up(named.peer)
        # Each way round, one of the two is none in any case.
        assert refused == 4 if name in _ALWAYS else refused >= 2, name
        assert time.monotonic() - begun < 2, name
        assert not peers._peers and not peers._speaking, name
    assert sockets() <= before


async def test_whatever_is_sent_in_an_offer_s_place_is_answered_or_refused(
    peers: WebRtcPeers, offer: str
) -> None:
    """Offers with lines left out, doubled, swapped and mangled; nothing else is ever raised."""
    chance = random.Random(7)
    before = sockets()
    answered = 0
    for _ in range(40):
        lines = offer.split("\r\n")
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(lines))
            match chance.randrange(4):
                case 0:
                    del lines[at]
                case 1:
                    lines.insert(at, chance.choice(lines))
                case 2:
                    other = chance.randrange(len(lines))
                    lines[at], lines[other] = lines[other], lines[at]
                case _:
                    lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
        try:
            named = await peers.publish("\r\n".join(lines))
        except PeerRefused:
            continue
        answered += 1
        await peers.hang_up(named.peer)
    assert answered
    assert sockets() <= before


# --- those who do not come, and those who go ------------------------------------


async def test_one_who_never_comes_is_waited_for_only_so_long(
    peers: WebRtcPeers, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webrtc, "_CONNECTS_WITHIN", 1.0)
    before = sockets()
    async with browser(microphone=Tone()) as speaker, browser(watches=("video",)) as viewer:
        heard = await peers.publish(await speaker.offer())
        await peers.view(await viewer.offer())
        assert len(peers._peers) == 2
        await until(lambda: not peers._peers)
        with pytest.raises(PeerRefused):
            await peers.hang_up(heard.peer)
        await peers.publish(await speaker.offer())  # the place is free
    await peers.close()
    await until(lambda: sockets() <= before)


async def test_a_viewer_who_vanished_is_let_go(
    peers: WebRtcPeers, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ice, "CONSENT_INTERVAL", 0.05)
    monkeypatch.setattr(ice, "CONSENT_FAILURES", 1)
    async with browser(watches=("video",)) as one:
        await watching(peers, one)
        await until(lambda: "watched" in events.told)
        one.vanish()
        await until(lambda: not peers._peers, within=5)
        assert events.told[-1] == "unwatched"


async def test_a_flood_of_datagrams_is_not_kept(peers: WebRtcPeers) -> None:
    async with browser(microphone=Tone()) as one:
        await peers.publish(await one.offer())
        (peer,) = peers._peers.values()
        connection = peer.connection.getTransceivers()[0].receiver.transport.transport._connection
        for _ in range(5 * webrtc._DATAGRAMS):
            connection.data_received(b"\x80" * 1200, 1)
        assert connection._queue.qsize() == webrtc._DATAGRAMS


async def test_after_closing_there_is_no_thread_no_socket_and_no_task(events: Events) -> None:
    before = sockets()
    tasks = len(asyncio.all_tasks())
    made = WebRtcPeers(most_viewers=3, events=events)
    async with (
        browser(microphone=Tone()) as speaker,
        browser(watches=("video", "audio")) as viewer,
        browser(watches=("audio",)) as never,
    ):
        await listening(made, speaker)
        await watching(made, viewer)
        await made.view(await never.offer())
        await until(lambda: events.sound and "watched" in events.told)
        await made.close()
        await speaker.reaches("closed")
        await viewer.reaches("closed")
    await until(lambda: len(asyncio.all_tasks()) <= tasks, within=3)
    await until(lambda: sockets() <= before, within=3)
    assert not [one for one in threading.enumerate() if "decoder" in one.name]


async def test_closing_while_browsers_leave_is_no_fault() -> None:
    """aiortc closes the connections meanwhile, too, and its own tasks must not be failed by it."""
    told: list[object] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: told.append(context.get("exception")))
    for _ in range(3):
        made = WebRtcPeers(most_viewers=3, events=Events())
        async with (
            browser(microphone=Tone()) as speaker,
            browser(watches=("video",)) as viewer,
        ):
            await listening(made, speaker)
            await watching(made, viewer)
        await made.close()
        assert not made._closings
    gc.collect()
    loop.set_exception_handler(before)
    assert not told
