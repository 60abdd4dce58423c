"""The service as a whole: its socket, its signals, its beginning and its end."""

from __future__ import annotations

import ipaddress
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import uvicorn
from attrs import frozen

from maestra.ports.errors import MaestraError

from .. import personas
from ..config import Effective
from ..tracing import header_values, tracing
from . import gpu, tokens
from .addresses import Resolve, resolve
from .api import application
from .capacity import Capacity, default_file, kept, key_of
from .capacity import measure as measure_capacity
from .connections import HEAD_WITHIN, Connections, HttpConnection
from .gate import Gate
from .lesson import RUNNER, Patience
from .logs import LOGGER, Secrets, log_to
from .machine import Machine, memory_available
from .metrics import Metrics
from .sessions import Sessions
from .visits import LINK_LASTS, Visits

__all__ = ["Service", "ServiceError", "open_service", "serve"]

_HEAD_BYTES: Final = 16 * 1024
_CONNECTIONS: Final = 1000
"""At once, if there are descriptors for so many."""

_OTHER_DESCRIPTORS: Final = 256
"""Those that sessions, files and libraries need besides."""

_LAST_ANSWERS: Final = 5
"""Seconds for the answers that are under way when the service ends."""


class ServiceError(MaestraError):
    """The service cannot begin. The text says what to do."""


class _Server(uvicorn.Server):
    """Leaves the signals to us: lessons come first."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(
    effective: Effective,
    *,
    insecure: bool = False,
    token_file: Path | None = None,
    command: Sequence[str] = RUNNER,
    patience: Patience | None = None,
) -> None:
    """Serve until a signal says stop: SIGTERM lets sessions end by themselves for a while, SIGINT
    stops them at once.

    :param insecure: ask for no token; on loopback only.
    :param token_file: where the token is, or is to be.
    :raises MaestraError: it cannot begin.
    """
    service = effective.config.service
    local = _is_loopback(service.host)
    if insecure and not local:
        raise ServiceError(
            f"--insecure is for this machine alone: {service.host} is no loopback address"
        )
    secrets = Secrets()
    token: str | None = None
    where = "none: --insecure"
    if not insecure:
        token, where = tokens.token(token_file or tokens.default_file())
        secrets.add([token])
    log_to(None, secrets)
    if not local:
        LOGGER.warning("not encrypted: put a TLS proxy before it, or the token travels in clear")

    async def run() -> None:
        known, measure = _capacity(effective)
        async with open_service(
            effective,
            token=token,
            secrets=secrets,
            command=command,
            patience=patience,
            capacity=known,
            measure=measure,
        ) as service:
            fields = {"address": service.address, "token_from": where}
            LOGGER.info("serving", extra={"fields": fields})
            _invite(service, needs_code=token is not None)
            await _until_a_signal(service)

    anyio.run(run)


def _capacity(
    effective: Effective,
) -> tuple[Capacity | None, Callable[[], Awaitable[Capacity]] | None]:
    """What is known of how many sessions fit, or how that can be found out."""
    service = effective.config.service
    if not service.measure or service.max_sessions == 1:
        return None, None
    file = default_file()
    if (known := kept(file, key_of(effective, Machine()))) is not None:
        LOGGER.info("capacity", extra={"fields": {"capacity": str(known), "measured": known.at}})
        return known, None
    LOGGER.info("measuring", extra={"fields": {"text": "how many sessions fit; once, 40 s"}})
    return None, partial(measure_capacity, effective, file)


@frozen(kw_only=True)
class Service:
    """A service that runs. ``address`` is where: ``http://127.0.0.1:8080``; ``visits`` are the
    console's."""

    address: str
    sessions: Sessions
    visits: Visits


