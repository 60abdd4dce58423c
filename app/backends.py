"""Which backends there are: those that come with Maestra, and those that others bring.

A distribution brings a backend by an entry point in its port's group::

    [project.entry-points."maestra.brain"]
    oracle = "oracle.maestra:build"

which names a callable that takes the port's section of the configuration (and, for a voice or a
face, the persona) and builds the adapter.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from attrs import frozen

from maestra.ports.errors import MaestraError

__all__ = [
    "BUILT_IN",
    "CATALOGUE",
    "Backend",
    "NoSuchBackend",
    "load_third_party",
    "names",
    "third_party",
]


@frozen(kw_only=True)
class Backend:
    """One of our own backends, and what somebody who chooses it has to know.

    ``cancels`` is said of whatever ``answers``. ``extras`` are those of the distribution that
    install what it needs, besides ``local``. ``key`` is the environment variable with its secret,
    which is not asked for where the option ``key_unless`` is set. ``forethought`` is how early a
    brain may be asked for what may not be wanted. ``gpu_gb`` is about how many
    gigabytes of a GPU it fills, if it runs on one.
    """

    port: str
    name: str
    streams: bool
    licence: str
    data: str
    cost: str
    cancels: bool | None = None
    figures: str = ""
    extras: tuple[str, ...] = ()
    key: str = ""
    key_unless: str = ""
    gpu_gb: float = 0.0
    forethought: Literal["voice", "words", "turn"] = "turn"

    @property
    def answers(self) -> bool:
        """Whether it has a part in an answer, which may be cut off."""
        return self.port in ("brain", "voice", "face")

    @property
    def stays(self) -> bool:
        """Nothing leaves the machine."""
        return self.data == "stays"


def _read() -> Mapping[tuple[str, str], Backend]:
    text = Path(__file__).with_name("backends.toml").read_text(encoding="utf-8")
    return MappingProxyType(
        {
            (port, name): Backend(
                port=port, name=name, **{**entry, "extras": tuple(entry.get("extras", ()))}
            )
            for port, entries in tomllib.loads(text).items()
            for name, entry in entries.items()
        }
    )


CATALOGUE: Mapping[tuple[str, str], Backend] = _read()
"""Our own backends by port and name, from ``backends.toml``."""

BUILT_IN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        port: tuple(name for of, name in CATALOGUE if of == port)
        for port in dict.fromkeys(port for port, _ in CATALOGUE)
    }
)
"""Their names by port; the entry point group is ``maestra.`` and the port."""


class NoSuchBackend(MaestraError):
    """A backend is neither ours nor registered by a distribution that is installed."""


def third_party(port: str) -> Mapping[str, EntryPoint]:
    """The backends that other distributions register for ``port``, by name. Imports none of them.

    A name that is ours stays ours.
    """
    return {
        point.name: point
        for point in entry_points(group=f"maestra.{port}")
        if point.name not in BUILT_IN[port]
    }


def names(port: str) -> tuple[str, ...]:
    """Every backend that ``port`` could be served by, ours first."""
    return (*BUILT_IN[port], *sorted(third_party(port)))


def load_third_party(port: str, name: str) -> Callable[..., Any]:
    """Import the backend ``name`` of another distribution.

    :raises NoSuchBackend: there is none of that name, or it cannot be imported.
    """
    point = third_party(port).get(name)
    if point is None:
        raise NoSuchBackend(f"no {port} backend is called {name!r}")
    try:
        return point.load()  # type: ignore[no-any-return]
    except Exception as error:  # a stranger's import may raise anything
        raise NoSuchBackend(f"the {port} backend {name!r} cannot be imported: {error}") from error
