"""Hearing a wake phrase in what a speech recogniser wrote.

A phrase may stand anywhere in an utterance; what follows it is the question. Three things decide:

1. *How alike it sounds*, word by word (`sound_alike`). A phrase's word may have been heard as two
   ("teach a") and two of its words as one, at a small price; "um" may stand between. The score is
   the mean over the phrase's words together with the worst of them, so that one wrong word is not
   outvoted by a long right one. A phrase of a single word must also be spelt alike: "common" may
   complete "teacher, comment", but does not stand for "comment".
2. *Whether it is another form of the word*: "commented", "commenting", "comments" are words about
   comments, not the call, however alike they sound.
3. *Whether it is used or mentioned*: "my teacher comments", "did the teacher comment", "no
   comment", "teacher come in, it's open". Who talks about the teacher puts an article, a
   possessive, an auxiliary or a negation before, or a verb after. Punctuation between breaks the
   spell: "No! Teacher, comment."

A call that is mentioned scores below every threshold.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import frozen

from .sound_alike import sound_likeness, sounds_of, spelling_likeness

__all__ = [
    "DEFAULT_PHRASES",
    "DEFAULT_STRICTNESS",
    "Strictness",
    "WakeMatch",
    "WakePhraseMatcher",
    "content_words",
    "words_of",
]


class Strictness(enum.StrEnum):
    """How like the phrase an utterance must sound."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def threshold(self) -> float:
        """The score, 0 to 100, from which a wake phrase counts as heard."""
        return {Strictness.LOW: 75.0, Strictness.MEDIUM: 85.0, Strictness.HIGH: 92.0}[self]


DEFAULT_PHRASES: Final = ("teacher, comment",)
DEFAULT_STRICTNESS: Final = Strictness.MEDIUM


@frozen(kw_only=True)
class WakeMatch:
    """A wake phrase that was heard.

    ``score`` is 0 to 100. The phrase lies in words ``start`` up to, not including, ``end`` of the
    utterance (counted as the matcher counts them, hyphens part words). ``question`` is what
    follows, as it was written; empty if nothing does, or only "please".
    """

    phrase: str
    score: float
    start: int
    end: int
    question: str


# --- words that tell use from mention ------------------------------------------------------------

_MENTIONED: Final = 0.7
_SPLIT: Final = 0.05  # one word heard as two, or two as one
_FILLER: Final = 0.03
_INEXACT_BEFORE_CONTENT: Final = 0.9
_LIKENESS_OF_FORMS: Final = {"s": 0.75, "es": 0.75}
_LIKENESS_OF_OTHER_FORMS: Final = 0.5
_FORMS: Final = frozenset(
    {"s", "es", "d", "ed", "ing", "er", "ers", "or", "ator", "ators", "ary", "aries"}
)
_NEARLY_EXACT: Final = 0.97
_HARDLY_ALIKE: Final = 0.5

_FILLERS: Final = frozenset({"um", "uh", "er", "erm", "hmm", "ah", "a", "please"})
_COURTESY: Final = frozenset({"please", "thanks", "thank", "you", "now", "um", "uh", "okay"})
_OPENERS: Final = frozenset(
    "hey hi hello so and but ok okay now well please um uh oh yes yeah alright right then can could"
    " may".split()
)
_NEGATIONS: Final = frozenset(
    "no not never without dont don't didnt didn't doesnt doesn't wont won't isnt isn't nor".split()
)
_KNOWING: Final = frozenset({"know", "think", "get", "understand", "care", "sure"})
_OF_SOMEBODY: Final = frozenset(
    "my his her our their whose every each another other new old piano violin".split()
)
_AUXILIARIES: Final = frozenset(
    "did does do would will should if when while because whether unless until to has is was were"
    " like".split()
)
_POINTERS: Final = frozenset("the this that these those last first next".split())
_SPEAKERS: Final = frozenset(
    "i we they he she who people i'll i'd we'll they'll let's teachers".split()
)
_ASKING: Final = frozenset({"can", "could", "would", "will", "please"})
_COPULAS: Final = frozenset("was were is are has had did does".split())
_SUBJECTS: Final = frozenset(
    "my i it that this the there we our you everything anything what how he she they".split()
)
_VERBS_OF_A_NOUN: Final = frozenset(
    "said says made makes helped helps meant means yesterday section sections box sheet card book"
    " class room out loop pedal form".split()
)
_FUNCTION_WORDS: Final = frozenset(
    "please on about to how what was is are did does do my the if for and at in with when where why"
    " which can could should would will i it that this now again".split()
)
_COMINGS: Final = frozenset({"come", "comes", "coming", "came"})

