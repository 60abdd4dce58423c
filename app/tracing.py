"""OpenTelemetry: one trace for each turn, made of the event log and sent to a collector.

The session knows nothing of it. Its records are read like those for the metrics (``turns`` makes
spans of them), and a turn's spans are handed over once it is over. A thread sends them; what a
collector does not take in time is dropped, and said once.

Needs ``maestra[tracing]``. Where the spans go: ``service.traces``, or the variables that every
OpenTelemetry program reads (``OTEL_EXPORTER_OTLP_ENDPOINT``, and ``…_HEADERS`` for a key).
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from .composition.chosen import in_the_open
from .config import Config, ConfigError
from .dependencies import NotInstalled, adding, installed_version
from .turns import Span, Turns

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Tracer

__all__ = ["Traced", "Tracing", "header_values", "tracing"]

_EXTRA: Final = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_ABOUT: Final = "OTEL_RESOURCE_ATTRIBUTES"
_PATH: Final = "/v1/traces"

_WAITING: Final = 2048
"""Spans that may wait for the collector, a hundred turns; then the oldest are dropped."""

_KEY: Final = 8
"""Characters that a word of a header must have to be a key."""

_EVERY: Final = 2000
"""Milliseconds from sending to sending."""

_FLUSH_WITHIN: Final = 3.0
"""Seconds for the last spans when everything ends."""

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
"""W3C Trace Context. Versions after the first may have more fields."""


class Traced:
    """One session's turns on their way to the collector. ``take`` each of its records, as JSON has
    them."""

    def __init__(
        self,
        tracer: Tracer,
        turns: Turns,
        about: Mapping[str, str],
        links: Sequence[Link],
        say: Callable[[str], None],
    ) -> None:
        self._tracer = tracer
        self._turns = turns
        self._say = say
        self._about = dict(about)
        self._links = tuple(links)
        self._epoch = time.time() - time.monotonic()

    def take(self, event: Mapping[str, Any]) -> None:
        """Learn from ``event``; a turn that is over with it is handed on. Never raises: a turn that
        is told wrongly must not cost the lesson."""
        try:
            for turn in self._turns.take(event):
                self._tell(turn, None)
        except Exception as error:
            self._say(f"a turn cannot be traced: {type(error).__name__}")

    def _tell(self, span: Span, parent: Any) -> None:
        from opentelemetry.context import Context
        from opentelemetry.trace import StatusCode, set_span_in_context

        attributes = {**(self._about if parent is None else {}), **span.attributes}
        told = self._tracer.start_span(
            span.name,
            # An empty one: a turn is a trace of its own, whatever the embedding program is tracing.
            context=Context() if parent is None else parent,
            start_time=self._nanoseconds(span.start),
            attributes=attributes,
            links=() if parent is not None else self._links,
        )
        for mark in span.marks:
            told.add_event(mark.name, mark.attributes, self._nanoseconds(mark.at))
        if span.failed:
            told.set_status(StatusCode.ERROR)
        inside = set_span_in_context(told)
        for stage in span.stages:
            self._tell(stage, inside)
        told.end(self._nanoseconds(span.end))

    def _nanoseconds(self, monotonic: float) -> int:
        return round((self._epoch + monotonic) * 1e9)


class Tracing:
    """Sends the turns of any number of sessions. Made by ``tracing``.

    :param tracer: makes the spans.
    :param words: whether they hold what was said.
    :param say: is told of what goes wrong.
    """

    def __init__(self, tracer: Tracer, *, words: bool, say: Callable[[str], None]) -> None:
        self._tracer = tracer
        self._words = words
        self._say = say

    def session(self, session_id: str, *, traceparent: str = "") -> Traced:
        """For the records of one session.

        :param traceparent: the caller's trace (W3C), to which its turns are linked; what is none
            is passed over.
        """
        from opentelemetry.trace import Link, SpanContext, TraceFlags

        links = []
        if match := _TRACEPARENT.match(traceparent):
            trace, span, flags = (int(part, 16) for part in match.groups())
            if trace and span:
                caller = SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(flags & 1))
                links.append(Link(caller))
        about = {"maestra.session.id": session_id}
        return Traced(self._tracer, Turns(words=self._words), about, links, self._say)


class _Exporter:
    """Sends spans, and says it when they do not arrive, and when they do again."""

    def __init__(self, inner: Any, say: Callable[[str], None], why: _Why) -> None:
        self._inner = inner
        self._say = say
        self._why = why
        self._lost = 0

    def export(self, spans: Sequence[Any]) -> Any:
        from opentelemetry.sdk.trace.export import SpanExportResult

        result = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                self._say(f"traces arrive again; at least {self._lost} spans were lost")
            self._lost = 0
        else:
            if not self._lost:
                self._say(f"traces are lost until their collector takes them: {self._why.text}")
            self._lost += len(spans)
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


class _Why(logging.Handler):
    """Keeps the last complaint of the library, which would else go wherever logs go.

    :param hidden: what is not to be repeated.
    """

    def __init__(self, hidden: Sequence[str]) -> None:
        super().__init__(logging.WARNING)
        self._hidden = hidden
        self.text = "it cannot be reached"

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        for secret in sorted(self._hidden, key=len, reverse=True):
            text = text.replace(secret, "***")
        self.text = text[:300]


@contextmanager
def tracing(config: Config, *, say: Callable[[str], None]) -> Iterator[Tracing | None]:
    """What sends traces while the context is entered; ``None`` where nobody asked for any. What
    has not been sent when it is left has three seconds.

    :param say: is told, on a thread of its own, when traces are lost.
    :raises NotInstalled: ``service.traces`` is set, and a package is missing.
    :raises ConfigError: a key would be sent where others can read it.
    """
    address = _address(config, os.environ)
    if not address:
        yield None
        return
    if absent := [name for name in _EXTRA if not installed_version(name)]:
        raise NotInstalled(f"service.traces needs {', '.join(absent)}: {adding('tracing')}")
    hidden = header_values(os.environ)
    if hidden and (where := in_the_open(address)):
        raise ConfigError(
            f"traces would take {_HEADERS[1]} to {where} unencrypted: give an https address, or"
            " unset the variable if that collector asks for no key"
        )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    why = _Why(hidden)
    library = logging.getLogger("opentelemetry")
    library.addHandler(why)
    library.propagate = False
    about = {"service.version": version("maestra")}
    if "OTEL_SERVICE_NAME" not in os.environ and "service.name=" not in os.environ.get(_ABOUT, ""):
        about["service.name"] = "maestra"
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    inner = OTLPSpanExporter(endpoint=address)
    provider.add_span_processor(
        BatchSpanProcessor(
            _Exporter(inner, say, why),
            max_queue_size=_WAITING,
            schedule_delay_millis=_EVERY,
        )
    )
    try:
        tracer = provider.get_tracer("maestra", version("maestra"))
        yield Tracing(tracer, words=config.service.trace_words, say=say)
    finally:
        # The library would wait for half a minute.
        flushing = threading.Thread(target=provider.shutdown, name="traces-flush", daemon=True)
        flushing.start()
        flushing.join(_FLUSH_WITHIN)
        if flushing.is_alive():
            say(f"the last traces were not sent: their collector took over {_FLUSH_WITHIN:g} s")
            inner.shutdown()
        else:
            library.removeHandler(why)


def _address(config: Config, environ: Mapping[str, str]) -> str:
    """Where spans go: empty if nowhere. Who sets the variables that all programs read is served
    where the packages are installed."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    if given := config.service.traces:
        return given if urlsplit(given).path.strip("/") else given.rstrip("/") + _PATH
    if not all(map(installed_version, _EXTRA)):
        return ""
    whole, base = (environ.get(name, "").strip() for name in _ENDPOINTS)
    return whole or (base.rstrip("/") + _PATH if base else "")


def header_values(environ: Mapping[str, str]) -> list[str]:
    """What stands in the headers for the collector: keys, most likely, some after a ``Bearer``."""
    given = next((environ[name] for name in _HEADERS if environ.get(name)), "")
    values = (part.partition("=")[2].strip() for part in given.split(","))
    spelt = {one for value in values if value for one in (value, unquote(value))}
    return sorted(spelt | {word for one in spelt for word in one.split() if len(word) >= _KEY})
