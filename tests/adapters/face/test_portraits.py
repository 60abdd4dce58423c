"""Portraits of one's own: the face is found once, then known."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import attrs
import cv2
import numpy as np
import pytest
from fakes.libraries import need

from maestra.adapters.face.portrait import Mesh, open_portrait
from maestra.adapters.face.portrait import finding as module
from maestra.adapters.face.puppet import Puppet
from maestra.adapters.face.still import Still
from maestra.app import composition, personas
from maestra.app.config import Config, FaceConfig
from maestra.ports.errors import FaceError, ModelMissing
from maestra.ports.face import Face

from .sounds import drawn, silence, vowel

SHIPPED = personas.load("teacher_james_v1")


class FakeFaceMesh:
    """Stands for MediaPipe: finds James' face in any picture, ``faces`` times over."""

    faces = 1
    asked = 0

    def __init__(self, **settings: object) -> None:
        assert settings["refine_landmarks"]

    def __enter__(self) -> FakeFaceMesh:
        return self

    def __exit__(self, *_: object) -> None: ...

    def process(self, picture: Any) -> SimpleNamespace:
        type(self).asked += 1
        height, width = picture.shape[:2]
        points = landmarks() * [width / 512, height / 512] / [width, height]
        found = SimpleNamespace(landmark=[SimpleNamespace(x=x, y=y) for x, y in points])
        return SimpleNamespace(multi_face_landmarks=[found] * self.faces)


def landmarks() -> Any:
    """James' mesh as MediaPipe's 478 points; those that aren't used lie at his nose."""
    path = personas.mesh_path(SHIPPED)
    assert path is not None
    mesh = Mesh.load(path)
    points = np.tile(np.array(mesh.nose_tip), (478, 1))

    def lay(numbers: tuple[int, ...], contour: Any) -> None:
        j = np.linspace(0, len(contour) - 1, len(numbers))
        for axis in (0, 1):
            values = [p[axis] for p in contour]
            points[list(numbers), axis] = np.interp(j, range(len(contour)), values)

    lay(module._OVAL, mesh.oval)
    lay(module._LEFT_UPPER, mesh.left_eye.upper)
    lay(module._LEFT_LOWER, mesh.left_eye.lower)
    lay(module._RIGHT_UPPER, mesh.right_eye.upper)
    lay(module._RIGHT_LOWER, mesh.right_eye.lower)
    for eye, n in ((mesh.left_eye, 468), (mesh.right_eye, 473)):
        points[n] = eye.iris
        points[n + 1 : n + 5] = np.array(eye.iris) + eye.iris_radius * np.array(
            [[1, 0], [0, 1], [-1, 0], [0, -1]]
        )
    for brow, pairs in (
        (mesh.left_brow, module._LEFT_BROW),
        (mesh.right_brow, module._RIGHT_BROW),
    ):
        lay(tuple(a for a, _ in pairs), brow)
        lay(tuple(b for _, b in pairs), brow)
    lay(module._OUTER_LOWER, mesh.outer_lower_lip)
    lay(module._OUTER_UPPER, mesh.outer_upper_lip)
    inner = mesh.inner_upper_lip[1:-1]
    lay(module._INNER_LOWER, inner)
    lay(module._INNER_UPPER, inner)
    points[module._NOSE_BASE] = mesh.nose_base
    return points


