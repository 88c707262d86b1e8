import re

import numpy as np
import pytest

from ensemble_jax.data import Dataset, Probe, Split

VECTORS = np.array([[0, 0], [1, 2], [3, 4]], np.float32)


def texts(ids, **changes):
    """A data set of the same two texts to train and to test on."""
    split = Split(np.asarray(ids), np.array([0, 1], np.int32), np.arange(2))
    return Dataset(**{
        "name": "own",
        "train": split,
        "test": split,
        "class_names": ("a", "b"),
        "word_vectors": VECTORS,
    } | changes)  # fmt: skip


IDS = np.array([[1, 2, 2], [2, 0, 0]], np.int32)


def test_texts():
    dataset = texts(IDS)
    assert dataset.input_shape == (3,)
    assert dataset.word_vectors is VECTORS
    assert texts(IDS, word_vectors=None).word_vectors is None


@pytest.mark.parametrize(
    ("ids", "vectors", "problem"),
    [
        (IDS, VECTORS[1:], "float32 [V, D] with zeros in row 0, got float32 of the shape (2, 2)"),
        (IDS, VECTORS[0], "float32 [V, D] with zeros in row 0, got float32 of the shape (2,)"),
        (IDS, VECTORS.astype(float), "float32 [V, D] with zeros in row 0, got float64"),
        (IDS.astype(np.int64), VECTORS, "train inputs with word_vectors must be int32 [M, L], got"),
        (IDS[..., None], VECTORS, "must be int32 [M, L], got int32 of the shape (2, 3, 1)"),
        (IDS + 1, VECTORS, "train inputs must lie in 0..2, the rows of word_vectors, got 3"),
        (IDS - 1, VECTORS, "train inputs must lie in 0..2, the rows of word_vectors, got -1"),
    ],
)
def test_ids_that_the_vectors_do_not_cover(ids, vectors, problem):
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        texts(ids, word_vectors=vectors)
    assert str(caught.value).startswith("own: ")


def test_words_are_those_of_the_vectors():
    assert texts(IDS, words=("", "a", "b")).words == ("", "a", "b")
    with pytest.raises(ValueError, match="own: words must be those of the 3 word_vectors, got 2"):
        texts(IDS, words=("a", "b"))


def test_names_can_be_written():
    with pytest.raises(ValueError, match=r"class_names must be of characters that UTF-8 has, got"):
        texts(IDS, class_names=("a", "b\ud800"))
    inputs, labels = np.zeros((2, 1)), np.zeros(2, np.int32)
    split = Split(inputs, labels, np.array(["good", "\udcff.png"]))
    with pytest.raises(ValueError, match=r"train ids .* UTF-8 has, got '\\udcff\.png'"):
        Dataset("own", split, split, ("a", "b"))
    plain = Split(inputs, labels, np.arange(2))
    with pytest.raises(ValueError, match=r"noise ids .* UTF-8 has, got"):
        Dataset("own", plain, plain, ("a",), probes={"noise": Probe(inputs, split.ids)})
