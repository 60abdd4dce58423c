"""Crop, landmarks and paste-back, to the bit; and what a mesh says of a face."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from golden.recipe import Golden, golden

from maestra.adapters.face.liveportrait.features import Features, Landmarker
from maestra.adapters.face.liveportrait.geometry import (
    Crop,
    eye_ratios,
    lip_ratio,
    moved,
    paste,
    placed_mask,
    two_points,
)
from maestra.adapters.face.portrait import Mesh, read_picture
from maestra.app import personas
from maestra.ports.errors import FaceError, ModelMissing

cv2 = pytest.importorskip("cv2")


@pytest.fixture
def known() -> Golden:
    return golden("liveportrait")


def crop_of(points: Any, **options: float) -> Crop:
    return Crop.around(points, two_points(points), **options)


def test_the_square_around_a_face(known: Golden) -> None:
    crop = crop_of(known["crop/landmarks203"])

    assert np.allclose(known["crop/rect_center"], crop.centre, atol=1e-9)
    assert np.allclose(known["crop/rect_size"], crop.side, atol=1e-9)
    assert np.allclose(known["crop/rect_angle"], crop.angle, atol=1e-9)


@pytest.mark.parametrize("name", ["source", "source_norot", "landmark224", "driving"])
def test_a_crop(known: Golden, name: str) -> None:
    points, picture = known["crop/landmarks203"], known["crop/input_uint8"]
    crop, side = {
        "source": (crop_of(points), 512),
        "source_norot": (crop_of(points).upright(), 512),
        "landmark224": (crop_of(points, scale=1.5, raised=0.1), 224),
        "driving": (crop_of(points, scale=2.2, raised=0.1).upright(), 512),
    }[name]

    assert np.allclose(known[f"crop/{name}/M_o2c"], crop.matrix(side), atol=1e-4)
    in_crop = known[f"crop/{name}/{'lmk_crop' if name == 'driving' else 'pt_crop'}"]
    assert np.allclose(in_crop, moved(points, crop.matrix(side)), atol=1e-3)
    cut = crop.cut(picture, side)
    assert np.array_equal(known[f"crop/{name}/img_sample"], cut[1::8, 2::8])
    if name == "source":
        assert np.array_equal(known["crop/source/M_c2o"], crop.inverse(side))
        small = cv2.resize(cut, (256, 256), interpolation=cv2.INTER_AREA)
        assert np.array_equal(known["crop/source/img256_sample"], small[1::4, 2::4])


@pytest.mark.parametrize("count", [203, 106, 101, 68, 5])
@pytest.mark.parametrize("lips", [True, False], ids=["lip", "eyes"])
def test_the_two_points_of_every_set_of_landmarks(known: Golden, count: int, lips: bool) -> None:
    name = f"crop/pt2/{count}_{'lip' if lips else 'eyes'}"
    if name not in known.arrays:
        pytest.skip("the published program has no such variant")
    points = known["crop/landmarks203"].astype(np.float64)
    points = points[[18, 42, 0, 48, 66]] if count == 5 else points[:count]

    assert np.allclose(known[name], two_points(points, lips=lips), atol=1e-9)


def test_how_open_eyes_and_mouth_are(known: Golden) -> None:
    points = known["crop/landmarks203"]

    assert np.allclose(known["crop/eye_ratio"], [eye_ratios(points)], atol=1e-7)
    assert np.allclose(known["crop/lip_ratio"], lip_ratio(points), atol=1e-7)


def test_what_was_drawn_is_put_back_softly(known: Golden) -> None:
    crop, picture = crop_of(known["crop/landmarks203"]), known["crop/input_uint8"]
    mask = placed_mask(crop, (640, 480))

    assert np.array_equal(known["paste/mask_sample"], mask[::8, ::8])
    pasted = paste(known["e2e/image_uint8"], picture, crop, mask)
    assert np.array_equal(known["paste/result_uint8"], pasted)


@pytest.mark.parametrize("angle", [0.0, 0.4, -0.7])
def test_a_crop_put_back_where_it_was_cut_out_changes_nothing(angle: float) -> None:
    y, x = np.mgrid[:300, :300] / 300
    picture = np.stack([255 * x, 255 * y, 255 * (x + y) / 2], axis=-1).astype(np.uint8)
    crop = Crop(centre=(150.0, 140.0), side=120.0, angle=angle)

    pasted = paste(crop.cut(picture), picture, crop, placed_mask(crop, (300, 300)))
    apart = np.abs(pasted.astype(int) - picture)
    assert apart.mean() <= 1 and apart.max() <= 5  # OpenCV places by 32nds of a pixel


def test_points_without_size_are_no_face() -> None:
    with pytest.raises(FaceError, match="too small"):
        crop_of(np.full((203, 2), 7.0))


# --- the mesh ----------------------------------------------------------------------


@pytest.fixture(params=["teacher_mary_v1", "teacher_james_v1"])
def shipped(request: pytest.FixtureRequest) -> Mesh:
    path = personas.mesh_path(personas.load(request.param))
    assert path is not None
    return Mesh.load(path)


def test_a_mesh_is_cropped_as_landmarks_are(shipped: Mesh) -> None:
    features = Features.of_mesh(shipped)
    crop = features.crop()
    landmarks = moved(features.points, crop.matrix())

    # As the networks were taught: the face takes 1/2.3 of the crop's side, upright, brows to chin,
    # and its middle is an eighth below the crop's.
    assert abs(crop.angle) < 0.02
    span = np.ptp(landmarks, axis=0).max()
    assert abs(span - 512 / 2.3) < 2
    middle = (landmarks.min(axis=0) + landmarks.max(axis=0)) / 2
    assert np.allclose([256, 256 + 0.125 * 512], middle, atol=3)
    assert features.lips < 0.02
    assert all(0.2 < eye < 0.6 for eye in features.eyes)


def test_a_tilted_face_stands_upright_in_its_crop(shipped: Mesh) -> None:
    upright = Features.of_mesh(shipped)
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    tilted = Features(
        points=upright.points @ turn.T,
        axis=upright.axis @ turn.T,
        eyes=upright.eyes,
        lips=upright.lips,
    )

    seen = moved(tilted.points, tilted.crop().matrix())
    assert np.allclose(moved(upright.points, upright.crop().matrix()), seen, atol=0.1)


def test_the_same_face_drawn_twice_as_large_is_cropped_twice_as_large(shipped: Mesh) -> None:
    width, height = shipped.size
    doubled = Features.of_mesh(shipped.scaled((2 * width, 2 * height))).crop()
    crop = Features.of_mesh(shipped).crop()

    assert np.isclose(2 * crop.side, doubled.side)
    assert np.isclose(2 * crop.side, crop.scaled(2.0).side)
    # A mesh counts from the first pixel's corner, a crop from its middle.
    assert np.allclose(np.array(crop.scaled(2.0).centre) - 0.5, doubled.centre)


# --- the landmark network ------------------------------------------------------------


def test_the_published_landmarks_are_taken_where_their_network_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: Golden
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    points, picture = known["crop/landmarks203"], known["crop/input_uint8"]
    about = Features.of_landmarks(points)
    wanted = known["crop/landmark224/pt_crop"] / 224

    def run(outputs: None, given: dict[str, Any]) -> list[Any]:
        seen = given["input"]
        assert seen.shape == (1, 3, 224, 224) and seen.dtype == np.float32
        part = np.rint(seen[0].transpose(1, 2, 0) * 255)[1::8, 2::8]
        assert np.array_equal(known["crop/landmark224/img_sample"], part)
        return [None, None, wanted.reshape(1, 406)]

    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda path, providers: SimpleNamespace(run=run)
    )
    model = tmp_path / "landmark.onnx"
    with pytest.raises(ModelMissing, match="no landmark network"):
        Landmarker(model)
    model.touch()

    found = Landmarker(model).find(picture, about)
    assert np.allclose(points, found.points, atol=1e-3)
    assert np.isclose(about.lips, found.lips, atol=1e-4)


def test_the_shipped_portrait_is_where_its_mesh_says() -> None:
    persona = personas.load("teacher_mary_v1")
    path = personas.mesh_path(persona)
    assert path is not None
    crop = Features.of_mesh(Mesh.load(path)).crop()
    cut = crop.cut(read_picture(personas.portrait_path(persona)))

    # Dark pupils where the crop has eyes, red lips where it has the mouth.
    assert cut[250:270, 195:220].mean() < cut[340:350, 195:220].mean()
    mouth = cut[350:375, 235:280].reshape(-1, 3).mean(axis=0)
    assert mouth[0] > mouth[1] + 30
