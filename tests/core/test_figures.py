"""Which figures may be said."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given

from maestra.core.figures import stated_figures, unmeasured_figures
from maestra.core.performance.figure import Figure, NamedFigure


def figure(value: float, unit: str, start: float = 0.0, end: float = 10.0) -> Figure:
    return Figure(value=value, unit=unit, confidence=0.9, start=start, end=end)


MEASURED = (
    figure(96.3, "bpm", 40, 50),
    figure(107.8, "bpm", 50, 60),
    figure(-14.6, "cents"),
    figure(24.4, "cents"),
    figure(1.52, "s"),
    figure(0.47, "s"),
    figure(0.153, "s"),
    figure(12.2, "percent"),
    figure(0.66, "ratio"),
    figure(3, "count"),
    figure(24, "count"),
    figure(-6.0, "db"),
)


@pytest.mark.parametrize(
    "text",
    [
        "you sped up from 96 to 108",
        "You sped up from ninety-six to a hundred and eight beats per minute.",
        "from ninety six to about one oh eight",
        "between 96 and 108 bpm",
        "96.3bpm",
        "about 95 beats a minute",
        "about 15 cents flat",
        "fifteen cents, a 15-cent error",
        "\u221215 cents",
        "more than fifteen cents",
        "about an eighth of a tone sharp",
        "half a second",
        "one point five seconds",
        "1.5 s",
        "one and a half seconds",
        "1½ seconds",
        "153 ms, so 150 milliseconds",
        "12 %, twelve percent",
        "66 percent of its length",
        "6 dB softer",
        "twenty-four notes",
        "You stopped three times",
        "three notes were sharp",
        "in the last twenty seconds you sped up",
        "The short note got two thirds as long as the long one, one and a half times as long.",
        "You were 1/8 faster, an eighth faster.",
        "1.5x as long, 1.5 times longer, 1/2 of a second",
    ],
)
def test_what_was_measured_may_be_said(text: str) -> None:
    assert unmeasured_figures(text, MEASURED) == ()


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("Your tempo was 92.", ("92",)),
        ("97 bpm", ("97 bpm",)),
        ("from ninety-two to a hundred and eight", ("ninety-two",)),
        ("from 90 to 108 beats per minute", ("90",)),
        ("one twenty beats a minute", ("one twenty beats a minute",)),
        ("about 100", ("100",)),
        ("16 cents", ("16 cents",)),
        ("three cents", ("three cents",)),
        ("about a quarter tone flat", ("a quarter tone",)),
        ("It took you five seconds to go on", ("five seconds",)),
        ("1.4 seconds", ("1.4 seconds",)),
        ("two and a half seconds", ("two and a half seconds",)),
        ("160 ms", ("160 ms",)),
        ("13 %", ("13 %",)),
        ("one hundred percent", ("one hundred percent",)),
        ("in the last forty seconds", ("forty seconds",)),
        ("You stopped four times", ("four times",)),
        ("you stopped twice", ("twice",)),
        ("There were five wrong notes", ("five wrong notes",)),
        ("Half of your notes were late", ("Half",)),
        ("a dozen notes", ("a dozen notes",)),
        ("Four of them were flat", ("Four of",)),
        ("Set the metronome to 80", ("80",)),
        ("1,200 notes", ("1,200 notes",)),
        ("8 dB", ("8 dB",)),
        ("440 Hz", ("440 Hz",)),
        ("15 to 40 cents, and 92", ("40 cents", "92")),
        ("twice as fast", ("twice as fast",)),
        ("The left hand is twice as loud.", ("twice as loud",)),
        ("It got 1/4 slower.", ("1/4 slower",)),
        ("a quarter slower than before", ("a quarter slower",)),
        ("nearly one third louder", ("one third louder",)),
        ("half as loud as the right", ("half as loud",)),
        ("\u00bd as loud", ("\u00bd as loud",)),
        ("4\u00d7", ("4\u00d7",)),
        ("3\u00d7 faster, 4x slower", ("3\u00d7 faster", "4x slower")),
        ("two times as clear as before", ("two times as clear",)),
        ("three times more evenly", ("three times more evenly",)),
        ("It is thrice as long", ("thrice as long",)),
        ("It took 1/4 of a second", ("1/4 of a second",)),
    ],
)
def test_what_was_not_measured_is_named(text: str, figures: tuple[str, ...]) -> None:
    assert unmeasured_figures(text, MEASURED) == figures


@pytest.mark.parametrize(
    "text",
    [
        "Play it three times, hands one at a time.",
        "Count to four, then play two bars.",
        "There is one thing to work on, and once more.",
        "First the left hand; the second half again.",
        "Try it a semitone lower, or two semitones.",
        "The 2nd note, C4, in 3/4 time, and F#5.",
        "Quarter notes and eighth notes, a third higher.",
        "The twenty-first time.",
        "You rushed the second half of the piece.",
        "Give me a second. Wait a minute.",
        "You played one of the best endings.",
        "There was a stop, and one of another kind.",
        "Play it twice, at half the speed.",
        "Play it twice, slower each time, and repeat that 3\u00d7.",
        "Twice as a warm-up, then half as a song.",
        "The second half louder, the first one slower, the last third faster.",
        "Make the quarter longer, a third higher, in 6/8.",
        "",
    ],
)
def test_exercises_and_names_are_no_figures(text: str) -> None:
    assert unmeasured_figures(text, ()) == ()


FORMATS = {
    "bpm": ("{:.0f} beats a minute", "{:.0f} bpm", "{:.1f} beats per minute", "{:.0f} BPM"),
    "cents": ("{:.0f} cents", "about {:.0f} cents", "{:.0f} cents flat", "{:.1f} cents"),
    "s": ("{:.1f} seconds", "{:.1f} s", "{:.2f} seconds", "{:.0f} seconds"),
    "percent": ("{:.0f} %", "{:.0f}%", "{:.0f} percent", "{:.1f} per cent"),
    "db": ("{:.0f} decibels", "{:.1f} dB"),
}
UNITS_AND_FORMATS = st.sampled_from(
    [(unit, said) for unit, formats in FORMATS.items() for said in formats]
)
SENTENCES = st.sampled_from(
    ["It was {}.", "In the second half it was {}, then not.", "{}", "Nearly there: by {} too much."]
)


@given(UNITS_AND_FORMATS, SENTENCES, st.floats(-300, 300))
def test_any_figure_as_it_is_formatted_is_accepted(
    unit_and_format: tuple[str, str], sentence: str, value: float
) -> None:
    unit, said = unit_and_format
    text = sentence.format(said.format(abs(value)))

    assert unmeasured_figures(text, [figure(value, unit)]) == ()


@given(UNITS_AND_FORMATS, SENTENCES, st.floats(0, 300), st.floats(0, 300))
def test_any_other_number_is_refused(
    unit_and_format: tuple[str, str], sentence: str, value: float, other: float
) -> None:
    unit, said = unit_and_format
    assume(abs(value - other) > 3.1)

    text = sentence.format(said.format(other))

    assert len(unmeasured_figures(text, [figure(value, unit)])) == 1


@given(UNITS_AND_FORMATS, st.sampled_from(sorted(FORMATS)), st.floats(1, 300))
def test_the_right_number_of_something_else_is_refused(
    unit_and_format: tuple[str, str], measured_unit: str, value: float
) -> None:
    unit, said = unit_and_format
    assume(unit != measured_unit)

    assert unmeasured_figures(said.format(value), [figure(value, measured_unit)]) != ()


ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
).split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()


def in_words(number: int) -> str:
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")
    rest = f" and {in_words(number % 100)}" if number % 100 else ""
    return f"{ONES[number // 100]} hundred{rest}"


@given(st.integers(0, 999), st.integers(0, 999))
def test_number_words_are_read(number: int, other: int) -> None:
    text = f"{in_words(number)} cents"

    assert unmeasured_figures(text, [figure(number, "cents")]) == ()
    if other != number:
        assert unmeasured_figures(text, [figure(other, "cents")]) == (text,)


@given(st.text(max_size=60))
def test_any_text_is_survived(text: str) -> None:
    for found in unmeasured_figures(text, MEASURED):
        assert found in text


COMPARED = st.sampled_from(
    ["{} as fast", "{} as loud as the others", "{} faster", "{} slower", "{} more evenly"]
)
RATIOS = st.sampled_from([("twice", 2), ("thrice", 3), ("four times", 4), ("2.5 times", 2.5)])


@given(COMPARED, RATIOS, SENTENCES, st.floats(0.1, 10))
def test_a_ratio_is_a_figure_and_covered_by_a_measured_one(
    compared: str, ratio: tuple[str, float], sentence: str, measured: float
) -> None:
    words, value = ratio
    text = sentence.format(compared.format(words))
    assume(abs(max(measured, 1 / measured) - value) > value / 8 + 0.01)

    assert unmeasured_figures(text, [figure(value, "ratio")]) == ()
    assert unmeasured_figures(text, [figure(1 / value, "ratio")]) == ()
    assert len(unmeasured_figures(text, [figure(measured, "ratio")])) == 1


# --- what stands behind a figure --------------------------------------------------------------


def named(name: str, figure: Figure, take: int | None = None) -> NamedFigure:
    return NamedFigure(name=name, figure=figure, take=take)


def test_a_stated_figure_tells_its_words_and_what_covers_them() -> None:
    measured = [
        named("tempo_start", figure(95.8, "bpm", 4, 9), 2),
        named("tempo_end", figure(108.2, "bpm", 20, 26), 2),
        named("hesitation_count", figure(96, "count")),
    ]
    text = "Play it twice: you went from ninety-six to 108 beats a minute."

    found = stated_figures(text, measured)

    assert [text[one.start : one.end] for one in found] == [
        "ninety-six",
        "108 beats a minute",
    ]
    assert [one.measured for one in found] == measured[:2]


def test_of_several_that_cover_a_figure_the_first_stands_behind_it() -> None:
    measured = [named("one", figure(12.4, "percent"), 1), named("other", figure(12.0, "percent"))]

    for order in (measured, measured[::-1]):
        (found,) = stated_figures("by 12 percent", order)
        assert found.measured is order[0]


def test_how_long_ago_is_told_by_the_stretch_that_was_measured() -> None:
    (found,) = stated_figures(
        "in the last twenty seconds", [named("articulation", figure(0.8, "ratio", 40, 60), 3)]
    )

    assert found.measured == named("stretch", figure(20.0, "s", 40, 60), 3)


@given(st.sampled_from(("You had {} cents", "from {} to 17 bpm", "{} stops")), st.integers(11, 99))
def test_what_is_unmeasured_has_nothing_behind_it_and_the_rest_has(text: str, value: int) -> None:
    said = text.format(value)
    measured = [named("x", each) for each in MEASURED]

    without = set(unmeasured_figures(said, MEASURED))

    assert not without & {said[one.start : one.end] for one in stated_figures(said, measured)}
