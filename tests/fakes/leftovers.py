"""What a session must not leave behind: processes, threads, open files and sockets, temporary
files."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

__all__ = ["leaving_nothing"]

_SOON = 5.0
"""Seconds that what has been told to end may take."""


@contextmanager
def leaving_nothing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    """Whatever is done meanwhile, soon after it there is nothing that was not there before.

    :param folder: an empty one, where temporary files are made, by child processes too.
    """
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = _present(folder)
    yield
    deadline = time.monotonic() + _SOON
    while left := _present(folder) - before:
        assert time.monotonic() < deadline, f"left behind: {sorted(left)}"
        time.sleep(0.05)


def _present(folder: Path) -> set[str]:
    """All that there is, by names of which no two are the same."""
    return {
        *(f"process {child}" for child in _children()),
        *(f"thread {thread.name} ({thread.ident})" for thread in threading.enumerate()),
        *(f"open {target}" for target in _open_files()),
        *(f"temporary {path}" for path in folder.rglob("*")),
    }


def _children() -> Iterator[str]:
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            yield f"{child.pid}: {child.name()}"


def _open_files() -> Iterator[str]:
    """What this process has open; Linux numbers pipes and sockets one by one."""
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:  # what the folder was read with
            continue
        if not target.startswith("/proc/"):
            yield target
