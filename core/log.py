"""The event log's schema: what a session says about itself, one record at a time.

A session's log is JSON Lines. Every line is one record: an object with ``t`` (seconds of session
media time), ``wall`` (seconds of a monotonic clock) and ``type``, and the fields of that type.
``encode`` makes the object, ``decode`` reads it back, ``problems`` says what is wrong with a line
and ``check_log`` what is wrong with a whole log.

The schema is public and versioned. Within one version types and fields may be added, so a reader
passes over what it does not know, and nothing is removed, renamed or given another meaning.
"""

from __future__ import annotations

import enum
import json
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

import attrs
from attrs import Attribute, field, frozen

from .conversation.commands import QuestionKind
from .hearing import FloorLabel

__all__ = [
    "RECORD_TYPES",
    "SCHEMA_VERSION",
    "AdapterFailed",
    "AdapterSwitched",
    "Answered",
    "Beat",
    "ConfigChanged",
    "ConnectionRestored",
    "ContextReset",
    "FaceDegraded",
    "Fact",
    "Floor",
    "Latency",
    "LogError",
    "Note",
    "Question",
    "Record",
    "Remark",
    "ReplyStarted",
    "ReplyStopped",
    "ReplyText",
    "Resumed",
    "SessionEnded",
    "SessionStarted",
    "Slice",
    "SpeechStarted",
    "SpeechStopped",
    "Spoken",
    "State",
    "Stated",
    "Summary",
    "TakeEnded",
    "TakeStarted",
    "Timer",
    "Transcript",
    "Wake",
    "Warned",
    "check_log",
    "decode",
    "describe_type",
    "encode",
    "field_name",
    "problems",
]

SCHEMA_VERSION = 1

_DIGITS = 4
"""Digits after the point unless a field says otherwise: a tenth of a millisecond."""


class LogError(ValueError):
    """An object is not a record of this schema. The text says where and why."""


def _about(doc: str, *, name: str | None = None, digits: int = _DIGITS) -> dict[str, Any]:
    """What a field means, its name in JSON (if it cannot be an identifier), how it is rounded."""
    return {"doc": doc, "name": name, "digits": digits}


# --- the records --------------------------------------------------------------


@frozen(kw_only=True)
class Record:
    """Anything that happened. ``wall`` is filled in by the log that writes the record."""

    type: ClassVar[str]

    t: float = field(metadata=_about("seconds of session media time"))
    wall: float = field(default=0.0, metadata=_about("seconds of a monotonic clock"))


@frozen(kw_only=True)
class SessionStarted(Record):
    """The first record."""

    type: ClassVar[str] = "session_started"

    schema: int = field(default=SCHEMA_VERSION, metadata=_about("version of this schema"))
    version: str = field(metadata=_about("version of Maestra"))
    ingest: str = field(metadata=_about("the input, without passwords and keys"))
    publish: str | None = field(
        default=None, metadata=_about("the output, without passwords and keys")
    )
    persona: str = field(metadata=_about("id of the persona"))
    pace: Literal["realtime", "fast"] = field(metadata=_about("how time passes"))
    backends: Mapping[str, str] = field(
        factory=dict, metadata=_about("which backend serves each port")
    )
    fallbacks: Mapping[str, tuple[str, ...]] = field(
        factory=dict, metadata=_about("who serves a port after it, in this order")
    )


@frozen(kw_only=True)
class Floor(Record):
    """Who or what has the floor changed."""

    type: ClassVar[str] = "floor"

    label: FloorLabel = field(metadata=_about("what sounds now"))
    since: float = field(metadata=_about("media seconds since when"))


@frozen(kw_only=True)
class SpeechStarted(Record):
    """A voice began to speak, or goes on after its question, which never ended, was cut."""

    type: ClassVar[str] = "speech_started"

    since: float = field(metadata=_about("media seconds since when"))


@frozen(kw_only=True)
class SpeechStopped(Record):
    """The voice fell silent."""

    type: ClassVar[str] = "speech_stopped"

    since: float = field(metadata=_about("media seconds since when"))


@frozen(kw_only=True)
class Transcript(Record):
    """The words of an utterance, perhaps not yet the last word on them."""

    type: ClassVar[str] = "transcript"

    utterance: int = field(metadata=_about("number of the utterance"))
    text: str = field(metadata=_about("its words; empty if there were none"))
    start: float = field(metadata=_about("media seconds where it starts"))
    end: float = field(metadata=_about("media seconds where it ends"))
    final: bool = field(metadata=_about("it will not be revised"))


