"""The models that no package carries: how they come into the store, and what is refused."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import attrs
import pytest

from maestra.app import composition, model_store
from maestra.app.backends import CATALOGUE
from maestra.app.cli import main
from maestra.app.composition.face import weights_folder
from maestra.app.config import Config, FaceConfig
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


class Hub:
    """Stands for the model hub; of large files it states the SHA-256 in ``stated``."""

    def __init__(self, download: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        hub = pytest.importorskip("huggingface_hub")
        self.asked: list[tuple[str, str, str]] = []
        self.stated: dict[str, str] = {}
        self._download = download
        monkeypatch.setattr(hub, "HfApi", lambda: self)
        monkeypatch.setattr(hub, "hf_hub_download", self._give)

    def model_info(self, repository: str) -> SimpleNamespace:
        return SimpleNamespace(sha="r1")

    def get_paths_info(
        self, repository: str, paths: list[str], *, revision: str
    ) -> list[SimpleNamespace]:
        assert revision == "r1"
        return [
            SimpleNamespace(
                path=path,
                lfs=SimpleNamespace(sha256=self.stated[path]) if path in self.stated else None,
            )
            for path in paths
        ]

    def _give(self, repository: str, path: str, *, revision: str, local_dir: Path) -> str:
        self.asked.append((repository, path, revision))
        return str(self._download / path)


def test_what_is_missing_is_fetched_and_only_that(
    store: Path, download: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(download, monkeypatch)
    (store / "face").mkdir(parents=True)
    (store / "face/face.json").write_text("{}")
    model_store.fetch("face")

    assert [("us/face", "base/w.pth", "r1")] == hub.asked
    assert () == model_store.missing("face")


def test_what_is_fetched_is_held_to_what_the_hub_states(
    store: Path, download: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(download, monkeypatch)
    hub.stated["base/w.pth"] = "0" * 64
    with pytest.raises(ModelMissing, match=r"not the w\.pth that the hub states"):
        model_store.fetch("face")
    assert len(model_store.missing("face")) == 2

    published = hashlib.sha256((download / "base/w.pth").read_bytes()).hexdigest()
    hub.stated["base/w.pth"] = published
    model_store.fetch("face")
    record = json.loads((store / "face/record.json").read_text())
    assert {"base/w.safetensors", "face.json"} == set(record)
    entry = record["base/w.safetensors"]
    assert "us/face@r1:base/w.pth" == entry["from"]
    assert published == entry["came_as"]
    kept = (store / "face/base/w.safetensors").read_bytes()
    assert hashlib.sha256(kept).hexdigest() == entry["sha256"]


def test_what_was_changed_in_the_store_is_not_loaded(store: Path, download: Path) -> None:
    model_store.import_from("face", download)
    assert store / "face" == composition.stored("face")
    (store / "face/face.json").write_text("{ }")
    with pytest.raises(ModelMissing, match=r"face\.json has been changed or is damaged"):
        composition.stored("face")
    model_store.import_from("face", download)
    composition.stored("face")
    (store / "face/record.json").unlink()
    composition.stored("face")


def test_what_musetalks_own_script_fetches_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAESTRA_MODELS", str(tmp_path / "store"))
    models = tmp_path / "models"
    level = {
        "musetalk/pytorch_model.bin": 1.0,  # of version 1.0
        "musetalkV15/unet.pth": 2.0,
        "sd-vae/diffusion_pytorch_model.bin": 3.0,
        "whisper/pytorch_model.bin": 4.0,
    }
    for name, value in level.items():
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save({"weight": torch.full((1,), value)}, models / name)
    kept = model_store.import_from("musetalk", models)
    found = {
        file.to: float(safetensors.load_file(kept / file.to)["weight"])
        for file in model_store.families()["musetalk"].files
    }
    assert [2.0, 3.0, 4.0] == [*found.values()]


def test_the_large_sadtalker_is_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAESTRA_MODELS", str(tmp_path))
    for name, large in (("sadtalker", False), ("sadtalker-512", True)):
        config = Config(face=FaceConfig(options={"sadtalker": {"large": large}}))
        with pytest.raises(ModelMissing, match=f"the model {name} is not here"):
            weights_folder(config, "sadtalker")
        for file in model_store.families()[name].files:
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / file.to).touch()
        assert tmp_path / name == weights_folder(config, "sadtalker")


@pytest.mark.parametrize("name", ["styletts2", "syncnet"])
def test_weights_of_other_networks_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAESTRA_MODELS", str(tmp_path))
    for file in model_store.families()[name].files:
        place = tmp_path / name / file.to
        place.parent.mkdir(exist_ok=True)
        if file.to.endswith(".safetensors"):
            safetensors.save_file({"weight": torch.zeros(1)}, place)
        else:
            place.write_text(
                "model_params: {decoder: {type: hifigan}, diffusion: {dist: {sigma_data: 0.2}}}"
            )
    with pytest.raises(ModelMissing, match="lack"):
        composition.check_weights(name)


def test_without_a_hub_it_says_what_to_do(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    httpx = pytest.importorskip("httpx")

    def fail(*_: object, **__: object) -> str:
        raise httpx.ConnectError("no route")

    monkeypatch.setattr(hub.HfApi, "model_info", fail)

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
            # CTranslate2's .bin is no pickle.
            no_pickle = family.backend == "faster-whisper" and file.to == "model.bin"
            assert no_pickle or not file.to.endswith(model_store.PICKLED), "no pickle is kept"
            assert not file.repository or file.path.endswith(file.name)
