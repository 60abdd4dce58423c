"""Models that no package carries: the folder where they are kept, and how they come there.

Each family (``published.toml``) has a folder of its own below the store: ``MAESTRA_MODELS``, or the
user's data directory. Files come from the model hub or from a folder of the user's. Pickled ones
are read with PyTorch's reader for weights, which runs nothing, and are kept as ``.safetensors``.
A file takes its place only when it is whole. ``record.json`` beside the files says of each what its
SHA-256 is and where it came from, the hub's revision; before a model is loaded its files are held
to that.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any

from attrs import frozen

from maestra.ports.errors import MaestraError, ModelMissing

from .models import digest

__all__ = [
    "Family",
    "Published",
    "check",
    "families",
    "fetch",
    "folder",
    "import_from",
    "missing",
    "root",
]

PICKLED = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".model")

_RECORD = "record.json"


@frozen(kw_only=True)
class Published:
    """One file. ``repository`` and ``path`` say where on the hub it is (empty: on none); ``name``
    is what its publisher calls it, and ``also`` how else the path of an imported file may end;
    ``to`` is its place in the family's folder."""

    name: str
    to: str
    repository: str = ""
    path: str = ""
    also: tuple[str, ...] = ()
    sha256: str = ""


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


def _published(entry: dict[str, Any]) -> Published:
    repository, _, path = entry.get("from", "").partition(":")
    return Published(
        name=entry.get("name") or path.rpartition("/")[2],
        to=entry["to"],
        repository=repository,
        path=path,
        also=tuple(entry.get("also", ())),
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


def check(name: str) -> None:
    """Make sure that the files of family ``name`` are still those that came: the store's record
    says so. Those that nothing is recorded of, which came before there was a record, are not looked
    at.

    :raises ModelMissing: one has been changed.
    """
    for to, entry in _record(name).items():
        path = folder(name) / to
        if path.is_file() and digest(path) != entry["sha256"]:
            raise ModelMissing(
                f"the model {name} is not the one that came: {path} has been changed or is damaged;"
                " delete it, and fetch or import it again"
            )


def _record(name: str) -> dict[str, dict[str, str]]:
    path = folder(name) / _RECORD
    if not path.is_file():
        return {}
    try:
        record: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelMissing(f"{path} cannot be read: delete it, and import {name} again") from error
    return record


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
    """Bring what is missing of family ``name`` from the model hub, at its newest revision there.
    What the hub states the SHA-256 of, all large files, is held to it.

    :returns: the family's folder.
    :raises ModelMissing: the hub cannot be reached, has no such file, or the file is not the one
        that its publisher or the hub states.
    """
    wanted = missing(name)
    if any(not file.repository for file in wanted):
        names = ", ".join(file.name for file in wanted)
        raise ModelMissing(f"{name} is on no hub: maestra models import {name} FOLDER ({names})")
    from httpx import HTTPError
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    downloads = folder(name) / ".downloads"
    hub, revisions = HfApi(), dict[str, str | None]()
    for file in wanted:
        progress(f"{file.name}: fetching from {file.repository}")
        try:
            if file.repository not in revisions:
                revisions[file.repository] = hub.model_info(file.repository).sha
            revision = revisions[file.repository]
            stated = [
                entry.lfs.sha256
                for entry in hub.get_paths_info(file.repository, [file.path], revision=revision)
                if entry.path == file.path and getattr(entry, "lfs", None) is not None
            ]
            got = Path(
                hf_hub_download(file.repository, file.path, revision=revision, local_dir=downloads)
            )
        except (HfHubHTTPError, LocalEntryNotFoundError, HTTPError, OSError) as error:
            raise ModelMissing(
                f"{file.name} cannot be fetched from the hub ({type(error).__name__}): fetch"
                f" {file.path} of {file.repository} elsewhere, and use maestra models import {name}"
                " FOLDER"
            ) from error
        source = f"{file.repository}@{revision}:{file.path}"
        _keep(name, file, got, progress, source=source, stated=stated)
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
    endings = (file.to, file.path or file.name, *file.also)
    names = [PurePath(ending).name for ending in endings]
    same = sorted(path for path in source.rglob("*") if path.name in names and path.is_file())
    like = (path for end in endings for path in same if path.as_posix().endswith(f"/{end}"))
    # Other publishers' files have the names in ``also``, too: the folder has to be right.
    return next(like, next((path for path in same if path.name in names[:2]), None))


def _keep(
    name: str,
    file: Published,
    path: Path,
    progress: Progress,
    *,
    source: str = "a folder",
    stated: Sequence[str] = (),
) -> None:
    """Put the file ``path`` in its place in the store.

    :param source: where it is from.
    :param stated: SHA-256 that it must have, beside that in the table.
    """
    progress(f"{file.name}: checking")
    came = _sha256(path)
    if file.sha256 and came != file.sha256 and path.name == file.name:
        raise ModelMissing(f"{path} is not the {file.name} that its publisher states")
    if any(came != one for one in stated):
        raise ModelMissing(f"{path} is not the {file.name} that the hub states: it came damaged")
    place = folder(name) / file.to
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}.part")
    try:
        if path.name.endswith(PICKLED) and place.suffix == ".safetensors":
            progress(f"{file.name}: keeping its weights as {place.name}")
            _convert(path, part)
        else:
            progress(f"{file.name}: copying, {path.stat().st_size / 1e6:.0f} MB")
            shutil.copyfile(path, part)
        kept = _sha256(part)
        part.replace(place)
        record = _record(name) | {file.to: {"sha256": kept, "from": source, "came_as": came}}
        part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        part.replace(folder(name) / _RECORD)
    except OSError as error:
        raise ModelMissing(f"{place} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