@frozen(kw_only=True)
class Wake(Record):
    """A wake phrase was heard."""

    type: ClassVar[str] = "wake"

    phrase: str = field(metadata=_about("the wake phrase"))
    score: float = field(metadata=_about("how alike it sounded, 0 to 100", digits=1))
    text: str = field(metadata=_about("the words that were heard"))
    start: float = field(metadata=_about("media seconds where the utterance starts"))
    end: float = field(metadata=_about("media seconds where the utterance ends"))


@frozen(kw_only=True)
class Note(Record):
    """A note was played or sung."""

    type: ClassVar[str] = "note"

    onset: float = field(metadata=_about("media seconds where it starts"))
    offset: float = field(metadata=_about("media seconds where it ends"))
    midi: int = field(metadata=_about("MIDI note number"))
    f0_hz: float | None = field(
        default=None, metadata=_about("its pitch in hertz; null where it has none", digits=2)
    )
    deviation_cents: float | None = field(
        default=None,
        metadata=_about("cents from equal temperament, sharp positive; null likewise", digits=1),
    )
    loudness_db: float = field(metadata=_about("level in dBFS", digits=1))
    confidence: float = field(metadata=_about("0 to 1", digits=3))


@frozen(kw_only=True)
class Beat(Record):
    """A beat of the student's pulse."""

    type: ClassVar[str] = "beat"

    at: float = field(metadata=_about("media seconds where it falls"))
    confidence: float = field(default=1.0, metadata=_about("0 to 1", digits=3))


@frozen(kw_only=True)
class TakeStarted(Record):
    """The student began to play."""

    type: ClassVar[str] = "take_started"

    take: int = field(metadata=_about("number of the take, from 1"))
    start: float = field(metadata=_about("media seconds where it starts"))


@frozen(kw_only=True)
class TakeEnded(Record):
    """The student stopped playing."""

    type: ClassVar[str] = "take_ended"

    take: int = field(metadata=_about("number of the take"))
    start: float = field(metadata=_about("media seconds where it starts"))
    end: float = field(metadata=_about("media seconds where it ends"))
    notes: int = field(metadata=_about("how many notes it has"))
    instrument: str | None = field(
        default=None,
        metadata=_about("what it was played on (`violin`, ...), where that is known for sure"),
    )


@frozen(kw_only=True)
class State(Record):
    """The conversation changed state."""

    type: ClassVar[str] = "state"

    before: str = field(metadata=_about("the state it left", name="from"))
    after: str = field(metadata=_about("the state it entered", name="to"))
    cause: str = field(metadata=_about("the event that did it"))


@frozen(kw_only=True)
class Timer(Record):
    """Something happened to the follow-up window. It expires half a second after its deadline, once
    it is known that nobody had begun to speak by then."""

    type: ClassVar[str] = "timer"

    timer: int = field(metadata=_about("number of the window"))
    action: Literal["started", "cancelled", "expired"] = field(metadata=_about("what happened"))
    deadline: float | None = field(
        default=None, metadata=_about("media seconds when it runs out, if it was started")
    )


@frozen(kw_only=True)
class Question(Record):
    """The teacher was asked something."""

    type: ClassVar[str] = "question"

    epoch: int = field(metadata=_about("number of the reply"))
    kind: QuestionKind = field(metadata=_about("with a wake phrase, or following up"))
    text: str = field(metadata=_about("the question; empty after a bare wake phrase"))


@frozen(kw_only=True)
class Fact:
    """A measured figure."""

    value: float = field(metadata=_about("the figure", digits=2))
    unit: str = field(metadata=_about("bpm, cents, s, db, percent, ratio, count, midi or hz"))
    confidence: float = field(metadata=_about("0 to 1", digits=3))
    start: float | None = field(
        default=None, metadata=_about("media seconds that it was measured from; null: not told")
    )
    end: float | None = field(
        default=None, metadata=_about("media seconds that it was measured to; null likewise")
    )


@frozen(kw_only=True)
class Remark:
    """An observation: something worth saying."""

    kind: str = field(metadata=_about("what kind of thing"))
    take: int = field(metadata=_about("number of the take"))
    start: float = field(metadata=_about("media seconds where it starts"))
    end: float = field(metadata=_about("media seconds where it ends"))
    text: str = field(metadata=_about("one sentence of fact"))
    facts: Mapping[str, Fact] = field(factory=dict, metadata=_about("the figures behind it"))


