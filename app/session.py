"""The session: one lesson, from its first sample to its last.

One context manager owns it. Entering starts the workers and waits until their models are loaded;
leaving leaves no thread, no process, no socket and no temporary file. Between the two the session
carries messages between the workers and the conductor, has the brains asked, and keeps the event
log.

Time. On a stream the session's media time is the wall clock's, counted from one anchor that all
workers share. On a virtual clock (``pace="fast"``) it is the media's own: the workers listen as
fast as they can, the session takes their reports in the order of media time, and lets the output go
on to where it has got to, so the same events come in the same order.
"""

from __future__ import annotations

import time
import wave
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from attrs import evolve, frozen

from maestra.core import log
from maestra.core.conversation.commands import QuestionKind
from maestra.core.conversation.conversation import ConversationState
from maestra.core.conversation.history import Turn
from maestra.core.hearing import FloorChanged, FloorLabel, Transcript
from maestra.core.log import Summary
from maestra.core.media_time import SESSION_START, MediaTime, from_samples, from_seconds, to_seconds
from maestra.core.performance.observations import Observation, observe
from maestra.core.performance.summary import PerformanceSummary
from maestra.core.persona import Persona
from maestra.core.stream_url import StreamKind, StreamUrl
from maestra.ports.audio import EAR_RATE_HZ, FRAME_RATE, AudioChunk
from maestra.ports.brain import BrainRequest
from maestra.ports.errors import (
    BackendRefused,
    BrainError,
    MaestraError,
    ModelMissing,
    PeerRefused,
    leaves,
)
from maestra.ports.streams import PeerAnswer

from . import composition, dependencies
from .answering import Answering, Clause, fact_record
from .browsers import Browsers, Way
from .conductor import Conductor, ReplyInMaking, slot_time
from .config import Config, change
from .event_log import EventLog, Subscription
from .keeping_up import KeepingUp
from .messages import (
    Advance,
    Advanced,
    Begin,
    Configure,
    Drawn,
    EndOfStream,
    FaceDegraded,
    Failed,
    Feed,
    Heard,
    Hello,
    InputLost,
    MusicHeard,
    Pictured,
    PlayedOut,
    Primed,
    Progress,
    ReplyLost,
    Restored,
    Silent,
    SliceStatistics,
    SpeakerAnew,
    Spoken,
    Started,
    Switched,
)
from .paths import kept_sound, refuse_overwriting
from .recent import RecentSound
from .virtual import VirtualTime
from .workers import Worker, pipe
from .workers.hearing import HearingSettings
from .workers.ingest import IngestSettings
from .workers.music import MusicSettings
from .workers.playout import PlayoutSettings
from .workers.speaker import SpeakerSettings

__all__ = ["Pace", "ResetReport", "Session", "SessionFailed", "Status", "open_session"]

Pace = Literal["realtime", "fast"]

_LOADING = 60.0
"""Seconds the workers have to load their models: a cold disk, not a hung one."""

_MUSIC_DELAY = from_seconds(0.6)
"""How long the music analysis waits for the floor detector's word on what it is about to hear."""

_SETTLED = from_seconds(1.0)
"""How far behind what it has heard the music analysis has said all it will: a note is known when it
has ended."""

_LOOK_AHEAD = from_seconds(20.0)
"""On a virtual clock, how far the workers may listen ahead of the conversation."""

_PREPARE_EVERY = 3.0
"""Seconds between telling the brains what they may be asked about, while somebody plays."""

_STOOD_STILL = 0.5
"""Seconds: if the session's event loop stands still for longer, an adapter blocks it."""

_EARS_HELD = 5 * 50
"""Chunks (5 s) that may wait for the floor detector's word before the music analysis gets them."""

_RESTARTS = 3
_RESTARTS_WITHIN = 600.0
"""How often a worker may be started anew within so many seconds."""


class SessionFailed(MaestraError):
    """The session cannot begin, or cannot go on. ``missing_model`` says that a model is absent,
    ``refused`` that a backend will never work as it is configured."""

    def __init__(
        self,
        text: str,
        *,
        missing_model: bool = False,
        stream: bool = False,
        refused: bool = False,
    ) -> None:
        super().__init__(text)
        self.missing_model = missing_model
        self.refused = refused
        self.stream = stream


@frozen(kw_only=True)
class ResetReport:
    """What a reset cleared."""

    turns: int
    performance: bool


@frozen(kw_only=True)
class Status:
    """How the session fares now. ``input_gone`` counts the seconds since sound last came in."""

    t: float
    state: str
    floor: str
    transcript: str
    reply: str
    epoch: int
    takes: int
    notes: int
    fps: float | None
    input_gone: float
    running: bool


