"""What a voice can say, and in which language it is."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from maestra.core.speakable import is_english, speakable


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("You kept a steady beat.", "You kept a steady beat."),
        ("**Lovely** tone! \U0001f3b5\U0001f44f\U0001f3fd", "Lovely tone!"),
        ("### Now *slowly*, `please`", "Now slowly, please"),
        ("- Play it twice.", "Play it twice."),
        ("\u2022 1. Play it twice.", "Play it twice."),
        ("F# and B\u266d, 96\u2013108 bpm.", "F sharp and B flat, 96 to 108 bpm."),
        ("Bb major, B major", "B flat major, B major"),
        ("The ratio is $\\frac{2}{3}$, or 66 %.", "The ratio is 2 over 3, or 66 percent."),
        ("It is \\(\\approx 12\\) cents.", "It is about 12 cents."),
        ("See [a page](https://example.org/a?b=c) or www.example.org/x.", "See a page or."),
        ("It slowed \u2014 gently \u2014 at the end.", "It slowed, gently, at the end."),
        ("Good (very good), really.", "Good, very good, really."),
        ("1\u00bd seconds", "1 and a half seconds"),
        ("It lasted 1.5 seconds\u2026 or so", "It lasted 1.5 seconds... or so"),
        ("A 3/4 bar, slowly/softly", "A 3/4 bar, slowly or softly"),
        ("About \u221215 cents", "About minus 15 cents"),
        ("<b>Fine</b><|im_end|>", "Fine"),
        ("Well done!!! Really?!", "Well done! Really?"),
        ("It\u2019s a \u201cnice\u201d one :)", "It's a nice one"),
        ("\U0001f600", ""),
        ("***", ""),
        ("12 cents", "12 cents"),
        ("Caf\u00e9, Dvo\u0159\u00e1k", "Caf\u00e9, Dvo\u0159\u00e1k"),
    ],
)  # fmt: skip
def test_markup_goes_and_signs_become_words(written: str, said: str) -> None:
    assert speakable(written) == said


@given(
    st.one_of(
        st.text(max_size=80),
        st.text(
            alphabet="aB#b19 .,-\u2013*_[]()`$\\{}^<>:;!?/%\u00bd\u266d&~=+\n|'\"", max_size=60
        ),
    )
)
def test_it_is_idempotent_and_leaves_no_markup(text: str) -> None:
    said = speakable(text)

    assert speakable(said) == said
    assert not set(said) & set('*#_<>[]{}()`\\^$|\n\t"')
    assert said == said.strip()


@pytest.mark.parametrize(
    "text",
    [
        "You kept a steady beat from beginning to end.",
        "Lovely.",
        "Bravo!",
        "Allegro ma non troppo, con brio.",
        "Crescendo, then diminuendo, poco a poco.",
        "Allegro, andante, adagio, largo, presto, vivace, moderato, lento, grazioso.",
        "Dvo\u0159\u00e1k and Sa\u00ebns-Saint.",
        "Take the forte passage more dolce, e cantabile.",
        "You played Für Elise with a lovely line.",
        "96.",
        "Now slower,",
        "Good start, Mary.",
        "Manuel de Falla wrote that.",
        "La la la.",
        "Slow scales, separate hands, curved fingers, relaxed shoulders.",
    ],
)
def test_english_and_the_words_of_music(text: str) -> None:
    assert is_english(text)


@pytest.mark.parametrize(
    "text",
    [
        "Du hast sehr gut gespielt, aber der Rhythmus war unruhig.",
        "Vous avez très bien joué, mais le tempo est instable.",
        "Has tocado muy bien, pero el ritmo es irregular.",
        "Hai suonato molto bene, ma il ritmo è irregolare.",
        "Você tocou muito bem.",
        "Je hebt het heel goed gespeeld.",
        "\u4f60\u5f39\u5f97\u5f88\u597d\u3002",
        "\u0422\u044b \u0445\u043e\u0440\u043e\u0448\u043e \u0441\u044b\u0433\u0440\u0430\u043b.",
        "Spiele langsamer und nicht so laut.",
        "Soitit kappaleen kauniisti mutta tempo kiihtyi hieman loppua kohden taas.",
    ],
)
def test_another_language(text: str) -> None:
    assert not is_english(text)
