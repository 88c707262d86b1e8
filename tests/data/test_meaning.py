import re
from dataclasses import replace

import numpy as np
import pytest

from ensemble_jax.data import Dataset, Probe, Split, check_meaning, load_dataset, meaning
from ensemble_jax.data.stored import StoredInputs

RNG = np.random.default_rng(0)
TRAIN = RNG.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
TEST = RNG.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
Y, Y_TEST = np.array([0, 1, 2, 0, 1, 2], np.int32), np.array([2, 1, 0], np.int32)
FEATURES = RNG.normal(size=(6, 4)).astype(np.float32)
FEATURES_TEST = RNG.normal(size=(3, 4)).astype(np.float32)


def make(train=TRAIN, test=TEST, labels=Y, class_names=("a", "b", "c"), **changes):
    return Dataset(
        "own",
        Split(train, labels, np.arange(len(train))),
        Split(test, Y_TEST[: len(test)], np.arange(len(test))),
        class_names,
        **changes,
    )


def with_rows(array, rows, value):
    changed = array.copy()
    changed[rows] = value
    return changed


def of_words(*texts):
    return {
        "train": np.array(texts, np.int32)[[0, 1] * 3],
        "test": np.array(texts, np.int32)[[1, 2, 2]],
        "word_vectors": np.array([[0], [1], [2], [3]], np.float32),
    }


def stored(array):
    def refuse(rows):
        raise AssertionError("nothing was to be read")

    return StoredInputs(refuse, np.arange(len(array)), array.shape[1:])


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ({}, []),
        ({"train": FEATURES, "test": FEATURES_TEST}, []),
        (
            {"labels": Y % 2, "class_names": ("a", "b", "c", "d")},
            ["2 of 4 classes have no train examples: c, d"],
        ),
        (
            {"labels": 0 * Y, "class_names": tuple("abcdefgh")},
            ["7 of 8 classes have no train examples: b, c, d, e, f and 2 more"],
        ),
        (
            {"train": with_rows(with_rows(TRAIN, [1], 0), [4], 255)},
            ["2 of 6 train and 0 of 3 test inputs have one value everywhere"],
        ),
        (
            {"test": with_rows(TEST, [0], 7)},
            ["0 of 6 train and 1 of 3 test inputs have one value everywhere"],
        ),
        ({"test": TEST // 12}, ["train inputs lie in 0..255 and test inputs in 0..21, so"]),
        ({"test": TEST // 9}, []),
        (
            {"train": np.float32(TRAIN), "test": np.float32(TEST) / 255},
            ["train inputs lie in 0..255 and test inputs in 0..1, so"],
        ),
        (
            {"train": FEATURES, "test": FEATURES_TEST + 100},
            ["train inputs lie in -"],
        ),
        (
            {"test": TRAIN[[0, 5, 0]]},
            ["3 of 3 test examples are train examples, too, value for value"],
        ),
        (
            {"train": FEATURES, "test": with_rows(FEATURES_TEST, [1], FEATURES[2])},
            ["1 of 3 test examples are train examples, too, value for value"],
        ),
        (
            {"train": with_rows(FEATURES, np.s_[:, [0, 2]], 0.1), "test": FEATURES_TEST},
            ["2 of 4 features have one value in all train examples"],
        ),
        (of_words([2, 0], [3, 2], [2, 2]), ["1 of 3 test examples are train examples, too"]),
        ({"train": stored(TRAIN), "test": stored(TRAIN[:3])}, []),
        (
            {"train": stored(TRAIN), "test": stored(TRAIN[:3]), "labels": Y % 2},
            ["1 of 3 classes have no train examples: c"],
        ),
        (
            {"train": 0 * TRAIN, "test": 0 * TEST + 9, "labels": Y % 2},
            [
                "1 of 3 classes have no train examples: c",
                "6 of 6 train and 3 of 3 test inputs have one value everywhere",
                "train inputs lie in 0..0 and test inputs in 9..9, so that they may be scaled diff",
            ],
        ),
    ],
)
def test_one_line_for_each_thing(arguments, lines):
    found = check_meaning(make(**arguments))
    assert len(found) == len(lines)
    for line, expected in zip(found, lines, strict=True):
        assert line.startswith(expected)
        assert "\n" not in line


def test_examples_that_differ_in_one_value_differ(monkeypatch):
    images = np.zeros((6, 10, 10, 1), np.uint8)
    images[np.arange(6), 5, np.arange(6)] = 1
    others = np.zeros((3, 10, 10, 1), np.uint8)
    others[np.arange(3), 7, np.arange(3)] = 1
    assert check_meaning(make(images, others)) == []
    monkeypatch.setattr(meaning, "_ROWS_PER_CHUNK", 2)
    monkeypatch.setattr(meaning, "_VALUES_SAMPLED", 1)
    assert check_meaning(make(images, others)) == []
    others[1] = images[4]
    images[[0, 1, 2, 5]] = 3
    assert check_meaning(make(images, others)) == [
        "4 of 6 train and 0 of 3 test inputs have one value everywhere",
        "1 of 3 test examples are train examples, too, value for value",
    ]


def test_constructors_and_names_warn_where_they_are_called(tmp_path):
    problem = "3 of 3 test examples are train examples, too, value for value"
    with pytest.warns(UserWarning, match=f"^arrays: {problem}$") as caught:
        Dataset.from_arrays(train=(TRAIN, Y), test=(TRAIN[:3], Y_TEST))
    assert caught[0].filename == __file__
    np.savez(
        tmp_path / "own.npz",
        train_inputs=TRAIN,
        train_labels=Y,
        test_inputs=TRAIN[:3],
        test_labels=Y_TEST,
    )
    with pytest.warns(UserWarning, match=re.escape(f"own.npz: {problem}")) as caught:
        load_dataset(f"npz:{tmp_path / 'own.npz'}")
    assert caught[0].filename == __file__
    assert len(caught) == 1


def test_published_sets_that_are_made_here_are_meant():
    for name in ("digits", "gabor", "gaussian"):
        assert check_meaning(load_dataset(name)) == []


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        (
            make(
                with_rows(with_rows(TRAIN, (0, 0, 0, 0), 0), (1, 0, 0, 0), 255),
                labels=np.array([0, 0, 0, 1, 2, 2], np.int32),
            ),
            "own: 6 train and 3 test examples; uint8 4x5x3 in 0..255; 3 classes (smallest: b with "
            "1 train examples)",
        ),
        (
            make(
                np.float32([[0.123456789, -1], [2, 3], [1, 1]] * 2),
                FEATURES_TEST[:, :2],
                probes={"noise": Probe(FEATURES[:2, :2], np.arange(2))},
                notes=("2 broken images left out",),
            ),
            "own: 6 train and 3 test examples; float32 2 in -1..3; 3 classes (smallest: a with 2 "
            "train examples); probe noise of 2; 2 broken images left out",
        ),
        (
            make(stored(TRAIN), stored(TEST)),
            "own: 6 train and 3 test examples; uint8 4x5x3, read when needed; 3 classes (smallest: "
            "a with 2 train examples)",
        ),
        (
            make(**of_words([2, 0], [3, 1], [1, 1])),
            "own: 6 train and 3 test examples; texts of 2 words, vectors of 2 words (unknown: 33.3%"
            " of train words, 83.3% of test words); 3 classes (smallest: a with 2 train examples)",
        ),
    ],
)
def test_summary(dataset, expected):
    assert dataset.summary() == expected