@pytest.fixture
def finder(monkeypatch: pytest.MonkeyPatch) -> type[FakeFaceMesh]:
    class Finder(FakeFaceMesh):
        pass

    fake = ModuleType("mediapipe.python.solutions.face_mesh")
    fake.FaceMesh = Finder  # type: ignore[attr-defined]
    for name in ("mediapipe", "mediapipe.python", "mediapipe.python.solutions"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    return Finder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A wide picture with a face in it, as a camera would make one."""
    picture = cv2.imread(str(personas.portrait_path(SHIPPED)))
    assert picture is not None
    path = tmp_path / "me.jpg"
    assert cv2.imwrite(str(path), cv2.resize(picture, (900, 700)))
    return path


def test_a_face_is_found_once(photo: Path, tmp_path: Path, finder: type[FakeFaceMesh]) -> None:
    first = open_portrait(photo, tmp_path / "cache")
    second = open_portrait(photo, tmp_path / "cache")

    assert finder.asked == 1
    assert first[0] == second[0] and first[0].is_file()
    assert second[1].size == (1024, 1024)
    # The mesh in the cache is rounded to hundredths of a pixel.
    assert np.allclose(first[1].oval, second[1].oval, atol=0.006)


def test_the_mesh_lies_on_the_face_that_was_cut_out(
    photo: Path, tmp_path: Path, finder: type[FakeFaceMesh]
) -> None:
    portrait, mesh = open_portrait(photo, tmp_path / "cache")
    cut = module.read_picture(portrait)
    # James' pupils are nearly black, the middle of his forehead is not.
    for eye in (mesh.left_eye, mesh.right_eye):
        x, y = (round(v) for v in eye.iris)
        assert cut[y - 3 : y + 3, x - 3 : x + 3].mean() < 60
    x, y = (round(v) for v in np.mean([mesh.left_brow[-1], mesh.right_brow[0]], axis=0))
    assert cut[y - 60, x].mean() > 70


def test_a_photo_can_be_made_to_speak(
    photo: Path, tmp_path: Path, finder: type[FakeFaceMesh]
) -> None:
    face = Puppet(photo, None, cache=tmp_path / "cache")
    pictures = drawn(face, silence(0.2), vowel(0.4, 750, 1200))

    assert np.abs(pictures[0].astype(int) - pictures[-4]).mean() > 1


def test_no_face_is_said_so(photo: Path, tmp_path: Path, finder: type[FakeFaceMesh]) -> None:
    finder.faces = 0

    with pytest.raises(FaceError, match=r"no face to be found in me\.jpg"):
        open_portrait(photo, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_without_mediapipe_it_says_what_to_install(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)

    with pytest.raises(FaceError, match=r"install maestra\[portraits\]"):
        open_portrait(photo, tmp_path / "cache")


# --- pictures as people have them ---------------------------------------------------


def _turned(shown: Any, degrees: float) -> Any:
    """Landmarks of a head that is turned away: the nose moves towards one eye."""
    points = shown.copy()
    points[module._NOSE_TIP, 0] += degrees
    return points


class _Crowd:
    """What MediaPipe finds: faces of these heights, beside one another, in terms of the first's."""

    def __init__(self, *sizes: float, nose: float = 0.0) -> None:
        points = _turned(landmarks(), nose) / 512
        self.multi_face_landmarks = [
            SimpleNamespace(landmark=[SimpleNamespace(x=x * s, y=y * s) for x, y in points])
            for s in sizes
        ]


@pytest.mark.parametrize(
    ("found", "refusal"),
    [
        (_Crowd(1.0, 0.8), r"more than one face in me\.jpg: cut it"),
        (_Crowd(1.0, nose=45.0), r"face in me\.jpg is seen from the side"),
        (_Crowd(0.01), "too small to be moved"),
    ],
    ids=["two faces", "profile", "tiny"],
)
def test_a_portrait_that_will_not_do_is_said_why(
    photo: Path,
    tmp_path: Path,
    finder: type[FakeFaceMesh],
    monkeypatch: pytest.MonkeyPatch,
    found: _Crowd,
    refusal: str,
) -> None:
    monkeypatch.setattr(finder, "process", lambda self, picture: found)
    with pytest.raises(FaceError, match=refusal):
        open_portrait(photo, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_somebody_small_in_the_background_is_not_the_teacher(
    photo: Path, tmp_path: Path, finder: type[FakeFaceMesh], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = open_portrait(photo, tmp_path / "one")[1]
    crowd = _Crowd(0.3, 1.0)
    monkeypatch.setattr(finder, "process", lambda self, picture: crowd)

    assert alone == open_portrait(photo, tmp_path / "two")[1]


def test_a_huge_picture_is_looked_through_at_a_smaller_size(
    tmp_path: Path, finder: type[FakeFaceMesh], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def process(self: FakeFaceMesh, picture: Any) -> _Crowd:
        sizes.append(picture.shape)
        return _Crowd(1.0)

    monkeypatch.setattr(finder, "process", process)
    mesh = module.find_mesh(np.zeros((8000, 8000, 3), np.uint8))

    assert sizes == [(1280, 1280, 3)]
    assert mesh.size == (8000, 8000)
    assert 2000 < mesh.nose_tip[0] < 6000


@pytest.mark.parametrize("across", [False, True])
def test_every_pixel_of_a_huge_picture_counts(across: bool) -> None:
    path = personas.mesh_path(SHIPPED)
    assert path is not None
    fine = np.zeros((6000, 6000, 3), np.uint8)
    if across:
        fine[::4] = 200
    else:
        fine[:, ::4] = 200
    cut, mesh = module._cut_out(fine, Mesh.load(path).scaled((6000, 6000)))
    assert cut.shape == (1024, 1024, 3) and mesh.size == (1024, 1024)
    # Lines finer than a pixel are a grey; seen at points they are anything.
    assert np.abs(cut.astype(int) - 50).max() <= 25


def test_what_is_reduced_stays_where_the_mesh_says() -> None:
    path = personas.mesh_path(SHIPPED)
    assert path is not None
    large = Mesh.load(path).scaled((5001, 5001))
    x, y = (round(value) for value in large.nose_tip)
    marked = np.zeros((5001, 5001, 3), np.uint8)
    marked[y - 20 : y + 20, x - 20 : x + 20] = 255
    cut, mesh = module._cut_out(marked, large)
    rows, columns = np.nonzero(cut[..., 0] > 128)
    assert abs(columns.mean() + 0.5 - mesh.nose_tip[0]) < 0.5
    assert abs(rows.mean() + 0.5 - mesh.nose_tip[1]) < 0.5


def test_a_transparent_picture_stands_on_grey_and_a_grey_one_has_three_channels(
    tmp_path: Path,
) -> None:
    half = np.full((8, 8, 4), (10, 20, 200, 255), np.uint8)
    half[:4, :, 3] = 0
    assert cv2.imwrite(str(tmp_path / "clear.png"), half)
    seen = module.read_picture(tmp_path / "clear.png")
    assert seen[0, 0].tolist() == [160, 160, 160]
    assert seen[7, 7].tolist() == [200, 20, 10]

    assert cv2.imwrite(str(tmp_path / "grey.png"), np.full((8, 8), 77, np.uint8))
    assert np.array_equal(module.read_picture(tmp_path / "grey.png"), np.full((8, 8, 3), 77))


def _with_orientation(jpeg: bytes, orientation: int) -> bytes:
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00"
    body = b"Exif\x00\x00" + tiff + bytes([orientation]) + bytes(6)
    exif = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    return jpeg[:2] + exif + jpeg[2:]


def test_a_photo_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    tall = np.zeros((32, 16, 3), np.uint8)
    tall[:8] = 255
    _, jpeg = cv2.imencode(".jpg", tall)
    # Orientation 6: what is on the left of the file belongs on top.
    (tmp_path / "phone.jpg").write_bytes(_with_orientation(jpeg.tobytes(), 6))

    seen = module.read_picture(tmp_path / "phone.jpg")
    assert seen.shape == (16, 32, 3)
    assert seen[:, -6:].mean() > 240 and seen[:, :20].mean() < 15


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n and no more", b"\xff\xd8\xff\xe0"])
def test_a_corrupt_picture_is_said_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "me.png").write_bytes(content)
    with pytest.raises(FaceError, match=r"me\.png is not a picture"):
        module.read_picture(tmp_path / "me.png")


# --- every face that takes a portrait -------------------------------------------------

FACES = ["puppet", "liveportrait", "musetalk", "sadtalker"]


def built(name: str, portrait: Path, monkeypatch: pytest.MonkeyPatch) -> Face:
    """The face as a lesson builds it, with ``portrait`` and without weights."""
    pytest.importorskip("torch")
    need("diffusers", "transformers")
    folder = portrait.parent
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda _: str(folder / "cache"))
    options = {} if name == "puppet" else {name: {"weights": str(folder), "device": "cpu"}}
    config = Config(face=FaceConfig(backend=(name,), options=options))
    who = attrs.evolve(SHIPPED, portrait=str(portrait))
    return dict(composition.faces(config, who))[name]()


@pytest.mark.parametrize("name", FACES)
@pytest.mark.parametrize(
    ("found", "refusal"),
    [
        (_Crowd(), r"There is no face to be found in me\.jpg\."),
        (_Crowd(1.0, 0.8), r"There is more than one face in me\.jpg: cut it"),
        (_Crowd(1.0, nose=45.0), r"The face in me\.jpg is seen from the side: use"),
        (_Crowd(0.01), "too small to be moved"),
        (None, r"The portrait me\.jpg is not a picture\."),
    ],
    ids=["no face", "two faces", "profile", "tiny", "corrupt"],
)
def test_no_face_is_built_of_a_portrait_that_will_not_do(
    name: str,
    found: _Crowd | None,
    refusal: str,
    photo: Path,
    finder: type[FakeFaceMesh],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if found is None:
        photo.write_bytes(photo.read_bytes()[:100])
    monkeypatch.setattr(finder, "process", lambda self, picture: found)
    with pytest.raises(FaceError, match=refusal):
        built(name, photo, monkeypatch)


@pytest.mark.parametrize("name", FACES)
@pytest.mark.parametrize("kind", ["grey", "transparent", "turned"])
def test_a_portrait_of_any_kind_serves_every_face(
    name: str,
    kind: str,
    photo: Path,
    finder: type[FakeFaceMesh],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picture = cv2.imread(str(photo))
    assert picture is not None
    path = photo.with_name("me.png")
    if kind == "grey":
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    elif kind == "transparent":
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA)
        picture[:300, :, 3] = 0
    assert cv2.imwrite(str(path), picture)
    if kind == "turned":
        path = photo.with_name("phone.jpg")
        path.write_bytes(_with_orientation(photo.read_bytes(), 6))
    if name == "puppet":
        face = built(name, path, monkeypatch)
        assert (face.height, face.width, 3) == next(face.frames()).picture.shape
    else:  # it has got as far as the weights
        with pytest.raises(ModelMissing):
            built(name, path, monkeypatch)
    assert 1 == finder.asked


@pytest.mark.parametrize("name", FACES[1:])
def test_a_face_for_a_gpu_says_that_there_is_none(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    options = {name: {"weights": str(tmp_path)}}
    config = Config(face=FaceConfig(backend=(name,), options=options))
    with pytest.raises(FaceError, match=rf"needs a GPU.*face\.options\.{name}\.device"):
        dict(composition.faces(config, SHIPPED))[name]()


def test_the_still_picture_is_upright_and_on_grey_or_refused(tmp_path: Path) -> None:
    half = np.full((8, 8, 4), (10, 20, 200, 255), np.uint8)
    half[:4, :, 3] = 0
    assert cv2.imwrite(str(tmp_path / "clear.png"), half)
    shown = next(Still(tmp_path / "clear.png", size=8).frames()).picture
    assert [160, 160, 160] == shown[0, 0].tolist() and [200, 20, 10] == shown[7, 7].tolist()

    (tmp_path / "clear.png").write_bytes(b"no")
    with pytest.raises(FaceError, match=r"clear\.png is not a picture"):
        Still(tmp_path / "clear.png", size=8)
