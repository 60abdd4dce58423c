"""What stands where a meeting bot does: nginx as ``deploy/nginx`` has it, and ffmpeg."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from maestra.app.demo import LESSON
from maestra.app.experiments.soak.server import RtmpServer, missing

__all__ = ["DEPLOY", "await_that", "certificate", "ffmpeg", "rtmp_server", "student", "viewer"]

DEPLOY = Path(__file__).parents[2] / "deploy" / "nginx"


@contextmanager
def rtmp_server(folder: Path, *, tls: bool = False) -> Iterator[RtmpServer]:
    """nginx, which takes RTMP and, with ``tls``, has RTMPS and RTSPS in front."""
    modules = ("ngx_stream_module",) if tls else ()
    if lacking := missing(*modules) or ("" if shutil.which("ffmpeg") else "ffmpeg"):
        pytest.skip(f"not installed: {lacking}")
    files = [DEPLOY / "nginx.conf"]
    if tls:
        files.append(DEPLOY / "tls.conf")
        folder.mkdir(exist_ok=True)
        certificate(folder, "localhost")
    server = RtmpServer(folder, files)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def certificate(folder: Path, host: str, name: str = "cert.pem") -> Path:
    """A certificate of ``host`` that nobody but itself vouches for, as the documentation makes it;
    its key beside it as ``key.pem``."""
    if shutil.which("openssl") is None:
        pytest.skip("not installed: openssl")
    command = [
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-keyout", str(folder / "key.pem"), "-out", str(folder / name)),
        *("-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return folder / name


@contextmanager
def ffmpeg(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """It, running; ended by Ctrl-C, which makes it finish its files, when we leave."""
    process = subprocess.Popen(
        ["ffmpeg", "-nostdin", "-v", "error", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def student(
    url: str, start: float, end: float, *, silence: float = 300.0
) -> AbstractContextManager[subprocess.Popen[str]]:
    """A student's machine that sends the lesson from ``start`` to ``end`` (s), and then silence."""
    return ffmpeg(
        *("-ss", f"{start}", "-t", f"{end - start}", "-i", str(LESSON)),
        *("-af", f"apad=pad_dur={silence},arealtime"),  # -re would hurry the silence
        *("-c:a", "aac", "-ar", "44100", "-f", "flv", url),
    )


def viewer(url: str, path: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    """A viewer's machine that keeps what it is sent, with the time stamps that were sent."""
    return ffmpeg("-copyts", "-i", url, "-c", "copy", "-y", str(path))


def await_that(happened: Callable[[], object], within: float = 30.0) -> None:
    """Wait until ``happened`` says so."""
    deadline = time.monotonic() + within
    while not happened():
        assert time.monotonic() < deadline, f"{happened} did not happen within {within:g} s"
        time.sleep(0.1)