@frozen(kw_only=True)
class Summary(Record):
    """What was known of the performance when a question was asked."""

    type: ClassVar[str] = "summary"

    epoch: int = field(metadata=_about("number of the reply it is for"))
    duration: float = field(metadata=_about("wall seconds it took to summarise"))
    takes: int = field(metadata=_about("how many takes there were"))
    notes: int = field(metadata=_about("how many notes there were"))
    observations: tuple[Remark, ...] = field(
        default=(), metadata=_about("what is worth saying, best first")
    )


@frozen(kw_only=True)
class Stated:
    """A figure that an answer states, and the measured figure that stands behind it. Where several
    could, the one that was most worth telling, or else was measured last."""

    said: str = field(metadata=_about("the words of the figure"))
    at: int = field(metadata=_about("which character of the clause they begin at, from 0"))
    name: str = field(
        metadata=_about("what was measured; stretch: the time that something was measured on")
    )
    detail: str = field(
        default="", metadata=_about("which of several: a note's name, a place; or empty")
    )
    take: int | None = field(
        default=None, metadata=_about("number of the take; null: of all that was played")
    )
    fact: Fact = field(metadata=_about("the figure as it was measured"))


@frozen(kw_only=True)
class ReplyText(Record):
    """A brain wrote (a part of) an answer."""

    type: ClassVar[str] = "reply_text"

    epoch: int = field(metadata=_about("number of the reply"))
    text: str = field(metadata=_about("the clause"))
    brain: str = field(metadata=_about("who wrote it"))
    figures: tuple[Stated, ...] = field(
        default=(), metadata=_about("the figures in it, and where they were measured")
    )


@frozen(kw_only=True)
class Answered(Record):
    """A brain has written what it will of an answer. Of an answer that was prepared in vain there
    is none, though it was asked for."""

    type: ClassVar[str] = "answered"

    epoch: int = field(metadata=_about("number of the reply"))
    brain: str = field(metadata=_about("the backend"))
    ttft: float = field(
        metadata=_about("wall seconds from asking it to its first clause (TTFT and a clause)")
    )
    duration: float = field(metadata=_about("wall seconds from asking it to its last clause"))
    clauses: int = field(metadata=_about("how many clauses of it were passed on"))
    since: float | None = field(
        default=None,
        metadata=_about(
            "media seconds when the answer was asked for; before the question, if it was prepared"
        ),
    )


@frozen(kw_only=True)
class Spoken(Record):
    """A voice has spoken a clause."""

    type: ClassVar[str] = "spoken"

    epoch: int = field(metadata=_about("number of the reply"))
    voice: str = field(metadata=_about("the backend"))
    ttfb: float = field(metadata=_about("wall seconds from the clause to its first sound (TTFB)"))
    rtf: float = field(metadata=_about("seconds it took, for each second of sound (RTF)", digits=3))
    duration: float = field(metadata=_about("seconds of sound"))
    until: float | None = field(
        default=None,
        metadata=_about(
            "media seconds when it was ready; before the question, if the answer was prepared"
        ),
    )


@frozen(kw_only=True)
class Latency:
    """Where the time went between the end of a question and the first word of its answer, in
    seconds. ``null`` where a part was not measured."""

    hearing: float | None = field(
        default=None, metadata=_about("end of the speech to its final words")
    )
    turn: float | None = field(default=None, metadata=_about("final words to the end of the turn"))
    brain: float | None = field(default=None, metadata=_about("question to first clause"))
    voice: float | None = field(default=None, metadata=_about("first clause to first sound"))
    face: float | None = field(default=None, metadata=_about("start of playout to first picture"))
    playout: float | None = field(
        default=None, metadata=_about("start of playout to first slice written")
    )
    total: float = field(metadata=_about("end of the speech to first slice written"))


@frozen(kw_only=True)
class ReplyStarted(Record):
    """The first sound of an answer was put out."""

    type: ClassVar[str] = "reply_started"

    epoch: int = field(metadata=_about("number of the reply"))
    latency: Latency = field(metadata=_about("where the time went"))


