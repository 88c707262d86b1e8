# ruff: noqa: RUF001  the words are of many scripts
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble_jax.data.words import (
    FIRST_WORD,
    PADDING,
    UNKNOWN,
    encode_texts,
    split_characters,
    split_words,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("How do I page a collection?", "how do i page a collection"),
        ("C++, C#, F# and .NET (or ASP.NET)", "c++ c# f# and .net or asp.net"),
        ("(.NET) .htaccess '.emacs' /.profile", ".net .htaccess .emacs .profile"),
        ("foo().bar x[1].y a.b(c)", "foo bar x 1 y a.b c"),
        ("c++0x page#anchor i++;", "c 0x page anchor i++"),
        ("version 3.5, not 2.8.", "version 3.5 not 2.8"),
        ("1,000 or 1,234,567.5 but 1,2,3", "1,000 or 1,234,567.5 but 1 2 3"),
        ("20,000+ rows; 1,0000", "20,000 rows 1 0000"),
        ("the U.S. is e.g. Here. A.", "the u.s. is e.g. here a"),
        ("don't can't isn't N'T", "do n't ca n't is n't n't"),
        ("it's we\u2019re I'd I'm you'll they've", "it 's we 're i 'd i 'm you 'll they 've"),
        ("O'Hara 'quoted' dogs'", "o hara quoted dogs"),
        ("command-line my_var a/b x=1&y=2", "command line my var a b x 1 y 2"),
        (
            "Caf\u00e9 \u00dcBER \u4f60\u597d \u03b1\u03b2",
            "caf\u00e9 \u00fcber \u4f60\u597d \u03b1\u03b2",
        ),
        ("?! ... -- ''", ""),
        # Vowel signs, viramas and tone marks are no letters, but parts of words.
        ("हिन्दी में लिखा है।", "हिन्दी में लिखा है"),
        ("আমি বাংলায় গান গাই", "আমি বাংলায় গান গাই"),
        ("தமிழ் மொழி", "தமிழ் மொழி"),
        ("ภาษาไทย ที่นี่", "ภาษาไทย ที่นี่"),
        ("كَتَبَ الوَلَدُ", "كَتَبَ الوَلَدُ"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("Cafe\u0301 U\u0308BER nai\u0308ve", "caf\u00e9 \u00fcber na\u00efve"),
        ("A\u0301.NET x\u0323.y", "\u00e1.net x\u0323.y"),
        ("", ""),
    ],
)
def test_words(text, words):
    assert split_words(text) == words.split()


@given(st.text())
def test_words_are_the_same_in_every_normalisation(text):
    composed = split_words(unicodedata.normalize("NFC", text))
    assert split_words(text) == composed
    assert split_words(unicodedata.normalize("NFD", text)) == composed
    assert split_characters(unicodedata.normalize("NFD", text)) == split_characters(text)


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("你好，World", "你 好 ， w o r l d"),
        ("ที่ นี่", "ที่ นี่"),
        ("कि e\u0301", "कि é"),
        (" \n", ""),
    ],
)
def test_characters(text, characters):
    assert split_characters(text) == characters.split()
    assert split_characters(text, 2) == characters.split()[:2]


@given(st.text())
def test_words_are_stable_and_hold_no_blanks(text):
    words = split_words(text)
    assert all(word and not any(character.isspace() for character in word) for word in words)
    assert split_words(text.lower()) == words or text.lower().lower() != text.lower()
    assert split_words(f" {text}\n") == words


@given(st.text("ab .'#+,1", max_size=30), st.integers(0, 9))
def test_at_most_so_many(text, most):
    assert split_words(text, most) == split_words(text)[:most]


def test_texts_are_cut_and_padded():
    encoded = encode_texts([["x", "y", "x"], [], ["z", "y"]], {"x": 2, "y": 3}, 2)
    assert encoded.dtype == np.int32
    np.testing.assert_array_equal(encoded, [[2, 3], [1, 0], [1, 3]])
    assert (PADDING, UNKNOWN, FIRST_WORD) == (0, 1, 2)


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=6), min_size=1), st.integers(1, 8))
def test_encoding_agrees_with_a_loop(texts, length):
    ids = {"a": 2, "b": 3, "d": 4}
    for row, text in zip(encode_texts(texts, ids, length), texts, strict=True):
        for position, id_ in enumerate(row):
            if position < len(text):
                assert id_ == ids.get(text[position], UNKNOWN)
            else:
                assert id_ == (UNKNOWN if position == 0 else PADDING)
