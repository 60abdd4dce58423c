"""Piper: a small VITS voice, on the CPU.

Conventions. A clause goes in, mono float32 in [-1, 1] comes out, at the model's rate. VITS makes a
clause in one go, so the first sound of a clause comes when all of it is made (0.08 of its duration
on one core): the first piece is therefore cut short, at a comma, where there is one.

One shipped voice serves several personas: ``pitch_hz`` and ``formants`` move the median pitch and
the vocal tract's resonances apart from each other (Praat's "Change gender", pitch-synchronous
overlap-add, 10 ms for a second of speech), so that a man's voice can be a woman's.

Piper, espeak-ng and Praat (parselmouth) are GPL-3.0: an optional extra, imported when this voice
is built.

Sources: J. Kim, J. Kong, J. Son, *Conditional Variational Autoencoder with Adversarial Learning for
End-to-End Text-to-Speech* (2021); the Piper documentation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from maestra.ports.errors import VoiceError

from .onnx import session
from .phrasing import CutOff, finished, in_pieces

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Piper"]


class Piper:
    """A Piper voice.

    :param model: the ONNX file; its configuration lies beside it as ``<model>.json``.
    :param pace: how fast it speaks, 1 is the model's own.
    :param pitch_hz: the median pitch to speak at; absent, the model's own.
    :param formants: factor on the vocal tract's resonances: 1.17 makes a man's a woman's.
    :param threads: how many cores one clause may use.
    :raises VoiceError: Piper is not installed, or the model cannot be read.
    """

    def __init__(
        self,
        model: Path,
        *,
        pace: float = 1.0,
        pitch_hz: float | None = None,
        formants: float = 1.0,
        threads: int = 1,
    ) -> None:
        try:
            from piper import PiperConfig, PiperVoice, SynthesisConfig
        except ImportError as error:
            raise VoiceError("the voice needs Piper: install maestra[local]") from error
        try:
            import json

            configuration = json.loads(Path(f"{model}.json").read_text(encoding="utf-8"))
            self._voice = PiperVoice(
                config=PiperConfig.from_dict(configuration),
                session=session(model, threads=threads),
            )
        except Exception as error:
            raise VoiceError(f"the voice {model.name} cannot be read: {error}") from error
        self._synthesis = SynthesisConfig(
            length_scale=self._voice.config.length_scale / pace, normalize_audio=False
        )
        self._rate: int = self._voice.config.sample_rate
        self._pitch_hz = pitch_hz
        self._formants = formants
        if pitch_hz is not None:
            import parselmouth  # noqa: F401, at the start rather than within the first answer

    @property
    def sample_rate_hz(self) -> int:
        return self._rate

    def synthesise(self, clause: str) -> AsyncIterator[NDArray[np.float32]]:
        """Speak ``clause``, a piece at a time; see ``maestra.ports.voice.Voice``."""
        return in_pieces(clause, self._speak, voice="Piper")

    def _speak(self, piece: str, _cut_off: CutOff) -> NDArray[np.float32]:
        import numpy as np

        parts = [
            chunk.audio_float_array for chunk in self._voice.synthesize(piece, self._synthesis)
        ]
        if not parts:
            return np.zeros(0, np.float32)
        sound = np.concatenate(parts).astype(np.float32)
        if self._pitch_hz is not None:
            sound = _revoiced(sound, self._rate, self._pitch_hz, self._formants)
        return finished(sound, self._rate, piece)


def _revoiced(
    sound: NDArray[np.float32], rate_hz: int, pitch_hz: float, formants: float
) -> NDArray[np.float32]:
    """The same words from another throat."""
    import numpy as np
    import parselmouth
    from parselmouth.praat import call

    try:
        spoken = parselmouth.Sound(sound.astype(np.float64), rate_hz)
        # 60 to 300 Hz is where the voice's own pitch is looked for; 1.15 widens its melody a
        # little, since a range that was lively at 100 Hz sounds flat at 190.
        other = call(spoken, "Change gender", 60, 300, formants, pitch_hz, 1.15, 1.0)
    except parselmouth.PraatError:
        return sound  # too short or unvoiced: nothing to move
    return np.asarray(other.values[0], np.float32)
