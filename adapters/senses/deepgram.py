"""Deepgram by WebSocket: words while they are spoken.

Conventions. One connection lasts for the session; an utterance is sent while it is spoken, nothing
between utterances but a keep-alive, without which the service hangs up after ten seconds. What is
sent is 16 bit PCM at 16 kHz. Results carry times on the connection's own clock, which counts the
sound that was sent. An utterance's end asks for the rest with ``Finalize``, which the service need
not answer if only silence is left. When the connection breaks, the sound that no final result has
covered is sent again on the next one.

Bounds. Of an utterance the sound is kept that no final result has covered, and of that, and of what
waits to be sent, at most a minute. Beyond it the utterance has failed, which is said, and the next
recogniser, who has its sound, writes it down.

The SDK's synchronous client is used, from two threads: one sends, one reads.

Source: the API reference of Deepgram, *Listen, streaming*; its pages on finalize and keep-alive.
"""

from __future__ import annotations

import math
import queue
import threading
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread
import numpy as np

from maestra.core.wake import content_words, words_of
from maestra.ports.audio import SPEECH_RATE_HZ
from maestra.ports.errors import BackendRefused, SensesError
from maestra.ports.senses import Recognition

from .settings import DeepgramSettings

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["Deepgram"]

_KEEP_ALIVE: Final = 4.0
_SHORTEST_WAIT: Final = 0.25
_LONGEST_WAIT: Final = 10.0
_LONGEST_WISH: Final = 60.0
"""Seconds after which it is tried again even if the service asked for more."""
_PROVEN: Final = 10.0
"""A connection that lived so long (s) was well: the next is tried soon."""
_CHECKING: Final = 3.0
"""Seconds in which the connection stands, or is refused."""

_REFUSALS: Final = (400, 401, 403)
"""HTTP statuses of what will never work as it is configured: key, model, options."""

_LONGEST_KEPT: Final = 60 * SPEECH_RATE_HZ
_LONGEST_WAITING: Final = 60 * SPEECH_RATE_HZ

_SAME: Final = SPEECH_RATE_HZ // 50
"""Samples by which a result's end may miss the end of the sound."""

_UNANSWERED: Final = 0.25
"""Seconds after which a service that has nothing to say of the silence that is left will not."""

_SILENT: Final = 0.003
"""What is no louder (RMS of 20 ms) is silence in any room."""
_QUIET: Final = 0.1
"""What is no louder than this share of the loudest of an utterance is its silence; after the
service has said that the utterance is over, ``_QUIET_AFTER_ALL``."""
_QUIET_AFTER_ALL: Final = 0.3