_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_BREAK: Final = re.compile(r"[.,;:!?\u2026\u2013\u2014]")


@frozen
class _Word:
    """A word of an utterance. ``opens``: punctuation parts it from the one before, or it is the
    first. ``hyphened``: it hangs on the one before by a hyphen or an initial's full stop."""

    text: str
    start: int
    end: int
    opens: bool
    hyphened: bool

    @property
    def sounds(self) -> str:
        return sounds_of(self.text.replace("'", ""))


def _words_of(text: str) -> tuple[_Word, ...]:
    words: list[_Word] = []
    for match in _WORD.finditer(text):
        before = text[words[-1].end : match.start()] if words else "."
        after_initial = bool(words) and len(words[-1].text) == 1 and before in (".", ". ")
        hyphened = before == "-" or after_initial
        words.append(
            _Word(
                match[0].lower().replace("\u2019", "'"),
                match.start(),
                match.end(),
                not words or (bool(_BREAK.search(before)) and not after_initial),
                hyphened,
            )
        )
    return tuple(words)


def words_of(text: str) -> tuple[str, ...]:
    """The words of ``text``, in small letters and without its punctuation."""
    return tuple(word.text for word in _words_of(text))


def content_words(text: str) -> tuple[str, ...]:
    """Those of the words of ``text`` that any sentence might not have as well."""
    return tuple(word for word in words_of(text) if word not in _FUNCTION_WORDS)


@frozen
class _Phrase:
    text: str
    words: tuple[str, ...]
    sounds: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> _Phrase:
        words = words_of(text)
        if not words:
            raise ValueError(f"a wake phrase needs words: {text!r}")
        return cls(text, words, tuple(sounds_of(word.replace("'", "")) for word in words))


def _is_form(word: str, of: str) -> str | None:
    """The ending, if ``word`` is another form of ``of`` ("commented"), else ``None``."""
    stem = of.removesuffix("e")
    for base in (of, stem):
        ending = word.removeprefix(base).lstrip("'") if word.startswith(base) else ""
        if ending in _FORMS and word != of:
            return ending
    return None


@frozen
class _Reading:
    """One or two words of an utterance read as one, which go on at ``end``; ``price`` is taken off
    the likeness."""

    spelling: str
    sounds: str
    end: int
    price: float = 0.0

    def likeness(self, word: str, sounds: str) -> float:
        if self.spelling == word:
            return 1.0 - self.price
        ending = _is_form(self.spelling, word)
        if ending is not None:
            return _LIKENESS_OF_FORMS.get(ending, _LIKENESS_OF_OTHER_FORMS)
        return min(_NEARLY_EXACT, sound_likeness(self.sounds, sounds)) - self.price


def _joined(one: str, other: str) -> str:
    """Two strings of sounds, with the sound they share where they meet said once."""
    return one + (other[1:] if one[-1:] == other[:1] else other)


def _readings(words: Sequence[_Word], at: int) -> Iterator[_Reading]:
    one = words[at]
    yield _Reading(one.text, one.sounds, at + 1, _price_of_coming(words, at, at + 1))
    for other in words[at + 1 : at + 2]:
        price = 0.0 if other.hyphened else _SPLIT
        yield _Reading(
            one.text + other.text,
            _joined(one.sounds, other.sounds),
            at + 2,
            price + _price_of_coming(words, at, at + 2),
        )


