"""The brain that asks a server for chat completions."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import anyio

from maestra.core.brief import Message
from maestra.ports.brain import BrainRequest
from maestra.ports.errors import BackendRefused, BrainError, MaestraError

from ..chat import ChatBrain, Piece, chat_for
from .settings import OpenAISettings

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["OpenAIBrain"]

_KEY: Final = "OPENAI_API_KEY"

_FIRST_WAIT: Final = 0.15
"""Before the first retry (s); it doubles."""

_AN_ANSWER: Final = 0.4
"""What a server takes to begin an answer (s): with less left, asking again is in vain."""

_PING_AFTER: Final = 25.0
"""How long a connection may be idle (s): many servers close it after half a minute or a minute."""

_PING_PATIENCE: Final = 5.0

_CLOSING: Final = 0.05
"""What closing a stream may take (s)."""


class OpenAIBrain(ChatBrain):
    """Asks a model on a server, clause by clause. Implements ``Revises``, ``Prepares``, ``Lives``
    and ``Checks``.

    The constant part of the prompt comes first, so the server's prompt cache serves it. While
    ``live`` runs, the connection is kept open between the questions.

    :param key: the secret; may be empty where ``settings.base_url`` is set.
    :raises MaestraError: the package ``openai`` is not installed, or there is no key.
    """

    def __init__(self, settings: OpenAISettings, *, key: str = "") -> None:
        try:
            import openai
        except ImportError:
            raise MaestraError(
                "the brain openai needs the package openai: pip install 'maestra[openai]'"
            ) from None
        if not key and not settings.base_url:
            raise MaestraError(
                f"the brain openai needs its key in the environment variable {_KEY}, which is not"
                " set"
            )
        self._openai = openai
        self._settings = settings
        self._key = key
        self._client: AsyncOpenAI | None = None
        self._prepared: list[Message] | None = None
        self._news = anyio.Event()
        self._used_at = -math.inf
        self._beside: anyio.CancelScope | None = None
        self._asked = 0  # questions that are being answered

    async def check(self) -> None:
        """Whether the server takes the key and has the model: it is asked for its models, which is
        free. llama.cpp's answers by whatever name it is asked for."""
        sdk, name = self._openai, self._settings.model
        try:
            with self._mapped():
                models = [model async for model in self._server().models.list()]
        except BrainError as error:
            cause = error.__cause__
            if "missing scopes" in str(cause).lower():  # it may answer and not list
                return
            if isinstance(cause, sdk.AuthenticationError | sdk.PermissionDeniedError):
                raise BackendRefused(str(error)) from error
            raise
        names = [model.id for model in models]
        # Ollama lists llama3.1:latest and answers to llama3.1.
        known = {*names, *(each.removesuffix(":latest") for each in names)}
        if names and name not in known and not any(m.owned_by == "llamacpp" for m in models):
            near = get_close_matches(name, names, n=3, cutoff=0.3) or names[:3]
            raise BackendRefused(
                f"{self._settings.base_url or 'OpenAI'} has no model {name!r}, set"
                f" brain.options.openai.model: it has {', '.join(near)}"
            )

    def prepare(self, request: BrainRequest) -> None:
        self._prepared = chat_for(request)
        self._news.set()

    async def live(self) -> None:
        """Keep a connection open, and with ``prefill`` the facts in the server's cache."""
        try:
            while True:
                await self._news.wait()
                self._news = anyio.Event()
                if self._asked or self._prepared is None:
                    continue
                idle = anyio.current_time() - self._used_at
                if self._settings.prefill:
                    await self._quietly(self._prefill, self._prepared)
                elif idle > _PING_AFTER:
                    await self._quietly(self._ping)
        finally:
            if self._client is not None:
                with anyio.CancelScope(shield=True), anyio.move_on_after(1.0):
                    await self._client.close()
                self._client = None

    # --- the server ---------------------------------------------------------------

    def _server(self) -> AsyncOpenAI:
        """The client; made late, as it belongs to the event loop that it is used in."""
        if self._client is None:
            self._client = self._openai.AsyncOpenAI(
                api_key=self._key or "none",
                base_url=self._settings.base_url or None,
                # Ours are bounded by what a conversation bears; see ``_begin``.
                max_retries=0,
                timeout=max(self._settings.patience, self._settings.stall, _PING_PATIENCE),
                http_client=self._openai.DefaultAsyncHttpxClient(
                    limits=_limits(self._openai.DEFAULT_CONNECTION_LIMITS)
                ),
            )
        return self._client

    async def _quietly(self, act: Any, *arguments: object) -> None:
        """Do what only saves time: if it fails, the next question will tell."""
        self._used_at = anyio.current_time()
        try:
            with anyio.move_on_after(_PING_PATIENCE) as self._beside:
                await act(*arguments)
        except (self._openai.OpenAIError, OSError, ValueError):
            return

    async def _ping(self) -> None:
        """Whatever is answered, the connection stands."""
        await self._server().models.with_raw_response.list()

    async def _prefill(self, chat: Sequence[Message]) -> None:
        await self._server().chat.completions.create(**self._arguments(chat, max_tokens=1))

    def _arguments(self, chat: Sequence[Message], *, max_tokens: int) -> dict[str, Any]:
        # OpenAI has renamed the limit; servers of others know the old name.
        limit = "max_tokens" if self._settings.base_url else "max_completion_tokens"
        return {
            "model": self._settings.model,
            "messages": list(chat),
            "temperature": self._settings.temperature,
            limit: max_tokens,
        }

    async def _pieces(self, chat: Sequence[Message]) -> AsyncGenerator[Piece]:
        """What the model writes.

        :raises BrainError: it could not be asked, or broke off.
        """
        self._asked += 1
        if self._settings.prefill and self._beside is not None:
            # A local server reads one prompt at a time: the question must not wait for that one.
            self._beside.cancel()
        answer: _Answer | None = None
        try:
            deadline = anyio.current_time() + self._settings.patience
            answer, piece = await self._begin(chat, deadline)
            while piece is not None:
                yield piece
                with self._mapped(), anyio.fail_after(self._settings.stall):
                    piece = await answer.next()
        finally:
            self._asked -= 1
            self._used_at = anyio.current_time()
            if answer is not None:
                await answer.close()

    async def _begin(
        self, chat: Sequence[Message], deadline: float
    ) -> tuple[_Answer, Piece | None]:
        """An answer, and its first piece.

        Tries again while that can still be in time: whoever is next in turn must get to speak.
        """
        wait = _FIRST_WAIT
        left = self._settings.retries
        while True:
            try:
                return await self._attempt(chat, deadline)
            except _MayPassError as error:
                pause = max(wait, error.retry_after)
                if not left or anyio.current_time() + pause + _AN_ANSWER > deadline:
                    raise BrainError(str(error)) from error.__cause__
            left -= 1
            wait *= 2
            await anyio.sleep(pause)

    async def _attempt(
        self, chat: Sequence[Message], deadline: float
    ) -> tuple[_Answer, Piece | None]:
        answer: _Answer | None = None
        try:
            with (
                self._mapped(),
                anyio.fail_after(max(0.0, deadline - anyio.current_time())),
            ):
                answer = _Answer(
                    await self._server().chat.completions.create(
                        stream=True, **self._arguments(chat, max_tokens=self._settings.max_tokens)
                    )
                )
                return answer, await answer.next()
        except BaseException:
            if answer is not None:
                await answer.close()
            raise

    # --- errors -------------------------------------------------------------------

    def _mapped(self) -> _Mapped:
        return _Mapped(self._explain)

    def _explain(self, error: Exception) -> Exception | None:
        """``error`` as the port's, in one sentence; ``None`` if it is not the server's."""
        sdk, name = self._openai, self._settings.model
        where = self._settings.base_url or "OpenAI"
        match error:
            case TimeoutError() | sdk.APITimeoutError():
                return BrainError(f"{where} did not answer in time")
            case sdk.AuthenticationError() | sdk.PermissionDeniedError():
                return BrainError(f"{where} refused the key: check {_KEY}")
            case sdk.NotFoundError():
                return BrainError(
                    f"{where} has no model {name!r}: set brain.options.openai.model to one it has"
                )
            case sdk.RateLimitError():
                if getattr(error, "code", None) == "insufficient_quota":
                    return BrainError(f"the quota at {where} is used up: see its billing page")
                return _MayPassError(f"{where} has had too many requests", _retry_after(error))
            case sdk.InternalServerError() | sdk.ConflictError():
                return _MayPassError(
                    f"{where} has a fault of its own ({error.status_code})", _retry_after(error)
                )
            case sdk.APIStatusError():
                return BrainError(
                    f"{where} refused the request ({error.status_code}):"
                    f" {self._without_key(error.message)}"
                )
            case sdk.APIConnectionError():
                return _MayPassError(f"the connection to {where} failed", 0.0)
            case sdk.OpenAIError():
                return BrainError(f"{where} broke off: {self._without_key(str(error))}")
            case _BrokenOffError():
                return BrainError(f"{where} broke off in the middle of its answer")
            case ValueError() | AttributeError() | TypeError() | LookupError():
                return BrainError(f"{where} sent what is no chat completion")
        return None

    def _without_key(self, text: str) -> str:
        text = " ".join(text.split())[:200]
        return text.replace(self._key, "…") if self._key else text


