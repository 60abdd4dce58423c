"""Weights and inputs that anybody can make again: the recipe ``avatar-golden-v1``.

No published weights are at hand where the tests run. So the networks are filled with numbers drawn
by this recipe, and what the published implementation computed with the same numbers is the golden.
A network with the same keys and shapes that computes the same numbers is the same function, and the
published weights will do in it what they were made for.

Every tensor has a stream of its own, seeded by its name, so any part can be made alone.

The goldens lie outside the repository, in the folder ``MAESTRA_GOLDEN`` names, or in
``../shared/golden`` beside the checkout. Without them ``golden()`` skips its test.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import define, field, frozen
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Golden",
    "Override",
    "Probes",
    "fill",
    "golden",
    "image",
    "image8",
    "probing",
    "recipe_sha256",
    "rel_l2",
    "rel_max",
    "sample",
    "uniform",
    "weight",
    "weights",
]

_RECIPE = "avatar-golden-v1"
_CHECKOUT = Path(__file__).parents[2]

Array = NDArray[Any]
Override = Mapping[str, float]
"""``gain`` (1) and ``offset`` (0): the value is ``offset + gain * base``."""


# --- the goldens ---------------------------------------------------------------


@frozen(kw_only=True, eq=False)
class Golden:
    """What was recorded of one family of models."""

    model: str
    manifest: Mapping[str, Any]
    arrays: Mapping[str, Array]

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def shapes(self, net: str) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and dtype of every tensor of ``net``, as the published checkpoint has them."""
        keys = self.manifest["nets"][net]["keys"]
        return {key: (tuple(entry["shape"]), entry["dtype"]) for key, entry in keys.items()}

    def overrides(self, net: str) -> Mapping[str, Override]:
        found: Mapping[str, Override] = self.manifest["overrides"].get(net, {})
        return found

    def constants(self, net: str) -> Collection[str]:
        """The buffers that the recipe leaves as the constructor makes them."""
        found: Collection[str] = (self.manifest.get("constant_keys") or {}).get(net, ())
        return found

    def fill(self, network: Any, net: str) -> str:
        """Fill ``network`` with the recipe's weights for ``net`` and set it to evaluation.

        :return: the checksum of what was filled in; it has to be ``sha256(net)``.
        """
        return fill(
            network,
            self.model,
            net,
            overrides=self.overrides(net),
            constants=self.constants(net),
        )

    def sha256(self, net: str) -> str:
        """The checksum of the recipe's weights for ``net``, made elsewhere."""
        found: str = self.manifest["nets"][net]["recipe_sha256"]
        return found


@cache
def _load(folder: Path) -> tuple[Mapping[str, Any], Mapping[str, Array]]:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    with np.load(folder / "golden.npz") as file:
        return manifest, {name: file[name] for name in file.files}


def golden(model: str) -> Golden:
    """The goldens of ``model`` ("liveportrait", "musetalk", "sadtalker", "syncnet").

    Skips the test that asks for them, loudly, where they are not.
    """
    named = os.environ.get("MAESTRA_GOLDEN")
    root = Path(named) if named else _CHECKOUT.parent / "shared" / "golden"
    if not (root / model / "golden.npz").is_file():
        pytest.skip(
            f"NOT COMPARED WITH THE PUBLISHED IMPLEMENTATION: the goldens of {model} are not here. "
            "Name their folder in MAESTRA_GOLDEN, or put it at ../shared/golden."
        )
    manifest, arrays = _load(root / model)
    return Golden(model=model, manifest=manifest, arrays=arrays)


# --- weights ---------------------------------------------------------------------