def _price_of_coming(words: Sequence[_Word], at: int, end: int) -> float:
    """What it costs that words ``at`` to ``end`` say "come in", "coming" or the like.

    A recogniser writes "come in" for a "comment" that ends an utterance. Before anything else, and
    in any other form, it means what it says.
    """
    if words[at].text not in _COMINGS:
        return 0.0
    is_last = all(word.text in _COURTESY for word in words[end:])
    may_be_comment = words[at].text in ("come", "coming") and words[end - 1].text != "on"
    return 0.0 if is_last and may_be_comment else 0.2


def _alignments(
    phrase: _Phrase, words: Sequence[_Word], at: int, done: int = 0
) -> Iterator[tuple[int, tuple[float, ...]]]:
    """Every way to lay the phrase's words from ``done`` on over the utterance's from ``at`` on:
    where it ends, and the likeness of each of the phrase's words."""
    if done == len(phrase.words):
        yield at, ()
        return
    if at == len(words):
        return
    for reading in _readings(words, at):
        if reading.end > at + 1 and _is_complete(words[at : at + 2], phrase.words[done]):
            continue
        likeness = reading.likeness(phrase.words[done], phrase.sounds[done])
        if len(phrase.words) == 1 and likeness < 1:
            likeness = min(likeness, spelling_likeness(reading.spelling, phrase.words[done]))
        if likeness >= _HARDLY_ALIKE:
            for end, rest in _alignments(phrase, words, reading.end, done + 1):
                yield end, (likeness, *rest)
    if done + 2 <= len(phrase.words):
        reading = next(_readings(words, at))
        word, sounds = (part[done] + part[done + 1] for part in (phrase.words, phrase.sounds))
        likeness = reading.likeness(word, sounds) - _SPLIT
        if likeness >= _HARDLY_ALIKE:
            for end, rest in _alignments(phrase, words, reading.end, done + 2):
                yield end, (likeness, likeness, *rest)
    if done and words[at].text in _FILLERS:
        for end, rest in _alignments(phrase, words, at + 1, done):
            yield end, (rest[0] - _FILLER, *rest[1:])


def _is_complete(pair: Sequence[_Word], word: str) -> bool:
    """One of two words is enough: "commented on" is "commented", "a comment" is "comment"."""
    return any(one.text == word or _is_form(one.text, word) is not None for one in pair)


def _score(phrase: _Phrase, likenesses: Sequence[float]) -> float:
    weights = [len(sounds) for sounds in phrase.sounds]
    mean = sum(w * x for w, x in zip(weights, likenesses, strict=True)) / sum(weights)
    return (mean + min(likenesses)) / 2


def _is_mentioned(
    phrase: _Phrase, words: Sequence[_Word], start: int, end: int, *, is_exact: bool
) -> bool:
    """The phrase's words are there, but somebody speaks *about* a comment or a teacher."""
    before = _before(words, start)
    after = _after(words, end)
    return (
        _is_negated(before)
        or _is_somebodys(before)
        or (
            _is_within_a_sentence(before)
            if len(phrase.words) == 1
            else _has_an_article(before, is_exact=is_exact)
        )
        or _is_subject(after)
    )


def _before(words: Sequence[_Word], start: int) -> list[str]:
    """The three words before, nearest first, as far as no punctuation is between."""
    nearest: list[str] = []
    while start and not words[start].opens and len(nearest) < 3:
        start -= 1
        nearest.append(words[start].text)
    return nearest


def _after(words: Sequence[_Word], end: int) -> list[str]:
    """The two words after, as far as no punctuation is between."""
    after: list[str] = []
    for word in words[end : end + 2]:
        if word.opens:
            break
        after.append(word.text)
    return after


def _is_negated(before: Sequence[str]) -> bool:
    for distance, word in enumerate(before[:2]):
        if word in _NEGATIONS:
            return not any(harmless in _KNOWING for harmless in before[:distance])
    return False


