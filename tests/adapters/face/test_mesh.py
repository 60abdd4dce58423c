"""The mesh file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from maestra.adapters.face.portrait import Mesh
from maestra.app import personas
from maestra.ports.errors import FaceError


def shipped() -> dict[str, Any]:
    path = personas.mesh_path(personas.load("teacher_mary_v1"))
    assert path is not None
    data: dict[str, Any] = json.loads(path.read_text())
    return data


def test_it_survives_being_written_and_read() -> None:
    mesh = Mesh.from_json(json.dumps(shipped()))

    assert Mesh.from_json(mesh.to_json()) == mesh


def test_it_can_be_had_for_the_picture_at_another_size() -> None:
    mesh = Mesh.from_json(json.dumps(shipped()))
    double = mesh.scaled((1024, 1024))

    assert double.size == (1024, 1024)
    assert double.nose_tip == (2 * mesh.nose_tip[0], 2 * mesh.nose_tip[1])
    assert double.left_eye.iris_radius == 2 * mesh.left_eye.iris_radius


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "format 1"),
        ({"oval": [[1, 2], [3, 4]]}, "oval has fewer than three"),
        ({"oval": [[1, 2], [3, "x"], [4, 5]]}, "something other than points"),
        ({"nose_tip": [1]}, "something other than points"),
        ({"nose_tip": [float("nan"), 1]}, "something other than points"),
        ({"left_eye": {}}, "lacks upper"),
        ({"left_eye": 3}, "something other than points"),
        ({"left_eye": shipped()["right_eye"], "right_eye": shipped()["left_eye"]}, "not left of"),
        ({"nose_base": [256, 500]}, "not below one another"),
    ],
)
def test_what_is_not_a_face_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(FaceError, match=says):
        Mesh.from_json(json.dumps(shipped() | change))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}"])
def test_what_is_not_a_mesh_is_refused(text: str) -> None:
    with pytest.raises(FaceError):
        Mesh.from_json(text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FaceError, match=r"gone\.json"):
        Mesh.load(tmp_path / "gone.json")
