"""An answer's clauses do not depend on how it was streamed."""

from __future__ import annotations

from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from maestra.core.clauses import ClauseSplitter


def split(*pieces: str) -> list[str]:
    splitter = ClauseSplitter()
    return [clause for piece in pieces for clause in splitter.push(piece)] + splitter.flush()


@pytest.mark.parametrize(
    "clauses",
    [
        ["You kept a steady beat.", "Try it at 96.", "Then rest!"],
        ["It lasted 1.5 seconds.", "That is short."],
        ["Use a scale, e.g. C major.", "Mr. Smith will like it."],
        ["Dr. Who plays op. 12 no. 3 well.", "Go on."],
        ["The sharp note was a B.", "Play it lower."],
        ["You know J. S. Bach.", "And C. P. E. Bach?", "Good."],
        ["Was it late?", "It was.", "Really?!", "Yes..."],
        ['She said "Sing it." Then you sang.'.split(" Then")[0], "Then you sang."],
        ["It went from 96 to 108, 110 and 112 beats a minute in the last phrase."],
        ["1. Play it slowly.", "2. Play it again."],
        ["It was well... nearly in time.", "Good."],
    ],
)
def test_it_parts_sentences_and_nothing_else(clauses: list[str]) -> None:
    assert split(" ".join(clauses)) == clauses


def test_a_long_sentence_is_parted_at_its_comma_and_a_short_one_is_not() -> None:
    assert split("Good, and now again, please.") == ["Good, and now again, please."]
    assert split(
        "You held the tempo steadily through the whole of the first page, which is hard to do."
    ) == [
        "You held the tempo steadily through the whole of the first page,",
        "which is hard to do.",
    ]


def test_lines_end_clauses() -> None:
    assert split("- Slowly\n- Softly\n\nGood") == ["- Slowly", "- Softly", "Good"]


def test_what_never_ends_is_parted_all_the_same() -> None:
    clauses = split("and " * 1000)

    assert max(len(clause.split()) for clause in clauses) <= 30
    assert sum(len(clause.split()) for clause in clauses) == 1000
    assert max(map(len, split("x" * 2000))) <= 500


def test_a_sentence_is_spoken_when_the_next_begins() -> None:
    splitter = ClauseSplitter()

    assert splitter.push("Lovely tone.") == []
    assert splitter.push(" Now") == ["Lovely tone."]
    assert splitter.flush() == ["Now"]
    assert splitter.flush() == []


PIECES = st.sampled_from(
    ("x| A|- |You| play|ed| 1|.|5| e.g| B| J|,| |\n|!|?|\u2026|Mr|;|:| \u2013 |\u2014|*|(|)| no"
     '| 96|"').split("|")
)  # fmt: skip


@given(st.lists(PIECES, max_size=60), st.data())
def test_any_chunking_of_the_same_text_gives_the_same_clauses(
    pieces: list[str], data: st.DataObject
) -> None:
    text = "".join(pieces)
    whole = split(text)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))))
    bounds = [0, *cuts, len(text)]

    assert split(*(text[a:b] for a, b in pairwise(bounds))) == whole
    assert split(*text) == whole
    assert "".join("".join(whole).split()) == "".join(text.split()), "nothing is lost"
