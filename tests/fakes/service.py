"""A service on a real port, in this process; its sessions are processes that hold no lesson."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
from attrs import define

from maestra.app.config import load
from maestra.app.service.addresses import Resolve
from maestra.app.service.capacity import Capacity
from maestra.app.service.lesson import Patience
from maestra.app.service.logs import Secrets, log_to
from maestra.app.service.server import Service, open_service

FAKE_RUNNER = (sys.executable, "-S", str(Path(__file__).with_name("runner.py")))
TOKEN = "a-token-that-is-long-enough"
PATIENT = Patience(answer=10.0, loading=20.0, hung=10.0, stop=10.0, orphans=4.0)
QUICK = Patience(answer=1.0, loading=20.0, hung=5.0, stop=1.0, orphans=1.0)
"""Where sessions misbehave, and their ends are waited for."""


@define
class Caller:
    """A service, and somebody who calls it. ``log`` has what it has logged so far."""

    service: Service
    http: httpx.AsyncClient
    secrets: Secrets
    log: io.StringIO

    async def start(self, how: str = "lesson", **headers: str) -> str:
        """Begin a session that does ``how`` (see the fake runner); its id."""
        answer = await self.post("start", start_body(how), headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["session_id"])

    async def post(
        self, what: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return await self.http.post(f"/session/{what}", json=body, headers=headers)

    async def over(self, session_id: str) -> dict[str, Any]:
        """The status of the session, once it is over."""
        with anyio.fail_after(15):
            await self.service.sessions.get(session_id).over.wait()
        answer: dict[str, Any] = (await self.http.get(f"/session/{session_id}")).json()
        return answer


def start_body(how: str = "lesson") -> dict[str, str]:
    return {
        "rtmp_ingest_url": f"rtmp://localhost/live/{how}",
        "rtmp_publish_url": "rtmp://localhost/live/teacher",
    }


async def nowhere(host: str, port: int) -> list[str]:
    """A name server that knows two names."""
    known = {"localhost": ["127.0.0.1"], "inside.example.com": ["10.0.0.7"]}
    return known.get(host, [])


@asynccontextmanager
async def calling(
    *settings: str,
    token: str | None = TOKEN,
    patience: Patience = PATIENT,
    capacity: Capacity | None = None,
    measure: Callable[[], Awaitable[Capacity]] | None = None,
    memory: Callable[[], int | None] = lambda: None,
    look_up: Resolve = nowhere,
    command: Sequence[str] = FAKE_RUNNER,
) -> AsyncGenerator[Caller]:
    """A service with these settings (``max_sessions=2``), and a caller who has its token.

    :param capacity: what was measured of the machine; or ``measure`` finds it out.
    :param memory: how many bytes can still be had.
    :param look_up: resolves the hosts of streams.
    :param command: how a session's process is started.
    """
    assignments = ["port=0", "max_sessions=8", *settings]
    effective = load(environ={}, assignments=[f"service.{one}" for one in assignments])
    secrets = Secrets()
    secrets.add([TOKEN])
    log = io.StringIO()
    log_to(log, secrets)
    async with open_service(
        effective,
        token=token,
        secrets=secrets,
        command=command,
        patience=patience,
        look_up=look_up,
        capacity=capacity,
        measure=measure,
        memory=memory,
    ) as service:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=service.address, headers=headers, timeout=20) as http:
            yield Caller(service=service, http=http, secrets=secrets, log=log)


# --- a service in a process of its own ----------------------------------------

_FAKE = """
import sys
from maestra.app.config import load
from maestra.app.service.server import serve
serve(load(assignments=sys.argv[2:]), command=(sys.executable, "-S", sys.argv[1]))
"""


@define
class Served:
    """``maestra serve``, in a process of its own."""

    address: str
    process: subprocess.Popen[str]
    log: Path

    def end(self, number: int = signal.SIGTERM, *, within: float = 30) -> int:
        """Send it a signal; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(within)

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]


@contextmanager
def served(folder: Path, *settings: str, fake: bool = False) -> Iterator[Served]:
    """``maestra serve`` with these settings (``max_sessions=2``); with ``fake`` its sessions hold
    no lesson."""
    assignments = [
        one if "." in one.partition("=")[0] else f"service.{one}"
        for one in ("port=0", "measure=false", *settings)
    ]
    command: Sequence[str] = [sys.executable, "-c", _FAKE, FAKE_RUNNER[-1], *assignments]
    if not fake:
        sets = [part for one in assignments for part in ("--set", one)]
        command = [sys.executable, "-m", "maestra.app.cli", "serve", *sets]
    log = folder / "service.log"
    environment = {**os.environ, "MAESTRA_SERVICE_TOKEN": TOKEN}
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, env=environment, text=True, cwd=folder
        )
        assert process.stderr is not None
        first = process.stderr.readline()
        copier = subprocess.Popen(["cat"], stdin=process.stderr, stdout=file)
        process.stderr.close()
        try:
            assert "serving" in first, first
            yield Served(address=json.loads(first)["address"], process=process, log=log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            copier.wait(10)


def status(http: httpx.Client, session: str) -> dict[str, Any]:
    """How the session fares."""
    found: dict[str, Any] = http.get(f"/session/{session}").json()
    return found


def events(http: httpx.Client, session: str, *, after: int, seconds: float) -> list[dict[str, Any]]:
    """What happened after event ``after``, as far as it has come within ``seconds``."""
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + seconds
    headers = {"Last-Event-ID": str(after)}
    with http.stream("GET", f"/session/{session}/events", headers=headers) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line[6:]))
            if time.monotonic() > deadline:
                break
    return found
