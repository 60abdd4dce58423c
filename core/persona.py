"""A persona: who the teacher is."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

__all__ = ["Manner", "Persona"]


@frozen(kw_only=True)
class Manner:
    """How the teacher talks and moves: rates are factors around 1."""

    warmth: float = 1.0
    speech_rate: float = 1.0
    liveliness: float = 1.0


@frozen(kw_only=True)
class Persona:
    """``portrait`` names a picture (a shipped one by its file name, or a path); ``voices`` maps a
    voice backend to its voice's name; ``prompt`` is what a language model is told about itself."""

    id: str
    name: str
    portrait: str
    voices: Mapping[str, str] = field(factory=dict)
    manner: Manner = field(factory=Manner)
    prompt: str = ""
