"""Endpointing: when is somebody done speaking?

Silence alone is a poor answer: short enough to be quick, it cuts people off who look for a word;
long enough to be polite, it makes the teacher seem slow. So the words decide how much silence is
needed. A question that has been asked needs little, a sentence that hangs on "because" needs a lot.

The words come from a recogniser that is fond of full stops and puts one even after "because", so
punctuation speaks for completeness only where the words don't speak against it.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import field, frozen, validators

from .wake import WakePhraseMatcher

__all__ = ["EndpointingPolicy", "EndpointingSettings"]


@frozen(kw_only=True)
class EndpointingSettings:
    """How much silence ends a turn, in seconds.

    :param complete: after a whole question, a bare wake phrase, or a word that stands for itself.
    :param usual: after anything else.
    :param unfinished: after words that call for more.
    :param longest_utterance: where even one that never ends is cut.
    """

    complete: float = field(default=0.2, validator=validators.ge(0))
    usual: float = field(default=0.45, validator=validators.ge(0))
    unfinished: float = field(default=0.9, validator=validators.ge(0))
    longest_utterance: float = field(default=30.0, validator=validators.gt(0))


_NEVER_LAST: Final = frozenset(
    "and or but because cause so if when while than the a an my your his her our their its i we"
    " they um uh er erm hmm very really more like also then maybe every between without whether"
    " i'm i've i'd i'll you're we're it's that's there's what's don't can't didn't".split()
)
"""Words that don't end a sentence. After some of them a question may end ("… and then?"), but
waiting half a second for that is better than to cut off all the others."""

_LAST_ONLY_IN_QUESTIONS: Final = frozenset(
    "of to for with on in at from about by into is was are were do does did can could should would"
    " will be been as".split()
)
"""Words that end a question or a complaint ("what should I work on"), else call for more."""

_QUESTION_WORDS: Final = frozenset(
    "what which who whose where when why how what's who's where's how's".split()
)
_VERBS_THAT_ASK: Final = frozenset(
    "is are was were am do does did can could should would will have has may shall isn't aren't"
    " wasn't weren't don't doesn't didn't can't couldn't shouldn't wouldn't".split()
)
_LEADING: Final = frozenset("and but so okay ok well um uh then hey oh please now".split())
_LONG_ENOUGH: Final = 4
"""Words. "Was my tempo" may go on; "what was that for" may be all."""

_WHOLE: Final = frozenset(
    {
        "yes", "no", "yeah", "nope", "okay", "ok", "thanks", "thank you", "why", "again", "go on",
        "continue",
        "pardon", "thank you very much", "say that again", "say it again",
        "once more", "that's enough", "okay thanks", "okay thank you", "never mind", "goodbye",
    }
)  # fmt: skip
"""What says all by itself."""

_HOLDING: Final = frozenset("stop wait hold on please no sorry excuse me it way a moment".split())
"""Who says nothing but these takes the floor, and is about to say why: "stop … I have a question".
("Way" is what recognisers make of "wait".)"""

_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_TRAILS_OFF: Final = re.compile(r"(?:\.\.\.|\u2026|,|-|\u2014)\s*$")


class EndpointingPolicy:
    """Says how much silence ends a turn.

    :param wake: knows the wake phrases, so that a bare one can be answered at once. If the question
        goes on after all, the conversation takes it in.
    """

    def __init__(
        self,
        settings: EndpointingSettings | None = None,
        *,
        wake: WakePhraseMatcher | None = None,
    ) -> None:
        self.settings = settings or EndpointingSettings()
        self._wake = wake

    def required_silence(self, text: str) -> float:
        """How much silence after ``text``, the words so far, ends the turn, in seconds."""
        words = [word.lower().replace("\u2019", "'") for word in _WORD.findall(text)]
        call = self._wake.match(text) if self._wake else None
        if call is not None and not call.question:
            return self.settings.complete
        if not words:
            return self.settings.usual
        if " ".join(words) in _WHOLE:
            return self.settings.complete
        if all(word in _HOLDING for word in words):
            return self.settings.unfinished
        if _TRAILS_OFF.search(text) or _is_open(words):
            return self.settings.unfinished
        if call is not None or _is_whole_question(words, text):
            return self.settings.complete
        return self.settings.usual

    def is_over(
        self, text: str, silence: float, utterance_duration: float, *, hint: bool = False
    ) -> bool:
        """The turn is over, ``silence`` seconds after its last word.

        :param utterance_duration: how long the utterance has lasted, its pauses included, seconds.
        :param hint: the recogniser believes that it is. It is believed as far as the words do not
            call for more.
        """
        required = self.required_silence(text)
        if hint and required <= self.settings.usual:
            required = min(required, self.settings.complete)
        return utterance_duration >= self.settings.longest_utterance or silence >= required


def _opening(words: list[str]) -> str:
    """The word it opens with, after "okay" and the like."""
    return next((word for word in words if word not in _LEADING), "")


def _is_open(words: list[str]) -> bool:
    """Its last word calls for more."""
    if words[-1] in _NEVER_LAST:
        return True
    may_end = _opening(words) in _QUESTION_WORDS and len(words) >= _LONG_ENOUGH
    return words[-1] in _LAST_ONLY_IN_QUESTIONS and not may_end


def _is_whole_question(words: list[str], text: str) -> bool:
    """It opens as a question does and is long enough to be one. ("When" and "if" clauses open so
    too; those that go on are told by their last word.)"""
    opening = _opening(words)
    if text.rstrip().endswith("?"):
        return len(words) >= _LONG_ENOUGH - 1 or opening in _QUESTION_WORDS
    asks = opening in _QUESTION_WORDS or opening in _VERBS_THAT_ASK
    return asks and len(words) >= _LONG_ENOUGH
