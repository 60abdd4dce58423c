"""The console in a real browser, and a lesson whose events a test writes as it goes."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
from attrs import define, field
from playwright.async_api import Browser, Page, async_playwright

from fakes.service import Caller

__all__ = ["CHROMIUM", "Script", "Tab", "browser", "come_in", "open_tab"]

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
"""Where the browser is; ``None`` if there is none."""

_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

PHONE: Mapping[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 2,
}


@define
class Script:
    """The event log that the fake runner recites (``script``)."""

    path: Path
    t: float = 0.0
    count: int = 0

    def tell(self, kind: str, /, *, later: float = 0.0, **fields: Any) -> None:
        """One more record, ``later`` seconds after the last."""
        self.t = round(self.t + later, 4)
        self.count += 1
        record = {"t": self.t, "wall": self.t, "type": kind, **fields}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def begin(self) -> None:
        self.tell(
            "session_started",
            schema=1,
            version="0",
            ingest="rtmp://localhost/live/***",
            publish="rtmp://localhost/live/***",
            persona="teacher_mary_v1",
            pace="realtime",
            backends={"asr": "faster-whisper", "brain": "llama", "voice": "piper"},
            fallbacks={"brain": ["coach"]},
        )

    def state(self, before: str, after: str, cause: str, *, later: float = 0.1) -> None:
        names: dict[str, Any] = {"from": before, "to": after}
        self.tell("state", later=later, cause=cause, **names)

    def note(self, midi: int, cents: float | None = 0.0, *, later: float = 0.5) -> None:
        self.tell(
            "note",
            later=later,
            onset=self.t,
            offset=self.t + 0.45,
            midi=midi,
            f0_hz=None if cents is None else 440 * 2 ** ((midi - 69 + cents / 100) / 12),
            deviation_cents=cents,
            loudness_db=-18.0,
            confidence=0.9,
        )


@define
class Tab:
    """A page, and what it said and asked for."""

    page: Page
    complaints: list[str] = field(factory=list)
    asked: list[str] = field(factory=list)

    @property
    def hosts(self) -> set[str]:
        return {urlsplit(url).netloc for url in self.asked if not url.startswith("data:")}

    async def text(self, selector: str) -> str:
        return (await self.page.inner_text(selector)).strip()

    async def until(self, expression: str, *, within: float = 30.0) -> None:
        """Until the JavaScript ``expression`` is true. (Playwright's own way of waiting evaluates
        a string in the page, which the page's policy forbids.)"""
        with anyio.move_on_after(within):
            while True:
                if await self.page.evaluate(expression):
                    return
                await anyio.sleep(0.03)
        raise AssertionError(f"never became true: {expression}")

    async def until_text(self, selector: str, text: str, *, within: float = 30.0) -> None:
        """Until the first element of ``selector`` has ``text`` in it."""
        find = f"document.querySelector({json.dumps(selector)})?.textContent"
        await self.until(f"({find} ?? '').includes({json.dumps(text)})", within=within)

    async def until_there_are(self, count: int, selector: str) -> None:
        await self.until(f"document.querySelectorAll({json.dumps(selector)}).length === {count}")


@asynccontextmanager
async def browser(*more: str) -> AsyncGenerator[Browser]:
    async with async_playwright() as playwright:
        one = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*_ARGUMENTS, *more], headless=True
        )
        try:
            yield one
        finally:
            await one.close()


async def open_tab(one: Browser, **options: Any) -> Tab:
    context = await one.new_context(**options)
    tab = Tab(await context.new_page())
    tab.page.set_default_timeout(30_000)
    tab.page.on(
        "console",
        lambda message: (
            tab.complaints.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.page.on("request", lambda request: tab.asked.append(request.url))
    return tab


async def come_in(tab: Tab, caller: Caller) -> None:
    """By a link, as a person does."""
    link = f"{caller.service.address}/#enter={caller.service.visits.invite()}"
    await tab.page.goto(link)
    await tab.until("!['loading', 'locked'].includes(document.body.dataset.view)")
