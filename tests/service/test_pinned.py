"""A stream that was judged is connected to where it was judged: by FFmpeg, with real sockets."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

pytest.importorskip("av")

from fakes.streams import SIZE, await_listener, free_port, recorder, slices

from maestra.adapters.streams.ingest import PyavIngest
from maestra.adapters.streams.publish import PyavPublish
from maestra.core.stream_url import StreamUrl
from maestra.ports.errors import StreamError

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