def _stream(name: str, count: int) -> NDArray[np.float64]:
    """``count`` values in [0, 1): the same on every platform."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.PCG64(seed)).random(count)


def weight(
    model: str, net: str, key: str, shape: Sequence[int], override: Override | None = None
) -> NDArray[np.float32]:
    """One tensor of a network's state, float32. Spectral-norm vectors need ``weights``."""
    count = int(np.prod(shape, dtype=np.int64))
    u = _stream(f"{_RECIPE}/weight/{model}/{net}/{key}", count)
    c = 2 * u - 1
    leaf = key.rpartition(".")[2]
    if leaf == "running_var":
        value = 0.5 + u
    elif leaf == "running_mean":
        value = 0.2 * c
    elif leaf in ("gamma", "beta"):
        value = 0.5 * c
    elif leaf == "bias" or leaf.startswith("bias_"):
        value = 0.1 * c
    elif len(shape) < 2:
        value = 1 + 0.2 * c
    else:
        value = c * np.sqrt(3 / int(np.prod(shape[1:], dtype=np.int64)))
    if override is not None:
        value = override.get("offset", 0.0) + override.get("gain", 1.0) * value
    return value.reshape(tuple(shape)).astype(np.float32)


def weights(
    model: str,
    net: str,
    shapes: Mapping[str, tuple[Sequence[int], str]],
    *,
    overrides: Mapping[str, Override] | None = None,
    constants: Collection[str] = (),
) -> dict[str, Array]:
    """The state of a network: ``shapes`` gives shape and dtype ("float32", "int64") by key.

    Keys in ``constants`` are left out.
    """
    made: dict[str, Array] = {}
    for key, (shape, dtype) in shapes.items():
        if key in constants or key.endswith(("weight_u", "weight_v")):
            continue
        if dtype == "int64":
            made[key] = np.zeros(tuple(shape), np.int64)
        else:
            made[key] = weight(model, net, key, shape, (overrides or {}).get(key))
    for key, (shape, _) in shapes.items():
        if key.endswith("weight_u"):
            stem = key.removesuffix("weight_u")
            name = f"{_RECIPE}/weight/{model}/{net}/{key}"
            made[key], made[stem + "weight_v"] = _power_iterations(
                made[stem + "weight_orig"], 2 * _stream(name, int(shape[0])) - 1
            )
    return made


def _power_iterations(matrix: Array, start: Array) -> tuple[Array, Array]:
    """Spectral norm's two vectors after three iterations, near but not at the singular ones."""
    flat = matrix.astype(np.float64).reshape(matrix.shape[0], -1)
    x = start / np.linalg.norm(start)
    y = x
    for _ in range(3):
        y = flat.T @ x
        y /= np.linalg.norm(y)
        x = flat @ y
        x /= np.linalg.norm(x)
    return x.astype(np.float32), y.astype(np.float32)


def recipe_sha256(state: Mapping[str, Array]) -> str:
    """The checksum that two makers of the same weights agree on."""
    digest = hashlib.sha256()
    for key in sorted(state):
        if not key.endswith(("weight_u", "weight_v")):
            digest.update(key.encode() + b"\0")
            digest.update(np.ascontiguousarray(state[key]).tobytes())
    return digest.hexdigest()


def fill(
    network: Any,
    model: str,
    net: str,
    *,
    overrides: Mapping[str, Override] | None = None,
    constants: Collection[str] = (),
) -> str:
    """Fill a ``torch.nn.Module`` in place, by its own keys and shapes, and set it to evaluation.

    :return: the checksum of the filled state, its constants included.
    """
    import torch

    state = network.state_dict()
    made = weights(
        model,
        net,
        {key: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for key, t in state.items()},
        overrides=overrides,
        constants=constants,
    )
    kept = {key: state[key].numpy() for key in constants}
    network.load_state_dict(
        {key: torch.from_numpy(np.asarray(value)) for key, value in (made | kept).items()}
    )
    network.eval().requires_grad_(False)
    return recipe_sha256(made | kept)


# --- inputs ------------------------------------------------------------------------


