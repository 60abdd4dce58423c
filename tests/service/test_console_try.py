"""The console's "Try it", whole: a browser's microphone, the real service, the embedded default."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("faster_whisper")
pytest.importorskip("piper")
pytest.importorskip("torch")
pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("aiortc")
pytest.importorskip("playwright")
pytest.importorskip("av")

import av
import httpx
from fakes.service import TOKEN, served
from fakes.tabs import CHROMIUM, Tab, browser, open_tab

from maestra.app.demo import LESSON

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.models,
    pytest.mark.timeout(400),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
]

_PLAYS = "[video.videoWidth, video.currentTime, video.muted, video.paused]"


def as_wave(path: Path) -> Path:
    """The demo lesson's student as a browser's pretended microphone takes it."""
    with av.open(str(LESSON)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("pcm_s16le", rate=48_000, layout="mono")
        resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000)
        for frame in source.decode(audio=0):
            for part in resampler.resample(frame):
                target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    return path


async def test_a_lesson_by_microphone_is_heard_answered_and_seen(tmp_path: Path) -> None:
    wave = as_wave(tmp_path / "student.wav")
    microphone = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={wave}",
        "--autoplay-policy=no-user-gesture-required",
    )
    with served(tmp_path, "drain=0") as service:
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as http:
            made = await http.post(f"{service.address}/console/link")
        async with browser(*microphone) as one:
            tab = await open_tab(one, viewport={"width": 1440, "height": 1000})
            await tab.page.goto(service.address + made.json()["path"])
            await tab.until("document.body.dataset.view === 'front'")
            await tab.page.click("#front-try")
            await tab.page.check("#camera")
            await tab.page.click("#start-go")
            await tab.until("document.body.dataset.view === 'lesson'", within=20)
            await tab.until_text("#mine-state", "She hears you", within=120)
            await tab.until("document.querySelector('#avatar').currentTime > 0.5", within=30)
            width, then, muted, paused = await plays(tab)
            assert width >= 256 and not muted and not paused
            assert await tab.page.evaluate("document.querySelector('#myself').videoWidth") > 0
            await tab.until("document.querySelector('#mic-level').value > -50", within=60)
            await tab.until_text("#link", "live")

            await tab.until("document.querySelector('.reply .latency')", within=150)
            assert 1 <= await tab.page.locator(".utterance mark").count()
            assert "notes" in await tab.text("#score-now")
            assert (await plays(tab))[1] > then + 1
            await tab.page.screenshot(path=tmp_path / "try.png")

            await tab.page.click("#mute")
            assert "true" == await tab.page.get_attribute("#mute", "aria-pressed")
            await tab.page.click("#stop")
            await tab.page.click("#sure-yes")
            await tab.until_text("#link", "ended", within=30)
            await tab.until("document.querySelector('#mine').hidden")
            assert tab.complaints == []


async def plays(tab: Tab) -> tuple[int, float, bool, bool]:
    found = await tab.page.evaluate(
        f"(() => {{ const video = document.querySelector('#avatar'); return {_PLAYS}; }})()"
    )
    return tuple(found)
