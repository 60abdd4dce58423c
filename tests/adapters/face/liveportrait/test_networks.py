"""The networks compute what the published ones do, with the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden.recipe import Golden, golden, image, rel_max, uniform

torch = pytest.importorskip("torch")

from fakes import tiny_liveportrait  # noqa: E402

from maestra.adapters.face.liveportrait.appearance import AppearanceExtractor  # noqa: E402
from maestra.adapters.face.liveportrait.generator import SpadeGenerator  # noqa: E402
from maestra.adapters.face.liveportrait.layers import fuse  # noqa: E402
from maestra.adapters.face.liveportrait.motion import MotionExtractor  # noqa: E402
from maestra.adapters.face.liveportrait.networks import Networks, read_networks  # noqa: E402
from maestra.adapters.face.liveportrait.retargeting import (  # noqa: E402
    eye_network,
    lip_network,
    stitching_network,
)
from maestra.adapters.face.liveportrait.warping import WarpingModule  # noqa: E402
from maestra.ports.errors import ModelMissing  # noqa: E402

MODEL = "liveportrait"
F, M, W, G = (
    "appearance_feature_extractor",
    "motion_extractor",
    "warping_module",
    "spade_generator",
)
BUILD: dict[str, Callable[[], Any]] = {
    F: AppearanceExtractor,
    M: MotionExtractor,
    W: WarpingModule,
    G: SpadeGenerator,
    "stitching": stitching_network,
    "lip": lip_network,
    "eye": eye_network,
}
TOLERANCE = {W: 2e-5, G: 8e-6}
FIXTURE = Path(__file__).parent / "tiny.npz"
"""``tiny_outputs(tiny_liveportrait.tiny())`` when every golden was met."""

fused_or_not = pytest.mark.parametrize("fused", [False, True], ids=["as loaded", "fused"])


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def known() -> Golden:
    return golden(MODEL)


def drawn(name: str, shape: tuple[int, ...], low: float, high: float) -> Any:
    return torch.from_numpy(uniform(MODEL, name, shape, low, high))


def filled(known: Golden, net: str, fused: bool = False) -> Any:
    """The network with the recipe's weights; its keys, shapes and dtypes are the published ones."""
    network = BUILD[net]()
    state = {
        key: (tuple(t.shape), str(t.dtype).removeprefix("torch."))
        for key, t in network.state_dict().items()
    }
    assert known.shapes(net) == state
    assert known.sha256(net) == known.fill(network, net)
    if fused:
        fuse(network)
    return network


def compare(known: Golden, net: str, prefix: str, found: dict[str, Any]) -> None:
    worst = {key: rel_max(ours, known[f"{prefix}{net}/{key}"]) for key, ours in found.items()}
    assert max(worst.values()) <= TOLERANCE.get(net, 5e-6), worst


# The inputs of the two sets of goldens: batch, and the sides of picture, volume and features.
SMALL = ("small", 2, 64, 32, 16)
FULL = ("stage", 1, 256, 64, 64)


def run_appearance(network: Any, size: tuple[str, int, int, int, int]) -> dict[str, Any]:
    name, batch, side, _, _ = size
    picture = torch.from_numpy(image(MODEL, f"{name}_image", b=2, size=side))[:batch]
    channels = slice(None, None, 2 if size is SMALL else 1)
    step = slice(None, None, 2 if size is SMALL else 4)
    return {"out": network(picture)[:, channels, ::2, step, step]}


def run_motion(network: Any, size: tuple[str, int, int, int, int]) -> dict[str, Any]:
    name, _, side, _, _ = size
    seen = network(torch.from_numpy(image(MODEL, f"{name}_image", b=2, size=side)))
    found: dict[str, Any] = seen._asdict()
    return found


def run_warping(network: Any, size: tuple[str, int, int, int, int]) -> dict[str, Any]:
    name, batch, _, side, _ = size
    source = drawn(f"{name}_kp_source", (batch, 21, 3), -0.6, 0.6)
    moved = source + drawn(f"{name}_kp_driving_offset", (batch, 21, 3), -0.1, 0.1)
    volume = drawn(f"{name}_feature_3d", (batch, 32, 16, side, side), -1, 1)
    warped = network(volume, moved, source)
    return {
        "occlusion_map": warped.occlusion,
        "deformation": warped.deformation[:, ::2, ::4, ::4],
        "out": warped.features[:, :: 2 if size is SMALL else 1, ::4, ::4],
    }


def run_generator(network: Any, size: tuple[str, int, int, int, int]) -> dict[str, Any]:
    name, batch, _, _, side = size
    features = drawn(f"{name}_decoder_feature", (batch, 256, side, side), -1, 1)
    rows, columns = (slice(1, None, 2), slice(0, None, 2))
    if size is FULL:
        rows, columns = (slice(1, None, 4), slice(2, None, 4))
    return {"out": network(features)[:, :, rows, columns]}


RUN = {F: run_appearance, M: run_motion, W: run_warping, G: run_generator}


