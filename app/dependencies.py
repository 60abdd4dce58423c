"""The distributions that Maestra stands on, and what their licences ask."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from attrs import frozen

from maestra.ports.errors import MaestraError

from . import models
from .backends import CATALOGUE
from .config import Config

__all__ = [
    "INSTALL",
    "Dependency",
    "NotInstalled",
    "adding",
    "dependencies",
    "installed_version",
    "installing",
    "needed",
    "notices",
    "require",
    "serving",
]

INSTALL = "pip install 'maestra[local]' torch==2.13.0"
"""What installs the embedded default as it was tried: with what ``constraints.txt`` pins and the
extra leaves open, for those who have no checkout."""


class NotInstalled(MaestraError):
    """A backend was chosen, and a package that it needs is not installed."""


@frozen(kw_only=True)
class Dependency:
    """One distribution. ``port`` and ``backend`` say which backend needs it (empty: all do), and
    ``also`` which others do: ``port/backend``."""

    distribution: str
    licence: str
    purpose: str
    extra: str = ""
    port: str = ""
    backend: str = ""
    restriction: str = ""
    also: tuple[str, ...] = ()

    @property
    def users(self) -> tuple[tuple[str, str], ...]:
        """The backends that need it, by port and name."""
        others = [(port, name) for port, _, name in (one.partition("/") for one in self.also)]
        return ((self.port, self.backend), *others) if self.port else tuple(others)


@functools.cache
def dependencies() -> Mapping[str, Dependency]:
    """Every distribution that is known, by name."""
    text = Path(__file__).with_name("dependencies.toml").read_text(encoding="utf-8")
    return MappingProxyType(
        {
            name: Dependency(distribution=name, **{**entry, "also": tuple(entry.get("also", ()))})
            for name, entry in tomllib.loads(text).items()
        }
    )


def installed_version(distribution: str) -> str | None:
    """The version that is installed, if one is. Imports nothing of it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def needed(port: str, backend: str) -> tuple[Dependency, ...]:
    """What a backend of ours needs that not all do."""
    return tuple(d for d in dependencies().values() if (port, backend) in d.users)


def require(port: str, backend: str) -> None:
    """See that a backend's libraries are installed. What only carries a model may be missing: the
    user may have another.

    :raises NotInstalled: one is not.
    """
    carriers = {model.distribution for model in models.registry().values()}
    names = [one.distribution for one in needed(port, backend)]
    absent = [name for name in names if name not in carriers and not installed_version(name)]
    if absent:
        raise NotInstalled(
            f"the {port} backend {backend} needs {', '.join(absent)}: {installing(port, backend)}"
        )


def installing(port: str, backend: str) -> str:
    """The command that installs what a backend of ours needs."""
    extras = CATALOGUE[port, backend].extras
    return adding("local", *extras) if extras else INSTALL


def adding(*extras: str) -> str:
    """The command that installs what these extras bring, and the one that does so in a checkout,
    where it is held to what was tried."""
    names = ",".join(extras)
    return (
        f"pip install 'maestra[{names}]'"
        f" (in a checkout: pip install -c constraints.txt -e '.[{names}]')"
    )


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
        used = any(name in chosen.get(port, ()) for port, name in dependency.users)
        if dependency.restriction and used:
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
