"""A session's process that holds no lesson: it answers as a runner does, at once, and misbehaves
when it is told to by the stream it is pointed at.

The last part of the input's path says how: ``crash`` dies when it has begun, ``deaf`` never
answers and never leaves, ``late`` says nothing for a while, ``silent`` gives no sign of life after
its first, ``refuse`` cannot begin, ``idle`` gets no input, ``end`` ends when it has begun, ``talk``
tells the input's address aloud, ``sums`` tells it beside numbers, ``strange`` has an event that
nobody can count, ``garbled`` says what is no message, ``unwell`` has no figures in its status,
``turn`` asks and answers, ``many`` has 25 000 events, ``busy`` cannot publish, ``back`` could not
but can again, ``encoder`` publishes without the encoder that was wanted, ``script`` tells what
stands in the event log that the variable FAKE_LOG names, and what is added to it, ``pinned`` tells
where the service found its streams to lead. Anything else is
a lesson that runs until it is stopped.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from typing import Any

_LIVE = {
    "wake_phrases": ["teacher, comment"],
    "strictness": "medium",
    "window": 10.0,
    "silence_complete": 0.2,
    "silence_open": 0.9,
    "max_utterance": 30.0,
    "speech_threshold": 0.1,
    "music_threshold": 0.15,
}


class _Fake:
    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._received = b""
        self._live: dict[str, Any] = dict(_LIVE)
        self._how = ""
        self._told = 0
        self._state, self._floor, self._t = "passive_listening", "silence", 1.0

    def hear(self, patience: float | None = None) -> dict[str, Any] | None:
        """The next message; ``None`` if there is none within ``patience`` seconds. Leaves with the
        service."""
        while b"\n" not in self._received:
            if not select.select([self._end], [], [], patience)[0]:
                return None
            data = self._end.recv(65_536)
            if not data:
                sys.exit(0)
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def say(self, **message: Any) -> None:
        self._end.sendall(json.dumps(message).encode() + b"\n")

    def event(self, type_: str, **fields: Any) -> None:
        self.say(event={"t": 1.0, "wall": time.monotonic(), "type": type_, **fields})

    def status(self) -> None:
        self.say(
            status={
                "t": self._t,
                "state": self._state,
                "floor": self._floor,
                "takes": 0,
                "notes": 0,
                "fps": 25.0,
                "input_gone": 1e6 if self._how == "idle" else 0.0,
                "running": True,
                "memory": None if self._how == "script" else 1000,
            }
        )

    def recite(self) -> None:
        """Tell the whole lines that the log has more than before."""
        with open(os.environ["FAKE_LOG"], "rb") as file:
            file.seek(self._told)
            lines = file.read()
        lines = lines[: lines.rfind(b"\n") + 1]
        self._told += len(lines)
        for line in lines.splitlines():
            record = json.loads(line)
            self._t = record["t"]
            self._state = record["to"] if record["type"] == "state" else self._state
            self._floor = record["label"] if record["type"] == "floor" else self._floor
            self.say(event=record)

    def run(self) -> int:
        first = self.hear()
        assert first is not None
        url = first["ingest"]["url"]
        self._how = url.rpartition("/")[2].partition("?")[0]
        if self._how == "late":
            time.sleep(2.8)
        if self._how != "script":
            self.event("session_started", ingest="rtmp://x/live/***")
        match self._how:
            case "refuse":
                self.say(ended={"cause": "failed", "text": f"{url} has no sound"})
                return 0
            case "silent":
                time.sleep(600)
            case "talk":
                self.event("warning", source="ingest", text=f"{url} is gone")
                print(f"{url} is broken", file=sys.stderr, flush=True)
            case "sums":
                fields = {"source": "ingest", "text": f"{url} is gone", "n": [1234, 1234.5]}
                self.say(event={"t": 1234.5, "wall": 81234.25, "type": "warning", **fields})
            case "strange":
                figures = {"underruns": 0, "held": 0, "late": 0, "queued": 0.1}
                self.event("slice", fps="many", **figures)
                self.event("reply_started", epoch=1, latency=None)
            case "turn":
                self.event("question", epoch=1, kind="wake", text="How was it?")
                self.event("adapter_failed", port="brain", adapter="x", error="E", text=url)
                latency = {"brain": 0.01, "face": None, "total": 0.62}
                self.event("reply_started", epoch=1, latency=latency)
                stopped = {"cause": "finished", "heard_text": "Well.", "silence_at": 1.0}
                self.event("reply_stopped", epoch=1, **stopped)
            case "pinned":
                found = [first[way]["pinned"] for way in ("ingest", "publish")]
                self.event("warning", source="pinned", text=" ".join(found))
            case "encoder":
                failed = {"port": "publish", "adapter": "nvenc", "text": "there is no such encoder"}
                self.event("adapter_failed", **failed)
            case "busy" | "back":
                self.event("adapter_failed", port="publish", text="the stream is busy")
                if self._how == "back":
                    self.event("connection_restored", port="publish", after=1.0)
            case "many":
                for number in range(25_000):
                    self.event("beat", at=number)
        self.say(answer=first["id"], result={})
        self.status()
        if self._how == "crash":
            os.abort()
        if self._how == "unwell":
            self.say(status={"running": True, "memory": "much", "input_gone": 0.0})
        if self._how == "garbled":
            self._end.sendall(b'{"event": \n')
        if self._how == "end":
            self.end("finished")
            return 0
        while True:
            if self._how == "script":
                self.recite()
            message = self.hear(0.02 if self._how == "script" else 0.1)
            if message is None:
                self.status()
            if message is None or self._how == "deaf":
                continue
            self.say(answer=message["id"], result=self.do(message))
            if message["do"] == "stop":
                self.event("session_ended", cause="stopped", text="")
                self.end("stopped")
                return 0

    def end(self, cause: str) -> None:
        self.say(summary={"summary": {"takes": [{"number": 1}]}, "observations": []})
        self.say(ended={"cause": cause, "text": ""})

    def do(self, message: dict[str, Any]) -> dict[str, Any]:
        match message["do"]:
            case "config":
                for key, value in message["values"].items():
                    self._live[key.rpartition(".")[2]] = value
                self.event("config_changed", values=message["values"])
                return self._live
            case "reset":
                return {"turns": 2, "performance": message["performance"]}
            case "summary":
                return {"summary": {"takes": []}, "observations": []}
            case "connect":  # is answered, unless the offer's name says how it is refused
                if not message["offer"].startswith("v=0"):
                    return {"refused": "malformed", "text": "This is no offer."}
                for line in message["offer"].splitlines():
                    if line.startswith("s=") and line[2:] not in ("", "-"):
                        return {"refused": line[2:], "text": f"It is {line[2:]}."}
                return {"peer": f"peer-of-{message['way']}", "sdp": "v=0\r\ns=answer\r\n"}
            case "disconnect":
                if not message["peer"].startswith("peer-of-"):
                    return {"refused": "unknown", "text": "There is none."}
        return {}


if __name__ == "__main__":
    sys.exit(_Fake(socket.socket(fileno=int(sys.argv[1]))).run())
