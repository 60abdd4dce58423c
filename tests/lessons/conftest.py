"""Whole lessons need what the embedded default does, and go by asyncio."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def embedded_default() -> None:
    for package in ("faster_whisper", "piper", "torch"):
        pytest.importorskip(package)
