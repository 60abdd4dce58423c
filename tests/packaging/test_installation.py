"""What is installed, and what importing it costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import textwrap
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from maestra.app.backends import CATALOGUE
from maestra.app.dependencies import INSTALL, dependencies, needed

ROOT = Path(__file__).parents[2]
LAYERS = ("core", "ports", "adapters", "app")


def _python(code: str) -> str:
    """What ``code`` prints in a fresh interpreter that has the root of no checkout on its path."""
    result = subprocess.run(
        [sys.executable, "-I", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_is_linked(layer: str) -> None:
    link = ROOT / "src" / "maestra" / layer

    assert link.is_symlink(), f"{link} is no link: was it checked out without symlinks?"
    assert link.resolve() == ROOT / layer


def test_importing_maestra_is_quick() -> None:
    code = """
        import time
        start = time.perf_counter()
        import maestra
        print(time.perf_counter() - start)
    """

    assert min(float(_python(code)) for _ in range(3)) < 0.3


def test_core_and_ports_need_no_more_than_what_maestra_alone_installs() -> None:
    code = """
        import importlib, pkgutil, sys
        allowed = {"attr", "attrs", "statemachine", "anyio", "maestra"}

        class Refuse:
            def find_spec(self, name, path=None, target=None):
                top = name.partition(".")[0]
                if top in allowed or top in sys.stdlib_module_names:
                    return None
                if top in {"sniffio", "idna", "typing_extensions"}:
                    return None  # what anyio stands on
                raise ImportError(f"{name} is not part of what maestra alone installs")

        sys.meta_path.insert(0, Refuse())
        import maestra, maestra.core, maestra.ports
        count = 0
        for package in (maestra.core, maestra.ports):
            for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
                importlib.import_module(module.name)
                count += 1
        print(count)
    """

    assert int(_python(code)) > 20


def test_importing_the_library_loads_no_model_library() -> None:
    code = """
        import sys
        import maestra
        maestra.open_session
        heavy = {"torch", "onnxruntime", "cv2", "faster_whisper", "madmom", "piper", "torchcrepe",
                 "matplotlib", "mediapipe", "librosa"}
        print(sorted(heavy & set(sys.modules)))
    """
    pytest.importorskip("numpy")

    assert _python(code) == "[]"


def test_nothing_lands_beside_maestra() -> None:
    """``core`` or ``app`` at the top of site-packages would be everybody's."""
    files = metadata.files("maestra") or []
    top = {Path(str(file)).parts[0] for file in files}

    assert not top & {*LAYERS, "tests", "docs", "src"}


def _built(target: str, folder: Path) -> Path:
    """The wheel or sdist of this checkout, made by what makes it for everybody: without pip, which
    would first download that."""
    pytest.importorskip("hatchling")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )
    (made,) = folder.iterdir()
    return made


def test_the_wheel_holds_maestra_and_nothing_else(tmp_path: Path) -> None:
    names = zipfile.ZipFile(_built("wheel", tmp_path)).namelist()
    tops = {name.partition("/")[0] for name in names}
    sources = {
        str(path.relative_to(ROOT))
        for layer in LAYERS
        for path in (ROOT / layer).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert {top for top in tops if not top.endswith(".dist-info")} == {"maestra"}
    assert {f"maestra/{source}" for source in sources} <= set(names)
    assert "maestra/py.typed" in names


def test_the_source_archive_holds_what_its_pages_and_tests_speak_of(tmp_path: Path) -> None:
    with tarfile.open(_built("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    for folder in ("benchmarks", "deploy", "docs", "examples", "tests"):
        sources = {
            str(path.relative_to(ROOT))
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert sources and sources <= names, folder
    assert {"LICENSE", "Makefile", "README.md", "constraints.txt", "tox.ini"} <= names


def _distributions(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~;\[ ]", text, maxsplit=1)[0] for text in requirements}


def test_what_is_installed_is_what_the_licences_page_tells_of() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    told = dependencies().values()

    assert {d.distribution for d in told if not d.extra} == _distributions(project["dependencies"])
    for extra in extras.keys() - {"bench", "dev"}:
        listed = {d.distribution for d in told if d.extra == extra}
        assert listed <= _distributions(extras[extra]), extra
        # What two extras bring is told of once.
        assert _distributions(extras[extra]) <= {d.distribution for d in told}, extra


@pytest.mark.parametrize(("port", "name"), CATALOGUE)
def test_the_extras_of_a_backend_install_what_it_needs(port: str, name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    brought = {
        extra: _distributions(extras[extra]) for extra in ("local", *CATALOGUE[port, name].extras)
    }
    wanted = {one.distribution for one in needed(port, name)}

    assert wanted <= set().union(*brought.values())
    assert all(wanted & brought[extra] for extra in CATALOGUE[port, name].extras)


def test_what_is_imported_is_declared() -> None:
    """That another distribution happens to bring it along is no promise."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = _distributions(
        [*project["dependencies"], *(one for extra in extras.values() for one in extra)]
    )
    brought_by = {
        package: {*names, *(name.replace("_", "-") for name in names)}
        for package, names in metadata.packages_distributions().items()
    }
    imported: set[str] = set()
    for layer in LAYERS:
        for path in (ROOT / layer).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    imported.update(name.name.partition(".")[0] for name in node.names)
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    imported.add((node.module or "").partition(".")[0])
    imported -= {"maestra", *sys.stdlib_module_names}
    undeclared = {
        name for name in imported if name in brought_by and not declared & {*brought_by[name]}
    }

    assert "attrs" in imported
    assert undeclared == set()


def test_the_doctor_pins_what_the_constraints_pin() -> None:
    """And what the extra leaves open."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").split("\n")

    assert [pin for pin in pins if pin.startswith("torch==")] == [INSTALL.split()[-1]]