def test_what_loaders_passed_over_is_in_the_summary(write_image, tmp_path, folders):
    for path in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        write_image(f"in/{path}")
    for path in ("a/0.png", "a/notes.txt", "b/list.csv", "b/.hidden"):
        (tmp_path / "in" / path).write_text("no image")
    name = f"folder:{tmp_path / 'in'}?skip_broken=1"
    with pytest.warns(UserWarning, match="skipped 1 broken"):
        dataset = load_dataset(name, cache_dir=folders.cache)
    assert dataset.notes == (
        "1 broken images left out",
        "2 other files passed over (.csv 1, .txt 1)",
    )
    assert dataset.summary().endswith("left out; 2 other files passed over (.csv 1, .txt 1)")
    assert replace(dataset, notes=()).summary().endswith("train examples)")


def test_words_without_vectors_are_in_the_summary(tmp_path):
    vectors = tmp_path / "small.txt"
    vectors.write_text("red 1 0\nblue 0 1\n")
    train = (["red mauve mauve", "blue mauve"], ["r", "b"])
    test = (["red beige", "blue sky"], ["r", "b"])
    dataset = Dataset.from_texts(train=train, test=test, word_vectors=vectors)
    assert dataset.notes == ("random vectors for 1 words that small.txt lacks",)
    assert "vectors of 3 words (unknown: 0.0% of train words, 50.0% of test words)" in (
        dataset.summary()
    )


def test_a_channel_of_one_value_is_told():
    generator = np.random.default_rng(0)
    train, test = (generator.integers(0, 256, (n, 5, 5, 4), dtype=np.uint8) for n in (6, 4))
    train[..., 3] = 255
    with pytest.warns(
        UserWarning, match=r"1 of 4 channels have one value in all train inputs: num.* 3"
    ):
        Dataset.from_arrays(train=(train, np.arange(6) % 2), test=(test, np.arange(4) % 2))
    train[2, 3, 3, 3] = 254
    assert not check_meaning(
        Dataset.from_arrays(train=(train, np.arange(6) % 2), test=(test, np.arange(4) % 2))
    )
