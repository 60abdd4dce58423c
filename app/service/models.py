"""What is asked and answered, as attrs classes: the framework checks requests by them, and the
schema is made of them. A field's ``doc`` is its description there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

__all__ = [
    "Cleared",
    "ConfigRequest",
    "Connection",
    "Effective",
    "Ended",
    "Figures",
    "Listed",
    "Measured",
    "Overview",
    "Performance",
    "PersonaView",
    "ResetAnswer",
    "ResetRequest",
    "StartRequest",
    "Started",
    "Status",
    "StopAnswer",
    "StopRequest",
    "Wellbeing",
]


def _about(doc: str, **constraints: Any) -> dict[str, Any]:
    """What a field means, and what the schema says of it besides its type."""
    return {"doc": doc, "schema": constraints}


_STREAM = "(?:[Rr][Tt][Mm][Pp]|[Rr][Tt][Ss][Pp])[Ss]?://"
_WHICH = "which session is meant; may be left out while only one runs"


# --- requests -----------------------------------------------------------------


@frozen(kw_only=True)
class StartRequest:
    """A session to begin."""

    rtmp_ingest_url: str = field(
        metadata=_about(
            "where the student is heard: rtmp, rtmps, rtsp or rtsps; with ?listen=1 (rtmp) the"
            " publisher comes to us; or whip: for a browser, which then comes by the link whip",
            pattern=f"^(?:{_STREAM}|[Ww][Hh][Ii][Pp]:$)",
        )
    )
    rtmp_publish_url: str = field(
        metadata=_about(
            "where the teacher goes, likewise; or whep: for nowhere but to browsers, which may"
            " always come by the link whep",
            pattern=f"^(?:{_STREAM}|[Ww][Hh][Ee][Pp]:$)",
        )
    )
    persona_id: str | None = field(
        default=None, metadata=_about("who teaches; GET /personas lists them")
    )


@frozen(kw_only=True)
class ConfigRequest:
    """Settings to change in mid-lesson: any of them."""

    session_id: str | None = field(default=None, metadata=_about(_WHICH))
    wake_phrases: list[str] | None = None
    strictness: str | None = None
    window: float | None = None
    silence_complete: float | None = None
    silence_open: float | None = None
    max_utterance: float | None = None
    speech_threshold: float | None = None
    music_threshold: float | None = None


@frozen(kw_only=True)
class ResetRequest:
    """A new student sits down, or a new piece begins."""

    session_id: str | None = field(default=None, metadata=_about(_WHICH))
    performance: bool = field(
        default=False, metadata=_about("forget what was played, too, not only what was said")
    )


@frozen(kw_only=True)
class StopRequest:
    """A session to end."""

    session_id: str | None = field(default=None, metadata=_about(_WHICH))


# --- answers ------------------------------------------------------------------

_STATE = _about("starting (its models are loaded), running, stopping or ended")


@frozen(kw_only=True)
class Started:
    """A session has been begun."""

    session_id: str = field(metadata=_about("its id"))
    state: str = field(metadata=_STATE)
    links: Mapping[str, str] = field(
        metadata=_about(
            "session, events and summary: where each is found; whep: where browsers watch it, and"
            " whip: where one is heard, if the input is whip:"
        )
    )


@frozen(kw_only=True)
class Effective:
    """What is in force now."""

    session_id: str = field(metadata=_about("which session"))
    config: Mapping[str, Any] = field(
        metadata=_about("every setting that can change in mid-lesson, with its value")
    )


@frozen(kw_only=True)
class Cleared:
    """What a reset cleared."""

    turns: int = field(metadata=_about("how many turns of conversation"))
    performance: bool = field(metadata=_about("whether the performance was forgotten, too"))


@frozen(kw_only=True)
class ResetAnswer:
    """A context was reset."""

    session_id: str = field(metadata=_about("which session"))
    cleared: Cleared = field(metadata=_about("what was cleared"))


@frozen(kw_only=True)
class Ended:
    """Why a session is over."""

    cause: Literal["finished", "stopped", "idle", "drained", "failed", "crashed", "hung"] = field(
        metadata=_about(
            "its input ended, somebody stopped it, nothing came in for service.idle_timeout, the"
            " service was shut down, it could not go on, its process died, or hung and was killed"
        )
    )
    text: str = field(metadata=_about("one sentence, if there is more to say"))


@frozen(kw_only=True)
class StopAnswer:
    """A session was ended."""

    session_id: str = field(metadata=_about("which session"))
    state: str = field(metadata=_STATE)
    ended: Ended | None = field(metadata=_about("why it is over"))


@frozen(kw_only=True)
class Connection:
    """How the input or the output fares."""

    url: str = field(metadata=_about("its address, without passwords and keys"))
    ok: bool = field(metadata=_about("whether it is well, as far as is known"))
    text: str = field(metadata=_about("what is wrong with it, or last was"))


@frozen(kw_only=True)
class Figures:
    """A latency of the session's replies, in seconds."""

    last: float = field(metadata=_about("of the last reply"))
    mean: float = field(metadata=_about("of all"))
    count: int = field(metadata=_about("how many"))


