"""Is it an interruption? What the teacher makes of a voice while it is speaking itself.

At the first sign of a voice the teacher falls silent, which costs nothing; this policy decides
whether it stays silent. A learner who says "mm-hm" wants it to go on, a cough wants nothing, and
anything else is a barge-in. "Wait" and "no" are short, and they are the most urgent of all.
"""

from __future__ import annotations

import enum
import re
from typing import Final

from attrs import field, frozen, validators

__all__ = ["InterruptionPolicy", "InterruptionSettings", "Verdict"]


class Verdict(enum.StrEnum):
    WAITING = "waiting"
    BARGE_IN = "barge_in"
    NOTHING = "nothing"


@frozen(kw_only=True)
class InterruptionSettings:
    """How long a voice may be heard, in seconds of speech, before it is taken for a barge-in.

    :param without_words: if no words were recognised so far. A cough takes half a second.
    :param with_backchannel: if there were only words of assent.
    :param shortest_phrase: what is shorter than this cannot be one of the phrases that recognisers
        invent on a noise.
    """

    without_words: float = field(default=1.2, validator=validators.gt(0))
    with_backchannel: float = field(default=2.0, validator=validators.gt(0))
    shortest_phrase: float = field(default=0.35, validator=validators.ge(0))


_BACKCHANNEL: Final = frozenset(
    "mm mmm mhm hm hmm hmmm mm-hm mm-hmm mhmm uh-huh uh huh ah aha oh ooh yeah yep yes yup ya okay"
    " ok right alright sure good great nice cool wow i see got it true exactly interesting um uh er"
    " erm all".split()
)
"""Every word of assent, and the parts of "I see", "got it" and "all right". What consists of
nothing else takes no floor."""

_INVENTED: Final = frozenset(
    {"you", "thank you", "thanks for watching", "thank you for watching", "bye", "bye bye", "the"}
)
"""What Whisper writes when it hears a cough, a breath or a chair."""

_NOT_WORDS: Final = re.compile(r"[\[(*][^\])*]*[\])*]")
"""Stage directions: "[COUGH]", "(laughs)", "*sighs*"."""

_WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*|\d+")


class InterruptionPolicy:
    """Judges what is heard while the teacher speaks."""

    def __init__(self, settings: InterruptionSettings | None = None) -> None:
        self.settings = settings or InterruptionSettings()

    def is_backchannel(self, text: str) -> bool:
        """``text`` has words, and all of them only say "I'm listening"."""
        words = _words_of(text)
        return bool(words) and all(
            word in _BACKCHANNEL or word.replace("-", "") in _BACKCHANNEL for word in words
        )

    def judge(self, text: str, speech_duration: float, ended: bool) -> Verdict:
        """Decide about the utterance that is being heard.

        :param text: its words so far, from an interim or the final transcript; may be empty.
        :param speech_duration: how long the voice has been heard, its pauses left out, seconds.
        :param ended: the utterance is over and ``text`` is final.
        :returns: never ``WAITING`` if it has ended. Once it was ``BARGE_IN``, ask no more.
        """
        words = _words_of(text)
        if not words:
            return self._so_far(speech_duration, self.settings.without_words, ended=ended)
        if self.is_backchannel(text):
            return self._so_far(speech_duration, self.settings.with_backchannel, ended=ended)
        if " ".join(words) in _INVENTED and speech_duration < self.settings.shortest_phrase:
            return Verdict.NOTHING if ended else Verdict.WAITING
        return Verdict.BARGE_IN

    def _so_far(self, speech_duration: float, limit: float, *, ended: bool) -> Verdict:
        if ended:
            return Verdict.NOTHING
        return Verdict.BARGE_IN if speech_duration >= limit else Verdict.WAITING


def _words_of(text: str) -> list[str]:
    spoken = _NOT_WORDS.sub(" ", text)
    return [word.lower().replace("\u2019", "'") for word in _WORD.findall(spoken)]
