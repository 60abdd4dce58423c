"""From any picture with a face in it to a portrait and its mesh, once, and then from a cache.

The face is found by MediaPipe's face mesh (478 landmarks), cut out square with room for hair and
shoulders, and scaled to one size. MediaPipe is only needed the first time a picture is
seen: portrait and mesh are kept under a SHA-256 of the picture's bytes.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maestra.ports.errors import FaceError

from .mesh import Contour, Eye, Mesh

if TYPE_CHECKING:
    from maestra.ports.audio import Picture

__all__ = ["find_mesh", "open_portrait", "prepared", "read_picture"]

# Landmark numbers of the MediaPipe face mesh, from the picture's left to its right.
_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
_LEFT_UPPER = (33, 246, 161, 160, 159, 158, 157, 173, 133)
_LEFT_LOWER = (33, 7, 163, 144, 145, 153, 154, 155, 133)
_RIGHT_UPPER = (362, 398, 384, 385, 386, 387, 388, 466, 263)
_RIGHT_LOWER = (362, 382, 381, 380, 374, 373, 390, 249, 263)
_LEFT_IRIS, _RIGHT_IRIS = 468, 473
_LEFT_BROW = ((46, 70), (53, 63), (52, 105), (65, 66), (55, 107))
_RIGHT_BROW = ((285, 336), (295, 296), (282, 334), (283, 293), (276, 300))
_OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
_OUTER_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
_INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
_INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
_NOSE_TIP, _NOSE_BASE = 4, 2

_VERSION = b"2"
"""Another one where the same picture is cut out otherwise."""

_SIDE = 1024
_FACE_SHARE = 0.46
"""How much of the portrait's height the face (hairline to chin) takes."""

_LANDMARKS = 478

_SOUGHT_IN = 1280
"""The longest side of the picture that a face is looked for in; a larger one is reduced for it."""

_OTHER_FACE = 0.6
"""From this share of the largest face's height on, another face is one too many."""

_PROFILE = 0.45
"""Seen from the front, the nose is about as far from either eye. The nearer one may be so much
nearer."""

_GREY = 160
"""What is behind a transparent picture."""