def uniform(
    model: str, name: str, shape: Sequence[int], low: float, high: float
) -> NDArray[np.float32]:
    """``U(name, shape, low, high)`` of the recipe."""
    u = _stream(f"{_RECIPE}/input/{model}/{name}", int(np.prod(shape, dtype=np.int64)))
    return (low + (high - low) * u).reshape(tuple(shape)).astype(np.float32)


def image(model: str, name: str, *, b: int = 1, size: int = 256) -> NDArray[np.float32]:
    """``IMG(name, b, size)`` of the recipe: smooth pictures, ``(b, 3, size, size)``, about 0..1."""
    p = _stream(f"{_RECIPE}/input/{model}/{name}", b * 3 * 4 * 4).reshape(b, 3, 4, 4)
    y, x = np.mgrid[:size, :size] / size
    a, fx, fy, phase = (p[..., i, None, None] for i in range(4))
    waves = (0.25 + 0.75 * a) * np.cos(2 * np.pi * ((1 + 7 * fx) * x + (1 + 7 * fy) * y + phase))
    made: NDArray[np.float32] = (0.5 + 0.125 * waves.sum(axis=2)).astype(np.float32)
    return made


def image8(model: str, name: str, size: int) -> NDArray[np.uint8]:
    """``IMG8(name, size)`` of the recipe: the smooth picture as ``(size, size, 3)`` bytes."""
    smooth = image(model, name, size=size)[0].transpose(1, 2, 0)
    made: NDArray[np.uint8] = np.floor(np.clip(smooth, 0, 1) * 255 + 0.5).astype(np.uint8)
    return made


# --- comparison ----------------------------------------------------------------------


def _numbers(value: ArrayLike) -> NDArray[np.float64]:
    detached: Any = value.detach().cpu() if hasattr(value, "detach") else value
    return np.asarray(detached, dtype=np.float64)


def rel_max(ours: ArrayLike, theirs: ArrayLike) -> float:
    """The largest difference, in terms of the largest value. Arrays or tensors of one shape."""
    a, b = _numbers(ours), _numbers(theirs)
    assert a.shape == b.shape
    return float(np.abs(a - b).max() / np.abs(b).max())


def rel_l2(ours: ArrayLike, theirs: ArrayLike) -> float:
    """The norm of the difference, in terms of the norm. Arrays or tensors of one shape."""
    a, b = _numbers(ours), _numbers(theirs)
    assert a.shape == b.shape
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def sample(value: ArrayLike, count: int) -> NDArray[np.float64]:
    """``count`` elements of ``value``, evenly spread, as a probe keeps them."""
    flat = _numbers(value).reshape(-1)
    if len(flat) <= count:
        return flat
    return flat[(np.arange(count) * (len(flat) - 1)) // (count - 1)]


@define
class Probes:
    """What the modules inside a network returned, in the order of their calls."""

    seen: dict[str, list[Any]] = field(factory=dict)

    def worst(self, golden: Golden, net: str) -> list[tuple[float, str]]:
        """``rel_max`` of every probe of ``net`` that was seen, the worst first."""
        found = []
        for name, theirs in golden.arrays.items():
            head = f"probe/{net}/"
            if not name.startswith(head) or "<" in name:
                continue
            module, _, call = name.removeprefix(head).partition("#")
            calls = self.seen.get(module, [])
            index = int(call) - 1 if call else 0
            if index < len(calls):
                ours = sample(calls[index], theirs.size)
                found.append((rel_max(ours, theirs.reshape(-1)), module))
        return sorted(found, reverse=True)


@contextmanager
def probing(network: Any) -> Iterator[Probes]:
    """Keep what ``network``'s modules return while it runs: to find where one goes wrong.

    Our modules are probed under their own names, which are the published ones where they hold
    parameters.
    """
    probes = Probes()

    def keep(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            probes.seen.setdefault(name, []).append(first.detach().clone())

        return hook

    hooks = [m.register_forward_hook(keep(n)) for n, m in network.named_modules() if n]
    try:
        yield probes
    finally:
        for hook in hooks:
            hook.remove()