@frozen(kw_only=True)
class ReplyStopped(Record):
    """An answer ended, one way or another."""

    type: ClassVar[str] = "reply_stopped"

    epoch: int = field(metadata=_about("number of the reply"))
    cause: Literal["finished", "speech", "music", "reset", "failed"] = field(
        metadata=_about("why it ended")
    )
    heard_text: str = field(metadata=_about("the part of it that was played"))
    silence_at: float = field(metadata=_about("media seconds of the first silent slice"))


@frozen(kw_only=True)
class Slice(Record):
    """Once a second: how the output fares."""

    type: ClassVar[str] = "slice"

    fps: float = field(metadata=_about("frames written in the last second", digits=2))
    held: int = field(metadata=_about("frames that repeat the one before for want of a new one"))
    underruns: int = field(metadata=_about("slices of a reply that were not there in time"))
    late: int = field(metadata=_about("slices written late"))
    queued: float = field(metadata=_about("seconds of slices that wait"))
    av_offset: float | None = field(
        default=None,
        metadata=_about(
            "sound minus picture as they are put out, seconds, the most in that second: 0 while all"
            " sound of a reply has its own picture, more where it was ahead of a picture that was"
            " shown again; null if nothing was said, or there is no picture"
        ),
    )
    render_rtf: float | None = field(
        default=None,
        metadata=_about(
            "seconds that the face took, for each second of speech that it has drawn since the"
            " record before; null if it drew none, or not in real time",
            digits=3,
        ),
    )


@frozen(kw_only=True)
class Resumed(Record):
    """What seemed to interrupt a reply was no interruption: the teacher went on."""

    type: ClassVar[str] = "resumed"

    epoch: int = field(metadata=_about("number of the reply"))
    cause: Literal["speech", "music"] = field(metadata=_about("what it seemed to be"))
    silent: float = field(metadata=_about("seconds from the suspicion to going on"))


@frozen(kw_only=True)
class ConnectionRestored(Record):
    """An input or an output that was gone is back, or an output that was too slow keeps up."""

    type: ClassVar[str] = "connection_restored"

    port: Literal["ingest", "publish"] = field(metadata=_about("which of them"))
    after: float = field(metadata=_about("seconds that it was gone"))


@frozen(kw_only=True)
class AdapterFailed(Record):
    """A backend failed, and the session went on."""

    type: ClassVar[str] = "adapter_failed"

    port: str = field(
        metadata=_about(
            "brain, voice, face, senses.asr (the recogniser), senses (what else hears), ingest,"
            " publish or browsers"
        )
    )
    adapter: str = field(metadata=_about("name of the backend"))
    error: str = field(metadata=_about("class of the error"))
    text: str = field(metadata=_about("what it said"))


@frozen(kw_only=True)
class AdapterSwitched(Record):
    """The next backend took over."""

    type: ClassVar[str] = "adapter_switched"

    port: str = field(metadata=_about("brain, voice, face or senses.asr (the recogniser)"))
    before: str = field(metadata=_about("the backend that failed", name="from"))
    after: str = field(metadata=_about("the backend that took over", name="to"))


@frozen(kw_only=True)
class FaceDegraded(Record):
    """A face is shown in another way than before. The voice goes on, whatever the level."""

    type: ClassVar[str] = "face_degraded"

    face: str = field(metadata=_about("the backend"))
    level: str = field(
        metadata=_about(
            "full: every picture is drawn; fewer: every second one; held: what comes, and the last"
            " one until then; still: an idle picture until then. Or what was done: smaller (fewer"
            " pictures are drawn at once), again (it is asked again), anew (it is built anew)"
        )
    )
    cause: str = field(metadata=_about("why"))


@frozen(kw_only=True)
class ConfigChanged(Record):
    """Settings changed while the session ran."""

    type: ClassVar[str] = "config_changed"

    values: Mapping[str, object] = field(metadata=_about("new values by dotted key"))


@frozen(kw_only=True)
class ContextReset(Record):
    """A new student or a new piece."""

    type: ClassVar[str] = "context_reset"

    turns: int = field(metadata=_about("how many turns of conversation were forgotten"))
    performance: bool = field(metadata=_about("the performance was forgotten too"))


@frozen(kw_only=True)
class Warned(Record):
    """Something is not as it should be, and the session went on."""

    type: ClassVar[str] = "warning"

    source: str = field(metadata=_about("who says so"))
    text: str = field(metadata=_about("one sentence"))


