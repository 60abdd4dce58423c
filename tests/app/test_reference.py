"""The documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from maestra.app.backends import CATALOGUE
from maestra.app.reference import PAGES, complaints, main

ROOT = Path(__file__).parents[2]


def test_pages_are_current_links_lead_somewhere_and_examples_are_python() -> None:
    assert list(complaints(ROOT / "docs")) == []


def test_the_check_complains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docs = tmp_path / "docs"
    assert main([str(docs)]) == 0
    assert main([str(docs), "--check"]) == 0
    (docs / "reference/licences.md").write_text("none", encoding="utf-8")
    (docs / "page.md").write_text(
        "# One\n[a](nowhere.md) [b](#one) [c](#two) [d](https://example.org)\n"
        "```python\nawait for it\n```\n"
    )

    assert main([str(docs), "--check"]) == 1

    told = capsys.readouterr().err.splitlines()
    assert len(told) == 4
    assert told[0].startswith("reference/licences.md is not current")
    assert "nowhere.md leads nowhere" in told[1]
    assert "#two has no such heading" in told[2]
    assert "example 1 is not Python" in told[3]


def test_of_each_backend_that_answers_it_is_said_whether_it_cancels() -> None:
    for backend in CATALOGUE.values():
        assert backend.answers == (backend.cancels is not None), backend.name


def test_every_page_is_linked_from_the_index() -> None:
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")

    for page in (*PAGES, *(p.relative_to(ROOT / "docs") for p in (ROOT / "docs").rglob("*.md"))):
        assert str(page) == "index.md" or f"({page})" in index, page


def test_nginxs_files_say_to_type_what_the_how_to_says() -> None:
    """With another file beside it, nginx may want a certificate that nobody has made yet."""
    told = (ROOT / "docs/how-to/meeting-bot.md").read_text(encoding="utf-8")
    steps = {" ".join(line.split()) for line in told.splitlines()}
    for file in (ROOT / "deploy/nginx").glob("*.conf"):
        lines = file.read_text(encoding="utf-8").splitlines()
        typed = [" ".join(line[1:].split()) for line in lines if line.startswith("#     ")]
        assert typed and set(typed) <= steps, file
