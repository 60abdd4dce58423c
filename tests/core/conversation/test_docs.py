"""The page that the chart prints of itself."""

from __future__ import annotations

from pathlib import Path

from maestra.core.conversation.docs import page, rows

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "conversation.md"


def test_the_page_is_current() -> None:
    """If not: ``python -m maestra.core.conversation.docs > docs/reference/conversation.md``."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_the_page_has_every_row_and_says_what_is_done() -> None:
    text = page()

    assert len(list(rows())) > 30
    for row in rows():
        line = next(
            line
            for line in text.splitlines()
            if line.startswith(f"| {row.source} | {row.event} | {row.condition} |")
        )
        assert row.target in line or row.target == row.source
        assert line.endswith(f"| {row.done or 'nothing'} |")
        assert f"    {row.source} --> {row.target} : " in text
