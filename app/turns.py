"""A session's turns as trees of spans, made of its event log.

A turn is a question and its answer: from the student's first word to the teacher's last. ``Turns``
reads the records as they come and gives each turn once it is over; when and where a stage began and
ended is what the records say, so nothing is asked of the session and nothing waits for it.

Instants are seconds of the monotonic clock that stamps the records. What the log knows in media
time is laid on it by the session's anchor: the least ``wall - t`` of what was logged when it
happened. On a virtual clock (``pace`` ``fast``) time is the lesson's own, counted from its first
record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import define, evolve, field, frozen

__all__ = ["Mark", "Span", "Turns"]

Value = str | int | float | bool

_MUSIC: Final = frozenset({"playing", "singing", "both"})

_HAPPENS_ELSEWHERE: Final = frozenset({"session_started", "slice", "warning", "session_ended"})
"""Records whose ``t`` is not the instant at which they were logged."""

_OVER: Final = ("passive_listening", "ended")

_TROUBLES: Final[Mapping[str, Sequence[str]]] = {
    "adapter_failed": ("port", "adapter", "error"),
    "adapter_switched": ("port", "from", "to"),
    "face_degraded": ("face", "level"),
    "warning": ("source",),
}
"""What is told of each when it happens within a turn: no text, which may hold what was said."""


@frozen(kw_only=True)
class Mark:
    """Something that happened in a span."""

    name: str
    at: float
    attributes: Mapping[str, Value] = field(factory=dict)


@frozen(kw_only=True)
class Span:
    """A stage, and the stages it has."""

    name: str
    start: float
    end: float
    attributes: Mapping[str, Value] = field(factory=dict)
    marks: tuple[Mark, ...] = ()
    stages: tuple[Span, ...] = ()
    failed: bool = False


@define
class _Turn:
    """What is known of a turn that is not over. ``said`` is where its question was spoken, in media
    seconds."""

    question: Mapping[str, Any]
    said: tuple[float, float] | None
    asked_at: float
    attributes: dict[str, Value]
    marks: list[Mark] = field(factory=list)
    stages: list[Span] = field(factory=list)
    answer: list[str] = field(factory=list)
    summary: float = 0.0
    speaking_since: float | None = None

    @property
    def epoch(self) -> int:
        return int(self.question["epoch"])


class Turns:
    """The turns of one session.

    :param words: whether spans hold what the student and the teacher said.
    """

    def __init__(self, *, words: bool = False) -> None:
        self._words = words
        self._anchor: float | None = None
        self._fast = False
        self._session: dict[str, Value] = {}
        self._spoken: tuple[float, float] | None = None
        self._onsets: dict[str, float] = {}
        self._wake: Mapping[str, Any] | None = None
        self._turn: _Turn | None = None

    def take(self, event: Mapping[str, Any]) -> Iterator[Span]:
        """Learn from ``event``, a record as JSON has it; the turns that are over with it."""
        if event.get("type") == "session_started":
            self._begin(event)
        self._set_anchor(event)
        turn = self._turn
        match event:
            case {"type": "transcript", "start": start, "end": end, "final": True}:
                self._spoken = (start, end)
            case {"type": "wake", "start": start, "end": end}:
                self._wake = event
                self._spoken = (start, end)
            case {"type": "speech_started", "since": since}:
                self._onsets["speech"] = since
            case {"type": "floor", "label": label, "since": since} if label in _MUSIC:
                self._onsets["music"] = since
            case {"type": "question", "epoch": epoch} if turn is None or turn.epoch != epoch:
                if turn is not None:
                    yield self._end(turn, "continued", self._at(event))
                self._turn = self._asked(event)
            case {"type": "state", "from": "responding", "to": after, "cause": cause} if (
                turn is not None and after in _OVER
            ):
                yield self._end(turn, cause, self._at(event))
            case {"type": "reply_stopped", "epoch": epoch} if (
                turn is not None and turn.epoch == epoch
            ):
                self._stopped(turn, event)
                yield self._end(turn, event["cause"], self._media(event["silence_at"]))
            case {"type": "session_ended"} if turn is not None:
                yield self._end(turn, "session_ended", self._at(event))
            case _ if turn is not None:
                self._learn(turn, event)

    # --- a turn ---------------------------------------------------------------

    def _begin(self, event: Mapping[str, Any]) -> None:
        self._fast = event.get("pace") == "fast"
        self._session = {"maestra.persona": event.get("persona") or ""}
        for port, backend in (event.get("backends") or {}).items():
            self._session[f"maestra.backend.{port}"] = backend

    def _asked(self, event: Mapping[str, Any]) -> _Turn:
        wake, self._wake = self._wake, None
        at = self._at(event)
        attributes = {
            **self._session,
            "maestra.epoch": event["epoch"],
            "maestra.turn.kind": event["kind"],
        }
        if event["kind"] == "wake" and wake is not None:
            attributes["maestra.wake.score"] = wake["score"]
        if self._words:
            attributes["maestra.words.question"] = event["text"]
        said, self._spoken = self._spoken, None
        turn = _Turn(question=event, said=said, asked_at=at, attributes=attributes)
        if said is not None:
            turn.stages.append(self._stage("speech", self._media(said[0]), self._media(said[1])))
        return turn

    def _learn(self, turn: _Turn, event: Mapping[str, Any]) -> None:
        match event:
            case {"type": "summary", "duration": duration, "takes": takes, "notes": notes}:
                turn.summary = duration
                turn.attributes |= {"maestra.takes": takes, "maestra.notes": notes}
            case {"type": "reply_text", "text": text}:
                turn.answer.append(text)
            case {"type": "answered", "epoch": turn.epoch}:
                self._answered(turn, event)
            case {"type": "spoken", "epoch": turn.epoch, "rtf": rtf, "duration": duration}:
                until = self._media_or_now(event.get("until"), event)
                start = until - rtf * duration
                first = Mark(name="first sound", at=start + event["ttfb"])
                about = {
                    "maestra.backend": event["voice"],
                    "maestra.rtf": rtf,
                    "maestra.sound": duration,
                }
                turn.stages.append(self._stage("voice", start, until, about, first))
            case {"type": "reply_started", "epoch": turn.epoch}:
                self._started(turn, event)
            case {"type": "resumed", "epoch": turn.epoch, "silent": silent, "cause": cause}:
                at = self._at(event)
                about = {"maestra.cause": cause}
                turn.stages.append(self._stage("paused", at - silent, at, about))
            case {"type": kind} if kind in _TROUBLES:
                about = {f"maestra.{name}": str(event.get(name)) for name in _TROUBLES[kind]}
                turn.marks.append(Mark(name=kind, at=self._at(event), attributes=about))

    def _answered(self, turn: _Turn, event: Mapping[str, Any]) -> None:
        """A brain has written its part. One that goes on for another begins where that ended."""
        before = [stage.end for stage in turn.stages if stage.name == "brain"]
        asked = self._media(event["since"]) if event.get("since") is not None else turn.asked_at
        if not before:
            turn.stages.append(self._stage("summary", asked, asked + turn.summary))
        start = before[-1] if before else asked + turn.summary
        first = Mark(name="first clause", at=start + event["ttft"])
        about = {"maestra.backend": event["brain"], "maestra.clauses": event["clauses"]}
        turn.stages.append(self._stage("brain", start, start + event["duration"], about, first))

    def _started(self, turn: _Turn, event: Mapping[str, Any]) -> None:
        latency: Mapping[str, float | None] = event["latency"]
        known = {stage: seconds for stage, seconds in latency.items() if seconds is not None}
        turn.attributes |= {f"maestra.latency.{stage}": known[stage] for stage in known}
        sounds = self._at(event)
        if turn.said is not None:
            ended = self._media(turn.said[1])
            sounds = ended + known.get("total", sounds - ended)
            words = ended + known.get("hearing", 0.0)
            over = words + known.get("turn", 0.0)
            turn.stages.append(self._stage("transcript", ended, words))
            turn.stages.append(self._stage("endpointing", words, over))
        turn.speaking_since = sounds
        if "playout" in known:
            begun = sounds - known["playout"]
            turn.stages.append(self._stage("playout", begun, sounds))
            if "face" in known:
                turn.stages.append(self._stage("face", begun, begun + known["face"]))

    def _stopped(self, turn: _Turn, event: Mapping[str, Any]) -> None:
        silent, cause = self._media(event["silence_at"]), event["cause"]
        if turn.speaking_since is not None:
            turn.stages.append(self._stage("speaking", turn.speaking_since, silent))
            onset = self._onsets.get(cause)
            if onset is not None and turn.speaking_since <= self._media(onset) <= silent:
                turn.stages.append(self._stage("barge-in", self._media(onset), silent))
        if self._words:
            turn.attributes["maestra.words.heard"] = event["heard_text"]

    def _end(self, turn: _Turn, cause: str, at: float) -> Span:
        self._turn = None
        turn.attributes["maestra.turn.cause"] = cause
        if self._words:
            turn.attributes["maestra.words.answer"] = " ".join(turn.answer)
        starts = [turn.asked_at, *(stage.start for stage in turn.stages)]
        ends = [at, turn.asked_at]
        if turn.said is not None:
            starts = [self._media(turn.said[0])]
        span = self._stage("turn", min(starts), max(ends), turn.attributes, *turn.marks)
        stages = sorted(turn.stages, key=lambda stage: (stage.start, stage.end))
        return evolve(span, stages=tuple(stages), failed=cause in ("failed", "reply_failed"))

    def _stage(
        self,
        name: str,
        start: float,
        end: float,
        attributes: Mapping[str, Value] | None = None,
        *marks: Mark,
    ) -> Span:
        return Span(
            name=name, start=start, end=max(start, end), attributes=attributes or {}, marks=marks
        )

    # --- time -----------------------------------------------------------------

    def _set_anchor(self, event: Mapping[str, Any]) -> None:
        t, wall = event.get("t"), event.get("wall")
        if t is None or wall is None:
            return
        if self._fast:
            self._anchor = wall - t if self._anchor is None else self._anchor
        elif t and event["type"] not in _HAPPENS_ELSEWHERE:
            self._anchor = wall - t if self._anchor is None else min(self._anchor, wall - t)

    def _media(self, seconds: float) -> float:
        return (self._anchor or 0.0) + seconds

    def _at(self, event: Mapping[str, Any]) -> float:
        return self._media(event["t"]) if self._fast else float(event["wall"])

    def _media_or_now(self, seconds: float | None, event: Mapping[str, Any]) -> float:
        return self._at(event) if seconds is None else self._media(seconds)