class Session:
    """A running lesson. Made by ``open_session``.

    ``events()`` yields the event log's records; ``status()`` tells how things are;
    ``update_config()`` changes live settings; ``reset_context()`` forgets the conversation;
    ``wait()`` returns when the input has ended and the last answer has been heard.
    """

    def __init__(
        self,
        config: Config,
        *,
        ingest: StreamUrl,
        publish: StreamUrl | None,
        persona: Persona,
        pace: Pace,
        event_log: EventLog,
        end_on_close: bool,
        kept: KeptSound | None,
    ) -> None:
        self.config = config
        self._ingest_url = ingest
        self._publish_url = publish
        self._persona = persona
        self._fast = pace == "fast"
        self._pace: Pace = pace
        self._log = event_log
        self._end_on_close = end_on_close
        brains = composition.brains(config, persona)
        self._answering = Answering(
            brains,
            timeout=config.brain.timeout,
            max_words=config.brain.max_words,
            record=self.log,
            t=lambda: self._t,
        )
        seconds = self._answering.hears_seconds
        self._student = RecentSound(seconds) if seconds else None
        self._take_ended = anyio.Event()
        self._conductor = Conductor(
            config, self, forethought=composition.forethought(config, brains[0])
        )
        self._virtual = VirtualTime(self._conductor)
        self._workers: dict[str, Worker] = {}
        self._browsers = Browsers(config, self._workers, self._report)
        self._settings: dict[str, object] = {}
        self._tasks: TaskGroup | None = None
        self._making: dict[int, anyio.CancelScope] = {}
        self._anchor = 0.0
        self._input_at = 0.0
        self._floors = deque([(SESSION_START, FloorLabel.SILENCE)])
        self._held: deque[AudioChunk] = deque()
        self._progress = {"hearing": SESSION_START, "music": SESSION_START}
        self._finished = {"hearing": False, "music": False}
        self._music_batch: list[MusicHeard] = []
        self._input_ended = False
        self._fed_to = SESSION_START
        self._utterances = 0
        self._deaf_since: MediaTime | None = None
        self._reconfigured: dict[str, object] = {}
        self._written_to = 0
        self._fps: float | None = None
        self._drawn = (0.0, 0.0)  # seconds the face took lately, and of speech that it drew
        self._changed = anyio.Event()
        self._done = anyio.Event()
        self._closing = False
        self._failure: MaestraError | None = None
        self._stopped = False
        self._reset: ResetReport | None = None
        self._keeping_up = {"hearing": KeepingUp(), "music": KeepingUp()}
        self._behind: set[str] = set()
        self._restarts: deque[float] = deque(maxlen=_RESTARTS + 1)
        self._kept = kept

    # --- the embedding program ------------------------------------------------

    def events(self) -> Subscription:
        """The session's records from its first on (of a long one that runs already, the first and
        those from now on), as an async iterator that ends with the session."""
        return self._log.subscribe(replay=True)

    def status(self) -> Status:
        conductor = self._conductor
        summary = conductor.accumulator.summary()
        reply = conductor.reply
        return Status(
            t=to_seconds(self._media_now()),
            state=conductor.conversation.state.value,
            floor=conductor.floor.value,
            transcript=conductor.transcript,
            reply=reply.text if reply is not None else "",
            epoch=conductor.conversation.epoch,
            takes=len(summary.takes),
            notes=conductor.accumulator.note_count,
            fps=self._fps,
            input_gone=time.monotonic() - self._input_at if self._input_at else 0.0,
            running=not self._done.is_set(),
        )

    def performance(self) -> tuple[PerformanceSummary, tuple[Observation, ...]]:
        """What has been measured of the performance, and what is worth saying about it."""
        return self._summed_up()

    async def update_config(self, values: Mapping[str, object]) -> Config:
        """Change live settings, by dotted key.

        :raises ConfigError: a key is unknown or not live, or a value is not allowed; then nothing
            has changed.
        """
        config = change(self.config, values)
        if not values:
            return config
        self._conductor.configure(config)
        self.config = config
        self._reconfigured |= values
        self._workers["hearing"].send(Configure(values=dict(values)))
        self.log(log.ConfigChanged(t=self._t, values=dict(values)))
        return self.config

    async def reset_context(self, *, performance: bool = False) -> ResetReport:
        """Forget the conversation: a new student sits down, or a new piece begins.

        :param performance: forget what was played, too.
        :returns: what was cleared.
        """
        self._reset = None
        self._set_now()
        self._conductor.reset(performance=performance)
        return self._reset or ResetReport(turns=0, performance=performance)

    async def connect_browser(self, way: Way, offer: str) -> PeerAnswer:
        """Let a browser be heard (``whip``, where ``whip:`` is the input) or watch (``whep``).

        :param offer: its session description (SDP).
        :raises PeerRefused: it may not.
        """
        if way == "whep" and self._publish_url is None:
            raise PeerRefused("elsewhere", "This session shows nothing: it has no output.")
        if self._tasks is None or self._fast or self._done.is_set():
            raise PeerRefused("elsewhere", "This session does not run in real time, or is over.")
        return await self._browsers.connect(way, offer, self._tasks)

    async def disconnect_browser(self, peer: str) -> None:
        """End the connection of that name.

        :raises PeerRefused: there is none.
        """
        await self._browsers.disconnect(peer)

    async def wait(self) -> None:
        """Until the input has ended and the last answer has been heard, or the session failed.

        :raises SessionFailed: it could not go on.
        """
        await self._done.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End the session now, in mid-word if need be: ``wait`` returns."""
        self._stopped = True
        self._done.set()

    # --- the conductor's stage ------------------------------------------------

    def log(self, record: log.Record) -> None:
        if isinstance(record, log.ReplyStopped):
            self._answering.heard(record.heard_text)
        elif isinstance(record, log.TakeEnded):
            self._take_ended.set()
        self._log.append(record)

    def to_speaker(self, message: object) -> None:
        self._workers["speaker"].send(message)

    def to_playout(self, message: object) -> None:
        self._workers["playout"].send(message)

    def make(self, reply: ReplyInMaking) -> None:
        assert self._tasks is not None
        scope = anyio.CancelScope()
        self._making[reply.number] = scope
        self._tasks.start_soon(self._make, reply, scope)

    def unmake(self, reply: ReplyInMaking) -> None:
        if (scope := self._making.pop(reply.number, None)) is not None:
            scope.cancel()

    def reset_done(self, turns: int, performance: bool) -> None:
        self._answering.forget()
        if self._student is not None:
            self._student.clear()
        self._reset = ResetReport(turns=turns, performance=performance)

    def close(self) -> None:
        self._done.set()

    # --- answers --------------------------------------------------------------

    async def _make(self, reply: ReplyInMaking, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                await self._ask_brains(reply)
        finally:
            self._making.pop(reply.number, None)
            self._wake()

    async def _ask_brains(self, reply: ReplyInMaking) -> None:
        """Have the first brain that can write ``reply``."""
        begun = time.monotonic()
        request, duration = self._request(reply.number, reply.kind, reply.question, reply.history)
        self._conductor.summarised(reply, self._summary_record(request, duration))
        if self._student is not None:
            request = evolve(request, student=await self._student.sound())

        def put(clause: Clause) -> None:
            self._set_now()
            if reply.brain_duration is None:
                reply.brain_duration = time.monotonic() - begun
            self._conductor.clause(reply, clause)

        try:
            attempts = await self._answering.answer(request, put)
        except BrainError:  # each brain's own is in the log
            self._set_now()
            self._conductor.lost(reply.number)
        else:
            self._set_now()
            self._conductor.written(reply, attempts)

    def _request(
        self, number: int, kind: QuestionKind, question: str, history: tuple[Turn, ...]
    ) -> tuple[BrainRequest, float]:
        """What a brain is asked, and how long it took to sum the performance up (s)."""
        begun = time.monotonic()
        summary, observations = self._summed_up()
        request = BrainRequest(
            epoch=number,
            kind=kind,
            question=question,
            summary=summary,
            observations=observations,
            history=history,
            persona=self._persona,
        )
        return request, time.monotonic() - begun

    async def _prepare_brains(self) -> None:
        """Tell the brains what they may be asked about: when a take has ended, and now and then
        while the student plays."""
        told = -1
        while True:
            with anyio.move_on_after(_PREPARE_EVERY):
                await self._take_ended.wait()
            self._take_ended = anyio.Event()
            notes = self._conductor.accumulator.note_count
            state = self._conductor.conversation.state
            if notes != told and state is ConversationState.PASSIVE_LISTENING:
                told = notes
                request, _ = self._request(0, QuestionKind.WAKE, "", ())
                self._answering.prepare(request)

    def _summed_up(self) -> tuple[PerformanceSummary, tuple[Observation, ...]]:
        """What is known of the performance; nothing, if it cannot be summed up."""
        try:
            summary = self._conductor.accumulator.summary()
            return summary, observe(summary)
        except Exception as error:  # an odd performance must not cost the lesson
            text = f"the performance cannot be summed up: {type(error).__name__}: {error}"
            self.log(log.Warned(t=self._t, source="performance", text=text))
            return PerformanceSummary(), ()

    def _summary_record(self, request: BrainRequest, duration: float) -> Summary:
        summary, observations = request.summary, request.observations
        return log.Summary(
            t=self._t,
            epoch=0,
            duration=duration,
            takes=len(summary.takes),
            notes=int(summary.note_count.value) if summary.note_count else 0,
            observations=tuple(
                log.Remark(
                    kind=one.kind.value,
                    take=one.take,
                    start=one.start,
                    end=one.end,
                    text=one.text,
                    facts={name: fact_record(figure) for name, figure in one.facts.items()},
                )
                for one in observations[:8]
            ),
        )

    # --- running --------------------------------------------------------------

    async def _start(self, stack: ExitStack) -> None:
        """Start the workers and wait until they are ready."""
        serving = dependencies.serving(self.config)
        self.log(
            log.SessionStarted(
                t=0.0,
                version=version("maestra"),
                ingest=self._ingest_url.redacted(),
                publish=self._publish_url.redacted() if self._publish_url else None,
                persona=self._persona.id,
                pace=self._pace,
                backends={
                    port.removeprefix("senses."): names[0] for port, names in serving.items()
                },
                fallbacks={
                    port.removeprefix("senses."): names[1:]
                    for port, names in serving.items()
                    if len(names) > 1
                },
            )
        )
        for notice in dependencies.notices(self.config):
            self.log(log.Warned(t=0.0, source="licence", text=notice))
        to_playout, to_speaker = pipe()
        target = self._publish_url
        pictures = target is not None
        sent_to = target if target is not None and not target.is_browser else None
        stream = self.config.stream
        start: dict[str, object] = {
            "hearing": HearingSettings(config=self.config, fast=self._fast),
            "music": MusicSettings(config=self.config),
            "speaker": SpeakerSettings(
                config=self.config,
                persona=self._persona,
                pictures=pictures,
                fast=self._fast,
            ),
            "playout": PlayoutSettings(
                config=self.config,
                url=sent_to,
                fast=self._fast,
            ),
            "ingest": IngestSettings(
                url=self._ingest_url,
                fast=self._fast,
                end_on_close=self._end_on_close,
                bridge_after=stream.bridge_after,
                reconnect_min=stream.reconnect_min,
                reconnect_max=stream.reconnect_max,
                ca_file=stream.ca_file,
            ),
        }
        self._settings = start
        pipes = {"speaker": (to_playout,), "playout": (to_speaker,)}
        # Before the first is there: who is cut off while they start leaves those that are.
        stack.callback(self._join_workers)
        # They load side by side, and are told to leave side by side.
        stack.callback(self._stop_workers)
        details: dict[str, str] = {}

        async def await_hello(name: str) -> None:
            while name not in details:
                messages = await self._workers[name].receive()
                if not messages:
                    raise SessionFailed(f"the {name} worker ended before it was ready")
                for message in messages:
                    match message:
                        case Hello():
                            details[name] = message.detail
                        case Failed(fatal=True):
                            raise SessionFailed(
                                message.text,
                                missing_model=message.kind == ModelMissing.__name__,
                                refused=message.kind == BackendRefused.__name__,
                                stream=name in ("ingest", "playout"),
                            )
                        case _:
                            self._dispatch(name, message)

        loading = anyio.create_task_group()
        try:
            for name, settings in start.items():
                worker = Worker(name, settings, pipes=pipes.get(name, ()))
                self._workers[name] = await anyio.to_thread.run_sync(worker.__enter__)
                worker.listen()
            if self._ingest_url.is_browser:
                self._browsers.open_microphone()
            with anyio.fail_after(_LOADING):
                async with loading:
                    loading.start_soon(self._answering.check)
                    for name in start:
                        loading.start_soon(await_hello, name)
        except TimeoutError as error:
            missing = ", ".join(sorted(set(start) - set(details)))
            raise SessionFailed(f"not ready after {_LOADING:g} s: {missing}") from error
        except ExceptionGroup as group:
            told = [error for error in leaves(group) if isinstance(error, MaestraError)]
            raise (told[0] if told else group) from None
        finally:
            # Who still loads hears nothing until it has, and has nothing to finish.
            for name in ("hearing", "music", "speaker"):
                if name in self._workers and name not in details:
                    self._workers[name].kill()

        self._anchor = self._input_at = time.monotonic()
        for name in ("playout", "ingest"):
            self._workers[name].send(Begin(anchor=self._anchor))

    def _report(self, message: Failed) -> None:
        self._dispatch(message.worker, message)

    def _join_workers(self) -> None:
        for worker in self._workers.values():
            worker.join()

    def _stop_workers(self) -> None:
        self._browsers.close()
        for worker in self._workers.values():
            worker.stop()

    async def _run(self) -> None:
        """Carry messages until the session is done."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            for name in self._workers:
                tasks.start_soon(self._listen, name)
            tasks.start_soon(self._answering.live)
            tasks.start_soon(self._prepare_brains)
            tasks.start_soon(self._drive_fast if self._fast else self._drive_in_real_time)
            await self._done.wait()
            tasks.cancel_scope.cancel()

    async def _listen(self, name: str) -> None:
        while True:
            messages = await self._workers[name].receive()
            if not messages:
                if self._closing or self._done.is_set() or not await self._start_anew(name):
                    return
                continue
            self._set_now()
            for message in messages:
                self._dispatch(name, message)
            self._wake()
            if name == "ingest" and self._fast:
                while self._fed_to - self._conductor.now > _LOOK_AHEAD:
                    await self._news()

    async def _start_anew(self, name: str) -> bool:
        """A worker has died. An ear and the speaker can be replaced in mid-lesson; without the
        others there is no lesson."""
        now = time.monotonic()
        self._restarts.append(now)
        too_often = len(self._restarts) > _RESTARTS and now - self._restarts[0] < _RESTARTS_WITHIN
        text = f"the {name} worker has died"
        replaceable = ("hearing", "music") if self._fast else ("hearing", "music", "speaker")
        if name not in replaceable or too_often:
            self._fail(text, stream=name in ("ingest", "playout"))
            return False
        self.log(
            log.AdapterFailed(
                t=self._t,
                port="voice" if name == "speaker" else "senses",
                adapter=name,
                error="WorkerDied",
                text=f"{text}; anew",
            )
        )
        await anyio.to_thread.run_sync(self._workers[name].join)
        if name == "speaker":
            await self._replace_speaker()
            return True
        worker = Worker(name, self._settings_anew(name))
        self._workers[name] = await anyio.to_thread.run_sync(worker.__enter__)
        worker.listen()
        # What it would have said of what it was told is lost; what comes now is heard again.
        self._progress[name] = max(self._progress[name], self._fed_to)
        self._keeping_up[name].started_anew(time.monotonic())
        if name == "hearing":
            worker.send(Configure(values=self._reconfigured))
            self._deaf_since = lost = self._progress[name]
            if self._floors[-1][1].is_speech:
                self._hear_anew()  # who spoke may play by now, and is to be heard
            self._when(lost, self._conductor.ear_lost)
        if self._input_ended:
            worker.send(EndOfStream())
        return True

    def _hear_anew(self) -> None:
        """The new ear begins in silence. Until it has begun, what sounded still does: music that is
        played meanwhile is music."""
        if self._deaf_since is not None:
            self._floors.append((self._deaf_since, FloorLabel.SILENCE))
            self._deaf_since = None

    def _settings_anew(self, name: str) -> object:
        match self._settings[name]:
            case HearingSettings() as settings:
                return evolve(settings, anew=True, utterances=self._utterances)
            case SpeakerSettings() as settings:
                return evolve(settings, anew=True)
            case settings:
                return settings

    async def _replace_speaker(self) -> None:
        """The reply that was being played ends where it was cut off; one that was not yet heard is
        lost. What is to be said next waits until the new speaker has loaded."""
        to_playout, to_speaker = pipe()
        worker = Worker("speaker", self._settings_anew("speaker"), pipes=(to_playout,))
        self._workers["speaker"] = await anyio.to_thread.run_sync(worker.__enter__)
        worker.listen()
        reply = self._conductor.reply
        speaking = self._conductor.conversation.state is ConversationState.SPEAKING
        epoch = reply.number if reply is not None and speaking else 0
        self._workers["playout"].hand(SpeakerAnew(epoch=epoch), to_speaker)
        if reply is not None:
            self._conductor.lost(reply.number)

    def _end_the_hung(self) -> None:
        """Kill an ear that has stopped answering; it is started anew when its pipe closes."""
        now = time.monotonic()
        for name, keeping_up in self._keeping_up.items():
            if not self._finished[name] and keeping_up.hangs(now):
                keeping_up.started_anew(now)
                self._workers[name].kill()

    def _dispatch(self, name: str, message: object) -> None:
        conductor = self._conductor
        match message:
            case Feed():
                self._feed(message)
            case Heard(event=event):
                self._hear_anew()
                if isinstance(event, FloorChanged):
                    self._floors.append((event.since, event.label))
                elif isinstance(event, Transcript):
                    self._utterances = event.utterance
                self._when(event.at, lambda: conductor.heard(event))
            case MusicHeard():
                self._music_batch.append(message)
            case Progress(up_to=up_to, worker="music"):
                batch, self._music_batch = self._music_batch, []
                for heard in batch:
                    self._when(
                        MediaTime(up_to + _MUSIC_DELAY),
                        lambda event=heard.event: conductor.music(event),  # type: ignore[misc]
                    )
                self._progress["music"] = up_to
                self._keeping_up["music"].said(time.monotonic(), up_to)
                self._when(
                    MediaTime(up_to + _MUSIC_DELAY),
                    lambda: conductor.analysed(MediaTime(up_to - _SETTLED)),
                )
            case Progress(up_to=up_to):
                self._hear_anew()
                self._progress["hearing"] = up_to
                self._keeping_up["hearing"].said(time.monotonic(), up_to)
                self._release_music()
            case EndOfStream() if name == "ingest":
                self._input_ended = True
                self._workers["hearing"].send(EndOfStream())
            case EndOfStream():
                self._finished[name] = True
                if name == "hearing":
                    self._release_music()
                    self._workers["music"].send(EndOfStream())
                else:
                    end = self._progress["music"]
                    self._dispatch("music", Progress(worker="music", up_to=end))
                    self._when(
                        MediaTime(end + _MUSIC_DELAY),
                        lambda: conductor.analysed(MediaTime(end + _SETTLED)),
                    )
            case InputLost():
                self.log(log.Warned(t=to_seconds(message.at), source="ingest", text=message.text))
            case Primed():
                if self._fast:
                    self._virtual.primed(message.epoch, message.voice_duration)
                else:
                    conductor.primed(message.epoch, message.voice_duration)
            case Pictured():
                conductor.pictured(message)
            case Spoken():
                conductor.spoken(message)
            case ReplyLost():
                conductor.lost(message.epoch)
            case Started():
                self._at_slot(message.slot)
                conductor.started(message)
            case Silent():
                conductor.silent(message)
            case PlayedOut():
                self._at_slot(message.slot)
                conductor.played_out(message)
            case Advanced(slot=slot):
                self._written_to = slot
            case Drawn():
                self._drawn = (self._drawn[0] + message.took, self._drawn[1] + message.lasted)
            case SliceStatistics():
                self._fps = message.fps
                took, lasted = self._drawn
                self._drawn = (0.0, 0.0)
                self.log(
                    log.Slice(
                        t=to_seconds(slot_time(message.slot)),
                        fps=message.fps,
                        held=message.held,
                        underruns=message.underruns,
                        late=message.late,
                        queued=message.queued / FRAME_RATE,
                        av_offset=message.av_offset,
                        render_rtf=took / lasted if lasted else None,
                    )
                )
            case Failed():
                self.log(
                    log.AdapterFailed(
                        t=self._t,
                        port=message.worker,
                        adapter=message.adapter,
                        error=message.kind,
                        text=message.text,
                    )
                )
                if message.fatal:
                    self._fail(message.text, stream=message.worker in ("ingest", "publish"))
            case Restored():
                self.log(
                    log.ConnectionRestored(t=self._t, port=message.worker, after=message.after)
                )
            case FaceDegraded(face=face, level=level, cause=cause):
                self.log(log.FaceDegraded(t=self._t, face=face, level=level, cause=cause))
            case Switched():
                self.log(
                    log.AdapterSwitched(
                        t=self._t, port=message.worker, before=message.before, after=message.after
                    )
                )
            case _:
                pass

    def _when(self, at: MediaTime, act: Callable[[], None]) -> None:
        """Do it now or, on a virtual clock, when media time has come to ``at``."""
        if self._fast:
            self._virtual.when(at, act)
        else:
            act()

    def _fail(self, text: str, *, stream: bool = False) -> None:
        if self._failure is None and not self._done.is_set():
            self._failure = SessionFailed(text, stream=stream)
            self._done.set()

    # --- the ear --------------------------------------------------------------

    def _feed(self, message: Feed) -> None:
        chunk = message.chunk
        if not message.bridged:
            self._input_at = time.monotonic()
        self._fed_to = from_samples(chunk.end, chunk.rate_hz)
        self._give("hearing", message)
        if self._student is not None:
            self._student.push(chunk)
        self._held.append(chunk)
        if len(self._held) > _EARS_HELD:
            self._release_music()
        if self._kept is not None:
            try:
                self._kept.write(chunk)
            except OSError as error:
                self._kept = None
                text = f"the sound is no longer kept: {error.strerror}"
                self.log(log.Warned(t=self._t, source="keep_audio", text=text))

    def _release_music(self) -> None:
        """Give the music analysis what the floor detector has had time to judge."""
        judged = self._progress["hearing"]
        while self._held:
            chunk = self._held[0]
            end = from_samples(chunk.end, chunk.rate_hz)
            waits = end + _MUSIC_DELAY > judged and not self._finished["hearing"]
            if waits and (self._fast or len(self._held) <= _EARS_HELD):
                return
            self._held.popleft()
            begin = from_samples(chunk.start, chunk.rate_hz)
            while len(self._floors) > 1 and self._floors[1][0] <= begin:
                self._floors.popleft()
            self._give("music", Feed(chunk=chunk, floor=self._floors[0][1]))

    def _give(self, name: str, message: Feed) -> None:
        """Give an ear what is to be heard, unless it is too far behind a live input."""
        keeping_up = self._keeping_up[name]
        if not self._fast and keeping_up.spare():
            if name not in self._behind:
                self._behind.add(name)
                what = "the music analysis" if name == "music" else "the hearing"
                text = f"{what} is too far behind; sound is lost until it has caught up"
                self.log(log.Warned(t=self._t, source=name, text=text))
            return
        self._behind.discard(name)
        self._workers[name].send(message)
        chunk = message.chunk
        start, end = (from_samples(at, chunk.rate_hz) for at in (chunk.start, chunk.end))
        keeping_up.sent(start, end, time.monotonic())

    # --- time -----------------------------------------------------------------

    @property
    def _t(self) -> float:
        return to_seconds(self._conductor.now)

    def _media_now(self) -> MediaTime:
        if self._fast or not self._anchor:
            return self._conductor.now
        return from_seconds(time.monotonic() - self._anchor)

    def _set_now(self) -> None:
        self._conductor.now = max(self._conductor.now, self._media_now())

    def _at_slot(self, slot: int) -> None:
        if self._fast:
            self._conductor.now = max(self._conductor.now, slot_time(slot))

    def _wake(self) -> None:
        """Let everybody who waits look again."""
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def _news(self) -> None:
        await self._changed.wait()

    @property
    def _idle(self) -> bool:
        return (
            self._conductor.conversation.state
            in (
                ConversationState.PASSIVE_LISTENING,
                ConversationState.ACTIVE_LISTENING,
                ConversationState.ENDED,
            )
            and self._conductor.reply is None
        )

    @property
    def _all_heard(self) -> bool:
        return self._input_ended and all(self._finished.values()) and not self._making

    async def _drive_in_real_time(self) -> None:
        """Let time pass: timers, and the end once all is heard and said."""
        while True:
            self._set_now()
            self._conductor.tick()
            if self._all_heard and self._idle:
                self._done.set()
                return
            self._end_the_hung()
            patience, deadline = 1.0, self._conductor.deadline
            if deadline is not None:
                until = to_seconds(MediaTime(deadline - self._media_now()))
                patience = min(patience, max(0.001, until))
            asleep = time.monotonic()
            with anyio.move_on_after(patience):
                await self._news()
            if (stood := time.monotonic() - asleep - patience) > _STOOD_STILL:
                text = f"the session stood still for {stood:.1f} s: an adapter blocks it, or others"
                text += " leave it no processor"
                self.log(log.Warned(t=self._t, source="session", text=text))
                for keeping_up in self._keeping_up.values():
                    keeping_up.excuse(stood)

    async def _drive_fast(self) -> None:
        """Go from report to report in the order of media time."""
        conductor, virtual = self._conductor, self._virtual
        while True:
            if self._making or virtual.lacks_voice:
                await self._news()
                continue
            virtual.schedule_answer()
            if self._all_heard and virtual.next_at is None and self._idle:
                break
            target = virtual.next_step(self._frontier, speaks=not self._idle)
            if target is None:
                await self._news()
                continue
            await self._advance(target)
            conductor.now = max(conductor.now, target)
            conductor.tick()
            virtual.do_due(until=lambda: bool(self._making))
            self._wake()
        self._done.set()

    @property
    def _frontier(self) -> MediaTime | None:
        """How far all the senses have listened; ``None``: to the end."""
        heard = None if self._finished["hearing"] else self._progress["hearing"]
        analysed = (
            None if self._finished["music"] else MediaTime(self._progress["music"] + _MUSIC_DELAY)
        )
        return min((at for at in (heard, analysed) if at is not None), default=None)

    async def _advance(self, target: MediaTime) -> None:
        """Let the output go on to ``target``."""
        slot = int(to_seconds(target) * FRAME_RATE)
        reply = self._conductor.reply
        playing = reply.number if reply is not None and reply.begun and not self._idle else 0
        if slot <= self._written_to:
            return
        self._workers["playout"].send(Advance(slot=slot, epoch=playing))
        while self._written_to < slot:
            await self._news()


