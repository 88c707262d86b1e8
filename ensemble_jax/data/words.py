"""Texts as words, and words as numbers."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int32

PADDING = 0
"""The id that fills a text up to the common length."""

UNKNOWN = 1
"""The id of every word that the vocabulary lacks."""

FIRST_WORD = 2
"""The id of the vocabulary's first word."""

# The alternatives in the order in which they are tried.
_WORD = re.compile(
    r"""
    (?:[^\W\d_]\.){2,}                              # u.s.  e.g.
    | \d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\w)            # 1,000  12,345.6
    | n't\b | '(?:s|d|m|t|ll|re|ve)\b               # the second parts of don't and it's
    | [^\W_]+(?=n't\b)                              # their first parts: do
    | (?:(?<![\w.)\]])\.)?                          # .net  .htaccess, but not foo().bar
      [^\W_]+(?:\.[^\W_]+)*                         # word  3.5  asp.net
      (?:(?:\+\+|\#)(?!\w))?                        # c++  c#
    """,
    re.VERBOSE,
)


def split_words(text: str, most: int | None = None) -> list[str]:
    """The words of a text in lower case, `most` of them at most.

    A word is a run of letters and digits of any script. These stay whole:

    - what points join: `asp.net`, `3.5`, `u.s.`; a point before a word belongs to it: `.net`
    - numbers with thousands set off: `1,000`
    - `++` and `#` at the end: `c++`, `c#`

    Everything else separates words and is dropped: blanks, punctuation, hyphens, underscores.
    Contractions are split as in the texts GloVe was trained on: `don't` is `do` and `n't`, `it's`
    is `it` and `'s`.

    >>> split_words("Isn't C# (.NET 3.5) faster than C++?")
    ['is', "n't", 'c#', '.net', '3.5', 'faster', 'than', 'c++']
    """
    found = _WORD.finditer(text.lower().replace("\u2019", "'"))
    # Interned, because a large set repeats its words many times.
    return [sys.intern(match[0]) for match in itertools.islice(found, most)]


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
