"""The composition root: the one place where parts meet, and the only one that names an adapter.

It builds what a configuration asks for, each part in the process where it runs. Heavy imports
happen in the builders, so that the session's own process stays light.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs

from maestra.core.endpointing import EndpointingPolicy, EndpointingSettings
from maestra.core.persona import Persona
from maestra.core.stream_url import BadStreamUrl, StreamUrl
from maestra.core.wake import WakePhraseMatcher
from maestra.ports.brain import Brain, Hears
from maestra.ports.errors import FaceError, ModelMissing, StreamRefused, VoiceError
from maestra.ports.face import Face
from maestra.ports.senses import (
    FloorDetector,
    MusicAnalyser,
    SpeechRecogniser,
    VoiceActivityDetector,
)
from maestra.ports.streams import Ingest, Publish
from maestra.ports.voice import Voice

from . import backends, model_store, models
from .config import Config, ConfigError, backend_settings

if TYPE_CHECKING:
    from .hearing import Hearing
    from .workers.ingest import IngestSettings

__all__ = [
    "brains",
    "check",
    "check_weights",
    "encoder_complaint",
    "face_stages",
    "faces",
    "fill",
    "floor",
    "forethought",
    "hearing",
    "ingest",
    "key",
    "music",
    "needs_key",
    "options",
    "persona",
    "publish",
    "recogniser",
    "served",
    "settings",
    "settings_class",
    "stream_url",
    "unlearnt_face",
    "voice_activity",
    "voices",
]


# --- what comes from outside --------------------------------------------------


def stream_url(text: str) -> StreamUrl:
    """The address ``text`` stands for.

    :raises StreamRefused: it is not one that may be opened.
    """
    try:
        return StreamUrl.parse(text)
    except BadStreamUrl as error:
        raise StreamRefused(str(error)) from None


def persona(name: str) -> Persona:
    """The persona called ``name``, or the one in the folder of that name.

    :raises MaestraError: there is none.
    """
    from . import personas

    return personas.load(name)


# --- what a backend is told ---------------------------------------------------

_SETTINGS: Mapping[tuple[str, str], str] = {
    ("brain", "gemini-live"): "maestra.adapters.brain.gemini.settings:GeminiLiveSettings",
    ("brain", "llama"): "maestra.adapters.brain.llama:LlamaSettings",
    ("brain", "openai"): "maestra.adapters.brain.openai:OpenAISettings",
    ("face", "liveportrait"): "maestra.adapters.face.liveportrait:LivePortraitSettings",
    ("face", "musetalk"): "maestra.adapters.face.musetalk:MuseTalkSettings",
    ("face", "sadtalker"): "maestra.adapters.face.sadtalker:SadTalkerSettings",
    ("senses.asr", "deepgram"): "maestra.adapters.senses.settings:DeepgramSettings",
    ("senses.asr", "faster-whisper"): "maestra.adapters.senses.settings:WhisperSettings",
    ("voice", "kokoro"): "maestra.adapters.voice.kokoro:KokoroSettings",
    ("voice", "styletts2"): "maestra.adapters.voice.styletts2.settings:StyleTTS2Settings",
    ("voice", "openai"): "maestra.adapters.voice.openai_speech:OpenAISpeechSettings",
    ("voice", "elevenlabs"): "maestra.adapters.voice.elevenlabs:ElevenLabsSettings",
}
"""Where the class of a backend's settings is, ``module:Class``, by port and name. Such a module
imports nothing heavy."""


def settings_class(port: str, name: str) -> type[Any] | None:
    """The attrs class of a backend's settings; ``None`` if it has none."""
    if (place := _SETTINGS.get((port, name))) is None:
        return None
    module, _, cls = place.partition(":")
    found: type[Any] = getattr(importlib.import_module(module), cls)
    return found


def options(config: Config, port: str, name: str) -> Mapping[str, object]:
    """The table of options that ``config`` has for a backend."""
    section = getattr(config, port.partition(".")[0])
    found: Mapping[str, object] = section.options.get(name, {})
    return found


