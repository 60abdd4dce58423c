"""Whether the files are there that a backend's model is in: said without building the backend."""

from __future__ import annotations

from pathlib import Path

from .. import models, personas
from ..config import Config
from .brain import gguf
from .chosen import settings
from .face import NEURAL, weights_folder
from .senses import whisper_folder
from .voice import piper_voice, styletts2_reference, styletts2_weights

__all__ = ["find_files"]


def find_files(config: Config, port: str, name: str) -> tuple[Path, ...]:
    """The files or folders that a backend of ours is configured to take its model from.

    :raises MaestraError: one is not there; the text says what to do.
    """
    match port, name:
        case "brain", "llama":
            return (gguf(settings(config, port, name).model),)
        case "senses.asr", "faster-whisper":
            return (whisper_folder(config.senses.asr_model),)
        case "voice", "piper":
            return (piper_voice(personas.load(config.persona)),)
        case "voice", "styletts2":
            chosen = settings(config, port, name)
            who = personas.load(config.persona)
            return (styletts2_weights(chosen), styletts2_reference(chosen, who))
        case "face", _ if name in NEURAL:
            return (weights_folder(config, name),)
    carried = [m.name for m in models.registry().values() if (m.port, m.backend) == (port, name)]
    return tuple(path for model in carried for path in models.locate_all(model))
