"""The mathematics of keypoints, and the whole chain from pictures to keypoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from golden.recipe import Golden, golden, image8, rel_l2, rel_max, uniform

torch = pytest.importorskip("torch")

from maestra.adapters.face.liveportrait.appearance import AppearanceExtractor  # noqa: E402
from maestra.adapters.face.liveportrait.generator import SpadeGenerator  # noqa: E402
from maestra.adapters.face.liveportrait.keypoints import (  # noqa: E402
    Motion,
    absolute,
    degrees,
    expression_friendly,
    motion_multiplier,
    relative,
    retarget_eyes,
    retarget_lips,
    rotation,
    stitched,
)
from maestra.adapters.face.liveportrait.layers import fuse  # noqa: E402
from maestra.adapters.face.liveportrait.motion import MotionExtractor, RawMotion  # noqa: E402
from maestra.adapters.face.liveportrait.retargeting import (  # noqa: E402
    eye_network,
    lip_network,
    stitching_network,
)
from maestra.adapters.face.liveportrait.warping import WarpingModule  # noqa: E402

MODEL = "liveportrait"


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def known() -> Golden:
    return golden(MODEL)


def drawn(name: str, shape: tuple[int, ...], low: float, high: float) -> Any:
    return torch.from_numpy(uniform(MODEL, name, shape, low, high))


def test_angles_and_where_they_take_the_keypoints(known: Golden) -> None:
    logits = drawn("pose_logits", (3, 4, 66), -6, 6)
    for name, of in zip(("pitch", "yaw", "roll"), logits, strict=True):
        assert rel_max(degrees(of)[:, 0], known[f"math/degrees_{name}"]) <= 5e-6
    assert rel_max(rotation(*map(degrees, logits)), known["math/rotation"]) <= 5e-6
    motion = Motion.read(
        RawMotion(
            pitch=logits[0],
            yaw=logits[1],
            roll=logits[2],
            t=drawn("math_t", (4, 3), -0.2, 0.2),
            exp=drawn("math_exp", (4, 63), -0.05, 0.05),
            scale=drawn("math_scale", (4, 1), 1.0, 1.7),
            kp=drawn("math_kp", (4, 63), -0.5, 0.5),
        )
    )
    assert rel_max(motion.keypoints(), known["math/transform_keypoint"]) <= 5e-6


def test_how_much_larger_one_face_is(known: Golden) -> None:
    found = motion_multiplier(
        drawn("mm_source", (1, 21, 3), -0.5, 0.5), drawn("mm_driving", (1, 21, 3), -0.4, 0.4)
    )
    assert rel_max([found], known["math/motion_multiplier"]) <= 5e-6


def filled(known: Golden, build: Any, net: str) -> Any:
    network = build()
    known.fill(network, net)
    return network


def seen(name: str) -> Any:
    picture = image8(MODEL, name, 256).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(picture))[None].float() / 255


@pytest.mark.slow
def test_from_pictures_to_a_picture(known: Golden) -> None:
    extractor = filled(known, MotionExtractor, "motion_extractor")
    portrait = seen("e2e_source")
    source = Motion.read(extractor(portrait))
    driving = [Motion.read(extractor(seen(f"e2e_driving_{i}"))) for i in range(3)]
    x_s = source.keypoints()

    def close(ours: Any, name: str) -> None:
        assert rel_max(ours, known[f"e2e/{name}"]) <= 2e-5, name

    close(x_s, "x_s")
    close(source.turn, "source/R")
    close(source.angles[:, :1], "source/pitch")
    for i, motion in enumerate(driving):
        close(motion.turn, f"driving_{i}/R")
        close(motion.exp, f"driving_{i}/exp")

    alike = [relative(source, motion, driving[0]).keypoints() for motion in driving]
    close(torch.cat([m.keypoints() for m in driving]), "x_d_absolute")
    close(torch.cat(alike), "x_d_relative")
    friendly = [expression_friendly(x, x_s, alike[0]) for x in alike]
    close(torch.cat(friendly), "x_d_expression_friendly")
    stitching = filled(known, stitching_network, "stitching")
    moved = torch.cat([stitched(stitching, x_s, x) for x in alike])
    close(moved, "x_d_relative_stitched")

    eyes = retarget_eyes(
        filled(known, eye_network, "eye"), x_s, torch.tensor([[0.3, 0.35]]), torch.tensor([[0.1]])
    )
    lips = retarget_lips(
        filled(known, lip_network, "lip"), x_s, torch.tensor([[0.2]]), torch.tensor([[0.0]])
    )
    close(eyes, "eye_delta")
    close(lips, "lip_delta")
    close(stitched(stitching, x_s, x_s + eyes + lips), "x_d_retargeted_stitched")

    appearance = filled(known, AppearanceExtractor, "appearance_feature_extractor")
    warping = filled(known, WarpingModule, "warping_module")
    generator = filled(known, SpadeGenerator, "spade_generator")
    for network in (appearance, warping, generator):
        fuse(network)
    warped = warping(appearance(portrait), moved[2:], x_s)
    image = generator(warped.features)
    for ours, name in (
        (warped.occlusion, "occlusion_map"),
        (image[:, :, 1::4, 2::4], "image_sample"),
    ):
        assert rel_max(ours, known[f"e2e/{name}"]) <= 5e-4
        assert rel_l2(ours, known[f"e2e/{name}"]) <= 1e-4
    ours = np.floor(np.clip(image[0].numpy().transpose(1, 2, 0), 0, 1) * 255).astype(int)
    apart = np.abs(ours - known["e2e/image_uint8"])
    assert apart.max() <= 1 and (apart == 0).mean() >= 0.998

    still = generator(warping(appearance(portrait), x_s, x_s).features)
    assert rel_max(still[:, :, 1::4, 2::4], known["e2e/self_reenact_sample"]) <= 5e-4


def test_absolute_motion_leaves_a_person_the_person() -> None:
    """The points and axes that carry who somebody is are never driven."""

    def motion(value: float) -> Motion:
        return Motion(
            kp=torch.zeros(1, 21, 3),
            exp=torch.full((1, 21, 3), value),
            turn=torch.eye(3)[None] * value,
            angles=torch.zeros(1, 3),
            scale=torch.full((1, 1), value),
            t=torch.full((1, 3), value),
        )

    made = absolute(motion(1.0), motion(2.0))
    driven = made.exp[0] == 2.0
    assert driven[[1, 2, 6, *range(11, 21)]].all()
    assert driven[3].tolist() == driven[4].tolist() == [False, True, False]
    assert driven[5].tolist() == driven[8].tolist() == [False, False, True]
    assert driven[9].tolist() == [False, True, True]
    assert not driven[[0, 7, 10]].any()
    assert made.scale.item() == 1.0 and made.t[0, 0].item() == 2.0