@fused_or_not
@pytest.mark.parametrize("net", [F, M])
def test_what_is_run_once_a_portrait(known: Golden, net: str, fused: bool) -> None:
    compare(known, net, "small/", RUN[net](filled(known, net, fused), SMALL))


@pytest.mark.slow
@fused_or_not
@pytest.mark.parametrize("net", [W, G])
def test_what_is_run_for_every_picture(known: Golden, net: str, fused: bool) -> None:
    compare(known, net, "small/", RUN[net](filled(known, net, fused), SMALL))


@pytest.mark.slow
@pytest.mark.parametrize("net", [F, M, W, G])
def test_at_full_size(known: Golden, net: str) -> None:
    compare(known, net, "", RUN[net](filled(known, net, fused=True), FULL))


@pytest.mark.parametrize(("net", "inputs"), [("stitching", 126), ("lip", 65), ("eye", 66)])
def test_the_small_ones(known: Golden, net: str, inputs: int) -> None:
    out = filled(known, net)(drawn(f"stage_{net}", (2, inputs), -0.6, 0.6))
    compare(known, net, "", {"out": out})


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("precision", "psnr"), [("float16", 40), ("bfloat16", 36)])
def test_half_precision_looks_the_same(known: Golden, precision: str, psnr: float) -> None:
    network = filled(known, G, fused=True).to(getattr(torch, precision))
    features = drawn("small_decoder_feature", (2, 256, 16, 16), -1, 1)
    out = network(features.to(getattr(torch, precision)))[:, :, 1::2, ::2].float()
    error = (out.numpy() - known["small/spade_generator/out"]).astype(np.float64)
    assert -10 * np.log10((error**2).mean()) >= psnr


# --- without the goldens ------------------------------------------------------------


def tiny_outputs(networks: Networks) -> dict[str, Any]:
    """Every network's output by the tiny set, of inputs by recipe."""

    def made(name: str, shape: tuple[int, ...], reach: float = 0.5) -> Any:
        return torch.from_numpy(uniform("tiny", name, shape, -reach, reach))

    picture = torch.from_numpy(image("tiny", "picture", b=1, size=64))
    source = made("kp", (2, 21, 3))
    volume = networks.appearance_feature_extractor(picture)
    seen = networks.motion_extractor(picture)
    warped = networks.warping_module(
        volume.expand(2, -1, -1, -1, -1), source + made("moved", (2, 21, 3), 0.1), source
    )
    out = networks.spade_generator(warped.features)
    found = {
        "volume": volume,
        **{f"motion/{key}": value for key, value in seen._asdict().items()},
        "features": warped.features,
        "deformation": warped.deformation[:, :, ::2, ::2],
        "picture": out[:, :, ::5, ::5],
        "stitching": networks.stitching(made("stitching", (2, 126))),
        "lip": networks.lip(made("lip", (2, 65))),
        "eye": networks.eye(made("eye", (2, 66))),
    }
    return {name: value.numpy() for name, value in found.items()}


@fused_or_not
def test_small_ones_of_the_same_make_compute_what_they_did_when_all_was_compared(
    fused: bool,
) -> None:
    networks = tiny_liveportrait.tiny()
    if fused:
        networks.fuse()
    found = tiny_outputs(networks)
    with np.load(FIXTURE) as kept:
        assert set(kept.files) == set(found)
        worst = {name: rel_max(found[name], kept[name]) for name in kept.files}
    assert max(worst.values()) <= 2e-5, worst


# --- files ----------------------------------------------------------------------------


def published(networks: Networks, folder: Path) -> None:
    """Write ``networks`` as the published files lie there."""
    base, small = folder / "base_models", folder / "retargeting_models"
    base.mkdir(parents=True)
    small.mkdir()
    nets = networks.by_name()
    for name in (F, M, W, G):
        torch.save(nets[name].state_dict(), base / f"{name}.pth")
    torch.save(
        {
            entry: {f"module.{key}": value for key, value in nets[name].state_dict().items()}
            for entry, name in (
                ("retarget_shoulder", "stitching"),
                ("retarget_mouth", "lip"),
                ("retarget_eye", "eye"),
            )
        },
        small / "stitching_retargeting_module.pth",
    )


def test_the_published_files_are_read(tmp_path: Path) -> None:
    networks = tiny_liveportrait.tiny()
    published(networks, tmp_path)
    read = read_networks(tmp_path, tiny_liveportrait.architecture())

    assert tiny_outputs(networks).keys() == tiny_outputs(read).keys()
    for name, network in networks.by_name().items():
        again = read.by_name()[name].state_dict()
        assert all(torch.equal(value, again[key]) for key, value in network.state_dict().items())


def test_a_file_that_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"appearance_feature_extractor\.pth is not"):
        read_networks(tmp_path)
    published(tiny_liveportrait.tiny(), tmp_path)
    with pytest.raises(ModelMissing, match=r"In the weights of appearance_feature_extractor, "):
        read_networks(tmp_path)
