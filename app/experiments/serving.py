"""``maestra serve`` in a process of its own, for what measures it from the outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from attrs import field, frozen

__all__ = ["TOKEN", "Serving", "serving"]

TOKEN: Final = "of-one-experiment-on-this-machine"
"""What its callers bring."""

_BEGINS_WITHIN: Final = 120.0
_LEAVES_WITHIN: Final = 40.0


@frozen(kw_only=True)
class Serving:
    """``address``: ``http://127.0.0.1:PORT``. ``log``: what it has logged so far."""

    address: str
    process: subprocess.Popen[bytes] = field(repr=False)
    log: Path


@contextmanager
def serving(
    folder: Path,
    *settings: str,
    environment: Mapping[str, str] | None = None,
    end: signal.Signals = signal.SIGINT,
) -> Iterator[Serving]:
    """Serve with these settings (``service.max_sessions=2``), on a free port.

    How many lessons fit is not measured, unless ``service.measure=true`` is among them: an
    experiment's own lesson must not wait for that.

    :param folder: gets ``service.log``; the service runs in it.
    :param environment: more variables.
    :param end: the signal that ends it; with it go its sessions.
    :raises RuntimeError: it does not begin.
    """
    log = folder / "service.log"
    assignments = ("service.port=0", "service.measure=false", *settings)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "maestra.app.cli", "serve"),
                *(part for one in assignments for part in ("--set", one)),
            ],
            stdin=subprocess.DEVNULL,
            stderr=file,
            cwd=folder,
            env={**os.environ, "MAESTRA_SERVICE_TOKEN": TOKEN, **(environment or {})},
            start_new_session=True,  # a terminal's Ctrl-C is for the experiment
        )
    try:
        yield Serving(address=_address(process, log), process=process, log=log)
    finally:
        if process.poll() is None:
            process.send_signal(end)
            try:
                process.wait(_LEAVES_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _BEGINS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):
                said = json.loads(line)
                if said.get("event") == "serving":
                    return str(said["address"])
        time.sleep(0.1)
    raise RuntimeError(f"the service does not begin: {log.read_text(encoding='utf-8')[-2000:]}")
