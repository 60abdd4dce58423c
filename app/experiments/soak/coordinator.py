"""`maestra serve`, and who tells it what to do: the standard library's HTTP is all it takes."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

__all__ = ["Coordinator"]

_OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
_LEAVES_WITHIN = 40.0


class Coordinator:
    """Runs the service with ``settings``. Its log goes to ``folder``, and its sessions' events, as
    they are told, to ``events.jsonl`` there.

    :raises RuntimeError: the service does not start.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        self.folder = folder
        self.lost_events = 0
        self._token = secrets.token_hex(16)
        sets = [part for one in ("service.port=0", *settings) for part in ("--set", one)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "maestra.app.cli", "serve", *sets],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "MAESTRA_SERVICE_TOKEN": self._token},
            start_new_session=True,  # a terminal's Ctrl-C is for us
        )
        assert self.process.stderr is not None
        first = self.process.stderr.readline()
        threading.Thread(target=self._copy, daemon=True).start()
        try:
            self.address = str(json.loads(first)["address"])
        except (ValueError, KeyError) as error:
            self.process.kill()
            raise RuntimeError(f"the service does not start: {first.decode()}") from error

    def _copy(self) -> None:
        assert self.process.stderr is not None
        with (self.folder / "service.log").open("wb") as file:
            for line in self.process.stderr:
                file.write(line)
                file.flush()

    def call(self, path: str, body: object = None) -> dict[str, Any]:
        """POST ``body``, or GET if there is none.

        :raises OSError: it is refused, or not answered.
        """
        with _OPEN(self._request(path, body), timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def _request(self, path: str, body: object = None, **headers: str) -> urllib.request.Request:
        return urllib.request.Request(
            self.address + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                **headers,
            },
        )

    def follow(self, session: str) -> threading.Thread:
        """Write down what ``session`` tells, to its end, in a thread."""
        thread = threading.Thread(target=self._follow, args=(session,), daemon=True)
        thread.start()
        return thread

    def _follow(self, session: str) -> None:
        last = "0"
        with (self.folder / "events.jsonl").open("w", encoding="utf-8") as file:
            while True:
                headers = {"Last-Event-ID": last, "Accept": "text/event-stream"}
                try:
                    request = self._request(f"/session/{session}/events", **headers)
                    with _OPEN(request, timeout=60) as answer:
                        if answer.status == 204:  # it is over, and all of it was told
                            return
                        for raw in answer:
                            line = raw.decode().rstrip("\n")
                            if line.startswith("id: "):
                                last = line[4:]
                            elif line.startswith("event: lost"):
                                self.lost_events += 1
                            elif line.startswith("data: "):
                                file.write(line[6:] + "\n")
                                file.flush()
                except OSError:
                    if self.process.poll() is not None:
                        return

    def end(self) -> None:
        """Stop the service, sessions and all."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_LEAVES_WITHIN)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