def read_picture(path: Path) -> Picture:
    """The picture as ``(height, width, 3)`` RGB, upright as its EXIF says, on grey where it is
    transparent.

    :raises FaceError: it can't be read or is not a picture.
    """
    import cv2

    try:
        raw = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise FaceError(f"The portrait {path.name} can't be read.") from error
    try:
        found = cv2.imdecode(raw, cv2.IMREAD_COLOR) if len(raw) else None
        whole = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED) if found is not None else None
    except cv2.error:  # it claims to be larger than any picture is
        found = whole = None
    if found is None or whole is None:
        raise FaceError(f"The portrait {path.name} is not a picture.")
    rgb: Picture = cv2.cvtColor(found, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    if whole.ndim == 3 and whole.shape[2] == 4 and whole.shape[:2] == found.shape[:2]:
        cover = whole[..., 3:].astype(np.float32) / np.iinfo(whole.dtype).max
        rgb = np.rint(cover * rgb + (1 - cover) * _GREY).astype(np.uint8)
    return rgb


def prepared(
    portrait: Path, mesh: Path | Mesh | None, cache: Path | None = None
) -> tuple[Picture, Mesh]:
    """A square portrait, ``(side, side, 3)`` RGB, and its mesh, which is in the picture's pixels.

    Without a mesh the portrait may be any picture with a face in it: see ``open_portrait``.

    :param cache: where faces that were found are kept; absent, in the user's cache directory.
    :raises FaceError: the portrait or the mesh can't be read or don't fit each other, or a face
        must be found and can't be.
    """
    if mesh is None:
        if cache is None:
            import platformdirs

            cache = Path(platformdirs.user_cache_dir("maestra")) / "portraits"
        portrait, mesh = open_portrait(portrait, cache)
    picture = read_picture(portrait)
    known = mesh if isinstance(mesh, Mesh) else Mesh.load(mesh)
    height, width = picture.shape[:2]
    if width != height or known.size[0] != known.size[1]:
        raise FaceError(f"The portrait {portrait.name} and its mesh are not both square.")
    return picture, known.scaled((width, height))


def open_portrait(path: Path, cache: Path) -> tuple[Path, Mesh]:
    """A square portrait cut from the picture at ``path``, and its mesh; both kept in ``cache``.

    :raises FaceError: it is not a picture, has no face, or MediaPipe is needed and not installed.
    """
    try:
        key = hashlib.sha256(_VERSION + path.read_bytes()).hexdigest()
    except OSError as error:
        raise FaceError(f"The portrait {path.name} can't be read.") from error
    folder = cache / key
    portrait, known = folder / "portrait.png", folder / "mesh.json"
    if portrait.is_file() and known.is_file():
        return portrait, Mesh.load(known)

    import cv2

    picture = read_picture(path)
    cut, mesh = _cut_out(picture, find_mesh(picture, path.name))
    folder.mkdir(parents=True, exist_ok=True)
    ok, png = cv2.imencode(".png", cv2.cvtColor(cut, cv2.COLOR_RGB2BGR))
    if not ok:
        raise FaceError(f"The portrait {path.name} can't be written as PNG.")
    _write(portrait, png.tobytes())
    _write(known, mesh.to_json().encode())  # last: a mesh says that the portrait is whole
    return portrait, mesh


def find_mesh(picture: Picture, name: str = "picture") -> Mesh:
    """Find the face in ``picture`` (RGB) with MediaPipe.

    :raises FaceError: there is none, or more than one, or it is seen from the side, or MediaPipe
        isn't installed.
    """
    try:
        face_mesh: Any = importlib.import_module("mediapipe.python.solutions.face_mesh")
    except ImportError as error:
        raise FaceError(
            f"To use {name} as a portrait its face must be found once, which needs MediaPipe: "
            "install maestra[portraits]."
        ) from error
    height, width = picture.shape[:2]
    with face_mesh.FaceMesh(
        static_image_mode=True, max_num_faces=4, refine_landmarks=True, min_detection_confidence=0.4
    ) as model:
        found = model.process(_reduced(picture)).multi_face_landmarks
    faces = [
        np.array([(p.x * width, p.y * height) for p in face.landmark])
        for face in found or ()
        if len(face.landmark) >= _LANDMARKS
    ]
    if not faces:
        raise FaceError(f"There is no face to be found in {name}.")
    heights = [float(np.ptp(points[list(_OVAL), 1])) for points in faces]
    if sum(height >= _OTHER_FACE * max(heights) for height in heights) > 1:
        raise FaceError(
            f"There is more than one face in {name}: cut it so that one person is left."
        )
    mesh = _from_landmarks(faces[int(np.argmax(heights))], (width, height))
    _check_front(mesh, name)
    return mesh


def _reduced(picture: Picture) -> Picture:
    """The picture, or if it is huge, a smaller copy of it."""
    import cv2

    height, width = picture.shape[:2]
    scale = _SOUGHT_IN / max(height, width)
    if scale >= 1:
        return np.ascontiguousarray(picture)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    smaller: Picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return smaller


def _check_front(mesh: Mesh, name: str) -> None:
    left, right = mesh.left_eye.iris[0], mesh.right_eye.iris[0]
    to_left, to_right = mesh.nose_tip[0] - left, right - mesh.nose_tip[0]
    if min(to_left, to_right) < _PROFILE * max(to_left, to_right):
        raise FaceError(
            f"The face in {name} is seen from the side: use a picture taken from the front."
        )


def _from_landmarks(points: Any, size: tuple[int, int]) -> Mesh:
    """A mesh from the 478 landmarks, ``(478, 2)`` in pixels."""

    def contour(numbers: Iterable[int]) -> Contour:
        return contour_of(points[n] for n in numbers)

    def contour_of(found: Iterable[Any]) -> Contour:
        return tuple((float(x), float(y)) for x, y in found)

    def middle(pairs: tuple[tuple[int, int], ...]) -> Contour:
        return contour_of(points[list(pair)].mean(axis=0) for pair in pairs)

    def eye(upper: tuple[int, ...], lower: tuple[int, ...], iris: int) -> Eye:
        ring = points[iris + 1 : iris + 5] - points[iris]
        return Eye(
            upper=contour(upper),
            lower=contour(lower),
            iris=contour((iris,))[0],
            iris_radius=float(np.hypot(*ring.T).mean()),
        )

    corners = contour((_OUTER_UPPER[0],)), contour((_OUTER_UPPER[-1],))

    def inner(numbers: tuple[int, ...]) -> Contour:
        # The lips' inner contours end short of the corners; carry them on to where the lips join.
        return corners[0] + contour(numbers) + corners[1]

    return Mesh(
        size=size,
        oval=contour(_OVAL),
        left_eye=eye(_LEFT_UPPER, _LEFT_LOWER, _LEFT_IRIS),
        right_eye=eye(_RIGHT_UPPER, _RIGHT_LOWER, _RIGHT_IRIS),
        left_brow=middle(_LEFT_BROW),
        right_brow=middle(_RIGHT_BROW),
        nose_tip=contour((_NOSE_TIP,))[0],
        nose_base=contour((_NOSE_BASE,))[0],
        outer_upper_lip=contour(_OUTER_UPPER),
        inner_upper_lip=inner(_INNER_UPPER),
        inner_lower_lip=inner(_INNER_LOWER),
        outer_lower_lip=contour(_OUTER_LOWER),
    )


def _cut_out(picture: Picture, mesh: Mesh) -> tuple[Picture, Mesh]:
    """The square around the face, and the mesh in it."""
    import cv2

    oval = np.array(mesh.oval)
    low, high = oval.min(axis=0), oval.max(axis=0)
    side = float(high[1] - low[1]) / _FACE_SHARE
    height, width = picture.shape[:2]
    side = min(side, float(max(width, height)))
    x = float(low[0] + high[0]) / 2 - side / 2
    y = float(low[1] + high[1]) / 2 - 0.52 * side
    # Stay inside the picture where it is large enough; where it isn't, its edge is mirrored.
    x = min(max(x, min(0.0, (width - side) / 2)), max(width - side, (width - side) / 2))
    y = min(max(y, min(0.0, (height - side) / 2)), max(height - side, (height - side) / 2))
    scale = _SIDE / side
    # What is warped is sampled at points, whatever flags are given: it is reduced before, so that
    # every pixel of a large picture counts.
    reduced, by = picture, (1.0, 1.0)
    if scale < 1:
        small = max(1, round(width * scale)), max(1, round(height * scale))
        reduced = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        by = small[0] / width, small[1] / height
    across, down = scale / by[0], scale / by[1]
    matrix = np.array(
        [
            [across, 0, -x * scale + 0.5 * across - 0.5],
            [0, down, -y * scale + 0.5 * down - 0.5],
        ]
    )
    cut: Any = cv2.warpAffine(
        reduced,
        matrix,
        (_SIDE, _SIDE),
        flags=cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return cut, mesh.moved(scale, -x * scale, -y * scale, (_SIDE, _SIDE))


def _write(path: Path, content: bytes) -> None:
    """Write whole or not at all: another process may be reading."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(name).replace(path)