@frozen(kw_only=True)
class SessionEnded(Record):
    """The last record."""

    type: ClassVar[str] = "session_ended"

    cause: Literal["finished", "stopped", "failed"] = field(
        metadata=_about("the input ended, somebody stopped it, or it could not go on")
    )
    text: str = field(default="", metadata=_about("what failed, if something did"))


RECORD_TYPES: Mapping[str, type[Record]] = types.MappingProxyType(
    {
        cls.type: cls
        for cls in (
            SessionStarted,
            Floor,
            SpeechStarted,
            SpeechStopped,
            Transcript,
            Wake,
            Note,
            Beat,
            TakeStarted,
            TakeEnded,
            State,
            Timer,
            Question,
            Summary,
            ReplyText,
            Resumed,
            Answered,
            Spoken,
            ReplyStarted,
            ReplyStopped,
            Slice,
            AdapterFailed,
            ConnectionRestored,
            AdapterSwitched,
            FaceDegraded,
            ConfigChanged,
            ContextReset,
            Warned,
            SessionEnded,
        )
    }
)
"""Every record class by its ``type``, in the order of a session's life."""

for _cls in (Fact, Remark, Stated, Latency, *RECORD_TYPES.values()):
    attrs.resolve_types(_cls, globals(), locals())


# --- writing ------------------------------------------------------------------


def encode(record: Record) -> dict[str, Any]:
    """The JSON object of ``record``, rounded as the schema says."""
    return {
        "t": _write(record.t, _DIGITS),
        "wall": _write(record.wall, _DIGITS),
        "type": record.type,
        **{
            field_name(a): _write(getattr(record, a.name), a.metadata["digits"])
            for a in attrs.fields(type(record))
            if a.name not in ("t", "wall")
        },
    }


def _write(value: Any, digits: int) -> Any:
    match value:
        case enum.Enum():
            return value.value
        case float():
            return round(value, digits) + 0.0  # + 0.0 makes of -0.0 a 0.0
        case Mapping():
            return {str(key): _write(item, digits) for key, item in value.items()}
        case list() | tuple():
            return [_write(item, digits) for item in value]
        case _ if attrs.has(type(value)):
            return {
                field_name(a): _write(getattr(value, a.name), a.metadata["digits"])
                for a in attrs.fields(type(value))
            }
        case _:
            return value


def field_name(attribute: Attribute[Any]) -> str:
    """What the attribute of a record is called in JSON."""
    return str(attribute.metadata["name"] or attribute.name)


# --- reading ------------------------------------------------------------------


def decode(line: str | Mapping[str, Any]) -> Record:
    """The record that ``line`` (a JSON text or its object) holds. Unknown fields are passed over.

    :raises LogError: it holds none.
    """
    record, complaints = _examine(line)
    if record is None:
        raise LogError("; ".join(complaints))
    return record


def problems(line: str | Mapping[str, Any]) -> tuple[str, ...]:
    """What is wrong with ``line``: empty if it obeys the schema to the letter."""
    return tuple(_examine(line, exact=True)[1])


def _examine(
    line: str | Mapping[str, Any], *, exact: bool = False
) -> tuple[Record | None, list[str]]:
    try:
        content = json.loads(line, parse_constant=_refuse) if isinstance(line, str) else line
    except ValueError as error:
        return None, [f"not JSON: {error}"]
    if not isinstance(content, Mapping):
        return None, ["not an object"]
    cls = RECORD_TYPES.get(str(content.get("type")))
    if cls is None:
        return None, [f"type: {content.get('type')!r} is unknown"]
    complaints: list[str] = []
    unknown: list[str] = []
    given = {key: value for key, value in content.items() if key != "type"}
    record = _build(cls, given, "", complaints, unknown)
    if exact:
        # ``wall`` has a default only until the log has filled it in.
        complaints += ["wall: missing"] if "wall" not in given else []
        complaints += [f"{name}: not a field of {cls.type}" for name in unknown]
    return record, complaints


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not a number of JSON")


def _build(
    cls: type[Any],
    content: Mapping[str, Any],
    where: str,
    complaints: list[str],
    unknown: list[str],
) -> Any:
    """An instance of ``cls``, or ``None`` with a new complaint."""
    before = len(complaints)
    values: dict[str, Any] = {}
    known = set()
    for attribute in attrs.fields(cls):
        name = field_name(attribute)
        known.add(name)
        if name not in content:
            if attribute.default is attrs.NOTHING:
                complaints.append(f"{where}{name}: missing")
            continue
        values[attribute.name] = _read(
            content[name], attribute.type, f"{where}{name}", complaints, unknown
        )
    unknown += [f"{where}{name}" for name in content if name not in known]
    return cls(**values) if len(complaints) == before else None


