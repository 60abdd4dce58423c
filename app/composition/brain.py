"""The brains, in their order of turn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from maestra.core.persona import Persona
from maestra.ports.brain import Brain, Hears
from maestra.ports.errors import ModelMissing

from .. import backends, model_store, models, personas
from ..config import Config
from .chosen import key, settings, third_party
from .weights import stored

__all__ = ["brains", "forethought", "gguf"]


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
        return LlamaBrain(chosen, gguf(chosen.model))
    if name == "openai":
        from maestra.adapters.brain.openai import OpenAIBrain

        return OpenAIBrain(settings(config, "brain", name), key=key(config, "brain", name))
    if name == "gemini-live":
        from maestra.adapters.brain.gemini.brain import GeminiLive

        return GeminiLive(
            settings(config, "brain", name),
            key=key(config, "brain", name),
            persona=who or personas.load(config.persona),
        )
    built: Brain = third_party("brain", name, config.brain)
    return built


def gguf(name: str) -> Path:
    """A registered model's file, or a file of the user's.

    :raises ModelMissing: it is neither.
    """
    if name in models.registry():
        return models.locate(name)
    if name in model_store.families():
        (file,) = model_store.families()[name].files
        return stored(name) / file.to
    path = Path(name).expanduser()
    if path.is_file():
        return path
    raise ModelMissing(
        f"brain.options.llama.model: {name!r} is neither a model that maestra models lists nor a"
        " file"
    )
