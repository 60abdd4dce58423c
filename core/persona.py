"""A persona: who the teacher is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import Attribute, field, frozen, validators

__all__ = ["Manner", "Persona"]

_ID: Final = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*")


def _check_factor(_: object, attribute: Attribute[float], value: float) -> None:
    if not 0.0 < value <= 3.0:
        raise ValueError(f"{attribute.name} is a factor around 1, above 0 and at most 3: {value!r}")


def _check_id(_: object, attribute: Attribute[str], value: str) -> None:
    if not _ID.fullmatch(value):
        raise ValueError(
            f"a persona's {attribute.name} is lower-case letters, digits and single underscores:"
            f" {value!r}"
        )


def _check_said(_: object, attribute: Attribute[str], value: str) -> None:
    if not value.strip():
        raise ValueError(f"a persona needs a {attribute.name}")


@frozen(eq=False)
class _Voices(Mapping[str, str]):
    """A mapping that cannot change, can be hashed, and can be sent to another process."""

    _items: tuple[tuple[str, str], ...]

    def __getitem__(self, backend: str) -> str:
        for known, voice in self._items:
            if known == backend:
                return voice
        raise KeyError(backend)

    def __iter__(self) -> Iterator[str]:
        return (backend for backend, _ in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(self._items)


def _frozen_voices(voices: Mapping[str, str]) -> Mapping[str, str]:
    return _Voices(tuple(sorted(voices.items())))


def _check_voices(_: object, attribute: Attribute[Mapping[str, str]], value: object) -> None:
    assert isinstance(value, Mapping)
    for backend, voice in value.items():
        if not (isinstance(backend, str) and isinstance(voice, str) and backend and voice):
            raise ValueError(
                f"{attribute.name} maps a voice backend's name to a voice's: {backend!r}: {voice!r}"
            )


@frozen(kw_only=True)
class Manner:
    """How the teacher talks and moves: factors around 1.

    :param warmth: how much it smiles.
    :param speech_rate: 2 speaks twice as fast.
    :param liveliness: how much it moves.
    :param pitch_hz: the median pitch to speak at, where a voice can be moved; ``None`` leaves it.
    :param formants: factor on the vocal tract's resonances, likewise.
    :raises ValueError: a factor is not above 0 and at most 3, or the pitch is not a voice's.
    """

    warmth: float = field(default=1.0, validator=_check_factor)
    speech_rate: float = field(default=1.0, validator=_check_factor)
    liveliness: float = field(default=1.0, validator=_check_factor)
    pitch_hz: float | None = field(
        default=None,
        validator=validators.optional([validators.ge(50.0), validators.le(500.0)]),
    )
    formants: float = field(default=1.0, validator=_check_factor)


@frozen(kw_only=True)
class Persona:
    """Who the teacher is.

    :param id: its name in the configuration, such as ``teacher_mary_v1``.
    :param name: what it is called.
    :param portrait: names a picture: a shipped one by its file name, or a path.
    :param voices: maps a voice backend to its voice's name; where one is missing, the choice is the
        backend's. Taken by copy, and read-only.
    :param prompt: what a language model is told about itself.
    :raises ValueError: ``id`` is not a plain identifier, or name, portrait or a voice is empty.
    """

    id: str = field(validator=_check_id)
    name: str = field(validator=_check_said)
    portrait: str = field(validator=_check_said)
    voices: Mapping[str, str] = field(
        factory=dict, converter=_frozen_voices, validator=_check_voices
    )
    manner: Manner = field(factory=Manner, validator=validators.instance_of(Manner))
    prompt: str = ""
