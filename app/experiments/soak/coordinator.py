"""Who tells `maestra serve` what to do: the standard library's HTTP is all it takes."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from ..serving import TOKEN, Serving

__all__ = ["Coordinator"]

_OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class Coordinator:
    """Tells a service that runs what to do. Its sessions' events, as they are told, go to
    ``events.jsonl`` in ``folder``.
    """

    def __init__(self, folder: Path, served: Serving) -> None:
        self.folder = folder
        self.lost_events = 0
        self.address = served.address
        self.process = served.process

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
                "Authorization": f"Bearer {TOKEN}",
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
