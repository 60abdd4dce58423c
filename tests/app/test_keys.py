"""A key is told to nobody: asked of every backend that has one, and a service that says it back."""

from __future__ import annotations

import http.server
import io
import logging
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import anyio
import numpy as np
import pytest
from servers.leavable import LeavableServer

from maestra.app import backends, cli, composition
from maestra.app.config import Config, load
from maestra.core.conversation.commands import QuestionKind
from maestra.core.performance.summary import PerformanceSummary
from maestra.ports.brain import BrainRequest
from maestra.ports.errors import MaestraError
from maestra.ports.lifetime import Checks, Lives

KEY = "sk-canary-4f1d2c7b9a"
SERVED = sorted((port, name) for (port, name), one in backends.CATALOGUE.items() if one.key)
UNENCRYPTED = [served for served in SERVED if served != ("brain", "gemini-live")]
"""Those that can be asked here. Gemini is asked by TLS only: see its own tests."""


class Parrot(http.server.BaseHTTPRequestHandler):
    """Refuses every key, and says which it was, as some services do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        text = f'{{"error": {{"message": "Incorrect API key provided: {KEY}", "code": 401}}}}'
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(text.encode())

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def parrot() -> Iterator[int]:
    with LeavableServer(("127.0.0.1", 0), Parrot) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def configured(port: str, name: str, at: int) -> Config:
    section, _, _ = port.partition(".")
    cls = composition.settings_class(port, name)
    assert cls is not None
    schemes = next(
        attribute.metadata["schemes"]
        for attribute in cls.__attrs_attrs__
        if attribute.name == "base_url"
    )
    scheme = next(one for one in schemes if one in ("http", "ws"))
    chosen = "asr" if port == "senses.asr" else "backend"
    path = "/v1" if name == "openai" else ""
    return load(
        environ={},
        assignments=[
            f"{section}.{chosen}={name}",
            f"{section}.options.{name}.base_url={scheme}://127.0.0.1:{at}{path}",
        ],
    ).config


async def use(port: str, name: str, config: Config) -> object:
    """Do with the backend what a lesson does, for as long as it takes to be refused."""
    who = composition.persona(config.persona)
    built: Any
    match port:
        case "brain":
            built = composition.brains(config, who)[0][1]
        case "voice":
            built = composition.voices(config, who)[0][1]()
        case _:
            built = composition.recogniser(config)

    async def ask() -> None:
        match port:
            case "brain":
                request = BrainRequest(
                    epoch=1,
                    kind=QuestionKind.WAKE,
                    question="How was it?",
                    summary=PerformanceSummary(),
                    observations=(),
                    history=(),
                    persona=who,
                )
                async for _ in built.reply(request):
                    pass
            case "voice":
                async for _ in built.synthesise("You kept a steady beat."):
                    pass
            case _:
                await anyio.to_thread.run_sync(built.transcribe, np.zeros(16_000, np.float32))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            if isinstance(built, Lives):
                tasks.start_soon(built.live)
            try:
                if isinstance(built, Checks):
                    await built.check()
                await ask()
            finally:
                tasks.cancel_scope.cancel()
    return built


@pytest.mark.parametrize(("port", "name"), UNENCRYPTED)
def test_a_refused_key_is_in_no_error_no_log_and_no_picture_of_an_object(
    port: str,
    name: str,
    parrot: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip(name)
    monkeypatch.setenv(backends.CATALOGUE[port, name].key, KEY)
    config = configured(port, name, parrot)
    caplog.set_level(logging.INFO)

    with pytest.raises((MaestraError, ExceptionGroup)) as caught:
        anyio.run(use, port, name, config)

    told = [error for error in leaves_of(caught.value) if isinstance(error, MaestraError)]
    assert told, "who refuses is said in our words"
    for error in told:
        assert KEY not in str(error)
        assert backends.CATALOGUE[port, name].key in str(error)
    assert KEY not in caplog.text
    assert KEY not in "".join(capfd.readouterr())
    assert KEY not in repr(config)


def leaves_of(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves_of(one)]
    return [error]


@pytest.mark.parametrize("command", [["config"], ["doctor"], ["personas"]])
def test_no_command_prints_a_key(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for port, name in SERVED:
        monkeypatch.setenv(backends.CATALOGUE[port, name].key, KEY)
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        cli.main(command)
    assert said.getvalue()
    assert KEY not in said.getvalue()
