"""The voices, in their order of turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from maestra.core.persona import Persona
from maestra.ports.errors import BackendRefused, VoiceError
from maestra.ports.voice import Voice

from .. import models
from ..config import Config
from .chosen import key, settings, third_party
from .weights import stored

__all__ = ["voices"]


def voices(config: Config, who: Persona) -> Sequence[tuple[str, Callable[[], Voice]]]:
    """The voices in their order of turn, each with what builds it."""
    return [(name, partial(_voice, name, config, who)) for name in config.voice.backend]


_PIPER_VOICES = {"en_US-joe-medium": "piper-joe"}


def _voice(name: str, config: Config, who: Persona) -> Voice:
    if name == "piper":
        from maestra.adapters.voice.piper import Piper

        spoken = who.voices.get("piper", "en_US-joe-medium")
        model = (
            models.locate_all(_PIPER_VOICES[spoken])[0]
            if spoken in _PIPER_VOICES
            else Path(spoken).expanduser()
        )
        if not model.is_file():
            raise BackendRefused(
                f"the persona {who.id} wants the Piper voice {spoken}, which is not there"
            )
        return Piper(
            model,
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


def _styletts2(config: Config, who: Persona) -> Voice:
    from maestra.adapters.voice.styletts2.settings import StyleTTS2Settings

    chosen: StyleTTS2Settings = settings(config, "voice", "styletts2")
    reference = chosen.reference or who.voices.get("styletts2")
    if reference is None:
        raise BackendRefused(
            "StyleTTS2 speaks in the manner of a recording: name a WAV in"
            " voice.options.styletts2.reference"
        )
    try:
        from maestra.adapters.voice.styletts2.voice import StyleTTS2
    except ImportError as error:
        raise VoiceError(
            f"the voice styletts2 needs {error.name}: install maestra[local,styletts2]"
        ) from error
    return StyleTTS2(
        chosen,
        weights=Path(chosen.weights).expanduser() if chosen.weights else stored("styletts2"),
        reference=Path(reference).expanduser(),
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
