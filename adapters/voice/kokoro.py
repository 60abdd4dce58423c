"""Kokoro-82M: a small StyleTTS2 voice without diffusion, by ONNX.

Conventions. A clause goes in, mono float32 in [-1, 1] comes out, at 24 kHz. The model makes a
piece in one go, so a clause is cut where a speaker would breathe, and its first piece is a short
one. A voice is a table of 510 styles of 256 values; a piece of n phonemes is spoken with the n-th.

The model speaks phonemes in misaki's letters. They are made from espeak-ng's IPA, which Piper's
package brings: GPL-3.0, an optional extra, imported when this voice is built.

Sources: hexgrad, *Kokoro-82M* (2025), its model card; Y. A. Li et al., *StyleTTS 2* (2023); the
documentation of misaki's English phonemes.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from attrs import field, frozen

from maestra.ports.errors import BackendRefused, VoiceError

from .onnx import session
from .phrasing import CutOff, finished, in_pieces

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Kokoro", "KokoroSettings", "kokoro_phonemes"]

_RATE_HZ: Final = 24_000
_MOST_PHONEMES: Final = 509

_FROM_IPA: Final = (
    ("tʃ", "ʧ"),
    ("dʒ", "ʤ"),
    ("eɪ", "A"),
    ("aɪ", "I"),
    ("ɔɪ", "Y"),
    ("oʊ", "O"),
    ("əʊ", "O"),
    ("aʊ", "W"),
    ("ɜːɹ", "ɜɹ"),
    ("ɜː", "ɜɹ"),
    ("ɚ", "əɹ"),
    ("əl", "ᵊl"),
    ("ɪə", "iə"),
    ("ɾ", "T"),
    ("ɐ", "ə"),
    ("ɬ", "l"),
    ("ʔ", "t"),
    ("r", "ɹ"),
    ("x", "k"),
    ("ç", "k"),
    ("o", "ɔ"),
    ("e", "A"),
    ("g", "ɡ"),
    ("ː", ""),
    ("ʲ", ""),
)
"""In this order: two sounds that Kokoro writes as one, then what it writes otherwise."""


def kokoro_phonemes(ipa: str) -> str:
    """espeak-ng's IPA of American English in the letters that Kokoro was trained on.

    >>> kokoro_phonemes("wʌn ˈeɪtʃ")
    'wʌn ˈAʧ'
    """
    phonemes = unicodedata.normalize("NFC", ipa).replace("\u0329", "").replace("\u0303", "")
    for theirs, ours in _FROM_IPA:
        phonemes = phonemes.replace(theirs, ours)
    return phonemes


@frozen(kw_only=True)
class KokoroSettings:
    """What can be chosen of Kokoro."""

    voice: str | None = field(
        default=None, metadata={"doc": "A voice's name; absent, the persona's."}
    )
    voices: str | None = field(
        default=None,
        metadata={
            "doc": "An .npz of voices by name, or a folder of .bin files; absent, the five of the"
            " package."
        },
    )
    device: Literal["cpu", "cuda"] = field(
        default="cpu", metadata={"doc": "Where it runs; cuda needs onnxruntime-gpu."}
    )


class Kokoro:
    """A Kokoro voice.

    :param model: the ONNX file, or its parts in order: they are joined in memory.
    :param vocabulary: a JSON file whose ``vocab`` maps phonemes to tokens.
    :param voices: an ``.npz`` of tables by voice, or a folder of ``.bin`` files named by voice,
        float32.
    :param voice: which of them.
    :param pace: how fast it speaks, 1 is the model's own.
    :param device: ``cpu``, or ``cuda`` where onnxruntime has it.
    :param threads: how many cores one piece may use.
    :raises BackendRefused: there is no such voice, or no such device.
    :raises VoiceError: something is not installed, or cannot be read.
    """

    sample_rate_hz = _RATE_HZ

    def __init__(
        self,
        model: Sequence[Path],
        *,
        vocabulary: Path,
        voices: Path,
        voice: str,
        pace: float = 1.0,
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        try:
            import onnxruntime
            from piper.phonemize_espeak import EspeakPhonemizer
        except ImportError as error:
            raise VoiceError(
                "Kokoro needs onnxruntime and espeak-ng: install maestra[local,kokoro]"
            ) from error
        provider = "CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise BackendRefused(
                f"Kokoro cannot run on {device!r} here: onnxruntime offers"
                f" {', '.join(onnxruntime.get_available_providers())}"
            )
        self._styles = _styles(voices, voice)
        try:
            self._tokens: dict[str, int] = json.loads(vocabulary.read_text(encoding="utf-8"))[
                "vocab"
            ]
            self._session = session(
                b"".join(part.read_bytes() for part in model), threads=threads, provider=provider
            )
        except Exception as error:
            raise VoiceError(f"the model Kokoro cannot be read: {error}") from error
        self._phonemizer = EspeakPhonemizer()
        self._pace = pace

    def synthesise(self, clause: str) -> AsyncIterator[NDArray[np.float32]]:
        """Speak ``clause``, a piece at a time; see ``maestra.ports.voice.Voice``."""
        return in_pieces(clause, self._speak, voice="Kokoro")

    def _speak(self, piece: str, cut_off: CutOff) -> NDArray[np.float32]:
        import numpy as np
        from onnxruntime import RunOptions

        run = RunOptions()
        # A piece that nobody waits for any more frees its core.
        cut_off.then(partial(setattr, run, "terminate", True))
        ipa = " ".join("".join(part) for part in self._phonemizer.phonemize("en-us", piece))
        known = [self._tokens[one] for one in kokoro_phonemes(ipa) if one in self._tokens]
        if not known:
            return np.zeros(0, np.float32)
        parts = []
        for begin in range(0, len(known), _MOST_PHONEMES):
            tokens = known[begin : begin + _MOST_PHONEMES]
            (sound,) = self._session.run(
                None,
                {
                    # Silence, token 0, stands at both ends.
                    "tokens": np.array([[0, *tokens, 0]], np.int64),
                    "style": self._styles[len(tokens)][None],
                    "speed": np.array([self._pace], np.float32),
                },
                run,
            )
            parts.append(np.asarray(sound, np.float32).ravel())
        return finished(np.concatenate(parts), _RATE_HZ, piece)


def _styles(voices: Path, voice: str) -> NDArray[np.float32]:
    """The table of ``voice``, ``(510, 256)``.

    :raises BackendRefused: there is none.
    :raises VoiceError: it is not one, or cannot be read.
    """
    import numpy as np

    try:
        if voices.is_dir():
            names = sorted(path.stem for path in voices.glob("*.bin"))
            table = np.fromfile(voices / f"{voice}.bin", np.float32) if voice in names else None
        else:
            with np.load(voices, allow_pickle=False) as archive:
                names = sorted(archive.files)
                table = np.asarray(archive[voice], np.float32) if voice in names else None
    except (OSError, ValueError) as error:
        raise VoiceError(f"Kokoro's voices {voices.name} cannot be read: {error}") from error
    if table is None:
        raise BackendRefused(
            f"Kokoro has no voice {voice!r}; there are {', '.join(names) or 'none'}"
        )
    if table.size != 510 * 256:
        raise VoiceError(f"Kokoro's voice {voice!r} is not a table of 510 styles of 256 values")
    return table.reshape(510, 256)