class KeptSound:
    """What the student's side sounded like, kept because somebody asked for it: a WAV file."""

    def __init__(self, path: Path) -> None:
        self._file = wave.open(str(path), "wb")
        self._file.setnchannels(1)
        self._file.setsampwidth(2)
        self._file.setframerate(EAR_RATE_HZ)

    def write(self, chunk: AudioChunk) -> None:
        self._file.writeframesraw((chunk.samples.clip(-1, 1) * 32767).astype("<i2").tobytes())

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()


def _stream_url(address: str | StreamUrl) -> StreamUrl:
    return address if isinstance(address, StreamUrl) else composition.stream_url(address)


def _kept_path(config: Config, events_path: str | Path | None) -> Path | None:
    if not config.conversation.keep_audio:
        return None
    if events_path is None:
        raise SessionFailed(
            "conversation.keep_audio keeps the sound beside the event log: name one"
        )
    return kept_sound(Path(events_path))


def _kept_sound(path: Path | None, stack: ExitStack) -> KeptSound | None:
    if path is None:
        return None
    kept = KeptSound(path)
    stack.callback(kept.close)
    return kept


@asynccontextmanager
async def open_session(
    config: Config | None = None,
    *,
    ingest: str | StreamUrl,
    publish: str | StreamUrl | None = None,
    persona: str | Persona | None = None,
    pace: Pace = "realtime",
    events_path: str | Path | None = None,
    end_on_close: bool = False,
) -> AsyncGenerator[Session]:
    """Hold a lesson.

    :param config: the settings; the defaults if absent.
    :param ingest: a file's path, or an rtmp or rtsp address; ``?listen=1`` on an rtmp address has
        the publisher connect to us; ``whip:`` hears the browser of ``connect_browser``.
    :param publish: where the teacher's voice and picture go, likewise; ``whep:`` is nowhere but to
        browsers; absent, nowhere at all.
    :param persona: an id, a folder, or a persona; absent, the configuration's.
    :param pace: ``realtime``, or ``fast`` for a file.
    :param events_path: where to write the event log.
    :param end_on_close: the lesson is over when the publisher that came to us goes.
    :raises MaestraError: it cannot begin; the text says why.
    """
    config = config or Config()
    composition.check(config)
    source = _stream_url(ingest)
    target = _stream_url(publish) if publish else None
    if source.kind is StreamKind.WHEP or (target and target.kind is StreamKind.WHIP):
        raise SessionFailed("whip: is an input and whep: an output", stream=True)
    if pace == "fast" and not source.is_file:
        raise SessionFailed("only a file can be listened to faster than it sounds", stream=True)
    if not isinstance(persona, Persona):
        persona = composition.persona(persona or config.persona)
    kept_path = _kept_path(config, events_path)
    refuse_overwriting(
        {"the input": source},
        {"the output": target, "the event log": events_path, "the kept sound": kept_path},
    )
    with EventLog(Path(events_path) if events_path else None) as event_log, ExitStack() as stack:
        session = Session(
            config,
            ingest=source,
            publish=target,
            persona=persona,
            pace=pace,
            event_log=event_log,
            end_on_close=end_on_close,
            kept=_kept_sound(kept_path, stack),
        )
        cause: Literal["finished", "stopped", "failed"] = "stopped"
        try:
            try:
                await session._start(stack)
            except MaestraError as error:
                session._failure = error
                raise
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session._run)
                try:
                    yield session
                finally:
                    if session._done.is_set() and not session._stopped:
                        cause = "finished"
                    session._closing = True
                    session._set_now()
                    session._conductor.end()
                    session._done.set()
        finally:
            with anyio.CancelScope(shield=True):
                session._closing = True
                await anyio.to_thread.run_sync(stack.close)
            event_log.append(
                log.SessionEnded(
                    t=session._t,
                    cause="failed" if session._failure else cause,
                    text=str(session._failure or ""),
                )
            )
