"""OpenAI's speech endpoint, and whoever offers the same: a clause by HTTP, PCM as it is made.

Conventions. The answer is raw PCM, 16 bit little-endian, mono, 24 kHz, without a header, and comes
in pieces of any size. A request is tried again once, at once, if it failed before the first sound
and quickly; a longer wait would be heard as a silence, and there are other voices.

Source: the API reference of OpenAI, *Create speech*.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio
from attrs import field, frozen

from maestra.ports.errors import BackendRefused, VoiceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["OpenAISpeech", "OpenAISpeechSettings"]

_RATE_HZ: Final = 24_000
_PIECE_BYTES: Final = 4800
"""0.1 s: small enough to begin at once."""

_KEPT: Final = 300.0
"""Seconds that a connection is kept open between two clauses; the library's own is five."""
_PING_AFTER: Final = 25.0
"""Seconds without a clause after which the connection is used, lest it be closed: many servers do
so after half a minute or a minute."""

_WORTH_TRYING_AGAIN: Final = 0.5
"""Seconds: what failed later than this, or asks to wait for longer, is not tried again."""


@frozen(kw_only=True)
class OpenAISpeechSettings:
    """What can be chosen of OpenAI's voices."""

    model: str = field(
        default="gpt-4o-mini-tts",
        metadata={"doc": "The model: gpt-4o-mini-tts, tts-1-hd, tts-1, or a server's own."},
    )
    voice: str | None = field(
        default=None, metadata={"doc": "A voice's name; absent, the persona's."}
    )
    instructions: str | None = field(
        default="Speak like a warm, experienced music teacher: friendly, clear and unhurried.",
        metadata={"doc": "How to speak. tts-1 and tts-1-hd know no instructions."},
    )
    base_url: str | None = field(
        default=None,
        metadata={
            "doc": "A server with the same interface, instead of OpenAI's.",
            "schemes": ("http", "https"),
        },
    )
    timeout: float = field(
        default=5.0,
        metadata={
            "doc": "What the connection may wait for anything.",
            "unit": "s",
            "minimum": 0.1,
            "maximum": 60.0,
        },
    )


