"""Weights from files: nothing is run, nothing is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maestra.adapters.weights import load_weights, read_weights
from maestra.ports.errors import ModelMissing

torch = pytest.importorskip("torch")


class _Trap:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("sprung"),))


@pytest.fixture
def state() -> dict[str, Any]:
    return {"weight": torch.ones(2, 3, dtype=torch.float16), "bias": torch.zeros(2)}


def _written(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def test_both_kinds_of_file_give_the_same_tensors(tmp_path: Path, state: dict[str, Any]) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(
        {f"inner.{key}": value for key, value in state.items()}, tmp_path / "w.safetensors"
    )
    pickled = _written(tmp_path / "w.pth", {"inner": state})

    for path in (tmp_path / "w.safetensors", pickled):
        network = torch.nn.Linear(3, 2, device="meta")
        load_weights(network, read_weights(path, entry="inner"), name="w")
        assert torch.equal(network(torch.ones(3)), torch.full((2,), 3.0))
        assert not network.training


def test_a_pickle_that_runs_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelMissing, match=r"^trap\.pth holds more than weights"):
        read_weights(_written(tmp_path / "trap.pth", {"weight": _Trap()}))

    assert not Path("sprung").exists()


@pytest.mark.parametrize(
    ("name", "content", "refusal"),
    [
        ("w.pth", b"PK\x03\x04 and then noise", "damaged"),
        ("w.pth", b"", "damaged"),
        ("w.safetensors", b"\xff" * 64, "damaged"),
        ("w.onnx", b"", "no file of weights that is read here"),
    ],
)
def test_what_is_no_file_of_weights_is_refused(
    tmp_path: Path, name: str, content: bytes, refusal: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelMissing, match=refusal):
        read_weights(tmp_path / name)


def test_other_things_than_tensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="something other than tensors"):
        read_weights(_written(tmp_path / "w.pth", {"epoch": 3}))
    with pytest.raises(ModelMissing, match="have no entry model"):
        read_weights(_written(tmp_path / "w.pth", {"epoch": 3}), entry="model")
    with pytest.raises(ModelMissing, match="There are no weights"):
        read_weights(tmp_path / "absent.pth")


def test_the_first_key_that_does_not_fit_is_named(state: dict[str, Any]) -> None:
    network = torch.nn.Linear(3, 2)
    missing = {"m.weight": state["weight"]}
    with pytest.raises(ModelMissing, match=r"^The weights of lips lack m\.bias\.$"):
        load_weights(network, missing, name="lips", prefix="m.")
    with pytest.raises(ModelMissing, match=r"have extra, which has no place"):
        load_weights(network, {**state, "extra": torch.zeros(1)}, name="lips")
    with pytest.raises(ModelMissing, match=r"weight is \(3, 2\) where \(2, 3\) belongs"):
        load_weights(network, {**state, "weight": state["weight"].T}, name="lips")

    load_weights(
        network, {**missing, "n.other": state["bias"]}, name="lips", prefix="m.", optional=("bias",)
    )
    load_weights(network, {**state, "extra": torch.zeros(1)}, name="lips", ignored=("ext",))
