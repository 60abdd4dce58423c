"""The voices, in their order of turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from maestra.core.persona import Persona
from maestra.ports.errors import BackendRefused, ModelMissing, VoiceError
from maestra.ports.voice import Voice

from .. import models
from ..config import Config
from .chosen import key, settings, third_party
from .weights import stored

if TYPE_CHECKING:
    from maestra.adapters.voice.styletts2.settings import StyleTTS2Settings

__all__ = ["piper_voice", "styletts2_reference", "styletts2_weights", "voices"]


def voices(config: Config, who: Persona) -> Sequence[tuple[str, Callable[[], Voice]]]:
    """The voices in their order of turn, each with what builds it."""
    return [(name, partial(_voice, name, config, who)) for name in config.voice.backend]


_PIPER_VOICES = {"en_US-joe-medium": "piper-joe"}


def _voice(name: str, config: Config, who: Persona) -> Voice:
    if name == "piper":
        from maestra.adapters.voice.piper import Piper

        return Piper(
            piper_voice(who),
            pace=who.manner.speech_rate,
            pitch_hz=who.manner.pitch_hz,
            formants=who.manner.formants,
        )
    if name == "kokoro":
        return _kokoro(config, who)
    if name == "styletts2":
        return _styletts2(config, who)
    if name == "openai":
        from maestra.adapters.voice.openai_speech import OpenAISpeech, OpenAISpeechSettings

        speech: OpenAISpeechSettings = settings(config, "voice", name)
        return OpenAISpeech(
            speech,
            voice=speech.voice or who.voices.get(name, "coral"),
            key=key(config, "voice", name),
            pace=who.manner.speech_rate,
        )
    if name == "elevenlabs":
        from maestra.adapters.voice.elevenlabs import ElevenLabs, ElevenLabsSettings

        turbo: ElevenLabsSettings = settings(config, "voice", name)
        return ElevenLabs(
            turbo,
            voice=turbo.voice or who.voices.get(name, "21m00Tcm4TlvDq8ikWAM"),
            key=key(config, "voice", name),
            pace=who.manner.speech_rate,
        )
    built: Voice = third_party("voice", name, config.voice, who)
    return built


def piper_voice(who: Persona) -> Path:
    """The file of the Piper voice that a persona speaks with.

    :raises BackendRefused: it is not there.
    :raises ModelMissing: it is ours, and is not there.
    """
    spoken = who.voices.get("piper", "en_US-joe-medium")
    if spoken in _PIPER_VOICES:
        return models.locate_all(_PIPER_VOICES[spoken])[0]
    path = Path(spoken).expanduser()
    if not path.is_file():
        raise BackendRefused(
            f"the persona {who.id} wants the Piper voice {spoken}, which is not there"
        )
    return path


def styletts2_weights(chosen: StyleTTS2Settings) -> Path:
    """The folder of StyleTTS2's weights.

    :raises ModelMissing: it is not there.
    """
    if not chosen.weights:
        return stored("styletts2")
    folder = Path(chosen.weights).expanduser()
    if not folder.is_dir():
        raise ModelMissing(f"voice.options.styletts2.weights: there is no folder {folder}")
    return folder


def styletts2_reference(chosen: StyleTTS2Settings, who: Persona) -> Path:
    """The recording that a persona speaks like.

    :raises BackendRefused: none is named, or it is not there.
    """
    named = chosen.reference or who.voices.get("styletts2")
    if named is None:
        raise BackendRefused(
            "StyleTTS2 speaks in the manner of a recording: name a WAV in"
            " voice.options.styletts2.reference"
        )
    path = Path(named).expanduser()
    if not path.is_file():
        raise BackendRefused(f"voice.options.styletts2.reference: there is no file {path}")
    return path


def _styletts2(config: Config, who: Persona) -> Voice:
    chosen: StyleTTS2Settings = settings(config, "voice", "styletts2")
    weights, reference = styletts2_weights(chosen), styletts2_reference(chosen, who)
    try:
        from maestra.adapters.voice.styletts2.voice import StyleTTS2
    except ImportError as error:
        raise VoiceError(
            f"the voice styletts2 needs {error.name}: install maestra[local,styletts2]"
        ) from error
    return StyleTTS2(
        chosen,
        weights=weights,
        reference=reference,
        pace=who.manner.speech_rate,
    )


def _kokoro(config: Config, who: Persona) -> Voice:
    from maestra.adapters.voice.kokoro import Kokoro, KokoroSettings

    chosen: KokoroSettings = settings(config, "voice", "kokoro")
    vocabulary, voices = models.locate_all("kokoro-voices")
    return Kokoro(
        [path for part in range(1, 5) for path in models.locate_all(f"kokoro-82m-{part}")],
        vocabulary=vocabulary,
        voices=Path(chosen.voices).expanduser() if chosen.voices else voices,
        voice=chosen.voice or who.voices.get("kokoro", "jf_alpha"),
        pace=who.manner.speech_rate,
        device=chosen.device,
    )
