"""A stream that was judged is connected to where it was judged: by FFmpeg, with real sockets."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never, Self

import anyio
import pytest
from attrs import evolve

pytest.importorskip("av")

import av
from fakes.bot import rtmp_server, student
from fakes.streams import SIZE, await_listener, free_port, recorder, slices

from maestra.adapters.streams.ingest import PyavIngest
from maestra.adapters.streams.publish import PyavPublish
from maestra.app import session
from maestra.app.session import open_session
from maestra.core.networks import Permitted
from maestra.core.stream_url import StreamUrl
from maestra.ports.errors import StreamError, StreamRefused

NAME = "bot.invalid"
"""No name server knows it (RFC 6761)."""


def heard_by_a_server() -> tuple[socket.socket, list[bytes], threading.Thread]:
    """A server that shakes hands as RTMP asks and keeps what it is told after that."""
    server = socket.create_server(("127.0.0.1", 0))
    told: list[bytes] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(10)
            while sum(map(len, told)) < 1537:
                told.append(connection.recv(4096))
            connection.sendall(b"\x03" + bytes(1536) + b"".join(told)[1:1537])
            while b"tcUrl" not in b"".join(told) and (data := connection.recv(4096)):
                told.append(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return server, told, thread


def test_an_rtmp_server_is_called_by_its_name_at_the_address_that_was_judged() -> None:
    server, told, thread = heard_by_a_server()
    with server:
        port = server.getsockname()[1]
        url = StreamUrl.parse(f"rtmp://{NAME}:{port}/live/student").pin("127.0.0.1")
        with pytest.raises(StreamError) as failed:
            next(iter(PyavIngest(url, read_timeout=5).chunks()))
        thread.join(10)

    said = b"".join(told)
    assert f"rtmp://{NAME}:{port}/live".encode() in said
    assert b"127.0.0.1" not in said
    assert "127.0.0.1" not in str(failed.value)


@pytest.mark.slow
def test_a_pinned_output_is_published_to(tmp_path: Path) -> None:
    port = free_port()
    film = tmp_path / "film.mp4"
    listening = f"rtmp://127.0.0.1:{port}/live/x?listen=1"
    with recorder(listening, film, tmp_path / "log") as viewer:
        await_listener(port)
        url = StreamUrl.parse(f"rtmp://{NAME}:{port}/live/x").pin("127.0.0.1")
        publish = PyavPublish(url, width=SIZE, height=SIZE)
        for _, sound, picture in slices(50):
            publish.write(sound, picture)
        publish.close()
        assert viewer.wait(20) == 0
    assert film.stat().st_size > 5000


@pytest.mark.parametrize("kind", ["rtmps", "rtsps"])
@pytest.mark.parametrize(
    ("hosts", "numbers", "error"),
    [
        (["10.0.0.0/8"], ["10.0.0.7"], None),
        ([], ["192.0.2.7"], StreamRefused),
        ([], ["93.184.216.34"], None),
        ([], ["93.184.216.34", "169.254.169.254"], StreamRefused),
        ([], ["fe80::1%lo"], StreamRefused),
        ([], [], StreamError),
    ],
)
def test_who_is_looked_up_again_is_judged_again(
    kind: str,
    hosts: list[str],
    numbers: list[str],
    error: type[StreamError] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, int]] = []
    opened: list[str] = []

    def look_up(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        asked.append((host, port))
        if not numbers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (number, port)) for number in numbers]

    def open_it(address: str, *_: object, **__: object) -> Never:
        opened.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(av, "open", open_it)
    permitted = Permitted(networks=hosts, public=True)
    url = evolve(StreamUrl.parse(f"{kind}://{NAME}:7/live/secret-key"), permitted=permitted)
    for _ in range(2):  # at each connection anew
        with pytest.raises(StreamError) as mine:
            next(iter(PyavIngest(url).chunks()))
        with pytest.raises((StreamError, ConnectionRefusedError)) as hers:
            PyavPublish(url, width=SIZE, height=SIZE)
        if error is not None:
            assert type(mine.value) is type(hers.value) is error
            assert "secret-key" not in str(mine.value)

    assert asked == 4 * [(NAME, 7)]
    assert opened == ([] if error else 4 * [url.address])


@pytest.mark.anyio
async def test_the_workers_are_told_where_it_was_judged_to_lead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: dict[str, Any] = {}

    class Worker:
        def __init__(self, name: str, settings: object, **_: object) -> None:
            told[name] = pickle.loads(pickle.dumps(settings))  # as they go to its process

        def __enter__(self) -> Self:
            if {"ingest", "playout"} <= told.keys():
                raise StreamError("It is enough.")
            return self

        def nothing(self) -> None:
            pass

        listen = stop = kill = join = nothing

    monkeypatch.setattr(session, "Worker", Worker)
    mine, hers = (StreamUrl.parse(f"rtmp://{NAME}/live/{one}") for one in ("student", "teacher"))
    with pytest.raises(StreamError, match="enough"):
        async with open_session(ingest=mine.pin("10.0.0.7"), publish=hers.pin("10.0.0.8")):
            pass

    assert told["ingest"].url.dialled == "rtmp://10.0.0.7/live/student"
    assert told["playout"].url.dialled == "rtmp://10.0.0.8/live/teacher"


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.models
@pytest.mark.timeout(300)
async def test_a_lesson_goes_where_it_was_judged_to_lead_before_and_after_a_restart(
    tmp_path: Path,
) -> None:
    """Its host's name is known to nobody but the service, which asks once."""
    for library in ("faster_whisper", "piper", "torch", "litestar", "uvicorn", "httpx"):
        pytest.importorskip(library)
    from fakes.service import calling

    from maestra.app.service.lesson import RUNNER, LessonState, Patience

    asked: list[str] = []

    async def look_up(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async def await_that(happened: Callable[[], object], within: float) -> None:
        with anyio.fail_after(within):
            while not happened():  # noqa: ASYNC110 (it is seen from outside only)
                await anyio.sleep(0.2)

    with rtmp_server(tmp_path / "nginx") as server:
        sent, fetched = server.url("lesson", "student"), server.url("avatar", "teacher")
        body = {
            "rtmp_ingest_url": sent.replace("localhost", NAME),
            "rtmp_publish_url": fetched.replace("localhost", NAME),
        }
        async with calling(
            f'hosts=["{NAME}"]', patience=Patience(), look_up=look_up, command=RUNNER
        ) as caller:
            answer = await caller.post("start", body)
            lesson = caller.service.sessions.get(answer.json()["session_id"])
            await await_that(lambda: lesson.state is not LessonState.STARTING, 90)
            with student(sent, 24.0, 36.5):
                await await_that(lambda: server.publishes("avatar", "teacher"), 30)
                await await_that(lambda: lesson.input().ok, 30)
            server.kill()
            await await_that(lambda: not lesson.input().ok and not lesson.output().ok, 30)
            server.start()
            with student(sent, 24.0, 36.5):
                await await_that(lambda: server.publishes("avatar", "teacher"), 60)
                await await_that(lambda: lesson.input().ok and lesson.output().ok, 60)
            await lesson.stop()
    assert asked == [NAME, NAME]