@frozen(kw_only=True)
class Status:
    """How a session fares."""

    session_id: str = field(metadata=_about("its id"))
    state: str = field(metadata=_STATE)
    started_at: str = field(metadata=_about("when, in UTC"))
    uptime: float = field(metadata=_about("seconds it has run, or ran"))
    persona_id: str = field(metadata=_about("who teaches"))
    conversation: str | None = field(
        metadata=_about(
            "passive_listening, active_listening, responding, speaking or ended; null before it"
            " has begun"
        )
    )
    floor: str | None = field(metadata=_about("who or what sounds"))
    t: float | None = field(metadata=_about("seconds of session media time"))
    takes: int = field(metadata=_about("how many takes were played"))
    notes: int = field(metadata=_about("how many notes were played"))
    fps: float | None = field(metadata=_about("frames written in the last second"))
    memory: int | None = field(metadata=_about("bytes that its processes take"))
    ingest: Connection = field(metadata=_about("the input"))
    publish: Connection = field(metadata=_about("the output"))
    latencies: Mapping[str, Figures] = field(
        metadata=_about(
            "where the time went between the end of a question and the first word of its answer:"
            " hearing, turn, brain, voice, face, playout and total"
        )
    )
    last_event: int = field(metadata=_about("number of its newest event"))
    ended: Ended | None = field(metadata=_about("why it is over, if it is"))


@frozen(kw_only=True)
class Performance:
    """What has been measured of a session's performance."""

    session_id: str = field(metadata=_about("which session"))
    summary: Mapping[str, Any] = field(
        metadata=_about("each figure with unit, confidence and span; absent ones left out")
    )
    observations: list[Mapping[str, Any]] = field(
        metadata=_about("what is worth saying, the most important first")
    )


@frozen(kw_only=True)
class Listed:
    """A session of the list."""

    session_id: str = field(metadata=_about("its id"))
    state: str = field(metadata=_STATE)
    started_at: str = field(metadata=_about("when, in UTC"))
    persona_id: str = field(metadata=_about("who teaches"))
    ended: Ended | None = field(metadata=_about("why it is over, if it is"))


@frozen(kw_only=True)
class Measured:
    """What a session takes of this machine, and how many fit."""

    most: int = field(metadata=_about("how many fit"))
    text: str = field(metadata=_about("why, in words"))
    usable: float = field(metadata=_about("how many processors sessions may keep busy"))
    processors: Mapping[str, float] = field(
        metadata=_about(
            "how many processors one keeps busy while nothing happens (idle), somebody plays"
            " (playing), or somebody speaks or the teacher answers (talking)"
        )
    )
    memory: int = field(metadata=_about("bytes that one takes"))
    at: str = field(metadata=_about("when it was measured, in UTC"))


@frozen(kw_only=True)
class Overview:
    """All sessions that run, and the last that ended."""

    sessions: list[Listed] = field(metadata=_about("the newest last"))
    most: int = field(metadata=_about("how many may run at once"))
    limited_by: Literal["measured", "measuring", "max_sessions", "processors"] = field(
        metadata=_about(
            "what says so: what was measured of this machine; that it is being measured; or, where"
            " that is switched off, service.max_sessions or the number of processors"
        )
    )
    measured: Measured | None = field(
        metadata=_about("what was measured of this machine; null: nothing")
    )


@frozen(kw_only=True)
class PersonaView:
    """Somebody who can teach."""

    persona_id: str = field(metadata=_about("the id"))
    name: str = field(metadata=_about("the name"))
    voices: Mapping[str, str] = field(metadata=_about("the voice, for each voice backend"))


@frozen(kw_only=True)
class Wellbeing:
    """How the service is."""

    status: Literal["ok", "draining"] = field(metadata=_about("ok, or draining"))