def settings(config: Config, port: str, name: str) -> Any:
    """The settings of a backend of ours, made of its options.

    :raises ConfigError: an option is unknown, or its value is not allowed.
    """
    where = f"{port.partition('.')[0]}.options.{name}"
    given = options(config, port, name)
    if (cls := settings_class(port, name)) is not None:
        return backend_settings(cls, given, where=where)
    if given and (port, name) in backends.CATALOGUE:
        raise ConfigError(f"{where}: {name} has no options")
    return None


def needs_key(config: Config, port: str, name: str) -> bool:
    """Whether a backend, as it is configured, cannot do without a secret."""
    backend = backends.CATALOGUE.get((port, name))
    if backend is None or not backend.key:
        return False
    return not (backend.key_unless and options(config, port, name).get(backend.key_unless))


def served(port: str) -> frozenset[str]:
    """The backends of ours for ``port`` that somebody else serves, and lets in by a secret."""
    return frozenset(
        name for (of, name), backend in backends.CATALOGUE.items() if of == port and backend.key
    )


def key(config: Config, port: str, name: str) -> str:
    """The secret of a backend, from the environment; empty if there is none and it needs none.

    :raises ConfigError: it is needed, and not set. The text has the variable's name.
    """
    backend = backends.CATALOGUE.get((port, name))
    if backend is None or not backend.key:
        return ""
    found = os.environ.get(backend.key, "").strip()
    if not found and needs_key(config, port, name):
        raise ConfigError(
            f"the {port} backend {name} needs its key in the environment variable {backend.key},"
            " which is not set"
        )
    return found


def check(config: Config, *, keys: bool = True) -> None:
    """Say before the lesson what would only be found out in it: options that no backend knows, and
    (with ``keys``) a key that is not set or a package that is not installed.

    :raises ConfigError: there is something of the kind.
    :raises NotInstalled: a backend's package is missing.
    """
    from .dependencies import require, serving

    for port, names in serving(config).items():
        for name in names:
            settings(config, port, name)
            if keys:
                require(port, name)
                key(config, port, name)


# --- the senses ---------------------------------------------------------------


def floor(config: Config) -> FloorDetector:
    name = config.senses.floor
    if name == "yamnet":
        from maestra.adapters.senses.yamnet import YamnetFloor

        return YamnetFloor(models.locate("yamnet"), vad_model=models.locate("silero"))
    built: FloorDetector = _third_party("senses.floor", name, config.senses)
    return built


def voice_activity(config: Config) -> VoiceActivityDetector:
    name = config.senses.vad
    if name == "silero":
        from maestra.adapters.senses.silero import SileroVad

        return SileroVad(models.locate("silero"))
    built: VoiceActivityDetector = _third_party("senses.vad", name, config.senses)
    return built


def recogniser(config: Config) -> SpeechRecogniser:
    """Whoever writes down speech: one, or several in their order of turn.

    :raises MaestraError: none can be built.
    """
    from .recognisers import RecogniserLine

    built = [(name, _recogniser(name, config)) for name in config.senses.asr]
    return built[0][1] if len(built) == 1 else RecogniserLine(built)


