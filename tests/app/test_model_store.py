"""The models that no package carries: how they come into the store, and what is refused."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from types import MappingProxyType

import attrs
import pytest

from maestra.app import model_store
from maestra.app.backends import CATALOGUE
from maestra.app.cli import main
from maestra.app.model_store import Family, Published
from maestra.ports.errors import ModelMissing

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

FACE = Family(
    name="face",
    port="face",
    backend="face",
    licence="MIT",
    files=(
        Published(name="w.pth", path="base/w.pth", repository="us/face", to="base/w.safetensors"),
        Published(name="face.json", path="face.json", repository="us/face", to="face.json"),
    ),
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAESTRA_MODELS", str(tmp_path / "store"))
    monkeypatch.setattr(model_store, "families", lambda: MappingProxyType({"face": FACE}))
    return tmp_path / "store"


@pytest.fixture
def download(tmp_path: Path) -> Path:
    """A folder as the publisher's repository would be."""
    folder = tmp_path / "download"
    (folder / "base").mkdir(parents=True)
    (folder / "face.json").write_text("{}")
    weight = torch.arange(6.0).reshape(2, 3)
    torch.save(
        {"net": {"module.a.weight": weight, "module.b": weight}, "epoch": 3, "optimizer": [1]},
        folder / "base/w.pth",
    )
    return folder


def test_a_folder_is_taken_over_and_pickles_become_weights(store: Path, download: Path) -> None:
    said: list[str] = []
    assert store / "face" == model_store.import_from("face", download, progress=said.append)

    kept = safetensors.load_file(store / "face/base/w.safetensors")
    assert {"net.module.a.weight", "net.module.b"} == set(kept)
    assert torch.equal(kept["net.module.b"], torch.arange(6.0).reshape(2, 3))
    assert "{}" == (store / "face/face.json").read_text()
    assert () == model_store.missing("face")
    assert any("keeping its weights" in line for line in said)
    assert not list(store.rglob("*.part"))


def test_what_the_store_wrote_can_be_imported_again(
    store: Path, download: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_store.import_from("face", download)
    monkeypatch.setenv("MAESTRA_MODELS", str(tmp_path / "other"))

    model_store.import_from("face", store)
    assert () == model_store.missing("face")


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it ran')",)


@pytest.mark.parametrize("kind", ["code", "truncated", "empty", "no weights"])
def test_a_file_that_is_not_weights_is_refused_and_leaves_nothing(
    store: Path, download: Path, kind: str
) -> None:
    file = download / "base/w.pth"
    match kind:
        case "code":
            file.write_bytes(pickle.dumps(_Runs()))
        case "truncated":
            file.write_bytes(file.read_bytes()[:300])
        case "empty":
            file.write_bytes(b"")
        case _:
            torch.save({"epoch": 3}, file)

    with pytest.raises(ModelMissing, match=r"w\.pth (holds more than|is damaged|has no weights)"):
        model_store.import_from("face", download)
    assert not list(store.rglob("w.*"))


def test_a_folder_without_the_files(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"has no w\.pth, face\.json"):
        model_store.import_from("face", tmp_path)
    with pytest.raises(ModelMissing, match="is no folder"):
        model_store.import_from("face", tmp_path / "nowhere")


def test_a_stated_checksum_is_held_to(
    store: Path, download: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(b"{}").hexdigest()
    files = (FACE.files[0], attrs.evolve(FACE.files[1], sha256=digest))
    stated = MappingProxyType({"face": attrs.evolve(FACE, files=files)})
    monkeypatch.setattr(model_store, "families", lambda: stated)
    model_store.import_from("face", download)

    (download / "face.json").write_text("{ }")
    with pytest.raises(ModelMissing, match=r"not the face\.json that its publisher states"):
        model_store.import_from("face", download)


def test_what_is_missing_is_fetched_and_only_that(
    store: Path, download: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked: list[tuple[str, str]] = []

    def give(repository: str, path: str, *, local_dir: Path) -> str:
        asked.append((repository, path))
        return str(download / path)

    monkeypatch.setattr(hub, "hf_hub_download", give)
    (store / "face").mkdir(parents=True)
    (store / "face/face.json").write_text("{}")
    model_store.fetch("face")

    assert [("us/face", "base/w.pth")] == asked
    assert () == model_store.missing("face")


def test_without_a_hub_it_says_what_to_do(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = pytest.importorskip("huggingface_hub")

    def fail(*_: object, **__: object) -> str:
        raise OSError("no route")

    monkeypatch.setattr(hub, "hf_hub_download", fail)

    assert 4 == main(["models", "fetch", "face"])
    assert "maestra models import face FOLDER" in capsys.readouterr().err


def test_the_command_imports_and_lists(
    store: Path, download: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(["models"])
    assert "missing: 2 of 2 files" in capsys.readouterr().out
    assert 0 == main(["models", "import", "face", str(download)])
    assert f"face is in {store / 'face'}" in capsys.readouterr().out
    assert 0 == main(["models", "list", "--json"])
    assert '"model": "yamnet"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["fetch"], 2, "maestra models fetch NAME"),
        (["import", "face"], 2, "maestra models import NAME FOLDER"),
        (["check", "face", "."], 2, "maestra models check NAME"),
        (["fetch", "nobody"], 4, "no published model is called 'nobody'"),
        (["check", "face"], 4, "face lacks w.pth, face.json"),
    ],
)
def test_the_command_is_told_wrong(
    store: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    assert code == main(["models", *arguments])
    assert says in capsys.readouterr().err


def test_the_published_models_are_those_of_our_backends() -> None:
    for family in model_store.families().values():
        assert not family.backend or (family.port, family.backend) in CATALOGUE
        assert len({file.to for file in family.files}) == len(family.files)
        for file in family.files:
            assert file.name
            assert not file.to.endswith(model_store.PICKLED), "no pickle is kept"
            assert not file.repository or file.path.endswith(file.name)
