"""The floor detector: YAMNet, the voice probability and the steadiness of pitch, weighed together.

Twenty times a second two questions are asked: does anybody speak? does anybody play or sing? The
evidence on each (log-odds from `floor_features`, by logistic regression on mixtures of recorded
speech, singing, playing and household noise) is summed up over time, so that strong evidence
decides in a tenth of a second and weak evidence in half. The sums are bounded, which bounds how
long a decision outlives its evidence.

Whoever sings without training sounds, for half a second, like somebody who speaks. Over seconds the
two are far apart: pitch that stands still in every syllable, and slow change. So a voice is also
followed for longer, and where it has been singing, speech needs more evidence and singing less.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from attrs import define, frozen

from maestra.core.hearing import FloorChanged, FloorEvent, FloorLabel, InstrumentHeard
from maestra.core.media_time import MediaTime, from_samples
from maestra.ports.audio import SPEECH_RATE_HZ, AudioChunk
from maestra.ports.errors import SensesError

from .floor_features import BLOCK_SAMPLES, FEATURE_NAMES, FloorFeatures, Yamnet
from .instrument import InstrumentEar
from .silero import SpeechProbability

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["YamnetFloor"]


@frozen
class _Question:
    """Weights on the features (but for age and level), and how its evidence adds up.

    Evidence is clipped to [-``down``, ``up``], the sum to [``lowest``, ``highest``]; the answer
    turns to yes above 1 and to no below 0. In silence ``fade`` is taken off each time.
    """

    weights: tuple[float, ...]
    bias: float
    up: float
    down: float
    fade: float
    lowest: float
    highest: float


_SPEECH = _Question(
    (0.159, -0.218, 0.258, 0.115, 0.156, -0.064, 0.151, 0.164, 0.658, 0.269, 0.424, -1.229, -0.561,
     -0.141, 2.177),
    0.284, up=3.0, down=1.0, fade=0.5, lowest=-1.0, highest=2.0,
)  # fmt: skip

_MUSIC = _Question(
    (0.027, 0.177, 0.262, -0.021, 0.016, 0.219, 0.303, -0.031, -0.195, 0.009, 0.238, 4.328, 0.329,
     0.483, -2.475),
    3.221, up=2.0, down=0.7, fade=0.25, lowest=-1.0, highest=2.5,
)  # fmt: skip

_SINGING = _Question(
    (-0.038, 0.398, -0.111, -0.12, -0.17, 0.437, -0.696, -0.139, 0.38, -0.051, -0.297, 7.577,
     -0.813, -0.895, 7.14),
    -5.425, up=1.5, down=1.5, fade=0.0, lowest=-6.0, highest=6.0,
)  # fmt: skip

_SUNG = (7.0, 0.25, -4.75, 2.8)
"""Log-odds that a voice sings: weights of the share of steady pitch in the last second, of how far
YAMNet puts singing above speech, and of how fast the spectrum changes; and the bias."""

_SUNG_BLOCKS = 30
"""Blocks of voice by which this is averaged, and ..."""

_MOST_SUNG = 2.0
"""... what one block can say at most."""

_SUNG_FROM = 0.3
"""A mean above this says that the voice sings, a whole unit above it that it surely does. That of
135 clips of speech exceeds it in one."""

_AGAINST_SPEECH, _FOR_SINGING = 1.5, 2.5
"""What sure singing is worth in log-odds."""

_LEVEL, _AGE = FEATURE_NAMES.index("level"), FEATURE_NAMES.index("age")
_VOICE = FEATURE_NAMES.index("voice_now")
_LONG_SPEECH = FEATURE_NAMES.index("long_speech")
_LONG_SINGING = FEATURE_NAMES.index("long_singing")
_STEADY = FEATURE_NAMES.index("pitch_steadiness_long")
_FLUX = FEATURE_NAMES.index("flux")
_LONG_VOICE = FEATURE_NAMES.index("voice_long")
_LONG_MUSIC = FEATURE_NAMES.index("long_music")

_LEAST = np.array([*[-10.0] * 8, *[-4.0] * 3, *[0.0] * 4])
_MOST = np.array([4.0] * 15)
"""Scores beyond these say no more than these do."""

_QUIET = -5.5
"""Tens of dBFS; below nothing is judged."""

_LOUD = 2.0
"""By how many tens of dB a sound that is neither voice nor music must stand above the room."""

_USUAL_DELAY, _LONGEST_DELAY = 2, 12
"""Blocks that a decision usually takes, and may take."""

_CLEAR = 3.0
"""How far YAMNet must put speech above music, for as long as it has heard, to leave no doubt."""

_NO_DOUBT = 3.0
"""What that is worth in log-odds, for speech and against music."""

_MUSIC_UNDER_SPEECH = 1.5
"""Log-odds taken off music that joins somebody who speaks: vowels ring like notes."""

_VOICE_FIRST = 3.0
"""The same for music that begins while Silero hears a voice, which it does before YAMNet; if that
voice is known to speak by now, less."""

_VOICE_LIKELY, _VOICE_POSSIBLE = -1.0, -3.0
"""Log-odds of a voice."""


@define
class _Evidence:
    question: _Question
    total: float
    yes: bool = False

    @classmethod
    def on(cls, question: _Question) -> _Evidence:
        return cls(question, question.lowest)

    def weigh(self, features: NDArray[np.float32], *, quiet: bool, bonus: float = 0.0) -> bool:
        q = self.question
        if quiet:
            step = -q.fade
        else:
            evidence = np.clip(features[: len(q.weights)], _LEAST, _MOST)
            log_odds = float(evidence @ np.array(q.weights)) + q.bias + bonus
            step = min(max(log_odds, -q.down), q.up)
        self.total = min(max(self.total + step, q.lowest), q.highest)
        self.yes = self.total > (0.0 if self.yes else 1.0)
        return self.yes


class _Sung:
    """How surely a voice has been singing of late."""

    def __init__(self) -> None:
        self._mean = 0.0

    def hear(self, features: NDArray[np.float32]) -> float:
        """Take in a block that sounds: 0 to 1. Only a voice counts, an instrument changes nothing:
        a piano's tone stands still, too, and who speaks to it must be heard.

        The mean is never below 0: who has talked for long is heard to sing as soon as anybody.
        """
        speech, singing = features[_LONG_SPEECH], features[_LONG_SINGING]
        if features[_LONG_VOICE] > _VOICE_LIKELY and max(speech, singing) > features[_LONG_MUSIC]:
            above = float(np.clip(singing - speech, -20, 5))
            steady, sung, change, bias = _SUNG
            log_odds = steady * float(features[_STEADY]) + sung * above + bias
            log_odds += change * min(float(features[_FLUX]), 0.7)
            step = min(max(log_odds, -_MOST_SUNG), _MOST_SUNG) - self._mean
            self._mean = max(0.0, self._mean + step / _SUNG_BLOCKS)
        return self.now

    @property
    def now(self) -> float:
        return min(max(self._mean - _SUNG_FROM, 0.0), 1.0)


class FloorJudge:
    """From features to labels, block by block."""

    def __init__(self) -> None:
        self._speech = _Evidence.on(_SPEECH)
        self._music = _Evidence.on(_MUSIC)
        self._singing = _Evidence.on(_SINGING)
        self._sung = _Sung()
        self._room = -7.0
        self.quiet_blocks = 1000
        """How many blocks it has been quiet."""
        self.sounding_blocks = 0
        """How many blocks ago the sound began that sounds, or has just sounded."""

    def label(self, features: NDArray[np.float32]) -> FloorLabel:
        """Who has the floor, now that these features have been heard too."""
        level = float(features[_LEVEL])
        quiet = level < _QUIET
        self._mind_the_pauses(quiet=quiet)
        voice = float(features[_VOICE])
        clear = float(features[_LONG_SPEECH] - max(features[_LONG_MUSIC], features[_LONG_SINGING]))
        spoken = clear > _CLEAR and voice > _VOICE_POSSIBLE
        sung = self._sung.now if quiet else self._sung.hear(features)
        bonus = (_NO_DOUBT if spoken else 0.0) - _AGAINST_SPEECH * sung
        speech = self._speech.weigh(features, quiet=quiet, bonus=bonus)
        against = 0.0
        if clear > _CLEAR:
            against = _NO_DOUBT
        elif not self._music.yes:
            against = (_VOICE_FIRST - speech) * (
                voice > _VOICE_LIKELY
            ) + _MUSIC_UNDER_SPEECH * speech
        bonus = _FOR_SINGING * sung
        music = self._music.weigh(features, quiet=quiet, bonus=bonus - against * (1 - sung))
        singing = self._singing.weigh(features, quiet=quiet or speech or not music, bonus=bonus)
        if speech:
            return FloorLabel.BOTH if music else FloorLabel.SPEECH
        if music:
            return FloorLabel.SINGING if singing else FloorLabel.PLAYING
        # The room is as loud as what is left when nobody makes a sound on purpose.
        self._room += (0.02 if level > self._room else 0.3) * (level - self._room)
        loud = not quiet and level > self._room + _LOUD
        return FloorLabel.OTHER if loud else FloorLabel.SILENCE

    def _mind_the_pauses(self, *, quiet: bool) -> None:
        self.sounding_blocks += 1
        if quiet:
            self.quiet_blocks += 1
        else:
            if self.quiet_blocks > 3:
                self.sounding_blocks = 1
            self.quiet_blocks = 0


class YamnetFloor:
    """Implements ``FloorDetector`` on 16 kHz chunks."""

    def __init__(self, model: Path, *, vad_model: Path) -> None:
        """Load YAMNet (``sead``'s ZIP) and Silero VAD (an ONNX file).

        :raises ModelMissing: a model cannot be loaded.
        """
        self._features = FloorFeatures(Yamnet(model), SpeechProbability(vad_model))
        self._judge = FloorJudge()
        self._instrument = InstrumentEar()
        self._start: int | None = None
        self._blocks = 0
        self._label = FloorLabel.SILENCE

    def push(self, chunk: AudioChunk) -> list[FloorEvent]:
        """Hear ``chunk`` (mono, 16 kHz, following the last one without a gap).

        :raises SensesError: a model failed.
        """
        if chunk.rate_hz != SPEECH_RATE_HZ:
            raise SensesError(f"The floor detector hears {SPEECH_RATE_HZ} Hz, not {chunk.rate_hz}.")
        if self._start is None:
            self._start = chunk.start
        told: list[FloorEvent] = []
        for look in self._features.push(chunk.samples):
            self._blocks += 1
            label = self._judge.label(look.features)
            if label is not self._label:
                since = self._time(self._blocks - self._age_of(label))
                told.append(FloorChanged(at=self._time(self._blocks), label=label, since=since))
                self._label = label
            told += self._hear_instrument(look.scores)
        return told

    def _hear_instrument(self, scores: NDArray[np.float32] | None) -> list[FloorEvent]:
        ear, now = self._instrument, self._blocks
        if self._label not in (FloorLabel.PLAYING, FloorLabel.SINGING):
            ear.rest()
        elif scores is not None and (instrument := ear.hear(scores)):
            since = self._time(now - ear.heard_for)
            return [InstrumentHeard(at=self._time(now), since=since, instrument=instrument)]
        return []

    def _age_of(self, label: FloorLabel) -> int:
        """How many blocks ago it became true that ``label`` has the floor."""
        nobody = (FloorLabel.SILENCE, FloorLabel.OTHER)
        if label in nobody:
            return min(self._judge.quiet_blocks, _LONGEST_DELAY)
        if self._label in nobody and self._judge.sounding_blocks <= _LONGEST_DELAY:
            return self._judge.sounding_blocks
        return _USUAL_DELAY

    def _time(self, blocks: int) -> MediaTime:
        assert self._start is not None
        return from_samples(self._start + max(0, blocks) * BLOCK_SAMPLES, SPEECH_RATE_HZ)


assert len(_SPEECH.weights) == len(_MUSIC.weights) == len(_SINGING.weights) == _AGE
