"""The console's pictures in the documentation: a real lesson's log, as the demo leaves it.

``MAESTRA_PICTURES=docs/images pytest -m slow tests/service/test_console_pictures.py`` makes them
anew; without the variable they are made to be looked at, in the test's folder. The page takes what
fonts there are: these have Inter and TeX Gyre Pagella (Debian: fonts-inter, fonts-texgyre).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("playwright")

from fakes.service import calling
from fakes.tabs import CHROMIUM, PHONE, browser, come_in, open_tab

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
]

LESSON = Path(__file__).parents[1] / "data/lessons/demo.events.jsonl"
UNTIL = 47.0
"""Media seconds: she is telling of the first take."""

DESK = {"viewport": {"width": 1366, "height": 940}}
PICTURES: Mapping[str, Mapping[str, Any]] = {
    "console_light": {**DESK, "color_scheme": "light"},
    "console_dark": {**DESK, "color_scheme": "dark"},
    "console_phone": {**PHONE, "color_scheme": "light"},
}
LARGEST = 300_000


async def test_pictures_of_a_lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(os.environ.get("MAESTRA_PICTURES", tmp_path))
    log = tmp_path / "lesson.events.jsonl"
    lines = LESSON.read_text(encoding="utf-8").splitlines(keepends=True)
    log.write_text("".join(line for line in lines if json.loads(line)["t"] < UNTIL))
    monkeypatch.setenv("FAKE_LOG", str(log))
    async with calling() as caller, browser() as one:
        await caller.start("script")
        for name, options in PICTURES.items():
            tab = await open_tab(one, **options)
            await come_in(tab, caller)
            await tab.until("document.querySelectorAll('.reply .said .figure').length > 1")
            await tab.until("document.querySelector('#portrait').complete")
            if name != "console_phone":
                await tab.page.hover(".reply .said .figure >> nth=0")
            await tab.page.wait_for_timeout(1500)  # the axes come to rest
            path = folder / f"{name}.png"
            await tab.page.screenshot(path=path)
            smaller(path)
            assert path.stat().st_size < LARGEST
            assert tab.complaints == []


def smaller(path: Path) -> None:
    """The same picture, packed better."""
    image = pytest.importorskip("PIL.Image")
    with image.open(path) as whole:
        packed = whole.convert("RGB")
    packed.save(path, optimize=True)
