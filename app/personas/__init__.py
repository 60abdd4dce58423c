"""Who can teach: the personas that are shipped, and those that users write.

A persona is a folder with

``persona.toml``
    ``id``, ``name``, ``portrait`` (a picture, relative to the folder), ``prompt``, and the tables
    ``[voices]`` (voice backend → voice) and ``[manner]`` (see ``maestra.core.persona``);
the portrait
    any picture with a face in it;
a mesh
    where the portrait's features are: ``<portrait's stem>.mesh.json``, or ``mesh.json`` for a
    portrait called ``portrait``. Without one the face looks for it itself, once.

The portraits that are shipped are drawings; ``portrait.svg`` beside each is what it was drawn as,
and ``python -m maestra.app.personas.render`` turns that into the PNG.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import fields

from maestra.core.persona import Manner, Persona
from maestra.ports.errors import MaestraError

__all__ = ["available", "load", "mesh_path", "portrait_path"]

_SHIPPED = Path(__file__).parent
_FILE = "persona.toml"
_KEYS = frozenset({"id", "name", "portrait", "prompt", "voices", "manner"})
_MANNER = frozenset(a.name for a in fields(Manner))


def available() -> tuple[Persona, ...]:
    """The shipped personas, by id."""
    return tuple(_read(path) for path in sorted(_SHIPPED.glob(f"*/{_FILE}")))


def load(persona_id_or_path: str | Path) -> Persona:
    """The shipped persona of that id, or the one in that folder or TOML file.

    :raises MaestraError: there is none, or its file is wrong; the sentence says where.
    """
    text = str(persona_id_or_path)
    shipped = _SHIPPED / text / _FILE
    if isinstance(persona_id_or_path, str) and text.isidentifier() and shipped.is_file():
        return _read(shipped)
    path = Path(text).expanduser()
    if path.is_dir():
        path = path / _FILE
    if path.is_file():
        return _read(path)
    known = sorted(p.parent.name for p in _SHIPPED.glob(f"*/{_FILE}"))
    near = difflib.get_close_matches(text, known, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
    raise MaestraError(f"There is no persona {text!r}; {hint}")


def portrait_path(persona: Persona) -> Path:
    """Where the persona's portrait is. The file need not exist."""
    path = Path(persona.portrait).expanduser()
    if path.is_absolute():
        return path
    shipped = _SHIPPED / persona.id / path
    return shipped if shipped.is_file() else path


def mesh_path(persona: Persona) -> Path | None:
    """Where the mesh of the persona's portrait is; ``None`` if there is none yet."""
    portrait = portrait_path(persona)
    candidates = [portrait.with_name(f"{portrait.stem}.mesh.json")]
    if portrait.stem == "portrait":
        candidates.append(portrait.with_name("mesh.json"))
    return next((path for path in candidates if path.is_file()), None)


def _read(path: Path) -> Persona:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MaestraError(f"{path} can't be read: {error.strerror}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MaestraError(f"{path} is not TOML: {error}.") from error
    voices, manner = data.get("voices", {}), data.get("manner", {})
    if not isinstance(voices, Mapping) or not isinstance(manner, Mapping):
        raise MaestraError(f"In {path}, voices and manner are tables.")
    _refuse_unknown(path, data, _KEYS)
    _refuse_unknown(path, manner, _MANNER)
    texts = {}
    for key in ("id", "name", "portrait", "prompt"):
        value = data.get(key, "")
        if not isinstance(value, str):
            raise MaestraError(f"In {path}, {key} is a string.")
        texts[key] = value.strip()
    if texts["portrait"]:
        portrait = Path(texts["portrait"]).expanduser()
        texts["portrait"] = str((path.parent / portrait).resolve())
    for key, number in manner.items():
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise MaestraError(f"In {path}, manner.{key} is a number.")
    try:
        return Persona(voices=voices, manner=Manner(**manner), **texts)
    except (ValueError, TypeError) as error:
        raise MaestraError(f"{path} is not a persona: {error}.") from error


def _refuse_unknown(path: Path, table: Mapping[str, Any], known: frozenset[str]) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}."
            raise MaestraError(f"{path} has the unknown key {key}; {hint}")
