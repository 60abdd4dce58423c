"""Whisper, by faster-whisper (CTranslate2): writes down speech.

Whisper was made for windows of 30 s and costs the same for a word as for half a minute. Its encoder
does accept a shorter window: 10 s take an eighth of the time of 30 s, and the words of an utterance
of a few seconds come out about as well. In windows of 8 s and less it begins to say short
utterances over and over.

Of the hypotheses of the beam, one that holds an expected phrase wins over a better scored one that
is nearly as likely: "teacher comment" over "teach your comment". Prompting Whisper with the phrases
instead makes it hear them where they are not, and drop words that were there.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maestra.ports.audio import SPEECH_RATE_HZ
from maestra.ports.errors import BackendRefused, ModelMissing, SensesError
from maestra.ports.senses import Recognition

from .settings import WhisperSettings

if TYPE_CHECKING:
    from maestra.ports.audio import Samples

__all__ = ["FasterWhisper", "words_of"]

_WINDOWS = (10.0, 15.0, 20.0, 30.0)
"""Lengths of the encoder's window, seconds: the first that leaves ``_ROOM`` is taken."""

_LEAD = 0.3
"""Silence before the speech, seconds: without it a first word is lost now and then."""

_ROOM = 1.5
"""Silence that must be left after the speech, seconds: it is how Whisper knows the end."""

_SHORTEST = 0.12
"""Nobody says a word in less, seconds."""

_TOKENS_PER_SECOND = 7
"""Nobody speaks faster; more is an invention."""

_PHRASE_MARGIN = 0.5
"""How much less likely (mean log-probability) a hypothesis with an expected phrase may be."""

_TERM_MARGIN = 0.15
"""Likewise for a term: it is less sure to be meant."""

_INVENTIONS = frozenset(
    {
        "thank you",
        "thank you very much",
        "thank you so much",
        "thank you for watching",
        "thanks for watching",
        "thanks for listening",
        "thanks",
        "please subscribe",
        "subscribe",
        "see you next time",
        "see you in the next video",
        "bye",
        "bye bye",
        "you",
        "so",
        "oh",
        "hmm",
        "uh",
        "um",
        "the end",
        "i",
        "the",
        "a",
    }
)
"""What Whisper says when there is nothing: believed only when it is sure of it."""


def words_of(text: str) -> tuple[str, ...]:
    """The words of ``text`` in small letters, without punctuation."""
    return tuple(re.findall(r"[a-z0-9']+", text.lower()))


