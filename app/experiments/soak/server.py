"""nginx with its RTMP module, on ports of its own, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import define, field

__all__ = ["CONFIGURATION", "KEY", "RtmpServer", "free_port", "missing"]

CONFIGURATION = Path("deploy/nginx/nginx.conf")
"""In a checkout of the project."""

KEY = "change-this-key"
"""What that file lets publishers to ``avatar/`` in by."""

_MODULES = Path("/usr/lib/nginx/modules")
_STARTS_WITHIN = 10.0
_OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def missing(*modules: str) -> str:
    """What is not installed that is needed here; empty if all is."""
    wanted = ["ngx_rtmp_module", *modules]
    lacking = [name for name in wanted if not (_MODULES / f"{name}.so").exists()]
    if shutil.which("nginx") is None:
        lacking.insert(0, "nginx")
    return ", ".join(lacking)


def free_port() -> int:
    """A loopback port that nobody uses just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@define
class RtmpServer:
    """nginx as ``configuration`` says, but for its ports; what it writes goes to ``folder``.

    :param configuration: files of nginx; the first is the main one.
    """

    folder: Path
    configuration: Sequence[Path] = (CONFIGURATION,)
    ports: Mapping[int, int] = field(init=False)
    """The port in use for each that stands in the configuration."""
    _process: subprocess.Popen[bytes] | None = None

    def __attrs_post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports = {port: free_port() for port in (1935, 8935, 1936, 8322, 8554)}
        for file in self.configuration:
            text = file.read_text(encoding="utf-8")
            for stands, used in self.ports.items():
                text = text.replace(f"127.0.0.1:{stands}", f"127.0.0.1:{used}")
            (self.folder / file.name).write_text(text, encoding="utf-8")

    def url(self, application: str, name: str) -> str:
        """Where to publish ``name`` to, or to find it."""
        query = f"?key={KEY}" if application == "avatar" else ""
        return f"rtmp://localhost:{self.ports[1935]}/{application}/{name}{query}"

    def start(self) -> None:
        """Start it, and wait until it takes connections.

        :raises RuntimeError: it does not.
        """
        main = self.configuration[0].name
        with (self.folder / "output.txt").open("ab") as output:
            self._process = subprocess.Popen(
                ["nginx", "-p", str(self.folder), "-c", main, "-e", "error.log"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _STARTS_WITHIN
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"nginx does not start; see {self.folder}/output.txt")
            time.sleep(0.02)

    def _listens(self) -> bool:
        try:
            self._ask("stat")
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """End it as a power cut would: no goodbye to anybody."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        self._process = None

    def drop(self, application: str, name: str) -> bool:
        """End the connection of who publishes ``name``; false if nobody does."""
        try:
            where = f"control/drop/publisher?app={application}&name={name}"
            return int(self._ask(where)) > 0
        except (OSError, ValueError):
            return False

    def publishes(self, application: str, name: str) -> bool:
        """Whether somebody publishes ``name``."""
        try:
            listed = ET.fromstring(self._ask("stat"))
        except (OSError, ET.ParseError):
            return False
        for one in listed.iter("application"):
            if one.findtext("name") == application:
                for stream in one.iter("stream"):
                    if stream.findtext("name") == name:
                        return stream.find("publishing") is not None
        return False

    def _ask(self, where: str) -> str:
        with _OPEN(f"http://127.0.0.1:{self.ports[8935]}/{where}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text
