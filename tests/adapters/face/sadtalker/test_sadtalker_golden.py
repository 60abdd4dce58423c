"""SadTalker against what the published implementation computed, with the recipe's weights."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from golden import recipe
from golden.recipe import Golden, rel_l2, rel_max
from numpy.typing import NDArray

from maestra.adapters.face.sadtalker import audio, driver, estimator, mel, semantics
from maestra.adapters.face.sadtalker.render import RenderNetwork

NETWORK = 5e-6
CHAINED = 5e-4

HEADS = ("yaw", "pitch", "roll", "t", "exp")


@pytest.fixture
def golden() -> Golden:
    return recipe.golden("sadtalker")


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def filled(golden: Golden, network: Any, name: str) -> Any:
    """``network`` with the recipe's weights; it has the published keys and shapes."""
    golden.fill(network, name)
    ours = {
        key: (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for key, tensor in network.state_dict().items()
    }
    unused = audio.PoseNetwork.UNUSED if name == "audio2pose" else ()
    published = golden.shapes(name).items()
    assert {key: shape for key, shape in published if not key.startswith(unused)} == ours
    return network


def uniform(name: str, shape: tuple[int, ...], low: float, high: float) -> torch.Tensor:
    return torch.from_numpy(recipe.uniform("sadtalker", name, shape, low, high))


@cache
def spectrogram() -> NDArray[np.float64]:
    n = np.arange(32_000)
    t = n / 16_000
    u = recipe.uniform("sadtalker", "audio", (32_000,), 0, 1)
    tone = 0.3 * np.sin(2 * np.pi * (150 * t + 5 * np.sin(2 * np.pi * 2.2 * t)))
    other = 0.2 * np.sin(2 * np.pi * 820 * t) * np.sin(2 * np.pi * 2.9 * t) ** 2
    return mel.mel(tone + other + 0.04 * (2 * u - 1))


def windows() -> torch.Tensor:
    """What each of the 50 pictures hears."""
    heard = spectrogram()
    found = heard[mel.windows(50, len(heard))].transpose(0, 2, 1)
    return torch.from_numpy(found.astype(np.float32))


def reference() -> torch.Tensor:
    return uniform("ref_coeff", (1, 1, 73), -0.6, 0.6)[0, 0]


@cache
def rows() -> NDArray[np.float32]:
    """The smoothed coefficients of the 50 pictures as the published program made them, (50, 70)."""
    found = recipe.golden("sadtalker")
    return np.concatenate([found["audio2exp/exp"][0], found["audio2pose/pose_savgol"][0]], axis=1)


def test_the_mel_spectrogram_and_what_of_it_each_picture_hears(golden: Golden) -> None:
    assert (161, mel.BANDS) == spectrogram().shape
    assert rel_max(spectrogram()[::4], golden["audio/mel"]) <= 1e-6
    assert np.array_equal(mel.windows(50, 161), golden["audio/mel_window_indices"])


def test_expressions(golden: Golden) -> None:
    network = filled(golden, audio.ExpressionNetwork(), "audio2exp")
    blink = torch.zeros(50)
    blink[12:17] = torch.tensor([0.5, 0.9, 1, 0.9, 0.5])
    found = network(windows(), reference()[:64], blink)
    assert rel_max(found[None], golden["audio2exp/exp"]) <= NETWORK

    eyes_open = network(windows(), reference()[:64], torch.zeros(50))
    assert rel_max(eyes_open + blink[:, None] * network.of_blink(), found) <= NETWORK


def test_poses_and_their_smoothing(golden: Golden) -> None:
    network = filled(golden, audio.PoseNetwork(), "audio2pose")
    own = reference()[64:70]
    heard = windows()
    noise = [uniform(f"pose_z_{block}", (1, 64), -1.7, 1.7)[0] for block in range(2)]
    whole = network(heard[1:33], own, noise[0], 7)
    rest = network(heard[-audio.BLOCK :], own, noise[1], 7)[-17:]
    poses = own + torch.cat([torch.zeros(1, 6), whole, rest])
    assert rel_max(poses[None], golden["audio2pose/pose"]) <= NETWORK

    near = np.lib.stride_tricks.sliding_window_view(poses.numpy(), 13, axis=0)
    smooth = golden["audio2pose/pose_savgol"][0, 6:-6]  # its ends are made otherwise
    assert rel_max(near @ driver.SMOOTHING, smooth) <= NETWORK


@pytest.mark.parametrize("net", ["mapping", pytest.param("mapping_full", marks=pytest.mark.slow)])
def test_head_poses(golden: Golden, net: str) -> None:
    row = 73 if net == "mapping_full" else 70
    network = filled(golden, semantics.MappingNetwork(row), net)
    if net == "mapping_full":
        found = {net: network(uniform("semantics_full", (2, 73, 27), -1, 1))}
    else:
        near = np.array([0, 20, 49])[:, None] + np.arange(-semantics.REACH, semantics.REACH + 1)
        target = torch.from_numpy(rows()[np.clip(near, 0, 49)]).transpose(1, 2)
        source = reference()[:70].expand(1, 27, 70).transpose(1, 2)
        assert rel_max(target[:, ::5], golden["semantics/target"]) <= NETWORK
        assert rel_max(source[:, :, :3], golden["semantics/source"]) <= NETWORK
        found = {net: network(target), "mapping_source": network(source)}
    for name, heads in found.items():
        for head in HEADS:
            assert rel_max(getattr(heads, head), golden[f"{name}/{head}"]) <= NETWORK


@pytest.mark.slow
def test_the_canonical_keypoints(golden: Golden) -> None:
    network = semantics.KeypointNetwork()
    assert rel_max(network.down.weight, golden["kp_extractor/down.weight"]) <= 1e-7
    filled(golden, network, "kp_extractor")
    canonical = network(torch.from_numpy(recipe.image("sadtalker", "source_image")))
    assert rel_max(canonical, golden["kp_extractor/canonical"]) <= NETWORK


def test_where_a_pose_puts_the_keypoints(golden: Golden) -> None:
    canonical = torch.from_numpy(golden["kp_extractor/canonical"])
    for name, of in (("mapping_source", "source"), ("mapping", "driving")):
        heads = {head: torch.from_numpy(golden[f"{name}/{head}"]) for head in HEADS}
        pose = semantics.HeadPose(**heads)
        assert rel_max(semantics.keypoints(canonical, pose), golden[f"kp/{of}"]) <= NETWORK
    assert rel_max(semantics.degrees(pose.yaw), golden["kp/degrees_yaw"]) <= NETWORK
    assert rel_max(semantics.rotation(pose), golden["kp/rotation"]) <= NETWORK


@pytest.mark.slow
def test_the_coefficients_of_a_picture(golden: Golden) -> None:
    network = filled(golden, semantics.FaceModelNetwork(), "face_3drecon")
    found = network(uniform("recon_image", (1, 3, 224, 224), 0, 1))
    assert rel_max(found, golden["face_3drecon/coeff257"]) <= NETWORK
    assert torch.equal(semantics.row_of(found)[:64], found[0, 80:144])


@pytest.mark.slow
def test_the_pose_of_a_picture(golden: Golden) -> None:
    network = filled(golden, estimator.PoseEstimator(), "he_estimator")
    found = network(torch.from_numpy(recipe.image("sadtalker", "source_image")))
    for head in HEADS:
        assert rel_max(getattr(found, head), golden[f"he_estimator/{head}"]) <= NETWORK


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_face_renderer(golden: Golden) -> None:
    network = filled(golden, RenderNetwork(), "generator")
    mask: list[torch.Tensor] = []
    network.dense_motion_network.mask.register_forward_hook(
        lambda module, inputs, output: mask.append(torch.softmax(output, dim=1))
    )
    picture = torch.from_numpy(recipe.image("sadtalker", "source_image"))
    source, driving = (torch.from_numpy(golden[f"kp/{of}"]) for of in ("source", "driving"))
    warped = network.warp(network.appearance(picture), driving[1:2], source)
    drawn = network.decoder(warped.features)
    for found, name in (
        (mask[0][:, :, ::4, ::8, ::8], "mask"),
        (warped.occlusion, "occlusion_map"),
        (drawn[:, :, 1::2, ::2], "prediction"),
    ):
        assert rel_max(found, golden[f"generator/{name}"]) <= CHAINED
        assert rel_l2(found, golden[f"generator/{name}"]) <= 1e-4
