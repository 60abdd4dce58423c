"""A turn, as an event log has it."""

from __future__ import annotations

from typing import Any

ANCHOR = 1000.0
"""The monotonic clock where the lesson's media time begins."""


def record(type_: str, t: float, **fields: Any) -> dict[str, Any]:
    return {"type": type_, "t": t, "wall": ANCHOR + t, **fields}


def begun(**fields: Any) -> dict[str, Any]:
    backends = {"brain": "coach", "voice": "piper"}
    started = record("session_started", 0.0, persona="mary", pace="realtime", backends=backends)
    return {**started, "wall": ANCHOR - 20.0, **fields}  # before the models were loaded


def wake_turn(epoch: int = 1) -> list[dict[str, Any]]:
    """Asked from 8.0 to 9.0 s, prepared from 8.3 s, heard from 9.6 to 12.0 s, and interrupted."""
    latency = {"hearing": 0.2, "turn": 0.1, "brain": 0.03, "face": 0.03, "playout": 0.05}
    latency |= {"total": 0.6}
    spoken = {"voice": "piper", "ttfb": 0.1, "rtf": 0.2, "duration": 2.0, "until": 8.9}
    answered = {"brain": "coach", "ttft": 0.02, "duration": 0.05, "clauses": 1, "since": 8.3}
    stopped = {"cause": "speech", "heard_text": "ANS", "silence_at": 12.0}
    change = {"from": "passive_listening", "to": "responding", "cause": "wake"}
    wake = {"phrase": "teacher, comment", "score": 97.0, "text": "SAID", "start": 8.0, "end": 9.0}
    return [
        record("speech_started", 8.2, since=8.0),
        record("wake", 9.3, **wake),
        record("state", 9.3, **change),
        record("question", 9.3, epoch=epoch, kind="wake", text="SAID"),
        record("summary", 9.3, epoch=epoch, duration=0.01, takes=1, notes=40, observations=[]),
        record("reply_text", 9.3, epoch=epoch, text="ANSWER.", brain="coach"),
        record("spoken", 9.3, epoch=epoch, **spoken),
        record("answered", 9.3, epoch=epoch, **answered),
        record("reply_started", 9.61, epoch=epoch, latency=latency),
        record("adapter_failed", 10.0, port="voice", adapter="piper", error="VoiceError", text="E"),
        record("resumed", 10.8, epoch=epoch, cause="speech", silent=0.3),
        record("speech_started", 11.9, since=11.7),
        record("reply_stopped", 12.1, epoch=epoch, **stopped),
    ]
