"""From what a language model writes to what a voice can say.

Models decorate: markdown, emoji, LaTeX, addresses. What stands for words becomes words, the rest
goes. What is left has letters, digits and plain punctuation only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Final

__all__ = ["is_english", "speakable"]

_Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _rule(pattern: str, by: str | Callable[[re.Match[str]], str], flags: int = 0) -> _Rule:
    return re.compile(pattern, flags), by


_RULES: Final[tuple[_Rule, ...]] = (
    # What has no sound at all.
    _rule(r"```[a-z]*", " "),
    _rule(r"<\|[^<>]*\|>", " "),
    _rule(r"</?[A-Za-z][^<>]*>", " "),
    _rule(r"!?\[([^\[\]]*)\]\([^()\s]*\)", r"\1"),
    _rule(r"(?:https?://|www\.)[^\s()]*[^\s().,;:!?]", " ", re.IGNORECASE),
    _rule(r"(?<!\S)[:;]-?[()DPp](?!\S)", " "),
    _rule(r"^\s*(?:#{1,6}(?=\s)|[-*+>\u2022\u2023\u25e6\u25aa](?=\s)|\d{1,2}[.)](?=\s\D))", " "),
    # LaTeX.
    _rule(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r" \1 over \2 "),
    _rule(r"\\(?:text|mathrm|mathbf|textbf|emph|textit)\s*\{([^{}]*)\}", r" \1 "),
    _rule(r"\^?\{?\\circ\}?", " degrees "),
    _rule(r"\\(sharp|flat|natural|times|approx)\b", lambda m: f" {_LATEX[m[1]]} "),
    _rule(r"\\[A-Za-z]+|\\.", " "),
    # Signs that stand for words.
    _rule(r"\b([A-G])[#\u266f](?![\w#])", r"\1 sharp"),
    _rule(r"\b([A-G])\u266d", r"\1 flat"),
    _rule(r"\b([A-G])b\b", r"\1 flat"),
    _rule(r"(?<=\d)\s*(?:\u00bd|\u00bc|\u00be)", lambda m: f" and {_PARTS[m[0].strip()]} "),
    _rule(r"[\u00bd\u00bc\u00be]", lambda m: f" {_PARTS[m[0]].removeprefix('a ')} "),
    _rule(r"(?<=\d)\s*(?:[-\u2010-\u2015]|\u2192)\s*(?=\d)", " to "),
    _rule(r"(?<![\w.])[-\u2212](?=\d)", "minus "),
    _rule(r"\u2212", " minus "),
    _rule(r"(?<=[^\W\d])/(?=[^\W\d])", " or "),
    _rule(r"#(?=\d)", " number "),
    _rule(r"[&%\u266f\u266d\u266e\u00b0\u2192\u2248\u00d7=+@~]", lambda m: _SIGNS[m[0]]),
    # Punctuation that a voice takes for another.
    _rule(r"[\u2018\u2019\u02bc]", "'"),
    _rule(r"\u2026", "..."),
    _rule(r"\s+[-\u2010-\u2015]+\s+|\s*[\u2013-\u2015]+\s*|[()|]", ", "),
    _rule(r"[\u2010-\u2012]", "-"),
    _rule(r"[*`\"\u201c-\u201f\u00ab\u00bb\[\]{}<>$^]", ""),
    _rule(r"[_\\#\n\r\t\f\v]", " "),
    _rule(r"(?<!\d)/|/(?!\d)", " "),
    # What is left over.
    _rule(r"\s+", " "),
    _rule(r"\s+(?=[.,;:!?])", ""),
    _rule(r"[!?]*\?[!?]*", "?"),
    _rule(r"!+", "!"),
    _rule(r"[,;:]+(?=[.,;:!?])", ""),
    _rule(r"(?<=[.!?])[,;:]+(?!\S)", ""),
    _rule(r"\.{4,}", "..."),
    _rule(r"^[\s.,;:!?-]+(?!\d)|[\s,-]+$", ""),
)
_LATEX: Final[Mapping[str, str]] = {
    "sharp": "sharp", "flat": "flat", "natural": "natural", "times": "times", "approx": "about",
}  # fmt: skip
_PARTS: Final[Mapping[str, str]] = {
    "\u00bd": "a half",
    "\u00bc": "a quarter",
    "\u00be": "three quarters",
}
_SIGNS: Final[Mapping[str, str]] = {
    "&": " and ", "%": " percent ", "\u266f": " sharp ", "\u266d": " flat ", "\u266e": " natural ",
    "\u00b0": " degrees ", "\u2192": " to ", "\u2248": " about ", "\u00d7": " times ",
    "=": " equals ", "+": " plus ", "@": " at ", "~": " about ",
}  # fmt: skip
_UNSPOKEN: Final = frozenset({"So", "Sk", "Sm", "Sc", "Cc", "Cf", "Cn", "Co", "Cs", "No", "Me"})
_KEPT: Final = frozenset("\n\r\t\f\v*`^~$<>|=+\u00b0\u00d7\u2248\u2192\u2212\u266f\u266d\u266e")
_WRITTEN: Final = frozenset("\u00bd\u00bc\u00be")


def speakable(text: str) -> str:
    """``text`` as it can be said: one line without markup. Empty if nothing of it can.

    Idempotent.
    """
    text = "".join(filter(_is_known, unicodedata.normalize("NFC", text)))
    while (plainer := _plainer(text)) != text:
        text = plainer
    return text if any(sign.isalnum() for sign in text) else ""


def _is_known(sign: str) -> bool:
    """Not an emoji, nor anything else without a sound or a rule."""
    if sign in _KEPT or sign in _WRITTEN:
        return True
    if "\ufe00" <= sign <= "\ufe0f":  # variants of emoji
        return False
    return unicodedata.category(sign) not in _UNSPOKEN


def _plainer(text: str) -> str:
    for pattern, by in _RULES:
        text = pattern.sub(by, text)
    return unicodedata.normalize("NFC", text.strip())


# --- is it English? -------------------------------------------------------------------------------

_ENGLISH: Final = frozenset(
    "a about after again all also am an and any are as at be because been before but by can could"
    " did do does each even every few first for from get give go good great had has have hear heard"
    " her here him how i if in into is it its it's just keep last let let's like little lovely made"
    " make many me more most much my next nice no not note notes now of off on once one only or our"
    " out over play played playing please practise practice said say second see sing slow slower"
    " slowly so some sound sounded sounds steady stop than that that's the their them then there"
    " these they this those three through time times to too try twice two under until up us very"
    " was we well were what when where which while who why will with without would yes you your"
    " you're yours hand hands left right finger fingers beat beats bar bars bow breath tone phrase"
    " both softer louder listen bravo thank thanks sorry hello same whole between count nothing"
    " measured".split()
)
_FOREIGN: Final[tuple[frozenset[str], ...]] = tuple(
    frozenset(words.split())
    for words in (
        "der das und ist nicht ein eine einen du sie ich dein deine dem den von mit auf für sehr"
        " gut hast wie aber noch auch dass zu spiele spiel gespielt wir im",
        "le les des du est et vous tu une un avez pour pas très que qui dans sur votre ton ta mais"
        " avec c'est bien au je il jouez jouer de nous",
        "el los las es una un y que muy bien tu has pero para por en del lo más está con te tocado"
        " toca de como su se",
        "il gli è una un che hai di tuo tua molto bene sei per nella della suonato suona ma e le"
        " questo anche ti lo",
        "o os as um uma é que você não muito bem para em do da com seu sua mais foi tocou toque e",
        "het een de je van niet maar en heel goed is dat ik met op voor speel gespeeld hebt te"
        " zijn",
        "jest nie że się to na i bardzo dobrze ty w z jak ale",
        "och är att det en du inte mycket bra som på med av men ett spela",
    )
)
"""Words that hold sentences together, by language; not those of Italian that music borrows."""

_MUSICAL: Final = frozenset(
    "ma non troppo con brio poco a più meno senza alla al del molto assai mosso tempo allegro"
    " andante adagio largo presto vivace moderato lento crescendo diminuendo decrescendo ritardando"
    " rallentando accelerando rubato legato staccato piano forte mezzo dolce cantabile espressivo"
    " fuoco moto grazioso maestoso da capo dal segno fine coda sempre subito sotto voce".split()
)
_WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_FEW_WORDS: Final = 3
_MANY_WORDS: Final = 8


def is_english(text: str) -> bool:
    """Whether ``text`` may be said by an English voice.

    Tolerant: Italian terms of music and names are English enough, and very short clauses in Latin
    letters are taken to be.
    """
    words = [word.lower().replace("\u2019", "'") for word in _WORD.findall(text)]
    letters = [sign for sign in text if sign.isalpha()]
    strange = sum(not unicodedata.name(sign, "").startswith("LATIN") for sign in letters)
    if strange * 4 > len(letters):
        return False
    english = sum(word in _ENGLISH for word in words)
    judged = [word for word in words if word not in _MUSICAL and word not in _ENGLISH]
    foreign = max(len({word for word in judged if word in listed}) for listed in _FOREIGN)
    accented = sum(not word.isascii() for word in judged)
    if len(words) < _FEW_WORDS:
        return foreign + accented < 2
    if foreign >= 2 and foreign >= english:
        return False
    if english == 0 and (foreign + accented >= 2 or (foreign and len(judged) >= 4)):
        return False
    return english > 0 or len(judged) < _MANY_WORDS
