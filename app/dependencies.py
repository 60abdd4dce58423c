"""The distributions that Maestra stands on, and what their licences ask."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from attrs import frozen

from . import models
from .config import Config

__all__ = ["Dependency", "dependencies", "installed_version", "notices", "serving"]


@frozen(kw_only=True)
class Dependency:
    """One distribution. ``port`` and ``backend`` say which backend needs it (empty: all do)."""

    distribution: str
    licence: str
    purpose: str
    extra: str = ""
    port: str = ""
    backend: str = ""
    restriction: str = ""


@functools.cache
def dependencies() -> Mapping[str, Dependency]:
    """Every distribution that is known, by name."""
    text = Path(__file__).with_name("dependencies.toml").read_text(encoding="utf-8")
    return MappingProxyType(
        {
            name: Dependency(distribution=name, **entry)
            for name, entry in tomllib.loads(text).items()
        }
    )


def installed_version(distribution: str) -> str | None:
    """The version that is installed, if one is. Imports nothing of it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def serving(config: Config) -> Mapping[str, tuple[str, ...]]:
    """The backends that ``config`` names for each port, in their order."""
    return {
        "senses.floor": (config.senses.floor,),
        "senses.vad": (config.senses.vad,),
        "senses.asr": config.senses.asr,
        "senses.music": (config.senses.music,),
        "brain": config.brain.order,
        "voice": config.voice.backend,
        "face": config.face.backend,
    }


def notices(config: Config) -> tuple[str, ...]:
    """What has to be said once when the backends of ``config`` are loaded: one sentence for each
    that is under the GPL or may not be used commercially."""
    chosen = serving(config)
    told: dict[str, None] = {}
    for dependency in dependencies().values():
        if dependency.restriction and dependency.backend in chosen.get(dependency.port, ()):
            told[f"{dependency.distribution}: {dependency.restriction}"] = None
    covered = {d.distribution for d in dependencies().values() if d.restriction}
    for model in models.registry().values():
        if (
            model.restriction
            and model.distribution not in covered
            and model.backend in chosen.get(model.port, ())
        ):
            told[f"{model.name}: {model.restriction}"] = None
    return tuple(told)
