"""A real Chromium without a window, whose microphone is a recording, driven by Playwright."""

from __future__ import annotations

import shutil
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

import maestra.app.service

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["WEBRTC_JS", "chromium", "chromium_complaint", "microphone_wav", "page_of"]

WEBRTC_JS = Path(maestra.app.service.__file__).parent / "console" / "webrtc.js"

_RATE_HZ = 48_000

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium_complaint() -> str:
    """Why there is no Chromium to be driven; empty if there is."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    return "" if shutil.which("chromium") else "there is no chromium"


def microphone_wav(
    path: Path, *parts: Path | float, level: float = 1.0, silence_after: float = 60.0
) -> Path:
    """Write what is to sound before the microphone: recordings, and seconds of silence."""
    sound: list[NDArray[np.int16]] = []
    for part in (*parts, silence_after):
        if isinstance(part, Path):
            resampler = av.AudioResampler(format="s16", layout="mono", rate=_RATE_HZ)
            with av.open(str(part)) as file:
                for decoded in [*file.decode(audio=0), None]:
                    for frame in resampler.resample(decoded):
                        sound.append((frame.to_ndarray()[0] * level).astype(np.int16))
        else:
            sound.append(np.zeros(round(part * _RATE_HZ), np.int16))
    with wave.open(str(path), "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(_RATE_HZ)
        written.writeframes(np.concatenate(sound).tobytes())
    return path


@contextmanager
def chromium(microphone: Path) -> Iterator[Any]:
    """A browser, before whose microphone the recording sounds once, from when it is opened on."""
    from playwright.sync_api import sync_playwright

    flags = [*_FLAGS, f"--use-file-for-fake-audio-capture={microphone}%noloop"]
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), headless=True, args=flags
        )
        try:
            yield one
        finally:
            one.close()


def page_of(browser: Any, address: str) -> Any:
    """A page of the origin ``address`` with a video ``v``; ``window.webrtc`` is our module.

    What goes wrong in the page is in ``page.complaints``.
    """
    page = browser.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.route(
        f"{address}/try.html",
        lambda route: route.fulfill(
            content_type="text/html",
            body="<!doctype html><video id=v autoplay playsinline></video>",
        ),
    )
    page.route(
        f"{address}/webrtc.js",
        lambda route: route.fulfill(
            content_type="text/javascript", body=WEBRTC_JS.read_text(encoding="utf-8")
        ),
    )
    page.goto(f"{address}/try.html")
    page.evaluate("async () => { window.webrtc = await import('/webrtc.js'); }")
    return page
