import re

import numpy as np
import pytest

from ensemble_jax.data.word_vectors import make_vocabulary, read_word_vectors

LINES = ("the 0.5 -1 2e-1", ". 1 2 3", "c++ 4 5 6", "über 7 8 9", "the 9 9 9")


@pytest.fixture
def write(tmp_path):
    """Writes lines, text or bytes, and returns the file."""

    def to_file(*lines, end=b"\n"):
        path = tmp_path / "vectors.txt"
        encoded = [line if isinstance(line, bytes) else line.encode() for line in lines]
        path.write_bytes(end.join(encoded) + end)
        return path

    return to_file


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \n"])
def test_only_wanted_words_are_read_and_the_first_of_a_word_counts(write, end):
    vectors = read_word_vectors(write(*LINES, end=end), {"über", "the", "c++", "absent"})
    assert set(vectors) == {"the", "c++", "über"}
    np.testing.assert_array_equal(vectors["the"], np.array([0.5, -1, 0.2], np.float32))
    np.testing.assert_array_equal(vectors["über"], [7, 8, 9])
    assert all(vector.dtype == np.float32 for vector in vectors.values())


def test_lines_of_several_words_are_passed_over(write):
    path = write(*LINES, "at name@domain.com 1 2 3", ". . . 1 2 3", b"\xff\xfe 1 2 3", "last 3 2 1")
    assert set(read_word_vectors(path, {"at", "the", "last", "."})) == {"the", "last", "."}


def test_a_last_line_without_end_is_read(tmp_path):
    (tmp_path / "vectors.txt").write_text("a 1 2\nb 3 4")
    np.testing.assert_array_equal(read_word_vectors(tmp_path / "vectors.txt", {"b"})["b"], [3, 4])


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (("a 1 2 3", "b 1 2"), "line 2: must have a word and 3 values with one blank between them"),
        (("a 1 2 3", "b 1 2"), "got 2 values"),
        (("a 1 2 3", "b 1 2 3 4"), "line 2: must have a word and 3 values"),
        (("a 1 2 3", "b  1 2 3"), "line 2: must have a word and 3 values"),
        (("a 1 2 3", "", "b 1 2 3"), "line 2: must have a word and 3 values"),
        (("3 50", "a " + "1 " * 49), "line 2: must have a word and 50 values with one blank"),
        ((b"PK\x03\x04 1 2",), "vectors.txt is an archive; unpack it"),
        ((b"\x1f\x8b\x08 1 2",), "vectors.txt is an archive; unpack it"),
        (("a\t1\t2\t3", "b\t1\t2\t3"), "line 1: must have a word and its values"),
        (("a 1 x 3",), "line 1: the values must be finite numbers"),
        (("a 1 1e300 3",), "line 1: the values must be finite numbers"),
        (("b 1 2 3", "a 1 nan 3"), "line 2: the values must be finite numbers"),
        (("other 1 2 3",), "has none of the 2 words of the texts"),
        (("A 1 2 3",), "of words in lower case"),
    ],
)
def test_wrong_files(write, lines, problem):
    path = write(*lines)
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        read_word_vectors(path, {"a", "b"} if "none" not in problem else {"a", "c"})
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_an_empty_file(tmp_path):
    (tmp_path / "vectors.txt").touch()
    with pytest.raises(ValueError, match="has none of the 1 words"):
        read_word_vectors(tmp_path / "vectors.txt", {"a"})


KNOWN = {"the": np.array([1, 3], np.float32), "page": np.array([3, -5], np.float32)}
COUNTS = {"rare": 2, "linq": 3, "page": 0, "the": 9, "ajax": 3, "test only": 0, "svn": 7}


def test_rows_of_the_vocabulary():
    ids, vectors = make_vocabulary(COUNTS, KNOWN)
    assert ids == {"the": 2, "svn": 3, "ajax": 4, "linq": 5, "page": 6}
    assert vectors.shape == (7, 2)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors[[0, 1, 2, 6]], [[0, 0], [2, -1], [1, 3], [3, -5]])
    assert len(np.unique(vectors, axis=0)) == 7


def test_the_order_in_which_words_are_met_does_not_matter():
    ids, vectors = make_vocabulary(dict(reversed(COUNTS.items())), dict(reversed(KNOWN.items())))
    same_ids, same_vectors = make_vocabulary(COUNTS, KNOWN)
    assert ids == same_ids
    np.testing.assert_array_equal(vectors, same_vectors)


def test_a_random_vector_depends_on_the_word_and_the_scale_alone():
    ids, vectors = make_vocabulary(COUNTS, KNOWN)
    doubled = {word: 2 * vector for word, vector in KNOWN.items()}
    other_ids, other_vectors = make_vocabulary({"linq": 5, "new": 8, "the": 1}, doubled | KNOWN)
    only_known = make_vocabulary({"linq": 5, "the": 1, "page": 1}, doubled)
    np.testing.assert_allclose(
        only_known.vectors[only_known.ids["linq"]], 2 * vectors[ids["linq"]], rtol=1e-6
    )
    ratio = other_vectors[other_ids["linq"]] / vectors[ids["linq"]]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)


def test_random_vectors_are_independent_and_as_long_as_the_known_ones():
    rng = np.random.default_rng(0)
    known = {f"known{i}": rng.normal(1, 3, 50).astype(np.float32) for i in range(200)}
    counts = dict.fromkeys([*known, *(f"other{i}" for i in range(400))], 3)
    ids, vectors = make_vocabulary(counts, known)
    own = vectors[[ids[word] for word in known]]
    drawn = vectors[[id_ for word, id_ in ids.items() if word not in known]]
    np.testing.assert_allclose(np.square(drawn).mean(), np.square(own).mean(), rtol=0.05)
    assert abs(drawn.mean()) < 4 * drawn.std() / drawn.size**0.5
    correlations = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(correlations).max() < 6 / 50**0.5


def test_without_random_words():
    ids, vectors = make_vocabulary({"the": 1}, KNOWN)
    assert ids == {"the": 2}
    np.testing.assert_array_equal(vectors, [[0, 0], [1, 3], [1, 3]])


def test_real_vectors(real_data):
    path = real_data / "text" / "glove.50d.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    vectors = read_word_vectors(path, {line.split(" ")[0] for line in lines})
    assert len(vectors) == len(lines) == 2446
    for line in lines[::100]:
        word, *values = line.split(" ")
        np.testing.assert_array_equal(vectors[word], np.array(values, np.float32))


def test_a_header_of_word2vec_is_passed_over(write):
    vectors = read_word_vectors(write("2 3", "the 1 2 3", "are 4 5 6"), {"the", "2"})
    assert list(vectors) == ["the"]
    np.testing.assert_array_equal(vectors["the"], [1, 2, 3])
