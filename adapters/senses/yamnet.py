"""The floor detector: YAMNet, the voice probability and the steadiness of pitch, weighed together.

Twenty times a second two questions are asked: does anybody speak? does anybody play or sing? The
evidence on each (log-odds from `floor_features`, by logistic regression on mixtures of recorded
speech, singing, playing and household noise) is summed up over time, so that strong evidence
decides in a tenth of a second and weak evidence in half. The sums are bounded, which bounds how
long a decision outlives its evidence.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from attrs import define, frozen

from maestra.core.hearing import FloorChanged, FloorLabel
from maestra.core.media_time import MediaTime, from_samples
from maestra.ports.audio import SPEECH_RATE_HZ, AudioChunk
from maestra.ports.errors import SensesError

from .floor_features import BLOCK_SAMPLES, FEATURE_NAMES, FloorFeatures, Yamnet
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
    (0.209, -0.084, 0.215, 0.06, 0.237, -0.033, 0.184, 0.081, 0.667, -0.24, 0.054, -0.42, -0.542,
     0.349, 2.483),
    1.416, up=3.0, down=1.0, fade=0.5, lowest=-1.0, highest=2.0,
)  # fmt: skip

_MUSIC = _Question(
    (0.037, 0.099, 0.198, 0.009, -0.071, 0.112, 0.139, -0.081, -0.099, -0.054, 0.105, 3.03, 0.054,
     0.197, -3.884),
    2.381, up=2.0, down=0.7, fade=0.25, lowest=-1.0, highest=2.5,
)  # fmt: skip

_SINGING = _Question(
    (-0.058, 0.356, -0.19, -0.119, -0.202, 0.329, -0.723, -0.084, 0.511, -0.38, -0.027, 3.171,
     -0.767, -0.193, 4.59),
    -1.953, up=1.5, down=1.5, fade=0.0, lowest=-6.0, highest=6.0,
)  # fmt: skip

_LEVEL, _AGE = FEATURE_NAMES.index("level"), FEATURE_NAMES.index("age")
_QUIET = -5.5
"""Tens of dBFS; below nothing is judged."""

_LOUD = 2.0
"""By how many tens of dB a sound that is neither voice nor music must stand above the room."""

_MUSIC_UNDER_SPEECH = 1.5
"""Log-odds taken off the music while somebody speaks alone: vowels ring like notes."""


@define
class _Evidence:
    question: _Question
    total: float
    yes: bool = False

    @classmethod
    def on(cls, question: _Question) -> _Evidence:
        return cls(question, question.lowest)

    def weigh(self, features: NDArray[np.float32], *, quiet: bool, handicap: float = 0.0) -> bool:
        q = self.question
        if quiet:
            step = -q.fade
        else:
            log_odds = float(features[: len(q.weights)] @ np.array(q.weights)) + q.bias - handicap
            step = min(max(log_odds, -q.down), q.up)
        self.total = min(max(self.total + step, q.lowest), q.highest)
        self.yes = self.total > (0.0 if self.yes else 1.0)
        return self.yes


class YamnetFloor:
    """Implements ``FloorDetector`` on 16 kHz chunks."""

    def __init__(self, model: Path, *, vad_model: Path) -> None:
        """Load YAMNet (``sead``'s ZIP) and Silero VAD (an ONNX file).

        :raises ModelMissing: a model cannot be loaded.
        """
        self._features = FloorFeatures(Yamnet(model), SpeechProbability(vad_model))
        self._speech = _Evidence.on(_SPEECH)
        self._music = _Evidence.on(_MUSIC)
        self._singing = _Evidence.on(_SINGING)
        self._start: int | None = None
        self._blocks = 0
        self._onset = 0
        self._quiet_blocks = 1000
        self._room = -7.0
        self._label = FloorLabel.SILENCE

    @property
    def label(self) -> FloorLabel:
        """Who has the floor now."""
        return self._label

    def push(self, chunk: AudioChunk) -> list[FloorChanged]:
        """Hear ``chunk`` (mono, 16 kHz, following the last one without a gap).

        :raises SensesError: a model failed.
        """
        if chunk.rate_hz != SPEECH_RATE_HZ:
            raise SensesError(f"The floor detector hears {SPEECH_RATE_HZ} Hz, not {chunk.rate_hz}.")
        if self._start is None:
            self._start = chunk.start
        changes: list[FloorChanged] = []
        for features in self._features.push(chunk.samples):
            self._blocks += 1
            label = self._judge(features)
            if label is not self._label:
                changes.append(
                    FloorChanged(at=self._time(self._blocks), label=label, since=self._since(label))
                )
                self._label = label
        return changes

    def _judge(self, features: NDArray[np.float32]) -> FloorLabel:
        level = float(features[_LEVEL])
        quiet = level < _QUIET
        if quiet:
            self._quiet_blocks += 1
        else:
            if self._quiet_blocks > 3:
                self._onset = self._blocks - 1
            self._quiet_blocks = 0
        speech = self._speech.weigh(features, quiet=quiet)
        alone = speech and not self._music.yes
        music = self._music.weigh(
            features, quiet=quiet, handicap=_MUSIC_UNDER_SPEECH if alone else 0.0
        )
        if not (speech or music):
            # The room is as loud as what is left when nobody makes a sound on purpose.
            self._room += (0.02 if level > self._room else 0.3) * (level - self._room)
            loud = not quiet and level > self._room + _LOUD
            self._singing.weigh(features, quiet=True)
            return FloorLabel.OTHER if loud else FloorLabel.SILENCE
        singing = self._singing.weigh(features, quiet=quiet or speech)
        if speech and music:
            return FloorLabel.BOTH
        if speech:
            return FloorLabel.SPEECH
        return FloorLabel.SINGING if singing else FloorLabel.PLAYING

    def _since(self, label: FloorLabel) -> MediaTime:
        """Where in the sound the new label began."""
        if label in (FloorLabel.SILENCE, FloorLabel.OTHER):
            return self._time(self._blocks - min(self._quiet_blocks, 12))
        sounding = self._blocks - self._onset
        if self._label in (FloorLabel.SILENCE, FloorLabel.OTHER) and sounding <= 12:
            return self._time(self._onset)
        return self._time(self._blocks) if self._blocks < 3 else self._time(self._blocks - 2)

    def _time(self, blocks: int) -> MediaTime:
        assert self._start is not None
        return from_samples(self._start + max(0, blocks) * BLOCK_SAMPLES, SPEECH_RATE_HZ)


assert len(_SPEECH.weights) == len(_MUSIC.weights) == len(_SINGING.weights) == _AGE
