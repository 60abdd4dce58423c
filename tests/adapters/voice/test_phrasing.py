"""Where voices breathe."""

from __future__ import annotations

import pytest

from maestra.adapters.voice.phrasing import pieces


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ("Good.", ["Good."]),
        ("Good. Again!", ["Good.", "Again!"]),
        (
            "In the last twenty seconds you sped up a little, from 96 to 108 beats per minute.",
            [
                "In the last twenty seconds you sped up a little,",
                "from 96 to 108 beats per minute.",
            ],
        ),
        ("  ", []),
    ],
)
def test_a_clause_is_cut_where_one_breathes(clause: str, expected: list[str]) -> None:
    assert expected == pieces(clause)
