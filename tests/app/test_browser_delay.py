"""How much later a browser shows and sounds what is played, and how much later the ingest has what
a browser sends: real workers, real Chromium, marks at known instants.

``pytest -m slow tests/app/test_browser_delay.py -s`` prints the figures. The clock is the machine's
own for both. *Picture*: from the slot's own time until the frame is due on the screen
(``requestVideoFrameCallback``). *Sound*: until its first sample passes through the page's audio
graph. Neither has the delay of a screen or of a loudspeaker in it. *Microphone*: from a sample's
being made in the page's audio graph until the ingest is handed it; nor is that of a sound device.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
import pytest
from attrs import evolve

pytest.importorskip("aiortc")

from fakes.browser_page import chromium, chromium_complaint, microphone_wav, page_of

from maestra.app.browsers import Browsers
from maestra.app.config import Config
from maestra.app.messages import Begin, Hello, Rewind, Slice, SlotTaken, Started, Stop
from maestra.app.workers import Worker, pipe
from maestra.app.workers.playout import PlayoutSettings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.realtime,
    pytest.mark.anyio,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(chromium_complaint()), reason=chromium_complaint()),
]

SIZE = 512
EVERY = 20
"""Slots between two marks."""
MARKS = 60
SETTLING = 8
"""Marks that are not counted: a browser finds out how much it must hold back."""
MUST = 0.3

_PAGE = """
async () => {
  window.seen = []; window.heard = []; window.spoken = [];
  const epoch = (at) => performance.timeOrigin + at;
  const video = document.getElementById('v');
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 8;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  let light = false;
  const look = (now, frame) => {
    context.drawImage(video, 0, 0, 8, 8);
    const is = context.getImageData(4, 4, 1, 1).data[0] > 128;
    if (is && !light) seen.push(epoch(frame.expectedDisplayTime));
    light = is;
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  const audio = new AudioContext({ latencyHint: 'interactive', sampleRate: 48000 });
  const worklet = `registerProcessor('onsets', class extends AudioWorkletProcessor {
    constructor() { super(); this.quiet = 48000; }
    process([[sound]]) {
      for (let i = 0; sound && i < sound.length; i++) {
        if (Math.abs(sound[i]) > 0.1) {
          if (this.quiet > 9600) this.port.postMessage(Date.now() + i / 48);
          this.quiet = 0;
        } else this.quiet++;
      }
      return true;
    }
  });`;
  const clicks = `registerProcessor('clicks', class extends AudioWorkletProcessor {
    process(_, [[sound]]) {
      for (let i = 0; i < sound.length; i++) {
        const at = (currentFrame + i) % 38400;
        if (at === 0) this.port.postMessage(Date.now() + i / 48);
        sound[i] = at < 960 ? 0.8 * Math.cos(at * 2 * Math.PI * 700 / 48000) : 0;
      }
      return true;
    }
  });`;
  await audio.audioWorklet.addModule('data:text/javascript,' + encodeURIComponent(clicks));
  await audio.audioWorklet.addModule('data:text/javascript,' + encodeURIComponent(worklet));
  window.listen = (stream, onsets) => {
    const ear = new AudioWorkletNode(audio, 'onsets');
    ear.port.onmessage = ({ data }) => onsets.push(data);
    audio.createMediaStreamSource(stream).connect(ear);
  };
  window.clicking = () => {
    const voice = new AudioWorkletNode(audio, 'clicks', { numberOfInputs: 0 });
    voice.port.onmessage = ({ data }) => spoken.push(data);
    const out = new MediaStreamAudioDestinationNode(audio, { channelCount: 1 });
    voice.connect(out);
    return out.stream;
  };
}
"""


def _slice(slot: int) -> Slice:
    """Black and silent; every ``EVERY``-th is a reply of its own, white and loud."""
    mark = slot % EVERY == 0
    picture = bytes([235 if mark else 16]) * (SIZE * SIZE) + bytes([128]) * (SIZE * SIZE // 2)
    sound = np.zeros(1920, np.int16)
    sound[:960] = 24_000 * np.cos(2 * np.pi * 1000 * np.arange(960) / 48_000)
    return Slice(
        slot=slot,
        epoch=slot // EVERY + 1 if mark else 0,
        sound=sound.tobytes() if mark else None,
        picture=picture,
        last=mark,
    )


def _speak(slices: Connection, stopping: threading.Event) -> None:
    """The speaker's part: always half a second ahead."""
    slot = 0
    taken = -1
    with contextlib.suppress(EOFError, OSError):
        while not stopping.is_set():
            while slot <= taken + 12:
                slices.send(_slice(slot))
                slot += 1
            match slices.recv():
                case SlotTaken(slot=last):
                    taken = last
                case Rewind(slot=again):
                    slot = again
                case _:
                    pass


def _hear(microphone: Connection, arrived: list[float]) -> None:
    """The ingest's part: when clicks arrive, on the wall clock (s)."""
    quiet = 48_000
    with contextlib.suppress(EOFError, OSError):
        while True:
            piece = microphone.recv_bytes()
            now = time.time()
            sound = np.abs(np.frombuffer(piece, np.int16, offset=8).astype(np.int32))
            if len(sound) and sound.max() > 3277:
                if quiet > 9600:
                    arrived.append(now)
                quiet = 0
            else:
                quiet += len(sound)


def _delays(begun: Sequence[float], ended: Sequence[float]) -> list[float]:
    """Each ended instant minus the last that began before it; none twice."""
    found = []
    for end in ended:
        before = [begin for begin in begun if begin <= end]
        if before:
            found.append(end - before[-1])
    return found


def _told(name: str, delays: list[float]) -> float:
    ordered = sorted(delays)
    p95 = ordered[round(0.95 * (len(ordered) - 1))]
    print(
        f"{name}: p50 {1000 * statistics.median(ordered):.0f} ms, p95 {1000 * p95:.0f} ms,"
        f" worst {1000 * ordered[-1]:.0f} ms, n {len(ordered)}"
    )
    return p95


async def _note_starts(playout: Worker, started: list[int]) -> None:
    """In which slot each mark was played; it would be a later one if it came too late."""
    while messages := await playout.receive():
        started += [message.slot for message in messages if isinstance(message, Started)]


class _Ingest:
    def __init__(self) -> None:
        self.end: Connection | None = None

    def hand(self, message: object, end: Connection) -> None:
        self.end = end


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_what_is_played_is_seen_and_heard_within_300_ms(tmp_path: Path) -> None:
    default = Config()
    config = evolve(default, face=evolve(default.face, size=SIZE))
    wav = microphone_wav(tmp_path / "silence.wav", silence_after=1.0)
    to_playout, speaker = pipe()
    playout = Worker(
        "playout", PlayoutSettings(config=config, url=None), pipes=(to_playout,)
    ).__enter__()
    playout.listen()
    ingest = _Ingest()
    workers: dict[str, Any] = {"playout": playout, "ingest": ingest}
    ours = Browsers(config, workers, lambda failed: print(failed))
    ours.open_microphone()
    assert ingest.end is not None
    stopping = threading.Event()
    arrived: list[float] = []
    started: list[int] = []
    for body, arguments in ((_speak, (speaker, stopping)), (_hear, (ingest.end, arrived))):
        threading.Thread(target=body, args=arguments, daemon=True).start()
    assert isinstance((await playout.receive())[0], Hello)
    anchor, wall = time.monotonic() + 0.5, time.time() + 0.5
    playout.send(Begin(anchor=anchor))
    try:
        async with anyio.create_task_group() as tasks:

            def ask(way: Any, offer: str) -> list[str]:
                answer = anyio.from_thread.run(ours.connect, way, offer, tasks)
                return [answer.peer, answer.sdp]

            tasks.start_soon(_note_starts, playout, started)
            seconds = MARKS * EVERY / 25
            found = await anyio.to_thread.run_sync(_browse, ask, wav, seconds)
            ours.close()
            for name in ("browsers", "playout"):
                workers[name].stop()
            tasks.cancel_scope.cancel()
    finally:
        stopping.set()
        playout.send(Stop())
        for name in ("browsers", "playout"):
            if name in workers:
                await anyio.to_thread.run_sync(workers[name].join)
        speaker.close()
        ingest.end.close()

    marks = [wall + slot / 25 for slot in started]
    print(f"\nload {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    pictures = _delays(marks, found["seen"][SETTLING:])
    sounds = _delays(marks, found["heard"][SETTLING:])
    microphone = _delays(found["spoken"], arrived[SETTLING:])
    offsets = [sound - picture for picture, sound in zip(pictures, sounds, strict=False)]
    assert min(len(pictures), len(sounds), len(microphone)) >= MARKS - 2 * SETTLING
    worst = [_told("picture", pictures), _told("sound", sounds), _told("microphone", microphone)]
    _told("sound minus picture", offsets)
    print({kind: round(1000 * value) for kind, value in found["held"].items()}, "ms held back")
    assert max(worst) <= MUST


def _browse(ask: Callable[[Any, str], list[str]], wav: Path, seconds: float) -> dict[str, Any]:
    """What a page saw and heard, and when what sounded before its microphone did (s)."""
    address = "http://localhost:9"
    with chromium(wav) as browser:
        context = browser.new_context()

        def answer(route: Any) -> None:
            way = route.request.url.rpartition("/")[2]
            peer, sdp = ask(way, route.request.post_data)
            route.fulfill(
                status=201,
                content_type="application/sdp",
                headers={"Location": f"/{way}/{peer}"},
                body=sdp,
            )

        context.route(f"{address}/session/*", answer)
        page = page_of(context, address)
        page.evaluate(_PAGE)
        page.evaluate(
            """async () => {
              const video = document.getElementById('v');
              window.player = await webrtc.play('/session/whep', video);
              listen(video.srcObject, heard);
              window.microphone = await webrtc.publish('/session/whip', clicking());
            }"""
        )
        page.wait_for_timeout(1000 * (seconds + 2))
        found: dict[str, Any] = page.evaluate(
            """async () => {
              const held = {};
              for (const one of (await player.peer.getStats()).values())
                if (one.type === 'inbound-rtp')
                  held[one.kind] = one.jitterBufferDelay / one.jitterBufferEmittedCount;
              return { seen, heard, spoken, held };
            }"""
        )
        assert not page.complaints
    for name in ("seen", "heard", "spoken"):
        found[name] = [at / 1000 for at in found[name]]
    return found