class OpenAISpeech:
    """A voice of OpenAI's, or of a server with the same interface.

    :param voice: a voice's name.
    :param key: the secret; a server of one's own may need none.
    :param pace: how fast it speaks, 1 is the model's own.
    :raises VoiceError: the SDK is not installed.
    """

    sample_rate_hz = _RATE_HZ

    def __init__(
        self, settings: OpenAISpeechSettings, *, voice: str, key: str, pace: float = 1.0
    ) -> None:
        try:
            import openai
        except ImportError as error:
            raise VoiceError("OpenAI's voice needs its SDK: install maestra[openai]") from error
        self._client = openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=settings.base_url,
            timeout=settings.timeout,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(
                limits=type(openai.DEFAULT_CONNECTION_LIMITS)(
                    max_connections=8, max_keepalive_connections=2, keepalive_expiry=_KEPT
                )
            ),
        )
        self._used_at = -math.inf
        self._settings = settings
        self._voice = voice
        self._pace = pace

    async def check(self) -> None:
        """Whether the key is accepted, and OpenAI has the model: it is asked for its models, which
        is free. What a server of one's own offers it need not list. See
        ``maestra.ports.lifetime.Checks``."""
        import openai

        try:
            names = [model.id async for model in self._client.models.list()]
        except openai.AuthenticationError as error:
            if "missing scopes" in str(error).lower():  # it may speak and not list
                return
            raise BackendRefused(str(self._mapped(error))) from error
        except (openai.PermissionDeniedError, openai.NotFoundError):
            return
        except Exception as error:
            raise self._mapped(error) from error
        model = self._settings.model
        if self._settings.base_url is None and names and model not in names:
            raise BackendRefused(
                f"OpenAI's voice knows no model {model!r}: set voice.options.openai.model"
            )

    async def live(self) -> None:
        """Open a connection before the first clause, keep it between the answers, and close it in
        the end; see ``maestra.ports.lifetime.Lives``."""
        try:
            while True:
                idle = anyio.current_time() - self._used_at
                if idle >= _PING_AFTER:
                    await self._ping()
                    idle = 0.0
                await anyio.sleep(_PING_AFTER - idle)
        finally:
            with anyio.CancelScope(shield=True):
                await self._client.close()

    async def _ping(self) -> None:
        """Whatever is answered, the connection stands; if not, the next clause will tell."""
        import openai

        self._used_at = anyio.current_time()
        with suppress(openai.OpenAIError, OSError, ValueError):
            await self._client.models.with_raw_response.list()

    async def synthesise(self, clause: str) -> AsyncIterator[NDArray[np.float32]]:
        """Speak ``clause`` as it arrives; see ``maestra.ports.voice.Voice``."""
        begun = time.monotonic()
        for last in (False, True):
            spoken = False
            try:
                async for sound in self._streamed(clause):
                    spoken = True
                    yield sound
            except Exception as error:
                pause = _pause_before_another(error)
                tried = time.monotonic() - begun
                if spoken or last or pause is None or tried + pause > _WORTH_TRYING_AGAIN:
                    raise self._mapped(error) from error
                await anyio.sleep(pause)
                continue
            if not spoken:
                raise VoiceError("OpenAI's voice made no sound of a clause")
            return

    async def _streamed(self, clause: str) -> AsyncIterator[NDArray[np.float32]]:
        import numpy as np
        import openai

        known = self._settings.instructions and not self._settings.model.startswith("tts-1")
        left = b""
        self._used_at = anyio.current_time()
        async with self._client.audio.speech.with_streaming_response.create(
            model=self._settings.model,
            voice=self._voice,
            input=clause,
            response_format="pcm",
            speed=self._pace if self._pace != 1.0 else openai.omit,
            instructions=(self._settings.instructions or "") if known else openai.omit,
        ) as response:
            kind = response.headers.get("content-type", "")
            if kind.startswith(("application/json", "text/")):
                raise VoiceError(f"OpenAI's voice answered with {kind} instead of sound")
            async for piece in response.iter_bytes(_PIECE_BYTES):
                left += piece
                whole = len(left) // 2 * 2
                if whole:
                    yield np.frombuffer(left[:whole], "<i2").astype(np.float32) / 32768.0
                    left = left[whole:]

    def _mapped(self, error: Exception) -> VoiceError:
        """``error`` as one of the port's, in a sentence that says what to do."""
        import openai

        model, voice = self._settings.model, self._voice
        match error:
            case VoiceError():
                return error
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                return VoiceError(
                    "OpenAI's voice refuses the key: check the variable OPENAI_API_KEY"
                )
            case openai.NotFoundError():
                return VoiceError(
                    f"OpenAI's voice knows no model {model!r}: set voice.options.openai.model"
                )
            case openai.BadRequestError():
                return VoiceError(
                    f"OpenAI's voice refuses the model {model!r} with the voice {voice!r}"
                )
            case openai.RateLimitError() if error.code == "insufficient_quota":
                return VoiceError("OpenAI's voice says that the quota is used up: see its billing")
            case openai.RateLimitError():
                return VoiceError("OpenAI's voice is asked too often: it will be tried later")
            case openai.APIStatusError():
                return VoiceError(f"OpenAI's voice failed with HTTP {error.status_code}")
            # In mid-stream the SDK lets the errors of its HTTP library through, whichever it is.
            case _ if "Timeout" in type(error).__name__:
                return VoiceError(f"OpenAI's voice sent nothing for {self._settings.timeout:g} s")
            case _:
                return VoiceError(f"the connection to OpenAI's voice broke: {type(error).__name__}")


def _pause_before_another(error: Exception) -> float | None:
    """Seconds after which it may be tried again; ``None`` where that would not help."""
    import openai

    match error:
        case openai.RateLimitError() if error.code != "insufficient_quota":
            try:
                return float(error.response.headers.get("retry-after", ""))
            except ValueError:
                return None
        case openai.InternalServerError() | openai.APIConnectionError() if not isinstance(
            error, openai.APITimeoutError
        ):
            return 0.1
        case _:
            return None