class Deepgram:
    """Implements ``StreamingRecogniser``.

    :param key: the secret.
    :param phrases: the wake phrases, which are listened for.
    :raises SensesError: the SDK is not installed.
    """

    streams = True

    def __init__(
        self, settings: DeepgramSettings, *, key: str, phrases: Sequence[str] = ()
    ) -> None:
        try:
            with warnings.catch_warnings():
                # The SDK imports a deprecated part of its WebSocket library, and does not use it.
                warnings.simplefilter("ignore", DeprecationWarning)
                import deepgram.listen.v1.client  # noqa: F401, else imported when first used
                from deepgram import DeepgramClient
                from deepgram.environment import DeepgramClientEnvironment
        except ImportError as error:
            raise SensesError("Deepgram needs its SDK: install maestra[deepgram].") from error
        address = settings.base_url or DeepgramClientEnvironment.PRODUCTION.production
        self._client = DeepgramClient(
            api_key=key,
            telemetry_opt_out=True,
            environment=DeepgramClientEnvironment(
                base=address.replace("ws", "http", 1),
                production=address,
                agent=address,
                agent_rest=address,
            ),
        )
        self._settings = settings
        self._changed = threading.Condition()
        self._outgoing: queue.SimpleQueue[bytes | str | None] = queue.SimpleQueue()
        self._waiting = 0  # samples in there
        self._socket: Any = None
        self._trouble: SensesError | None = None
        self._closed = threading.Event()
        # Of the connection: samples sent. Of the utterance: where it begins among them, its sound,
        # how much of that is covered by final results, and the words.
        self._sent = 0
        self._origin = 0
        self._sound: list[Samples] = []  # from sample ``_kept_from`` on
        self._kept_from = self._heard = 0
        self._lost: SensesError | None = None
        self._loudest = 0.0
        self._begun = False
        self._covered = 0
        self._finals: list[tuple[str, float]] = []
        self._interim = Recognition(text="", confidence=0.0)
        self._ended = False
        self._finalized = False
        self._waits = False
        self._refused = self._hopeless = False
        self.expect(phrases)
        self._owner = threading.Thread(target=self._own, name="deepgram", daemon=True)
        self._owner.start()

    # --- what the ear calls ---------------------------------------------------

    def expect(self, phrases: Sequence[str]) -> None:
        """Listen for ``phrases``, from the next connection on."""
        self._phrases = tuple(phrases)

    async def check(self) -> None:
        """Whether key and model are accepted, which the connection tells. See
        ``maestra.ports.lifetime.Checks``."""
        await anyio.to_thread.run_sync(self._await_connection)

    def _await_connection(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._socket or self._trouble, _CHECKING)
            if self._socket is not None:
                return
            trouble = self._trouble or SensesError(
                f"There is no connection to Deepgram for {_CHECKING:g} s."
            )
            if self._hopeless:
                raise BackendRefused(str(trouble))
            raise trouble

    def begin(self, samples: Samples) -> None:
        """See ``StreamingRecogniser``."""
        self._begun = True
        self._begin(samples)

    def _begin(self, samples: Samples) -> None:
        with self._changed:
            self._origin = self._sent
            self._sound = []
            self._kept_from = self._heard = 0
            self._lost = None
            self._loudest = 0.0
            self._covered = 0
            self._finals = []
            self._interim = Recognition(text="", confidence=0.0)
            self._ended = self._finalized = False
        self.hear(samples)

    def hear(self, samples: Samples) -> None:
        """See ``StreamingRecogniser``."""
        if not len(samples):
            return
        with self._changed:
            if self._lost is not None:
                return
            self._sound.append(samples)
            self._heard += len(samples)
            self._loudest = max(self._loudest, _loudest(samples))
            if self._heard - self._kept_from > _LONGEST_KEPT:
                self._lose("has written down nothing", _LONGEST_KEPT)
            elif self._socket is not None:  # else it is sent once there is one
                self._send(samples)

    def so_far(self) -> Recognition:
        """See ``StreamingRecogniser``."""
        with self._changed:
            return self._recognition()

    def transcribe(self, samples: Samples) -> Recognition:
        """The words of the utterance, when the service has sent the last of them.

        :raises SensesError: there is no connection, or the last words did not come in time.
        """
        if not self._begun:
            self._begin(samples)
        with self._changed:
            self._finalized = False
            self._finalize()
            self._waits = True
            try:
                self._await_the_last()
            finally:
                self._waits = False
            return self._recognition()

    def close(self) -> None:
        """Say goodbye and end the threads."""
        self._closed.set()
        self._outgoing.put(None)
        with self._changed:
            socket = self._socket
        if socket is not None:
            with suppress(Exception):
                socket.send_close_stream()
        self._owner.join(2.0)

    # --- words ----------------------------------------------------------------

    def _await_the_last(self) -> None:
        asked_at = time.monotonic()
        while self._lost or not (self._finalized or self._covered >= self._heard - _SAME):
            if self._lost is not None:
                raise self._lost
            waited = time.monotonic() - asked_at
            left = self._settings.timeout - waited
            if self._trouble is not None:
                if self._refused or left <= 0:
                    raise self._trouble
            elif self._has_all_words():
                left = min(left, _UNANSWERED - waited)
                if left <= 0:
                    return
            if left <= 0:
                raise SensesError(
                    f"Deepgram has not sent the last words for {self._settings.timeout:g} s."
                )
            self._changed.wait(left)

    def _has_all_words(self) -> bool:
        """Whether nothing but silence is without a final result."""
        if self._interim.text:
            return False
        share = _QUIET_AFTER_ALL if self._ended else _QUIET
        return _loudest(self._uncovered()) <= max(_SILENT, share * self._loudest)

    def _uncovered(self) -> Samples:
        """What of the utterance no final result has covered."""
        kept = np.concatenate([np.zeros(0, np.float32), *self._sound])
        return kept[max(0, self._covered - self._kept_from) :]

    def _lose(self, why: str, samples: int) -> None:
        """Give this utterance up."""
        self._lost = SensesError(f"Deepgram {why} for {samples / SPEECH_RATE_HZ:g} s.")
        self._sound = []
        self._kept_from = self._covered = self._heard
        self._changed.notify_all()

    def _finalize(self) -> None:
        """Ask for the rest of the words, if there can be any."""
        if self._covered < self._heard - _SAME:
            if self._socket is not None:
                self._outgoing.put("Finalize")

    def _recognition(self) -> Recognition:
        texts = [text for text, _ in self._finals]
        confidences = [confidence for _, confidence in self._finals]
        if self._interim.text:
            texts.append(self._interim.text)
            confidences.append(self._interim.confidence)
        return Recognition(
            text=" ".join(texts),
            confidence=min(confidences, default=1.0),
            no_speech_probability=0.0 if texts else 1.0,
            ended=self._ended,
        )

    def _take(self, message: Any) -> None:
        """Learn from a result; one of an earlier utterance says nothing of this one."""
        begin = round(message.start * SPEECH_RATE_HZ) - self._origin
        end = begin + round(message.duration * SPEECH_RATE_HZ)
        if end <= _SAME and not (message.from_finalize and end >= 0):
            return
        alternatives = message.channel.alternatives
        text = alternatives[0].transcript.strip() if alternatives else ""
        confidence = float(alternatives[0].confidence) if alternatives else 0.0
        if message.is_final:
            if text:
                self._finals.append((text, confidence))
            self._interim = Recognition(text="", confidence=0.0)
            self._covered = min(max(self._covered, end), self._heard)
            while self._sound and self._kept_from + len(self._sound[0]) <= self._covered:
                self._kept_from += len(self._sound.pop(0))
            self._ended = bool(message.speech_final)
        else:
            self._interim = Recognition(text=text, confidence=confidence)
            self._ended = self._ended and not text
        if message.from_finalize:
            self._finalized = True

    # --- the connection -------------------------------------------------------

    def _own(self) -> None:
        """Hold the connection, and make it anew when it breaks."""
        wait = _SHORTEST_WAIT
        while not self._closed.is_set():
            refused = hopeless = False
            asked, begun = 0.0, math.inf
            try:
                with self._client.listen.v1.connect(**self._asked()) as socket:
                    begun = time.monotonic()
                    self._connected(socket)
                    sender = threading.Thread(
                        target=self._send_all, args=(socket,), name="deepgram-send", daemon=True
                    )
                    sender.start()
                    try:
                        for message in socket:
                            self._receive(message)
                    finally:
                        self._outgoing.put(None)
                        sender.join(2.0)
                trouble = SensesError("Deepgram closed the connection.")
            except Exception as error:
                trouble = _mapped(error)
                hopeless = _status(error) in _REFUSALS
                refused = _status(error) is not None or isinstance(error, SensesError)
                asked = _retry_after(error)
            with self._changed:
                self._socket = None
                self._trouble = trouble
                self._refused, self._hopeless = refused, hopeless
                self._changed.notify_all()
            if time.monotonic() - begun > _PROVEN:
                wait = _SHORTEST_WAIT
            self._closed.wait(max(wait, asked))
            wait = min(wait * 2, _LONGEST_WAIT)

    def _asked(self) -> dict[str, Any]:
        settings = self._settings
        # Nova-3 and later call it a key term, and weigh it themselves.
        older = settings.model.startswith(("nova-2", "nova", "enhanced", "base", "whisper"))
        older = older and not settings.model.startswith("nova-3")
        words: dict[str, Any]
        if older:
            # Single words, and none that every sentence has: those would only be heard too often.
            apart = {word for phrase in self._phrases for word in content_words(phrase)}
            words = {"keywords": [f"{word}:2" for word in sorted(apart | set(settings.terms))]}
        else:
            whole = {" ".join(words_of(phrase)) for phrase in self._phrases}
            words = {"keyterm": sorted(whole | set(settings.terms))}
        return {
            "model": settings.model,
            "language": settings.language,
            "encoding": "linear16",
            "sample_rate": SPEECH_RATE_HZ,
            "channels": 1,
            "interim_results": "true",
            "punctuate": "true",
            "endpointing": settings.endpointing,
            "mip_opt_out": "true" if settings.keep_out_of_training else "false",
            **words,
        }

    def _connected(self, socket: Any) -> None:
        """Begin a connection with what of the utterance no final result has covered."""
        with self._changed:
            if self._closed.is_set():
                # Nobody says goodbye to it, and what is drained here was to end its threads.
                raise SensesError("Deepgram is not listened to any more.")
            self._socket = socket
            self._trouble = None
            while not self._outgoing.empty():
                self._outgoing.get_nowait()
            self._waiting = 0
            self._sent = 0
            self._origin = -self._covered
            uncovered = self._uncovered()
            if len(uncovered):
                self._send(uncovered)
            if self._waits:
                self._finalize()
            self._changed.notify_all()

    def _send(self, samples: Samples) -> None:
        if self._waiting > _LONGEST_WAITING:
            self._lose("has taken nothing", _LONGEST_WAITING)
            return
        self._sent += len(samples)
        self._waiting += len(samples)
        self._outgoing.put((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())

    def _send_all(self, socket: Any) -> None:
        """Send what is to be sent, and in silence that we are still there."""
        with suppress(Exception):  # a broken connection is noticed where it is read
            while True:
                try:
                    message = self._outgoing.get(timeout=_KEEP_ALIVE)
                except queue.Empty:
                    socket.send_keep_alive()
                    continue
                match message:
                    case None:
                        return
                    case bytes():
                        socket.send_media(message)
                        with self._changed:
                            self._waiting -= len(message) // 2
                    case _:
                        socket.send_finalize()

    def _receive(self, message: Any) -> None:
        kind = getattr(message, "type", "")
        if kind == "Results":
            with self._changed:
                self._take(message)
                self._changed.notify_all()
        elif kind == "Error":
            raise SensesError(
                f"Deepgram refuses: {getattr(message, 'description', '') or 'no reason given'}"[
                    :200
                ]
            )


def _loudest(samples: Samples) -> float:
    """The RMS of the loudest 20 ms."""
    if not len(samples):
        return 0.0
    power = np.square(samples, dtype=np.float64)
    begins = np.arange(0, len(samples), _SAME)
    lengths = np.diff(np.append(begins, len(samples)))
    return float(np.sqrt((np.add.reduceat(power, begins) / lengths).max()))


def _mapped(error: Exception) -> SensesError:
    """``error`` as one of the port's, in a sentence that says what to do."""
    status = _status(error)
    if isinstance(error, SensesError):
        return error
    if status in (401, 403):
        return SensesError("Deepgram refuses the key: check the variable DEEPGRAM_API_KEY.")
    if status == 402:
        return SensesError("Deepgram says that the credit is used up: see its billing.")
    if status == 429:
        return SensesError("Deepgram is asked too often: it will be tried later.")
    if status == 400:
        return SensesError(
            "Deepgram refuses the request: check senses.options.deepgram, its model first."
        )
    if status is not None:
        return SensesError(f"Deepgram failed with HTTP {status}.")
    closed = getattr(error, "rcvd", None)
    if closed is not None:
        told = f"{closed.code} {closed.reason}".strip()
        return SensesError(f"Deepgram hung up: {told[:160].rstrip('.')}.")
    return SensesError(f"The connection to Deepgram broke: {type(error).__name__}.")


def _retry_after(error: Exception) -> float:
    """How long a service that does not let one in asks to be left alone (s)."""
    # An error of the SDK's own has the headers that were sent; what it caught, those that came.
    response: Any = getattr(error, "response", getattr(error.__context__, "response", None))
    try:
        return min(max(0.0, float(response.headers["Retry-After"])), _LONGEST_WISH)
    except (AttributeError, KeyError, ValueError):
        return 0.0


def _status(error: Exception) -> int | None:
    """The HTTP status that the connection was refused with."""
    response = getattr(error, "response", None)
    status: int | None = getattr(error, "status_code", getattr(response, "status_code", None))
    return status
