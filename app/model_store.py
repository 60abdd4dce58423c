"""Models that no package carries: the folder where they are kept, and how they come there.

Each family (``published.toml``) has a folder of its own below the store: ``MAESTRA_MODELS``, or the
user's data directory. Files come from the model hub or from a folder of the user's. Pickled ones
are read with PyTorch's reader for weights, which runs nothing, and are kept as ``.safetensors``.
A file takes its place only when it is whole.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import frozen

from maestra.ports.errors import MaestraError, ModelMissing

__all__ = [
    "Family",
    "Published",
    "families",
    "fetch",
    "folder",
    "import_from",
    "missing",
    "root",
]

PICKLED = (".pth", ".pt", ".ckpt", ".tar", ".model")


@frozen(kw_only=True)
class Published:
    """One file. ``repository`` and ``path`` say where on the hub it is (empty: on none); ``name``
    is what its publisher calls it; ``to`` is its place in the family's folder."""

    name: str
    to: str
    repository: str = ""
    path: str = ""
    sha256: str = ""

    @property
    def converted(self) -> bool:
        """It is a pickle, and is kept as ``.safetensors``."""
        return self.name.endswith(PICKLED) and self.to.endswith(".safetensors")


@frozen(kw_only=True)
class Family:
    """The files that make one model."""

    name: str
    port: str
    backend: str
    licence: str
    files: tuple[Published, ...]


@functools.cache
def families() -> Mapping[str, Family]:
    """Every family that is known, by name."""
    text = Path(__file__).with_name("published.toml").read_text(encoding="utf-8")
    return MappingProxyType(
        {
            name: Family(
                name=name, files=tuple(_published(file) for file in entry.pop("files")), **entry
            )
            for name, entry in tomllib.loads(text).items()
        }
    )


def _published(entry: dict[str, str]) -> Published:
    repository, _, path = entry.get("from", "").partition(":")
    return Published(
        name=entry.get("name") or path.rpartition("/")[2],
        to=entry["to"],
        repository=repository,
        path=path,
        sha256=entry.get("sha256", ""),
    )


def root() -> Path:
    """The store. ``MAESTRA_MODELS`` names another."""
    if chosen := os.environ.get("MAESTRA_MODELS"):
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("maestra")) / "models"


def folder(name: str) -> Path:
    """Where the files of family ``name`` are kept."""
    return root() / _family(name).name


def missing(name: str) -> tuple[Published, ...]:
    """The files of family ``name`` that are not there."""
    return tuple(file for file in _family(name).files if not (folder(name) / file.to).is_file())


def _family(name: str) -> Family:
    family = families().get(name)
    if family is None:
        raise ModelMissing(
            f"no published model is called {name!r}; known are {', '.join(families())}"
        )
    return family


Progress = Callable[[str], None]
"""Is told, a line at a time, what is being done."""


def fetch(name: str, *, progress: Progress = lambda line: None) -> Path:
    """Bring what is missing of family ``name`` from the model hub.

    :returns: the family's folder.
    :raises ModelMissing: the hub cannot be reached, has no such file, or the file is not the one
        that its publisher states.
    """
    wanted = missing(name)
    if any(not file.repository for file in wanted):
        names = ", ".join(file.name for file in wanted)
        raise ModelMissing(f"{name} is on no hub: maestra models import {name} FOLDER ({names})")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    downloads = folder(name) / ".downloads"
    for file in wanted:
        progress(f"{file.name}: fetching from {file.repository}")
        try:
            got = Path(hf_hub_download(file.repository, file.path, local_dir=downloads))
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            raise ModelMissing(
                f"{file.name} cannot be fetched from the hub ({type(error).__name__}): fetch"
                f" {file.path} of {file.repository} elsewhere, and use maestra models import {name}"
                " FOLDER"
            ) from error
        _keep(name, file, got, progress)
    shutil.rmtree(downloads, ignore_errors=True)
    return folder(name)


def import_from(name: str, source: Path, *, progress: Progress = lambda line: None) -> Path:
    """Take the files of family ``name`` from anywhere below ``source``, by the names that their
    publisher gave them, or as this store keeps them.

    :returns: the family's folder.
    :raises ModelMissing: one is not there, or not the one that its publisher states, or is damaged.
    """
    family = _family(name)
    if not source.is_dir():
        raise ModelMissing(f"{source} is no folder")
    found = [(file, _find(source, file)) for file in family.files]
    if absent := [file.name for file, path in found if path is None]:
        raise ModelMissing(f"{source} has no {', '.join(absent)}")
    for file, path in found:
        assert path is not None
        _keep(name, file, path, progress)
    return folder(name)


def _find(source: Path, file: Published) -> Path | None:
    """Where ``file`` lies below ``source``: of several of its name, the one whose path ends like
    the published one."""
    kept = Path(file.to).name
    same = sorted(path for path in source.rglob("*") if path.name in (file.name, kept))
    like = [path for path in same if path.as_posix().endswith((file.path or file.name, file.to))]
    return next(iter(like or same), None)


def _keep(name: str, file: Published, path: Path, progress: Progress) -> None:
    """Put the file ``path`` in its place in the store."""
    if file.sha256:
        progress(f"{file.name}: checking")
        with path.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != file.sha256:
                raise ModelMissing(f"{path} is not the {file.name} that its publisher states")
    place = folder(name) / file.to
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}.part")
    try:
        if file.converted and path.name == file.name:
            progress(f"{file.name}: keeping its weights as {place.name}")
            _convert(path, part)
        else:
            progress(f"{file.name}: copying, {path.stat().st_size / 1e6:.0f} MB")
            shutil.copyfile(path, part)
        part.replace(place)
    except OSError as error:
        raise ModelMissing(f"{place} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _convert(source: Path, target: Path) -> None:
    """Write the tensors of the pickled file ``source`` to ``target``, those of a dictionary within
    under its name and a dot. What is no tensor is left out, and so is the optimiser.

    :raises ModelMissing: it has more in it than can be read without running code, is damaged, or
        has no weights.
    """
    try:
        import torch
        from safetensors.torch import save_file
    except ImportError as error:
        raise MaestraError(f"to convert {source.name}, install maestra[local,faces]") from error
    import pickle

    try:
        read = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelMissing(
            f"{source.name} holds more than weights, or is damaged: files that run code are not"
            " read"
        ) from error
    except Exception as error:  # damaged files make PyTorch raise all sorts
        raise ModelMissing(f"{source.name} is damaged: {error}") from error
    tensors: dict[str, Any] = {}

    def gather(value: object, key: str) -> None:
        if isinstance(value, torch.Tensor):
            # Two names for one tensor become two tensors: the file's format wants that.
            tensors[key] = value.detach().clone().contiguous()
        elif isinstance(value, Mapping):
            for inner, one in value.items():
                if inner != "optimizer":
                    gather(one, f"{key}.{inner}" if key else str(inner))

    gather(read, "")
    if not tensors:
        raise ModelMissing(f"{source.name} has no weights in it")
    save_file(tensors, target)
