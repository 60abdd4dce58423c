"""All sessions of the service: who may start, which is meant, and how they all end."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from maestra.core.stream_url import StreamKind, StreamUrl

from ..composition.streams import browsers_complaint
from ..config import Effective
from ..tracing import Traced, Tracing
from .addresses import AllowList, BadAddress, Resolve, resolve
from .capacity import Capacity, NotMeasured, room_for
from .lesson import RUNNER, End, Lesson, LessonState, Patience, Wanted
from .logs import LOGGER, Secrets
from .machine import memory_available, processors
from .metrics import Metrics
from .problems import Problem

__all__ = ["Sessions"]

_KEPT: Final = 100
"""So many sessions that have ended can still be asked about."""

_KEPT_BYTES: Final = 32_000_000
"""So much is kept of their summaries and events, of all of them together: the events of an hour's
lesson are 9 MB, its summary a third of one at most."""

_KEYS: Final = 1000
"""So many idempotency keys are remembered."""

_STEADY_FPS: Final = 24.0
"""A running lesson with fewer pictures of their own a second shows that the machine is full. The
output has 25 all the same: where one was not drawn in time, the last is shown again."""

_SLOW_FOR: Final = 3
"""Seconds (reports of a second each) below that, among the last ten, that count."""

_RETRY_AFTER: Final = 30

_MEASURING: Final = 45
"""Seconds that measuring the machine takes, about."""


@define
class _Bucket:
    """So many starts a minute, the unused ones of the last minute at once."""

    per_minute: int
    _left: float = field(init=False)
    _at: float = field(factory=time.monotonic)

    def __attrs_post_init__(self) -> None:
        self._left = float(self.per_minute)

    def take(self) -> float:
        """0 if there is one, else the seconds until there will be."""
        now = time.monotonic()
        rate = self.per_minute / 60
        self._left = min(self.per_minute, self._left + (now - self._at) * rate)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / rate
        self._left -= 1
        return 0.0


@define
class _Pace:
    """How many pictures of their own a session has put out, in each of the last seconds."""

    rates: list[float] = field(factory=list)

    def add(self, fps: float, held: int) -> None:
        self.rates = [*self.rates[-9:], fps - held]

    @property
    def is_slow(self) -> bool:
        return sum(rate < _STEADY_FPS for rate in self.rates) >= _SLOW_FOR


class Sessions:
    """The sessions by their ids.

    :param tasks: in which they run.
    :param personas: the ids that may be asked for.
    :param traces: takes the sessions' turns, if somebody wants traces.
    :param command: how a runner is started.
    :param look_up: resolves the hosts of streams.
    :param capacity: what was measured of this machine, if it was.
    :param memory: how many bytes of memory can still be had.
    """

    def __init__(
        self,
        effective: Effective,
        *,
        tasks: TaskGroup,
        personas: Sequence[str],
        secrets: Secrets,
        metrics: Metrics,
        traces: Tracing | None = None,
        command: Sequence[str] = RUNNER,
        patience: Patience | None = None,
        look_up: Resolve = resolve,
        capacity: Capacity | None = None,
        memory: Callable[[], int | None] = memory_available,
    ) -> None:
        service = effective.config.service
        self.config = effective.config
        self.metrics = metrics
        self.secrets = secrets
        self.personas = tuple(personas)
        self.draining = False
        self.capacity = capacity
        self.measuring = False
        self._values = {
            key: value for key, value in effective.values().items() if value is not None
        }
        self._tasks = tasks
        self._memory = memory
        self._command = command
        self._patience = patience
        self._allowed = AllowList(schemes=service.schemes, hosts=service.hosts, look_up=look_up)
        self._bucket = _Bucket(service.starts_per_minute)
        self._lessons: OrderedDict[str, Lesson] = OrderedDict()
        self._hidden: dict[str, Secrets] = {}
        self._keys: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._paces: dict[str, _Pace] = {}
        self._traces = traces
        self._traced: dict[str, Traced] = {}
        # A session that loads takes every processor there is: two at once would both be late, and
        # so would be those that run.
        self._loading = anyio.Semaphore(1)
        metrics.of_capacity(capacity)
        self._count()

    # --- how many -------------------------------------------------------------

    @property
    def limits(self) -> Mapping[str, int]:
        """What bounds how many sessions there may be, and each one's number."""
        bound = self.config.service.max_sessions
        found = {"max_sessions": bound} if bound else {}
        if self.capacity is not None:
            found["measured"] = self.capacity.most
        elif self.measuring:
            found["measuring"] = 1
        return found or {"processors": processors()}

    @property
    def limit(self) -> str:
        """Which of ``limits`` is the tightest."""
        return min(self.limits, key=lambda name: self.limits[name])

    @property
    def most(self) -> int:
        """The most sessions at once."""
        return self.limits[self.limit]

    async def learn(self, measure: Callable[[], Awaitable[Capacity]]) -> None:
        """Have the machine measured, which no session may disturb, nor be disturbed by: one may be
        begun meanwhile, and waits."""
        self.measuring = True
        try:
            async with self._loading:
                self.capacity = await measure()
            LOGGER.info("measured", extra={"fields": {"capacity": str(self.capacity)}})
        except NotMeasured as error:
            LOGGER.warning("not measured", extra={"fields": {"text": str(error)}})
        except Exception:
            # It is worth no session, least of all the service.
            LOGGER.exception("not measured")
        finally:
            self.measuring = False
        self.metrics.of_capacity(self.capacity)
        self._count()

    # --- which is meant -------------------------------------------------------

    def all(self) -> tuple[Lesson, ...]:
        """Every session that is remembered, the newest last."""
        return tuple(self._lessons.values())

    def present(self) -> tuple[Lesson, ...]:
        """Those that are not over."""
        return tuple(lesson for lesson in self._lessons.values() if not lesson.is_over)

    def get(self, session_id: str) -> Lesson:
        """The session of that id, over or not.

        :raises Problem: there is none.
        """
        lesson = self._lessons.get(session_id)
        if lesson is None:
            raise Problem(
                404,
                "no-such-session",
                "There is no such session; GET /sessions lists those there are.",
            )
        return lesson

    def meant(self, session_id: str | None) -> Lesson:
        """The session of that id or, without one, the only one that is not over.

        :raises Problem: there is none, it is over, or several could be meant.
        """
        if session_id is not None:
            lesson = self.get(session_id)
            if lesson.is_over:
                raise over(lesson)
            return lesson
        present = self.present()
        if not present:
            raise Problem(
                404, "no-such-session", "No session runs; begin one with POST /session/start."
            )
        if len(present) > 1:
            raise Problem(
                409,
                "several-sessions",
                "Several sessions run: say which one is meant with session_id.",
                sessions=[lesson.id for lesson in present],
            )
        return present[0]

    # --- starting -------------------------------------------------------------

    async def start(
        self,
        *,
        ingest: str,
        publish: str,
        persona: str | None,
        key: str | None,
        traceparent: str = "",
    ) -> tuple[Lesson, bool]:
        """Begin a session; whether it is new, and not the one that ``key`` began before.

        :param traceparent: the caller's trace, to which the session's are linked.

        :raises Problem: it may not begin.
        """
        persona = persona if persona is not None else self.config.persona
        asked = hashlib.sha256(json.dumps([ingest, publish, persona]).encode()).hexdigest()
        if (known := self._begun_before(key, asked)) is not None:
            return known, False
        self._limit_rate()
        self._admit()
        wanted = await self._wanted(ingest, publish, persona)
        # While names were looked up, the same request may have come again, and others begun. From
        # here on nothing is waited for, so that nobody comes between.
        if (known := self._begun_before(key, asked)) is not None:
            return known, False
        self._admit()
        lesson = self._begin(wanted, traceparent)
        if key is not None:
            self._keys[key] = (asked, lesson.id)
            while len(self._keys) > _KEYS:
                # Rather that of a session that is long over.
                spent = (one for one, (_, of) in self._keys.items() if of not in self._lessons)
                del self._keys[next(spent, next(iter(self._keys)))]
        return lesson, True

    def _begun_before(self, key: str | None, asked: str) -> Lesson | None:
        """The session that ``key`` began, if it did.

        :param asked: the digest of the request, which must be the same.
        :raises Problem: it began another, or one that is not remembered any more.
        """
        if key is None or key not in self._keys:
            return None
        before, session_id = self._keys[key]
        if before != asked:
            raise Problem(
                422,
                "idempotency-key-reused",
                "This Idempotency-Key was sent with another request; use a new key.",
            )
        if session_id not in self._lessons:
            raise Problem(
                422,
                "idempotency-key-spent",
                f"This Idempotency-Key began the session {session_id}, which ended so long ago that"
                " it is not remembered any more; use a new key.",
            )
        return self._lessons[session_id]

    async def _wanted(self, ingest: str, publish: str, persona: str) -> Wanted:
        if persona not in self.personas and persona != self.config.persona:
            raise Problem(
                422,
                "no-such-persona",
                f"There is no such persona; there are {', '.join(self.personas)}.",
            )
        try:
            source = await self._allowed.check("rtmp_ingest_url", ingest)
            target = await self._allowed.check("rtmp_publish_url", publish)
            _check_browsers(source, target)
        except BadAddress as error:
            self.metrics.refused.labels("address").inc()
            raise Problem(422, "address-not-allowed", str(error)) from None
        return Wanted(ingest=source, publish=target, persona=persona, config=self._values)

    def _limit_rate(self) -> None:
        """Refuse a start that comes too soon; names are looked up for no such.

        :raises Problem: that is so.
        """
        if self.draining:
            raise self._refuse("draining")
        if wait := self._bucket.take():
            self.metrics.refused.labels("rate").inc()
            raise Problem(
                429,
                "too-many-starts",
                f"Too many starts: try again in {wait:.0f} s"
                " (service.starts_per_minute is the limit).",
                headers={"Retry-After": str(max(1, round(wait + 0.5)))},
            )

    def _admit(self) -> None:
        """Refuse a start for which there is no room.

        :raises Problem: there is none.
        """
        if self.draining:
            raise self._refuse("draining")
        present = self.present()
        if len(present) >= self.most:
            raise self._refuse("measuring" if self.limit == "measuring" else "full")
        if any(self._paces[one.id].is_slow for one in present if one.id in self._paces):
            raise self._refuse("slow")
        starting = sum(one.state is LessonState.STARTING for one in present)
        if not room_for(self._memory(), self.capacity, starting):
            raise self._refuse("memory")

    def _refuse(self, cause: str) -> Problem:
        self.metrics.refused.labels(cause).inc()
        why = {
            "max_sessions": "service.max_sessions is the limit",
            "measured": f"so many fit on this machine: {self.capacity}",
            "processors": "one for each processor",
        }
        detail = {
            "draining": "The service is shutting down; start the session elsewhere.",
            "full": f"All {self.most} sessions are taken: stop one, or try again later"
            f" ({why.get(self.limit)}).",
            "measuring": "How many sessions fit on this machine is being measured, once, and one"
            " waits for it already: try again soon.",
            "memory": "There is not enough memory for another session: stop one, or try again"
            " later.",
            "slow": "The sessions that run have no processor to spare: stop one, or try again"
            " later.",
        }[cause]
        wait = _MEASURING if cause == "measuring" else _RETRY_AFTER
        return Problem(503, "no-capacity", detail, headers={"Retry-After": str(wait)}, cause=cause)

    def _begin(self, wanted: Wanted, traceparent: str) -> Lesson:
        hidden = self.secrets.of_session(wanted.ingest.secrets | wanted.publish.secrets)
        lesson = Lesson(
            secrets.token_hex(8),
            wanted,
            command=self._command,
            idle_timeout=self.config.service.idle_timeout,
            turn=self._loading,
            secrets=hidden,
            on_event=self._heard,
            patience=self._patience,
        )
        self._lessons[lesson.id] = lesson
        self._hidden[lesson.id] = hidden
        self._paces[lesson.id] = _Pace()
        if self._traces is not None:
            self._traced[lesson.id] = self._traces.session(lesson.id, traceparent=traceparent)
        self.metrics.started.inc()
        self._count()
        LOGGER.info(
            "session started",
            extra={
                "fields": {
                    "session_id": lesson.id,
                    "ingest": wanted.ingest.redacted(),
                    "publish": wanted.publish.redacted(),
                    "persona": wanted.persona,
                }
            },
        )
        self._tasks.start_soon(self._hold, lesson)
        return lesson

    async def _hold(self, lesson: Lesson) -> None:
        try:
            await lesson.run()
        except Exception:
            # One session's trouble is not the others'.
            LOGGER.exception("session lost", extra={"fields": {"session_id": lesson.id}})
        end = lesson.end or End(cause="crashed")
        well = end.cause in ("finished", "stopped", "idle", "drained")
        fields: dict[str, object] = {
            "session_id": lesson.id,
            "cause": end.cause,
            "text": end.text,
            "seconds": round(lesson.uptime, 1),
        }
        if not well and lesson.complaints:
            fields["stderr"] = lesson.complaints
        LOGGER.log(20 if well else 40, "session ended", extra={"fields": fields})
        self.metrics.ended.labels(end.cause).inc()
        self.metrics.forget(lesson.id)
        self._paces.pop(lesson.id, None)
        self._traced.pop(lesson.id, None)
        self._forget_old()
        self._count()

    def _forget_old(self) -> None:
        """Of those that have ended, the ones that did so first are forgotten, or what they said."""
        over = sorted(
            (lesson for lesson in self._lessons.values() if lesson.is_over),
            key=lambda lesson: lesson.ended_at,
        )
        for lesson in over[:-_KEPT]:
            del self._lessons[lesson.id]
            self.secrets.forget(self._hidden.pop(lesson.id))
        left = _KEPT_BYTES
        for lesson in reversed(over[-_KEPT:]):
            left = max(0, left - lesson.trim(left))

    def _heard(self, lesson: Lesson, event: Mapping[str, Any]) -> None:
        self.metrics.event(lesson.id, event)
        if (traced := self._traced.get(lesson.id)) is not None:
            traced.take(event)
        if event.get("type") == "slice" and lesson.id in self._paces:
            self._paces[lesson.id].add(float(event["fps"]), int(event["held"]))

    def _count(self) -> None:
        self.metrics.limits(self.most, self.limits)
        counts = dict.fromkeys(LessonState, 0)
        for lesson in self._lessons.values():
            counts[lesson.state] += 1
        for state, count in counts.items():
            if state is not LessonState.ENDED:
                self.metrics.sessions.labels(state.value).set(count)

    def measured(self) -> bytes:
        """The metrics, as of now."""
        self._count()
        for lesson in self.present():
            if (memory := lesson.status.get("memory")) is not None:
                self.metrics.memory(lesson.id, float(memory))
            if lesson.state is LessonState.RUNNING:
                self.metrics.connection(lesson.id, "ingest", lesson.input().ok)
                self.metrics.connection(lesson.id, "publish", lesson.output().ok)
        return self.metrics.text()

    # --- the end --------------------------------------------------------------

    async def drain(self, patience: float) -> None:
        """Start none any more; let those that run end by themselves for ``patience`` seconds, then
        stop them."""
        self.draining = True
        with anyio.move_on_after(patience):
            while present := self.present():
                await present[0].over.wait()
        reason = End(cause="drained", text="The service was shut down.")
        async with anyio.create_task_group() as tasks:
            for lesson in self.present():
                tasks.start_soon(partial(lesson.stop, reason))


def _check_browsers(source: StreamUrl, target: StreamUrl) -> None:
    """Refuse to await browsers where none can come.

    :raises BadAddress: that is so.
    """
    if source.kind is StreamKind.WHEP:
        raise BadAddress("rtmp_ingest_url: whep: is an output; the input of a browser is whip:.")
    if target.kind is StreamKind.WHIP:
        raise BadAddress("rtmp_publish_url: whip: is an input; the output to browsers is whep:.")
    if (source.is_browser or target.is_browser) and (complaint := browsers_complaint()):
        raise BadAddress(complaint)


def over(lesson: Lesson) -> Problem:
    """The session is over, and nothing can be asked of it."""
    end = lesson.end
    why = f" ({end.cause}{': ' + end.text if end.text else ''})" if end else ""
    return Problem(
        409, "session-over", f"The session has ended{why}: start another with POST /session/start."
    )
