"""The recognisers in their configured order: who fails is replaced within the same utterance."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from attrs import define, field

from maestra.ports.errors import BackendRefused, SensesError
from maestra.ports.lifetime import Checks
from maestra.ports.senses import Recognition, SpeechRecogniser, StreamingRecogniser

from .breaker import Breaker
from .messages import Failed, Switched

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["Expecting", "RecogniserLine"]


@runtime_checkable
class Expecting(Protocol):
    """A recogniser that can be told what phrases to expect."""

    def expect(self, phrases: Sequence[str]) -> None: ...


@define(eq=False)
class _Choice:
    name: str
    recogniser: SpeechRecogniser
    breaker: Breaker = field(factory=Breaker)


class RecogniserLine:
    """Implements ``StreamingRecogniser`` by the first of ``choices`` that is well.

    The utterance's sound is at hand, so when one fails the next transcribes the same.

    :param clock: seconds, for the breakers.
    """

    def __init__(
        self,
        choices: Sequence[tuple[str, SpeechRecogniser]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._choices = [_Choice(name=name, recogniser=built) for name, built in choices]
        self._clock = clock
        self._serving = self._choices[0]
        self._hearing: SpeechRecogniser | None = None
        # An utterance begins on another thread than the one that transcribes the last one.
        self._beginning = threading.Lock()
        self._reports: list[object] = []

    def reports(self) -> list[object]:
        """What happened since the last time this was asked: ``Failed`` and ``Switched``."""
        reports, self._reports = self._reports, []
        return reports

    def expect(self, phrases: Sequence[str]) -> None:
        """Tell all that can be told."""
        for choice in self._choices:
            if isinstance(choice.recogniser, Expecting):
                choice.recogniser.expect(phrases)

    async def check(self) -> None:
        """Ask those whose key others have to accept whether it is.

        :raises BackendRefused: one is not.
        """
        for choice in self._choices:
            if isinstance(choice.recogniser, Checks):
                try:
                    await choice.recogniser.check()
                except BackendRefused:
                    raise
                except Exception as error:  # it may be there when it is asked
                    self._report(choice, error)

    def begin(self, samples: Samples) -> None:
        """See ``StreamingRecogniser``. Sound goes only to whoever is asked first."""
        now = self._clock()
        first = next((one for one in self._choices if not one.breaker.is_open(now)), None)
        with self._beginning:
            self._hearing = first.recogniser if first is not None else None
            if isinstance(self._hearing, StreamingRecogniser):
                self._hearing.begin(samples)

    def hear(self, samples: Samples) -> None:
        """See ``StreamingRecogniser``."""
        if isinstance(self._hearing, StreamingRecogniser):
            self._hearing.hear(samples)

    @property
    def streams(self) -> bool:
        """See ``StreamingRecogniser``: whether who hears this utterance does."""
        return isinstance(self._hearing, StreamingRecogniser)

    def so_far(self) -> Recognition:
        """See ``StreamingRecogniser``."""
        if isinstance(self._hearing, StreamingRecogniser):
            return self._hearing.so_far()
        return Recognition(text="", confidence=0.0)

    def transcribe(self, samples: Samples) -> Recognition:
        """See ``SpeechRecogniser``.

        :raises SensesError: all failed.
        """
        last = SensesError("There is no recogniser.")
        for number, choice in enumerate(self._choices, 1):
            # The last one is asked whatever it has done before: there is nobody else.
            if not choice.breaker.admits(self._clock()) and number < len(self._choices):
                continue
            try:
                self._let_hear(choice.recogniser, samples)
                recognition = choice.recogniser.transcribe(samples)
            except SensesError as error:
                last = error
            except Exception as error:  # a stranger's recogniser may raise anything
                last = SensesError(f"{type(error).__name__}: {error}")
            else:
                choice.breaker.succeeded()
                self._serve(choice)
                return recognition
            choice.breaker.failed(self._clock())
            self._report(choice, last)
        raise last

    def _let_hear(self, recogniser: SpeechRecogniser, samples: Samples) -> None:
        """Bring ``samples`` to one that streams and has not heard this utterance: it is not the
        first in line, or was not well when the utterance began."""
        with self._beginning:
            if recogniser is not self._hearing and isinstance(recogniser, StreamingRecogniser):
                recogniser.begin(samples)

    def _report(self, choice: _Choice, error: Exception) -> None:
        self._reports.append(
            Failed(
                worker="senses.asr",
                adapter=choice.name,
                kind=type(error).__name__,
                text=str(error) or type(error).__name__,
            )
        )

    def _serve(self, choice: _Choice) -> None:
        if choice is not self._serving:
            self._reports.append(
                Switched(worker="senses.asr", before=self._serving.name, after=choice.name)
            )
            self._serving = choice

    def close(self) -> None:
        """Close all that can be closed."""
        for choice in self._choices:
            if isinstance(choice.recogniser, StreamingRecogniser):
                choice.recogniser.close()