class _MayPassError(BrainError):
    """An error that may be gone in a moment."""

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class _BrokenOffError(Exception):
    """The stream ended without an end."""


class _Mapped:
    """A context manager: foreign errors inside leave it as the port's."""

    def __init__(self, explain: Any) -> None:
        self._explain = explain

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, BrainError):
            explained = self._explain(error)
            if explained is not None:
                raise explained from error


class _Answer:
    """An answer that is being streamed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._ended = False

    async def next(self) -> Piece | None:
        """The next piece that says something; ``None`` once the answer has ended.

        :raises _BrokenOffError: the stream ended before the answer.
        """
        async for chunk in self._stream:
            if not chunk.choices:
                continue  # usage, or a server's own remarks
            (choice, *_) = chunk.choices
            text = choice.delta.content or ""
            if choice.finish_reason == "content_filter":
                raise BrainError("the server's content filter stopped the answer")
            self._ended = self._ended or choice.finish_reason is not None
            cut = choice.finish_reason == "length"
            if text or cut:
                return Piece(text, cut=cut)
        if not self._ended:
            raise _BrokenOffError
        return None

    async def close(self) -> None:
        """Hang up; the server then stops writing."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSING):
            await self._stream.close()


def _retry_after(error: Any) -> float:
    """How long the server asks to be left alone (s)."""
    headers = error.response.headers
    for name, factor in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * factor)
        except (KeyError, ValueError):
            continue
    # A date is a matter of many seconds: too long, whichever it is.
    return math.inf if "retry-after" in headers else 0.0


def _limits(default: Any) -> Any:
    """Connections that outlive the silence between two questions."""
    return type(default)(max_connections=8, max_keepalive_connections=2, keepalive_expiry=300.0)