def _read(value: Any, kind: Any, where: str, complaints: list[str], unknown: list[str]) -> Any:
    """``value`` as a ``kind``, or ``None`` with a new complaint."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is object:
        return value
    if origin in (Union, types.UnionType):
        return None if value is None else _read(value, arguments[0], where, complaints, unknown)
    if origin is Literal:
        if value in arguments:
            return value
    elif origin is tuple:
        if isinstance(value, Sequence) and not isinstance(value, str):
            return tuple(
                _read(item, arguments[0], f"{where}[{number}]", complaints, unknown)
                for number, item in enumerate(value)
            )
    elif origin is Mapping:
        if isinstance(value, Mapping):
            return {
                key: _read(item, arguments[1], f"{where}.{key}", complaints, unknown)
                for key, item in value.items()
            }
    elif attrs.has(kind):
        if isinstance(value, Mapping):
            return _build(kind, value, f"{where}.", complaints, unknown)
    elif issubclass(kind, enum.Enum):
        if value in [member.value for member in kind]:
            return kind(value)
    elif kind is float:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    elif type(value) is kind:
        return value
    complaints.append(f"{where}: {value!r} is not {describe_type(kind)}")
    return None


def describe_type(kind: Any) -> str:
    """A field's type in words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return f"{describe_type(arguments[0])} or null"
    if origin is Literal:
        return " | ".join(arguments)
    if origin is tuple:
        return f"list of {describe_type(arguments[0])}"
    if origin is Mapping:
        return f"object of {describe_type(arguments[1])}"
    if attrs.has(kind):
        return str(kind.__name__).lower()
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return " | ".join(str(member.value) for member in kind)
    return {float: "number", int: "integer", str: "string", bool: "boolean"}.get(kind, "any value")


# --- a whole log --------------------------------------------------------------


def check_log(lines: Iterable[str], *, complete: bool = True) -> tuple[str, ...]:
    """What is wrong with a session's log: its lines, one by one and together.

    Together: it starts with ``session_started`` and (if ``complete``) ends with ``session_ended``;
    ``wall`` never goes back; each state is left for the next; replies are numbered upwards, never
    two are heard at once, each that starts stops, and what stops is the one that is heard. (One
    that was given up before a sound of it was heard stops, too, but did not finish.)
    """
    complaints: list[str] = []
    records: list[tuple[int, Record]] = []
    for number, line in enumerate(lines, start=1):
        wrong = problems(line)
        complaints += [f"line {number}: {text}" for text in wrong]
        if not wrong:
            records.append((number, decode(line)))
    if not records:
        return (*complaints, "the log is empty")
    if not isinstance(records[0][1], SessionStarted):
        complaints.append("the first record is not session_started")
    if complete and not isinstance(records[-1][1], SessionEnded):
        complaints.append("the last record is not session_ended")
    wall = -math.inf
    playing: int | None = None
    newest = stopped = 0
    state: str | None = None
    for number, record in records:
        if record.wall < wall:
            complaints.append(f"line {number}: wall went back from {wall} to {record.wall}")
        wall = record.wall
        match record:
            case ReplyStarted(epoch=epoch):
                if playing is not None:
                    complaints.append(f"line {number}: reply {epoch} while {playing} is heard")
                if epoch <= newest:
                    complaints.append(f"line {number}: reply {epoch} after reply {newest}")
                playing, newest = epoch, max(newest, epoch)
            case ReplyStopped(epoch=epoch, cause=cause):
                if playing is not None and epoch != playing:
                    complaints.append(f"line {number}: reply {epoch} stopped, {playing} is heard")
                elif epoch <= stopped:
                    complaints.append(f"line {number}: reply {epoch} stopped after {stopped} had")
                elif playing is None and cause == "finished":
                    complaints.append(f"line {number}: reply {epoch} finished and never started")
                if epoch == playing:
                    playing = None
                stopped = max(stopped, epoch)
            case State(before=before, after=after):
                if state is not None and before != state:
                    complaints.append(f"line {number}: left {before} while in {state}")
                state = after
            case _:
                pass
    if complete and playing is not None:
        complaints.append(f"reply {playing} never stopped")
    return tuple(complaints)
