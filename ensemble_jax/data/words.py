"""Texts as words, and words as numbers."""

from __future__ import annotations

import functools
import itertools
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Int32

PADDING = 0
"""The id of padding, after the last word of a text."""

UNKNOWN = 1
"""The id of every word that the vocabulary lacks."""

FIRST_WORD = 2
"""The id of the vocabulary's first word."""

# The alternatives in the order in which they are tried; MARKS are characters that go with the
# letter before them.
_WORD = r"""
    (?:[^\W\d_]\.){2,}                              # u.s.  e.g.
    | \d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\w)            # 1,000  12,345.6
    | n't\b | '(?:s|d|m|t|ll|re|ve)\b               # the second parts of don't and it's
    | [^\W_]+(?=n't\b)                              # their first parts: do
    | (?:(?<![\w.)\]])\.)?                          # .net  .htaccess, but not foo().bar
      (?:[^\W_]+[MARKS]*)++(?:\.(?:[^\W_]+[MARKS]*)++)*   # word  3.5  asp.net
      (?:(?:\+\+|\#)(?!\w))?                        # c++  c#
    """
# Characters outside these ranges are no marks.
_MARKS_IN = (range(0x300, 0x1F000), range(0xE0100, 0xE01F0))
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U000323af]+"
)
_JOINERS = "\u200c\u200d"  # within words of Persian and of scripts of India


def split_words(text: str, most: int | None = None) -> list[str]:
    """The words of a text in lower case, `most` of them at most.

    A word is a run of letters and digits of any script, with the marks that go with them (vowel
    signs, accents; Unicode's categories M, and joiners), after normalisation to NFC. A script
    without blanks between words gives one word for each phrase; `split_characters` is for such.
    These stay whole:

    - what points join: `asp.net`, `3.5`, `u.s.`; a point before a word belongs to it: `.net`
    - numbers with thousands set off: `1,000`
    - `++` and `#` at the end: `c++`, `c#`

    Everything else separates words and is dropped: blanks, punctuation, hyphens, underscores.
    Contractions are split as in the texts GloVe was trained on: `don't` is `do` and `n't`, `it's`
    is `it` and `'s`.

    >>> split_words("Isn't C# (.NET 3.5) faster than C++?")
    ['is', "n't", 'c#', '.net', '3.5', 'faster', 'than', 'c++']
    """
    found = _word().finditer(_normalised(text).replace("\u2019", "'"))
    # Interned, because a large set repeats its words many times.
    return [sys.intern(match[0]) for match in itertools.islice(found, most)]


def split_characters(text: str, most: int | None = None) -> list[str]:
    """The characters of a text in lower case with their marks, `most` of them at most.

    Blanks are dropped; text is normalised as by `split_words`.

    >>> split_characters("\N{THAI CHARACTER KO KAI}\N{THAI CHARACTER SARA I} a")
    ['\N{THAI CHARACTER KO KAI}\N{THAI CHARACTER SARA I}', 'a']
    """
    found = _character().finditer(_normalised(text))
    return [sys.intern(match[0]) for match in itertools.islice(found, most)]


def unspaced_share(texts: Iterable[str]) -> float:
    """The share of characters that are of scripts without blanks between words, 0..1.

    They are Han, Kana, Thai, Lao, Burmese and Khmer.

    >>> unspaced_share(["ab", "\N{HIRAGANA LETTER A}\N{HIRAGANA LETTER I}"])
    0.5
    """
    found = total = 0
    for text in texts:
        total += len(text)
        found += 0 if text.isascii() else sum(map(len, _UNSPACED.findall(text)))
    return found / max(1, total)


def _normalised(text: str) -> str:
    """In lower case and NFC, which lower case can leave."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


@functools.cache
def _marks() -> str:
    """All marks, as a part of a character class."""
    numbers = itertools.chain(*_MARKS_IN)
    return "".join(chr(n) for n in numbers if unicodedata.category(chr(n))[0] == "M") + _JOINERS


@functools.cache
def _word() -> re.Pattern[str]:
    return re.compile(_WORD.replace("MARKS", _marks()), re.VERBOSE)


@functools.cache
def _character() -> re.Pattern[str]:
    return re.compile(rf"\S[{_marks()}]*")


def encode_texts(
    texts: Sequence[Sequence[str]], ids: Mapping[str, int], length: int
) -> Int32[np.ndarray, "M L"]:
    """The ids of the words of M texts, each cut or padded at its end to `length`.

    A word without an id is `UNKNOWN`, and so is a text without any word: no text is all `PADDING`.

    >>> encode_texts([["a", "b"], [], ["b", "c", "a", "a"]], {"a": 2, "b": 3}, 3)
    array([[2, 3, 0],
           [1, 0, 0],
           [3, 1, 2]], dtype=int32)
    """
    encoded = np.full((len(texts), length), PADDING, np.int32)
    for row, words in zip(encoded, texts, strict=True):
        of_text = [ids.get(word, UNKNOWN) for word in words[:length]] or [UNKNOWN]
        row[: len(of_text)] = of_text
    return encoded
