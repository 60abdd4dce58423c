"""The Gemini Live brain."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
import numpy as np
from attrs import define

from maestra.core import brief
from maestra.core.conversation.commands import QuestionKind
from maestra.core.conversation.history import MAX_TURNS
from maestra.core.persona import Persona
from maestra.ports.brain import BrainRequest, SpokenClause
from maestra.ports.errors import BackendRefused, BrainError

from .alignment import LETTERS_PER_S, Alignment
from .connection import Link, Lost, Turn
from .failures import Failure, failure_of
from .settings import KEY_VARIABLE, GeminiLiveSettings

if TYPE_CHECKING:
    from google.genai.live import AsyncSession
    from google.genai.types import Content, LiveConnectConfig, LiveServerContent

    from maestra.ports.audio import Samples

__all__ = ["GeminiLive"]

_ANSWER_RATE_HZ: Final = 24_000
_GRACE_S: Final = 0.4
"""How long the transcription may lag behind the end of the sound."""

_LONG_GRACE_S: Final = 1.5
"""The same where its last sentence has no end yet."""

_LONGEST_HELD_S: Final = 60.0
"""More sound than this without a word of transcription is no answer."""

_PROVEN_S: Final = 10.0
"""A connection that lived this long was well: losing it is no reason to hesitate."""

_LASTING_WAIT_S: Final = 60.0
"""A wrong key or model is looked at again after so long: it may have been put right with Google."""

_PING_S: Final = 20.0
_PONG_S: Final = 60.0
"""Pings keep the way through routers open. The service has been seen to answer them half a minute
late and yet be well, which the usual limit of 20 s would take for a lost connection."""

_RULES: Final = """\
How this goes:
- You get text, then a recording: the last seconds of the lesson, with playing in it, and at its end
the student's question. Answer the question aloud, at once, in English.
- The text holds the facts of what was played so far. The latest facts replace all earlier ones.
- Only the last {turns} exchanges are this conversation. Do not come back to older ones.
- What stands in square brackets comes from the lesson's machinery: follow it, and never mention it.
"""


@define(eq=False)
class _Exchange:
    """A question that the server knows, and all that was answered."""

    question: str
    answer: str = ""


class GeminiLive:
    """Hears the student's last seconds and answers aloud, clause by clause.

    ``live`` must run beside it. Between questions the connection is open and nothing but pings goes
    over it; in particular no sound. A clause is given once its words are known and its sound has
    been cut out; see ``Alignment``.
    """

    def __init__(self, settings: GeminiLiveSettings, *, key: str, persona: Persona) -> None:
        """
        :param key: of the Gemini API.
        :raises BrainError: there is no key, or the SDK is not installed.
        """
        if not key:
            raise BrainError(
                f"the brain gemini-live needs a key of the Gemini API: set {KEY_VARIABLE}"
            )
        try:
            from google import genai
            from google.genai import types
        except ImportError as error:
            raise BrainError(
                "the brain gemini-live needs google-genai: pip install 'maestra[gemini]'"
            ) from error

        self._settings = settings
        self._key = key
        self._persona = persona
        self._client = genai.Client(
            api_key=key,
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=settings.base_url,
                api_version=settings.api_version,
                # These reach the WebSocket. Sound does not compress, and trying costs the loop.
                async_client_args={
                    "compression": None,
                    "close_timeout": 1.0,
                    "max_size": 16 * 2**20,
                    "open_timeout": None,
                    "ping_interval": _PING_S,
                    "ping_timeout": _PONG_S,
                },
            ),
        )
        self._random = random.Random()
        self._link: Link | None = None
        self._failure: Failure | None = None
        self._changed = anyio.Event()
        self._nudge = anyio.Event()
        self._handle = ""
        self._covered: tuple[_Exchange, ...] = ()
        self._known: list[_Exchange] = []
        self._heard: dict[str, str] = {}
        self._pace = LETTERS_PER_S

    @property
    def hears_seconds(self) -> float:
        return self._settings.hears_seconds

    @property
    def instructions(self) -> str:
        return _RULES.format(turns=MAX_TURNS)

    def understood(self, question: str) -> str:
        return self._heard.get(question, question).strip() or question

    async def check(self) -> None:
        """A handshake tells whether key and model are accepted, and costs nothing."""
        try:
            async with self._session():
                pass
        except Exception as error:  # whatever the SDK and its WebSocket raise
            failure = self._explain(error)
            if failure.is_refusal:
                raise BackendRefused(failure.sentence) from error
            raise BrainError(failure.sentence) from error

    def forget(self) -> None:
        """Begin another session: what the service has heard is not resumed."""
        self._forget()
        self._known.clear()
        self._heard.clear()
        if self._link is not None:
            self._link.change()

    # --- the answer -------------------------------------------------------------------------------

    async def reply(self, request: BrainRequest) -> AsyncIterator[str | SpokenClause]:
        said = request.said
        tries = 0
        while True:
            try:
                async with aclosing(self._answer(request, said)) as clauses:
                    async for clause in clauses:
                        said = f"{said} {_text(clause)}".strip()
                        yield clause
                return
            except Lost as lost:
                tries += 1
                if not lost.again or lost.failure.is_lasting or tries > self._settings.retries:
                    raise BrainError(lost.failure.sentence) from lost

    async def _answer(
        self, request: BrainRequest, said: str
    ) -> AsyncGenerator[str | SpokenClause, None]:
        link = await self._connected()
        turn = link.begin()
        exchange = _Exchange(request.question, said)
        spoken = False
        self._heard.pop(request.question, None)
        try:
            await link.ask(turn, self._context(request, said), _pcm(request.student))
            self._known.append(exchange)
            async with aclosing(self._clauses(link, turn, request)) as clauses:
                async for clause in clauses:
                    spoken = True
                    exchange.answer = f"{exchange.answer} {_text(clause)}".strip()
                    yield clause
        finally:
            link.end(turn)
        if not spoken:
            raise BrainError("Gemini gave an empty answer")

    async def _clauses(
        self, link: Link, turn: Turn, request: BrainRequest
    ) -> AsyncGenerator[str | SpokenClause, None]:
        aligned = Alignment(_ANSWER_RATE_HZ, self._pace)
        first_by = anyio.current_time() + self._settings.first_timeout
        speaks = ends = False
        while not ends:
            within = self._settings.stall_timeout
            if not speaks:
                within = max(first_by - anyio.current_time(), 0.0)
            elif turn.generated:
                within = _GRACE_S if aligned.ends_whole else _LONG_GRACE_S
            try:
                content = await link.answer(turn, within)
            except TimeoutError:
                if speaks and turn.generated:
                    break  # only the server's own playing goes on
                link.change()
                raise BrainError("Gemini did not go on in time") from None
            if content.interrupted:
                raise BrainError("Gemini stopped in mid-answer")
            self._take_transcription(request, content)
            for clause in self._take(aligned, content):
                yield clause
            if aligned.held_seconds > _LONGEST_HELD_S:
                raise BrainError("Gemini speaks without telling what it says")
            speaks = speaks or aligned.has_begun
            told = content.output_transcription
            ends = bool(content.turn_complete) or (
                turn.generated and told is not None and bool(told.finished)
            )
        clauses, unsung = aligned.finish()
        self._pace = min(max(aligned.pace, LETTERS_PER_S / 2), LETTERS_PER_S * 2)
        for clause in clauses:
            yield clause
        if unsung:
            yield unsung

    def _take(self, aligned: Alignment, content: LiveServerContent) -> list[SpokenClause]:
        clauses: list[SpokenClause] = []
        turn = content.model_turn
        for part in (turn.parts if turn is not None else None) or ():
            data = part.inline_data
            if data is not None and data.data and (data.mime_type or "").startswith("audio/"):
                clauses += aligned.sound(_samples(data.data))
        told = content.output_transcription
        if told is not None and told.text:
            clauses += aligned.text(told.text)
        return clauses

    def _take_transcription(self, request: BrainRequest, content: LiveServerContent) -> None:
        """What the service heard the student say stands in for our ear's reading if the
        conversation has to be told again."""
        told = content.input_transcription
        if told is not None and told.text:
            heard = self._heard.pop(request.question, "") + told.text
            self._heard[request.question] = heard[-400:]
            while len(self._heard) > 8:
                del self._heard[next(iter(self._heard))]

    # --- what it is told --------------------------------------------------------------------------

    def _context(self, request: BrainRequest, said: str) -> list[Content]:
        """The exchanges that the server does not know, and the facts and the question as text."""
        from google.genai import types

        def content(role: str, text: str) -> Content:
            return types.Content(role=role, parts=[types.Part(text=text)])

        made: list[Content] = []
        known = {exchange.question: exchange for exchange in self._known}
        for turn in request.history:
            if turn.question not in known:
                asked = self.understood(turn.question)
                made.append(content("user", brief.question_text(asked)))
                made.append(content("model", turn.heard))
        texts = []
        if request.kind is QuestionKind.WAKE and not request.history and self._known:
            texts.append("[A new conversation begins. What was said before is over.]")
        elif request.history and (last := known.get(request.history[-1].question)) is not None:
            heard = request.history[-1].heard
            if heard.split() != last.answer.split():
                texts.append(f'[Of your last answer the student heard only: "{heard}"]')
        texts.append(f"The facts:\n{brief.facts_json(request.summary, request.observations)}")
        texts.append(brief.question_text(request.question, kind=request.kind, said=said))
        made.append(content("user", "\n\n".join(texts)))
        return made

    def _config(self) -> LiveConnectConfig:
        from google.genai import types

        voice = self._settings.voice or self._persona.voices.get("gemini-live", "")
        budget = self._settings.thinking_budget
        trigger = self._settings.compress_from
        return types.LiveConnectConfig(
            response_modalities=[types.Modality.AUDIO],
            system_instruction=types.Content(
                parts=[
                    types.Part(text=brief.system_prompt(self._persona)),
                    types.Part(text=self.instructions),
                ]
            ),
            speech_config=types.SpeechConfig(
                voice_config=types.VoiceConfig(
                    prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=voice)
                )
            )
            if voice
            else None,
            thinking_config=types.ThinkingConfig(thinking_budget=budget) if budget >= 0 else None,
            input_audio_transcription=types.AudioTranscriptionConfig(),
            output_audio_transcription=types.AudioTranscriptionConfig(),
            # The statechart says whose turn it is.
            realtime_input_config=types.RealtimeInputConfig(
                automatic_activity_detection=types.AutomaticActivityDetection(disabled=True),
                activity_handling=types.ActivityHandling.START_OF_ACTIVITY_INTERRUPTS,
                turn_coverage=types.TurnCoverage.TURN_INCLUDES_ONLY_ACTIVITY,
            ),
            session_resumption=types.SessionResumptionConfig(handle=self._handle or None),
            context_window_compression=types.ContextWindowCompressionConfig(
                trigger_tokens=trigger,
                sliding_window=types.SlidingWindow(target_tokens=trigger // 2),
            ),
        )

    # --- the connection ---------------------------------------------------------------------------

    async def live(self) -> None:
        attempts = 0
        while True:
            began = anyio.current_time()
            link: Link | None = None
            try:
                async with self._session() as session:
                    link = Link(
                        session,
                        settle=self._settings.settle,
                        leave_before=self._settings.leave_before,
                        on_handle=self._keep,
                        explain=self._explain,
                    )
                    self._become(link, None)
                    try:
                        await link.run()
                    finally:
                        self._become(None, link.failure)
            except Exception as error:  # whatever the SDK and its WebSocket raise
                self._become(None, self._explain(error))
            failure = self._failure
            if link is not None and (
                failure is None or link.turns or anyio.current_time() - began > _PROVEN_S
            ):
                attempts = 0
            if failure is None:
                continue
            attempts += 1
            if not failure.keeps_session or (link is None and attempts > 2):
                self._forget()
            await self._back_off(failure, attempts)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[AsyncSession]:
        """Resumes the session if there is one to resume."""
        self._known = list(self._covered)
        opening = self._client.aio.live.connect(model=self._settings.model, config=self._config())
        with anyio.fail_after(self._settings.connect_timeout):
            session = await opening.__aenter__()
        try:
            yield session
        finally:
            # The service refuses to resume a session while it is open elsewhere: so this ends
            # before the next begins, and also where we are cancelled.
            with anyio.CancelScope(shield=True):
                await opening.__aexit__(None, None, None)

    async def _back_off(self, failure: Failure, attempts: int) -> None:
        """At once the first time, then later and later; a question cuts it short, unless there is
        no hope in that."""
        wait = 0.0
        if attempts > 1:
            wait = min(
                self._settings.backoff * 2.0 ** min(attempts - 2, 16),
                self._settings.longest_backoff,
            )
            wait *= self._random.uniform(0.8, 1.2)
        if failure.is_lasting:
            wait = _LASTING_WAIT_S
        if failure.wait is not None:
            wait = max(wait, failure.wait) if not failure.is_lasting else failure.wait
        self._nudge = anyio.Event()
        with anyio.move_on_after(wait):
            await self._nudge.wait()
        self._failure = None

    async def _connected(self) -> Link:
        """The connection, if need be after a little.

        :raises BrainError: there is none.
        """
        if not self._is_hopeless():
            self._nudge.set()
        with anyio.move_on_after(self._settings.patience):
            while not self._is_connected() and not self._is_hopeless():
                await self._changed.wait()
        if self._link is not None and self._link.is_open:
            return self._link
        if self._failure is not None:
            raise BrainError(self._failure.sentence)
        raise BrainError("Gemini is not connected yet")

    def _is_connected(self) -> bool:
        return self._link is not None and self._link.is_open

    def _is_hopeless(self) -> bool:
        return self._failure is not None and self._failure.is_lasting

    def _become(self, link: Link | None, failure: Failure | None) -> None:
        self._link, self._failure = link, failure
        self._changed.set()
        self._changed = anyio.Event()

    def _keep(self, handle: str) -> None:
        self._handle, self._covered = handle, tuple(self._known[-16:])

    def _forget(self) -> None:
        self._handle, self._covered = "", ()

    def _explain(self, error: BaseException) -> Failure:
        return failure_of(error, model=self._settings.model, key=self._key)


def _text(clause: str | SpokenClause) -> str:
    return clause if isinstance(clause, str) else clause.text


def _pcm(student: Samples | None) -> bytes:
    if student is None:
        return b""
    return (np.clip(student, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()


def _samples(pcm: bytes) -> Samples:
    whole = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2")
    return whole.astype(np.float32) / np.float32(32768.0)