@asynccontextmanager
async def open_service(
    effective: Effective,
    *,
    token: str | None,
    secrets: Secrets,
    command: Sequence[str] = RUNNER,
    patience: Patience | None = None,
    look_up: Resolve = resolve,
    capacity: Capacity | None = None,
    measure: Callable[[], Awaitable[Capacity]] | None = None,
    memory: Callable[[], int | None] = memory_available,
) -> AsyncGenerator[Service]:
    """Serve until the context is left; the sessions that run then are stopped.

    :param token: what requests must bring; ``None``: nothing.
    :param secrets: what no answer and no log may show.
    :param command: how a session's runner is started.
    :param look_up: resolves the hosts of streams.
    :param capacity: what is known of how many sessions fit; or else ``measure`` finds it out.
    :param memory: how many bytes of memory can still be had.
    :raises ServiceError: the address cannot be listened on.
    """
    service = effective.config.service
    metrics = Metrics()
    secrets.add(header_values(os.environ))
    with (
        _listening(service.host, service.port) as listening,
        tracing(effective.config, say=LOGGER.warning) as traces,
    ):
        async with anyio.create_task_group() as tasks:
            sessions = Sessions(
                effective,
                tasks=tasks,
                personas=[one.id for one in personas.available()],
                secrets=secrets,
                metrics=metrics,
                traces=traces,
                command=command,
                patience=patience,
                look_up=look_up,
                capacity=capacity,
                memory=memory,
            )
            host, port = listening.getsockname()[:2]
            visits = Visits(port)
            answers: Any = application(sessions, visits)
            gate = Gate(
                answers, token=token, visits=visits, local_only=token is None, metrics=metrics
            )
            server = _Server(_http_config(gate, Connections(_most_connections())))
            ended = anyio.Event()

            async def answer() -> None:
                await server.serve(sockets=[listening])
                ended.set()

            def count_gpu_memory(held: Mapping[int, int] | None) -> None:
                if held is None:
                    metrics.no_gpu_memory()
                    return
                for lesson in sessions.present():
                    if lesson.pid is not None:  # which leads its group
                        metrics.gpu_memory(lesson.id, held.get(lesson.pid, 0))

            tasks.start_soon(answer)
            tasks.start_soon(gpu.watch, count_gpu_memory)
            if measure is not None:
                tasks.start_soon(sessions.learn, measure)
            shown = f"[{host}]" if ":" in host else host
            try:
                yield Service(address=f"http://{shown}:{port}", sessions=sessions, visits=visits)
            finally:
                with anyio.CancelScope(shield=True):
                    await sessions.drain(0.0)
                    server.should_exit = True
                    await ended.wait()
                    tasks.cancel_scope.cancel()


def _invite(service: Service, *, needs_code: bool) -> None:
    """Say where the console is: to a person at a terminal only, because whoever has the link may
    come in, and what is written elsewhere stays there."""
    if not sys.stdout.isatty():
        return
    if needs_code:
        print(f"The console: {service.address}/#enter={service.visits.invite()}")
        print(f"(works once, within {LINK_LASTS / 60:.0f} minutes; `maestra console` prints more)")
    else:
        print(f"The console: {service.address}/")
    sys.stdout.flush()


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen()  # who is told the address may call at once
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise ServiceError(
            f"{host}:{port} cannot be listened on ({error.strerror}): name another with --host"
            " and --port"
        ) from error
    return listening


def _http_config(gate: Gate, connections: Connections) -> uvicorn.Config:
    http: Any = partial(HttpConnection, connections, gate.malformed)
    return uvicorn.Config(
        gate,
        http=http,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=round(HEAD_WITHIN),
        timeout_graceful_shutdown=_LAST_ANSWERS,
        h11_max_incomplete_event_size=_HEAD_BYTES,
    )


def _most_connections() -> int:
    """As many as there can be while sessions still find descriptors. The limit that we were given
    is raised for them as far as the system allows, which needs no privilege."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unbounded = resource.RLIM_INFINITY
    wanted = _CONNECTIONS + _OTHER_DESCRIPTORS
    if soft != unbounded and soft < wanted:
        raised = wanted if hard == unbounded else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    if soft == unbounded:
        return _CONNECTIONS
    return min(_CONNECTIONS, max(soft - _OTHER_DESCRIPTORS, soft // 2))


async def _until_a_signal(service: Service) -> None:
    """Serve on after SIGTERM until no session runs any more, for ``service.drain`` at most; SIGINT
    and a second signal end it at once."""
    patience = service.sessions.config.service.drain
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        number = await anext(signals)
        LOGGER.info("ending", extra={"fields": {"signal": signal.Signals(number).name}})
        if number != signal.SIGTERM:
            return
        async with anyio.create_task_group() as tasks:

            async def hurry() -> None:
                await anext(signals)
                tasks.cancel_scope.cancel()

            tasks.start_soon(hurry)
            await service.sessions.drain(patience)
            tasks.cancel_scope.cancel()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
