"""The models: where each file lies, whether it is the one that was pinned, and under what licence.

Model files come inside the distributions that ``maestra[local]`` installs. They are found through
the installation's records, so nothing of those distributions is imported to find them.
"""

from __future__ import annotations

import functools
import hashlib
import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from attrs import frozen

from maestra.ports.errors import ModelMissing

__all__ = ["Model", "ModelFile", "check", "digest", "find", "locate", "locate_all", "registry"]


@frozen(kw_only=True)
class ModelFile:
    """``path`` is relative to where the distribution is installed; ``size`` is in bytes."""

    path: str
    size: int
    sha256: str


@frozen(kw_only=True)
class Model:
    """One model. ``port`` and ``backend`` say who needs it (empty: nobody).

    ``extra`` is the extra of ``maestra`` that brings it. ``folder`` says that it is loaded as a
    folder. ``restriction`` is empty unless using the model or passing it on is limited.
    """

    name: str
    distribution: str
    licence: str
    source: str
    files: tuple[ModelFile, ...]
    extra: str = "local"
    folder: bool = False
    port: str = ""
    backend: str = ""
    restriction: str = ""
    note: str = ""

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


@functools.cache
def registry() -> Mapping[str, Model]:
    """Every model that is known, by name."""
    text = Path(__file__).with_name("models.toml").read_text(encoding="utf-8")
    return MappingProxyType(
        {
            name: Model(
                name=name,
                files=tuple(ModelFile(**file) for file in entry.pop("files")),
                **entry,
            )
            for name, entry in tomllib.loads(text).items()
        }
    )


def find(name: str) -> tuple[Path, ...]:
    """Where the files of model ``name`` lie, unchecked.

    :raises ModelMissing: it is unknown, or a file is not there.
    """
    model = registry().get(name)
    if model is None:
        raise ModelMissing(f"no model is called {name!r}; known are {', '.join(registry())}")
    try:
        distribution = metadata.distribution(model.distribution)
    except metadata.PackageNotFoundError:
        raise ModelMissing(
            f"the model {name} is missing: install maestra[{model.extra}], which brings it in"
            f" {model.distribution}"
        ) from None
    paths = tuple(Path(str(distribution.locate_file(file.path))) for file in model.files)
    for path in paths:
        if not path.is_file():
            raise ModelMissing(
                f"the model {name} is missing: {path} does not exist; install"
                f" {model.distribution} again"
            )
    return paths


def check(name: str) -> None:
    """Make sure that the files of model ``name`` are those that were pinned.

    Within a process a file is read again only if its size or its time of change is another.

    :raises ModelMissing: one is absent or differs.
    """
    for path, file in zip(find(name), registry()[name].files, strict=True):
        if digest(path) != file.sha256:
            raise ModelMissing(
                f"the model {name} is not the one that was pinned: {path} differs; install"
                f" {registry()[name].distribution} again"
            )


def locate_all(name: str) -> tuple[Path, ...]:
    """The files of model ``name``, checked, in the registry's order.

    :raises ModelMissing: one is absent or differs.
    """
    check(name)
    return find(name)


def locate(name: str) -> Path:
    """Where model ``name`` lies, checked: its file (the first of several), or, for a model that is
    a folder, that folder.

    :raises ModelMissing: one is absent or differs.
    """
    first = locate_all(name)[0]
    return first.parent if registry()[name].folder else first


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Within a process it is read again only if its size or its
    time of change is another."""
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


@functools.cache
def _digest(path: Path, size: int, changed_ns: int) -> str:
    """SHA-256 of the file. ``size`` and ``changed_ns`` only tell one state of it from another."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