def _recogniser(name: str, config: Config) -> SpeechRecogniser:
    phrases = config.conversation.wake_phrases
    if name == "faster-whisper":
        from maestra.adapters.senses.whisper import FasterWhisper

        return FasterWhisper(
            _whisper(config.senses.asr_model),
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
    built: SpeechRecogniser = _third_party("senses.asr", name, config.senses)
    return built


def _whisper(name: str) -> Path:
    """A registered model's folder, or a folder of the user's."""
    registered = f"whisper-{name}"
    if registered in models.registry():
        return models.locate(registered)
    if registered in model_store.families():
        return _stored(registered)
    folder = Path(name).expanduser()
    if (folder / "model.bin").is_file():
        return folder
    raise ModelMissing(
        f"senses.asr_model: {name!r} is neither a model that maestra models lists nor a folder with"
        " a model.bin"
    )


def _stored(name: str) -> Path:
    """The folder of a published model.

    :raises ModelMissing: a file of it is not there.
    """
    if absent := model_store.missing(name):
        raise ModelMissing(
            f"the model {name} is not here ({absent[0].name} is missing): maestra models fetch"
            f" {name} brings it from the hub, maestra models import {name} FOLDER from a folder"
        )
    return model_store.folder(name)


def check_weights(name: str) -> bool:
    """Load the weights of a published model into its networks.

    :returns: whether there are networks of ours for it.
    :raises ModelMissing: a weight is missing, misshapen or has no place; the first one is named.
    """
    folder = _stored(name)
    if name == "liveportrait":
        from maestra.adapters.face.liveportrait.networks import read_networks

        read_networks(folder)
    elif name == "musetalk":
        from maestra.adapters.face.musetalk.networks import find_weights, load_networks

        load_networks(find_weights(folder))
    elif name == "sadtalker":
        from maestra.adapters.face.sadtalker import networks

        networks.load(folder)
    else:
        return False
    return True


def fill(network: Any, weights: Path, *, name: str, optional: Sequence[str] = ()) -> None:
    """Put published weights, which nothing runs, into a network that is no adapter's.

    :param name: what to call the weights where something is wrong.
    :param optional: endings of keys that they may lack.
    :raises ModelMissing: they are absent, or not those of the network.
    """
    from maestra.adapters.weights import load_weights, read_weights

    load_weights(network, read_weights(weights), name=name, optional=optional)


def hearing(config: Config, *, fast: bool) -> Hearing:
    """The whole ear, but for the music."""
    from .hearing import Hearing

    return Hearing(
        floor=floor(config),
        vad=voice_activity(config),
        recogniser=recogniser(config),
        endpointing=endpointing(config),
        wake=wake(config),
        fast=fast,
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
    built: MusicAnalyser = _third_party("senses.music", name, config.senses)
    return built


# --- brain, voice, face -------------------------------------------------------


def brains(config: Config, who: Persona | None = None) -> Sequence[tuple[str, Brain]]:
    """The brains in their order of turn. One object each for the session: a brain may remember what
    it said. ``who`` they are, absent, is what the configuration says."""
    return [(name, _brain(name, config, who)) for name in config.brain.order]


def forethought(config: Config, first: tuple[str, Brain]) -> Literal["voice", "words", "turn"]:
    """How early the brain that is asked first may be asked for what may not be wanted."""
    name, brain = first
    match config.brain.forethought:
        case "voice" | "words" | "turn" as chosen:
            return chosen
        case _ if isinstance(brain, Hears):
            return "turn"
        case _:
            backend = backends.CATALOGUE.get(("brain", name))
            return backend.forethought if backend is not None else "turn"


def _brain(name: str, config: Config, who: Persona | None) -> Brain:
    if name == "coach":
        from maestra.adapters.brain.coach import Coach

        return Coach()
    if name == "llama":
        from maestra.adapters.brain.llama import LlamaBrain

        chosen = settings(config, "brain", name)
        return LlamaBrain(chosen, _gguf(chosen.model))
    if name == "openai":
        from maestra.adapters.brain.openai import OpenAIBrain

        return OpenAIBrain(settings(config, "brain", name), key=key(config, "brain", name))
    if name == "gemini-live":
        from maestra.adapters.brain.gemini.brain import GeminiLive

        return GeminiLive(
            settings(config, "brain", name),
            key=key(config, "brain", name),
            persona=who or persona(config.persona),
        )
    built: Brain = _third_party("brain", name, config.brain)
    return built


def _gguf(name: str) -> Path:
    """A registered model's file, or a file of the user's."""
    if name in models.registry():
        return models.locate(name)
    if name in model_store.families():
        (file,) = model_store.families()[name].files
        return _stored(name) / file.to
    path = Path(name).expanduser()
    if path.is_file():
        return path
    raise ModelMissing(
        f"brain.options.llama.model: {name!r} is neither a model that maestra models lists nor a"
        " file"
    )


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
            raise VoiceError(
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
    built: Voice = _third_party("voice", name, config.voice, who)
    return built


def _styletts2(config: Config, who: Persona) -> Voice:
    from maestra.adapters.voice.styletts2.settings import StyleTTS2Settings

    chosen: StyleTTS2Settings = settings(config, "voice", "styletts2")
    reference = chosen.reference or who.voices.get("styletts2")
    if reference is None:
        raise VoiceError(
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
        weights=Path(chosen.weights).expanduser() if chosen.weights else _stored("styletts2"),
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


def faces(config: Config, who: Persona) -> Sequence[tuple[str, Callable[[], Face]]]:
    """The faces in their order of turn; at their end the puppet, which needs next to nothing, and
    the portrait, still."""
    return [
        *(
            (name, partial(_face, name, config, who))
            for name in dict.fromkeys((*config.face.backend, "puppet"))
        ),
        ("still", partial(_still, config, who)),
    ]


def _face(name: str, config: Config, who: Persona) -> Face:
    from . import personas

    if name == "puppet":
        from maestra.adapters.face.puppet import Puppet
        from maestra.adapters.face.scaled import Scaled

        puppet = Puppet(
            personas.portrait_path(who), personas.mesh_path(who), manner=who.manner, seed=1
        )
        return puppet if puppet.width == config.face.size else Scaled(puppet, config.face.size)
    if name in _FOR_A_GPU:
        _see_that_it_can_keep_up(name, settings(config, "face", name).device)
    if name == "liveportrait":
        return _liveportrait(config, who)
    if name == "musetalk":
        return _sized(_musetalk(config, who), config)
    if name == "sadtalker":
        return _sized(_sadtalker(config, who), config)
    built: Face = _third_party("face", name, config.face, who)
    return built


_FOR_A_GPU = frozenset({"liveportrait", "musetalk", "sadtalker"})
"""The faces that take seconds for a picture on a CPU."""


def _see_that_it_can_keep_up(name: str, device: str) -> None:
    """Refuse a face that would have to draw on a CPU and was not told to.

    :raises FaceError: there is no GPU.
    """
    if device != "auto":
        return
    try:
        import torch
    except ImportError:
        return  # whoever builds the face says what to install
    if not torch.cuda.is_available():
        raise FaceError(
            f"{name} needs a GPU, and PyTorch finds none here: on a CPU it takes seconds for a"
            " picture, which lasts 0.04 s. To have it all the same, set"
            f' face.options.{name}.device to "cpu".'
        )


def _sized(face: Face, config: Config) -> Face:
    from maestra.adapters.face.scaled import Scaled

    return face if face.width == config.face.size else Scaled(face, config.face.size)


def _liveportrait(config: Config, who: Persona) -> Face:
    from . import personas

    try:
        from maestra.adapters.face.liveportrait import LivePortraitSettings
        from maestra.adapters.face.liveportrait.face import LivePortrait
    except ImportError as error:
        raise FaceError(
            f"the face liveportrait needs {error.name}: install maestra[local,faces]"
        ) from error
    chosen: LivePortraitSettings = settings(config, "face", "liveportrait")
    return LivePortrait(
        personas.portrait_path(who),
        personas.mesh_path(who),
        manner=who.manner,
        seed=1,
        settings=chosen
        if chosen.weights
        else attrs.evolve(chosen, weights=str(_stored("liveportrait"))),
        size=config.face.size,
    )


def _musetalk(config: Config, who: Persona) -> Face:
    from . import personas

    try:
        from maestra.adapters.face.musetalk.face import MuseTalk
    except ImportError as error:
        raise FaceError(
            f"the face musetalk needs {error.name}: install maestra[local,faces,musetalk]"
        ) from error
    return MuseTalk(
        personas.portrait_path(who),
        personas.mesh_path(who),
        settings(config, "face", "musetalk"),
        manner=who.manner,
        seed=1,
    )


def _sadtalker(config: Config, who: Persona) -> Face:
    from . import personas

    try:
        from maestra.adapters.face.sadtalker.face import SadTalker, SadTalkerSettings
    except ImportError as error:
        raise FaceError(
            f"the face sadtalker needs {error.name}: install maestra[local,faces]"
        ) from error
    chosen: SadTalkerSettings = settings(config, "face", "sadtalker")
    return SadTalker(
        personas.portrait_path(who),
        personas.mesh_path(who),
        chosen if chosen.weights else attrs.evolve(chosen, weights=str(_stored("sadtalker"))),
        manner=who.manner,
        seed=1,
    )


def unlearnt_face(name: str, config: Config, who: Persona, cache: Path) -> Face:
    """A face as it is configured, but for its weights, which are numbers drawn at random, and the
    length of its idle movement: who measures its speed needs no others.

    :param cache: a folder for what it keeps; not one that other faces use.
    :raises ValueError: the face has no weights.
    """
    from maestra.adapters.weights import fill_at_random

    from . import personas

    portrait, mesh = personas.portrait_path(who), personas.mesh_path(who)
    chosen = settings(config, "face", name)
    if name == "liveportrait":
        from maestra.adapters.face.liveportrait.face import LivePortrait
        from maestra.adapters.face.liveportrait.networks import Networks as LivePortraitNetworks

        portraits = LivePortraitNetworks.unfilled()
        for network in portraits.by_name().values():
            fill_at_random(network)
        return LivePortrait(
            portrait, mesh, who.manner, 1, settings=chosen, networks=portraits, cache=cache
        )
    if name == "musetalk":
        from maestra.adapters.face.musetalk.face import MuseTalk
        from maestra.adapters.face.musetalk.networks import PUBLISHED
        from maestra.adapters.face.musetalk.networks import Networks as MuseTalkNetworks

        muses = MuseTalkNetworks.unfilled(PUBLISHED)
        for network in (muses.encoder, muses.vae, muses.unet):
            fill_at_random(network)
        short = attrs.evolve(chosen, idle_seconds=0.2)
        return MuseTalk(portrait, mesh, short, manner=who.manner, cache=cache, networks=muses)
    if name == "sadtalker":
        from maestra.adapters.face.sadtalker import networks as sadtalker
        from maestra.adapters.face.sadtalker.face import SadTalker

        sad = sadtalker.build()
        for attribute in attrs.fields(sadtalker.Networks):
            fill_at_random(getattr(sad, attribute.name))
        return SadTalker(portrait, mesh, chosen, manner=who.manner, cache=cache, networks=sad)
    raise ValueError(f"the face {name} has no weights")


def face_stages(
    tracer: Callable[[str], AbstractContextManager[object]],
) -> AbstractContextManager[None]:
    """A context in which ``tracer`` is entered where a face begins a stage of its work, with the
    stage's name, and left where it ends. For the faces of this process."""
    from maestra.adapters.face.tracing import traced

    return traced(tracer)


def _still(config: Config, who: Persona) -> Face:
    from maestra.adapters.face.still import Still

    from . import personas

    return Still(personas.portrait_path(who), size=config.face.size)


# --- streams ------------------------------------------------------------------


def ingest(settings: IngestSettings) -> Ingest:
    """One connection to an input."""
    from maestra.adapters.streams.ingest import PyavIngest

    return PyavIngest(settings.url)


def publish(config: Config, url: StreamUrl) -> Publish:
    """One connection to an output."""
    from maestra.adapters.streams.publish import Encoding, PyavPublish

    return PyavPublish(
        url,
        width=config.face.size,
        height=config.face.size,
        encoding=Encoding(
            video_bit_rate=config.stream.video_bitrate,
            audio_bit_rate=config.stream.audio_bitrate,
            keyframe_interval=config.stream.keyframe_interval,
            encoder=config.stream.encoder,
        ),
    )


def encoder_complaint(config: Config) -> str:
    """What there is to say of the encoder that the configuration asks for; empty if it works."""
    if config.stream.encoder != "nvenc":
        return ""
    from maestra.adapters.streams.publish import video_encoder

    size = config.face.size
    if video_encoder("nvenc", size, size) == "h264_nvenc":
        return ""
    return (
        "NVENC does not work here: x264 encodes the pictures. Set stream.encoder to auto, or see"
        " whether nvidia-smi finds a GPU and its driver."
    )


def _third_party(port: str, name: str, *arguments: Any) -> Any:
    """What another distribution registered; it is trusted to keep its port's promise."""
    return backends.load_third_party(port, name)(*arguments)
