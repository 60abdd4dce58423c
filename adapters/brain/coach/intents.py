"""What a student asks, from words as a recogniser spells them.

A rule is a list of phrases; a phrase matches where its words come in its order, close together.
Words are compared by sound-alike spelling: a recogniser writes *rythm*, *temple*, *peach*. The rule
with the most telling match wins, so "how can I fix my rhythm" is a request for help that names a
topic, not two questions.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

from attrs import frozen

from maestra.core.performance.observations import ObservationKind as Kind

__all__ = ["Ask", "Question", "Topic", "topic_of_text", "understand"]


class Ask(enum.StrEnum):
    """What is asked for."""

    COMMENT = "comment"
    TOPIC = "topic"
    HOW_TO_FIX = "how_to_fix"
    PRACTISE = "practise"
    REPEAT = "repeat"
    COMPARE = "compare"
    WHICH_NOTE = "which_note"
    HOW_FAST = "how_fast"
    HOW_MUCH = "how_much"
    WHERE = "where"
    WHY = "why"
    MORE = "more"
    GOOD = "good"
    SLOWER = "slower"
    FASTER = "faster"
    MEANING = "meaning"
    RIGHT_NOTES = "right_notes"
    NOTE_TUNING = "note_tuning"
    NEEDS_THE_MUSIC = "needs_the_music"
    NEEDS_EYES = "needs_eyes"
    ON_PURPOSE = "on_purpose"
    AGAIN = "again"
    THANKS = "thanks"
    STOP = "stop"
    UNKNOWN = "unknown"


class Topic(enum.StrEnum):
    """What it is asked about."""

    TEMPO = "tempo"
    RHYTHM = "rhythm"
    STOPS = "stops"
    NOTES = "notes"
    PITCH = "pitch"
    DYNAMICS = "dynamics"
    ARTICULATION = "articulation"
    BALANCE = "balance"
    ENDING = "ending"

    @property
    def kinds(self) -> frozenset[Kind]:
        """The observations that belong to it."""
        return _KINDS[self]


_KINDS = {
    Topic.TEMPO: frozenset({Kind.RUSHING, Kind.DRAGGING, Kind.UNSTEADY_TEMPO, Kind.STEADY_TEMPO}),
    Topic.RHYTHM: frozenset(
        {
            Kind.UNEVEN_RHYTHM,
            Kind.EVEN_RHYTHM,
            Kind.HESITATION,
            Kind.MISSED_NOTES,
            Kind.FLUENT,
        }
    ),
    Topic.STOPS: frozenset({Kind.HESITATION, Kind.REPEATED_TRIES, Kind.FLUENT, Kind.PERSEVERED}),
    Topic.NOTES: frozenset({Kind.WRONG_NOTES, Kind.MISSED_NOTES}),
    Topic.PITCH: frozenset(
        {Kind.SHARP, Kind.FLAT, Kind.NOTE_OUT_OF_TUNE, Kind.UNSTABLE_PITCH, Kind.IN_TUNE}
    ),
    Topic.DYNAMICS: frozenset({Kind.FLAT_DYNAMICS, Kind.STICKING_OUT, Kind.SHAPED_DYNAMICS}),
    Topic.ARTICULATION: frozenset({Kind.CHOPPY, Kind.LEGATO}),
    Topic.BALANCE: frozenset({Kind.LOW_VOICE_TOO_LOUD, Kind.GOOD_BALANCE}),
    Topic.ENDING: frozenset({Kind.SHAPED_ENDING}),
}


@frozen(kw_only=True)
class Question:
    """``word`` is the word whose meaning is asked; ``pitch_class`` that of a note that is named."""

    ask: Ask
    topic: Topic | None = None
    word: str | None = None
    pitch_class: int | None = None


# Phrases; a star stands for up to three words. The weight tells which of several is meant.
_RULES: tuple[tuple[Ask, float, tuple[str, ...]], ...] = (
    (
        Ask.STOP,
        3.0,
        (
            "stop",
            "stop talking",
            "be quiet",
            "shut up",
            "that's all",
            "that is all",
            "that's enough",
            "never mind",
            "enough",
            "we're done",
            "i'm done",
            "no more",
            "goodbye",
            "bye",
        ),
    ),
    (
        Ask.THANKS,
        2.5,
        ("thank you", "thanks", "cheers", "i'll try it", "i'll try that", "got it", "i got it"),
    ),
    (
        Ask.AGAIN,
        3.2,
        (
            "let me try again",
            "let me * again",
            "i'll play * again",
            "i'll try again",
            "can i try again",
            "can i play * again",
            "should i play * again",
            "shall i play * again",
            "listen again",
        ),
    ),
    (Ask.ON_PURPOSE, 4.0, ("on purpose", "i meant to", "i meant that", "deliberate", "intended")),
    (
        Ask.REPEAT,
        3.5,
        (
            "say * again",
            "say that again",
            "repeat that",
            "repeat it",
            "repeat please",
            "can you repeat",
            "what did you say",
            "what was that",
            "come again",
            "once more please",
            "one more time please",
            "pardon",
            "i didn't hear",
            "i didn't catch",
            "i did not hear",
        ),
    ),
    (
        Ask.COMPARE,
        4.0,
        (
            "better this time",
            "was * better",
            "is * better",
            "was that better",
            "any better",
            "better than",
            "better now",
            "did i improve",
            "have i improved",
            "have i got * better",
            "get better",
            "an improvement",
            "compared to",
            "compare",
            "worse",
            "which take",
            "which one was",
        ),
    ),
    (
        Ask.HOW_TO_FIX,
        4.2,
        (
            "how * fix",
            "how can i * better",
            "how do i * better",
            "how can i improve",
            "how do i improve",
            "how can i make",
            "how do i make",
            "how should i",
            "how do i get",
            "how can i get",
            "how can i keep",
            "how do i keep",
            "how do i stop",
            "how can i stop",
            "how do i avoid",
            "how can i avoid",
            "how do i change",
            "what can i do",
            "what should i do",
            "what do i do",
            "what could i do",
            "how to fix",
            "help me with",
            "how do i work on",
            "any tips",
            "exercise for",
            "an exercise",
            "give me * exercise",
            "any advice",
            "fix it",
            "fix that",
        ),
    ),
    (
        Ask.PRACTISE,
        4.0,
        (
            "what should i practise",
            "what should i practice",
            "what should i work on",
            "what * practise",
            "what * practice",
            "what * work on",
            "how should i practise",
            "how should i practice",
            "how do i practise",
            "how do i practice",
            "homework",
            "what next",
            "what now",
        ),
    ),
    (
        Ask.WHICH_NOTE,
        4.3,
        (
            "which note",
            "which notes",
            "what note",
            "what notes",
            "which one",
            "which ones",
            "what key",
        ),
    ),
    (
        Ask.HOW_FAST,
        4.3,
        (
            "how fast",
            "how slow",
            "what speed",
            "what tempo",
            "what was my tempo",
            "what was the tempo",
            "what is my tempo",
            "what's my tempo",
            "beats per minute",
            "how many beats",
            "bpm",
        ),
    ),
    (
        Ask.HOW_MUCH,
        4.1,
        (
            "how much",
            "by how much",
            "how many",
            "how far",
            "how long",
            "how big",
            "exactly",
            "how sharp",
            "how flat",
            "how often",
            "in cents",
        ),
    ),
    (Ask.WHERE, 4.0, ("where", "at what point", "which place", "which part", "when", "what part")),
    (
        Ask.MEANING,
        4.6,
        ("what do you mean", "what does * mean", "what is a", "what are", "what is"),
    ),
    (Ask.WHY, 3.6, ("why", "how come", "what causes", "what's the reason", "reason")),
    (
        Ask.MORE,
        3.4,
        (
            "anything else",
            "what else",
            "something else",
            "tell me more",
            "more detail",
            "go on",
            "anything more",
            "other mistakes",
            "other problems",
        ),
    ),
    (
        Ask.GOOD,
        4.4,
        (
            "anything good",
            "something good",
            "what was good",
            "what did i do well",
            "what went well",
            "what did you like",
            "did you like",
            "do well",
            "any good",
            "what was nice",
            "the good",
        ),
    ),
    (
        Ask.SLOWER,
        4.4,
        (
            "play * slower",
            "go slower",
            "slow down",
            "too fast",
            "slower",
            "slow it down",
        ),
    ),
    (Ask.FASTER, 4.4, ("play * faster", "go faster", "speed up", "too slow", "faster")),
    (
        Ask.RIGHT_NOTES,
        4.5,
        (
            "right notes",
            "correct notes",
            "wrong notes",
            "any mistakes",
            "make * mistakes",
            "notes right",
            "notes correct",
            "all the notes",
            "wrong note",
            "right chords",
        ),
    ),
    (
        Ask.NEEDS_EYES,
        4.5,
        (
            "fingering",
            "my fingers",
            "my posture",
            "posture",
            "my hands look",
            "hand position",
            "bow hold",
            "bow grip",
            "my wrist",
            "my shoulder",
            "my shoulders",
            "embouchure",
            "my elbow",
            "my back",
        ),
    ),
    (
        Ask.NEEDS_THE_MUSIC,
        4.4,
        (
            "which bar",
            "what bar",
            "bar number",
            "which measure",
            "what measure",
            "what piece",
            "which piece",
            "what song",
            "name * piece",
            "who composed",
            "who wrote",
            "the composer",
            "as written",
            "in the score",
            "the sheet music",
            "time signature",
            "how was my pedal",
            "my pedal",
            "the pedal",
            "repeat sign",
        ),
    ),
    (
        Ask.COMMENT,
        2.0,
        (
            "how was that",
            "how was it",
            "how did i do",
            "how did that sound",
            "how did it sound",
            "what do you think",
            "what did you think",
            "comment",
            "any comments",
            "feedback",
            "tell me",
            "how was my playing",
            "was it good",
            "was that good",
            "was it okay",
            "how am i doing",
            "what was wrong",
            "what's wrong",
            "what did i do wrong",
        ),
    ),
)

_TOPICS: tuple[tuple[Topic, tuple[str, ...]], ...] = (
    (
        Topic.STOPS,
        ("hesitation", "hesitate", "pause", "pauses", "paused", "stopping", "stopped", "the stop",
         "the break", "got stuck"),
    ),
    (
        Topic.RHYTHM,
        ("rhythm", "rhythms", "rhythmic", "timing", "in time", "even", "uneven", "evenness",
         "counting", "eighth notes", "quavers", "swing"),
    ),
    (
        Topic.TEMPO,
        ("tempo", "temple", "speed", "pace", "pulse", "beat", "rush", "rushing", "rushed", "drag",
         "dragging", "slow", "fast", "steady", "slower", "faster"),
    ),
    (
        Topic.PITCH,
        ("pitch", "peach", "intonation", "in tune", "in tone", "in june", "out of tune", "tuning",
         "tuned", "sharp", "flat", "tune", "off key"),
    ),
    (
        Topic.DYNAMICS,
        ("dynamics", "dynamic", "loud", "soft", "louder", "softer", "loudness", "volume", "quiet",
         "expression", "expressive", "phrasing", "musical", "accent", "accents"),
    ),
    (
        Topic.ARTICULATION,
        ("articulation", "legato", "staccato", "choppy", "smooth", "joined", "detached",
         "connected", "slurs", "touch", "smoothly"),
    ),
    (
        Topic.BALANCE,
        ("balance", "left hand", "right hand", "hands", "both hands", "accompaniment", "bass",
         "melody"),
    ),
    (Topic.ENDING, ("ending", "the end", "ritardando", "rubato", "last bars", "finish")),
    (
        Topic.NOTES,
        ("notes", "wrong", "missed", "missing", "left out", "mistake", "mistakes", "accuracy",
         "skipped"),
    ),
)  # fmt: skip

# words that are spelt near one of ours but mean something else
_NEVER_ALIKE = frozenset(
    {
        ("there", "where"),
        ("here", "where"),
        ("then", "when"),
        ("touch", "much"),
        ("faster", "fast"),
        ("slower", "slow"),
        ("last", "fast"),
        ("best", "beat"),
        ("bear", "beat"),
    }
)
_NOTE_NAME = re.compile(r"\b(?:my|the|that|an|a)\s+([a-g])(?:\s+(sharp|flat))?\b")
_STEPS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}


def understand(text: str) -> Question:
    """What ``text`` asks. Words that say nothing give :attr:`Ask.UNKNOWN`."""
    words = _words(text)
    if not words:
        return Question(ask=Ask.UNKNOWN)
    best, ask = 0.0, Ask.UNKNOWN
    for candidate, weight, phrases in _RULES:
        for phrase in phrases:
            fit = _match(phrase, words)
            if fit:
                # of two phrases of one weight the longer one is meant
                score = weight * fit + 0.15 * len(phrase.split())
                if candidate in (Ask.STOP, Ask.THANKS, Ask.COMMENT) and len(words) > 7:
                    score -= 1.0  # said by the way
                if score > best:
                    best, ask = score, candidate
    topic = _topic(words)
    note = _NOTE_NAME.search(" ".join(words))
    if note and topic is Topic.PITCH and ask not in (Ask.HOW_TO_FIX, Ask.WHY):
        shift = {"sharp": 1, "flat": -1}.get(note[2] or "", 0)
        return Question(
            ask=Ask.NOTE_TUNING, topic=topic, pitch_class=(_STEPS[note[1]] + shift) % 12
        )
    if ask is Ask.MEANING:
        return Question(ask=ask, topic=topic, word=words[-1] if words else None)
    if ask is Ask.COMPARE and "how" in words and topic is None:
        ask = Ask.HOW_TO_FIX  # "how do I get better"
    if ask in (Ask.SLOWER, Ask.FASTER) and "why" in words:
        ask = Ask.WHY
    if ask in (Ask.COMMENT, Ask.UNKNOWN, Ask.STOP) and topic is not None:
        ask = Ask.TOPIC
    if ask is Ask.WHICH_NOTE and topic is Topic.NOTES:
        topic = None  # the word belongs to the question
    return Question(ask=ask, topic=topic)


def topic_of_text(text: str) -> Topic | None:
    """What a text that somebody else wrote is mostly about."""
    return _topic(_words(text))


def _words(text: str) -> list[str]:
    cleaned = text.lower().replace("\u2019", "'").replace("-", " ")
    return re.findall(r"[a-z']+", cleaned)


def _topic(words: Sequence[str]) -> Topic | None:
    best, found = 0.0, None
    for topic, phrases in _TOPICS:
        for phrase in phrases:
            fit = _match(phrase, words)
            score = fit * (1 + 0.3 * phrase.count(" "))
            if score > best:
                best, found = score, topic
    return found


def _match(phrase: str, words: Sequence[str]) -> float:
    """0 to 1: how well ``phrase`` is in ``words``."""
    wanted = phrase.split()
    best = 0.0
    for start in range(len(words)):
        fit, at = 1.0, start
        gap = 0
        for word in wanted:
            if word == "*":
                gap = 3
                continue
            alike = 0.0
            for step in range(gap + 1):
                if at + step < len(words):
                    alike = _alike(word, words[at + step])
                    if alike:
                        at += step + 1
                        break
            if not alike:
                fit = 0.0
                break
            fit = min(fit, alike)
            gap = 0
        best = max(best, fit)
        if best == 1.0:
            break
    return best


@lru_cache(maxsize=4096)
def _alike(ours: str, heard: str) -> float:
    if ours == heard or ours.replace("'", "") == heard.replace("'", ""):
        return 1.0
    if len(ours) < 5 or (heard, ours) in _NEVER_ALIKE or heard[0] != ours[0]:
        return 0.0
    ratio = SequenceMatcher(None, ours, heard, autojunk=False).ratio()
    return ratio if ratio >= 0.8 else 0.0