def _is_somebodys(before: Sequence[str]) -> bool:
    """ "My teacher …", "Anna's comment", "did teacher …"."""
    nearest = before[0] if before else ""
    return nearest.endswith("'s") or nearest in _OF_SOMEBODY or nearest in _AUXILIARIES


def _has_an_article(before: Sequence[str], *, is_exact: bool) -> bool:
    """ "… asked the teacher …". An utterance may begin with a "the" that was only a breath, if the
    phrase itself is clear."""
    if not before or before[0] not in ("the", "a"):
        return False
    return not is_exact or (len(before) > 1 and before[1] not in _OPENERS)


def _is_within_a_sentence(before: Sequence[str]) -> bool:
    """For a single word there must be no doubt: "the comment", "I comment", "let me comment"."""
    if not before:
        return False
    nearest, further = before[0], before[1] if len(before) > 1 else ""
    if nearest == "you":
        return further not in _ASKING
    if nearest in ("me", "us", "him", "her", "them"):
        return further == "let"
    return nearest in _POINTERS or nearest in _SPEAKERS


def _is_subject(after: Sequence[str]) -> bool:
    """ "… comment was kind" (but "teacher, comment, was that in tune"), "… comment helped"."""
    if not after:
        return False
    if after[0] in _COPULAS:
        return len(after) < 2 or after[1] not in _SUBJECTS
    return after[0] in _VERBS_OF_A_NOUN


class WakePhraseMatcher:
    """Finds wake phrases in transcripts.

    :param phrases: what calls the teacher, in any spelling and punctuation.
    :param strictness: how alike it must sound.
    :raises ValueError: there is no phrase, or one without words.
    """

    def __init__(
        self,
        phrases: Iterable[str] = DEFAULT_PHRASES,
        strictness: Strictness | str = DEFAULT_STRICTNESS,
    ) -> None:
        self.phrases = tuple(phrases)
        self.strictness = Strictness(strictness)
        self._phrases = tuple(map(_Phrase.of, self.phrases))
        if not self._phrases:
            raise ValueError("there must be at least one wake phrase")

    def __repr__(self) -> str:
        return f"WakePhraseMatcher({self.phrases!r}, {self.strictness.value!r})"

    def match(self, text: str) -> WakeMatch | None:
        """The wake phrase in ``text``, if there is one.

        Of several, the first counts, unless it is only repeated: "Teacher, comment. Teacher,
        comment on my rhythm" asks about the rhythm.
        """
        words = _words_of(text)
        heard = sorted(
            (
                match
                for match in self._matches(text, words)
                if match.score >= self.strictness.threshold
            ),
            key=lambda match: (match.start, -match.score, match.end),
        )
        if not heard:
            return None
        first = max(
            (match for match in heard if match.start < heard[0].end),
            key=lambda match: (match.score, match.end),
        )
        for match in heard:
            if first.end <= match.start <= first.end + 1:
                first = match
        return first

    def _matches(self, text: str, words: Sequence[_Word]) -> Iterator[WakeMatch]:
        for phrase in self._phrases:
            for start in range(len(words)):
                for end, likenesses in _alignments(phrase, words, start):
                    score = _score(phrase, likenesses)
                    is_exact = min(likenesses) == 1
                    if _is_mentioned(phrase, words, start, end, is_exact=is_exact):
                        score *= _MENTIONED
                    elif not is_exact and not _may_follow(_after(words, end)):
                        score *= _INEXACT_BEFORE_CONTENT
                    yield WakeMatch(
                        phrase=phrase.text,
                        score=round(100 * score, 1),
                        start=start,
                        end=end,
                        question=_question(text, words, end),
                    )


def _may_follow(after: Sequence[str]) -> bool:
    """What follows goes on as a question would: a word of grammar, not "teacher common *room*"."""
    return not after or after[0] in _FUNCTION_WORDS


def _question(text: str, words: Sequence[_Word], end: int) -> str:
    if all(word.text in _COURTESY for word in words[end:]):
        return ""
    return text[words[end].start :].strip()
