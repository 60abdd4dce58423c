"""``maestra serve`` as a process of its own: what only shows in the long run, or by its signals."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytest.importorskip("litestar")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

import httpx
from fakes.service import TOKEN, Served, served, start_body

AUTHORISED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, "starts_per_minute=10000", "max_sessions=50", fake=True) as one:
        yield one


@pytest.fixture
def http(service: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.address, headers=AUTHORISED, timeout=30) as client:
        yield client


@pytest.mark.slow
def test_sigterm_waits_for_sessions_and_then_stops_them(tmp_path: Path) -> None:
    with served(tmp_path, "drain=1", fake=True) as service:
        with httpx.Client(base_url=service.address, headers=AUTHORISED) as http:
            assert http.post("/session/start", json=start_body()).status_code == 201
        begun = time.monotonic()
        assert service.end() == 0
        assert time.monotonic() - begun >= 1.0
    told = {line["event"]: line for line in service.logged()}
    assert told["ending"]["signal"] == "SIGTERM"
    assert told["session ended"]["cause"] == "drained"


@pytest.mark.slow
def test_ctrl_c_and_a_second_sigterm_do_not_wait(tmp_path: Path) -> None:
    for number, wait in ((signal.SIGINT, 0), (signal.SIGTERM, 1)):
        with served(tmp_path, "drain=600", fake=True) as service:
            with httpx.Client(base_url=service.address, headers=AUTHORISED) as http:
                http.post("/session/start", json=start_body())
            if wait:
                service.process.send_signal(signal.SIGTERM)
                time.sleep(0.5)  # two signals at once are one
                assert service.process.poll() is None
            assert service.end(number) == 0


@pytest.mark.slow
def test_a_service_that_is_killed_leaves_no_session(tmp_path: Path) -> None:
    with served(tmp_path, fake=True) as service:
        with httpx.Client(base_url=service.address, headers=AUTHORISED) as http:
            http.post("/session/start", json=start_body())
            http.post("/session/config", json={})
        below = psutil.Process(service.process.pid).children(recursive=True)
        assert below
        service.end(signal.SIGKILL)
        _, alive = psutil.wait_procs(below, timeout=10)
        assert not alive


@pytest.mark.slow
def test_two_hundred_sessions_come_and_go_and_leave_nothing(
    service: Served, http: httpx.Client
) -> None:
    process = psutil.Process(service.process.pid)

    def cycle(count: int) -> None:
        for _ in range(count):
            session = http.post("/session/start", json=start_body()).json()["session_id"]
            assert http.post("/session/config", json={"strictness": "high"}).is_success
            stopped = http.post("/session/stop", json={"session_id": session}).json()
            assert stopped["ended"]["cause"] == "stopped"

    cycle(110)  # the last hundred are remembered
    before = (process.num_fds(), process.num_threads())
    memory = process.memory_info().rss
    cycle(90)

    assert (process.num_fds(), process.num_threads()) == before
    assert process.memory_info().rss - memory < 3_000_000
    assert process.children(recursive=True) == []
    assert len(process.net_connections()) == 2  # what is listened on, and our own


@pytest.mark.slow
def test_ten_thousand_readers_come_back(service: Served, http: httpx.Client) -> None:
    session = http.post("/session/start", json=start_body()).json()["session_id"]
    http.post("/session/config", json={"strictness": "high"})
    process = psutil.Process(service.process.pid)
    address = service.address.removeprefix("http://").split(":")
    request = (
        f"GET /session/{session}/events HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {TOKEN}\r\nLast-Event-ID: 1\r\n\r\n"
    ).encode()

    def come(count: int) -> None:
        for _ in range(count):
            with socket.create_connection((address[0], int(address[1])), 10) as reader:
                reader.sendall(request)
                data = b""
                while b"config_changed" not in data:
                    received = reader.recv(4096)
                    assert received, data
                    data += received

    come(1000)
    memory, descriptors = process.memory_info().rss, process.num_fds()
    come(9000)

    assert process.memory_info().rss - memory < 5_000_000
    assert process.num_fds() <= descriptors + 5
    assert http.post("/session/stop").json()["ended"]["cause"] == "stopped"


@pytest.mark.slow
def test_slow_clients_take_no_place_from_others(service: Served, http: httpx.Client) -> None:
    host, port = service.address.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port)), 10) for _ in range(500)]
    try:
        for number, one in enumerate(slow):
            one.sendall(b"POST /session/start HTTP/1.1\r\nHost: x\r\n"[: number % 40])
        begun = time.monotonic()
        assert http.get("/sessions").is_success
        assert time.monotonic() - begun < 2
        for one in slow:
            one.settimeout(20)
            while one.recv(1000):
                pass
        assert time.monotonic() - begun < 30
    finally:
        for one in slow:
            one.close()
