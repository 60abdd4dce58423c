"""What answers browsers promises (``ports.streams``), kept by the fakes and by the real ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

pytest.importorskip("aiortc")

from aioice import ice
from fakes.browsers import Events, FakePeers, FakeSliceEncoder, Tone, browser

from maestra.adapters.streams.packets import PacketEncoder
from maestra.adapters.streams.webrtc import WebRtcPeers, gather_on
from maestra.ports.audio import SLICE_SAMPLES
from maestra.ports.errors import PeerRefused
from maestra.ports.streams import Peers, SliceEncoder

pytestmark = pytest.mark.anyio

SIZE = 128


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# --- slices ---------------------------------------------------------------------


@pytest.fixture(
    params=[
        FakeSliceEncoder,
        lambda: PacketEncoder(width=SIZE, height=SIZE, bit_rate=500_000),
    ],
    ids=["fake", "packets"],
)
def encoder(request: pytest.FixtureRequest) -> SliceEncoder:
    build: Callable[[], SliceEncoder] = request.param
    return build()


def test_each_slice_is_one_picture_and_its_sound(encoder: SliceEncoder) -> None:
    picture = np.full((SIZE * 3 // 2, SIZE), 90, np.uint8)
    sound = np.zeros(SLICE_SAMPLES, np.int16).tobytes()
    for slot, shown, heard in [(7, None, None), (8, picture, sound), (9, None, sound)]:
        encoded = encoder.encode(slot, heard, shown, key=False)

        assert slot == encoded.slot
        assert encoded.picture and encoded.sound


def test_the_first_picture_can_be_begun_with_and_each_that_was_asked_for(
    encoder: SliceEncoder,
) -> None:
    keys = [encoder.encode(slot, None, None, key=slot == 3).key for slot in range(6)]

    assert [True, False, False, True, False, False] == keys


# --- peers ----------------------------------------------------------------------


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture(params=["fake", "webrtc"])
async def peers(
    request: pytest.FixtureRequest, events: Events, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Peers]:
    monkeypatch.setattr(ice, "get_host_addresses", ice.get_host_addresses)  # as it was, afterwards
    gather_on(lambda: ["127.0.0.1"])
    kind = FakePeers if request.param == "fake" else WebRtcPeers
    made: Peers = kind(most_viewers=2, events=events)
    yield made
    await made.close()


async def speaks() -> str:
    async with browser(microphone=Tone()) as one:
        return await one.offer()


async def watches() -> str:
    async with browser(watches=("video", "audio")) as one:
        return await one.offer()


async def test_one_is_heard_and_then_the_next(peers: Peers, events: Events) -> None:
    first = await peers.publish(await speaks())
    assert first.sdp.startswith("v=0")
    with pytest.raises(PeerRefused) as caught:
        await peers.publish(await speaks())
    assert "taken" == caught.value.reason
    await peers.hang_up(first.peer)
    assert "silent" == events.told[-1]
    second = await peers.publish(await speaks())

    assert first.peer != second.peer


async def test_so_many_may_watch_and_another_once_one_has_gone(peers: Peers) -> None:
    first = await peers.view(await watches())
    await peers.view(await watches())
    with pytest.raises(PeerRefused) as caught:
        await peers.view(await watches())
    assert "full" == caught.value.reason
    await peers.publish(await speaks())  # whose place is another
    await peers.hang_up(first.peer)

    await peers.view(await watches())


async def test_what_is_no_offer_or_asks_for_something_else_is_refused(peers: Peers) -> None:
    for offer, reason in [
        ("", "malformed"),
        ("hello", "malformed"),
        ("m=audio", "malformed"),
        ("v=0\r\n", "unsupported"),
    ]:
        for answer in (peers.publish, peers.view):
            with pytest.raises(PeerRefused) as caught:
                await answer(offer)
            assert reason == caught.value.reason, offer
    with pytest.raises(PeerRefused) as caught:
        await peers.publish(await watches())
    assert "unsupported" == caught.value.reason
    with pytest.raises(PeerRefused) as caught:
        await peers.view(await speaks())
    assert "unsupported" == caught.value.reason

    await peers.publish(await speaks())  # no place was lost
    await peers.view(await watches())
    await peers.view(await watches())


async def test_one_that_is_not_there_cannot_be_ended(peers: Peers) -> None:
    gone = await peers.view(await watches())
    await peers.hang_up(gone.peer)
    for name in ("", "nobody", gone.peer):
        with pytest.raises(PeerRefused) as caught:
            await peers.hang_up(name)

        assert "unknown" == caught.value.reason


async def test_closing_ends_all(peers: Peers, events: Events) -> None:
    speaker = await peers.publish(await speaks())
    viewer = await peers.view(await watches())
    await peers.close()

    for one in (speaker, viewer):
        with pytest.raises(PeerRefused):
            await peers.hang_up(one.peer)
    assert "silent" in events.told
    assert events.told.count("watched") == events.told.count("unwatched")
