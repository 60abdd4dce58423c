"""Who can teach."""

from __future__ import annotations

from pathlib import Path

import pytest

from maestra.app import personas
from maestra.ports.errors import MaestraError


def test_the_shipped_teachers_have_all_they_need() -> None:
    everybody = personas.available()

    assert {p.id for p in everybody} >= {"teacher_mary_v1", "teacher_james_v1"}
    assert len({p.name for p in everybody}) == len(everybody)
    for who in everybody:
        mesh = personas.mesh_path(who)
        assert personas.portrait_path(who).stat().st_size < 600_000
        assert personas.portrait_path(who).with_suffix(".svg").is_file()
        assert mesh is not None and mesh.is_file()
        assert who.voices["piper"]
        assert "two or three short sentences" in who.prompt
        assert personas.load(who.id) == who


def write(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "persona.toml").write_text(text, encoding="utf-8")
    return folder


def test_a_persona_of_ones_own(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "anna",
        'id = "anna"\nname = "Anna"\nportrait = "anna.jpg"\n'
        '[voices]\npiper = "some-voice"\n[manner]\nliveliness = 1.5\n',
    )
    who = personas.load(folder)

    assert who == personas.load(str(folder / "persona.toml"))
    assert (who.id, who.manner.liveliness, who.voices["piper"]) == ("anna", 1.5, "some-voice")
    assert personas.portrait_path(who) == (folder / "anna.jpg").resolve()
    assert personas.mesh_path(who) is None
    (folder / "anna.mesh.json").write_text("{}")
    assert personas.mesh_path(who) == (folder / "anna.mesh.json").resolve()


def test_an_unknown_name_gets_the_nearest_right_one() -> None:
    with pytest.raises(MaestraError, match="did you mean teacher_mary_v1"):
        personas.load("teacher_marry_v1")
    with pytest.raises(MaestraError, match="teacher_james_v1, teacher_mary_v1"):
        personas.load("../etc")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id = ", "is not TOML"),
        ('id = "a"\nname = ""\nportrait = "p"', "needs a name"),
        ('id = "a"\nnam = "A"', "unknown key nam; did you mean name"),
        ('id = "a"\nname = "A"\nportrait = "p"\n[manner]\nwarm = 1', "unknown key warm"),
        ('id = "a"\nname = "A"\nportrait = "p"\n[manner]\nwarmth = "x"', "manner.warmth is a num"),
        ('id = "a"\nname = "A"\nportrait = "p"\n[manner]\nwarmth = 9', "is a factor around 1"),
        ('id = "a"\nname = 7\nportrait = "p"', "name is a string"),
        ('id = "a"\nvoices = 7', "are tables"),
    ],
)
def test_what_is_wrong_with_a_persona_is_said(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(MaestraError, match=says):
        personas.load(write(tmp_path / "a", text))
