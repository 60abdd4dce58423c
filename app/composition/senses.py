"""The ears: who has the floor, where speech begins and ends, its words, and the music."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maestra.core.endpointing import EndpointingPolicy, EndpointingSettings
from maestra.core.wake import WakePhraseMatcher
from maestra.ports.errors import ModelMissing
from maestra.ports.senses import (
    FloorDetector,
    MusicAnalyser,
    SpeechRecogniser,
    VoiceActivityDetector,
)

from .. import model_store, models
from ..config import Config
from .chosen import key, settings, third_party
from .weights import stored

if TYPE_CHECKING:
    from ..hearing import Hearing

__all__ = [
    "endpointing",
    "floor",
    "hearing",
    "music",
    "recogniser",
    "voice_activity",
    "whisper_folder",
]


def floor(config: Config) -> FloorDetector:
    name = config.senses.floor
    if name == "yamnet":
        from maestra.adapters.senses.yamnet import YamnetFloor

        return YamnetFloor(models.locate("yamnet"), vad_model=models.locate("silero"))
    built: FloorDetector = third_party("senses.floor", name, config.senses)
    return built


def voice_activity(config: Config) -> VoiceActivityDetector:
    name = config.senses.vad
    if name == "silero":
        from maestra.adapters.senses.silero import SileroVad

        return SileroVad(models.locate("silero"))
    built: VoiceActivityDetector = third_party("senses.vad", name, config.senses)
    return built


def recogniser(config: Config) -> SpeechRecogniser:
    """Whoever writes down speech: one, or several in their order of turn.

    :raises MaestraError: none can be built.
    """
    from ..recognisers import RecogniserLine

    built = [(name, _recogniser(name, config)) for name in config.senses.asr]
    return built[0][1] if len(built) == 1 else RecogniserLine(built)


def _recogniser(name: str, config: Config) -> SpeechRecogniser:
    phrases = config.conversation.wake_phrases
    if name == "faster-whisper":
        from maestra.adapters.senses.whisper import FasterWhisper

        return FasterWhisper(
            whisper_folder(config.senses.asr_model),
            settings(config, "senses.asr", name),
            phrases=phrases,
        )
    if name == "deepgram":
        from maestra.adapters.senses.deepgram import Deepgram

        return Deepgram(
            settings(config, "senses.asr", name),
            key=key(config, "senses.asr", name),
            phrases=phrases,
        )
    built: SpeechRecogniser = third_party("senses.asr", name, config.senses)
    return built


def whisper_folder(name: str) -> Path:
    """A registered model's folder, or a folder of the user's.

    :raises ModelMissing: it is neither.
    """
    registered = f"whisper-{name}"
    if registered in models.registry():
        return models.locate(registered)
    if registered in model_store.families():
        return stored(registered)
    folder = Path(name).expanduser()
    if (folder / "model.bin").is_file():
        return folder
    raise ModelMissing(
        f"senses.asr_model: {name!r} is neither a model that maestra models lists nor a folder with"
        " a model.bin"
    )


def hearing(config: Config, *, fast: bool, utterances: int = 0) -> Hearing:
    """The whole ear, but for the music.

    :param utterances: how many were heard before.
    """
    from ..hearing import Hearing

    return Hearing(
        floor=floor(config),
        vad=voice_activity(config),
        recogniser=recogniser(config),
        endpointing=endpointing(config),
        wake=wake(config),
        fast=fast,
        utterances=utterances,
    )


def endpointing(config: Config) -> EndpointingPolicy:
    talk = config.conversation
    return EndpointingPolicy(
        EndpointingSettings(
            complete=talk.silence_complete,
            unfinished=talk.silence_open,
            longest_utterance=talk.max_utterance,
        ),
        wake=wake(config),
    )


def wake(config: Config) -> WakePhraseMatcher:
    return WakePhraseMatcher(config.conversation.wake_phrases, config.conversation.strictness)


def music(config: Config) -> MusicAnalyser:
    name = config.senses.music
    if name == "crepe-madmom":
        from maestra.adapters.senses.music import CrepeMadmomAnalyser, MusicModels

        weights = MusicModels(
            crepe=models.locate("crepe-tiny"),
            onset_cnn=models.locate("madmom-onsets-cnn"),
            onset_rnn=models.locate_all("madmom-onsets"),
            beat_lstm=models.locate_all("madmom-beats"),
            notes_cnn=models.locate("madmom-notes"),
        )
        return CrepeMadmomAnalyser(weights, a4_hz=config.senses.a4_hz)
    built: MusicAnalyser = third_party("senses.music", name, config.senses)
    return built
