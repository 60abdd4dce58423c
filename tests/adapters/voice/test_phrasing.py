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
        (
            "The pitch wandered from beginning to end: the same note moved up and down.",
            ["The pitch wandered from beginning to end:", "the same note moved up and down."],
        ),
        (
            "It is in 3:4 time and you counted it in four all the way to the end.",
            ["It is in 3:4 time and you counted it in four all the way to the end."],
        ),
        (
            "The tempo held well through the whole first half but in the second it crept up.",
            [
                "The tempo held well through the whole first half,",
                "but in the second it crept up.",
            ],
        ),
        (
            "Play the bar before the stop slowly and then go on into the next one, over and over.",
            [
                "Play the bar before the stop slowly,",
                "and then go on into the next one,",
                "over and over.",
            ],
        ),
        (  # nothing is torn apart that belongs together
            "The low notes in your left hand and the middle voice covered the melody in the end.",
            ["The low notes in your left hand and the middle voice covered the melody in the end."],
        ),
        (  # no part is shorter than a breath
            "It was lovely but the tempo in the second half of the piece was not steady enough.",
            ["It was lovely but the tempo in the second half of the piece was not steady enough."],
        ),
        (  # it is short
            "You played it through without stops and it flowed.",
            ["You played it through without stops and it flowed."],
        ),
    ],
)
def test_a_clause_is_cut_where_one_breathes(clause: str, expected: list[str]) -> None:
    assert expected == pieces(clause)