class FasterWhisper:
    """Implements ``SpeechRecogniser``.

    It runs Whisper and Distil-Whisper of any size. On CUDA, CTranslate2 works on a stream of its
    own, so pictures that are drawn on the same device do not wait for words.
    """

    def __init__(
        self,
        model: Path,
        settings: WhisperSettings | None = None,
        *,
        phrases: Sequence[str] = (),
    ) -> None:
        """Load the model in folder ``model`` (CTranslate2).

        :param phrases: the wake phrases, which are expected.
        :raises ModelMissing: it is not there, or cannot be read.
        :raises BackendRefused: this machine has no such device.
        """
        from ctranslate2 import StorageView
        from faster_whisper import WhisperModel
        from faster_whisper.tokenizer import Tokenizer

        if not (model / "model.bin").is_file():
            raise ModelMissing(f"There is no Whisper model in {model}.")
        settings = settings or WhisperSettings()
        if settings.device == "cuda" and not _cuda_devices():
            raise BackendRefused(
                "Whisper finds no CUDA device here: set senses.options.faster-whisper.device to cpu"
            )
        kind = settings.compute_type or ("float16" if settings.device == "cuda" else "int8")
        try:
            self._whisper = WhisperModel(
                str(model),
                device=settings.device,
                compute_type=kind,
                cpu_threads=settings.threads,
                num_workers=1,
            )
            self._tokenizer = Tokenizer(
                self._whisper.hf_tokenizer,
                self._whisper.model.is_multilingual,
                task="transcribe" if self._whisper.model.is_multilingual else None,
                language="en" if self._whisper.model.is_multilingual else None,
            )
        except Exception as error:
            raise ModelMissing(f"The Whisper model in {model} cannot be loaded: {error}") from error
        self._storage = StorageView.from_array
        self._beam_size = settings.beam_size
        self._hotwords = settings.hotwords
        self._terms = tuple(filter(None, (words_of(term) for term in settings.terms)))
        self.expect(phrases)

    def expect(self, phrases: Sequence[str]) -> None:
        """Prefer hypotheses that hold one of these phrases, where they are nearly as likely."""
        self._phrases = tuple(filter(None, (words_of(phrase) for phrase in phrases)))
        start = [*self._tokenizer.sot_sequence, self._tokenizer.no_timestamps]
        words = ", ".join(" ".join(one) for one in (*self._phrases, *self._terms))
        hot = self._tokenizer.encode(f" {words}") if self._hotwords else []
        # Half of the decoder's context is for what was said before, and that is what a prompt is.
        before = [self._tokenizer.sot_prev, *hot[: self._whisper.max_length // 2 - 1]]
        self._prompt = [*before, *start] if hot else start

    def transcribe(self, samples: Samples) -> Recognition:
        """Transcribe mono 16 kHz ``samples``; what is over 30 s is cut off at the front.

        :raises SensesError: the model failed.
        """
        duration = len(samples) / SPEECH_RATE_HZ
        peak = float(np.max(np.abs(samples), initial=0.0))
        if duration < _SHORTEST or not np.isfinite(peak) or peak < 1e-4:
            return Recognition(text="", confidence=1.0, no_speech_probability=1.0)
        try:
            hypotheses, no_speech = self._decode(samples, duration, peak)
        except Exception as error:
            raise SensesError(f"Whisper failed: {error}") from error
        return self._judge(hypotheses, no_speech, duration)

    def _decode(
        self, samples: Samples, duration: float, peak: float
    ) -> tuple[list[tuple[str, float]], float]:
        """The texts of the beam with their mean log-probabilities, and P(no speech)."""
        window = next((w for w in _WINDOWS if duration + _LEAD + _ROOM <= w), _WINDOWS[-1])
        size = int(window * SPEECH_RATE_HZ)
        padded = np.zeros(size, np.float32)
        lead = min(int(_LEAD * SPEECH_RATE_HZ), max(0, size - len(samples)))
        heard = samples[-size:]
        # Whisper's own features are normalised; this only keeps far and near voices alike.
        padded[lead : lead + len(heard)] = heard * (0.5 / peak)
        features = self._whisper.feature_extractor(padded, padding=0)[:, : size // 160]
        encoded = self._whisper.model.encode(
            self._storage(np.ascontiguousarray(features[None], dtype=np.float32))
        )
        result = self._whisper.model.generate(
            encoded,
            [self._prompt],
            beam_size=self._beam_size,
            num_hypotheses=self._beam_size,
            max_length=min(
                self._whisper.max_length,
                len(self._prompt) + 6 + int(duration * _TOKENS_PER_SECOND),
            ),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=[-1],
        )[0]
        texts = [self._tokenizer.decode(tokens).strip() for tokens in result.sequences_ids]
        return list(zip(texts, result.scores, strict=True)), float(result.no_speech_prob)

    def _judge(
        self, hypotheses: Sequence[tuple[str, float]], no_speech: float, duration: float
    ) -> Recognition:
        text, score = hypotheses[0]
        for expected, margin in ((self._phrases, _PHRASE_MARGIN), (self._terms, _TERM_MARGIN)):
            found = next(
                (
                    (other, other_score)
                    for other, other_score in hypotheses
                    if other_score >= score - margin and _holds(expected, other)
                ),
                None,
            )
            if found is not None:
                text, score = found
                break
        text = _without_repetition(text)
        words = words_of(text)
        confidence = float(np.exp(min(0.0, score)))
        invented = (
            not words
            or (no_speech > 0.6 and score < -0.8)
            or score < -2.0
            or (" ".join(words) in _INVENTIONS and (no_speech > 0.2 or score < -0.7))
            or (len(text) > 24 and len(text) / len(zlib.compress(text.encode())) > 2.4)
            or len(words) / duration > 8
        )
        return Recognition(
            text="" if invented else text,
            confidence=confidence,
            no_speech_probability=no_speech,
        )


def _cuda_devices() -> int:
    import ctranslate2

    count: int = ctranslate2.get_cuda_device_count()
    return count


def _holds(phrases: Sequence[tuple[str, ...]], text: str) -> bool:
    words = words_of(text)
    return any(
        words[i : i + len(phrase)] == phrase
        for phrase in phrases
        for i in range(len(words) - len(phrase) + 1)
    )


def _without_repetition(text: str) -> str:
    """``text`` once, if it is the same one to six words said at least three times over."""
    pieces = text.split()
    words = [words_of(piece) for piece in pieces]
    for length in range(1, 7):
        if len(words) >= 3 * length and all(
            words[i] == words[i % length] for i in range(len(words))
        ):
            return " ".join(pieces[:length])
    return text
