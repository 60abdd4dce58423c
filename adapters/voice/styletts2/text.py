"""From text to the numbers of phonemes."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["SYMBOLS", "phoneme_numbers", "spaced"]

_PUNCTUATION: Final = ';:,.!?¡¿—…"«»“” '
_LATIN: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_IPA: Final = (
    "ɑɐɒæɓʙβɔɕçɗɖðʤəɘɚɛɜɝɞɟʄɡɠɢʛɦɧħɥʜɨɪʝɭɬɫɮʟɱɯɰŋɳɲɴøɵɸθœɶʘɹɺɾɻʀʁɽʂʃʈʧʉʊʋⱱʌɣɤʍχʎʏʑʐʒʔʡʕʢǀǁǂǃ"
    "ˈˌːˑʼʴʰʱʲʷˠˤ˞↓↑→↗↘'\u0329'ᵻ"
)

SYMBOLS: Final = ("$", *_PUNCTUATION, *_LATIN, *_IPA)
"""The checkpoint's symbols by number; the first stands for nothing. (It has the apostrophe twice;
the second counts.)"""

_NUMBERS: Final = {symbol: number for number, symbol in enumerate(SYMBOLS)}


def spaced(phonemes: str) -> str:
    """Punctuation apart from the words, as in the texts that the voice was trained on.

    >>> spaced("wˈʌn, tˈuː.")
    'wˈʌn , tˈuː .'
    """
    apart = re.sub(r'([;:,.!?¡¿—…"«»“”])', r" \1 ", phonemes)
    return re.sub(r"\s+", " ", apart).strip()


def phoneme_numbers(phonemes: str) -> list[int]:
    """The numbers of IPA ``phonemes``, after that of nothing. What has none is left out."""
    composed = unicodedata.normalize("NFC", phonemes)
    return [0, *(_NUMBERS[one] for one in composed if one in _NUMBERS)]
