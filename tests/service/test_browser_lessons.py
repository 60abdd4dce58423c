"""Real Chromium in a real lesson, by the console's own module: one is heard and sees the teacher
answer; the worker that serves it is killed; the session ends while it watches."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("faster_whisper")
pytest.importorskip("piper")
pytest.importorskip("torch")
pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")
pytest.importorskip("aiortc")

import httpx
from fakes.browser_page import chromium, chromium_complaint, microphone_wav, page_of
from fakes.service import TOKEN, Served, events, served, status

LINES = Path(__file__).parents[1] / "data" / "lines"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.models,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(chromium_complaint()), reason=chromium_complaint()),
]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    settings = ("max_sessions=2", "drain=0", "voice.timeout=20", "face.timeout=20")
    with served(tmp_path, *settings) as one:
        yield one


@pytest.fixture
def http(service: Served) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=service.address, headers=headers, timeout=90) as client:
        yield client


def start(http: httpx.Client) -> tuple[str, dict[str, str]]:
    """A session between browsers that runs: its id and its links."""
    answer = http.post(
        "/session/start", json={"rtmp_ingest_url": "whip:", "rtmp_publish_url": "whep:"}
    )
    assert answer.status_code == 201, answer.text
    begun = answer.json()
    session = begun["session_id"]
    soon(lambda: status(http, session), lambda now: now["state"] == "running", within=70)
    return session, begun["links"]


_PLAY = """
async ([url, token]) => {
  const headers = { Authorization: `Bearer ${token}` };
  window.player = await webrtc.play(url, document.getElementById('v'), headers);
  window.playerStates = [];
  player.onstate = (state) => playerStates.push(state);
}
"""

_SPEAK = """
async ([url, token]) => {
  const headers = { Authorization: `Bearer ${token}` };
  const stream = await navigator.mediaDevices.getUserMedia(webrtc.MICROPHONE);
  window.settings = stream.getAudioTracks()[0].getSettings();
  window.microphone = await webrtc.publish(url, stream, headers);
  window.microphoneStates = [];
  microphone.onstate = (state) => microphoneStates.push(state);
}
"""

_LOOK = """
async () => {
  const video = document.getElementById('v');
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 32;
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0, 32, 32);
  const pixels = Array.from(context.getImageData(0, 0, 32, 32).data).filter((_, i) => i % 4 < 3);
  const mean = pixels.reduce((a, b) => a + b, 0) / pixels.length;
  const spread = Math.sqrt(pixels.reduce((a, b) => a + (b - mean) ** 2, 0) / pixels.length);
  const found = { mean, spread, width: video.videoWidth, state: player.peer.connectionState };
  for (const one of (await player.peer.getStats()).values())
    if (one.type === 'inbound-rtp') found[one.kind] = {
      frames: one.framesDecoded ?? 0, energy: one.totalAudioEnergy ?? 0, lost: one.packetsLost,
      delay: one.jitterBufferDelay / one.jitterBufferEmittedCount };
  return found;
}
"""


def soon(look: Callable[[], Any], good: Callable[[Any], bool], *, within: float) -> Any:
    deadline = time.monotonic() + within
    while not good(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def workers(service: Served) -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process(service.process.pid).children(recursive=True)
    return found


def browsers_worker(service: Served) -> psutil.Process:
    return next(one for one in workers(service) if "browsers" in one.cmdline())


def test_chromium_asks_the_teacher_and_sees_her_answer(
    service: Served, http: httpx.Client, tmp_path: Path
) -> None:
    session, links = start(http)
    wav = microphone_wav(tmp_path / "student.wav", 6.0, LINES / "wake_031_s2.flac")
    with chromium(wav) as browser:
        page = page_of(browser, service.address)
        page.evaluate(_PLAY, [links["whep"], TOKEN])
        soon(lambda: page.evaluate(_LOOK), lambda seen: seen["state"] == "connected", within=20)
        seen = soon(
            lambda: page.evaluate(_LOOK),
            lambda seen: seen.get("video", {}).get("frames", 0) > 25,
            within=20,
        )
        assert seen["width"] == 512
        assert 20 < seen["mean"] < 235 and seen["spread"] > 10, seen  # a picture, and not black
        quiet = seen["audio"]["energy"]

        page.evaluate(_SPEAK, [links["whip"], TOKEN])
        assert page.evaluate("settings.echoCancellation") is True
        assert page.evaluate("settings.autoGainControl") is False
        # Another is told that somebody is heard already.
        refused = page.evaluate(
            """async ([url, token]) => {
              const headers = { Authorization: `Bearer ${token}` };
              const stream = await navigator.mediaDevices.getUserMedia(webrtc.MICROPHONE);
              try { await webrtc.publish(url, stream, headers); return null; }
              catch (error) { return [error.name, error.status, error.message]; }
            }""",
            [links["whip"], TOKEN],
        )
        assert refused[:2] == ["StreamError", 409] and "heard already" in refused[2]
        soon(lambda: status(http, session), lambda now: now["ingest"]["ok"], within=20)
        rates = page.evaluate(
            """async () => Array.from((await microphone.peer.getStats()).values())
              .filter((one) => one.type === 'outbound-rtp').map((one) => one.targetBitrate)"""
        )
        assert rates == [128_000]
        loud = soon(
            lambda: page.evaluate(_LOOK),
            lambda seen: seen["audio"]["energy"] > quiet + 0.02,
            within=40,
        )
        assert loud["video"]["frames"] > seen["video"]["frames"] + 25
        told = events(http, session, after=0, seconds=3)
        wakes = [one for one in told if one["type"] == "wake"]
        assert [one["phrase"] for one in wakes] == ["teacher, comment"]
        assert [one for one in told if one["type"] == "reply_started"]
        assert loud["audio"]["delay"] < 0.3 and loud["video"]["delay"] < 0.3

        # A page that goes says so.
        page.evaluate("Promise.all([microphone.close(), player.close()])")
        assert page.evaluate("playerStates.at(-1)") == "closed"
        soon(lambda: status(http, session), lambda now: not now["ingest"]["ok"], within=3)
        assert not page.complaints
    logged = service.logged()
    made = [one for one in logged if one.get("method") == "POST" and one.get("status") == 201]
    deleted = [one for one in logged if one.get("method") == "DELETE"]
    assert len(deleted) == len(made) - 1 >= 2  # one began the session
    # By then the connection's own goodbye may have been heard.
    assert {one["status"] for one in deleted} <= {200, 404}


def test_a_page_that_is_left_gives_its_places_back(
    service: Served, http: httpx.Client, tmp_path: Path
) -> None:
    _, links = start(http)
    with chromium(microphone_wav(tmp_path / "student.wav", 1.0)) as browser:
        page = page_of(browser, service.address)
        page.evaluate(_PLAY, [links["whep"], TOKEN])
        page.evaluate(_SPEAK, [links["whip"], TOKEN])
        page.goto("about:blank")
        soon(
            lambda: [one for one in service.logged() if one.get("method") == "DELETE"],
            lambda told: len(told) == 2 and {one["status"] for one in told} <= {200, 404},
            within=5,
        )


def test_the_lesson_goes_on_when_the_browsers_worker_is_killed(
    service: Served, http: httpx.Client, tmp_path: Path
) -> None:
    session, links = start(http)
    wav = microphone_wav(tmp_path / "student.wav", 6.0, LINES / "wake_031_s2.flac")
    with chromium(wav) as browser:
        page = page_of(browser, service.address)
        page.evaluate(_PLAY, [links["whep"], TOKEN])
        soon(
            lambda: page.evaluate(_LOOK),
            lambda seen: seen.get("video", {}).get("frames", 0) > 25,
            within=20,
        )
        begun = status(http, session)["last_event"]
        before = browsers_worker(service)
        os.kill(before.pid, signal.SIGKILL)
        time.sleep(3)
        told = events(http, session, after=begun, seconds=2)
        slices = [one for one in told if one["type"] == "slice"]
        assert len(slices) >= 3
        assert all(one["fps"] == 25.0 for one in slices), slices  # the lesson keeps every frame
        assert [one for one in told if one.get("error") == "WorkerDied"]

        # The next one that comes starts it anew: it sees, and it is heard.
        page.evaluate("player.close()")
        page.evaluate(_PLAY, [links["whep"], TOKEN])
        soon(
            lambda: page.evaluate(_LOOK),
            lambda seen: seen.get("video", {}).get("frames", 0) > 25,
            within=20,
        )
        page.evaluate(_SPEAK, [links["whip"], TOKEN])
        assert browsers_worker(service).pid != before.pid
        soon(
            lambda: events(http, session, after=begun, seconds=1.5),
            lambda told: any(one["type"] == "wake" for one in told),
            within=30,
        )


def test_on_a_machine_without_any_network_it_works_all_the_same(tmp_path: Path) -> None:
    """The first test, in a network of its own that has loopback only."""
    alone = ["unshare", "--net", "--map-root-user", "sh", "-c"]
    if subprocess.run([*alone, "ip link set lo up"], capture_output=True, check=False).returncode:
        pytest.skip("no network of its own can be made here (unshare, ip)")
    one = f"{Path(__file__)}::{test_chromium_asks_the_teacher_and_sees_her_answer.__name__}"
    options = ["-q", "-m", "slow", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "alone")]
    inner = shlex.join([sys.executable, "-m", "pytest", one, *options])
    done = subprocess.run(
        [*alone, f"ip link set lo up && exec {inner}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout[-3000:]


@pytest.mark.parametrize("how", ["session", "service"])
def test_what_ends_while_a_browser_watches_leaves_nothing(
    service: Served, http: httpx.Client, tmp_path: Path, how: str
) -> None:
    session, links = start(http)
    with chromium(microphone_wav(tmp_path / "student.wav", 1.0)) as browser:
        page = page_of(browser, service.address)
        page.evaluate(_PLAY, [links["whep"], TOKEN])
        page.evaluate(_SPEAK, [links["whip"], TOKEN])
        for which in ("player", "microphone"):
            soon(
                lambda which=which: page.evaluate(f"{which}.peer.connectionState"),  # type: ignore[misc]
                lambda state: state == "connected",
                within=20,
            )
        below = workers(service)
        begun = time.monotonic()
        if how == "session":
            assert http.post("/session/stop").json()["ended"]["cause"] == "stopped"
        else:
            assert service.end(signal.SIGTERM, within=20) == 0
        assert time.monotonic() - begun < 5
        _, alive = psutil.wait_procs(below, timeout=5)
        assert not alive
        for which in ("playerStates", "microphoneStates"):
            soon(
                lambda which=which: page.evaluate(f"{which}.at(-1)"),  # type: ignore[misc]
                lambda state: state in ("closed", "failed", "disconnected"),
                within=10,
            )
        if how == "session":
            refused = page.evaluate(
                """async ([url, token]) => {
                  const video = document.getElementById('v');
                  const headers = { Authorization: `Bearer ${token}` };
                  try { await webrtc.play(url, video, headers); return null; }
                  catch (error) { return error.status; }
                }""",
                [links["whep"], TOKEN],
            )
            assert refused == 409
    assert how in ("session", "service") and session
